"""What runs in the forks of a loaded project before their command: another database, a fault, a common start.

Nothing of the tests can be imported here: a project is a place of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

BEFORE, AFTER, DURING = "before", "after", "during"
KILL, INTERRUPT, TERMINATE, PAUSE = "kill", "interrupt", "terminate", "pause"
SIGNALS = {KILL: signal.SIGKILL, INTERRUPT: signal.SIGINT, TERMINATE: signal.SIGTERM}
COMMANDS = ("migrate", "rollback", "rollback_migrations", "save_migrations_state")


def load() -> None:
    """Set up Django in this folder and import what a command needs; connect to nothing."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    import django
    from django.core.management import get_commands, load_command_class
    from django.db.migrations.loader import MigrationLoader

    django.setup()
    for name in COMMANDS:
        load_command_class(get_commands()[name], name)
    for vendor in ("sqlite3", "postgresql"):
        importlib.import_module(f"django.db.backends.{vendor}.base")
    MigrationLoader(None, ignore_no_migrations=True)


def use(database: dict[str, Any]) -> None:
    """Point the default connection at this database."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        assert connection.connection is None, "a connection was open when the command was forked"
        del connections[connection.alias]
    connections.settings = connections.configure_settings({"default": database})


def start_together(here: str, shot: str, delay: float) -> None:
    """Say that we are here, wait for the shot that starts all, and then for so many seconds."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with open(shot, "rb", buffering=0) as gun:
        with open(here, "wb", buffering=0) as arrivals:
            arrivals.write(b".")
        gun.read(1)
    time.sleep(delay)


def count_points(kill_at: int | None, fail_at: int | None) -> None:
    """Let every statement and commit of Django pass two points; be killed, or fail, at the one with this number."""
    from django.db import OperationalError
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

    points, commits = count(), count(-1, -1)
    execute, commit = CursorWrapper._execute, BaseDatabaseWrapper._commit

    def must_fail(*names: int) -> bool:
        """Pass the next point, which may have another name: must something fail there?"""
        here = {next(points), *names}
        if kill_at in here:
            os.kill(os.getpid(), signal.SIGKILL)
        return fail_at in here

    def execute_past_points(self: Any, sql: str, params: Any, *ignored: Any) -> Any:
        if must_fail() and not sql.startswith("PRAGMA"):
            return execute(self, "SELECT a_column_that_is_not_there", None, *ignored)
        result = execute(self, sql, params, *ignored)
        must_fail()
        return result

    def commit_past_points(self: Any) -> None:
        if must_fail(next(commits)):
            raise OperationalError("the commit has failed")
        commit(self)
        must_fail(next(commits))

    CursorWrapper._execute = execute_past_points
    BaseDatabaseWrapper._commit = commit_past_points


@dataclass(frozen=True)
class Fault:
    """What happens at a statement of a command, the first of which is number 1.

    BEFORE it is sent, AFTER it has returned, or DURING it: `delay` seconds after it was sent, wherever that is. The
    process is killed, interrupted as by Ctrl-C or told to end, or it pauses until whoever runs it lets it go on.
    """

    statement: int
    when: str
    action: str = KILL
    delay: float = 0.0

    def __str__(self) -> str:
        later = f" ({self.delay * 1000:.3f} ms)" if self.when == DURING else ""
        return f"{self.action} {self.when} statement {self.statement}{later}"


def watch(
    database: dict[str, Any], trace: str, fault: dict[str, Any] | None, pause: str, rename_as_of_old: bool, limit: int
) -> None:
    """Use this database, with a fault on the way, and end after `limit` seconds at the latest.

    All statements are written to the file `trace` at the end; `pause` is the socket of whoever ends a pause.
    """
    signal.alarm(limit)
    statements = _Statements(Fault(**fault) if fault else None, pause)
    atexit.register(lambda: Path(trace).write_text(json.dumps(statements.said)))
    if database["ENGINE"].endswith("sqlite3"):
        database["OPTIONS"]["factory"] = statements.watch_sqlite()
    else:
        statements.watch_postgresql()
    use(database)
    if rename_as_of_old and database["ENGINE"].endswith("sqlite3"):
        from django.db import connection

        connection.execute_wrappers.append(_rename_as_of_old)


class _Statements:
    """Everything that a command says to its database, counted, with the fault at its place."""

    def __init__(self, fault: Fault | None, pause: str) -> None:
        self.fault = fault
        self.pause = pause
        self.said: list[str] = []

    @contextlib.contextmanager
    def one(self, statement: object) -> Iterator[None]:
        self.said.append(statement.decode() if isinstance(statement, bytes) else str(statement))
        number = len(self.said)
        self._strike(number, BEFORE)
        self._strike(number, DURING)
        try:
            yield
        finally:
            self._strike(number, AFTER)

    def _strike(self, number: int, when: str) -> None:
        if self.fault is None or (self.fault.statement, self.fault.when) != (number, when):
            return
        if self.fault.action == PAUSE:
            with socket.socket(socket.AF_UNIX) as other:
                other.connect(self.pause)
                other.recv(1)
        elif when == DURING:
            # What SIGALRM does by default is to end the process there and then: no code of Python's runs.
            signal.setitimer(signal.ITIMER_REAL, self.fault.delay)
        else:
            os.kill(os.getpid(), SIGNALS[self.fault.action])

    def watch_postgresql(self) -> None:
        import psycopg

        execute, executemany = psycopg.Cursor.execute, psycopg.Cursor.executemany
        command = psycopg.Connection._exec_command
        watch = self.one

        def watched_execute(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            with watch(query):
                return execute(cursor, query, *args, **kwargs)

        def watched_executemany(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            with watch(query):
                return executemany(cursor, query, *args, **kwargs)

        def watched_command(connection: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            with watch(query):
                return (yield from command(connection, query, *args, **kwargs))

        psycopg.Cursor.execute, psycopg.Cursor.executemany = watched_execute, watched_executemany
        psycopg.Connection._exec_command = watched_command

    def watch_sqlite(self) -> type[sqlite3.Connection]:
        """Cursors of Django's are watched from now on; the class that comes back is that of watched connections."""
        from django.db.backends.sqlite3.base import SQLiteCursorWrapper

        execute, executemany = SQLiteCursorWrapper.execute, SQLiteCursorWrapper.executemany
        watch = self.one

        def watched_execute(cursor: Any, query: Any, *args: Any) -> Any:
            with watch(query):
                return execute(cursor, query, *args)

        def watched_executemany(cursor: Any, query: Any, *args: Any) -> Any:
            with watch(query):
                return executemany(cursor, query, *args)

        SQLiteCursorWrapper.execute, SQLiteCursorWrapper.executemany = watched_execute, watched_executemany

        class WatchedConnection(sqlite3.Connection):
            def execute(self, query: Any, *args: Any) -> Any:
                with watch(query):
                    return super().execute(query, *args)

            def commit(self) -> None:
                with watch("COMMIT"):
                    super().commit()

            def rollback(self) -> None:
                with watch("ROLLBACK"):
                    super().rollback()

        return WatchedConnection


def _rename_as_of_old(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    if not str(sql).startswith('ALTER TABLE "new__'):
        return execute(sql, params, many, context)
    execute("PRAGMA legacy_alter_table = ON", None, False, context)
    try:
        return execute(sql, params, many, context)
    finally:
        execute("PRAGMA legacy_alter_table = OFF", None, False, context)
