"""What the engine asks of Django: connections, output, and where the project is.

Nothing here knows a rule about migrations; the engine decides, and calls back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction

from . import conf
from .runner import Runner
from .scratch import CannotCopy, Scratch
from .signals import Signals

LOCK_SUFFIX = ".rollback-lock"


class Refusal(Exception):
    """A reason not to begin, with a hint; ``is_usage`` where the arguments are wrong."""

    def __init__(self, message: str, hint: str, is_usage: bool = False):
        super().__init__(message)
        self.hint = hint
        self.is_usage = is_usage


class Door:
    """One command's way into Django. The engine calls every public method."""

    def __init__(self, program: str, write: Callable[[str, str, str], None], verbosity: int = 1):
        self.program = program
        self.write = write
        self.verbosity = verbosity
        options = conf.options()
        self.commit_variables = list(options.COMMIT_VARIABLES)
        self.default_path = options.PATH and os.fspath(options.PATH)
        self.secrets = secrets()
        self.ways = ways(options)
        self.project = project_folder()
        self.level = logging.INFO
        self.report: list[str] = []
        self.failure: BaseException | None = None
        self.signals = Signals()
        self._scratch: Scratch | None = None
        self.is_terminal = all(is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr))

    def connect(self, alias: str | None) -> Connection:
        alias = DEFAULT_DB_ALIAS if alias is None else alias
        if alias not in connections:
            known = ", ".join(connections)
            raise Refusal(
                f"there is no database {alias!r} in the setting DATABASES", f"aliases: {known}", is_usage=True
            )
        vendor = connections[alias].vendor
        if vendor not in conf.SUPPORTED_VENDORS:
            message = f"the database {alias!r} is not supported"
            raise Refusal(message, "SQLite and PostgreSQL are; name another alias with --database")
        if vendor == "sqlite":
            refuse_missing_file(connections[alias])
        connection = Connection(connections[alias], self.signals)
        self.signals.cancel = connection.cancel
        try:
            connection.query("PRAGMA schema_version" if vendor == "sqlite" else "SELECT 1", None)
        except DatabaseError as error:
            reason = str(error).strip().partition("\n")[0]
            raise Refusal(f"cannot connect to {connection.name}: {reason}", f"check DATABASES[{alias!r}]") from error
        return connection

    def runner(self, connection: Connection) -> Runner:
        return Runner(connection.django, self)

    def loader(self, alias: str | None) -> Runner:
        """What can be asked about the project's migrations without a connection."""
        return Runner(connections[alias or DEFAULT_DB_ALIAS], self)

    def scratch(self, alias: str | None) -> Connection:
        """A connection to a scratch copy of the database, until ``end_scratch``."""
        connection = self.connect(alias)
        scratch = Scratch(connection.django)
        try:
            scratch.make()
        except (CannotCopy, CommandError, DatabaseError) as error:
            reason = str(error).strip().partition("\n")[0]
            hint = "the role must be allowed to create databases, and this code must be the current release's"
            raise Refusal(f"cannot make a scratch copy of {connection.name}: {reason}", hint) from error
        self._scratch = scratch
        return Connection(connection.django, self.signals)

    def end_scratch(self) -> None:
        if self._scratch is not None:
            self._scratch.remove()
            self._scratch = None

    def out(self, text: str) -> None:
        self.report.append(text)
        self.write("out", "data", text)

    def secret(self, text: str) -> None:
        """As ``out``, and in no log."""
        self.write("out", "data", text)

    def say(self, level: str, line: str, stream: str) -> None:
        self.report.append(line + "\n")
        self.rate(level)
        if stream != "silent":
            self.write(stream, level, line + "\n")

    def ask(self, question: str) -> str | None:
        """What a person types; nothing at the end of the input."""
        try:
            with self.signals.section():
                return input(question)
        except EOFError:
            return None

    def pause(self, seconds: float) -> None:
        with self.signals.section():
            time.sleep(seconds)

    def rate(self, level: str) -> None:
        """How much the report matters, as a level of ``logging``: the highest that was met."""
        levels = {"warning": logging.WARNING, "error": logging.ERROR}
        self.level = max(self.level, levels.get(level, logging.INFO))


class Connection:
    """Django's connection, with transactions that the engine begins and ends."""

    def __init__(self, django: Any, signals: Signals):
        self.django = django
        self.signals = signals
        self.vendor = django.vendor
        self.name = describe(django)
        self.lock_file = lock_file(django)
        self._transaction: contextlib.ExitStack | None = None

    def query(self, sql: str, params: Sequence[Any] | None) -> list[tuple[Any, ...]]:
        with self.signals.section(), self.django.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall()

    def execute(self, sql: str, params: Sequence[Any] | None) -> int:
        with self.signals.section(), self.django.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.rowcount

    def run(self, sql: str) -> None:
        with self.signals.section(), self.django.cursor() as cursor:
            cursor.execute(sql)

    def begin(self, schema: bool) -> None:
        with self.signals.section(), contextlib.ExitStack() as stack:
            if schema and self.vendor == "sqlite":
                stack.enter_context(foreign_keys_off(self.django))
            stack.callback(self._forget)
            with begin_immediate(self.django):
                stack.enter_context(transaction.atomic(using=self.django.alias, durable=schema))
            self._transaction = stack.pop_all()

    def commit(self) -> None:
        if self._transaction is None:
            raise RuntimeError("commit without begin")
        if self.django.needs_rollback:
            raise RuntimeError("a database error inside the transaction was swallowed: it cannot be committed")
        with self.signals.section():
            pass
        self._transaction.close()

    def rollback(self) -> None:
        if self._transaction is not None:
            self._transaction.__exit__(RollBack, RollBack(), None)

    def reconnect(self) -> None:
        self.django.close()
        self.django.ensure_connection()

    def another(self) -> OtherConnection:
        return OtherConnection(self.django.copy(), self.signals)

    def is_pooled(self) -> bool | None:
        """A pooler tells its client another process id than the server's own."""
        if self.vendor != "postgresql":
            return None
        ((pid,),) = self.query("SELECT pg_backend_pid()", None)
        return pid != self.django.connection.info.backend_pid

    def cancel(self) -> None:
        """Stops the statement that runs, from another thread."""
        connection = self.django.connection
        if connection is not None:
            connection.interrupt() if self.vendor == "sqlite" else connection.cancel()

    def _forget(self) -> None:
        self._transaction = None


class OtherConnection(Connection):
    """A second connection to the same database, for one transaction. Django knows nothing of it."""

    def begin(self, schema: bool) -> None:
        self.django.set_autocommit(False)

    def commit(self) -> None:
        self.django.commit()
        self.django.close()

    def rollback(self) -> None:
        with contextlib.suppress(DatabaseError):
            self.django.rollback()
        self.django.close()


class RollBack(Exception):
    """Tells ``atomic`` to roll back. It never leaves this module."""


def is_terminal(stream: Any) -> bool:
    """Whether a person is at the other end. A service may have closed the stream, or have none."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def refuse_missing_file(connection: Any) -> None:
    """SQLite would make a new, empty database of a wrong path."""
    name = str(connection.settings_dict["NAME"])
    if not connection.is_in_memory_db() and not name.startswith("file:") and not os.path.exists(name):
        raise Refusal(f"there is no database file at {name}", "check the setting DATABASES, or run migrate first")


@contextlib.contextmanager
def foreign_keys_off(connection: Any) -> Any:
    """Foreign keys off on SQLite, which only works outside a transaction and which the schema editor insists on."""
    connection.disable_constraint_checking()
    try:
        yield
    finally:
        connection.enable_constraint_checking()


@contextlib.contextmanager
def begin_immediate(connection: Any) -> Any:
    """Transactions that begin meanwhile take SQLite's write lock at once: a later upgrade could fail as busy."""
    if connection.vendor != "sqlite":
        yield
        return
    connection._start_transaction_under_autocommit = lambda: connection.cursor().execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        del connection._start_transaction_under_autocommit


def lock_file(connection: Any) -> str | None:
    """The file that stands for our lock on SQLite, beside the database's own."""
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        return None
    name = str(connection.settings_dict["NAME"])
    path = name.removeprefix("file:").partition("?")[0] if name.startswith("file:") else name
    return os.path.realpath(path) + LOCK_SUFFIX


def describe(connection: Any) -> str:
    """How the database is called, never with a password."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"the SQLite database at {database['NAME']}"
    place = f" on {database['HOST']}" if database.get("HOST") else ""
    port = f":{database['PORT']}" if database.get("HOST") and database.get("PORT") else ""
    return f'the PostgreSQL database "{database["NAME"]}"{place}{port}'


def ways(options: conf.Options) -> list[str]:
    """The ways that may be taken; the binary's variable counts here as well, where it has handed a rollback over."""
    given = os.environ.get("DJANGO_ROLLBACK_WAYS", "")
    return given.split(",") if given else list(options.WAYS)


def secrets() -> list[str]:
    """What the keys of signatures are made from: the first signs, the others verify what was signed before."""
    given = [line.strip() for line in os.environ.get("DJANGO_ROLLBACK_KEY", "").splitlines()]
    with contextlib.suppress(ImproperlyConfigured):  # a project may have no secret at all
        given += [str(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return [secret for secret in given if secret]


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


def find_commit() -> str | None:
    """Asks the engine for the commit of this deploy; returns what speaks against it."""
    from . import _native

    code, error = _native.run(Door("manage.py rollback", lambda stream, level, text: None), ["stamp", "--output", "-"])
    return error if code else None


def find_ahead() -> str | None:
    """Asks the engine whether the database is ahead of this code; returns what it says of that.

    A database that cannot be asked, or has no releases yet, is none that is ahead.
    """
    from . import _native

    said: list[str] = []
    door = Door("manage.py rollback", lambda stream, level, text: said.append(text))
    code, error = _native.run(door, ["guard"])
    return "".join(said).strip() if code == 1 and error is None else None
