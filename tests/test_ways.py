"""The three ways to undo a migration: recorded SQL, the file, the archived source. All of them lead to the same.

What is compared is everything in the database, and its schema with that of a database freshly built at the target. The
binary goes the way of recorded SQL alone, and the script of `sql` goes it through the database's own program.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from conftest import CopyDatabase, NewDatabase
from harness import oracle
from harness.database import Database
from harness.postgres import find_programs
from harness.project import Files, Project
from scenarios import BASE_APPS, NAMED, NUMBER, Migrations, Result, Trip, add, call, create, kinds, migration, same
from scenarios import recorded as records_of
from test_operations import (
    FLAWS,
    ON_POSTGRESQL,
    ONE,
    PAIR,
    PAIRS,
    PLAIN,
    STORIES,
    TAG,
    TWO,
    Story,
    index,
    remove,
    to,
)
from two_releases import everything_in, run
from under_way import HISTORY, untouched

# The secret of the projects here: the binary makes the key from it, as Django's door does.
KEY = {"DJANGO_ROLLBACK_KEY": "for throw-away projects only"}
NOTHING = "migrations.RunPython.noop"
UNKNOWN = "ab" * 20


class Site:
    """Releases that were deployed once with the ways as they usually are; tests go on with copies of the database."""

    def __init__(self, folder: Path, copy_database: CopyDatabase, settings: str = "") -> None:
        self.copy_database = copy_database
        self.project = Project(folder / "project", database=copy_database(), ways=())
        self.trip = Trip(self.project, copy_database, BASE_APPS, settings)
        self.at: dict[str, Database] = {}
        self.commits: dict[str, str] = {}

    def deploy(
        self, tag: str, migrations: Migrations | None = None, rows: Iterable[str] = (), files: Files | None = None
    ) -> None:
        """The next release, with its rows."""
        self.commits[tag] = self.trip.deploy(tag, migrations, rows=rows, files=files)
        self.at[tag] = self.copy_database(self.trip.database)

    def anew(self, tag: str = "v2", *, code: str = "") -> Trip:
        """A copy of the database at a release, with the code of that release or of another one."""
        self.trip.database = self.copy_database(self.at[tag])
        self._check_out(code or tag, self.trip.database)
        return self.trip

    def look(self, tag: str = "v2", *, code: str = "") -> Project:
        """The database at a release itself, for questions that change nothing, with the code of some release."""
        self._check_out(code or tag, self.at[tag])
        return self.project

    def _check_out(self, tag: str, database: Database) -> None:
        self.project.git("checkout", "--quiet", "--force", tag)
        self.project.git("clean", "--quiet", "-d", "--force")
        self.project.use(database)

    def label(self, tag: str) -> str:
        """How sentences call the release: `03ec91e (v1)`."""
        return f"{self.commits[tag][:7]} ({tag})"

    def assert_back(self, trip: Trip, tag: str = "v1", *, with_rows: bool = True) -> None:
        """Schema, records and rows are those of a release as it was built; list, history and status tell of it."""
        built = self.at[tag]
        same(oracle.schema(trip.database), oracle.schema(built))
        same(records_of(trip.database), records_of(built))
        if with_rows:
            same(oracle.rows(trip.database), oracle.rows(built))
        last, release = trip.history()[0], trip.releases()[0]
        same((last["kind"], last["outcome"], last["to"]), ("rollback", "done", release["commit"]))
        same((release["tags"], last["steps_done"]), ([tag], len(last["steps"])))
        status = json.loads(trip.project.native("status", "--format", "json").stdout)
        same((status["same"], status["schema"]), (True, []))


def back(trip: Trip, way: str = "", *words: str, tag: str = "v1", **options: Any) -> Result:
    """Go back through `manage.py`, by one way only where one is named; `native` is the binary with recorded SQL."""
    door, way = ("native", "sql") if way == "native" else ("manage", way)
    chosen = ["--way", way] if way else []
    options.setdefault("env", KEY if door == "native" else {})
    return run(trip.project, door, "rollback", "-t", tag, *chosen, "--accept-data-loss", *words, **options)


def events(result: Result) -> list[dict[str, Any]]:
    """The documents of a command with `--format json`, in their order."""
    assert result.returncode == 0, result.stderr[-3_000:]
    return [json.loads(line) for line in result.stdout.splitlines()]


def ways_of(plan: dict[str, Any]) -> set[str]:
    return {step["way"] for step in plan["steps"]}


# Every operation

TEXT = {"name": "models.TextField()"}
LINES = [create("Order"), create("Line", order=to("Order"))]
VIEW = 'migrations.RunSQL("CREATE VIEW APP_names AS SELECT id, name FROM APP_item", "DROP VIEW APP_names")'


def sql(backwards: object, forwards: object = "SELECT 1") -> str:
    """The operation that runs SQL of the project: when it is undone, and when it is applied."""
    return f"migrations.RunSQL({forwards!r}, {backwards!r})"


CHILD_AND_PARENT = sql(
    "INSERT INTO APP_line (id, order_id) VALUES (1, 7); INSERT INTO APP_order (id) VALUES (7)",
    "DELETE FROM APP_line; DELETE FROM APP_order",
)
FUNCTION = (
    "CREATE FUNCTION APP_f() RETURNS text LANGUAGE plpgsql AS $x$ BEGIN RETURN ';\\q'; END; $x$; "
    "UPDATE APP_item SET name = E'it\\'s;' || $$;$$"
)
# What the older release has goes in the newer one, so that going back makes it again.
EXTRA: dict[str, Story] = {
    "sql_that_looks_like_more": Story(
        [create("Item", **TEXT)],
        [
            sql("UPDATE APP_item SET name = 'it''s; $1 $2 :x :''y'' \\ %s %% --' /* ; */ WHERE name = 'a'; -- the end"),
            sql("INSERT INTO APP_item (name) VALUES ('a\n.quit\n/\ngo\n\\q\n;\n-- $django_rollback$ x')"),
            sql([("INSERT INTO APP_item (name) VALUES (%s)", ["50% \\ '$1;\n.quit"])]),
        ],
        ONE,
    ),
    "rows_before_schema": Story(LINES, [add("Line", "size", "models.IntegerField(null=True)"), CHILD_AND_PARENT]),
    "rows_after_schema": Story(LINES, [CHILD_AND_PARENT, add("Line", "size", "models.IntegerField(null=True)")]),
    "view_over_a_remade_table": Story(
        [*PLAIN, TAG, VIEW],
        [
            add("Item", "tag", to("Tag", ", null=True")),
            add("Item", "size", "models.IntegerField(null=True, db_index=True)"),
        ],
        ONE,
    ),
    "code_without_reverse": Story(
        PLAIN, [f"migrations.RunPython({NOTHING}, {NOTHING})", add("Item", "a", NUMBER)], ONE
    ),
    "no_operations": Story(PLAIN, [], ONE),
    "function": Story(
        [*PLAIN, sql("SELECT 1", FUNCTION)], [sql(FUNCTION, "DROP FUNCTION APP_f()")], TWO, on=ON_POSTGRESQL
    ),
    "concurrently": Story(
        [*PAIR, index('models.Index(fields=["b"], name="APP_old")')],
        [
            'operations.AddIndexConcurrently("Item", models.Index(fields=["a"], name="APP_slow"))',
            'operations.RemoveIndexConcurrently("Item", "APP_old")',
            sql("DROP INDEX CONCURRENTLY APP_sql", "CREATE INDEX CONCURRENTLY APP_sql ON APP_item (a, b)"),
        ],
        PAIRS,
        on=ON_POSTGRESQL,
    ),
}
NOT_ATOMIC = {"concurrently"}


# What cannot be recorded, and why.
UNRECORDED: dict[str, tuple[Story, str]] = {
    "code": (
        Story(PLAIN, [f"migrations.RunPython({NOTHING}, lambda apps, editor: None)", add("Item", "a", NUMBER)], ONE),
        "RunPython noop (operation 1) runs code of the project",
    ),
    "code_inside": (
        Story(
            PLAIN,
            [
                "migrations.SeparateDatabaseAndState(database_operations="
                f"[migrations.RunPython({NOTHING}, lambda apps, editor: None)])"
            ],
            ONE,
        ),
        "RunPython noop (operation 1, database operation 1) runs code of the project",
    ),
    "custom_operation": (
        Story(PLAIN, ['type("Custom", (migrations.AddField,), {})("Item", "a", models.IntegerField(default=0))'], ONE),
        "Custom (operation 1) runs code of the project",
    ),
    "computed_default": (
        Story([create("Item", day="models.DateTimeField(auto_now_add=True)")], [remove("Item", "day")]),
        "the default of computed_default.Item.day is computed when it is undone",
    ),
    "callable_default": (
        Story([create("Item", day="models.DateField(default=date.today)")], [remove("Item", "day")]),
        "the default of callable_default.Item.day is computed when it is undone",
    ),
}


class Operations(Site):
    """An app for each operation: v2 has those whose SQL is recorded, v3 the others."""

    def __init__(self, folder: Path, copy_database: CopyDatabase) -> None:
        super().__init__(folder, copy_database, 'STANDARD_MODEL = "swapped.Other"\n')
        vendor = self.project.database.vendor
        self.stories = {app: story for app, story in {**STORIES, **EXTRA}.items() if story.is_known(vendor)}
        self.unrecorded = {app: story for app, (story, _) in UNRECORDED.items()}
        both = {**self.stories, **self.unrecorded}
        self.deploy(
            "v1", {f"{app}.0001": story.source(app, story.v1) for app, story in both.items()}, rows(both, "rows")
        )
        self.deploy("v2", newer(self.stories), rows(self.stories, "new_rows"))
        self.deploy("v3", newer(self.unrecorded), rows(self.unrecorded, "new_rows"))

    @cached_property
    def by_django(self) -> dict[str, list[str]]:
        """What Django's own way back from v2 leaves."""
        trip = self.anew("v2")
        assert back(trip, "disk").returncode == 0
        self.assert_back(trip, with_rows=False)
        return untouched(trip.database)


def rows(stories: Mapping[str, Story], which: str) -> list[str]:
    return [text.replace("APP", app) for app, story in stories.items() for text in getattr(story, which)]


def newer(stories: Mapping[str, Story]) -> dict[str, str]:
    return {
        f"{app}.0002": story.source(app, story.v2, after=[f"{app}.0001"], atomic=app not in NOT_ATOMIC)
        for app, story in stories.items()
    }


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory, copy_database: CopyDatabase) -> Operations:
    return Operations(tmp_path_factory.mktemp("operations"), copy_database)


@pytest.mark.parametrize("way", ["sql", "capsule", "native"])
def test_every_operation(operations: Operations, way: str) -> None:
    """Each way takes all operations back, and leaves what Django's own way leaves, down to the names of constraints."""
    trip = operations.anew("v2")
    plan, *_, end = events(back(trip, way, "--format", "json"))
    same((ways_of(plan), plan["blockers"]), ({"sql" if way == "native" else way}, []))
    same((end["outcome"], end["verified"], end["notes"]), ("done", "same", []))
    operations.assert_back(trip, with_rows=False)
    same(untouched(trip.database), operations.by_django)


def test_every_operation_by_a_script(operations: Operations) -> None:
    """The script does the same."""
    trip = operations.anew("v2")
    ran = run_script(trip.database, script_of(trip))
    assert ran.returncode == 0, ran.stderr
    operations.assert_back(trip, with_rows=False)
    same(untouched(trip.database), operations.by_django)


def test_up_again_and_back_again(operations: Operations) -> None:
    """The newer release comes again, its SQL is recorded again, and that leads back again."""
    trip = operations.anew("v2")
    back(trip, "native")
    call(trip.project, ("migrate", "-v", "0"), ("save_migrations_state", "-v", "0"))
    same(oracle.schema(trip.database), oracle.schema(operations.at["v2"]))
    assert back(trip, "native").returncode == 0
    operations.assert_back(trip, with_rows=False)


def test_what_is_not_recorded(operations: Operations) -> None:
    """By recorded SQL alone it is refused, each with its reason and the release that has it; nothing is touched."""
    trip = operations.anew("v3")
    before = everything_in(trip.database)
    told = [f"{app}.0002 cannot be undone with `--way sql`: {reason}" for app, (_, reason) in UNRECORDED.items()]
    hint = f"allow another way, or run the command from the image or checkout of {operations.label('v3')}"
    for door in ("manage", "native"):
        for words in (["plan", "--way", "sql"], ["sql"]):
            result = run(trip.project, door, *words, "-t", "v1", "--format", "json", env=KEY)
            found = json.loads(result.stdout)["blockers"]
            same((result.returncode, sorted(each["message"] for each in found)), (1, sorted(told)))
            assert {(each["kind"], each["hint"]) for each in found} == {("not-that-way", hint)}
    assert back(trip, "sql").returncode == 1
    same(everything_in(trip.database), before)


def test_ways_side_by_side(operations: Operations) -> None:
    """Usually each step goes its best way, from the older code as well: states come from files and sources."""
    trip = operations.anew("v3", code="v1")
    plan, *_, end = events(back(trip, "", "--format", "json"))
    steps = {step["app"]: step["way"] for step in plan["steps"]}
    same(steps, {**dict.fromkeys(operations.stories, "sql"), **dict.fromkeys(UNRECORDED, "capsule")})
    same((end["outcome"], end["verified"]), ("done", "same"))
    operations.assert_back(trip, with_rows=False)


# Ways that are not open yet: each test says what is promised, and its mark what stands in the way.

TRIGGER = (
    "CREATE TRIGGER shop_t AFTER DELETE ON shop_item "
    "BEGIN DELETE FROM shop_item WHERE name = 'a;'; DELETE FROM shop_item WHERE name = 'b'; END"
)


@pytest.mark.parametrize("copy_database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("way", ["sql", "disk"])
def test_a_trigger_of_the_project(tmp_path: Path, copy_database: CopyDatabase, way: str) -> None:
    """SQLite's triggers hold statements, and semicolons between them."""
    site = Site(tmp_path, copy_database)
    made = f"migrations.RunSQL([{TRIGGER!r}], 'DROP TRIGGER shop_t')"
    site.deploy("v1", {"shop.0001": migration(create("Item", **NAMED), made)})
    site.deploy("v2", {"shop.0002": migration(sql([TRIGGER], "DROP TRIGGER shop_t"), after=["shop.0001"])})
    trip = site.anew("v2")
    assert back(trip, way).returncode == 0
    site.assert_back(trip)


def test_a_step_outside_transactions(tmp_path: Path, copy_database: CopyDatabase) -> None:
    """It is no step for recorded SQL, and the others before it are; one of them drops a table."""
    site = Site(tmp_path, copy_database)
    apart = migration(sql("UPDATE shop_item SET name = 'b'"), after=["shop.0001"], atomic=False)
    drops = migration(create("Cage"), after=["shop.0002"])
    site.deploy("v1", {"shop.0001": migration(create("Item", **NAMED))})
    site.deploy("v2", {"shop.0002": apart, "zoo.0001": drops})
    trip = site.anew("v2")
    refused = json.loads(run(trip.project, "manage", "plan", "-t", "v1", "--way", "sql", "--format", "json").stdout)
    reason = "shop.0002 cannot be undone with `--way sql`: it has an operation that must run outside a transaction"
    same([each["message"] for each in refused["blockers"]], [reason])
    plan, *_, end = events(back(trip, "", "--format", "json"))
    same(([step["way"] for step in plan["steps"]], end["outcome"]), (["sql", "disk"], "done"))
    site.assert_back(trip)


# One app

ITEM = migration(create("Item", **NAMED), create("Line", item='models.ForeignKey("shop.Item", models.CASCADE)'))
UNIQUE = 'migrations.AlterField("Item", "name", models.CharField(max_length=20, unique=True))'
# Undoing it remakes the table on SQLite, and drops a constraint whose name was recorded on PostgreSQL.
V2 = migration(add("Item", "a", NUMBER), UNIQUE, after=["shop.0001"])
CODE = """
    import json
    from shop.helpers import rename
    from . import more

    def back(apps, editor):
        rename(apps.get_model("shop", "Item"))
"""
HELPERS = {
    "shop/helpers.py": """
        def rename(model):
            model.objects.update(name="renamed")
    """,
    "shop/migrations/more/__init__.py": "",
}
V3 = migration(f"migrations.RunPython({NOTHING}, back)", after=["shop.0002"], code=CODE)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, copy_database: CopyDatabase) -> Site:
    """v0 has no app, v1 the first migration, v2 one that is recorded, v3 one that is code; v0 was never saved."""
    site = Site(tmp_path_factory.mktemp("shop"), copy_database)
    site.trip.write({})
    site.commits["v0"] = site.project.commit(tag="v0")
    site.deploy("v1", {"shop.0001": ITEM}, ["INSERT INTO shop_item (name) VALUES ('tea')"])
    site.deploy("v2", {"shop.0002": V2})
    site.deploy("v3", {"shop.0003": V3}, files=HELPERS)
    return site


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A folder in which nothing is."""
    return tmp_path


# Which way


@pytest.mark.parametrize(
    ("ways", "way"),
    [
        ([], "sql"),
        (["disk", "sql"], "disk"),
        (["capsule", "disk"], "capsule"),
        (["sql", "capsule"], "sql"),
        (["sql"], "sql"),
    ],
)
def test_the_setting(shop: Site, ways: list[str], way: str) -> None:
    """The first of those that are allowed, for `manage.py` by the setting WAYS; an option stands above it."""
    project = shop.look("v2")
    project.install_apps([*BASE_APPS, "shop"], extra=f'DJANGO_ROLLBACK = {{"WAYS": {ways}}}')
    for words, expected in (([], way), (["--way", "disk"], "disk")):
        result = run(project, "manage", "plan", "-t", "v1", "--format", "json", *words)
        same((result.returncode, ways_of(json.loads(result.stdout))), (0, {expected}))


def test_the_variable(shop: Site) -> None:
    """For the binary, and for what it hands over to `manage.py`."""
    trip = shop.anew("v2")
    variables = {**KEY, "DJANGO_ROLLBACK_WAYS": "disk", "DJANGO_ROLLBACK_PYTHON": trip.project.front}
    plan = json.loads(run(trip.project, "native", "plan", "-t", "v1", "--format", "json", env=variables).stdout)
    same(ways_of(plan), {"disk"})
    words = ["rollback", "-t", "v1", "--accept-data-loss", "--format", "json"]
    done, *_ = events(run(trip.project, "native", *words, env=variables))
    same(ways_of(done), {"disk"})


# No Python


def alone(trip: Trip, nowhere: Path, *words: str, key: str | None = KEY["DJANGO_ROLLBACK_KEY"]) -> Result:
    """The binary in an environment with nothing but the URL and the key."""
    variables = {"DATABASE_URL": trip.database.url, **({} if key is None else {"DJANGO_ROLLBACK_KEY": key})}
    command = [str(trip.project.binary()), *words]
    return subprocess.run(command, env=variables, cwd=nowhere, capture_output=True, encoding="utf-8", timeout=60)


def test_the_binary_needs_nothing(shop: Site, nowhere: Path) -> None:
    """Plan, rollback, status, list and history where there is neither Python nor a project nor a PATH."""
    trip = shop.anew("v2")
    before = everything_in(trip.database)
    plan = json.loads(alone(trip, nowhere, "plan", "-t", "v1", "--format", "json").stdout)
    same((plan["steps"], plan["blockers"]), ([{"app": "shop", "migration": "0002", "way": "sql"}], []))
    same((kinds(plan["warnings"]), plan["lost_rows"]), ([], 1))
    refused = alone(trip, nowhere, "rollback", "-t", "v1")
    assert (refused.returncode, "would lose 1 row or value" in refused.stderr) == (1, True), refused
    same(everything_in(trip.database), before)

    done = alone(trip, nowhere, "rollback", "-t", "v1", "--accept-data-loss")
    assert done.returncode == 0, done.stderr
    said = f"The database is back at {shop.label('v1')}, and its schema is the one that the release had.\n"
    assert done.stdout.endswith(said)
    shop.assert_back(trip)
    assert "the same as when it was saved" in alone(trip, nowhere, "status", key=None).stdout
    assert shop.commits["v1"] in alone(trip, nowhere, "list", key=None).stdout
    (last, *_) = json.loads(alone(trip, nowhere, "history", "--format", "json", key=None).stdout)["operations"]
    same((last["kind"], last["outcome"], last["verified"], last["lost_rows"]), ("rollback", "done", "same", 1))
    trip.up_again("v2")


def test_code_and_no_manage_py(shop: Site, nowhere: Path) -> None:
    """The blocker names the step that needs code and why, and not the one that does not."""
    trip = shop.anew("v3")
    before = everything_in(trip.database)
    result = alone(trip, nowhere, "rollback", "-t", "v1", "--accept-data-loss", "--format", "json")
    plan = json.loads(result.stdout)
    same((result.returncode, kinds(plan["blockers"])), (1, ["needs-python"]))
    same(
        plan["blockers"][0]["message"],
        "undoing needs the project's code, and no manage.py was found: "
        "shop.0003 (RunPython noop (operation 1) runs code of the project)",
    )
    same([step["way"] for step in plan["steps"]], ["disk", "sql"])
    same(everything_in(trip.database), before)


def test_sql_alone_runs_no_python(shop: Site) -> None:
    """Not even beside a project."""
    trip = shop.anew("v3")
    before = everything_in(trip.database)
    no_python = {**KEY, "DJANGO_ROLLBACK_PYTHON": "/nonexistent"}
    for words, variables in ((["--way", "sql"], no_python), ([], {**no_python, "DJANGO_ROLLBACK_WAYS": "sql"})):
        result = run(trip.project, "native", "rollback", "-t", "v1", *words, "--format", "json", env=variables)
        assert result.stdout, result.stderr
        same((result.returncode, kinds(json.loads(result.stdout)["blockers"])[0]), (1, "not-that-way"))
    same(everything_in(trip.database), before)


@pytest.mark.parametrize(("words", "key"), [(["--way", "capsule"], KEY["DJANGO_ROLLBACK_KEY"]), ([], "another secret")])
def test_every_blocker_has_its_reason(shop: Site, nowhere: Path, words: list[str], key: str) -> None:
    """Why the binary cannot take archived source, and why it needs Python where the key is not the right one."""
    trip = shop.anew("v2")
    result = alone(trip, nowhere, "rollback", "-t", "v1", *words, "--format", "json", key=key)
    for blocker in json.loads(result.stdout)["blockers"]:
        assert not blocker["message"].endswith(": "), blocker
        assert "its result cannot be checked" not in blocker["message"], blocker


UNTRUSTED = "the capsule of shop.0002 cannot be trusted: of the list that release {v2} was saved with, it is "
KEYS = {
    "no key": (None, "needs-python", "its signature cannot be checked: no key available"),
    "an empty key": ("", "needs-python", "its signature cannot be checked: no key available"),
    "another key": ("another secret", "untrusted", f"{UNTRUSTED}signed with a key that is not available"),
}


@pytest.mark.parametrize("given", KEYS)
def test_a_key_that_does_not_fit(shop: Site, nowhere: Path, given: str) -> None:
    """It is said, and nothing is touched."""
    trip = shop.anew("v2")
    before = everything_in(trip.database)
    key, kind, reason = KEYS[given]
    result = alone(trip, nowhere, "rollback", "-t", "v1", "--accept-data-loss", "--format", "json", key=key)
    blockers = json.loads(result.stdout)["blockers"]
    assert (result.returncode, kind in kinds(blockers)) == (1, True), result
    assert reason.format(v2=shop.label("v2")) in blockers[0]["message"]
    same(everything_in(trip.database), before)


def test_a_key_that_is_cut(shop: Site, nowhere: Path) -> None:
    """It is not taken for a secret."""
    trip = shop.anew("v2")
    result = alone(trip, nowhere, "plan", "-t", "v1", key="drk1_00")
    assert (result.returncode, "the key is cut or damaged" in result.stderr) == (2, True)


@pytest.mark.parametrize("how", ["exported", "secret"])
def test_a_key_in_a_file(shop: Site, nowhere: Path, how: str) -> None:
    """`--key-file` holds what `manage.py rollback key` prints, or the secret itself, and stands before the variable."""
    trip = shop.anew("v2")
    key = trip.project.manage("rollback", "key").stdout if how == "exported" else f"{KEY['DJANGO_ROLLBACK_KEY']}\n"
    (nowhere / "key").write_text(key)
    words = ["rollback", "-t", "v1", "--accept-data-loss"]
    assert alone(trip, nowhere, *words, "--key-file", "no", key=None).returncode == 2
    done = alone(trip, nowhere, *words, "--key-file", "key", key="another secret")
    assert done.returncode == 0, done.stderr
    shop.assert_back(trip)


def test_a_key_in_the_place_of_the_secret(tmp_path: Path, copy_database: CopyDatabase) -> None:
    """DJANGO_ROLLBACK_KEY signs, where it is set, what is recorded and what is saved."""
    project = Project(tmp_path / "project", database=copy_database(), ways=())
    trip = Trip(project, copy_database)
    variables = {"DJANGO_ROLLBACK_KEY": "a key of its own"}
    for tag, migrations in {"v1": {"shop.0001": ITEM}, "v2": {"shop.0002": V2}}.items():
        trip.write(migrations)
        project.commit(tag=tag)
        project.manage("migrate", "-v", "0", env=variables)
        project.manage("save_migrations_state", "-v", "0", env=variables)
    done = alone(trip, tmp_path, "rollback", "-t", "v1", key="a key of its own")
    assert done.returncode == 0, done.stdout


# Recorded SQL that does not do


KEEP = """
    import json
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader
    from django_rollback import _native
    from django_rollback.conf import secrets
    from django_rollback.connection import Connection
    from django_rollback.facts import capsule
    from django_rollback.interrupts import Interrupts

    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    kept = capsule(loader.disk_migrations["shop", "0002"], {recording!r})
    _native.keep(Connection(connection, Interrupts()), secrets(), json.dumps([kept]))
    call_command("save_migrations_state", "-v", "0")
"""
MORE = "CREATE TABLE shop_more (id integer)"
NOT_THE_SCHEMA = "after all steps the schema is not the one that"
# What stands in the place of the recorded statements, which are `...`, and what is said of it.
BROKEN = {
    "a statement that fails": (["DROP TABLE nowhere"], "shop.0002: "),
    "too little": ([], NOT_THE_SCHEMA),
    "too much": ([..., MORE], NOT_THE_SCHEMA),
}


def spoil(trip: Trip, statements: list[Any]) -> None:
    """Other statements are what was recorded of shop.0002, properly signed; `...` stands for the right ones."""
    right = recording_of(trip.database, "0002")
    found = [each for part in statements for each in (right["statements"] if part is ... else [part])]
    trip.project.run_python(KEEP.format(recording={**right, "statements": found}))


@pytest.mark.parametrize("broken", BROKEN)
def test_django_does_it_instead(shop: Site, broken: str) -> None:
    """What recorded SQL did is taken back, it is said, and the same rollback succeeds by the file."""
    statements, reason = BROKEN[broken]
    trip = shop.anew("v2")
    spoil(trip, statements)
    result = back(trip, "", "--format", "json")
    first, *_, end = events(result)
    same((ways_of(first), ways_of(end), end["verified"]), ({"sql"}, {"disk"}, "same"))
    (warning,) = re.findall(r"^Warning: .*", result.stderr, re.M)
    assert re.fullmatch(rf"Warning: recorded SQL failed \({reason}.*\) and was rolled back; .*", warning)
    shop.assert_back(trip)
    same([each["outcome"] for each in trip.history()[:2]], ["done", "failed"])


def test_the_binary_asks_manage_py_instead(shop: Site, nowhere: Path) -> None:
    """With a project beside it the same happens through the binary; without one it fails, and nothing is changed."""
    trip = shop.anew("v2")
    spoil(trip, [])
    before = untouched(trip.database)
    words = ["rollback", "-t", "v1", "--accept-data-loss"]
    for result in (
        alone(trip, nowhere, *words),
        alone(trip, trip.project.root, *words, "--way", "sql"),
        back(trip, "sql"),
    ):
        assert (result.returncode, NOT_THE_SCHEMA in result.stderr) == (1, True), result.stderr
        assert "everything is as it was before" in result.stderr
        same(untouched(trip.database), before)
    result = run(trip.project, "native", *words, env={**KEY, "DJANGO_ROLLBACK_PYTHON": trip.project.front})
    assert (result.returncode, "Warning: recorded SQL failed" in result.stderr) == (0, True), result.stderr
    shop.assert_back(trip)
    same([each["kind"] for each in trip.history()[:3]], ["rollback", "hand-over", "rollback"])


def test_the_old_image_takes_the_archived_source_instead(shop: Site) -> None:
    """Django's own way has no file there."""
    trip = shop.anew("v2")
    spoil(trip, [])
    trip.project.checkout("v1")
    first, *_, end = events(back(trip, "", "--format", "json"))
    same((ways_of(first), ways_of(end), end["verified"]), ({"sql"}, {"capsule"}, "same"))
    shop.assert_back(trip)


@pytest.mark.parametrize("copy_database", ["postgres"], indirect=True)
def test_a_constraint_renamed_by_hand(shop: Site) -> None:
    """What was recorded drops it by its name; Django looks for it, and finds it."""
    trip = shop.anew("v2")
    ((name,),) = trip.database.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'shop_item'::regclass AND contype = 'u'"
    )
    trip.execute(f'ALTER TABLE shop_item RENAME CONSTRAINT "{name}" TO by_hand')
    result = back(trip)
    assert (result.returncode, "recorded SQL failed" in result.stderr) == (0, True), result.stderr
    shop.assert_back(trip)


def test_flaws_of_django(tmp_path: Path, copy_database: CopyDatabase) -> None:
    """What Django does not take back exactly, its recorded SQL does not either: neither way goes through."""
    site = Site(tmp_path, copy_database)
    stories = {app: story for app, (story, _) in FLAWS.items() if story.is_known(site.project.database.vendor)}
    site.deploy(
        "v1", {f"{app}.0001": story.source(app, story.v1) for app, story in stories.items()}, rows(stories, "rows")
    )
    site.deploy("v2", newer(stories))
    trip = site.anew("v2")
    before = untouched(trip.database)
    for way in ("sql", ""):
        result = back(trip, way)
        assert (result.returncode, "after all steps the schema is not the one that" in result.stderr) == (1, True)
        same(untouched(trip.database), before)


# The script


def script_of(trip: Trip, tag: str = "v1") -> str:
    """What `sql` writes."""
    result = run(trip.project, "native", "sql", "-t", tag, env=KEY)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def run_script(database: Database, text: str, *, in_one_transaction: bool = True) -> Result:
    """Run it as its heading says, by the database's own program, or by the driver where there is none."""
    if database.vendor == "sqlite":
        command = ["sqlite3", database.name]
    else:
        beside = find_programs() / "psql"
        command = [str(beside) if beside.is_file() else "psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", "-", database.url]
        command += ["-1"] * in_one_transaction
    if shutil.which(command[0]):
        return subprocess.run(command, input=text, capture_output=True, encoding="utf-8", timeout=60)
    text = re.sub(r"(?m)^(\.bail|\\set) .*$", "", text, count=1)
    texts = ["BEGIN", text, "COMMIT"] if database.vendor == "postgresql" else [text]
    return run_by_driver(database, texts if in_one_transaction else text.split(";\n"))


def run_by_driver(database: Database, texts: Iterable[str]) -> Result:
    with database.connect() as connection:
        run_all = connection.execute if database.vendor == "postgresql" else connection.executescript
        try:
            for text in texts:
                run_all(text)
        except Exception as error:
            return Result([], 1, "", str(error))
    return Result([], 0, "", "")


def history_of(database: Database) -> list[tuple[Any, ...]]:
    """History but for the clock, and for what tells one run from another."""
    lines = database.execute(f"SELECT id, kind, outcome, body FROM {HISTORY} ORDER BY id")
    told_apart = {"token": None, "verified": None}
    return [(*line, {**json.loads(body), **told_apart}) for *line, body in lines]


def test_a_script_leaves_what_we_leave(shop: Site) -> None:
    """Schema, rows, records, releases and history; what checked it is another one."""
    ours = shop.anew("v2").database
    assert back(shop.trip, "sql").returncode == 0
    trip = shop.anew("v2")
    text = script_of(trip)
    assert script_of(trip) != text, "each has a token of its own"
    assert run(trip.project, "manage", "sql", "-t", "v1").stdout.splitlines()[1:4] == text.splitlines()[1:4]
    ran = run_script(trip.database, text)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    same(untouched(trip.database), untouched(ours))
    same(history_of(trip.database), history_of(ours))
    assert trip.history()[0]["verified"] == "script"
    shop.assert_back(trip)
    trip.up_again("v2")


def apply_more(trip: Trip) -> None:
    trip.write({"shop.0003": migration(add("Item", "b", NUMBER), after=["shop.0002"])})
    trip.project.manage("migrate", "-v", "0")


def save_again(trip: Trip) -> None:
    trip.project.manage("save_migrations_state", "-v", "0", "--commit", UNKNOWN)


# What happens between the writing of the script and its run, and what it says then.
CHANGES = {
    "it ran": (lambda trip: run_script(trip.database, script_of(trip)), "applied migrations"),
    "we ran": (lambda trip: back(trip, "sql"), "applied migrations"),
    "a migration was applied": (apply_more, "applied migrations"),
    "a record is gone": (
        lambda trip: trip.execute("DELETE FROM django_migrations WHERE app = 'contenttypes' AND name LIKE '0002%'"),
        "applied migrations",
    ),
    "a release was saved": (save_again, "current release"),
    "a release has another commit": (
        lambda trip: trip.execute(
            f"UPDATE django_rollback_appsstate SET \"commit\" = '{UNKNOWN}' WHERE tags LIKE '%v2%'"
        ),
        "current release",
    ),
    "a table has another name": (lambda trip: trip.execute("ALTER TABLE shop_item RENAME TO shop_thing"), "shop_item"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_script_for_another_state(shop: Site, change: str) -> None:
    """It ends at its check, or at the statement that fails, with an exit code, and changes nothing."""
    make, reason = CHANGES[change]
    trip = shop.anew("v2")
    text = script_of(trip)
    make(trip)
    before = everything_in(trip.database)
    ran = run_script(trip.database, text)
    assert ran.returncode != 0 and reason in ran.stderr, ran
    same(everything_in(trip.database), before)


SPOILED = {
    "a column is left": ("columns are not those", "schema is not the one", lambda line: "DROP COLUMN" in line),
    "a record is left": (
        "does not hold what",
        "does not hold what",
        lambda line: line.startswith("DELETE FROM django_m"),
    ),
}


@pytest.mark.parametrize("spoiled", SPOILED)
def test_a_script_checks_its_result(shop: Site, spoiled: str) -> None:
    """Where its statements do not lead to the release, nothing is changed either."""
    *reasons, is_left_out = SPOILED[spoiled]
    trip = shop.anew("v2")
    lines = script_of(trip).splitlines(keepends=True)
    text = "".join(line for line in lines if not is_left_out(line))
    assert len(text) < sum(map(len, lines))
    before = everything_in(trip.database)
    ran = run_script(trip.database, text)
    assert ran.returncode != 0 and reasons[trip.database.vendor == "postgresql"] in ran.stderr, ran
    same(everything_in(trip.database), before)


@pytest.mark.parametrize("copy_database", ["postgres"], indirect=True)
def test_a_script_outside_a_transaction(shop: Site) -> None:
    """It ends before it has begun."""
    trip = shop.anew("v2")
    before = everything_in(trip.database)
    ran = run_script(trip.database, script_of(trip), in_one_transaction=False)
    assert ran.returncode != 0 and "LOCK TABLE can only be used in transaction blocks" in ran.stderr, ran
    same(everything_in(trip.database), before)


def test_a_script_finds_broken_references(shop: Site) -> None:
    """A row that refers to one that is not there is found before the commit."""
    trip = shop.anew("v2")
    spoil(trip, ["INSERT INTO shop_line (item_id) VALUES (77)", ...])
    before = everything_in(trip.database)
    ran = run_script(trip.database, script_of(trip))
    assert ran.returncode != 0 and ("refers to another one" in ran.stderr or "foreign key" in ran.stderr), ran
    same(everything_in(trip.database), before)
    result = alone(trip, trip.project.root.parent, "rollback", "-t", "v1", "--accept-data-loss")
    assert (result.returncode, "everything is as it was before" in result.stderr) == (1, True), result


@pytest.mark.parametrize("copy_database", ["postgres"], indirect=True)
def test_a_script_whose_rows_fit_in_the_end(shop: Site) -> None:
    """A row may come before the one that it refers to, and a change of the schema between them, as in our own run."""
    child, parent = (
        "INSERT INTO shop_line (item_id) VALUES (77)",
        "INSERT INTO shop_item (id, name) VALUES (77, 'late')",
    )
    for go_back in (lambda trip: back(trip, "sql"), lambda trip: run_script(trip.database, script_of(trip))):
        trip = shop.anew("v2")
        spoil(trip, [child, ..., parent])
        assert go_back(trip).returncode == 0
        shop.assert_back(trip, with_rows=False)


@pytest.mark.parametrize("how", ["sql", "native", "script"])
def test_what_was_made_by_hand(shop: Site, how: str) -> None:
    """It stays where it is: by recorded SQL through both doors, and by its script."""
    trip = shop.anew("v2")
    trip.execute("CREATE INDEX by_hand ON shop_item (id, name)", "CREATE VIEW names AS SELECT name FROM shop_item")
    by_hand = [line for line in oracle.schema(trip.database).splitlines() if re.match("view|.* by_hand", line)]
    ended = back(trip, how) if how != "script" else run_script(trip.database, script_of(trip))
    assert ended.returncode == 0, ended.stderr
    found = oracle.schema(trip.database).splitlines()
    same([line for line in found if line in by_hand], by_hand)


# Is the database ahead of this code?


def ahead_of(site: Site, code: str, *words: str, door: str = "manage", **options: Any) -> Result:
    """Ask with the code of a release, of the database at v2."""
    return run(site.look("v2", code=code), door, "guard", *words, **options)


DOORS = {"manage": "manage.py rollback_migrations", "native": "django-rollback rollback"}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("words", "code"), [((), 1), (("--on-ahead", "fail"), 1), (("--on-ahead", "warn"), 0)])
def test_an_old_image_on_a_newer_database(shop: Site, door: str, words: tuple[str, ...], code: int) -> None:
    """It is said what is ahead, which release brought it and what takes it back; the exit code is the one asked for."""
    before = everything_in(shop.at["v2"])
    result = ahead_of(shop, "v1", *words, door=door)
    said = re.sub(r"saved at \S+Z", "saved at …", result.stderr)
    same(
        (result.returncode, result.stdout, said),
        (
            code,
            "",
            f"The database is ahead of this code (brought by {shop.label('v2')}, saved at …):\n  - shop.0002\n"
            f"`{DOORS[door]} -c {shop.commits['v1'][:7]}` takes the database back to this code.\n",
        ),
    )
    document = json.loads(run(shop.project, door, "guard", "--format", "json").stdout)
    told = {key: document[key] for key in ("format", "ahead", "migrations", "command")}
    command = f"{DOORS[door]} -c {shop.commits['v1'][:7]}"
    same(told, {"format": 1, "ahead": True, "migrations": [["shop", "0002"]], "command": command})
    places = [document["current"], document["target"], *document["brought_by"]]
    same([each["commit"] for each in places], [shop.commits[tag] for tag in ("v2", "v1", "v2")])
    same(everything_in(shop.at["v2"]), before)


@pytest.mark.parametrize("door", DOORS)
def test_code_that_is_not_behind(shop: Site, door: str) -> None:
    """The release itself, and one that the database has not come to yet."""
    result = ahead_of(shop, "v2", door=door)
    fine = f"The database is not ahead of this code; its release is {shop.label('v2')}.\n"
    same((result.returncode, result.stdout, result.stderr), (0, fine, ""))
    document = json.loads(run(shop.project, door, "guard", "--format", "json").stdout)
    same((document["ahead"], document["migrations"], document["command"]), (False, [], None))
    later = ahead_of(shop, "v3")
    same((later.returncode, later.stdout), (0, fine))


def test_a_commit_that_was_never_saved(shop: Site, nowhere: Path) -> None:
    """Django's door compares the files of migrations; the binary has none, and says so."""
    project = shop.look("v2", code="v1")
    unsaved = {"DJANGO_ROLLBACK_COMMIT": UNKNOWN}
    document = json.loads(run(project, "manage", "guard", "--format", "json", env=unsaved).stdout)
    same((document["migrations"], document["target"]["commit"]), ([["shop", "0002"]], shop.commits["v1"]))
    result = run(project, "native", "guard", "--on-ahead", "rollback", env=unsaved)
    same((result.returncode, f"commit {UNKNOWN} was never saved in this database" in result.stderr), (1, True))
    unknown = run(project, "native", "guard", cwd=nowhere)
    same((unknown.returncode, "the commit of this deploy is not known" in unknown.stderr), (1, True))


@pytest.mark.parametrize(
    ("code", "migrations", "target"),
    [("v1", [["shop", "0002"]], "v1"), ("v0", [["shop", "0002"], ["shop", "0001"]], "")],
)
def test_no_commit(shop: Site, nowhere: Path, code: str, migrations: list[list[str]], target: str) -> None:
    """Without git the files tell; and code from before the first release has nowhere to go back to."""
    image = image_of(shop.look("v2", code=code), nowhere / "image")
    before = everything_in(shop.at["v2"])
    result = run(image, "manage", "guard", "--format", "json", env={"PATH": "/nonexistent"})
    document = json.loads(result.stdout)
    found = (document["target"] or {"commit": None})["commit"]
    same((result.returncode, document["migrations"], found), (1, migrations, shop.commits.get(target)))
    words = ["--on-ahead", "rollback" if code == "v0" else "fail", "--accept-data-loss"]
    refused = run(image, "manage", "guard", *words)
    said = "No saved release fits this code." if code == "v0" else f"-c {shop.commits['v1'][:7]}` takes"
    same((refused.returncode, said in refused.stderr), (1, True))
    same(everything_in(shop.at["v2"]), before)


def image_of(project: Project, folder: Path) -> Project:
    """The work tree as an image has it: without its repository."""
    shutil.copytree(project.root, folder, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    image = Project.__new__(Project)
    image.__dict__.update(project.__dict__, root=folder)
    return image


@pytest.mark.parametrize("door", DOORS)
def test_back_to_the_code(shop: Site, door: str) -> None:
    """It goes back as `rollback` does: data is lost only when that is accepted, and it is no use to say it twice."""
    trip = shop.anew("v2", code="v1")
    before = everything_in(trip.database)
    refused = run(trip.project, door, "guard", "--on-ahead", "rollback", env=KEY)
    same((refused.returncode, "would lose 1 row or value" in refused.stderr), (1, True))
    same(everything_in(trip.database), before)
    words = ["guard", "--on-ahead", "rollback", "--accept-data-loss", "--format", "json"]
    plan, *_, end = events(run(trip.project, door, *words, env=KEY))
    same((ways_of(plan), end["outcome"], end["verified"]), ({"sql"}, "done", "same"))
    shop.assert_back(trip)
    document = json.loads(run(trip.project, door, *words, env=KEY).stdout)
    same((document["ahead"], document["target"]["commit"]), (False, shop.commits["v1"]))


def test_before_the_first_release(project: Project) -> None:
    """There is nothing to compare with, which is fine."""
    project.install_apps(BASE_APPS)
    project.commit()
    project.manage("migrate", "-v", "0")
    for door in DOORS:
        text, document = (run(project, door, "guard", *words) for words in ([], ["--format", "json"]))
        said = "No release is saved yet: nothing to compare this code with.\n"
        same((text.returncode, text.stdout), (0, said))
        same(json.loads(document.stdout), {"format": 1, "ahead": False, "current": None})


@pytest.mark.parametrize(("setting", "id", "code"), [("warn", "rollback.W003", 0), ("fail", "rollback.E005", 1)])
def test_the_system_check(shop: Site, setting: str, id: str, code: int) -> None:
    """It says the same as `guard`; the commands that take the database back are not stopped by it."""
    trip = shop.anew("v2", code="v1")
    trip.project.install_apps([*BASE_APPS, "shop"], extra=f'DJANGO_ROLLBACK = {{"ON_AHEAD": {setting!r}}}')
    result = trip.project.manage("check", check=False)
    same((result.returncode, f"({id}) The database is ahead of this code" in result.stderr), (code, True))
    assert f"`manage.py rollback_migrations -c {shop.commits['v1'][:7]}` takes the database back" in result.stderr
    migrate = trip.project.manage("migrate", check=False)
    same((migrate.returncode, id in migrate.stderr), (code, True))
    trip.project.manage("rollback_migrations", "-t", "v1")
    shop.assert_back(trip)
    assert id not in trip.project.manage("check").stderr


# What is kept


def capsule_of(database: Database, name: str, app: str = "shop") -> dict[str, Any]:
    """The newest capsule of a migration."""
    query = f"SELECT body FROM django_rollback_capsule WHERE app = '{app}' AND name = '{name}' ORDER BY id DESC LIMIT 1"
    ((body,),) = database.execute(query)
    return json.loads(body)


def archived(database: Database, hash: str) -> str:
    ((body,),) = database.execute(f"SELECT body FROM django_rollback_archive WHERE hash = '{hash}'")
    return zlib.decompress(base64.b64decode(body)).decode()


def recording_of(database: Database, name: str) -> dict[str, Any]:
    """The recorded SQL of a migration of the shop, with its effects."""
    return json.loads(archived(database, capsule_of(database, name)["reverse"]["recorded"]["hash"]))


def test_what_a_capsule_holds(shop: Site) -> None:
    """The source and its hash, what is imported, every operation with whether it goes back, and the SQL or why not."""
    database, project = shop.at["v3"], shop.project
    found = {name: capsule_of(database, name) for name in ("0001", "0002", "0003")}
    for name, capsule in found.items():
        text = project.git("show", f"v3:shop/migrations/{name}.py")
        same(archived(database, capsule["source"]).strip(), text)
        same(capsule["source"], hashlib.sha256(archived(database, capsule["source"]).encode()).hexdigest())
    operations = {name: [(each["kind"], each["reversible"]) for each in found[name]["operations"]] for name in found}
    same(
        operations,
        {
            "0001": [("CreateModel", True), ("CreateModel", True)],
            "0002": [("AddField", True), ("AlterField", True)],
            "0003": [("RunPython", True)],
        },
    )
    same([found[name]["imports"] for name in found], [[], [], ["shop.helpers", "shop.migrations"]])
    same(found["0001"]["reverse"], {"missing": {"reason": "it was applied when nothing recorded its SQL"}})
    same(found["0003"]["reverse"], {"missing": {"reason": "RunPython noop (operation 1) runs code of the project"}})
    same(found["0002"]["reverse"]["recorded"]["vendor"], database.vendor)
    recording = recording_of(database, "0002")
    assert recording["statements"] and {effect["table"] for effect in recording["effects"]} == {"shop_item"}
    signatures = database.execute("SELECT DISTINCT length(signature), key_id FROM django_rollback_capsule")
    same([length for length, _ in signatures], [64])


def kept(database: Database) -> dict[str, list[str]]:
    tables = ("django_rollback_capsule", "django_rollback_archive")
    return {table: rows for table, rows in everything_in(database).items() if table in tables}


def test_nothing_is_recorded_before_the_first_release(project: Project, new_database: NewDatabase) -> None:
    """Nor where there is nothing to do, nor what is only said to be applied."""
    trip = Trip(project, new_database)
    trip.write({"shop.0001": ITEM})
    project.commit(tag="v1")
    project.manage("migrate", "-v", "0")
    same(kept(trip.database), {"django_rollback_capsule": [], "django_rollback_archive": []})
    call(project, ("save_migrations_state", "-v", "0"))
    before = everything_in(trip.database)
    call(project, ("migrate", "-v", "0"), ("save_migrations_state", "-v", "0"), ("migrate", "-v", "0"))
    same(everything_in(trip.database), before)
    trip.write({"shop.0002": V2})
    project.manage("migrate", "-v", "0", "--fake")
    same(kept(trip.database), {table: before[table] for table in kept(trip.database)})


def test_a_migrate_that_fails(project: Project, new_database: NewDatabase) -> None:
    """What it has applied is recorded; what it has not is not."""
    trip = Trip(project, new_database)
    trip.deploy("v1", {"shop.0001": ITEM})
    trip.write({"shop.0002": V2, "shop.0003": migration('migrations.RunSQL("nonsense")', after=["shop.0002"])})
    assert project.manage("migrate", "-v", "0", check=False).returncode == 1
    assert recording_of(trip.database, "0002")["statements"]
    same(trip.database.execute("SELECT count(*) FROM django_rollback_capsule WHERE name = '0003'"), [(0,)])


def test_what_one_process_undoes_is_not_recorded(project: Project, new_database: NewDatabase) -> None:
    """`migrate` backwards records nothing, and forwards once more what was recorded before."""
    trip = Trip(project, new_database)
    trip.deploy("v1", {"shop.0001": ITEM})
    trip.deploy("v2", {"shop.0002": V2})
    before = recording_of(trip.database, "0002")
    kept_before = kept(trip.database)
    project.manage("migrate", "shop", "0001", "-v", "0")
    same(kept(trip.database), kept_before)
    project.manage("migrate", "-v", "0")
    same(recording_of(trip.database, "0002"), before)
