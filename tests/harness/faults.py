"""Faults on purpose: a process that dies at a chosen statement, a connection that breaks, a server that goes down.

`ReadyManage` runs commands of `manage.py` in forks of one process that has Django loaded and no connection open, so
that a fault costs no start of Python; this module is also what that process runs. `Proxy` stands between a client and
PostgreSQL and cuts what goes through it. `DurableCluster` is a server that survives its own crash.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

from harness import postgres
from harness.database import Database
from harness.project import Project

BEFORE, AFTER, DURING = "before", "after", "during"
KILL, INTERRUPT, TERMINATE, PAUSE = "kill", "interrupt", "terminate", "pause"
SIGNALS = {KILL: signal.SIGKILL, INTERRUPT: signal.SIGINT, TERMINATE: signal.SIGTERM}
SECONDS_FOR_A_COMMAND = 60
AtPause = Callable[[Callable[[], None]], None]


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


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code, or the signal that killed it as a negative number, and what it had said."""

    code: int
    stdout: str
    stderr: str
    statements: tuple[str, ...]
    """What it sent to the database; nothing is known of it where it was killed."""

    @property
    def killed(self) -> bool:
        return self.code < 0

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.stdout}{self.stderr}"


class CommandTookTooLong(AssertionError):
    """A command did not end in its time."""


class ReadyManage:
    """The `manage.py` of a project, ready to run in a fork; a context manager."""

    def __init__(self, project: Project) -> None:
        environment = project.environment() | {
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
            # The order in which Django walks through sets is that of the first run in all others, too.
            "PYTHONHASHSEED": "0",
        }
        self._process = subprocess.Popen(
            [project.python, "-m", "harness.faults", str(project.root / "manage.py")],
            cwd=project.root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> ReadyManage:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(
        self,
        database: Database,
        *args: str,
        fault: Fault | None = None,
        at_pause: AtPause | None = None,
        options: Mapping[str, Any] | None = None,
        rename_as_of_old: bool = False,
        limit: int = SECONDS_FOR_A_COMMAND,
    ) -> Outcome:
        """Run `manage.py ARGS` on `database`, with a fault on the way.

        At a pause `at_pause` is called with a function that lets the command go on. `options` are those of Django's
        DATABASES. With `rename_as_of_old` SQLite renames remade tables the old way, without which stock Django
        cannot go back where a view names one.
        """
        settings = {**database.settings, "OPTIONS": dict(options or {})}
        self._send(
            {
                "database": settings,
                "args": args,
                "fault": fault and asdict(fault),
                "rename_as_of_old": rename_as_of_old,
                "limit": limit,
            }
        )
        answer = self._receive()
        while "paused" in answer:
            assert at_pause is not None, "a command that pauses needs somebody to wake it up"
            at_pause(lambda: self._send({}))
            answer = self._receive()
        outcome = Outcome(answer["code"], answer["stdout"], answer["stderr"], tuple(answer["statements"]))
        if outcome.code == -signal.SIGALRM and (fault is None or fault.when != DURING):
            raise CommandTookTooLong(f"`{' '.join(args)}` took more than {limit} s ({fault})\n{outcome}")
        return outcome

    def stop(self) -> None:
        """End the process; doing it twice does no harm."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _send(self, document: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(document).encode() + b"\n")
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process that forks commands has ended with code {self._process.wait()}"
        return json.loads(line)


class Cut:
    """Decides when a proxied connection breaks: it sees every chunk and says how much of it may still pass."""

    reconnect = True
    """Whether the proxy lets anybody in again afterwards."""
    reset = False
    """Whether both ends see a connection reset, which may take what is under way with it, or an orderly end."""

    def to_server(self, chunk: bytes) -> int | None:
        """How many bytes of `chunk` reach the server before the cut; None lets all pass and cuts nothing."""
        return None

    def from_server(self, chunk: bytes) -> int | None:
        """The same for what the server says."""
        return None


COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00Z\x00\x00\x00\x05I"


class CutAtByte(Cut):
    """A cut after a number of bytes in one direction, wherever in a message that is."""

    def __init__(self, left: int, *, to_server: bool, reset: bool = False) -> None:
        self.start = self.left = left
        self.reset = reset
        self.is_to_server = to_server

    def to_server(self, chunk: bytes) -> int | None:
        return self._count(chunk) if self.is_to_server else None

    def from_server(self, chunk: bytes) -> int | None:
        return None if self.is_to_server else self._count(chunk)

    def _count(self, chunk: bytes) -> int | None:
        if len(chunk) > self.left:
            return self.left
        self.left -= len(chunk)
        return None

    def __str__(self) -> str:
        return f"cut after {self.start} bytes {'to' if self.is_to_server else 'from'} the server, reset={self.reset}"


UNDELIVERED, IN_FLIGHT, UNANSWERED = "undelivered", "in flight", "unanswered"


class CutAtCommit(Cut):
    """A cut at the n-th COMMIT.

    UNDELIVERED, no more than its first bytes reach the server. UNANSWERED, the server carries it out, and no more than
    the first bytes of the answer reach the client. IN_FLIGHT, the connection breaks the moment it has been passed on:
    whether the server carries it out is open.
    """

    def __init__(
        self, how: str, number: int = 1, *, delivered: int = 0, reconnect: bool = True, reset: bool = False
    ) -> None:
        self.how = how
        self.number = self.left = number
        self.delivered = delivered
        self.reconnect = reconnect
        self.reset = reset

    def to_server(self, chunk: bytes) -> int | None:
        self.left -= COMMIT in chunk
        if self.left or COMMIT not in chunk or self.how == UNANSWERED:
            return None
        return len(chunk) if self.how == IN_FLIGHT else chunk.index(COMMIT) + self.delivered

    def from_server(self, chunk: bytes) -> int | None:
        return None if self.left else min(self.delivered, len(chunk))

    def __str__(self) -> str:
        where = f"{self.how} COMMIT {self.number}, {self.delivered} bytes delivered"
        return f"{where}, reconnect={self.reconnect}, reset={self.reset}"


class Proxy:
    """A TCP proxy in front of a server, which breaks connections as its `Cut` says; a context manager.

    After a cut it is transparent again, or shut, as the cut has it. A frozen proxy keeps its connections and passes
    nothing on: a host that has vanished looks like that.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.bytes_to_server = self.bytes_from_server = self.commits = 0
        self.struck = False
        self._cut = Cut()
        self._open = True
        self._frozen = threading.Event()
        self._lock = threading.Lock()
        self._links: list[_Link] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._begin(self._accept)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        _close(self._listener, reset=False)
        for link in self._links:
            link.break_off(reset=True)
        for thread in self._threads:
            thread.join(timeout=10)

    def database(self, database: Database) -> Database:
        """The same database, reached through the proxy."""
        return replace(database, host="127.0.0.1", port=self.port)

    def arm(self, cut: Cut) -> None:
        """Count from zero, let everybody in, and break the next connection as `cut` says."""
        with self._lock:
            self.bytes_to_server = self.bytes_from_server = self.commits = 0
            self.struck, self._cut, self._open = False, cut, True

    def freeze(self) -> None:
        """Pass nothing on any more, and close nothing."""
        self._frozen.set()

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._open:
                _close(client, reset=True)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except OSError:
                _close(client, reset=True)
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(client, server)
            self._links.append(link)
            for outwards in (True, False):
                self._begin(self._pump, link, outwards)

    def _pump(self, link: _Link, outwards: bool) -> None:
        source, sink = (link.client, link.server) if outwards else (link.server, link.client)
        reset = False
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 16):
                if self._frozen.is_set():
                    return
                with self._lock:
                    reset = self._cut.reset
                    allowed = self._judge(chunk, outwards)
                if allowed is not None:
                    sink.sendall(chunk[:allowed])
                    break
                sink.sendall(chunk)
        if not self._frozen.is_set():
            link.break_off(reset=reset)

    def _judge(self, chunk: bytes, outwards: bool) -> int | None:
        if outwards:
            self.bytes_to_server += len(chunk)
            self.commits += COMMIT in chunk
            allowed = self._cut.to_server(chunk)
        else:
            self.bytes_from_server += len(chunk)
            allowed = self._cut.from_server(chunk)
        if allowed is not None:
            self.struck, self._open, self._cut = True, self._cut.reconnect, Cut()
        return allowed


@dataclass(frozen=True, eq=False)
class _Link:
    client: socket.socket
    server: socket.socket

    def break_off(self, *, reset: bool) -> None:
        for end in (self.client, self.server):
            _close(end, reset=reset)


def _close(end: socket.socket, *, reset: bool) -> None:
    """Close a socket; without `shutdown` the thread that waits for it would keep it open."""
    with contextlib.suppress(OSError):
        if reset:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
    end.close()


class DurableCluster(postgres.Cluster):
    """A PostgreSQL server that writes to disk what it has committed, and can be crashed and started again."""

    def create_database(self, name: str, *, template: str = "template1") -> Database:
        """Create a database; the sequences of a copy would forget in a crash what they have given out since."""
        database = super().create_database(name, template=template)
        database.execute("SELECT setval(seqrelid::regclass, pg_sequence_last_value(seqrelid)) FROM pg_sequence")
        return database

    def crash(self) -> None:
        """Shut the server down at once, as it does when told to: no checkpoint, no farewell; then start it again."""
        assert self._server is not None
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait()
        self._start()

    def wait_until_it_answers(self) -> None:
        """Wait until the server has picked itself up, after one of its processes was killed."""
        import psycopg

        deadline = time.monotonic() + postgres.START_SECONDS
        while True:
            try:
                self.database("postgres").execute("SELECT 1")
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _start(self) -> None:
        with mock.patch.object(postgres, "SPEED_OVER_SAFETY", ["autovacuum=off"]):
            super()._start()


# What follows is the process that forks.


class _Statements:
    """Everything that a command says to its database, counted, with the fault at its place."""

    def __init__(self, fault: Fault | None, pause: Callable[[], None]) -> None:
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
            self.pause()
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


def _serve(script: str) -> None:
    """Answer requests until there are no more, each in a fork."""
    requests, answers = io.FileIO(os.dup(0), "r"), io.FileIO(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _load_everything()
    gc.collect()
    gc.freeze()
    while line := requests.readline():
        request = json.loads(line)
        with contextlib.ExitStack() as stack:
            out, err, trace = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            child = os.fork()
            if child == 0:
                _child(script, request, (out, err, trace), requests, answers)
            _, status = os.waitpid(child, 0)
            texts = [_all_of(file) for file in (out, err, trace)]
        answer = {
            "code": os.waitstatus_to_exitcode(status),
            "stdout": texts[0],
            "stderr": texts[1],
            "statements": json.loads(texts[2] or "[]"),
        }
        answers.write(json.dumps(answer).encode() + b"\n")


def _load_everything() -> None:
    """Import all that a command imports, so that its fork need not."""
    import django
    from django.core.management import get_commands, load_command_class
    from django.db.migrations.loader import MigrationLoader

    django.setup()
    for name in ("migrate", "rollback_migrations", "rollback"):
        load_command_class(get_commands()[name], name)
    for module in ("postgresql.base", "sqlite3.base"):
        importlib.import_module(f"django.db.backends.{module}")
    importlib.import_module("django_rollback._native")
    MigrationLoader(None, ignore_no_migrations=True)


def _child(script: str, request: dict[str, Any], files: tuple[Any, ...], requests: BinaryIO, answers: BinaryIO) -> None:
    """Carry a request out and end the process."""
    out, err, trace = files
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    code = 1
    try:
        signal.alarm(request["limit"])
        # A shell may have started all this in the background, where Ctrl-C is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        fault = request["fault"] and Fault(**request["fault"])

        def pause() -> None:
            answers.write(b'{"paused": true}\n')
            requests.readline()

        statements = _Statements(fault, pause)
        _connect_to(request["database"], statements)
        code = _command([script, *request["args"]], request["rename_as_of_old"])
        trace.write(json.dumps(statements.said).encode())
        trace.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _connect_to(settings: dict[str, Any], statements: _Statements) -> None:
    from django.db import connections

    if settings["ENGINE"].endswith("sqlite3"):
        settings["OPTIONS"]["factory"] = statements.watch_sqlite()
    else:
        statements.watch_postgresql()
    for connection in connections.all(initialized_only=True):
        assert connection.connection is None, "a connection was open when the command was forked"
        del connections[connection.alias]
    connections.settings = connections.configure_settings({"default": settings})


def _command(arguments: list[str], rename_as_of_old: bool) -> int:
    from django.core.management import execute_from_command_line
    from django.db import connection

    sys.argv = arguments
    with contextlib.ExitStack() as stack:
        if rename_as_of_old and connection.vendor == "sqlite":
            stack.enter_context(connection.execute_wrapper(_rename_as_of_old))
        try:
            execute_from_command_line(arguments)
        except SystemExit as exit:
            return exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    return 0


def _rename_as_of_old(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
    if not str(sql).startswith('ALTER TABLE "new__'):
        return execute(sql, params, many, context)
    execute("PRAGMA legacy_alter_table = ON", None, False, context)
    try:
        return execute(sql, params, many, context)
    finally:
        execute("PRAGMA legacy_alter_table = OFF", None, False, context)


def _all_of(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


if __name__ == "__main__":
    _serve(sys.argv[1])
