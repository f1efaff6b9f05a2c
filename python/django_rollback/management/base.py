"""What the three commands share: parse with argparse, call the engine, write through Django, log the report."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from .. import conf
from ..door import Door


class EngineCommand(BaseCommand):
    """A command that the engine carries out."""

    requires_system_checks: list[str] = []

    def call_engine(self, program: str, arguments: list[str], options: dict[str, Any]) -> None:
        from .. import _native

        door = Door(program, self._write, verbosity=options.get("verbosity", 1))
        code, error = _native.run(door, arguments)
        if error is not None:
            door.level = logging.ERROR
            door.report.append(error + "\n")
        self._log(door, options)
        if error is not None and options.get("traceback") and door.failure is not None:
            self.stderr.write("".join(traceback.format_exception(door.failure)))
        if error is not None:
            raise CommandError(error, returncode=code)
        if code:
            raise SystemExit(code)

    def _write(self, stream: str, text: str) -> None:
        where, _, level = stream.partition(":")
        styles = {"success": self.style.SUCCESS, "warning": self.style.WARNING}
        styled = styles.get(level, str)(text.removesuffix("\n"))
        (self.stderr if where == "err" else self.stdout).write(styled, str)

    def _log(self, door: Door, options: dict[str, Any]) -> None:
        settings = conf.options()
        name = options.get("logger") or settings.LOGGER
        if not name:
            return
        logger = logging.getLogger(name)
        level = options.get("log_level") or settings.LOG_LEVEL
        if level:
            logger.setLevel(level)
        logger.log(door.level, "%s", "".join(door.report).rstrip("\n"))


class OriginalCommand(EngineCommand):
    """A command of the original: its options are declared here too, so that ``call_command`` knows them."""

    name: str

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("-p", "--path", help="Git repository, or a folder in it. Default: the current folder.")
        parser.add_argument("-l", "--logger", help="Name of the logger that gets the whole report.")
        parser.add_argument("--log-level", help="Level to set this logger to: DEBUG, INFO, …", type=_level)
        parser.add_argument("--database", help='Alias of the database. Default: "default".')
        parser.add_argument("--format", choices=["text", "json"], default="text", help="How to print.")

    def handle(self, *args: Any, **options: Any) -> None:
        arguments = [self.name, "--verbosity", str(options.get("verbosity", 1)), "--format", options["format"]]
        for option in ("path", "database"):
            if options[option] is not None:
                arguments += [f"--{option}", str(options[option])]
        self.call_engine(f"manage.py {self.name}", arguments + self.own_arguments(options), options)

    def own_arguments(self, options: dict[str, Any]) -> list[str]:
        raise NotImplementedError


def _level(name: str) -> str:
    if not isinstance(logging.getLevelName(name.upper()), int):
        raise ValueError(name)
    return name.upper()


_level.__name__ = "logging level"
