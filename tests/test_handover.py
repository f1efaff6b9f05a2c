"""The native program's rollback: it makes the same plan, and lets the project's own `manage.py` carry it out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import NewDatabase
from harness.database import Database
from harness.project import Project
from scenarios import NAMED, NUMBER, Trip, add, call, create, kinds, migration, same
from two_releases import everything_in

V1 = {"shop.0001_initial": migration(create("Item", **NAMED))}
V2 = {
    "shop.0002_a": migration(add("Item", "a", NUMBER), after=["shop.0001_initial"]),
    "zoo.0001_initial": migration(
        create("Cage", item='models.ForeignKey("shop.Item", models.CASCADE)'), after=["shop.0002_a"]
    ),
}
STEPS = ["zoo.0001_initial", "shop.0002_a"]


@pytest.fixture
def trip(project: Project, new_database: NewDatabase) -> Trip:
    """A trip that has come to v2."""
    trip = Trip(project, new_database)
    trip.deploy("v1", V1, rows=["INSERT INTO shop_item (name) VALUES ('tea')"])
    trip.deploy("v2", V2)
    return trip


def python_of(trip: Trip) -> dict[str, str]:
    """The environment that tells the native program which Python the project has."""
    return {"DJANGO_ROLLBACK_PYTHON": trip.project.front}


def test_the_plan_is_the_same_in_both_doors(trip: Trip) -> None:
    """Without Python the plan rests on what the database remembers; only what would be lost is not known there."""
    native = json.loads(trip.project.native("plan", "-t", "v1", "--format", "json").stdout)
    django = trip.plan("v1")
    same((kinds(native["warnings"]), native["losses"], native["lost_rows"]), (["losses-unknown"], [], 0))
    same((django["warnings"], django["lost_rows"]), ([], 1))
    same({**native, **{key: django[key] for key in ("warnings", "losses", "lost_rows")}}, django)
    asked = trip.project.manage("rollback", "plan", "-t", "v1", "--format", "json")
    same(json.loads(asked.stdout), trip.plan("v1"))


def test_manage_py_carries_it_out(trip: Trip) -> None:
    """The hand-over shows what `manage.py` shows and ends with its exit code; the result is a right rollback."""
    untouched = everything_in(trip.database)
    preview = trip.project.native("rollback", "-t", "v1", "--fake", env=python_of(trip))
    assert f"Unapply {STEPS[0]}\n  Unapply {STEPS[1]}\n" in preview.stdout
    same(everything_in(trip.database), untouched)

    done = trip.project.native("rollback", "-t", "v1", "--accept-data-loss", env=python_of(trip))
    assert "The database is back at" in done.stdout
    trip.assert_at("v1")
    assert [(each["kind"], each["outcome"]) for each in trip.history()[:1]] == [("rollback", "done")]
    trip.up_again("v2")


def apart_from_hand_overs(database: Database) -> dict[str, list[str]]:
    """Everything but the lines of history by which the binary makes sure that both doors see one database."""
    everything = everything_in(database)
    operations = everything["django_rollback_operation"]
    return everything | {"django_rollback_operation": [row for row in operations if "'hand-over'" not in row]}


def test_a_failure_behind_the_hand_over(trip: Trip) -> None:
    """What Django alone can tell, as an irreversible operation in a file edited since, is told through the binary."""
    trip.write({"shop.0002_a": migration('migrations.RunSQL("SELECT 1")', after=["shop.0001_initial"])})
    untouched = apart_from_hand_overs(trip.database)
    result = trip.project.native("rollback", "-t", "v1", env=python_of(trip), check=False)
    assert result.returncode == 1
    assert "Blocker: shop.0002_a cannot be undone: RunSQL (operation 1) is irreversible." in result.stdout
    same(apart_from_hand_overs(trip.database), untouched)


def test_a_project_that_cannot_be_loaded_behind_the_hand_over(trip: Trip) -> None:
    """The reason is the project's own, and no word is said about another database."""
    trip.write({"shop.0002_a": "import a_module_that_is_not_there\n"})
    untouched = apart_from_hand_overs(trip.database)
    result = trip.project.native("rollback", "-t", "v1", env=python_of(trip), check=False)
    assert result.returncode == 1
    assert "cannot load the project's migrations: ModuleNotFoundError" in result.stderr
    assert "another database" not in result.stderr
    same(apart_from_hand_overs(trip.database), untouched)


def test_another_database_behind_manage_py(trip: Trip, new_database: NewDatabase) -> None:
    """`manage.py` sees another database than the URL names, as a staging copy: refused, and neither is touched."""
    staging = new_database()
    shown = {"DATABASE_URL": trip.database.url, **python_of(trip)}
    trip.project.use(staging)
    for tag in ("v1", "v2"):
        trip.project.checkout(tag)
        call(trip.project, ("migrate", "-v", "0"), ("save_migrations_state", "-v", "0"))
    untouched = apart_from_hand_overs(trip.database), everything_in(staging)
    result = trip.project.native("rollback", "-t", "v1", env=shown, check=False)
    same((apart_from_hand_overs(trip.database), everything_in(staging)), untouched)
    assert result.returncode == 1
    assert "manage.py sees another database" in result.stderr


def test_no_manage_py_in_reach(trip: Trip, tmp_path: Path) -> None:
    """Without a project only a release with the same migrations can be gone back to: else it is a blocker."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    untouched = everything_in(trip.database)
    arguments = ["rollback", "-t", "v1", "--format", "json"]
    result = trip.project.native(*arguments, cwd=elsewhere, check=False)
    assert result.returncode == 1
    assert kinds(json.loads(result.stdout)["blockers"]) == ["needs-python"]
    preview = trip.project.native(*arguments, "--fake", cwd=elsewhere, check=False)
    assert (preview.returncode, preview.stdout) == (1, result.stdout)
    same(everything_in(trip.database), untouched)

    words = ["-p", str(trip.project.root), *arguments[:3], "--accept-data-loss"]
    named = trip.project.native(*words, cwd=elsewhere, env=python_of(trip))
    assert "The database is back at" in named.stdout
    trip.assert_at("v1")


def test_a_code_only_release_needs_no_python(trip: Trip, tmp_path: Path) -> None:
    """Where no migration is to be undone the program does all of it by itself."""
    trip.deploy("v3", files={"shop/views.py": "# code only\n"})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = trip.project.native("rollback", cwd=elsewhere)
    assert "no migration to undo" in done.stdout
    trip.assert_at("v2")
