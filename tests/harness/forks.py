"""One Django process that runs each command in a fork of its own: what takes most of the time, the start, is shared.

A fork can be told to be killed before or after any statement or commit, or to have one fail; and several can be
started at once.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any, NoReturn


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
    """The Django process of a project, seen from outside."""

    def __init__(self, python: str, root: Path, environment: Mapping[str, str]) -> None:
        command = [python, str(Path(__file__).resolve())]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, cwd=root, env=dict(environment), **pipes)

    def start(self, *jobs: Job) -> None:
        """Start all these at once."""
        print(json.dumps([asdict(job) for job in jobs]), file=self._process.stdin, flush=True)

    def finish(self) -> list[Ended]:
        """Wait until all that were started have ended."""
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process of Django has ended with {self._process.wait()}")
        return [Ended(**each) for each in json.loads(answer)]

    def run(self, *jobs: Job) -> list[Ended]:
        """Start these at once, and wait for all of them."""
        self.start(*jobs)
        return self.finish()

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)


# From here on: inside the process.


def serve() -> None:
    """Set up Django, import all that a command needs, and fork for each job that is read; never connect."""
    sys.path[0] = os.getcwd()
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    import django

    django.setup()
    _import_ahead()
    for line in sys.stdin:
        forks = [_fork(job) for job in json.loads(line)]
        print(json.dumps([_wait(*fork) for fork in forks]), flush=True)


def _import_ahead() -> None:
    import psycopg  # noqa: F401
    from django.core.management import get_commands, load_command_class
    from django.db.migrations.loader import MigrationLoader
    from django.db.utils import load_backend

    for command in ("migrate", "save_migrations_state", "rollback_migrations"):
        load_command_class(get_commands()[command], command)
    for vendor in ("sqlite3", "postgresql"):
        load_backend(f"django.db.backends.{vendor}")
    MigrationLoader(None)
    # What is here already is no garbage, and a collection would touch all of it: each fork would get its own copy.
    gc.collect()
    gc.freeze()


def _fork(job: dict[str, Any]) -> tuple[int, IO[bytes], IO[bytes]]:
    files = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
    child = os.fork()
    if child == 0:
        _run(job, *files)
    return child, *files


def _wait(child: int, out: IO[bytes], err: IO[bytes]) -> dict[str, Any]:
    _, status = os.waitpid(child, 0)
    said = []
    for file in (out, err):
        file.seek(0)
        said.append(file.read().decode())
        file.close()
    return {"code": os.waitstatus_to_exitcode(status), "out": said[0], "err": said[1]}


def _run(job: dict[str, Any], out: IO[bytes], err: IO[bytes]) -> NoReturn:
    """Never returns: the fork ends here, as a process of `manage.py` would."""
    code = 70
    try:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        code = _call(job)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _call(job: dict[str, Any]) -> int:
    from django.core.management import CommandError, call_command
    from django.db import connections

    connections["default"].settings_dict.update(job["database"])
    if job["kill_at"] is not None or job["fail_at"] is not None:
        _inject(job["kill_at"], job["fail_at"])
    try:
        call_command(*job["words"])
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.returncode
    connections.close_all()
    return 0


def _inject(kill_at: int | None, fail_at: int | None) -> None:
    """Lets every statement and every commit of Django pass by two points, and do there what was asked for."""
    from django.db import OperationalError
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

    points, commits = count(), count(-1, -1)
    execute, commit = CursorWrapper._execute, BaseDatabaseWrapper._commit

    def must_fail(*names: int) -> bool:
        """Pass by the next point, which may have another name: is it the one at which something has to fail?"""
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


if __name__ == "__main__":
    serve()
