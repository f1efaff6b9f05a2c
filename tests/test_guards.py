"""What the engine checks under the lock and before the commit: each test fails when its check is taken out."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import NewDatabase
from harness import oracle
from harness.postgres import Cluster
from harness.project import Project
from scenarios import NAMED, NUMBER, Trip, add, create, migration

V1 = {"shop.0001_initial": migration(create("Item", **NAMED))}
V2 = {"shop.0002_a": migration(add("Item", "a", NUMBER), after=["shop.0001_initial"])}
RECORD = """
    def forwards(apps, schema_editor):
        pass

    def backwards(apps, schema_editor):
        columns, values = "(app, name, applied)", "('other', '0001', '2026-01-01')"
        schema_editor.execute(f"INSERT INTO django_migrations {columns} VALUES {values}")
"""


@pytest.fixture
def trip(project: Project, new_database: NewDatabase) -> Trip:
    return Trip(project, new_database)


def call_with(project: Project, patch: str) -> str:
    """Calls the rollback in a process in which `patch` has run before, and returns how it ended."""
    return project.run_python(f"""
from django.core.management import CommandError, call_command
from django.db import connection
from django_rollback.connection import Connection

{patch}
try:
    call_command("rollback_migrations", tag="v1", verbosity=0)
    print("done")
except CommandError as error:
    print(error.returncode, error)
""")


BEFORE_THE_LOCK = """
begin = Connection.begin

def begin_late(self, schema):
    Connection.begin = begin
    {change}
    begin(self, schema)

Connection.begin = begin_late
"""


@pytest.mark.parametrize(
    "change",
    [
        "\"INSERT INTO django_migrations (app, name, applied) VALUES ('late', '0001', '2026-01-01')\"",
        '"INSERT INTO django_rollback_appsstate (\\"commit\\", migrations, \\"timestamp\\") '
        "VALUES ('abc', '[]', '2026-01-01')\"",
    ],
    ids=["a migration was applied", "a release was saved"],
)
def test_a_plan_that_is_stale_never_runs(trip: Trip, change: str) -> None:
    """Something changed between the plan and the lock: nothing is undone."""
    trip.deploy("v1", V1)
    trip.deploy("v2", V2)
    if "appsstate" in change:
        change = change.replace("'abc'", f"'{'abc0' * 10}'")
    before = oracle.schema(trip.database)
    patch = BEFORE_THE_LOCK.format(change=f"self.django.cursor().execute({change})")
    assert "since this plan was made" in call_with(trip.project, patch)
    assert oracle.schema(trip.database) == before


def test_a_result_that_is_not_the_promised_one_is_taken_back(trip: Trip) -> None:
    """Code that ran on the way wrote to `django_migrations`: the rows are not the target's, so nothing is kept."""
    trip.deploy("v1", V1)
    recording = migration(
        add("Item", "a", NUMBER),
        "migrations.RunPython(forwards, backwards)",
        after=["shop.0001_initial"],
        code=RECORD,
    )
    trip.deploy("v2", {"shop.0002_a": recording})
    before = oracle.schema(trip.database), oracle.migrations(trip.database)
    result = trip.project.manage("rollback_migrations", "-t", "v1", check=False)
    assert result.returncode == 1
    assert "django_migrations does not hold what the plan promised" in result.stderr
    assert "other.0001 is still recorded" in result.stderr
    assert (oracle.schema(trip.database), oracle.migrations(trip.database)) == before


def test_a_swallowed_database_error_is_not_committed(trip: Trip) -> None:
    """A receiver that breaks the transaction and says nothing: the commit would silently be a rollback."""
    trip.deploy("v1", V1)
    trip.deploy("v2", V2)
    patch = """
def swallow(self):
    self.django.set_rollback(True)
    commit(self)

commit = Connection.commit
Connection.commit = swallow
"""
    assert call_with(trip.project, patch).startswith("1 ")
    assert ("shop", "0002_a") in oracle.migrations(trip.database)


def test_a_target_that_was_saved_anew_is_stale(trip: Trip) -> None:
    """A save that updates the newest release changes neither its place nor the rows, and yet what going back means."""
    v1 = trip.deploy("v1", V1)
    trip.write(V2)
    trip.project.manage("migrate", "-v", "0")
    before = oracle.schema(trip.database)
    change = f'call_command("save_migrations_state", release={v1!r}, verbosity=0)'
    patch = BEFORE_THE_PLAN.format(change=change)
    assert "since this plan was made" in call_with(trip.project, patch)
    assert oracle.schema(trip.database) == before


def test_a_stricter_isolation_hides_nothing(postgres: Cluster, tmp_path: Path) -> None:
    """What is read under the lock is what is there then, although the project's transactions see what was before."""
    database = postgres.create_database("strict")
    strict = """
        from django.db.backends.postgresql.psycopg_any import IsolationLevel

        DATABASES["default"]["OPTIONS"] = {"isolation_level": IsolationLevel.REPEATABLE_READ}
    """
    trip = Trip(Project(tmp_path / "strict", database=database), lambda: database, settings=strict)
    trip.deploy("v1", V1)
    trip.deploy("v2", V2)
    before = oracle.schema(database)
    assert "since this plan was made" in call_with(trip.project, AFTER_THE_BEGINNING)
    assert oracle.schema(database) == before


AFTER_THE_BEGINNING = """
query = Connection.query
begun = []

def query_late(self, sql, params):
    rows = query(self, sql, params)
    if "set_config" in sql and "django-rollback: rollback by" in str(params):
        begun.append(sql)
        if len(begun) != 2:  # the first one only announces
            return rows
        with connection.copy().cursor() as cursor:
            cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('late', '0001', '2026-01-01')")
    return rows

Connection.query = query_late
"""

BEFORE_THE_PLAN = """
from django_rollback.runner import Runner

effects = Runner.effects

def effects_late(self, *rest):
    {change}
    return effects(self, *rest)

Runner.effects = effects_late
"""
