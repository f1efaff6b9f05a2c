"""What a rollback sees before the first lock: rows that do not fit any more, and all that the database would refuse.

What does not fit is held against Django's own executor, which undoes the same migrations on a copy of the database.
Each story is an app of its own, and one plan has them all.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from conftest import CopyDatabase, NewDatabase
from harness import oracle
from harness.database import Database
from harness.postgres import Cluster
from harness.project import Project
from scenarios import NAMED, NUMBER, Trip, add, create, kinds, migration, same
from two_releases import everything_in, run

INTEGER = "models.IntegerField()"
NULLABLE = "models.IntegerField(null=True)"
CODE_OF_DEFAULT = 'FIVE = {"db_default": 5} if django.VERSION >= (5, 0) else {"default": 5}\n'
BACK = ("rollback", "-t", "v1", "--accept-data-loss")


def text(length: int, more: str = "") -> str:
    return f"models.CharField(max_length={length}{more})"


def decimal(digits: int, places: int) -> str:
    return f"models.DecimalField(max_digits={digits}, decimal_places={places})"


def alter(model: str, name: str, definition: str) -> str:
    return f"migrations.AlterField({model!r}, {name!r}, {definition})"


def remove(model: str, name: str) -> str:
    return f"migrations.RemoveField({model!r}, {name!r})"


@dataclass(frozen=True)
class Story:
    """One app: what its first migration does and what each of the newer ones does; the rows that are there then.

    `unfit` is what the plan has to say: the migration, and the beginning of the sentence; `on` is where: SQLite does
    not enforce every type. `mend` makes the rows fit.
    """

    v1: list[str]
    v2: list[str]
    rows: list[str]
    unfit: list[str] = field(default_factory=list)
    mend: list[str] = field(default_factory=list)
    on: tuple[str, ...] = ("sqlite", "postgresql")
    code: str = ""


POSTGRESQL = ("postgresql",)
SIZED = create("Item", **NAMED, size=INTEGER)
NO_SIZE = ["UPDATE APP_item SET size = 0 WHERE size IS NULL"]
NONE_LEFT = ["DELETE FROM APP_item"]
ONE_OF_EACH = ["DELETE FROM APP_item WHERE id = 1"]
TWO_WITHOUT_SIZE = ["INSERT INTO APP_item (id, name, size) VALUES (1, 'a', NULL), (2, 'b', NULL), (3, 'c', 3)"]
PAIR = create("Item", a=NULLABLE, b=NULLABLE)
TWO_PAIRS = ["INSERT INTO APP_item (id, a, b) VALUES (1, 1, 1), (2, 1, 1), (3, 1, 2), (4, 1, NULL), (5, 1, NULL)"]
BOTH = 'models.UniqueConstraint(fields=["a", "b"], name="APP_both"'
SHARED = "0002 2 rows of APP_item share their values with another row in {}"
COMES_BACK = "0002 APP_item has 2 rows, and a column comes back that is NOT NULL and has no default"
TWO_ITEMS = ["INSERT INTO APP_item (id, name) VALUES (1, 'a'), (2, 'b')"]

STORIES = {
    # Text
    "shorter_text": Story(
        [create("Item", name=text(20))],
        [alter("Item", "name", text(100))],
        [f"INSERT INTO APP_item (name) VALUES ('{'a' * 21}'), ('{'b' * 100}'), ('{'c' * 20}'), ('{'é' * 20}')"],
        ["0002 2 rows of APP_item have a text in name longer than 20 characters"],
        NONE_LEFT,
        on=POSTGRESQL,
    ),
    "text_that_fits": Story(
        [create("Item", name=text(20, ", null=True"))],
        [alter("Item", "name", text(100, ", null=True"))],
        [f"INSERT INTO APP_item (name) VALUES ('{'c' * 20}'), ('{'é' * 20}'), (NULL), ('')"],
    ),
    "longer_text": Story(
        [create("Item", name=text(100))],
        [alter("Item", "name", text(20))],
        ["INSERT INTO APP_item (name) VALUES ('a')"],
    ),
    "shorter_in_two_steps": Story(
        [create("Item", name=text(10))],
        [alter("Item", "name", text(20)), alter("Item", "name", text(30))],
        [f"INSERT INTO APP_item (name) VALUES ('{'a' * 15}'), ('{'b' * 15}'), ('{'c' * 25}'), ('{'d' * 25}')"],
        [
            "0003 2 rows of APP_item have a text in name longer than 20 characters",
            "0002 4 rows of APP_item have a text in name longer than 10 characters",
        ],
        NONE_LEFT,
        on=POSTGRESQL,
    ),
    "names_of_now": Story(
        [create("Item", name=text(20))],
        [
            alter("Item", "name", text(100)),
            'migrations.RenameField("Item", "name", "title")',
            'migrations.RenameModel("Item", "Product")',
        ],
        [f"INSERT INTO APP_product (title) VALUES ('{'a' * 21}'), ('{'b' * 100}')"],
        ["0002 2 rows of APP_product have a text in title longer than 20 characters"],
        ["DELETE FROM APP_product"],
        on=POSTGRESQL,
    ),
    # NULL
    "null": Story(
        [SIZED],
        [alter("Item", "size", NULLABLE)],
        TWO_WITHOUT_SIZE,
        ["0002 2 rows of APP_item have NULL in size"],
        NO_SIZE,
    ),
    "no_null": Story([SIZED], [alter("Item", "size", NULLABLE)], ["INSERT INTO APP_item (name, size) VALUES ('a', 1)"]),
    "null_and_a_default": Story(
        [create("Item", **NAMED, size="models.IntegerField(default=5)")],
        [alter("Item", "size", NULLABLE)],
        TWO_WITHOUT_SIZE,
    ),
    "null_and_the_same_default": Story(
        [create("Item", **NAMED, size="models.IntegerField(default=5)")],
        [alter("Item", "size", "models.IntegerField(default=5, null=True)")],
        TWO_WITHOUT_SIZE,
        mend=NO_SIZE,
    ),
    "null_and_a_default_of_the_database": Story(
        [create("Item", **NAMED, size="models.IntegerField(**FIVE)")],
        [alter("Item", "size", NULLABLE)],
        TWO_WITHOUT_SIZE,
        code=CODE_OF_DEFAULT,
    ),
    # These two Django fills in on SQLite alone.
    "null_and_a_blank_text": Story(
        [create("Item", name=text(20, ", blank=True"))],
        [alter("Item", "name", text(20, ", blank=True, null=True"))],
        ["INSERT INTO APP_item (name) VALUES (NULL), (NULL), ('a')"],
        ["0002 2 rows of APP_item have NULL in name"],
        ["UPDATE APP_item SET name = '' WHERE name IS NULL"],
        on=POSTGRESQL,
    ),
    "null_and_a_time_of_creation": Story(
        [create("Item", created="models.DateTimeField(auto_now_add=True)")],
        [alter("Item", "created", "models.DateTimeField(null=True)")],
        ["INSERT INTO APP_item (created) VALUES (NULL), (NULL)"],
        ["0002 2 rows of APP_item have NULL in created"],
        NONE_LEFT,
        on=POSTGRESQL,
    ),
    "null_and_a_text": Story(
        [create("Item", name=text(20))],
        [alter("Item", "name", text(20, ", null=True"))],
        ["INSERT INTO APP_item (name) VALUES (NULL), (NULL), ('a')"],
        ["0002 2 rows of APP_item have NULL in name"],
        ["UPDATE APP_item SET name = '' WHERE name IS NULL"],
    ),
    "null_in_a_named_column": Story(
        [create("Item", size='models.IntegerField(db_column="Unit Size")')],
        [alter("Item", "size", 'models.IntegerField(db_column="Unit Size", null=True)')],
        ['INSERT INTO APP_item ("Unit Size") VALUES (NULL), (NULL), (1)'],
        ["0002 2 rows of APP_item have NULL in Unit Size"],
        NONE_LEFT,
    ),
    "null_in_a_foreign_key": Story(
        [create("Tag", **NAMED), create("Item", tag='models.ForeignKey("APP.Tag", models.CASCADE)')],
        [alter("Item", "tag", 'models.ForeignKey("APP.Tag", models.CASCADE, null=True)')],
        ["INSERT INTO APP_item (tag_id) VALUES (NULL), (NULL)"],
        ["0002 2 rows of APP_item have NULL in tag_id"],
        NONE_LEFT,
    ),
    # Numbers
    "smaller_integer": Story(
        [create("Item", size=INTEGER)],
        [alter("Item", "size", "models.BigIntegerField()")],
        ["INSERT INTO APP_item (size) VALUES (2147483648), (-2147483649), (2147483647), (-2147483648)"],
        ["0002 2 rows of APP_item have a number in size outside -2147483648 to 2147483647"],
        NONE_LEFT,
        on=POSTGRESQL,
    ),
    "small_integer": Story(
        [create("Item", size="models.SmallIntegerField()")],
        [alter("Item", "size", INTEGER)],
        ["INSERT INTO APP_item (size) VALUES (32768), (-32769), (32767), (-32768)"],
        ["0002 2 rows of APP_item have a number in size outside -32768 to 32767"],
        NONE_LEFT,
        on=POSTGRESQL,
    ),
    "smaller_and_smaller": Story(
        [create("Item", size="models.PositiveSmallIntegerField()")],
        [
            alter("Item", "size", "models.PositiveIntegerField()"),
            alter("Item", "size", "models.PositiveBigIntegerField()"),
        ],
        ["INSERT INTO APP_item (size) VALUES (40000), (40001), (3000000000), (3000000001)"],
        [
            "0003 2 rows of APP_item have a number in size outside -2147483648 to 2147483647",
            "0002 4 rows of APP_item have a number in size outside -32768 to 32767",
        ],
        NONE_LEFT,
        on=POSTGRESQL,
    ),
    "smaller_primary_key": Story(
        [
            create("Item", id="models.AutoField(primary_key=True)"),
            create("Line", item='models.ForeignKey("APP.Item", models.CASCADE)'),
        ],
        [alter("Item", "id", "models.BigAutoField(primary_key=True)")],
        [
            "INSERT INTO APP_item (id) VALUES (3000000000), (3000000001), (1)",
            "INSERT INTO APP_line (item_id) VALUES (1)",
        ],
        ["0002 2 rows of APP_item have a number in id outside -2147483648 to 2147483647"],
        ["DELETE FROM APP_item WHERE id > 1"],
        on=POSTGRESQL,
    ),
    "fewer_digits": Story(
        [create("Item", price=decimal(5, 2))],
        [alter("Item", "price", decimal(9, 2))],
        ["INSERT INTO APP_item (price) VALUES (1000), (-1000), (999.99), (-999.99)"],
        ["0002 2 rows of APP_item have a number in price with more than 3 digits before the point"],
        NONE_LEFT,
        on=POSTGRESQL,
    ),
    "fewer_digits_that_fit": Story(
        [create("Item", price=decimal(5, 2))],
        [alter("Item", "price", decimal(9, 4))],
        ["INSERT INTO APP_item (price) VALUES (999.9949), (0)"],
    ),
    "fewer_digits_after_rounding": Story(
        [create("Item", price=decimal(5, 2))],
        [alter("Item", "price", decimal(9, 4))],
        ["INSERT INTO APP_item (price) VALUES (999.9951), (-999.9999)"],
        ["0002 2 rows of APP_item have a number in price with more than 3 digits before the point"],
        NONE_LEFT,
        on=POSTGRESQL,
    ),
    # One of each
    "unique": Story(
        [create("Item", name=text(20, ", unique=True, null=True"))],
        [alter("Item", "name", text(20, ", null=True"))],
        ["INSERT INTO APP_item (id, name) VALUES (1, 'a'), (2, 'a'), (3, 'b'), (4, NULL), (5, NULL)"],
        [SHARED.format("name")],
        ONE_OF_EACH,
    ),
    "unique_together": Story(
        [f'{PAIR[:-1]}, options={{"unique_together": {{("a", "b")}}}})'],
        ['migrations.AlterUniqueTogether("item", set())'],
        TWO_PAIRS,
        [SHARED.format("a, b")],
        ONE_OF_EACH,
    ),
    "unique_constraint": Story(
        [PAIR, f'migrations.AddConstraint("item", {BOTH}))'],
        ['migrations.RemoveConstraint("item", "APP_both")'],
        TWO_PAIRS,
        [SHARED.format("a, b")],
        ONE_OF_EACH,
    ),
    "unique_constraint_that_holds": Story(
        [PAIR, f'migrations.AddConstraint("item", {BOTH}))'],
        ['migrations.RemoveConstraint("item", "APP_both")'],
        ["INSERT INTO APP_item (a, b) VALUES (1, 1), (1, 2), (1, NULL), (1, NULL), (NULL, NULL), (NULL, NULL)"],
    ),
    "one_to_one": Story(
        [create("Tag", **NAMED), create("Item", tag='models.OneToOneField("APP.Tag", models.CASCADE)')],
        [alter("Item", "tag", 'models.ForeignKey("APP.Tag", models.CASCADE)')],
        [
            "INSERT INTO APP_tag (id, name) VALUES (1, 'a'), (2, 'b')",
            "INSERT INTO APP_item (id, tag_id) VALUES (1, 1), (2, 1), (3, 2)",
        ],
        [SHARED.format("tag_id")],
        ONE_OF_EACH,
    ),
    # Columns that come back
    "a_column_comes_back": Story([SIZED], [remove("Item", "size")], TWO_ITEMS, [COMES_BACK], NONE_LEFT),
    "a_column_comes_back_to_no_rows": Story([SIZED], [remove("Item", "size")], []),
    "a_text_comes_back": Story(
        [create("Item", **NAMED, note=text(20))], [remove("Item", "note")], TWO_ITEMS, [COMES_BACK], NONE_LEFT
    ),
    "a_foreign_key_comes_back": Story(
        [create("Tag", **NAMED), create("Item", **NAMED, tag='models.ForeignKey("APP.Tag", models.CASCADE)')],
        [remove("Item", "tag")],
        TWO_ITEMS,
        [COMES_BACK],
        NONE_LEFT,
    ),
    "columns_that_are_filled_come_back": Story(
        [
            create(
                "Item",
                **NAMED,
                size=NUMBER,
                weight=NULLABLE,
                stock="models.IntegerField(**FIVE)",
                note=text(20, ", blank=True"),
                created="models.DateTimeField(auto_now_add=True)",
            )
        ],
        [remove("Item", name) for name in ("size", "weight", "stock", "note", "created")],
        TWO_ITEMS,
        code=CODE_OF_DEFAULT,
    ),
    "a_column_comes_back_to_a_table_that_goes": Story(
        [create("Other", **NAMED)],
        [SIZED, remove("Item", "size")],
        TWO_ITEMS,
        [COMES_BACK.replace("0002", "0003")],
        NONE_LEFT,
    ),
    # The state alone
    "the_state_alone": Story(
        [SIZED],
        [f"migrations.SeparateDatabaseAndState(state_operations=[{remove('Item', 'size')}])"],
        ["INSERT INTO APP_item (name, size) VALUES ('a', 1), ('b', 2)"],
    ),
    "the_database_alone": Story(
        [create("Item", name=text(20))],
        [f"migrations.SeparateDatabaseAndState(database_operations=[{alter('Item', 'name', text(100))}])"],
        [f"INSERT INTO APP_item (name) VALUES ('{'a' * 21}'), ('{'b' * 100}')"],
        ["0002 2 rows of APP_item have a text in name longer than 20 characters"],
        NONE_LEFT,
        on=POSTGRESQL,
    ),
}
STOCK_UNAPPLY = """
    import json
    from django.db import Error, connection
    from django.db.migrations.executor import MigrationExecutor

    raised = {{}}
    for app in {apps!r}:
        try:
            MigrationExecutor(connection).migrate([(app, "0001")])
        except Error as error:
            raised[app] = type(error).__name__
            connection.close()
    print(json.dumps(raised))
"""


class Journey:
    """All stories at v2, with the plan back to v1, and what Django's own executor makes of a copy."""

    def __init__(self, folder: Path, copy_database: CopyDatabase) -> None:
        self.project = Project(folder / "project", database=copy_database())
        self.database = self.project.database
        self.trip = Trip(self.project, copy_database)
        self.trip.deploy("v1", {f"{app}.0001": source(app, story.v1, story.code) for app, story in STORIES.items()})
        self.schema = oracle.schema(self.database)
        self.trip.deploy("v2", dict(newer(STORIES)), rows=self.statements("rows"))
        untouched = everything_in(self.database)
        self.plan = self.trip.plan("v1", code=1)
        same(everything_in(self.database), untouched)
        self.raised = self._stock_unapply(copy_database(self.database))

    def statements(self, which: str) -> list[str]:
        return [sql.replace("APP", app) for app, story in STORIES.items() for sql in getattr(story, which)]

    def unfit(self, story: str) -> list[str]:
        """What the plan says of one story, as the stories write it."""
        said = []
        for blocker in self.plan["blockers"]:
            sentence, _, migration = blocker["message"].partition(", which the schema before ")
            app, _, name = migration.removesuffix(" cannot hold").partition(".")
            if app == story:
                assert blocker["kind"] == "unfit-rows"
                said.append(f"{name} {sentence}")
        return said

    def _stock_unapply(self, copy: Database) -> dict[str, str]:
        self.project.use(copy)
        raised = json.loads(self.project.run_python(STOCK_UNAPPLY.format(apps=list(STORIES))))
        self.project.use(self.database)
        return raised


def source(app: str, operations: list[str], code: str = "", **words: Any) -> str:
    return migration(*(operation.replace("APP", app) for operation in operations), code=code, **words)


def newer(stories: dict[str, Story]) -> Iterator[tuple[str, str]]:
    """The migrations after the first one, an operation each."""
    for app, story in stories.items():
        for number, operation in enumerate(story.v2, 2):
            yield f"{app}.{number:04}", source(app, [operation], story.code, after=[f"{app}.{number - 1:04}"])


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory, copy_database: CopyDatabase) -> Journey:
    """All stories at v2; once on SQLite and once on PostgreSQL."""
    return Journey(tmp_path_factory.mktemp("survey"), copy_database)


# Rows that do not fit


@pytest.mark.parametrize("story", STORIES)
def test_what_the_plan_says(journey: Journey, story: str) -> None:
    expected = STORIES[story].unfit if journey.database.vendor in STORIES[story].on else []
    same(journey.unfit(story), [line.replace("APP", story) for line in expected])


@pytest.mark.parametrize("story", STORIES)
def test_django_is_of_the_same_opinion(journey: Journey, story: str) -> None:
    """Where the plan has a blocker Django's own way back raises, and where it has none that goes through."""
    assert (story in journey.raised) == bool(journey.unfit(story)), journey.raised.get(story)


def test_a_rollback_is_refused_with_all_of_it(journey: Journey) -> None:
    untouched = everything_in(journey.database)
    for words in (["rollback", *BACK], ["rollback_migrations", "-t", "v1"]):
        result = journey.project.manage(*words, check=False)
        assert result.returncode == 1, result.stderr
        for blocker in journey.plan["blockers"]:
            assert f"Blocker: {blocker['message']}.\n  hint: {blocker['hint']}\n" in result.stdout
        count = len(journey.plan["blockers"])
        assert f"the rollback is blocked: {count} problems" in result.stderr
    hints = [each["hint"] for each in journey.plan["blockers"] if "before null.0002" in each["message"]]
    same(
        hints,
        ["change or delete those rows first, or go back to a release that has null.0002"],
    )
    same(everything_in(journey.database), untouched)


def test_after_the_rows_are_mended_it_goes_through(journey: Journey, copy_database: CopyDatabase) -> None:
    journey.project.use(mended := copy_database(journey.database))
    try:
        for sql in journey.statements("mend"):
            mended.execute(sql)
        result = journey.project.manage("rollback", *BACK, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "Blocker" not in result.stdout
        same(oracle.schema(mended), journey.schema)
    finally:
        journey.project.use(journey.database)


# Rows that Django would change on the way, or that only the database itself notices


def test_text_is_not_cut(project: Project, new_database: NewDatabase) -> None:
    """Where a text without a limit gets one again, Django tells PostgreSQL to cut it; here it is refused before."""
    trip = Trip(project, new_database)
    trip.deploy("v1", {"shop.0001": migration(create("Item", name=text(20)))})
    longer = f"INSERT INTO shop_item (name) VALUES ('{'a' * 21}'), ('{'b' * 40}')"
    trip.deploy(
        "v2", {"shop.0002": migration(alter("Item", "name", "models.TextField()"), after=["shop.0001"])}, rows=[longer]
    )
    if project.database.vendor == "sqlite":
        trip.back("v1", ["shop.0002"], rows=oracle.rows(trip.database, ["shop_item"]))
        return
    assert trip.refused("v1", "unfit-rows") == [
        "2 rows of shop_item have a text in name longer than 20 characters, which the schema before shop.0002 cannot "
        "hold"
    ]
    same(json.loads(project.run_python(STOCK_UNAPPLY.format(apps=["shop"]))), {})
    same([row["name"] for row in oracle.rows(trip.database)["shop_item"]], ["a" * 20, "b" * 20])


UNFORESEEN = {
    "a_condition": (
        [PAIR, f'migrations.AddConstraint("item", {BOTH}, condition=models.Q(a__gt=0)))'],
        'migrations.RemoveConstraint("item", "APP_both")',
        "INSERT INTO APP_item (a, b) VALUES (1, 1), (1, 1)",
    ),
    "a_check": (
        [
            PAIR,
            'migrations.AddConstraint("item", models.CheckConstraint(name="APP_sum", **{CONDITION: models.Q(a=1)}))',
        ],
        'migrations.RemoveConstraint("item", "APP_sum")',
        "INSERT INTO APP_item (a) VALUES (2)",
    ),
    "less_than_nothing": (
        [create("Item", a="models.PositiveIntegerField()")],
        alter("Item", "a", INTEGER),
        "INSERT INTO APP_item (a) VALUES (-1)",
    ),
    "the_same_default_twice": (
        [create("Item", **NAMED, a=text(20, ', unique=True, default="x"'))],
        remove("Item", "a"),
        "INSERT INTO APP_item (name) VALUES ('a'), ('b')",
    ),
}


@pytest.mark.parametrize("case", UNFORESEEN)
def test_what_only_the_database_notices_is_taken_back(project: Project, new_database: NewDatabase, case: str) -> None:
    """Before the first lock or at the step: it does not go through, and everything is as it was."""
    v1, v2, rows = UNFORESEEN[case]
    trip = Trip(project, new_database)
    trip.deploy("v1", {"shop.0001": source("shop", v1)})
    trip.deploy("v2", {"shop.0002": source("shop", [v2], after=["shop.0001"])}, rows=[rows.replace("APP", "shop")])
    before = data_in(trip.database)
    result = project.manage("rollback", *BACK, check=False)
    assert result.returncode == 1, result.stdout
    assert "Traceback" not in result.stderr
    same(data_in(trip.database), before)


# Rows that code of the plan may still mend

CODE_MENDS = """
    def mend(apps, schema_editor):
        Item = apps.get_model("shop", "Item")
        Item.objects.filter(size=None).update(size={value})
"""
IN_PYTHON = "migrations.RunPython(migrations.RunPython.noop, mend)"
IN_SQL = 'migrations.RunSQL("SELECT 1", "UPDATE shop_item SET size = {} WHERE size IS NULL")'
NULLS = "INSERT INTO shop_item (name, size) VALUES ('a', NULL), ('b', NULL)"
NULLS_SAID = "2 rows of shop_item have NULL in size, which the schema before shop.0002 cannot hold"


def with_code(trip: Trip, *operations: str, code: str = "") -> None:
    """v1 takes no NULL; after it the operations come, a migration each, and two rows with NULL."""
    trip.deploy("v1", {"shop.0001": migration(SIZED)})
    newer = {
        f"shop.{number:04}": migration(operation, after=[f"shop.{number - 1:04}"], code=code)
        for number, operation in enumerate(operations, 2)
    }
    trip.deploy("v2", newer, rows=[NULLS])


@pytest.mark.parametrize(
    ("mends", "code"), [(IN_PYTHON, CODE_MENDS.format(value=0)), (IN_SQL.format(0), "")], ids=["python", "sql"]
)
def test_code_before_it_may_mend_the_rows(project: Project, new_database: NewDatabase, mends: str, code: str) -> None:
    trip = Trip(project, new_database)
    with_code(trip, alter("Item", "size", NULLABLE), mends, code=code)
    (warning,) = trip.plan("v1")["warnings"]
    same(warning, {"kind": "may-not-fit", "message": f"{NULLS_SAID}, unless code that runs earlier changes that"})
    items = {"shop_item": [{"id": 1, "name": "a", "size": 0}, {"id": 2, "name": "b", "size": 0}]}
    trip.back("v1", ["shop.0003", "shop.0002"], warnings=["may-not-fit"], rows=items)


def test_code_in_the_same_migration_may_mend_them(project: Project, new_database: NewDatabase) -> None:
    """Its operations are undone from the last one to the first."""
    trip = Trip(project, new_database)
    trip.deploy("v1", {"shop.0001": migration(SIZED)})
    both = migration(alter("Item", "size", NULLABLE), IN_SQL.format(0), after=["shop.0001"])
    trip.deploy("v2", {"shop.0002": both}, rows=[NULLS])
    items = {"shop_item": [{"id": 1, "name": "a", "size": 0}, {"id": 2, "name": "b", "size": 0}]}
    trip.back("v1", ["shop.0002"], warnings=["may-not-fit"], rows=items)


def test_code_that_does_not_mend_them(project: Project, new_database: NewDatabase) -> None:
    """The warning was right: the step fails, and everything is taken back."""
    trip = Trip(project, new_database)
    with_code(trip, alter("Item", "size", NULLABLE), IN_PYTHON, code=CODE_MENDS.format(value="None"))
    same(kinds(trip.plan("v1")["warnings"]), ["may-not-fit"])
    before = data_in(trip.database)
    result = project.manage("rollback", *BACK, check=False)
    assert (result.returncode, "shop.0002" in result.stderr) == (1, True), result.stderr
    same(data_in(trip.database), before)


@pytest.mark.parametrize("code", [IN_SQL.format(0), 'migrations.RunSQL("SELECT 1", "")'], ids=["later", "none"])
def test_code_that_runs_later_mends_nothing(project: Project, new_database: NewDatabase, code: str) -> None:
    trip = Trip(project, new_database)
    with_code(trip, code, alter("Item", "size", NULLABLE))
    same(trip.refused("v1", "unfit-rows"), [NULLS_SAID.replace("0002", "0003")])
    trip.execute("DELETE FROM shop_item")
    trip.back("v1", ["shop.0003", "shop.0002"])


# What the database would refuse


def data_in(database: Database) -> dict[str, list[str]]:
    """Everything but the lines of history: a rollback that was tried, and a hand-over, leave one."""
    return everything_in(database) | {"django_rollback_operation": []}


class Stand:
    """A project on PostgreSQL that has come to v2, and the database that each test has a copy of."""

    def __init__(self, folder: Path, cluster: Cluster, numbers: Iterator[int]) -> None:
        self._cluster, self._numbers = cluster, numbers
        self._made: list[str] = []
        self.template = self._database()
        self.project = Project(folder / "project", database=self.template)
        trip = Trip(self.project, self._database)
        item = create("Item", name=text(20), stock=NULLABLE)
        trip.deploy("v1", {"shop.0001": migration(item), "yard.0001": migration(create("Thing", **NAMED))})
        order = create("Order", item='models.ForeignKey("shop.Item", models.CASCADE)', total=NUMBER)
        newer = {
            "shop.0002": migration(add("Item", "price", NULLABLE), after=["shop.0001"]),
            "shop.0003": migration(order, after=["shop.0002"]),
        }
        trip.deploy("v2", newer)

    @contextmanager
    def copy(self) -> Iterator[Project]:
        database = self._database(self.template)
        self.project.use(database)
        yield self.project

    def close(self) -> None:
        for name in self._made:
            self._cluster.drop_database(name)

    def _database(self, template: Database | None = None) -> Database:
        name = f"survey_{next(self._numbers)}"
        self._made.append(name)
        return self._cluster.create_database(name, template=template.name if template else "template1")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster, numbers: Iterator[int]) -> Iterator[Stand]:
    stand = Stand(tmp_path_factory.mktemp("stand"), postgres, numbers)
    yield stand
    stand.close()


@pytest.fixture
def shop(stand: Stand) -> Iterator[Project]:
    """v1 and v2 are saved; v2 has a column and a table more."""
    with stand.copy() as project:
        yield project


@pytest.fixture
def role(postgres: Cluster, shop: Project, numbers: Iterator[int]) -> Iterator[str]:
    """A role that may read and write everything, and owns nothing."""
    role, database = f"clerk_{next(numbers)}", shop.database
    grants = ["USAGE ON SCHEMA public", "ALL ON ALL TABLES IN SCHEMA public", "ALL ON ALL SEQUENCES IN SCHEMA public"]
    writing(database, f"CREATE ROLE {role} LOGIN", *(f"GRANT {grant} TO {role}" for grant in grants))
    yield role
    forget(database, role)


def writing(database: Database, *statements: str) -> None:
    """Run SQL on a database that may be set to take no writes."""
    with database.connect() as connection:
        connection.execute("SET default_transaction_read_only = off")
        for sql in statements:
            connection.execute(sql)


def forget(database: Database, role: str) -> None:
    writing(database, f"REASSIGN OWNED BY {role} TO CURRENT_USER", f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@contextmanager
def locked(database: Database, table: str, mode: str) -> Iterator[None]:
    """Another session is at work on this table and does not come to an end."""
    with database.connect() as connection:
        connection.execute("BEGIN")
        connection.execute(f'LOCK TABLE "{table}" IN {mode} MODE')
        yield
        connection.execute("ROLLBACK")


ALL_DOORS = ("manage", "native", "original")


def assert_refused(project: Project, kind: str, message: str, hint: str, doors: Iterable[str] = ALL_DOORS) -> None:
    """Every door refuses for this one reason, without a change, and before the first lock.

    On PostgreSQL somebody else is at work on a table that would have to change: it can be read, and that is all.
    """
    expected = {"kind": kind, "message": message, "hint": hint}
    if project.database.vendor == "sqlite":
        before = data_in(project.database)
        _assert_refused(project, expected, doors)
        same(data_in(project.database), before)
        return
    owner = replace(project.database, user="postgres")
    before = data_in(owner)
    with locked(owner, "shop_item", "EXCLUSIVE"):
        _assert_refused(project, expected, doors)
    same(data_in(owner), before)


def _assert_refused(project: Project, expected: dict[str, str], doors: Iterable[str]) -> None:
    began = time.monotonic()
    plan = project.manage("rollback", "plan", "-t", "v1", "--format", "json", check=False)
    assert (plan.returncode, plan.stderr) == (1, "")
    same(json.loads(plan.stdout)["blockers"], [expected])
    python = {"DJANGO_ROLLBACK_PYTHON": project.front}
    for door in doors:
        words = ["rollback", *BACK[1:]] if door != "original" else ["rollback", "-t", "v1"]
        result = run(project, door, *words, env=python if door == "native" else {})
        assert result.returncode == 1, result.stdout + result.stderr
        assert f"Blocker: {expected['message']}.\n  hint: {expected['hint']}\n" in result.stdout, result.stderr
        assert "the rollback is blocked: 1 problem" in result.stderr
    # Far less than the minute for which the tables' locks would have been waited for.
    assert time.monotonic() - began < 55


def goes_back(project: Project) -> None:
    """Every reason is gone: the rollback goes through."""
    result = project.manage("rollback", *BACK, check=False)
    assert (result.returncode, "Blocker" in result.stdout) == (0, False), result.stdout + result.stderr


OWNER_HINT = "connect as the role that runs `migrate`: it owns the tables"


def test_tables_that_belong_to_somebody_else(shop: Project, role: str) -> None:
    """Only those that have to change count."""
    database = shop.database
    shop.use(replace(database, user=role))
    message = f"the role {role} may not alter these tables: shop_item (owner: postgres), shop_order (owner: postgres)"
    assert_refused(shop, "not-owner", message, OWNER_HINT)
    database.execute(f"ALTER TABLE shop_order OWNER TO {role}")
    message = f"the role {role} may not alter these tables: shop_item (owner: postgres)"
    assert_refused(shop, "not-owner", message, OWNER_HINT)
    database.execute(f"ALTER TABLE shop_item OWNER TO {role}")
    goes_back(shop)


def test_who_belongs_to_the_owner_may_alter_it(shop: Project, role: str, numbers: Iterator[int]) -> None:
    team = f"team_{next(numbers)}"
    database = shop.database
    database.execute(f"CREATE ROLE {team}")
    try:
        for table in ("shop_item", "shop_order"):
            database.execute(f"ALTER TABLE {table} OWNER TO {team}")
        database.execute(f"GRANT {team} TO {role}")
        database.execute(f"GRANT CREATE ON SCHEMA public TO {team}")
        shop.use(replace(database, user=role))
        goes_back(shop)
    finally:
        forget(database, team)


def test_tables_that_may_not_even_be_read(shop: Project, role: str) -> None:
    """Where the rows cannot be counted, the refusal says who would have to do it."""
    database = shop.database
    before = data_in(database)
    for table in ("shop_item", "shop_order"):
        database.execute(f"REVOKE ALL ON {table} FROM {role}")
    shop.use(replace(database, user=role))
    for words in (["rollback", "plan", "-t", "v1"], ["rollback", *BACK]):
        result = shop.manage(*words, check=False)
        said = result.stdout + result.stderr
        assert (result.returncode, "Traceback" in said) == (1, False), said
        assert "connect as the role that runs `migrate`" in said
    same(data_in(database), before)


READ_ONLY = "the database is read-only: it is set to read-only transactions"
READ_ONLY_HINT = "connect to the primary, with a role that may write"


@contextmanager
def read_only(project: Project, role: str, what: str) -> Iterator[None]:
    """The project connects as a role that owns what has to change, and that or the database is set to only read."""
    database = project.database
    whose = role if what == "ROLE" else f'"{database.name}"'
    for sql in (
        f"ALTER TABLE shop_item OWNER TO {role}",
        f"ALTER TABLE shop_order OWNER TO {role}",
        f"ALTER {what} {whose} SET default_transaction_read_only = on",
    ):
        database.execute(sql)
    project.use(replace(database, user=role))
    yield
    writing(database, f"ALTER {what} {whose} RESET default_transaction_read_only")


@pytest.mark.parametrize("what", ["ROLE", "DATABASE"])
def test_a_database_that_takes_no_writes(shop: Project, role: str, what: str) -> None:
    with read_only(shop, role, what):
        assert_refused(shop, "read-only", READ_ONLY, READ_ONLY_HINT, doors=("manage", "original"))
        preview = shop.native("plan", "-t", "v1", "--format", "json", check=False)
        assert (preview.returncode, kinds(json.loads(preview.stdout)["blockers"])) == (1, ["read-only"])
    goes_back(shop)


def test_a_hand_over_in_a_database_that_takes_no_writes(shop: Project, role: str) -> None:
    """The binary has seen it before it would have to write down that it hands over."""
    with read_only(shop, role, "ROLE"):
        assert_refused(shop, "read-only", READ_ONLY, READ_ONLY_HINT, doors=("native",))


DEPENDANTS_HINT = "no migration created them: drop them yourself first and recreate them afterwards"
HAND_MADE = {
    "view of a column": (
        "CREATE VIEW cheap AS SELECT id FROM shop_item WHERE price < 5",
        "DROP VIEW cheap",
        "shop_item",
        "view cheap",
    ),
    "view of a table": (
        "CREATE VIEW totals AS SELECT sum(total) FROM shop_order",
        "DROP VIEW totals",
        "shop_order",
        "view totals",
    ),
    "materialized view": (
        "CREATE MATERIALIZED VIEW prices AS SELECT price FROM shop_item",
        "DROP MATERIALIZED VIEW prices",
        "shop_item",
        "materialized view prices",
    ),
    "foreign key": (
        'CREATE TABLE bill ("order" bigint CONSTRAINT bill_order REFERENCES shop_order (id))',
        "DROP TABLE bill",
        "shop_order",
        "constraint bill_order of bill",
    ),
    "function": (
        "CREATE FUNCTION total() RETURNS bigint BEGIN ATOMIC SELECT sum(total) FROM shop_order; END",
        "DROP FUNCTION total",
        "shop_order",
        "function total",
    ),
    "names of its own": (
        'CREATE VIEW "Very Cheap" AS SELECT price AS p FROM shop_item',
        'DROP VIEW "Very Cheap"',
        "shop_item",
        "view Very Cheap",
    ),
}


@pytest.mark.parametrize("case", HAND_MADE)
def test_what_hangs_on_what_is_dropped(shop: Project, case: str) -> None:
    """Made by hand: Django's DROP … CASCADE would take it along without a word."""
    made, dropped, table, named = HAND_MADE[case]
    shop.database.execute(made)
    assert_refused(shop, "dependants", f"dropping from {table} would also drop {named}", DEPENDANTS_HINT)
    shop.database.execute(dropped)
    goes_back(shop)


def test_two_views_of_a_table_are_named_together(shop: Project) -> None:
    for name in ("b", "a"):
        shop.database.execute(f"CREATE VIEW {name} AS SELECT price FROM shop_item")
    message = "dropping from shop_item would also drop view a, view b"
    assert_refused(shop, "dependants", message, DEPENDANTS_HINT)


def test_what_hangs_on_what_stays(shop: Project) -> None:
    """Views of other columns and references to other tables stay, with all that is in them."""
    made = [
        "CREATE VIEW names AS SELECT id, name FROM shop_item",
        "CREATE MATERIALIZED VIEW stock AS SELECT sum(stock) FROM shop_item",
        "CREATE TABLE note (item bigint REFERENCES shop_item (id))",
        "CREATE VIEW things AS SELECT * FROM yard_thing",
    ]
    for sql in made:
        shop.database.execute(sql)
    plan = json.loads(shop.manage("rollback", "plan", "-t", "v1", "--format", "json").stdout)
    same((plan["blockers"], kinds(plan["warnings"])), ([], ["drift"]))
    goes_back(shop)
    for name in ("names", "stock", "note", "things"):
        shop.database.execute(f"SELECT * FROM {name}")


VIEW = "CREATE VIEW cheap AS SELECT id, price FROM shop_item"
VIEW_AS_IT_WAS = "CREATE VIEW cheap AS SELECT id FROM shop_item"
FILLED_BY_CODE = "migrations.RunPython(migrations.RunPython.noop, fill)"
CODE_FILLS = """
    def fill(apps, schema_editor):
        apps.get_model("shop", "Item").objects.update(name="a")
"""


@pytest.fixture
def trip(tmp_path: Path, postgres: Cluster, numbers: Iterator[int]) -> Iterator[Trip]:
    """A trip that has come to v1, on PostgreSQL."""
    made: list[Database] = []

    def new_database() -> Database:
        made.append(postgres.create_database(f"survey_{next(numbers)}"))
        return made[-1]

    trip = Trip(Project(tmp_path / "project", database=new_database()), new_database)
    first = {"shop.0001": migration(create("Item", **NAMED)), "yard.0001": migration(create("Thing", **NAMED))}
    trip.deploy("v1", first)
    yield trip
    for database in made:
        postgres.drop_database(database.name)


@pytest.mark.parametrize(
    ("forwards", "backwards"), [(VIEW, "DROP VIEW cheap"), (f"{VIEW};", ["DROP VIEW IF EXISTS cheap", "SELECT 1"])]
)
def test_a_view_that_the_plan_drops_itself(trip: Trip, forwards: str, backwards: str | list[str]) -> None:
    newer = {
        "shop.0002": migration(add("Item", "price", NULLABLE), after=["shop.0001"]),
        "shop.0003": migration(f"migrations.RunSQL({forwards!r}, {backwards!r})", after=["shop.0002"]),
    }
    trip.deploy("v2", newer)
    trip.back("v1", ["shop.0003", "shop.0002"])


def test_a_view_that_the_plan_makes_as_it_was(trip: Trip) -> None:
    """It was there before, with fewer columns."""
    trip.deploy(
        "v2", {"shop.0002": migration(f"migrations.RunSQL({VIEW_AS_IT_WAS!r}, 'DROP VIEW cheap')", after=["shop.0001"])}
    )
    swap = f"migrations.RunSQL('DROP VIEW cheap; {VIEW}', 'DROP VIEW cheap; {VIEW_AS_IT_WAS}')"
    trip.deploy("v3", {"shop.0003": migration(add("Item", "price", NULLABLE), swap, after=["shop.0002"])})
    trip.back("v2", ["shop.0003"])


@pytest.mark.parametrize("case", HAND_MADE)
def test_other_code_in_the_plan_excuses_nothing(trip: Trip, case: str) -> None:
    """The plan runs code of the project, which knows nothing of what was made by hand."""
    made, _, table, named = HAND_MADE[case]
    order = create("Order", item='models.ForeignKey("shop.Item", models.CASCADE)', total=NUMBER)
    newer = {
        "shop.0002": migration(add("Item", "price", NULLABLE), order, after=["shop.0001"]),
        "shop.0003": migration(FILLED_BY_CODE, after=["shop.0002"], code=CODE_FILLS),
    }
    trip.deploy("v2", newer)
    trip.execute(made)
    message = f"dropping from {table} would also drop {named}"
    assert_refused(trip.project, "dependants", message, DEPENDANTS_HINT)


def test_a_view_in_another_schema_is_seen_too(shop: Project) -> None:
    shop.database.execute("CREATE SCHEMA reports")
    shop.database.execute("CREATE VIEW reports.cheap AS SELECT price FROM shop_item")
    message = "dropping from shop_item would also drop view cheap"
    assert_refused(shop, "dependants", message, DEPENDANTS_HINT)


class SmallCluster(Cluster):
    """A server with room for 50 locks by its own account: ten for each of five connections."""

    def _initialise(self) -> None:
        super()._initialise()
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write("max_locks_per_transaction = 10\nmax_connections = 5\nsuperuser_reserved_connections = 0\n")
            settings.write("max_wal_senders = 0\n")


def test_more_locks_than_a_transaction_may_count_on(tmp_path: Path) -> None:
    """A plan with a few tables goes through on the same server."""
    with SmallCluster() as cluster:
        database = cluster.create_database("small")
        trip = Trip(Project(tmp_path / "project", database=database), lambda: cluster.create_database("fresh"))
        trip.deploy("v1", {"shop.0001": migration(create("Item", **NAMED))})
        models = [create(f"Model{number}", **NAMED, size="models.IntegerField(db_index=True)") for number in range(8)]
        trip.deploy("v2", {"shop.0002": migration(models[0], after=["shop.0001"])})
        trip.deploy("v3", {"shop.0003": migration(*models[1:], after=["shop.0002"])})
        # Seven tables, each with its two indexes and its sequence.
        (message,) = trip.refused("v2", "too-many-locks")
        sentence = r"one transaction would need about (\d+) locks, more than half of the server's 50"
        needed = re.fullmatch(sentence, message)
        # With a margin for what is counted twice.
        assert needed is not None and 28 <= int(needed[1]) <= 35, message
        (blocker,) = trip.plan("v2", code=1)["blockers"]
        assert blocker["hint"] == (
            "go back one release at a time, or raise max_locks_per_transaction and restart the server"
        )
        with locked(database, "shop_model2", "EXCLUSIVE"):
            same(kinds(trip.plan("v2", code=1)["blockers"]), ["too-many-locks"])
        trip.project.manage("migrate", "shop", "0002", "-v", "0")
        trip.project.native("save", "--commit", "ab" * 20)
        trip.project.manage("rollback", *BACK)
        assert ("shop", "0002") not in oracle.migrations(database)


def test_a_table_that_is_altered_elsewhere_is_not_waited_for(shop: Project) -> None:
    """The plan has nothing to do with it, and not even its rows are counted."""
    expected = shop.manage("rollback", "plan", "-t", "v1", "--format", "json").stdout
    with locked(shop.database, "yard_thing", "ACCESS EXCLUSIVE"):
        plan = shop.manage("rollback", "plan", "-t", "v1", "--format", "json", check=False)
    same((plan.returncode, plan.stderr, plan.stdout), (0, "", expected))


@pytest.mark.parametrize(
    ("sql", "statement"),
    [
        ("VACUUM shop_item", "VACUUM SHOP_ITEM"),
        ("UPDATE shop_item SET price = 1; VACUUM", "VACUUM"),
        ("COMMIT", "COMMIT"),
    ],
)
def test_a_statement_that_no_transaction_takes(
    project: Project, new_database: NewDatabase, sql: str, statement: str
) -> None:
    trip = Trip(project, new_database)
    first = {"shop.0001": migration(create("Item", **NAMED)), "yard.0001": migration(create("Thing", **NAMED))}
    trip.deploy("v1", first)
    newer = {
        "shop.0002": migration(add("Item", "price", NULLABLE), after=["shop.0001"]),
        "shop.0003": migration(f"migrations.RunSQL('SELECT 1', {sql!r})", after=["shop.0002"]),
    }
    trip.deploy("v2", newer)
    message = (
        f"shop.0003 cannot be undone in a transaction: RunSQL (operation 1) runs {statement}, which the database "
        "refuses there"
    )
    hint = (
        "set `atomic = False` in shop.0003, deploy that file and run the command again: the migration then runs in a "
        "segment of its own"
    )
    assert_refused(project, "refuses-transaction", message, hint)
