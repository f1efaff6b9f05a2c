"""A database that is migrated from stop to stop, with a release saved and a copy kept at each of them.

A stop is a number of migrations in an order in which they can be applied; what the database is there, freshly built,
is what a rollback to it has to bring back.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from harness import oracle
from harness.database import Database
from harness.postgres import Cluster
from harness.project import Project
from packages.sites import Site

Key = tuple[str, str]
BASE_APPS = {"django_rollback", "contenttypes", "auth"}
numbers = count(1)


@dataclass(frozen=True)
class Entry:
    """A migration in the order of a journey."""

    key: Key
    parents: tuple[Key, ...]
    base: bool
    irreversible: bool


@dataclass(frozen=True)
class Snapshot:
    """All that is compared of a database."""

    schema: str
    migrations: list[dict[str, Any]]
    content_types: set[tuple[str, str]]
    rows: oracle.Rows

    @classmethod
    def of(cls, database: Database) -> Snapshot:
        rows = oracle.rows(database)
        applied = rows.pop("django_migrations")
        return cls(oracle.schema(database), applied, oracle.content_types(database), rows)


class Databases:
    """Databases of one kind: empty ones, and copies."""

    def __init__(self, vendor: str, folder: Path, cluster: Callable[[], Cluster]) -> None:
        self.vendor = vendor
        self._folder = folder
        self._cluster = cluster

    def create(self) -> Database:
        """An empty database."""
        if self.vendor == "postgresql":
            return self._cluster().create_database(f"packages_{next(numbers)}")
        path = self._folder / f"{next(numbers)}.sqlite3"
        path.touch()
        return Database.sqlite(path)

    def copy(self, database: Database) -> Database:
        """A copy of `database`, to which nobody may be connected."""
        if self.vendor == "postgresql":
            return self._cluster().create_database(f"packages_{next(numbers)}", template=database.name)
        return Database.sqlite(Path(shutil.copyfile(database.name, self._folder / f"{next(numbers)}.sqlite3")))


class Journey:
    """A site on its way through all of its migrations."""

    def __init__(self, site: Site, databases: Databases, folder: Path, seed: int | None) -> None:
        """`seed` chooses another order than Django's own."""
        self.databases = databases
        self.database = databases.create()
        self.project: Project = site.create(folder / "project", self.database)
        self.order = _entries(self.project)
        if seed is not None:
            self.order = _shuffled(self.order, random.Random(seed))
        self.at: int = 0
        self.copies: dict[int, Database] = {}
        self.snapshots: dict[int, Snapshot] = {}

    @property
    def end(self) -> int:
        """The stop at which everything is applied."""
        return len(self.order)

    def target(self, share: float) -> int:
        """A stop with this share of the migrations applied beyond the base, and right after what cannot be undone."""
        base = sum(entry.base for entry in self.order)
        stop = base + int((self.end - base) * share)
        while self.order[stop].irreversible:
            stop += 1
        return stop

    def farthest_start(self, target: int) -> int:
        """The last stop from which every migration down to `target` can be undone."""
        return next((stop for stop in range(target, self.end) if self.order[stop].irreversible), self.end)

    def keys(self, start: int, end: int) -> list[Key]:
        """The migrations between two stops."""
        return [entry.key for entry in self.order[start:end]]

    def go_on_to(self, stop: int) -> None:
        """Migrate to this stop, save a release there, and keep a copy."""
        assert stop > self.at
        self.project.use(self.database)
        self.call("forwards", self.keys(self.at, stop))
        self.at = stop
        self.project.manage("save_migrations_state", "--commit", commit_of(stop))
        self.copies[stop] = self.databases.copy(self.database)
        self.snapshots[stop] = Snapshot.of(self.database)

    def use_copy(self, stop: int) -> None:
        """Point the project at a fresh copy of the database as it was at this stop."""
        self.project.use(self.databases.copy(self.copies[stop]))

    def call(self, function: str, keys: list[Key]) -> None:
        """Run a function of `explicit_migrate` on the database that the project uses now."""
        self.project.run_python(f"import explicit_migrate; explicit_migrate.{function}({keys!r})")


def commit_of(stop: int) -> str:
    """The commit under which a stop is saved."""
    return f"{stop:08x}".ljust(40, "0")


def blocked(plan: dict[str, Any]) -> set[str]:
    """The migrations, as `app.name`, that the sentences of a plan's blockers begin with."""
    return {blocker["message"].partition(" ")[0] for blocker in plan["blockers"]}


def _entries(project: Project) -> list[Entry]:
    printed = project.run_python(f"""
        import explicit_migrate, json
        print(json.dumps(explicit_migrate.ordered({BASE_APPS!r})))
    """)
    return [
        Entry(tuple(found["key"]), tuple(map(tuple, found["parents"])), found["base"], found["irreversible"])
        for found in json.loads(printed.splitlines()[-1])
    ]


def _shuffled(order: list[Entry], chance: random.Random) -> list[Entry]:
    """Another order, in which parents still come before their children and the base before all others."""
    taken = [entry for entry in order if entry.base]
    waiting = [entry for entry in order if not entry.base]
    known = {entry.key for entry in taken}
    while waiting:
        ready = [entry for entry in waiting if known.issuperset(entry.parents)]
        chosen = chance.choice(ready)
        waiting.remove(chosen)
        taken.append(chosen)
        known.add(chosen.key)
    return taken
