"""Commands that are watched, told to stop or killed while they run, on releases that were deployed once and are copied.

What a test does to the database, it does to a copy; what is right is what a database freshly built at the target holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import CopyDatabase
from harness import oracle
from harness.database import Database
from harness.project import Project
from scenarios import BASE_APPS, Migrations, Trip, call, recorded, same
from two_releases import everything_in

# Longer than anything takes that is not meant to wait; a statement that is to be interrupted takes longer still.
PATIENCE = 60
HISTORY = "django_rollback_operation"
# What code of the project does on its way, as the environment says: `TROUBLE=0002:fail`.
TROUBLE = {
    "shop/trouble.py": """
        import os
        import signal
        import time
        from pathlib import Path

        # A statement that takes minutes, but for a signal.
        SLOWLY = {
            "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) "
            "SELECT count(*) FROM n",
            "postgresql": "SELECT pg_sleep(300)",
        }

        def mark(name):
            Path(os.environ["MARKS"], name).touch()

        def at(step, editor):
            where, _, how = os.environ.get("TROUBLE", "").partition(":")
            if where == step:
                globals()[how](editor)

        def fail(editor):
            raise ValueError("no luck today")

        def kill(editor):
            os.kill(os.getpid(), signal.SIGKILL)

        def statement(editor):
            mark("begun")
            editor.execute(SLOWLY[editor.connection.vendor])

        def sleep(editor):
            mark("begun")
            time.sleep(300)

        def stubborn(editor):
            mark("begun")
            try:
                time.sleep(300)
            except BaseException:
                mark("told")
                time.sleep(300)

        def wait(editor):
            mark("begun")
            while not Path(os.environ["MARKS"], "go on").exists():
                time.sleep(0.01)

        def damage(editor):
            editor.execute("CREATE INDEX left_behind ON shop_item (name)")
    """
}


def troubled(step: str) -> str:
    """The operation that does nothing, unless there is trouble at this step when it is undone."""
    return f"migrations.RunPython(migrations.RunPython.noop, lambda apps, editor: at({step!r}, editor))"


AT = "from shop.trouble import at\n"


@dataclass(frozen=True)
class Built:
    """What a database holds that was freshly built at a release."""

    schema: str
    migrations: oracle.Rows


class Shop:
    """Releases that were deployed one after another, and the databases that are copied for each test."""

    def __init__(
        self,
        folder: Path,
        copy_database: CopyDatabase,
        releases: Mapping[str, Migrations],
        *,
        rows: Mapping[str, Iterable[str]] | None = None,
        base: Iterable[str] = BASE_APPS,
    ) -> None:
        self._copy_database = copy_database
        self.newest = list(releases)[-1]
        self.trip = Trip(Project(folder / "project", database=copy_database()), copy_database, base)
        self.commits = {
            tag: self.trip.deploy(tag, migrations, rows=(rows or {}).get(tag, ()), files=TROUBLE)
            for tag, migrations in releases.items()
        }
        self._template = self.trip.database
        self._built: dict[str, Built] = {}

    def anew(self) -> Trip:
        """The project with the code of the newest release, on a copy of the database at it."""
        self.trip.project.git("checkout", "--quiet", "--force", self.newest)
        self.trip.database = self._copy_database(self._template)
        self.trip.project.use(self.trip.database)
        return self.trip

    def built(self, tag: str) -> Built:
        """What a database freshly built at this release holds."""
        if tag not in self._built:
            project = self.trip.project
            fresh = project.clone_at(tag, self._copy_database(), project.root.with_name(f"{tag}-fresh"))
            call(fresh, ("migrate", "-v", "0"))
            self._built[tag] = Built(oracle.schema(fresh.database), recorded(fresh.database))
            project.git("worktree", "remove", "--force", str(fresh.root))
        return self._built[tag]

    def assert_built(self, tag: str) -> None:
        """The database of now holds what one freshly built at this release holds."""
        expected = self.built(tag)
        same(oracle.schema(self.trip.database), expected.schema)
        same(recorded(self.trip.database), expected.migrations)


def untouched(database: Database) -> dict[str, list[str]]:
    """Everything but history, and SQLite's counters."""
    found = everything_in(database)
    return {name: rows for name, rows in found.items() if name not in (HISTORY, "sqlite_sequence")}


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or the signal that killed it as a negative number, and what it had said."""

    code: int
    out: str
    err: str


class Command:
    """A command of the project that runs while the test goes on; a context manager that leaves no process behind.

    With `columns` it sees a terminal of that width, and what it writes to it comes as stdout.
    """

    def __init__(
        self, project: Project, *words: str, door: str = "manage", columns: int | None = None, **variables: str
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="command-")
        self._files = [Path(self._folder.name, name) for name in ("stdout", "stderr")]
        stdin = os.open(os.devnull, os.O_RDONLY)
        stdout, stderr = (os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for file in self._files)
        self._reader: threading.Thread | None = None
        ends = [stdin, stdout, stderr]
        if columns is not None:
            self._main, terminal = pty.openpty()
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            ends = [terminal] * 3
        self.process = subprocess.Popen(
            [*program(project, door), *words],
            env={
                **project.environment(),
                "MARKS": self._folder.name,
                "TERM": "xterm-256color",
                **variables_of(project, door),
                **variables,
            },
            cwd=project.root,
            stdin=ends[0],
            stdout=ends[1],
            stderr=ends[2],
        )
        if columns is not None:
            os.close(terminal)
            self._reader = threading.Thread(target=self._read)
            self._reader.start()
        for each in (stdin, stdout, stderr):
            os.close(each)

    def _read(self) -> None:
        """Keeps what is written to the terminal, until the last who could write has gone."""
        with self._files[0].open("ab") as file, contextlib.suppress(OSError):
            while chunk := os.read(self._main, 1 << 16):
                file.write(chunk)
                file.flush()
        os.close(self._main)

    def type(self, text: str) -> None:
        """Type on the terminal."""
        os.write(self._main, text.encode())

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._reader is not None:
            self._reader.join()
        self._folder.cleanup()

    def wait_for_mark(self, name: str = "begun") -> None:
        """Wait until code of the project has come to a place."""
        self.wait_until(lambda: Path(self._folder.name, name).exists(), f"the mark {name!r}")

    def mark(self, name: str) -> None:
        """Tell code of the project something."""
        Path(self._folder.name, name).touch()

    def wait_for_output(self, text: str) -> None:
        """Wait until it has said this."""
        self.wait_until(lambda: text in "".join(self.said()), repr(text))

    def wait_until(self, is_so: Callable[[], Any], what: str) -> None:
        """Wait until something is so, while it runs."""
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert self.process.poll() is None, f"it ended before {what}: {self.process.returncode} {self.said()}"
            assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}: {self.said()}"
            time.sleep(0.01)

    def stop(self, number: signal.Signals, *, within: float) -> Ended:
        """Send it a signal; it has to end within so many seconds."""
        self.process.send_signal(number)
        return self.wait(within)

    def wait(self, within: float = PATIENCE) -> Ended:
        """Wait until it has ended."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended within {within} s: {self.said()}") from None
        if self._reader is not None:
            self._reader.join()
        return Ended(code, *self.said())

    def said(self) -> list[str]:
        """What it has written until now, to stdout and to stderr."""
        return [file.read_bytes().decode(errors="replace") for file in self._files]


def program(project: Project, door: str) -> list[str]:
    """The words that begin a command line: the project's `manage.py`, or the binary."""
    return [str(project.binary())] if door == "native" else [project.python, str(project.root / "manage.py")]


def variables_of(project: Project, door: str) -> dict[str, str]:
    """What the door needs in its environment."""
    native = {"DATABASE_URL": project.database.url, "DJANGO_ROLLBACK_PYTHON": project.python}
    return native if door == "native" else {}


@contextmanager
def held(database: Database, table: str) -> Iterator[Any]:
    """Another session that reads the table, or on SQLite writes, and does not end; the block may end it before."""
    begin = (
        ["BEGIN IMMEDIATE"] if database.vendor == "sqlite" else ["BEGIN", f"LOCK TABLE {table} IN ACCESS SHARE MODE"]
    )
    with database.connect() as session:
        for statement in begin:
            session.execute(statement)
        yield session


def screen(written: str, width: int) -> list[str]:
    """The lines that stand on a terminal at the end: as far as the escapes go that programs here write."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[\d;?]*[A-Za-z]|\x1b.|[\r\n]|[^\x1b\r\n]", written):
        if token == "\n":
            row += 1
        elif token == "\r":
            column = 0
        elif token.startswith("\x1b["):
            kind, number = token[-1], int(re.sub(r"\D", "", token) or 0)
            if kind == "A":
                row = max(0, row - (number or 1))
            elif kind == "B":
                row += number or 1
            elif kind in "CG":
                column = number - 1 if kind == "G" else column + (number or 1)
            elif kind == "D":
                column = max(0, column - (number or 1))
            elif kind == "K":
                end = {0: lines[row][:column], 1: " " * column + lines[row][column:], 2: ""}
                lines[row] = end[number]
            elif kind == "J":
                assert number == 0, f"an escape that nobody here writes: {token!r}"
                lines[row] = lines[row][:column]
                del lines[row + 1 :]
            else:
                assert kind in "mhl", f"an escape that nobody here writes: {token!r}"
        else:
            assert not token.startswith("\x1b"), f"an escape that nobody here writes: {token!r}"
            if column == width:
                row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + 1 :]
            column += 1
        lines += [""] * (row + 1 - len(lines))
    return [line.rstrip() for line in lines]
