"""Many commands of `manage.py` at the same moment: children of one process in which Django is set up already.

Starting Django takes longer than a small rollback: of commands that are started one by one, the first may have ended
before the last has begun. Here each child is forked, waits until all of its round are there, and then goes. The
connections are opened in the children. The second half of this file runs inside the project.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.database import Database
    from harness.project import Project

# Longer than any command waits for a lock of its own accord.
PATIENCE = 120


@dataclass(frozen=True)
class Job:
    """One command: the words after `manage.py`, or after `program`; begun `delay` seconds after its round."""

    words: tuple[str, ...]
    delay: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    program: str | None = None


@dataclass(frozen=True)
class Ended:
    """What became of a job. The moments are those of `time.monotonic()`, which all processes share."""

    code: int
    out: str
    err: str
    began: float
    ended: float


class Worker:
    """A job on its way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def poll(self) -> Ended | None:
        """How it ended, or nothing while it has not."""
        result = self._folder / "result"
        if not result.exists():
            return None
        return Ended(**json.loads(result.read_text()), out=self.read("out"), err=self.read("err"))

    def wait(self, patience: float = PATIENCE) -> Ended:
        """Wait until it has ended."""
        printed = f"the end of a command; it printed:\n{self.read('out')}{self.read('err')}"
        return wait_for(self.poll, printed, patience)

    def read(self, stream: str) -> str:
        """What it has printed until now: to `out` or to `err`."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / stream).read_text()
        return ""

    def kill(self) -> None:
        """Kill it without a word of warning, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(wait_for(lambda: self.read("pid"), "the start of a command")), signal.SIGKILL)


class Crew:
    """The process with Django set up, in the work tree of `project` as it is now; a context manager."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._folder = tempfile.TemporaryDirectory(prefix="crew-")
        self._numbers = count(1)
        self._workers: list[Worker] = []
        self._process = subprocess.Popen(
            [project.python, __file__],
            cwd=project.root,
            env=project.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdout is None or self._process.stdout.readline() != "ready\n":
            raise AssertionError("the project does not start: its process says why on stderr")

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, database: Database, *jobs: Job) -> list[Worker]:
        """Begin these jobs, all at the same moment but for their delays, on `database`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        folders = [Path(self._folder.name) / str(next(self._numbers)) for _ in jobs]
        tasks = []
        for folder, job in zip(folders, jobs, strict=True):
            folder.mkdir()
            program = {"DATABASE_URL": database.url} if job.program else {}
            task = {"folder": str(folder), "words": job.words, "delay": job.delay, "program": job.program}
            tasks.append(task | {"environment": {**job.environment, **program}})
        self._process.stdin.write(json.dumps({"database": database.settings, "tasks": tasks}) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "begun\n", "the process of the project is gone"
        workers = [Worker(folder) for folder in folders]
        self._workers += workers
        return workers

    def run(self, database: Database, *jobs: Job) -> list[Ended]:
        """Begin these jobs at the same moment, and wait until all have ended."""
        return [worker.wait() for worker in self.start(database, *jobs)]

    def manage(self, database: Database, *words: str) -> Ended:
        """Run one command of `manage.py`, which has to succeed."""
        [ended] = self.run(database, Job(words))
        assert ended.code == 0, f"exit code {ended.code}: manage.py {' '.join(words)}\n{ended.out}{ended.err}"
        return ended

    def stop(self) -> None:
        """End the process; what is still on its way is killed."""
        for worker in self._workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        self._process.communicate()
        self._folder.cleanup()


def wait_for(look: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Look again and again until there is something to see, and return it."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.002)
    raise AssertionError(f"waited {patience} s for {what}")


# From here on: inside the project, where nothing of the tests can be imported.


def main() -> None:
    """Read one round a line, and begin it."""
    sys.path[0] = os.getcwd()
    sys.argv = [os.path.join(os.getcwd(), "manage.py")]
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    _import_what_all_need()
    # Whoever ends is forgotten: the result is in a file.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        _begin(json.loads(line))
        print("begun", flush=True)


def _import_what_all_need() -> None:
    import django
    from django.core.management import get_commands, load_command_class
    from django.db.migrations.loader import MigrationLoader

    django.setup()
    commands = get_commands()
    for name in ("migrate", "rollback", "rollback_migrations", "save_migrations_state"):
        load_command_class(commands[name], name)
    import django_rollback._native  # noqa: F401

    MigrationLoader(None, ignore_no_migrations=True)


def _begin(job: Any) -> None:
    """Fork a child for each task; the closing of a pipe that all of them read is the shot that starts them."""
    shot, trigger = os.pipe()
    there, here = os.pipe()
    for task in job["tasks"]:
        if os.fork() == 0:
            try:
                for descriptor in (trigger, there):
                    os.close(descriptor)
                _supervise(task, job["database"], shot, here)
            finally:
                # Neither the one who watches nor the one who works may ever come back from here.
                os._exit(1)
    for descriptor in (shot, here):
        os.close(descriptor)
    for _ in job["tasks"]:
        os.read(there, 1)
    for descriptor in (there, trigger):
        os.close(descriptor)


def _supervise(task: Any, database: Any, shot: int, here: int) -> None:
    """Writes down how the task ended, also when it was killed."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    folder = Path(task["folder"])
    pid = os.fork()
    if pid == 0:
        _carry_out(task, database, shot, here, folder)
    os.close(here)
    for descriptor in (0, 1):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    _write(folder / "pid", str(pid))
    os.read(shot, 1)
    began = time.monotonic() + task["delay"]
    _, status = os.waitpid(pid, 0)
    result = {"code": os.waitstatus_to_exitcode(status), "began": began, "ended": time.monotonic()}
    _write(folder / "result", json.dumps(result))


def _carry_out(task: Any, database: Any, shot: int, here: int, folder: Path) -> None:
    for descriptor, source in ((0, os.devnull), (1, folder / "out"), (2, folder / "err")):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(source, flags), descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[attr-defined]
    os.environ.update(task["environment"])
    _use(database)
    os.write(here, b".")
    os.close(here)
    os.read(shot, 1)
    time.sleep(task["delay"])
    if task["program"]:
        os.execv(task["program"], [task["program"], *task["words"]])
    code = _execute(task["words"])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _execute(words: list[str]) -> int:
    """Run the command, and return what the interpreter would make of its end."""
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(["manage.py", *words])
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def _use(database: Any) -> None:
    """Point the default connection at another database: nobody has opened it yet."""
    from django.db import connections

    with contextlib.suppress(AttributeError):
        del connections["default"]
    connections.settings["default"].update(database)


def _write(path: Path, text: str) -> None:
    """All of it or nothing is there for who looks."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text)
    unfinished.rename(path)


if __name__ == "__main__":
    main()
