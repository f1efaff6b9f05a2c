"""Runs commands of a project whose Django is set up already: forks, each on a database of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.project import Project
from harness.warm import Process, Warm

TESTS = Path(__file__).resolve().parents[1]
LOAD = f"import sys; sys.path.append({str(TESTS)!r})\nfrom harness import inside\ninside.load()\n"


class Loaded:
    """The process that has Django set up, in the work tree of `project` as it is now."""

    def __init__(self, project: Project, **variables: str) -> None:
        self._project = project
        self._environment = project.environment() | variables
        self._warm = Warm(project.python, self._environment, folder=project.root, load=LOAD)

    def start(
        self,
        *words: str,
        stdin: int,
        stdout: int,
        stderr: int,
        first: list[tuple[str, dict[str, Any]]],
        program: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Begin `manage.py WORDS`, or `program WORDS`; before it come these functions of `harness.inside`."""
        calls = "".join(f"inside.{name}(**{arguments!r})\n" for name, arguments in first)
        become = ["-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])", str(program)]
        command = become if program else [str(self._project.root / "manage.py")]
        return self._warm.start(
            [self._project.python, *command, *words],
            env=self._environment | dict(environment or {}),
            cwd=self._project.root,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            first=f"from harness import inside\n{calls}",
        )

    def close(self) -> None:
        """End the process."""
        self._warm.close()
