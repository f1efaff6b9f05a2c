"""Twenty thousand releases, and as many applied migrations: every command of the binary works, and grows with them.

Nothing is measured against a clock: the processor's time with ten times as much is held against the time with less.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conftest import NewDatabase
from harness import oracle
from harness.database import Database
from harness.project import Project

FEW, MANY = 2_000, 20_000
# Ten times as much takes ten times as long, and a bit for what is left to chance; with squares it would be a hundred.
MOST = 25
# What a run takes at least, in seconds: below it a ratio says nothing.
LEAST = 0.02
MEMORY = 256 * 1024 * 1024
RUNS = 3
MIGRATIONS_OF_AN_APP = 20
SQUASHES = 50
READING = {
    "list": ("list",),
    "list as json": ("list", "--format", "json"),
    "show": ("show",),
    "show the first": ("show", "-c", "{first}"),
    "status": ("status",),
    "history": ("history", "-n", "100"),
    "plan": ("plan",),
    "plan to the first": ("plan", "-c", "{first}", "--format", "json"),
}
Key = tuple[str, str]


@dataclass
class Cost:
    """What a run of the binary took: the processor's time, and the most memory at once."""

    seconds: float
    memory: int
    out: str


@dataclass
class World:
    """A database with so many releases and applied migrations, and what the commands cost on it."""

    size: int
    database: Database
    project: Project
    commits: list[str]
    applied: list[Key]
    costs: dict[str, Cost] = field(default_factory=dict)

    def run(self, *words: str) -> Cost:
        """Run the binary, without any Python in reach."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                [str(self.project.binary()), *words],
                env={"PATH": "/nonexistent", "DATABASE_URL": self.database.url},
                cwd=self.project.root,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            assert process.returncode == 0, err.read()[:2000]
            return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, out.read().decode())

    def measure(self, name: str, *words: str) -> Cost:
        """The cheapest of some runs."""
        runs = [self.run(*(word.format(first=self.commits[0]) for word in words)) for _ in range(RUNS)]
        self.costs[name] = min(runs, key=lambda run: run.seconds)
        return self.costs[name]


def stored(document: Any) -> tuple[str, str]:
    """A document and its hash."""
    body = json.dumps(document, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest(), body


def insert(database: Database, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Many rows at once."""
    marks = ", ".join(["?" if database.vendor == "sqlite" else "%s"] * len(columns.split(", ")))
    with database.connect() as connection:
        connection.execute("BEGIN")
        connection.cursor().executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(rows))
        connection.execute("COMMIT")


def build(size: int, database: Database, folder: Path) -> World:
    """All releases share a set of migrations, but for the newest one: there some of them stand under a squash, too."""
    project = Project(folder / f"project-{size}", database=database, apps=["django_rollback"])
    project.manage("migrate", "-v", "0")
    own = sorted(oracle.migrations(database))
    found = [
        (f"app{number // MIGRATIONS_OF_AN_APP:04}", f"{number % MIGRATIONS_OF_AN_APP:04}") for number in range(size)
    ]
    squashes = [(f"app{number:04}", "0000_squash") for number in range(SQUASHES)]
    before, after = sorted([*own, *found]), sorted([*own, *found, *squashes])
    at = "2026-01-01 00:00:00+00:00"
    insert(database, "django_migrations", "app, name, applied", ((*key, at) for key in [*found, *squashes]))
    sets = [stored({"format": 1, "applied": keys}) for keys in (before, after)]
    sizes = (len(before), len(after))
    rows = [(digest, length, body) for (digest, body), length in zip(sets, sizes, strict=True)]
    insert(database, "django_rollback_appliedset", "hash, size, body", rows)
    facts = {"dependencies": [], "run_before": [], "atomic": True, "irreversible": [], "custom": []}
    capsules = []
    for app, name in squashes:
        replaces = [(app, f"{number:04}") for number in range(MIGRATIONS_OF_AN_APP)]
        digest, body = stored({"format": 2, "id": (app, name), **facts, "replaces": replaces, **NOT_RECORDED})
        capsules.append((app, name, digest, 2, body, at))
    insert(database, "django_rollback_capsule", "app, name, digest, format, body, at", capsules)
    commits = [hashlib.sha1(str(number).encode()).hexdigest() for number in range(size)]
    releases = [
        (commit, "[]", at, json.dumps([f"v{number}"]), sets[number == size - 1][0])
        for number, commit in enumerate(commits)
    ]
    columns = '"commit", migrations, "timestamp", tags, applied_set'
    insert(database, "django_rollback_appsstate", columns, releases)
    lines = [
        ("save", "done", json.dumps({**LINE, "to": commit, "tags": [f"v{number}"]}), at)
        for number, commit in enumerate(commits)
    ]
    insert(database, "django_rollback_operation", "kind, outcome, body, at", lines)
    return World(size, database, project, commits, before)


NOT_RECORDED = {"operations": [], "imports": [], "reverse": {"missing": {"reason": "it was never applied"}}}
LINE = {
    "kind": "save",
    "outcome": "done",
    "from": None,
    "from_set": None,
    "to_set": None,
    "steps": [],
    "steps_done": 0,
    "releases_removed": [],
    "failed_step": None,
    "user": "deploy",
    "host": "web-1",
    "version": "0.5.0",
}


@pytest.fixture
def worlds(new_database: NewDatabase, tmp_path: Path) -> list[World]:
    """A small world and a large one."""
    return [build(size, new_database(), tmp_path) for size in (FEW, MANY)]


def assert_grows_slowly(few: World, many: World) -> None:
    """The large world takes about ten times as long as the small one, and never too much memory."""
    for name, cost in many.costs.items():
        ratio = cost.seconds / max(few.costs[name].seconds, LEAST)
        print(f"{name}: {ratio:.1f} times as long, {cost.memory >> 20} MB")
        assert ratio < MOST, (name, few.costs[name].seconds, cost.seconds)
        assert cost.memory < MEMORY, (name, cost.memory)


@pytest.mark.long
def test_twenty_thousand_releases(worlds: list[World]) -> None:
    """Looking, saving, going back by one release, and going back to the very first one."""
    for world in worlds:
        for name, words in READING.items():
            world.measure(name, *words)
        assert world.costs["list"].out.count("\n") >= world.size
        assert len(json.loads(world.costs["list as json"].out)["releases"]) == world.size
        for name in ("plan", "plan to the first"):
            assert str(SQUASHES) in world.costs[name].out
        ways = {step["way"] for step in json.loads(world.costs["plan to the first"].out)["steps"]}
        assert ways == {"unrecord"}

        world.costs["save"] = world.run("save", "--commit", "f" * 40)
        world.costs["rollback to where it is"] = world.run("rollback", "-t", f"v{world.size - 1}")
        world.costs["rollback by one"] = world.run("rollback", "-t", f"v{world.size - 2}")
        assert sorted(oracle.migrations(world.database)) == world.applied
        world.costs["rollback to the first"] = world.run("rollback", "-c", world.commits[0])
        assert world.database.execute('SELECT "commit" FROM django_rollback_appsstate') == [(world.commits[0],)]
        assert json.loads(world.run("status", "--format", "json").out)["same"]
    assert_grows_slowly(*worlds)
