"""Many commands of a loaded project at the same moment.

Starting Django takes longer than a small rollback: of commands that are started one by one, the first may have ended
before the last has begun. Here each command waits until all of its round are there, and then goes.
"""

from __future__ import annotations

import os
import select
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from harness.database import Database
from harness.loaded import Loaded
from harness.project import Project
from harness.warm import Process

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
    """What became of a job."""

    code: int
    out: str
    err: str


class Worker:
    """A job on its way, and the folder of what it prints."""

    def __init__(self, process: Process, folder: Path) -> None:
        self._process = process
        self._folder = folder

    def poll(self) -> Ended | None:
        """How it ended; None while it runs."""
        code = self._process.poll()
        return None if code is None else Ended(code, self.read("out"), self.read("err"))

    def wait(self, patience: float = PATIENCE) -> Ended:
        """Wait until it has ended."""
        return wait_for(self.poll, "the end of a command", patience, lambda: self.read("out") + self.read("err"))

    def read(self, stream: str) -> str:
        """What it has printed until now: to `out` or to `err`."""
        return (self._folder / stream).read_text()

    def kill(self) -> None:
        """Kill it without a warning, unless it has ended."""
        self._process.kill()


class Crew:
    """The loaded project, in the work tree of `project` as it is now; a context manager."""

    def __init__(self, project: Project) -> None:
        self._loaded = Loaded(project)
        self._folder = tempfile.TemporaryDirectory(prefix="crew-")
        self._numbers = count(1)
        self._workers: list[Worker] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, database: Database, *jobs: Job) -> list[Worker]:
        """Begin these jobs, all at the same moment but for their delays, on `database`."""
        round_ = Path(self._folder.name) / str(next(self._numbers))
        round_.mkdir()
        here, shot = round_ / "here", round_ / "shot"
        for pipe in (here, shot):
            os.mkfifo(pipe)
        # Both are opened for reading and writing, which waits for nobody. The closing of `shot` lets all of them go.
        with open(shot, "r+b", buffering=0), open(here, "r+b", buffering=0) as arrivals:
            workers = [self._begin(database, job, round_ / str(number)) for number, job in enumerate(jobs)]
            for _ in jobs:
                assert select.select([arrivals], [], [], PATIENCE)[0], "a command has not begun"
                arrivals.read(1)
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
        self._loaded.close()
        self._folder.cleanup()

    def _begin(self, database: Database, job: Job, folder: Path) -> Worker:
        folder.mkdir()
        start = {"here": str(folder.parent / "here"), "shot": str(folder.parent / "shot"), "delay": job.delay}
        first = [("use", {"database": database.settings}), ("start_together", start)]
        environment = {**job.environment, **({"DATABASE_URL": database.url} if job.program else {})}
        with open(os.devnull) as nothing, open(folder / "out", "ab") as out, open(folder / "err", "ab") as err:
            files = {"stdin": nothing.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
            process = self._loaded.start(*job.words, **files, first=first, program=job.program, environment=environment)
        return Worker(process, folder)


def wait_for(
    look: Callable[[], Any], what: str, patience: float = PATIENCE, printed: Callable[[], str] = lambda: ""
) -> Any:
    """Look again and again until there is something to see, and return it; `printed` helps if there never is."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.002)
    raise AssertionError(f"waited {patience} s for {what}\n{printed()}")
