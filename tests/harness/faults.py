"""Faults on purpose: a process that dies at a chosen statement, a connection that breaks, a server that goes down.

`ReadyManage` runs commands of a loaded project, so that a fault costs no start of Python. `Proxy` stands between a
client and PostgreSQL and cuts what goes through it. `DurableCluster` is a server that survives its own crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from harness import postgres
from harness.database import Database
from harness.inside import DURING, Fault
from harness.loaded import Loaded
from harness.project import Project
from harness.warm import Process

SECONDS_FOR_A_COMMAND = 60
AtPause = Callable[[Callable[[], None]], None]


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
    """The `manage.py` of a loaded project, with faults on the way of its commands; a context manager."""

    def __init__(self, project: Project) -> None:
        # The order in which Django walks through sets is that of the first run in all others, too.
        self._loaded = Loaded(project, PYTHONHASHSEED="0")

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
        with tempfile.TemporaryDirectory(prefix="fault-") as name:
            folder = Path(name)
            watched = {
                "database": {**database.settings, "OPTIONS": dict(options or {})},
                "trace": str(folder / "trace"),
                "fault": fault and asdict(fault),
                "pause": str(folder / "pause"),
                "rename_as_of_old": rename_as_of_old,
                "limit": limit,
            }
            with socket.socket(socket.AF_UNIX) as paused:
                paused.bind(str(folder / "pause"))
                paused.listen()
                process = self._start(args, folder, [("watch", watched)])
                if at_pause is not None:
                    _wait_for_a_pause(process, paused, at_pause)
                code = process.wait()
            said = [(folder / stream).read_text(errors="replace") for stream in ("out", "err")]
            trace = folder / "trace"
            outcome = Outcome(code, *said, tuple(json.loads(trace.read_text())) if trace.exists() else ())
        if code == -signal.SIGALRM and (fault is None or fault.when != DURING):
            raise CommandTookTooLong(f"`{' '.join(args)}` took more than {limit} s ({fault})\n{outcome}")
        return outcome

    def stop(self) -> None:
        """End the process."""
        self._loaded.close()

    def _start(self, words: tuple[str, ...], folder: Path, first: list[tuple[str, dict[str, Any]]]) -> Process:
        with open(os.devnull) as nothing, open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
            files = {"stdin": nothing.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
            return self._loaded.start(*words, **files, first=first)


def _wait_for_a_pause(process: Process, paused: socket.socket, at_pause: AtPause) -> None:
    """Call `at_pause` when the command pauses, unless it ends before."""
    while process.poll() is None:
        if not select.select([paused], [], [], 0.01)[0]:
            continue
        with paused.accept()[0] as connection:
            at_pause(partial(connection.sendall, b"."))
        return


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
