"""Upgrades of published packages, with the old code, the new code and the database each where a deploy has them.

The new release's code takes the database back; what is right is the database as the old code had left it, and the
old code's own opinion of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.postgres import Cluster
from harness.project import DJANGOS_WAY, Project
from packages import sites
from packages.journeys import Databases, Key, Snapshot, blocked, commit_of
from packages.known import forgiven, go_back
from packages.sites import Site
from scenarios import same
from two_releases import everything_in

OLD, NEW = commit_of(1), commit_of(2)
MIGRATE = ("migrate", "-v", "0", "--skip-checks")


class Upgrade(NamedTuple):
    """From which site to which."""

    old: Site
    new: Site


UPGRADES = {
    "wagtail": Upgrade(sites.WAGTAIL_OLD, sites.WAGTAIL_NEW),
    "oscar": Upgrade(sites.OSCAR_OLD, sites.OSCAR_NEW),
    "addons": Upgrade(sites.ADDONS_OLD, sites.ADDONS_NEW),
}
CMS = Upgrade(sites.CMS_OLD, sites.CMS_NEW)


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Databases:
    """Databases of each kind in turn."""
    cluster: Callable[[], Cluster] = lambda: request.getfixturevalue("postgres")  # noqa: E731
    return Databases(request.param, tmp_path, cluster)


class Deploys:
    """A database that the old code has migrated and saved, and then the new code."""

    def __init__(self, upgrade: Upgrade, databases: Databases, folder: Path, ways: Iterable[str] = DJANGOS_WAY) -> None:
        self.database = databases.create()
        self.old: Project = upgrade.old.create(folder / "old", self.database, ways)
        self._deploy(self.old, OLD)
        self.fresh = Snapshot.of(self.database)
        self.new: Project = upgrade.new.create(folder / "new", self.database, ways)
        self._deploy(self.new, NEW)

    def plan(self) -> dict[str, Any]:
        """The preview of the way back."""
        command = ("rollback_migrations", "-c", OLD, "--fake", "--format", "json")
        return json.loads(self.new.manage(*command, check=False).stdout)

    @staticmethod
    def _deploy(project: Project, commit: str) -> None:
        project.manage(*MIGRATE)
        project.manage("save_migrations_state", "--commit", commit)


@pytest.mark.parametrize("name", UPGRADES)
def test_an_upgrade_is_taken_back(name: str, databases: Databases, tmp_path: Path) -> None:
    """The database is as the old code had left it, its code has nothing to migrate, and the way up is open again."""
    deploys = Deploys(UPGRADES[name], databases, tmp_path)
    top, fresh = Snapshot.of(deploys.database), deploys.fresh
    copy = databases.copy(deploys.database)
    steps = steps_of(deploys.plan())
    assert steps
    exact = go_back(deploys.new, OLD)
    found = Snapshot.of(deploys.database)
    assert exact or found.schema != fresh.schema
    same(forgiven(found.schema), forgiven(fresh.schema))
    same(folded(deploys.new, found), folded(deploys.new, fresh))
    assert found.content_types >= fresh.content_types
    deploys.old.manage("migrate", "--check", "--skip-checks")

    if (found.schema, found.rows) != (fresh.schema, fresh.rows):
        deploys.new.use(copy)
        deploys.new.run_python(f"import explicit_migrate; explicit_migrate.backwards({steps!r})")
        by_django = Snapshot.of(copy)
        same(found.schema, by_django.schema)
        same(found.rows, by_django.rows)

    deploys.new.use(deploys.database)
    deploys.new.manage(*MIGRATE)
    same(forgiven(Snapshot.of(deploys.database).schema), forgiven(top.schema))


@pytest.mark.parametrize("way", ["usual", "capsule"])
@pytest.mark.parametrize("name", UPGRADES)
def test_an_upgrade_is_taken_back_from_the_old_environment(
    name: str, way: str, databases: Databases, tmp_path: Path
) -> None:
    """Its code lacks the newer migrations. What they need and it has not is named, and then nothing is touched."""
    deploys = Deploys(UPGRADES[name], databases, tmp_path, ways=() if way == "usual" else (way,))
    untouched = everything_in(deploys.database)
    command = ("rollback_migrations", "-c", OLD)
    plan = json.loads(deploys.old.manage(*command, "--fake", "--format", "json", check=False).stdout)
    ways = Counter(step["way"] for step in plan["steps"])
    print(f"{name}, {way}: {dict(ways)}, {len(plan['blockers'])} blockers")
    if plan["blockers"]:
        assert {each["kind"] for each in plan["blockers"]} <= {"missing-file", "not-that-way"}
        assert all(NEW[:7] in each["hint"] for each in plan["blockers"]), plan["blockers"]
        assert deploys.old.manage(*command, check=False).returncode == 1
        same(everything_in(deploys.database), untouched)
        go_back(deploys.new, OLD)
    else:
        go_back(deploys.old, OLD)
    found = Snapshot.of(deploys.database)
    same(forgiven(found.schema), forgiven(deploys.fresh.schema))
    same(folded(deploys.new, found), folded(deploys.new, deploys.fresh))
    deploys.old.manage("migrate", "--check", "--skip-checks")


def test_an_upgrade_that_cannot_be_taken_back_is_refused(databases: Databases, tmp_path: Path) -> None:
    """Every irreversible migration on the way is named, by the preview and by the rollback, and nothing is touched."""
    deploys = Deploys(CMS, databases, tmp_path)
    untouched = everything_in(deploys.database)
    plan = deploys.plan()
    irreversible = json.loads(printed_by(deploys.new, f"irreversible({steps_of(plan)!r})"))
    result = deploys.new.manage("rollback_migrations", "-c", OLD, check=False)
    assert result.returncode == 1
    same(len(irreversible), 5)
    same(blocked(plan), {".".join(key) for key in irreversible})
    for name in blocked(plan):
        assert name in result.stdout
    same(everything_in(deploys.database), untouched)


def steps_of(plan: dict[str, Any]) -> list[Key]:
    """The migrations that a plan undoes; rows that it only takes out of the books are not among them."""
    return [(step["app"], step["migration"]) for step in plan["steps"] if step["way"] == "disk"]


def folded(project: Project, snapshot: Snapshot) -> set[Key]:
    """The applied migrations, with each squash as what it replaces."""
    replaced = {tuple(squash): parts for squash, parts in json.loads(printed_by(project, "replaced()"))}
    waiting = [(row["app"], row["name"]) for row in snapshot.migrations]
    found: set[Key] = set()
    while waiting:
        key = waiting.pop()
        if key in replaced:
            waiting.extend(map(tuple, replaced[key]))
        else:
            found.add(key)
    return found


def printed_by(project: Project, call: str) -> str:
    """What a function of `explicit_migrate` returns, as JSON."""
    code = f"import explicit_migrate, json; print(json.dumps(explicit_migrate.{call}))"
    return project.run_python(code).splitlines()[-1]
