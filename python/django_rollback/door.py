"""What the engine asks of Django for one command: connections, output, and where the project is.

Nothing here knows a rule about migrations; the engine decides, and calls back.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from . import conf, dialects
from .connection import Connection
from .interrupts import Interrupts
from .runner import Runner
from .scratch import Scratch

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

LEVELS = {"warning": logging.WARNING, "error": logging.ERROR}


class Refusal(Exception):
    """A reason not to begin, with a hint; ``is_usage`` if the arguments are wrong."""

    def __init__(self, message: str, hint: str, is_usage: bool = False):
        super().__init__(message)
        self.hint = hint
        self.is_usage = is_usage


class Write(Protocol):
    """Writes a text to ``out`` or ``err``, in the style of its level."""

    def __call__(self, stream: str, level: str, text: str) -> None: ...


class Door:
    """One command's way into Django. The engine calls every public method."""

    def __init__(self, program: str, write: Write, verbosity: int = 1):
        self.program = program
        self.write = write
        self.verbosity = verbosity
        options = conf.options()
        self.commit_variables = list(options.COMMIT_VARIABLES)
        self.default_path = os.fspath(options.PATH) if options.PATH else None
        self.secrets = conf.secrets()
        self.ways = conf.ways()
        self.project = project_folder()
        self.level = logging.INFO
        self.report: list[str] = []
        self.failure: BaseException | None = None
        """What ``--traceback`` shows."""
        self.interrupts = Interrupts()
        self._scratch: Scratch | None = None
        self.is_terminal = all(is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr))

    def connect(self, alias: str | None) -> Connection:
        alias = DEFAULT_DB_ALIAS if alias is None else alias
        connection = Connection(usable_database(alias), self.interrupts)
        self.interrupts.cancel = connection.cancel
        try:
            connection.query(connection.dialect.probe, None)
        except DatabaseError as error:
            message = f"cannot connect to {connection.name}: {first_line(error)}"
            raise Refusal(message, f"check DATABASES[{alias!r}]") from error
        return connection

    def runner(self, connection: Connection) -> Runner:
        return Runner(connection.django, self)

    def loader(self, alias: str | None) -> Runner:
        """Answers what can be said about the project's migrations without a connection."""
        return Runner(connections[alias or DEFAULT_DB_ALIAS], self)

    def scratch(self, alias: str | None) -> Connection:
        """A connection to a scratch copy of the database, until ``end_scratch``."""
        connection = self.connect(alias)
        scratch = Scratch(connection.django)
        try:
            scratch.make()
        except (dialects.CannotCopy, CommandError, DatabaseError) as error:
            hint = "allow the role to create databases, and run this with the code of the current release"
            message = f"cannot make a scratch copy of {connection.name}: {first_line(error)}"
            raise Refusal(message, hint) from error
        self._scratch = scratch
        return Connection(connection.django, self.interrupts)

    def end_scratch(self) -> None:
        if self._scratch is not None:
            self._scratch.remove()
            self._scratch = None

    def out(self, text: str) -> None:
        self.report.append(text)
        self.write("out", "data", text)

    def secret(self, text: str) -> None:
        """Writes as ``out`` does, but to no log."""
        self.write("out", "data", text)

    def say(self, level: str, line: str, stream: str) -> None:
        self.report.append(line + "\n")
        self.rate(level)
        if stream != "silent":
            self.write(stream, level, line + "\n")

    def ask(self, question: str) -> str | None:
        """What a person types; ``None`` at the end of the input."""
        try:
            with self.interrupts.section():
                return input(question)
        except EOFError:
            return None

    def pause(self, seconds: float) -> None:
        with self.interrupts.section():
            time.sleep(seconds)

    def rate(self, level: str) -> None:
        """Raises the level of the report, which is the highest level of its lines."""
        self.level = max(self.level, LEVELS.get(level, logging.INFO))


def usable_database(alias: str) -> BaseDatabaseWrapper:
    """Django's connection for an alias, or a refusal."""
    if alias not in connections:
        message = f"there is no database {alias!r} in the setting DATABASES"
        raise Refusal(message, f"aliases: {', '.join(connections)}", is_usage=True)
    django = connections[alias]
    dialect = dialects.find(django)
    if dialect is None:
        message = f"the database {alias!r} is not supported"
        raise Refusal(message, f"supported databases: {dialects.SUPPORTED}; pass another alias with --database")
    if missing := dialect.missing_file(django):
        raise Refusal(f"there is no database file at {missing}", "check the setting DATABASES, or run migrate first")
    return django


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return str(error).strip().partition("\n")[0]


def is_terminal(stream: object) -> bool:
    """Whether a person is at the other end. A service may have closed the stream, or have none."""
    isatty: Callable[[], bool] | None = getattr(stream, "isatty", None)
    try:
        return isatty is not None and bool(isatty())
    except (AttributeError, ValueError):
        return False


def project_folder() -> str | None:
    """The folder of ``manage.py``, or the setting ``BASE_DIR``."""
    script = os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0] else ""
    if os.path.basename(script) == "manage.py":
        return os.path.dirname(script)
    try:
        base = getattr(settings, "BASE_DIR", None)
    except ImproperlyConfigured:
        return None
    return os.fspath(base) if base else None
