"""Coming from 0.4.0: its releases are kept, listed and gone back to; what is not certain about them is said.

The original's table is made by our own first migration, which is the original's, and its rows by SQL as it writes them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pytest

from conftest import CopyDatabase, NewDatabase
from harness import oracle
from harness.database import Database
from harness.project import Project

APPS = ["django.contrib.contenttypes", "django_rollback", "shop"]
V1 = {
    "shop/migrations/0001_initial.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            operations = [
                migrations.CreateModel("Item", [
                    ("id", models.BigAutoField(primary_key=True)),
                    ("name", models.CharField(max_length=20, unique=True)),
                ]),
            ]
    """,
}
V2 = {
    "shop/migrations/0002_price.py": """
        from django.db import migrations, models

        def fill(apps, schema_editor):
            apps.get_model("shop", "Item").objects.update(price=5)

        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [
                migrations.AddField("Item", "price", models.PositiveIntegerField(default=0)),
                migrations.RunPython(fill, migrations.RunPython.noop),
            ]
    """,
}
V3 = {
    "shop/migrations/0003_name.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            dependencies = [("shop", "0002_price")]
            operations = [migrations.AlterField("Item", "name", models.CharField(max_length=40, db_index=True))]
    """,
    "stock/migrations/0001_initial.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            dependencies = [("shop", "0003_name")]
            operations = [
                migrations.CreateModel("Box", [
                    ("id", models.BigAutoField(primary_key=True)),
                    ("item", models.ForeignKey("shop.Item", models.CASCADE)),
                ]),
            ]
    """,
}
V4 = {
    "shop/migrations/0004_note.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            dependencies = [("shop", "0003_name")]
            operations = [migrations.AddField("Item", "note", models.TextField(null=True))]
    """,
}
# With 0.4.0 installed there was only the first of our migrations.
MIGRATE_AS_0_4_0 = """
    from django.apps import apps
    from django.core.management import call_command
    for config in apps.get_app_configs():
        words = [config.label, "0001"] if config.label == "django_rollback" else [config.label]
        call_command("migrate", *words, verbosity=0)
"""

# What our `migrate` adds to the first migration, which is the original's, too.
OURS = [("django_rollback", name) for name in ("0002_releases", "0003_schemas", "0004_capsules")]

Pairs = set[tuple[str, str]]
TAGS = ["v1", "v2", "v3"]


@dataclass
class Shop:
    """An installation with three releases of 0.4.0 and the code of v4, which brings ours; and what it ought to be."""

    project: Project
    commits: dict[str, str]
    # What was applied when each release was saved.
    applied: dict[str, Pairs]
    # Schema and rows of a database that was freshly built at v1.
    fresh: tuple[str, Pairs]
    # Copies of databases: as 0.4.0 left it, and after our `migrate` at v3.
    legacy: NewDatabase
    upgraded: NewDatabase

    def use(self, copy: NewDatabase) -> Database:
        """Work on a copy, from the code of v3."""
        self.project.use(copy())
        self.project.checkout("v3")
        return self.project.database

    def json(self, *args: str, check: bool = True) -> Any:
        """A document of the binary."""
        return json.loads(self.project.native(*args, "--format", "json", check=check).stdout)

    def releases(self) -> Any:
        return self.json("list")["releases"]

    def shown(self, tag: str) -> Pairs | None:
        """The migrations of a release; None where they are not certain."""
        migrations = self.json("show", "-t", tag)["migrations"]
        return None if migrations is None else {(app, name) for app, name in migrations}

    def plan_in_django(self, *args: str) -> Any:
        result = self.project.manage("rollback_migrations", "--fake", "--format", "json", *args, check=False)
        assert result.returncode in (0, 1) and result.stdout, result.stderr
        return json.loads(result.stdout)

    def deploy_v4(self, door: str = "manage") -> Any:
        """Migrate with the code of v4, and save with ours."""
        self.project.checkout("v4")
        self.project.manage("migrate", "-v", "0")
        words = ["save"] if door == "native" else ["save_migrations_state"]
        run = self.project.native if door == "native" else self.project.manage
        return json.loads(run(*words, "--format", "json").stdout)


@pytest.fixture(scope="module")
def built(copy_database: CopyDatabase, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The installation, built once on each kind of database."""
    folder = tmp_path_factory.mktemp("built")
    legacy = copy_database()
    project = Project(folder / "project", database=legacy, apps=APPS)
    commits = {"v1": project.commit(V1, tag="v1"), "v2": project.commit(V2, tag="v2")}
    project.install_apps([*APPS, "stock"])
    commits |= {"v3": project.commit(V3, tag="v3"), "v4": project.commit(V4, tag="v4")}
    applied = {}
    for number, tag in enumerate(TAGS, 1):
        project.checkout(tag)
        project.run_python(MIGRATE_AS_0_4_0)
        if tag == "v1":
            legacy.execute("INSERT INTO shop_item (id, name) VALUES (1, 'a'), (2, 'b')")
        save_as_0_4_0(legacy, commits[tag], f"2025-01-0{number} 10:00:00.123456+00:00")
        applied[tag] = oracle.migrations(legacy)
    legacy.execute("INSERT INTO stock_box (id, item_id) VALUES (1, 2)")

    upgraded = copy_database(legacy)
    project.use(upgraded)
    project.manage("migrate", "-v", "0")

    fresh = copy_database()
    project.use(fresh)
    project.checkout("v1")
    project.manage("migrate", "-v", "0")
    facts = oracle.schema(fresh), oracle.migrations(fresh)
    return Shop(project, commits, applied, facts, lambda: copy_database(legacy), lambda: copy_database(upgraded))


@pytest.fixture
def legacy(built: Shop) -> Shop:
    """As 0.4.0 left it, with ours installed and not migrated yet."""
    built.use(built.legacy)
    return built


@pytest.fixture
def upgraded(built: Shop) -> Shop:
    """After our `migrate`, with the code of v3."""
    built.use(built.upgraded)
    return built


# What 0.4.0 and Django do, in SQL


def newest_per_app(database: Database) -> list[list[Any]]:
    newest: dict[str, list[Any]] = {}
    for id, app, name in database.execute("SELECT id, app, name FROM django_migrations ORDER BY id"):
        newest[app] = [id, app, name]
    return [newest[app] for app in sorted(newest)]


def save_as_0_4_0(database: Database, commit: str, at: str) -> None:
    """It knows its own columns only, and leaves the id to the database."""
    migrations = json.dumps(newest_per_app(database))
    database.execute(
        'INSERT INTO django_rollback_appsstate ("commit", migrations, "timestamp") '
        f"VALUES ('{commit}', '{migrations}', '{at}')"
    )


def rows_as_0_4_0_reads_them(database: Database) -> list[tuple[Any, ...]]:
    """Ordered as it does, by time."""
    return database.execute('SELECT id, "commit", migrations, "timestamp" FROM django_rollback_appsstate ORDER BY 4, 1')


def stored(database: Database) -> dict[str, str | None]:
    """Which set is stored for each commit."""
    return dict(database.execute('SELECT "commit", applied_set FROM django_rollback_appsstate'))


def next_ids_follow(database: Database, table: str) -> None:
    """After rows with ids of their own choice; SQLite sees to it by itself."""
    if database.vendor == "postgresql":
        database.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")


def apply_again(database: Database, app: str, *names: str) -> None:
    """What `migrate APP zero` and `migrate APP` leave in `django_migrations`: the same names under new ids."""
    found = database.execute(f"SELECT name FROM django_migrations WHERE app = '{app}' ORDER BY id")
    names = names or tuple(name for (name,) in found)
    for name in names:
        database.execute(f"DELETE FROM django_migrations WHERE app = '{app}' AND name = '{name}'")
    rows = ", ".join(f"('{app}', '{name}', '2026-01-01 00:00:00+00:00')" for name in names)
    database.execute(f"INSERT INTO django_migrations (app, name, applied) VALUES {rows}")


def schemas(database: Database) -> dict[str, str | None]:
    """Which schema is stored for each commit."""
    return dict(database.execute('SELECT "commit", schema FROM django_rollback_appsstate'))


def save_before_schemas(database: Database, commit: str, tag: str) -> None:
    """As we did it when our second migration was the last one."""
    applied = sorted(oracle.migrations(database))
    body = json.dumps({"format": 1, "applied": applied}, separators=(",", ":"))
    digest = hashlib.sha256(body.encode()).hexdigest()
    database.execute(f"INSERT INTO django_rollback_appliedset VALUES ('{digest}', {len(applied)}, '{body}')")
    columns = '"commit", migrations, "timestamp", tags, applied_set'
    row = f"'{json.dumps(newest_per_app(database))}', '2025-01-04 10:00:00+00:00', '[\"{tag}\"]', '{digest}'"
    database.execute(f"INSERT INTO django_rollback_appsstate ({columns}) VALUES ('{commit}', {row})")


def everything(database: Database) -> tuple[str, oracle.Rows]:
    return oracle.schema(database, own_tables=True), oracle.rows(database, own_tables=True)


# The upgrade


def test_the_table_of_the_original(legacy: Shop) -> None:
    """Our first migration alone makes the table as 0.4.0 made it: a commit of 40 characters that need not be unique."""
    database = legacy.project.database
    schema = oracle.schema(database, own_tables=True, generated_names=True).splitlines()
    lines = [line.split(" ", 2) for line in schema if "django_rollback_" in line]
    assert {table for _, table, _ in lines} == {"django_rollback_appsstate"}
    said = "\n".join(line for kind, _, line in lines if kind in ("column", "definition"))
    kinds = {
        "sqlite": [
            "id: integer not null primary key autoincrement",
            "commit: varchar ( 40 ) not null",
            "migrations: text not null",
            "timestamp: datetime not null",
        ],
        "postgresql": [
            "id: integer not null identity d",
            "commit: character varying(40) not null",
            "migrations: text not null",
            "timestamp: timestamp with time zone not null",
        ],
    }
    assert sorted(said.splitlines()) == sorted(kinds[database.vendor])
    assert not any("unique" in line.lower() for line in schema if "django_rollback_" in line and "pkey" not in line)


def test_before_our_migrate_everything_says_so(legacy: Shop) -> None:
    """The wheel is installed and `migrate` has not run yet: no command touches the table of the original."""
    before = everything(legacy.project.database)
    for command in ("save", "list", "show", "plan", "rollback", "status", "history"):
        result = legacy.project.native(command, check=False)
        assert result.returncode == 1
        assert "django_rollback.0002" in result.stderr and "migrate" in result.stderr
    for command in ("save_migrations_state", "rollback_migrations"):
        result = legacy.project.manage(command, check=False)
        assert result.returncode == 1
        assert "django_rollback.0002" in result.stderr and "Traceback" not in result.stderr
    assert everything(legacy.project.database) == before


def test_releases_are_kept_and_listed(legacy: Shop) -> None:
    """`migrate` leaves what 0.4.0 wrote as it was; each release has its commit, time, tags and number of migrations."""
    database = legacy.project.database
    before = rows_as_0_4_0_reads_them(database)
    legacy.project.manage("migrate", "-v", "0")
    assert rows_as_0_4_0_reads_them(database) == before
    assert legacy.releases() == [
        {
            "commit": legacy.commits[tag],
            "tags": [tag],
            "saved_at": f"2025-01-0{number}T10:00:00Z",
            "current": tag == "v3",
            "migrations": len(legacy.applied[tag]),
            "imported": False,
        }
        for number, tag in ((3, "v3"), (2, "v2"), (1, "v1"))
    ]
    for table in (legacy.project.native("list").stdout, legacy.project.manage("rollback_migrations", "--list").stdout):
        lines = [line for line in table.splitlines() if any(commit in line for commit in legacy.commits.values())]
        assert [line.split()[-1] for line in lines] == ["v3", "v2", "v1"]
        assert ["curr" in line for line in lines] == [True, False, False]


def test_the_sets_of_old_releases_are_rebuilt(upgraded: Shop) -> None:
    """Of each the very migrations that were applied then, although 0.4.0 kept one of each app only."""
    for tag in TAGS:
        assert upgraded.shown(tag) == upgraded.applied[tag]
        assert upgraded.json("plan", "-t", tag)["blockers"] == []
    planned = upgraded.plan_in_django("-t", "v1")
    assert (planned["blockers"], [warning["kind"] for warning in planned["warnings"]]) == ([], ["not-verifiable"])
    steps = [(step["app"], step["migration"]) for step in planned["steps"]]
    assert steps == [("stock", "0001_initial"), ("shop", "0003_name"), ("shop", "0002_price")]


@pytest.mark.parametrize("target", ["tag", "commit", "prefix"])
def test_going_back_to_a_release_of_the_original(upgraded: Shop, target: str) -> None:
    """All the way round: back to v1, which is the current release then, like a fresh v1; and up again."""
    project, database = upgraded.project, upgraded.project.database
    v1 = upgraded.commits["v1"]
    newest = oracle.schema(database)
    words = {"tag": ["-t", "v1"], "commit": ["-c", v1], "prefix": ["-c", v1[:8].upper()]}[target]
    planned = upgraded.plan_in_django(*words)
    assert [each["commit"] for each in planned["releases_removed"]] == [upgraded.commits["v3"], upgraded.commits["v2"]]
    project.manage("rollback_migrations", *words)

    assert (oracle.schema(database), oracle.migrations(database)) == upgraded.fresh
    assert oracle.rows(database)["shop_item"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    [current] = upgraded.releases()
    assert (current["commit"], current["current"], current["migrations"]) == (v1, True, len(upgraded.applied["v1"]))
    assert [row[:2] for row in rows_as_0_4_0_reads_them(database)] == [(1, v1)]
    [operation] = upgraded.json("history")["operations"]
    facts = (operation["kind"], operation["from"], operation["to"], operation["outcome"])
    assert facts == ("rollback", upgraded.commits["v3"], v1, "done")
    assert operation["releases_removed"] == [upgraded.commits["v3"], upgraded.commits["v2"]]

    project.checkout("v1")
    assert project.manage("migrate", "--check", check=False).returncode == 0
    project.checkout("v3")
    project.manage("migrate", "-v", "0")
    assert oracle.schema(database) == newest
    saved = json.loads(project.manage("save_migrations_state", "--format", "json").stdout)
    assert (saved["outcome"], saved["release"]["tags"]) == ("created", ["v3"])
    assert [each["commit"] for each in upgraded.releases()] == [upgraded.commits["v3"], v1]
    assert {(step["app"], step["migration"]) for step in upgraded.json("plan")["steps"]} == (
        upgraded.applied["v3"] - upgraded.applied["v1"]
    )


def test_going_back_without_a_target_and_through_the_binary(upgraded: Shop) -> None:
    """The release that 0.4.0 saved before its last one; the project's own `manage.py` does the work."""
    python = {"DJANGO_ROLLBACK_PYTHON": upgraded.project.front, "PYTHONDONTWRITEBYTECODE": "1"}
    upgraded.project.native("rollback", "--accept-data-loss", env=python)
    assert [each["tags"] for each in upgraded.releases()] == [["v2"], ["v1"]]
    assert oracle.migrations(upgraded.project.database) == upgraded.applied["v2"] | set(OURS)
    item = {"id": 1, "name": "a", "price": 5}
    assert oracle.rows(upgraded.project.database)["shop_item"][0] == item


def test_two_rows_of_one_commit_are_merged(legacy: Shop) -> None:
    """Two saves at once left the original with two rows, and then with an error at each command."""
    database = legacy.project.database
    database.execute("UPDATE django_rollback_appsstate SET id = id * 10")
    columns = '"commit", migrations, "timestamp"'
    for original, copy in ((10, 11), (20, 21), (30, 31), (30, 32)):
        database.execute(
            f"INSERT INTO django_rollback_appsstate (id, {columns}) "
            f"SELECT {copy}, {columns} FROM django_rollback_appsstate WHERE id = {original}"
        )
    next_ids_follow(database, "django_rollback_appsstate")
    legacy.project.manage("migrate", "-v", "0")
    assert [each["tags"] for each in legacy.releases()] == [["v3"], ["v2"], ["v1"]]
    assert [legacy.shown(tag) for tag in TAGS] == [legacy.applied[tag] for tag in TAGS]
    assert legacy.deploy_v4()["outcome"] == "created"
    assert [each["tags"] for each in legacy.releases()] == [["v4"], ["v3"], ["v2"], ["v1"]]
    assert legacy.json("plan", "-t", "v2")["blockers"] == []


def test_a_table_made_by_an_older_django(legacy: Shop) -> None:
    """Before Django 4.1 the id was a `serial` on PostgreSQL: rows are still added after the others."""
    database = legacy.project.database
    key = "integer PRIMARY KEY AUTOINCREMENT" if database.vendor == "sqlite" else "serial PRIMARY KEY"
    time = "datetime" if database.vendor == "sqlite" else "timestamp with time zone"
    database.execute("ALTER TABLE django_rollback_appsstate RENAME TO original")
    database.execute(
        f"CREATE TABLE django_rollback_appsstate (id {key} NOT NULL, "
        f'"commit" varchar(40) NOT NULL, migrations text NOT NULL, "timestamp" {time} NOT NULL)'
    )
    database.execute(
        'INSERT INTO django_rollback_appsstate ("commit", migrations, "timestamp") '
        'SELECT "commit", migrations, "timestamp" FROM original ORDER BY id'
    )
    database.execute("DROP TABLE original")
    legacy.project.manage("migrate", "-v", "0")
    assert legacy.deploy_v4()["outcome"] == "created"
    assert [each["tags"] for each in legacy.releases()] == [["v4"], ["v3"], ["v2"], ["v1"]]


def test_saving_the_release_that_the_original_had_saved(upgraded: Shop) -> None:
    """The first deploy with ours may bring no commit of its own: the release has our migrations, too, then."""
    for run, command in ((upgraded.project.native, "save"), (upgraded.project.manage, "save_migrations_state")):
        saved = json.loads(run(command, "--format", "json").stdout)
        if command == "save":
            assert (saved["outcome"], saved["tags_added"]) == ("updated", ["v3"])
            assert saved["added"] == [list(migration) for migration in OURS]
        else:
            assert saved["outcome"] == "unchanged"
    assert [each["tags"] for each in upgraded.releases()] == [["v3"], ["v2"], ["v1"]]
    assert upgraded.shown("v3") == oracle.migrations(upgraded.project.database)


# Adoption


@pytest.mark.parametrize("door", ["native", "manage"])
def test_our_next_save_adopts_the_old_releases(upgraded: Shop, door: str) -> None:
    """Their sets are stored while the rows still tell them: what is applied again later cannot blur them."""
    database = upgraded.project.database
    assert set(stored(database).values()) == {None}
    assert upgraded.deploy_v4(door)["outcome"] == "created"
    assert None not in stored(database).values()
    before = rows_as_0_4_0_reads_them(database)
    apply_again(database, "shop")
    apply_again(database, "stock")
    for tag in TAGS:
        assert upgraded.shown(tag) == upgraded.applied[tag]
        assert upgraded.json("plan", "-t", tag)["blockers"] == []
    assert rows_as_0_4_0_reads_them(database) == before
    assert [each["migrations"] for each in upgraded.releases()][1:] == [
        len(upgraded.applied[tag]) for tag in TAGS[::-1]
    ]


def test_a_save_that_writes_no_release_adopts_too(upgraded: Shop) -> None:
    """An old release that is saved again is not the newest, and still everything is kept that can be."""
    upgraded.project.checkout("v1")
    assert upgraded.json("save")["outcome"] == "not-newest"
    assert None not in stored(upgraded.project.database).values()
    apply_again(upgraded.project.database, "shop")
    assert [upgraded.shown(tag) for tag in TAGS] == [upgraded.applied[tag] for tag in TAGS]


def test_a_rollback_to_an_old_release_adopts_it(upgraded: Shop) -> None:
    """The release that is current then is as good as one that we saved."""
    upgraded.project.manage("rollback_migrations", "-t", "v2")
    assert stored(upgraded.project.database)[upgraded.commits["v2"]] is not None
    apply_again(upgraded.project.database, "shop")
    assert upgraded.shown("v2") == upgraded.applied["v2"]


def test_tags_of_old_releases_are_stored_as_soon_as_git_tells_them(upgraded: Shop) -> None:
    """0.4.0 stored no tags: our save stores them for the releases it adopts, for an image without .git."""
    upgraded.deploy_v4()
    folder = upgraded.project.root.parent
    without_git = {"cwd": folder}
    document = json.loads(upgraded.project.native("list", "--format", "json", **without_git).stdout)
    assert [each["tags"] for each in document["releases"]] == [["v4"], ["v3"], ["v2"], ["v1"]]


# What is not certain


@pytest.mark.parametrize(
    ("app", "uncertain"), [("shop", {"v1", "v2", "v3"}), ("stock", {"v3"}), ("contenttypes", {"v1", "v2", "v3"})]
)
def test_rows_that_were_applied_again_make_a_release_uncertain(upgraded: Shop, app: str, uncertain: set[str]) -> None:
    """The plan says so with the reason and the way out, and nothing is touched; every other release still works."""
    project, database = upgraded.project, upgraded.project.database
    apply_again(database, app)
    before = everything(database)
    for tag in TAGS:
        planned = upgraded.json("plan", "-t", tag, check=False)
        if tag not in uncertain:
            assert (planned["blockers"], upgraded.shown(tag)) == ([], upgraded.applied[tag])
            continue
        assert planned["steps"] == []
        [blocker] = planned["blockers"]
        assert blocker["kind"] == "uncertain-release"
        assert f"{app}.0" in blocker["message"]
        assert "showmigrations" in blocker["hint"]
        assert upgraded.shown(tag) is None
        for run, words in ((project.native, ["rollback"]), (project.manage, ["rollback_migrations"])):
            result = run(*words, "-t", tag, check=False)
            assert result.returncode == 1
            assert f"{app}.0" in result.stdout + result.stderr
            assert "Traceback" not in result.stderr and "panicked" not in result.stderr
        assert next(each for each in upgraded.releases() if tag in each["tags"])["migrations"] is None
    assert "uncertain" in project.native("list").stdout
    assert everything(database) == before

    upgraded.deploy_v4()
    project.native("save", "--commit", "e" * 40)
    assert {tag for tag in TAGS if stored(database)[upgraded.commits[tag]] is None} == uncertain
    assert upgraded.json("plan", "-t", "v4")["blockers"] == []
    project.manage("rollback_migrations", "-t", "v4")
    assert upgraded.releases()[0]["tags"] == ["v4"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "null",
        "{}",
        "[]",
        "[[1]]",
        '[[1, "shop"]]',
        '[["1", "shop", "0001_initial"]]',
        '[[1, "shop", 2]]',
    ],
)
def test_a_damaged_record_of_the_original(upgraded: Shop, text: str) -> None:
    """It is a blocker for its release, not a crash; it stands in no other one's way, and a save leaves it alone."""
    project, database = upgraded.project, upgraded.project.database
    database.execute(f"UPDATE django_rollback_appsstate SET migrations = '{text}' WHERE id = 2")
    result = project.native("rollback", "-t", "v2", "--format", "json", check=False)
    assert result.returncode == 1
    [blocker] = json.loads(result.stdout)["blockers"]
    assert blocker["kind"] == "uncertain-release" and "damaged" in blocker["message"]
    assert [each["migrations"] is None for each in upgraded.releases()] == [False, True, False]
    assert upgraded.shown("v2") is None
    assert upgraded.json("plan", "-t", "v1")["blockers"] == []
    assert upgraded.json("save")["outcome"] == "updated"
    assert database.execute("SELECT migrations, applied_set FROM django_rollback_appsstate WHERE id = 2") == [
        (text, None)
    ]


def test_a_damaged_record_of_the_current_release(upgraded: Shop) -> None:
    """The plan comes from what is applied, so the releases before it are still within reach."""
    upgraded.project.database.execute("UPDATE django_rollback_appsstate SET migrations = 'x' WHERE id = 3")
    planned = upgraded.json("plan")
    assert (planned["to"]["commit"], planned["blockers"]) == (upgraded.commits["v2"], [])
    assert upgraded.project.native("status", check=False).returncode in (0, 1)
    assert upgraded.json("save")["outcome"] == "updated"
    assert upgraded.shown("v3") == oracle.migrations(upgraded.project.database)


def burn_ids(shop: Shop) -> None:
    """As in a database that has lived: rows below those of all apps were deleted long before 0.4.0 came."""
    database = shop.project.database
    database.execute("UPDATE django_migrations SET id = id + 1000")
    next_ids_follow(database, "django_migrations")
    for id, text in database.execute("SELECT id, migrations FROM django_rollback_appsstate"):
        moved = json.dumps([[number + 1000, app, name] for number, app, name in json.loads(text)])
        database.execute(f"UPDATE django_rollback_appsstate SET migrations = '{moved}' WHERE id = {id}")


def test_missing_ids_do_no_harm_where_the_files_leave_no_doubt(legacy: Shop) -> None:
    """Each later migration of an app depends on its newest one then, so it cannot have been applied before.

    Rows were pruned (`migrate --prune`, an app that was removed), or PostgreSQL has skipped numbers: nearly every
    database that has lived for a while is like that.
    """
    burn_ids(legacy)
    legacy.project.manage("migrate", "-v", "0")
    for tag in TAGS:
        assert legacy.plan_in_django("-t", tag)["blockers"] == []


def test_missing_ids_and_our_own_migration(legacy: Shop) -> None:
    """After our save the files are remembered: every release of 0.4.0 is adopted, and the binary knows them, too."""
    burn_ids(legacy)
    legacy.project.manage("migrate", "-v", "0")
    legacy.deploy_v4()
    assert None not in stored(legacy.project.database).values()
    assert [legacy.shown(tag) for tag in TAGS] == [legacy.applied[tag] for tag in TAGS]


def test_releases_from_before_and_after_a_rollback_with_the_original(legacy: Shop) -> None:
    """0.4.0 had rolled back from v3 to v2, and v3 was deployed again: a hole in the ids, and no doubt at all."""
    database = legacy.project.database
    database.execute("DELETE FROM django_rollback_appsstate WHERE id = 3")
    for app, name in sorted(legacy.applied["v3"] - legacy.applied["v2"]):
        apply_again(database, app, name)
    save_as_0_4_0(database, legacy.commits["v3"], "2025-02-01 10:00:00+00:00")
    legacy.deploy_v4()
    assert [legacy.shown(tag) for tag in TAGS] == [legacy.applied[tag] for tag in TAGS]
    assert legacy.plan_in_django("-t", "v3")["blockers"] == []


def test_a_branch_that_was_applied_again_stays_uncertain(legacy: Shop) -> None:
    """A migration beside the newest one, under a later id and with a hole before: nobody knows, and nobody guesses."""
    database = legacy.project.database
    apply_again(database, "shop", "0001_initial")
    legacy.project.manage("migrate", "-v", "0")
    for tag in TAGS:
        planned = legacy.plan_in_django("-t", tag)
        assert [blocker["kind"] for blocker in planned["blockers"]] == ["uncertain-release"]
        assert "shop.0001_initial" in planned["blockers"][0]["message"]


# 0.4.0 beside ours


def test_0_4_0_reads_what_ours_has_saved(upgraded: Shop) -> None:
    """Its columns, in the shape it wrote: one entry an app, the row with the highest id, ordered by app."""
    database = upgraded.project.database
    upgraded.deploy_v4()
    rows = rows_as_0_4_0_reads_them(database)
    assert [commit for _, commit, _, _ in rows] == [upgraded.commits[tag] for tag in (*TAGS, "v4")]
    assert [id for id, *_ in rows] == sorted(id for id, *_ in rows)
    assert json.loads(rows[-1][2]) == newest_per_app(database)
    for _, commit, migrations, timestamp in rows:
        assert len(commit) == 40
        entries = json.loads(migrations)
        assert [app for _, app, _ in entries] == sorted({app for _, app, _ in entries})
        assert all([type(part) for part in entry] == [int, str, str] for entry in entries)
        assert timestamp is not None
    django = upgraded.project.run_python(
        """
        from django.db import connection
        with connection.cursor() as cursor:
            cursor.execute('SELECT "timestamp" FROM django_rollback_appsstate ORDER BY id')
        from django_rollback.models import AppsState
        times = list(AppsState.objects.order_by("id").values_list("timestamp", flat=True))
        print(times == sorted(times), all(time.tzinfo for time in times))
        """
    )
    assert django.split() == ["True", "True"]

    upgraded.project.manage("rollback_migrations", "-t", "v2")
    assert [commit for _, commit, _, _ in rows_as_0_4_0_reads_them(database)] == [
        upgraded.commits[tag] for tag in ("v1", "v2")
    ]


def test_0_4_0_saves_into_our_table(upgraded: Shop) -> None:
    """An old image is still deployed somewhere: its row is a release like any other, and is adopted in its turn."""
    project, database = upgraded.project, upgraded.project.database
    save_as_0_4_0(database, "f" * 40, "2025-06-01 10:00:00+00:00")
    newest = upgraded.releases()[0]
    assert newest == {
        "commit": "f" * 40,
        "tags": [],
        "saved_at": "2025-06-01T10:00:00Z",
        "current": True,
        "migrations": len(oracle.migrations(database)),
        "imported": False,
    }
    planned = upgraded.json("plan")
    assert (planned["to"]["commit"], planned["steps"]) == (upgraded.commits["v3"], [])
    upgraded.deploy_v4()
    assert stored(database)["f" * 40] is not None
    project.manage("rollback_migrations", "-c", "ffff")
    assert upgraded.releases()[0]["commit"] == "f" * 40


def test_0_4_0_saves_between_our_saves(upgraded: Shop) -> None:
    """Whoever saves in turn, the list has all of them in the order of saving."""
    database = upgraded.project.database
    for number in range(3):
        upgraded.project.native("save", "--commit", f"{number:040x}")
        save_as_0_4_0(database, f"{number + 10:040x}", "2025-06-01 10:00:00+00:00")
    expected = [f"{number:040x}" for number in (12, 2, 11, 1, 10, 0)]
    assert [each["commit"] for each in upgraded.releases()][:6] == expected
    assert {each["migrations"] for each in upgraded.releases()[:6]} == {len(oracle.migrations(database))}


# From a version that stored no schemas


@pytest.fixture
def before_schemas(legacy: Shop) -> Shop:
    """v3 was saved with our first two migrations, v1 and v2 by 0.4.0; then came the third."""
    project = legacy.project
    project.database.execute("DELETE FROM django_rollback_appsstate WHERE id = 3")
    project.manage("migrate", "django_rollback", "0002", "-v", "0")
    save_before_schemas(project.database, legacy.commits["v3"], "v3")
    project.manage("migrate", "-v", "0")
    return legacy


NOT_COMPARED = "The release was saved without its schema: it cannot be compared.\n"
COMPARED = "Schema: the same as when it was saved.\n"


def status(shop: Shop) -> tuple[int, str, Any]:
    """Exit code, the last line, and what the document says of the schema: the same through both doors."""
    found = []
    for run, words in ((shop.project.native, ["status"]), (shop.project.manage, ["rollback", "status"])):
        text, document = run(*words, check=False), run(*words, "--format", "json", check=False)
        assert text.returncode == document.returncode, text.stdout + text.stderr
        last = text.stdout.splitlines(keepends=True)[-1]
        found.append((text.returncode, last, json.loads(document.stdout)["schema"]))
    assert found[0] == found[1]
    return found[0]


def test_our_third_migration_gives_no_release_a_schema(before_schemas: Shop) -> None:
    """What the database was when they were saved is not known any more; everything else is as it was."""
    assert set(schemas(before_schemas.project.database).values()) == {None}
    assert [each["tags"] for each in before_schemas.releases()] == [["v3"], ["v2"], ["v1"]]
    for tag in TAGS:
        assert before_schemas.plan_in_django("-t", tag)["blockers"] == []
    assert status(before_schemas) == (0, NOT_COMPARED, None)
    assert before_schemas.json("status")["ahead"] == []  # our own tables belong to no release


@pytest.mark.parametrize("door", ["native", "manage"])
def test_the_next_save_of_the_newest_release_gives_it_its_schema(before_schemas: Shop, door: str) -> None:
    """Only to that one, and from then on what is changed by hand is seen."""
    project, database = before_schemas.project, before_schemas.project.database
    run, words = (project.native, ["save"]) if door == "native" else (project.manage, ["save_migrations_state"])
    saved = json.loads(run(*words, "--format", "json").stdout)
    assert (saved["outcome"], saved["added"]) == ("updated", [list(each) for each in OURS[1:]])
    assert status(before_schemas) == (0, COMPARED, [])
    found = schemas(database)
    assert [found[before_schemas.commits[tag]] is None for tag in TAGS] == [True, True, False]
    database.execute("CREATE INDEX by_hand ON shop_item (price)")
    code, last, _ = status(before_schemas)
    assert (code, "index by_hand of shop_item is unexpected" in last) == (1, True)


@pytest.mark.parametrize("door", ["native", "manage"])
def test_a_save_that_changes_nothing_else_gives_the_schema_too(before_schemas: Shop, door: str) -> None:
    """Our third migration was undone and applied again: the release has the same migrations, and no schema."""
    project, database = before_schemas.project, before_schemas.project.database
    project.native("save")
    project.manage("migrate", "django_rollback", "0002", "-v", "0")
    project.manage("migrate", "-v", "0")
    assert status(before_schemas) == (0, NOT_COMPARED, None)
    run, words = (project.native, ["save"]) if door == "native" else (project.manage, ["save_migrations_state"])
    assert json.loads(run(*words, "--format", "json").stdout)["outcome"] == "unchanged"
    assert status(before_schemas) == (0, COMPARED, [])
    before = everything(database)
    assert json.loads(run(*words, "--format", "json").stdout)["outcome"] == "unchanged"
    assert everything(database) == before


def test_a_save_of_another_release_gives_none(before_schemas: Shop) -> None:
    """The schema of now is that of the newest release, if of any; a new release has its own."""
    project, database = before_schemas.project, before_schemas.project.database
    project.checkout("v1")
    assert before_schemas.json("save")["outcome"] == "not-newest"
    assert set(schemas(database).values()) == {None}
    before_schemas.deploy_v4()
    found = schemas(database)
    assert [found[before_schemas.commits[tag]] is None for tag in (*TAGS, "v4")] == [True, True, True, False]
    assert status(before_schemas) == (0, COMPARED, [])


@pytest.mark.parametrize("tag", ["v3", "v2"])
def test_going_back_to_a_release_without_a_schema(before_schemas: Shop, tag: str) -> None:
    """It is gone back to like any other, and the next save gives it its schema."""
    before_schemas.deploy_v4()
    before_schemas.project.manage("rollback_migrations", "-t", tag)
    assert oracle.migrations(before_schemas.project.database) == before_schemas.applied[tag] | set(OURS)
    assert status(before_schemas)[1:] == (NOT_COMPARED, None)
    before_schemas.project.checkout(tag)
    before_schemas.project.native("save")
    assert status(before_schemas) == (0, COMPARED, [])


@pytest.mark.parametrize("tag", ["v3", "v2"])
def test_our_own_migrations_are_no_difference(before_schemas: Shop, tag: str) -> None:
    """A rollback never undoes them, so the database is what the release had."""
    before_schemas.deploy_v4()
    before_schemas.project.manage("rollback_migrations", "-t", tag)
    assert before_schemas.json("status")["same"] is True


# Back to the original


def test_our_migration_can_be_undone_and_applied_again(upgraded: Shop) -> None:
    """`migrate django_rollback 0001` gives 0.4.0 its table back, and forwards again no release is lost."""
    project, database = upgraded.project, upgraded.project.database
    upgraded.deploy_v4()
    listed = upgraded.releases()
    rows = rows_as_0_4_0_reads_them(database)
    project.manage("migrate", "django_rollback", "0001", "-v", "0")
    assert rows_as_0_4_0_reads_them(database) == rows
    assert [name for name in oracle.table_names(database) if name.startswith(oracle.OWN_PREFIX)] == [
        "django_rollback_appsstate"
    ]
    save_as_0_4_0(database, "f" * 40, "2099-06-01 10:00:00+00:00")

    project.manage("migrate", "-v", "0")
    assert [(each["commit"], each["tags"]) for each in upgraded.releases()[1:]] == [
        (each["commit"], each["tags"]) for each in listed
    ]
    assert upgraded.releases()[0]["commit"] == "f" * 40


def test_after_our_migration_was_undone_and_applied_again_every_release_can_be_gone_back_to(upgraded: Shop) -> None:
    """Our own rows have new ids then, which says nothing about the application's migrations."""
    upgraded.deploy_v4()
    upgraded.project.manage("migrate", "django_rollback", "0001", "-v", "0")
    upgraded.project.manage("migrate", "-v", "0")
    for tag in [*TAGS, "v4"]:
        assert upgraded.json("plan", "-t", tag)["blockers"] == []
    assert [upgraded.shown(tag) for tag in TAGS] == [upgraded.applied[tag] for tag in TAGS]
    upgraded.project.manage("rollback_migrations", "-t", "v1")
    assert (oracle.schema(upgraded.project.database), oracle.migrations(upgraded.project.database)) == upgraded.fresh


def test_a_long_hash_has_no_place_in_the_table_of_the_original(upgraded: Shop) -> None:
    """Going back to 0.4.0 with a release of a SHA-256 repository may be refused; it loses nothing either way."""
    project = upgraded.project
    project.native("save", "--commit", "e" * 64)
    before = [each["commit"] for each in upgraded.releases()]
    project.manage("migrate", "django_rollback", "0001", "-v", "0", check=False)
    project.manage("migrate", "-v", "0")
    assert [each["commit"] for each in upgraded.releases()] == before
