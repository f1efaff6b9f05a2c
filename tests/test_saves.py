"""What a save writes: one row a commit, one set for many releases, one line of history for each change, never more.

What one save does is tested in `crates/rollback-engine/tests`; here both doors do it, on real databases, and many at
once. Most migrations are "applied" by a row in `django_migrations` alone: that is all that a save looks at.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, NamedTuple

import pytest

from conftest import CopyDatabase, NewDatabase
from harness import oracle
from harness.database import Database
from harness.project import DEFAULT_APPS, Project

FILES = {
    "shop/migrations/0001_initial.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            operations = [migrations.CreateModel("Item", [("id", models.BigAutoField(primary_key=True))])]
    """,
    "shop/migrations/0002_more.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [migrations.AddField("Item", "name", models.CharField(max_length=20, default="x"))]
    """,
}
MIGRATE = """
    from django.core.management import call_command
    for words in (["contenttypes"], ["auth"], ["django_rollback"], ["shop", "0001"]):
        call_command("migrate", *words, verbosity=0)
"""
A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
MORE = ["shop", "0002_more"]
APPLY_MORE = (
    "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0002_more', '2026-01-01 00:00:00+00:00')"
)
DOORS = ["native", "manage"]
# Longer than a save may wait for a lock (10 s), with time to start and to end.
PATIENCE = 25


class Shop(NamedTuple):
    """The project of this file, and a fresh copy of its migrated database."""

    project: Project
    copy: NewDatabase


@pytest.fixture(scope="module")
def shop(copy_database: CopyDatabase, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """`shop.0001` and everything else is applied, `shop.0002` is not, and nothing is saved."""
    folder = tmp_path_factory.mktemp("shop")
    migrated = copy_database()
    project = Project(folder / "project", database=migrated, apps=[*DEFAULT_APPS, "shop"])
    project.commit(FILES, tag="v1")
    project.run_python(MIGRATE)
    return Shop(project, lambda: copy_database(migrated))


@pytest.fixture
def project(shop: Shop) -> Project:
    """The project on a database of its own."""
    shop.project.use(shop.copy())
    return shop.project


def run(project: Project, door: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`save` through one of the doors; `--commit` names the commit, so that the repository plays no part."""
    if door == "native":
        return project.native("save", *args, check=check)
    return project.manage("save_migrations_state", *args, check=check)


def save(project: Project, *args: str, door: str = "native") -> Any:
    return json.loads(run(project, door, "--format", "json", *args).stdout)


def listed(project: Project) -> Any:
    return json.loads(project.native("list", "--format", "json").stdout)["releases"]


def shown(project: Project) -> set[tuple[str, str]]:
    """The migrations of the current release."""
    document = json.loads(project.native("show", "--format", "json").stdout)
    return {(app, name) for app, name in document["migrations"]}


def plan(project: Project, *args: str) -> Any:
    return json.loads(project.native("plan", "--format", "json", *args).stdout)


def history(project: Project) -> Any:
    """The operations, oldest first."""
    return json.loads(project.native("history", "-n", "1000", "--format", "json").stdout)["operations"][::-1]


RECORDS = {"appsstate", "appliedset", "operation"}
# What is signed with a random number of the database, and not at all by a binary that has no key.
SIGNED = {"manifest", "key_id", "signature"}


def own_rows(database: Database, *, without: set[str] = frozenset(), tables: set[str] = frozenset()) -> oracle.Rows:
    """All rows of our tables, or of some of them, without some columns; in the order of their contents."""
    names = {name for name in oracle.table_names(database) if name.startswith(oracle.OWN_PREFIX)}
    found = oracle.rows(database, {f"{oracle.OWN_PREFIX}{name}" for name in tables} or names)
    return {
        table: sorted(
            ({key: row[key] for key in row.keys() - without} for row in rows), key=lambda row: repr(sorted(row.items()))
        )
        for table, rows in found.items()
    }


def count(database: Database, table: str) -> int:
    [(number,)] = database.execute(f"SELECT count(*) FROM django_rollback_{table}")
    return number


def apply(database: Database, app: str, name: str) -> None:
    """Record a migration as applied."""
    mark = "?" if database.vendor == "sqlite" else "%s"
    with database.connect() as connection:
        sql = f"INSERT INTO django_migrations (app, name, applied) VALUES ({mark}, {mark}, '2026-01-01 00:00:00+00:00')"
        connection.execute(sql, (app, name))


def newest_per_app(database: Database) -> list[list[Any]]:
    """What 0.4.0 stores: of each app the row with the highest id, ordered by app."""
    newest: dict[str, list[Any]] = {}
    for id, app, name in database.execute("SELECT id, app, name FROM django_migrations ORDER BY id"):
        newest[app] = [id, app, name]
    return [newest[app] for app in sorted(newest)]


# Saving again


def test_an_update_with_a_real_migration(project: Project) -> None:
    """The whole way through `manage.py`: migrate, save, migrate, save; then the older release is still reachable."""
    project.manage("save_migrations_state", "--commit", A)
    project.manage("save_migrations_state", "--commit", B)
    project.manage("migrate", "shop", "-v", "0")
    result = project.manage("save_migrations_state", "--commit", B)
    assert "Updated release bbbbbbb" in result.stdout and "shop.0002_more" in result.stdout
    planned = plan(project, "-c", A)
    assert [[step["app"], step["migration"]] for step in planned["steps"]] == [MORE]
    assert [warning["kind"] for warning in planned["warnings"]] == ["losses-unknown"]


def test_the_first_save_through_django_after_native_ones_only_adds_what_it_knows(project: Project) -> None:
    """The binary cannot read migration files: `manage.py` remembers what is in them, and calls it unchanged."""
    save(project, "--commit", A)
    before = own_rows(project.database, tables=RECORDS, without=SIGNED)
    assert save(project, "--commit", A, door="manage")["outcome"] == "unchanged"
    assert own_rows(project.database, tables=RECORDS, without=SIGNED) == before
    everything = own_rows(project.database)
    assert save(project, "--commit", A, door="manage")["outcome"] == "unchanged"
    assert own_rows(project.database) == everything


def test_what_0_4_0_reads_is_written(project: Project) -> None:
    """The original's columns hold what it would have written, whatever the names of the migrations are."""
    apply(project.database, "shöp", '0001_"quoted"')
    apply(project.database, "a_first", "tab\tand\u202eback")
    for door in DOORS:
        save(project, "--commit", A if door == "native" else B, door=door)
    for migrations, commit in project.database.execute('SELECT migrations, "commit" FROM django_rollback_appsstate'):
        assert json.loads(migrations) == newest_per_app(project.database)
        assert len(commit) == 40
    assert shown(project) == oracle.migrations(project.database)


# Through either door


def test_both_doors_write_the_same(shop: Shop) -> None:
    """The same deploys through one door, through the other, or through both in turn: the same rows but for the clock.

    Only what migration files say is known to Django alone.
    """
    written = []
    for doors in (["native"] * 4, ["manage"] * 4, DOORS * 2, DOORS[::-1] * 2):
        shop.project.use(shop.copy())
        database = shop.project.database
        outcomes = [save(shop.project, "--commit", A, door=doors[0])["outcome"]]
        apply(database, *MORE)
        outcomes += [
            save(shop.project, "--commit", commit, door=door)["outcome"]
            for commit, door in zip((A, B, B), doors[1:], strict=True)
        ]
        assert outcomes == ["created", "updated", "created", "unchanged"]
        written.append(own_rows(database, tables=RECORDS, without={"timestamp", "at", *SIGNED}))
    assert written[1:] == written[:1] * 3


def test_what_django_remembers_does_not_depend_on_who_saved_first(shop: Shop) -> None:
    """A migration that was saved natively is remembered at the next save through `manage.py`."""
    remembered = []
    for doors in (DOORS, ["manage"]):
        shop.project.use(shop.copy())
        for door in doors:
            save(shop.project, "--commit", A, door=door)
        remembered.append(own_rows(shop.project.database, tables={"capsule"}, without={"id", "at", *SIGNED}))
    assert remembered[0] == remembered[1]
    assert {"shop", "auth", "contenttypes"} <= {row["app"] for row in remembered[0]["django_rollback_capsule"]}


# Many at once


def test_eight_saves_of_one_commit_at_once(project: Project) -> None:
    """Pods that start together: all of them succeed, and there is one row, one set and one line of history."""
    doors = ["manage", "native"] * 2 + ["native"] * 4
    with ThreadPoolExecutor(len(doors)) as pool:
        saved = list(pool.map(lambda door: save(project, "--commit", A, door=door), doors))
    assert sorted(each["outcome"] for each in saved) == ["created", *["unchanged"] * 7]
    assert {each["release"]["commit"] for each in saved} == {A}
    for table in ("appsstate", "appliedset", "operation"):
        assert count(project.database, table) == 1


def test_eight_saves_of_eight_commits_at_once(project: Project) -> None:
    """Each gets its row, and history says an order in which they could have come one after another."""
    commits = [f"{number:040x}" for number in range(8)]
    doors = ["manage", "native", "native", "native"] * 2
    with ThreadPoolExecutor(len(doors)) as pool:
        saved = list(
            pool.map(lambda each: save(project, "--commit", each[0], door=each[1]), zip(commits, doors, strict=True))
        )
    assert {each["outcome"] for each in saved} == {"created"}
    order = [each["commit"] for each in listed(project)][::-1]
    assert sorted(order) == commits
    assert count(project.database, "appliedset") == 1
    assert [(each["from"], each["to"]) for each in history(project)] == list(zip([None, *order], order, strict=False))


def test_many_updates_at_once(project: Project) -> None:
    """Fifty native saves, of the newest commit with more migrations: one update, and nothing is lost."""
    save(project, "--commit", A)
    apply(project.database, *MORE)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: save(project, "--commit", A)["outcome"], range(50)))
    assert sorted(outcomes) == ["unchanged"] * 49 + ["updated"]
    assert (count(project.database, "appsstate"), count(project.database, "operation")) == (1, 2)


# Locks


@contextmanager
def holding(database: Database, *statements: str) -> Iterator[None]:
    """Another session with an open transaction, in which these statements were run."""
    with database.connect() as connection:
        connection.execute("BEGIN IMMEDIATE" if database.vendor == "sqlite" else "BEGIN")
        for statement in statements:
            connection.execute(statement)
        yield
        connection.execute("COMMIT")


def our_lock(database: Database) -> str:
    return "SELECT id FROM django_rollback_lock" + (" FOR UPDATE" if database.vendor == "postgresql" else "")


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(project: Project) -> Iterator[Start]:
    """Starts a save in the background; one that is still there at the end is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: str, door: str = "native") -> subprocess.Popen[str]:
        if door == "native":
            command = [str(project.binary()), "save", *args]
            environment = {"PATH": "/nonexistent", "DATABASE_URL": project.database.url}
        else:
            command = [project.python, "manage.py", "save_migrations_state", *args]
            environment = project.environment()
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, cwd=project.root, env=environment, **pipes))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("door", DOORS)
def test_a_save_waits_for_another_one(project: Project, start: Start, door: str) -> None:
    """Who holds the lock is done in a moment: the save waits for it and then does its own."""
    with holding(project.database, our_lock(project.database)):
        waiting = start("--commit", A, door=door)
        time.sleep(0.5 if door == "native" else 1.5)
        assert waiting.poll() is None
        assert count(project.database, "appsstate") == 0
    out, err = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, err) == (0, "")
    assert "Saved release aaaaaaa" in out


def test_a_save_that_waits_too_long_says_so(project: Project, start: Start) -> None:
    """Whoever holds the lock does not end: after a while the save gives up with a sentence, through either door."""
    before = own_rows(project.database)
    with holding(project.database, our_lock(project.database)):
        deadline = time.monotonic() + PATIENCE
        for process in [start("--commit", A, door=door) for door in DOORS]:
            out, err = process.communicate(timeout=max(deadline - time.monotonic(), 0.1))
            assert (process.returncode, out) == (1, "")
            assert "lock" in err and "hint:" in err and "Traceback" not in err
    assert own_rows(project.database) == before


@pytest.mark.parametrize("door", DOORS)
def test_a_save_with_nothing_to_write_needs_no_lock(project: Project, door: str) -> None:
    """A pod that restarts during somebody else's save or rollback is not held up."""
    save(project, "--commit", A, door="manage")
    with holding(project.database, our_lock(project.database)):
        assert save(project, "--commit", A, door=door)["outcome"] == "unchanged"


def test_a_save_during_a_migrate(project: Project, start: Start) -> None:
    """It waits for the end, so that what is saved is whole."""
    before = oracle.migrations(project.database)
    with holding(project.database, APPLY_MORE):
        saving = start("--commit", A)
        time.sleep(0.5)
        assert saving.poll() is None
    assert saving.wait(PATIENCE) == 0
    assert shown(project) == {*before, tuple(MORE)}


def test_a_save_waits_for_who_holds_the_rows(project: Project, start: Start) -> None:
    """Somebody else has the rows of `django_migrations` and of the release locked: the update comes after, whole."""
    save(project, "--commit", A)
    tables = ["django_migrations", "django_rollback_appsstate"]
    mode = "IN ACCESS EXCLUSIVE MODE"
    locks = [f"LOCK TABLE {table} {mode}" for table in tables] if project.database.vendor == "postgresql" else []
    with holding(project.database, *locks, APPLY_MORE):
        waiting = start("--commit", A)
        time.sleep(0.5)
        if locks:
            assert waiting.poll() is None
    _, err = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, err) == (0, "")
    save(project, "--commit", A)
    assert shown(project) == oracle.migrations(project.database)
    assert [each["kind"] for each in history(project)] == ["save", "save"]


# Order and history


def test_history_has_a_line_for_each_change(project: Project) -> None:
    """Who, on which host, from which release to which, the steps, the outcome, when, and by which version."""
    started = datetime.now(timezone.utc).replace(microsecond=0)
    save(project, "--commit", A)
    save(project, "--commit", B, door="manage")
    project.manage("migrate", "shop", "-v", "0")
    save(project, "--commit", B)
    rows = own_rows(project.database, tables={"operation"})["django_rollback_operation"]
    project.manage("rollback_migrations", "-c", A)
    save(project, "--commit", A)

    who = {"user": pwd.getpwuid(os.getuid()).pw_name, "host": socket.gethostname()}
    version = project.native("--version").stdout.split()[-1]
    operations = history(project)
    facts = [(each["kind"], each["outcome"], each["from"], each["to"], each["steps"]) for each in operations]
    assert facts == [
        ("save", "done", None, A, []),
        ("save", "done", A, B, []),
        ("save", "done", B, B, []),
        ("rollback", "done", B, A, ["shop.0002_more"]),
    ]
    for each in operations:
        assert {key: each[key] for key in who} == who
        assert each["version"] == version
        at = datetime.strptime(each["at"], "%Y-%m-%dT%H:%M:%S%z")
        assert started <= at <= datetime.now(timezone.utc)
    assert operations[-1]["releases_removed"] == [B]
    assert operations[-1]["steps_done"] == 1
    assert [each["id"] for each in operations] == sorted(each["id"] for each in operations)
    assert operations[-1]["to_set"] == operations[0]["to_set"]

    kept = own_rows(project.database, tables={"operation"})["django_rollback_operation"]
    assert [row for row in kept if row in rows] == rows
    table = project.native("history").stdout
    assert table.index("rollback") < table.index("save")
    newest = json.loads(project.native("history", "-n", "1", "--format", "json").stdout)["operations"]
    assert newest == operations[-1:]


# Much of it


def cpu_seconds(run: Callable[[], object]) -> float:
    """The processor time of the commands that `run` waits for: that of a busy machine hardly differs."""
    before = os.times()
    run()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_five_hundred_releases_and_three_hundred_migrations(project: Project) -> None:
    """Years of deploys: everything still works, and the native list costs less than it takes Django to start."""
    database = project.database
    for batch in range(10):
        rows = ", ".join(f"('app_{batch}', '{number:04}_x', '2026-01-01 00:00:00+00:00')" for number in range(30))
        database.execute(f"INSERT INTO django_migrations (app, name, applied) VALUES {rows}")
        save(project, "--commit", f"{batch:040x}")
    columns = 'migrations, "timestamp", tags, applied_set'
    more = ", ".join(f"('{number % 10:040x}', '{number + 1000:040x}')" for number in range(490))
    database.execute(
        f"WITH more (original, extra) AS (VALUES {more}) "
        f'INSERT INTO django_rollback_appsstate ("commit", {columns}) '
        f'SELECT extra, {columns} FROM more JOIN django_rollback_appsstate ON "commit" = original ORDER BY extra'
    )
    releases = listed(project)
    assert len(releases) == 500
    assert [each["current"] for each in releases] == [True, *[False] * 499]
    assert [each["commit"] for each in releases[:2]] == [f"{1489:040x}", f"{1488:040x}"]
    assert releases[0]["migrations"] == len(oracle.migrations(database)) > 300
    assert releases[9]["migrations"] == releases[0]["migrations"] - 270
    assert len(project.native("list").stdout.splitlines()) == 501

    assert plan(project, "-c", f"{1480:040x}")["to"]["commit"] == f"{1480:040x}"
    assert save(project, "--commit", D)["outcome"] == "created"
    native = cpu_seconds(lambda: project.native("list", "--format", "json"))
    # Fresh: the start is what is measured.
    django = cpu_seconds(lambda: project.manage("version", fresh=True))
    assert native < django / 2
