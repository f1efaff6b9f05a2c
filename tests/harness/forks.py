"""Commands of a loaded project that are killed, or have something fail, at any statement or commit; several at once."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import IO, Any

from harness.loaded import Loaded
from harness.project import PATIENCE, Project
from harness.warm import Process


@dataclass(frozen=True)
class Job:
    """A command of `manage.py` with its arguments, on the database with these settings.

    `kill_at` and `fail_at` count points: two for each statement and each commit, before it and after it. Below zero
    only commits count: -1 is before the first one, -2 after it, -3 before the second one.
    """

    database: dict[str, Any]
    words: list[str]
    kill_at: int | None = None
    fail_at: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a fork ended; a negative code is a signal."""

    code: int
    out: str
    err: str


class Forks:
    """The loaded project, and those of its commands that have not ended."""

    def __init__(self, project: Project) -> None:
        self._loaded = Loaded(project)
        self._running: list[tuple[Process, IO[bytes], IO[bytes]]] = []

    def start(self, *jobs: Job) -> None:
        """Start all these at once."""
        self._running += [self._begin(job) for job in jobs]

    def finish(self) -> list[Ended]:
        """Wait until all that were started have ended."""
        ended = [Ended(process.wait(PATIENCE), _read(out), _read(err)) for process, out, err in self._running]
        self._running = []
        return ended

    def run(self, *jobs: Job) -> list[Ended]:
        """Start these at once, and wait for all of them."""
        self.start(*jobs)
        return self.finish()

    def close(self) -> None:
        """End the process."""
        self._loaded.close()

    def _begin(self, job: Job) -> tuple[Process, IO[bytes], IO[bytes]]:
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        first: list[tuple[str, dict[str, Any]]] = [("use", {"database": job.database})]
        if job.kill_at is not None or job.fail_at is not None:
            first.append(("count_points", {"kill_at": job.kill_at, "fail_at": job.fail_at}))
        with open("/dev/null") as nothing:
            files = {"stdin": nothing.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
            return self._loaded.start(*job.words, **files, first=first), out, err


def _read(file: IO[bytes]) -> str:
    with file:
        file.seek(0)
        return file.read().decode()
