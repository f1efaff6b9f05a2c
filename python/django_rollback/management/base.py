"""What the three commands share: parse with argparse, call the engine, write through Django, log the report."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.core.management.color import no_style

from .. import conf
from ..checks import check_settings
from ..door import Door

CommandOptions = dict[str, Any]
"""The options of a command as Django hands them over."""


class EngineCommand(BaseCommand):
    """A command that the engine carries out."""

    requires_system_checks: list[str] = []
    _called_from_command_line: bool
    """Django sets it; the stubs lack it."""

    def call_engine(self, program: str, arguments: Sequence[str], options: CommandOptions) -> None:
        from .. import _native  # here and not above, so that `manage.py help` needs no engine

        self._refuse_wrong_settings()
        if os.environ.get("NO_COLOR"):
            self.style = no_style()
            self.stderr.style_func = None
        door = Door(program, self._write, verbosity=options.get("verbosity", 1))
        with fewer_collections(), door.interrupts.handled():
            code, error = _native.run(door, arguments)
        if error is not None:
            door.rate("error")
            door.report.append(error + "\n")
        self._log(door, options)
        if error is not None and options.get("traceback") and door.failure is not None:
            self.stderr.write("".join(traceback.format_exception(door.failure)))
        if error is not None:
            raise CommandError(error, returncode=code)
        if code and self._called_from_command_line:
            sys.exit(code)
        if code:
            raise CommandError("the plan has blockers, or the database is not at the release", returncode=code)

    def _refuse_wrong_settings(self) -> None:
        for problem in check_settings(None):
            raise CommandError(f"{problem.msg} ({problem.id})\n  hint: {problem.hint}", returncode=1)

    def _write(self, stream: str, level: str, text: str) -> None:
        """Writes and flushes: if nobody reads any more, the error is raised here and not when the process ends."""
        styles = {"success": self.style.SUCCESS, "warning": self.style.WARNING}
        wrapper = self.stderr if stream == "err" else self.stdout
        try:
            wrapper.write(styles.get(level, str)(text.removesuffix("\n")), str)
            wrapper.flush()
        except OSError:
            _discard_the_rest(wrapper)
            raise

    def _log(self, door: Door, options: CommandOptions) -> None:
        settings = conf.options()
        name = options.get("logger") or settings.LOGGER
        if not name:
            return
        logger = logging.getLogger(name)
        level = options.get("log_level") or settings.LOG_LEVEL
        if level:
            logger.setLevel(level.upper())
        logger.log(door.level, "%s", "".join(door.report).rstrip("\n"))


def _discard_the_rest(wrapper: OutputWrapper) -> None:
    """What is left in the buffer would fail once more at the end of the process, with a traceback."""
    with contextlib.suppress(OSError, ValueError):
        descriptor: int = wrapper.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


@contextlib.contextmanager
def fewer_collections() -> Iterator[None]:
    """Collects garbage less often: a rollback makes thousands of model classes, which live for a while.

    With 60 apps and 1,300 migrations this saves a fifth of the time, for a sixth more memory.
    """
    thresholds = gc.get_threshold()
    if thresholds[0]:
        gc.set_threshold(20_000, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


class OriginalCommand(EngineCommand):
    """A command of the original: its options are declared here too, so that ``call_command`` knows them."""

    name: str

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--path", help="Git repository, or a folder in it. Default: the current folder.")
        parser.add_argument("-l", "--logger", help="Name of the logger that gets the report.")
        parser.add_argument("--log-level", help="Level to set this logger to: DEBUG, INFO, …", type=_level)
        parser.add_argument("--database", help='Alias of the database. Default: "default".')
        parser.add_argument("--format", choices=["text", "json"], default="text", help="How to print.")

    def handle(self, *args: object, **options: Any) -> None:
        arguments = [self.name, "--verbosity", str(options.get("verbosity", 1)), "--format", options["format"]]
        for option in ("path", "database"):
            if options[option] is not None:
                arguments += [f"--{option}", str(options[option])]
        self.call_engine(f"manage.py {self.name}", arguments + self.own_arguments(options), options)

    def own_arguments(self, options: CommandOptions) -> list[str]:
        raise NotImplementedError


def _level(name: str) -> str:
    if not isinstance(logging.getLevelName(name.upper()), int):
        raise ValueError(name)
    return name.upper()


_level.__name__ = "logging level"
