"""What a rollback would lose, in numbers, and that nothing is lost that nobody has accepted.

Each story is an app of its own, and all stories go there and back in one trip. The rows have numbers that are nowhere
else: a `<goes>` for each row and each value that has to be lost, a `<stays>` for what has to be there afterwards. What
the plan counts is held against the numbers that are gone then.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from conftest import CopyDatabase, NewDatabase
from harness import oracle
from harness.database import Database
from harness.project import Project
from scenarios import NAMED, NUMBER, Trip, add, create, kinds, migration, same
from two_releases import APPS, VENDORS, TwoReleases, everything_in, run

INTEGER = "models.IntegerField(null=True)"
ITEM = create("Item", **NAMED)
TAG = create("Tag", **NAMED)
TAGS = 'models.ManyToManyField("APP.Tag")'
ITEM_WITH_TAGS = create("Item", **NAMED, tags=TAGS)
CREATED = "models.DateTimeField(auto_now_add=True)"
CHANGED = "models.DateTimeField(auto_now=True)"
# How long a command may take on a machine with other work, in seconds.
PATIENCE = 120


@dataclass(frozen=True)
class Story:
    """One app: what its first migration does, what each of the newer ones does, the rows of then and of now.

    `losses` are the lines that the plan has to have, in its order: migration, what is dropped, how much; `unmarked` is
    how many of these values have no number of their own.
    """

    v1: list[str]
    v2: list[str]
    rows: list[str] = field(default_factory=list)
    new_rows: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    unmarked: int = 0
    code: str = ""


ONE_ITEM = ["INSERT INTO APP_item (id, name) VALUES (1, <stays>)"]
TWO_ITEMS = ["INSERT INTO APP_item (id, name) VALUES (1, <stays>), (2, <stays>)"]
THREE_ITEMS = ["INSERT INTO APP_item (id, name) VALUES (1, <stays>), (2, <stays>), (3, <stays>)"]
ONE_TAG = ["INSERT INTO APP_tag (id, name) VALUES (7, <stays>)"]
TWO_ORDERS = ["INSERT INTO APP_order (name) VALUES (<goes>), (<goes>)"]
ORDER = create("Order", **NAMED)

STORIES = {
    "a_table": Story([ITEM], [ORDER], ONE_ITEM, TWO_ORDERS, ["0002 APP_order 2"]),
    "a_table_that_was_filled": Story(
        [ITEM],
        [ORDER, "migrations.RunSQL(\"INSERT INTO APP_order (name) VALUES ('<goes>'), ('<goes>')\", '')"],
        losses=["0002 APP_order 2"],
    ),
    "a_column": Story(
        [ITEM],
        [add("Item", "price", INTEGER)],
        THREE_ITEMS,
        ["UPDATE APP_item SET price = <goes> WHERE id = 1", "UPDATE APP_item SET price = <goes> WHERE id = 3"],
        ["0002 APP_item.price 2"],
    ),
    "a_column_with_a_default": Story(
        [ITEM],
        [add("Item", "price", NUMBER)],
        TWO_ITEMS,
        ["UPDATE APP_item SET price = <goes> WHERE id = 1"],
        ["0002 APP_item.price 2"],
        unmarked=1,
    ),
    "a_foreign_key": Story(
        [ITEM, TAG],
        [add("Item", "tag", 'models.ForeignKey("APP.Tag", models.CASCADE, null=True)')],
        TWO_ITEMS + ONE_TAG,
        ["UPDATE APP_item SET tag_id = 7 WHERE id = 1"],
        ["0002 APP_item.tag_id 1"],
        unmarked=1,
    ),
    "many_to_many": Story(
        [ITEM, TAG],
        [add("Item", "tags", TAGS)],
        TWO_ITEMS + ONE_TAG,
        ["INSERT INTO APP_item_tags (id, item_id, tag_id) VALUES (<goes>, 1, 7), (<goes>, 2, 7)"],
        ["0002 APP_item_tags 2"],
    ),
    "many_to_many_with_its_table": Story(
        [ITEM],
        [create("Order", **NAMED, items='models.ManyToManyField("APP.Item")')],
        TWO_ITEMS,
        [
            "INSERT INTO APP_order (id, name) VALUES (5, <goes>)",
            "INSERT INTO APP_order_items (id, order_id, item_id) VALUES (<goes>, 5, 1), (<goes>, 5, 2)",
        ],
        ["0002 APP_order_items 2", "0002 APP_order 1"],
    ),
    "many_to_many_through": Story(
        [ITEM, TAG],
        [
            create(
                "Link",
                item='models.ForeignKey("APP.Item", models.CASCADE)',
                tag='models.ForeignKey("APP.Tag", models.CASCADE)',
            ),
            add("Item", "tags", 'models.ManyToManyField("APP.Tag", through="APP.Link")'),
        ],
        ONE_ITEM + ONE_TAG,
        ["INSERT INTO APP_link (id, item_id, tag_id) VALUES (<goes>, 1, 7)"],
        ["0002 APP_link 1"],
    ),
    "a_child_of_a_table": Story(
        [ITEM],
        [
            """
            migrations.CreateModel("Book", [
                ("item_ptr", models.OneToOneField(
                    "APP.Item", models.CASCADE, auto_created=True, parent_link=True, primary_key=True, serialize=False,
                )),
                ("isbn", models.CharField(max_length=20)),
            ], bases=("APP.item",))
            """
        ],
        TWO_ITEMS,
        ["INSERT INTO APP_book (item_ptr_id, isbn) VALUES (1, <goes>)"],
        ["0002 APP_book 1"],
    ),
    # Names are those of now.
    "a_renamed_model": Story(
        [ITEM],
        [
            add("Item", "price", INTEGER),
            'migrations.RenameModel("Item", "Product")',
            add("Product", "stock", INTEGER),
        ],
        TWO_ITEMS,
        ["UPDATE APP_product SET price = <goes>, stock = <goes> WHERE id = 1"],
        ["0004 APP_product.stock 1", "0002 APP_product.price 1"],
    ),
    "a_renamed_model_with_many": Story(
        [ITEM, TAG],
        [add("Item", "tags", TAGS), 'migrations.RenameModel("Item", "Product")'],
        ONE_ITEM + ONE_TAG,
        ["INSERT INTO APP_product_tags (id, product_id, tag_id) VALUES (<goes>, 1, 7)"],
        ["0002 APP_product_tags 1"],
    ),
    "a_renamed_field": Story(
        [ITEM],
        [add("Item", "price", INTEGER), 'migrations.RenameField("Item", "price", "amount")'],
        TWO_ITEMS,
        ["UPDATE APP_item SET amount = <goes> WHERE id = 1"],
        ["0002 APP_item.amount 1"],
    ),
    "a_renamed_column": Story(
        [ITEM],
        [
            add("Item", "price", INTEGER),
            'migrations.AlterField("Item", "price", models.IntegerField(null=True, db_column="cost"))',
        ],
        TWO_ITEMS,
        ["UPDATE APP_item SET cost = <goes> WHERE id = 1"],
        ["0002 APP_item.cost 1"],
    ),
    "renamed_many_to_many": Story(
        [ITEM, TAG],
        [add("Item", "tags", TAGS), 'migrations.RenameField("Item", "tags", "labels")'],
        ONE_ITEM + ONE_TAG,
        ["INSERT INTO APP_item_labels (id, item_id, tag_id) VALUES (<goes>, 1, 7)"],
        ["0002 APP_item_labels 1"],
    ),
    "a_renamed_table": Story(
        [ITEM],
        [add("Item", "price", INTEGER), 'migrations.AlterModelTable("item", "APP Goods")'],
        TWO_ITEMS,
        ['UPDATE "APP Goods" SET price = <goes> WHERE id = 1'],
        ["0002 APP Goods.price 1"],
    ),
    "a_renamed_table_with_many": Story(
        [TAG, ITEM_WITH_TAGS],
        ['migrations.AlterModelTable("item", "APP_goods")'],
        ONE_ITEM + ONE_TAG,
        ["INSERT INTO APP_goods_tags (id, item_id, tag_id) VALUES (<stays>, 1, 7)"],
    ),
    "many_to_many_under_another_name": Story(
        [TAG, ITEM_WITH_TAGS],
        [f'migrations.AlterField("Item", "tags", {TAGS[:-1]}, db_table="APP_links"))'],
        ONE_ITEM + ONE_TAG,
        ["INSERT INTO APP_links (id, item_id, tag_id) VALUES (<stays>, 1, 7)"],
    ),
    "a_renamed_field_of_the_same_column": Story(
        [ITEM],
        [
            add("Item", "price", 'models.IntegerField(null=True, db_column="cost")'),
            'migrations.RenameField("Item", "price", "amount")',
        ],
        TWO_ITEMS,
        ["UPDATE APP_item SET cost = <goes> WHERE id = 1"],
        ["0002 APP_item.cost 1"],
    ),
    "a_renamed_model_with_many_in_the_same_table": Story(
        [ITEM, TAG],
        [
            add("Item", "tags", f'{TAGS[:-1]}, db_table="APP_links")'),
            'migrations.RenameModel("Item", "Product")',
        ],
        ONE_ITEM + ONE_TAG,
        ["INSERT INTO APP_links (id, product_id, tag_id) VALUES (<goes>, 1, 7)"],
        ["0002 APP_links 1"],
    ),
    "a_name_that_is_used_again": Story(
        [ITEM],
        [
            add("Item", "price", INTEGER),
            'migrations.RenameModel("Item", "Former")',
            ITEM,
            add("Item", "price", INTEGER),
        ],
        TWO_ITEMS,
        ["UPDATE APP_former SET price = <goes> WHERE id = 1", "INSERT INTO APP_item (name, price) VALUES (<goes>, 5)"],
        ["0004 APP_item 1", "0002 APP_former.price 1"],
    ),
    "names_of_its_own": Story(
        [ITEM],
        [
            f'{ORDER[:-1]}, options={{"db_table": "APP Orders"}})',
            add("Item", "price", 'models.IntegerField(null=True, db_column="Unit Price")'),
        ],
        ONE_ITEM,
        ['INSERT INTO "APP Orders" (name) VALUES (<goes>)', 'UPDATE APP_item SET "Unit Price" = <goes>'],
        ["0003 APP_item.Unit Price 1", "0002 APP Orders 1"],
    ),
    # Once, or not at all.
    "a_column_and_its_table": Story(
        [ITEM],
        [ORDER, add("Order", "price", INTEGER)],
        new_rows=["INSERT INTO APP_order (name, price) VALUES (<goes>, 5), (<goes>, 6)"],
        losses=["0002 APP_order 2"],
    ),
    "a_column_and_its_renamed_table": Story(
        [ITEM],
        [ORDER, 'migrations.RenameModel("Order", "Sale")', add("Sale", "price", INTEGER)],
        new_rows=["INSERT INTO APP_sale (name, price) VALUES (<goes>, 5), (<goes>, 6)"],
        losses=["0002 APP_sale 2"],
    ),
    "nothing_in_it": Story([ITEM, TAG], [ORDER, add("Item", "price", INTEGER), add("Item", "tags", TAGS)], ONE_ITEM),
    "brought_back_and_dropped": Story(
        [ITEM],
        [
            add("Item", "price", INTEGER),
            'migrations.RemoveField("Item", "price")',
            ORDER,
            'migrations.DeleteModel("Order")',
        ],
        ONE_ITEM,
    ),
    "a_column_that_was_made_anew": Story(
        [create("Item", **NAMED, size=INTEGER)],
        ['migrations.RemoveField("Item", "size")', add("Item", "size", INTEGER)],
        ONE_ITEM,
        ["UPDATE APP_item SET size = <goes>"],
        ["0003 APP_item.size 1"],
    ),
    "indexes_and_constraints": Story(
        [ITEM],
        [
            'migrations.AddIndex("item", models.Index(fields=["name"], name="APP_index"))',
            'migrations.AddConstraint("item", models.UniqueConstraint(fields=["name"], name="APP_unique"))',
            'migrations.AlterField("Item", "name", models.CharField(max_length=30, db_index=True))',
        ],
        TWO_ITEMS,
    ),
    # Models without a table of their own.
    "unmanaged": Story(
        [ITEM, "migrations.RunSQL('CREATE TABLE APP_ledger (name varchar(20))', '')"],
        [f'{create("Ledger", **NAMED)[:-1]}, options={{"managed": False}})'],
        ["INSERT INTO APP_ledger VALUES (<stays>)"],
    ),
    "a_proxy": Story(
        [ITEM],
        ['migrations.CreateModel("Cheap", [], options={"proxy": True}, bases=("APP.item",))'],
        ONE_ITEM,
    ),
    "swapped": Story(
        [ITEM, "migrations.RunSQL('CREATE TABLE APP_account (name varchar(20))', '')"],
        [f'{create("Account", **NAMED)[:-1]}, options={{"swappable": "ACCOUNT_ELSEWHERE"}})'],
        ["INSERT INTO APP_account VALUES (<stays>)"],
    ),
    "swappable": Story(
        [ITEM],
        [f'{create("Account", **NAMED)[:-1]}, options={{"swappable": "ACCOUNT_HERE"}})'],
        new_rows=["INSERT INTO APP_account (name) VALUES (<goes>)"],
        losses=["0002 APP_account 1"],
    ),
    # The database apart from the state.
    "taken_into_the_state": Story(
        [ITEM, "migrations.RunSQL('CREATE TABLE APP_ledger (name varchar(20), size integer)', '')"],
        [
            f"migrations.SeparateDatabaseAndState(state_operations=[{create('Ledger', **NAMED)}])",
            f"migrations.SeparateDatabaseAndState(state_operations=[{add('Ledger', 'size', INTEGER)}])",
        ],
        ["INSERT INTO APP_ledger VALUES (<stays>, <stays>)"],
    ),
    "state_and_database": Story(
        [ITEM],
        [
            f"""
            migrations.SeparateDatabaseAndState(
                database_operations=[{add("Item", "price", INTEGER)}, {ORDER}, {add("Order", "size", INTEGER)}],
                state_operations=[{add("Item", "price", INTEGER)}, {create("Order", **NAMED, size=INTEGER)}],
            )
            """,
            'migrations.SeparateDatabaseAndState([migrations.AlterModelTable("item", "APP_goods")], '
            '[migrations.AlterModelTable("item", "APP_goods")])',
        ],
        TWO_ITEMS,
        ["UPDATE APP_goods SET price = <goes> WHERE id = 2", "INSERT INTO APP_order (name, size) VALUES (<goes>, 5)"],
        ["0002 APP_order 1", "0002 APP_goods.price 1"],
    ),
    "the_database_alone": Story(
        [ITEM],
        [f"migrations.SeparateDatabaseAndState(database_operations=[{ORDER}])"],
        new_rows=TWO_ORDERS,
        losses=["0002 APP_order 2"],
    ),
    # Columns that no field of the model stands for, and operations that are not Django's own.
    "an_order": Story(
        [ITEM, create("Line", **NAMED, item='models.ForeignKey("APP.Item", models.CASCADE)')],
        ['migrations.AlterOrderWithRespectTo("line", "item")'],
        ONE_ITEM,
        ["INSERT INTO APP_line (name, item_id, _order) VALUES (<stays>, 1, <goes>), (<stays>, 1, <goes>)"],
        ["0002 APP_line._order 2"],
    ),
    "an_operation_of_the_project": Story(
        [ITEM],
        [f"Our{add('Item', 'price', INTEGER).removeprefix('migrations.')}"],
        ONE_ITEM,
        ["UPDATE APP_item SET price = <goes>"],
        ["0002 APP_item.price 1"],
        code="class OurAddField(migrations.AddField):\n    pass\n",
    ),
    # How much of it is new.
    "written_since": Story(
        [ITEM],
        [create("Order", **NAMED, created=CREATED, changed=CHANGED)],
        new_rows=[
            "INSERT INTO APP_order (name, created, changed) VALUES (<goes>, '<before>', '<before>'), "
            "(<goes>, '<before>', '<after>'), (<goes>, '<after>', '<after>')"
        ],
        losses=["0002 APP_order 3 since 2"],
    ),
    "created_since": Story(
        [create("Item", **NAMED, created=CREATED)],
        [add("Item", "price", INTEGER)],
        new_rows=[
            "INSERT INTO APP_item (name, created, price) VALUES (<stays>, '<before>', <goes>), "
            "(<stays>, '<after>', <goes>), (<stays>, '<after>', NULL)"
        ],
        losses=["0002 APP_item.price 2 since 1"],
    ),
    "written_since_under_another_name": Story(
        [ITEM],
        [
            create("Order", **NAMED, changed=CHANGED),
            'migrations.RenameField("Order", "changed", "touched")',
            'migrations.RenameModel("Order", "Sale")',
        ],
        new_rows=["INSERT INTO APP_sale (name, touched) VALUES (<goes>, '<before>'), (<goes>, '<after>')"],
        losses=["0002 APP_sale 2 since 1"],
    ),
    "none_since": Story(
        [create("Item", **NAMED, created=CREATED)],
        [add("Item", "price", INTEGER)],
        new_rows=["INSERT INTO APP_item (name, created, price) VALUES (<stays>, '<before>', <goes>)"],
        losses=["0002 APP_item.price 1 since 0"],
    ),
    "the_time_itself": Story(
        [ITEM],
        [add("Item", "changed", "models.DateTimeField(auto_now=True, null=True)")],
        TWO_ITEMS,
        ["UPDATE APP_item SET changed = CASE id WHEN 1 THEN changed END"],
        ["0002 APP_item.changed 1"],
        unmarked=1,
    ),
    "days_are_too_coarse": Story(
        [ITEM],
        [create("Order", **NAMED, created="models.DateField(auto_now_add=True)")],
        new_rows=["INSERT INTO APP_order (name, created) VALUES (<goes>, '2099-01-01')"],
        losses=["0002 APP_order 1"],
    ),
}
SETTINGS = 'ACCOUNT_ELSEWHERE = "a_table.Item"\nACCOUNT_HERE = "swappable.Account"\n'


class Journey:
    """All stories on their way: up to v2, where the plan is asked for, and back."""

    def __init__(self, folder: Path, copy_database: CopyDatabase) -> None:
        self.project = Project(folder / "project", database=copy_database())
        self.database = self.project.database
        self.trip = Trip(self.project, copy_database, settings=SETTINGS)
        self._numbers = count(700_001)
        self.goes: dict[str, list[str]] = {story: [] for story in STORIES}
        self.stays: dict[str, list[str]] = {story: [] for story in STORIES}
        self._times: dict[str, str] = {}
        first = {f"{app}.0001": self._migration(app, *story.v1) for app, story in STORIES.items()}
        self.trip.deploy("v1", first, rows=self._rows("rows"))
        self.schema = oracle.schema(self.database)
        self.trip.deploy("v2", dict(self._newer()))
        saved_at = datetime.fromisoformat(self.trip.releases()[0]["saved_at"].replace("Z", "+00:00"))
        for name, seconds in (("before", -1), ("after", 1)):
            self._times[name] = (saved_at + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S.%f")
        self.trip.execute(*self._rows("new_rows"))
        untouched = everything_in(self.database)
        self.plan = self.trip.plan("v1")
        same(everything_in(self.database), untouched)

    def losses(self, story: str) -> list[str]:
        """What the plan says of one story."""
        return [line(loss) for loss in self.plan["losses"] if loss["migration"][0] == story]

    def _newer(self) -> Iterator[tuple[str, str]]:
        for app, story in STORIES.items():
            for number, operation in enumerate(story.v2, 2):
                source = self._migration(app, operation, after=[f"{app}.{number - 1:04}"], code=story.code)
                yield f"{app}.{number:04}", source

    def _migration(self, app: str, *operations: str, **words: Any) -> str:
        return migration(*(self._filled(app, operation) for operation in operations), **words)

    def _rows(self, which: str) -> list[str]:
        return [self._filled(app, sql, "'") for app, story in STORIES.items() for sql in getattr(story, which)]

    def _filled(self, app: str, text: str, quote: str = "") -> str:
        """The text with the name of its app, and with a new number at each mark."""

        def number(mark: re.Match[str]) -> str:
            if mark[1] in self._times:
                return self._times[mark[1]]
            number = str(next(self._numbers))
            (self.goes if mark[1] == "goes" else self.stays)[app].append(number)
            return f"{quote}{number}{quote}"

        return re.sub(r"<(goes|stays|before|after)>", number, text.replace("APP", app))


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory, copy_database: CopyDatabase) -> Journey:
    """All stories at v2, with the plan back to v1; once on SQLite and once on PostgreSQL."""
    return Journey(tmp_path_factory.mktemp("losses"), copy_database)


@pytest.fixture(scope="module")
def left(journey: Journey) -> set[str]:
    """Every value that is in the database after the rollback."""
    journey.project.manage("rollback", "rollback", "-t", "v1", "--accept-data-loss")
    return values_in(journey.database)


def line(loss: dict[str, Any]) -> str:
    """A loss as the stories write it."""
    name = loss["table"] if loss["column"] is None else f"{loss['table']}.{loss['column']}"
    since = "" if loss["since_release"] is None else f" since {loss['since_release']}"
    return f"{loss['migration'][1]} {name} {loss['rows']}{since}"


def values_in(database: Database) -> set[str]:
    """Every value of every row."""
    tables = oracle.rows(database).values()
    return {str(value) for rows in tables for row in rows for value in row.values()}


# What is counted


@pytest.mark.parametrize("story", STORIES)
def test_what_the_plan_counts(journey: Journey, story: str) -> None:
    same(journey.losses(story), [loss.replace("APP", story) for loss in STORIES[story].losses])


def test_all_losses_are_in_the_plan_and_their_sum(journey: Journey) -> None:
    assert {loss["migration"][0] for loss in journey.plan["losses"]} <= STORIES.keys()
    assert journey.plan["lost_rows"] == sum(loss["rows"] for loss in journey.plan["losses"])
    assert (journey.plan["blockers"], journey.plan["warnings"]) == ([], [])


@pytest.mark.parametrize("story", STORIES)
def test_what_is_gone_is_what_was_counted(journey: Journey, left: set[str], story: str) -> None:
    """The numbers that had to go are gone, the others are there, and the plan has counted as many as are gone."""
    goes, stays = journey.goes[story], journey.stays[story]
    same(([number for number in goes if number in left], [number for number in stays if number not in left]), ([], []))
    counted = sum(loss["rows"] for loss in journey.plan["losses"] if loss["migration"][0] == story)
    assert counted == len(goes) + STORIES[story].unmarked


def test_the_schema_is_that_of_v1_and_history_has_the_number(journey: Journey, left: set[str]) -> None:
    assert left
    same(oracle.schema(journey.database), journey.schema)
    newest = journey.trip.history()[0]
    assert (newest["outcome"], newest["lost_rows"]) == ("done", journey.plan["lost_rows"])


def test_times_without_a_zone(project: Project, new_database: NewDatabase) -> None:
    """Without USE_TZ Django writes the project's own time into SQLite: what is new is new there, too."""
    settings = 'USE_TZ = False\nTIME_ZONE = "Asia/Tokyo"\n'
    trip = Trip(project, new_database, settings=settings)
    trip.deploy("v1", {"shop.0001_initial": migration(create("Item", **NAMED, created=CREATED))})
    write = """
        from datetime import timedelta
        from django.db import connection
        from django.utils import timezone

        now = connection.ops.adapt_datetimefield_value(timezone.now() + timedelta(seconds={seconds}))
        connection.cursor().execute("INSERT INTO shop_item ({columns}, created) VALUES ({values}, %s)", [now])
    """
    project.run_python(write.format(seconds=-60, columns="name", values="'a'"))
    trip.deploy("v2", {"shop.0002_price": migration(add("Item", "price", NUMBER), after=["shop.0001_initial"])})
    project.run_python(write.format(seconds=60, columns="name, price", values="'b', 1"))
    same([line(loss) for loss in trip.plan("v1")["losses"]], ["0002_price shop_item.price 2 since 1"])


# Consent

# Three values would be lost by going back from v2 to v1.
THREE_PRICES = "INSERT INTO shop_item (id, price) VALUES (1, 5), (2, 6), (3, 7)"
ONE_PRICE_MORE = "INSERT INTO shop_item (id, price) VALUES (4, 8)"
BACK = ("rollback", "-t", "v1")
ACCEPT = "--accept-data-loss"
QUESTION = "3 rows and values will be lost. Type 'yes' to go on, anything else to stop: "
LOSS_HINT = (
    "the plan shows what and where: copy the data first; or accept the loss with `--accept-data-loss`, "
    "or with `--max-lost-rows N` up to N rows and values"
)
LOGGING = """
LOGGING = {
    "version": 1,
    "formatters": {"record": {"format": "%(levelname)s {%(message)s}"}},
    "handlers": {"file": {"class": "logging.FileHandler", "filename": BASE_DIR / "log", "formatter": "record"}},
    "loggers": {"audit": {"handlers": ["file"], "level": "DEBUG"}},
}
"""
BOTH_DOORS = pytest.mark.parametrize("door", ["manage", "native"])
BOTH_VENDORS = pytest.mark.parametrize("vendor", VENDORS)


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> TwoReleases:
    """The project that these tests copy; PostgreSQL starts when the first of them needs it."""
    return TwoReleases(tmp_path_factory.mktemp("consent"), lambda: request.getfixturevalue("postgres"))


@pytest.fixture
def shop(vendor: str, releases: TwoReleases) -> Iterator[Project]:
    """v1 and v2 are saved, and three items have a price, which v1 has no column for."""
    with releases.on(vendor) as project:
        project.database.execute(THREE_PRICES)
        yield project
        project.install_apps(APPS)


def environment(project: Project, door: str) -> dict[str, str]:
    """What the binary needs to find the project's Python."""
    return {"DJANGO_ROLLBACK_PYTHON": project.front} if door == "native" else {}


def data_in(database: Database) -> dict[str, list[str]]:
    """Everything but the lines of history: a rollback that was tried, and a hand-over, leave one."""
    return everything_in(database) | {"django_rollback_operation": []}


def assert_refused(project: Project, door: str, *words: str) -> None:
    """The command ends with 1 and its sentence; neither data nor schema, releases or records have changed."""
    before = data_in(project.database)
    result = run(project, door, *words, env=environment(project, door))
    assert result.returncode == 1, result.stdout + result.stderr
    assert "the rollback would lose 3 rows and values, and " in result.stderr, result.stderr
    assert f"\n  hint: {LOSS_HINT}\n" in result.stderr
    assert "The database is back at" not in result.stdout
    same(data_in(project.database), before)
    operations = json.loads(project.native("history", "--format", "json").stdout)["operations"]
    assert "rollback" not in [each["kind"] for each in operations]


def assert_done(project: Project, result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr
    assert has_gone_back(project.database)


def has_gone_back(database: Database) -> bool:
    """Whether the column of v2 is away, with its migration."""
    column = "price" in oracle.schema(database)
    applied = ("shop", "0002_price") in oracle.migrations(database)
    assert column == applied
    return not applied


@BOTH_VENDORS
def test_the_text_of_a_plan(shop: Project, releases: TwoReleases) -> None:
    shown = f"""\
Rollback from {releases.label("v2")} to {releases.label("v1")}: 1 step in one transaction.
  Unapply shop.0002_price
Lost: 3 rows and values.
  3 values of shop_item.price, by undoing shop.0002_price
Releases that leave the list: {releases.label("v2")}.
"""
    for words in (["rollback", "plan", "-t", "v1"], ["rollback_migrations", "-t", "v1", "--fake"]):
        same(shop.manage(*words).stdout, shown)
    one = shown.replace("3 rows and values", "1 row or value").replace("3 values", "1 value")
    shop.database.execute("DELETE FROM shop_item WHERE id > 1")
    same(shop.manage("rollback", "plan", "-t", "v1").stdout, one)
    document = json.loads(shop.manage("rollback", "plan", "-t", "v1", "--format", "json").stdout)
    loss = {"migration": ["shop", "0002_price"], "table": "shop_item", "column": "price", "rows": 1}
    same((document["losses"], document["lost_rows"]), ([loss | {"since_release": None}], 1))
    shop.database.execute("DELETE FROM shop_item")
    assert "Lost" not in shop.manage("rollback", "plan", "-t", "v1").stdout


@BOTH_VENDORS
@BOTH_DOORS
def test_the_preview_through_the_hand_over_counts_too(shop: Project, door: str) -> None:
    before = data_in(shop.database)
    result = run(shop, door, *BACK, "--fake", env=environment(shop, door))
    assert result.returncode == 0, result.stderr
    assert "Lost: 3 rows and values.\n  3 values of shop_item.price, by undoing shop.0002_price\n" in result.stdout
    same(data_in(shop.database), before)


@BOTH_VENDORS
def test_the_binary_alone_does_not_count(shop: Project) -> None:
    """What undoing a migration drops stands in its file, which only Django can read: that is said."""
    plan = json.loads(shop.native("plan", "-t", "v1", "--format", "json").stdout)
    same((kinds(plan["warnings"]), plan["losses"], plan["lost_rows"]), (["losses-unknown"], [], 0))


@BOTH_VENDORS
@BOTH_DOORS
@pytest.mark.parametrize("words", [[], ["--noinput"], ["--max-lost-rows", "2"], ["--max-lost-rows", "0"]])
def test_without_a_terminal_nothing_is_lost_by_itself(shop: Project, door: str, words: list[str]) -> None:
    assert_refused(shop, door, *BACK, *words)


@BOTH_DOORS
@pytest.mark.parametrize("vendor", ["sqlite"])
def test_programs_are_refused_too(shop: Project, door: str) -> None:
    """With `--format json` the plan comes first, then the refusal; nobody is asked."""
    before = data_in(shop.database)
    result = run(shop, door, *BACK, "--format", "json", env=environment(shop, door))
    assert (result.returncode, "would lose 3 rows and values" in result.stderr) == (1, True), result.stderr
    plan = json.loads(result.stdout.splitlines()[0])
    assert (plan["event"], plan["lost_rows"]) == ("plan", 3)
    same(data_in(shop.database), before)


@BOTH_VENDORS
@BOTH_DOORS
@pytest.mark.parametrize("words", [[ACCEPT], ["--max-lost-rows", "3"], ["--noinput", "--max-lost-rows=4"]])
def test_what_is_accepted_is_lost(shop: Project, door: str, words: list[str]) -> None:
    assert_done(shop, run(shop, door, *BACK, *words, env=environment(shop, door)))
    newest = json.loads(shop.native("history", "--format", "json").stdout)["operations"][0]
    assert (newest["kind"], newest["outcome"], newest["lost_rows"]) == ("rollback", "done", 3)
    assert oracle.rows(shop.database)["shop_item"] == [{"id": 1}, {"id": 2}, {"id": 3}]


@BOTH_VENDORS
@BOTH_DOORS
def test_where_nothing_is_lost_nobody_has_to_accept_it(shop: Project, door: str) -> None:
    shop.database.execute("DELETE FROM shop_item")
    result = run(shop, door, *BACK, env=environment(shop, door))
    assert_done(shop, result)
    assert "lost" not in (result.stdout + result.stderr).lower()


@BOTH_DOORS
@pytest.mark.parametrize("vendor", ["sqlite"])
@pytest.mark.parametrize("words", [[ACCEPT, "--max-lost-rows", "3"], ["--max-lost-rows", "-1"], ["--max-lost-rows=x"]])
def test_wrong_words_are_wrong_usage(shop: Project, door: str, words: list[str]) -> None:
    before = everything_in(shop.database)
    result = run(shop, door, *BACK, *words, env=environment(shop, door))
    assert result.returncode == 2, result.stderr
    same(everything_in(shop.database), before)


# Rows that come later


def beside_a_writer(project: Project, sql: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Begin the rollback while `sql` is written and not committed, and commit that once the plan has been made."""
    command = [project.python, "manage.py", "rollback", *BACK, *words]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with project.database.connect() as writer:
        writer.execute("BEGIN IMMEDIATE" if project.database.vendor == "sqlite" else "BEGIN")
        writer.execute(sql)
        with subprocess.Popen(command, cwd=project.root, env=project.environment(), text=True, **pipes) as process:
            assert process.stdout is not None
            heading = process.stdout.readline()
            writer.execute("COMMIT")
            out, err = process.communicate(timeout=PATIENCE)
    assert heading.startswith("Rollback from"), heading + out + err
    return subprocess.CompletedProcess(command, process.returncode, heading + out, err)


@BOTH_VENDORS
@pytest.mark.parametrize("limit", [3, 4])
def test_rows_written_after_the_plan_count_too(shop: Project, limit: int) -> None:
    """The plan shows three values, and there are four of them once the table is locked."""
    before = data_in(shop.database)
    result = beside_a_writer(shop, ONE_PRICE_MORE, "--max-lost-rows", str(limit))
    assert "Lost: 3 rows and values." in result.stdout + result.stderr
    if limit == 4:
        assert_done(shop, result)
        return
    assert (result.returncode, "would lose 4 rows and values" in result.stderr) == (1, True), result.stderr
    ((rows,),) = shop.database.execute("SELECT count(*) FROM shop_item")
    assert rows == 4
    shop.database.execute("DELETE FROM shop_item WHERE id = 4")
    same(data_in(shop.database), before)


@BOTH_VENDORS
def test_rows_written_after_the_plan_into_an_empty_table_count_too(shop: Project) -> None:
    """The plan has nothing to lose, so nobody has accepted anything; the row that came later is not lost by itself."""
    shop.database.execute("DELETE FROM shop_item")
    before = data_in(shop.database)
    result = beside_a_writer(shop, ONE_PRICE_MORE)
    assert (result.returncode, "would lose 1 row or value" in result.stderr) == (1, True), result.stdout + result.stderr
    assert shop.database.execute("SELECT id, price FROM shop_item") == [(4, 8)]
    shop.database.execute("DELETE FROM shop_item")
    same(data_in(shop.database), before)


# At a terminal


def at_a_terminal(project: Project, door: str, *words: str, typed: str | None = None) -> tuple[int, str]:
    """Run the command with a terminal at all ends, and type a line when it asks: its exit code, and what is shown."""
    program = [str(project.binary())] if door == "native" else [project.python, "manage.py"]
    program += ["rollback"] if door == "manage" else []
    variables = project.environment() | {"DATABASE_URL": project.database.url, "TERM": "dumb"}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*program, *words],
        cwd=project.root,
        env=variables | environment(project, door),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        shown = _talk(ours, typed)
        return process.wait(PATIENCE), shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _talk(terminal: int, typed: str | None) -> str:
    shown, asked, deadline = "", False, time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        readable, _, _ = select.select([terminal], [], [], 1)
        if not readable:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:
            return shown
        if not part:
            return shown
        shown += part.decode().replace("\r\n", "\n")
        if "to stop: " in shown and not asked:
            asked = True
            assert typed is not None, shown
            os.write(terminal, typed.encode())
    raise AssertionError(f"no end in sight:\n{shown}")


@BOTH_DOORS
@BOTH_VENDORS
def test_yes_at_a_terminal_goes_on(shop: Project, door: str) -> None:
    code, shown = at_a_terminal(shop, door, *BACK, typed="yes\n")
    assert (code, QUESTION in shown) == (0, True), shown
    assert shown.index("3 values of shop_item.price") < shown.index(QUESTION)
    assert has_gone_back(shop.database)


@BOTH_DOORS
@pytest.mark.parametrize("typed", ["no\n", "y\n", "YES\n", "\n", "yes, please\n", "\x04"])
@pytest.mark.parametrize("vendor", ["sqlite"])
def test_anything_else_at_a_terminal_stops(shop: Project, door: str, typed: str) -> None:
    before = data_in(shop.database)
    code, shown = at_a_terminal(shop, door, *BACK, typed=typed)
    assert (code, QUESTION in shown) == (1, True), shown
    assert "stopped, and nothing was changed" in shown
    same(data_in(shop.database), before)


@pytest.mark.parametrize("vendor", ["postgresql"])
@pytest.mark.parametrize("typed", ["no\n", "\x04"])
def test_nothing_is_locked_while_a_person_thinks(shop: Project, typed: str) -> None:
    before = data_in(shop.database)
    code, shown = at_a_terminal(shop, "manage", *BACK, typed=typed)
    assert code == 1, shown
    same(data_in(shop.database), before)


@BOTH_DOORS
@BOTH_VENDORS
def test_nothing_is_asked_where_nothing_is_lost(shop: Project, door: str) -> None:
    shop.database.execute("DELETE FROM shop_item")
    code, shown = at_a_terminal(shop, door, *BACK)
    assert (code, "will be lost" in shown) == (0, False), shown
    assert has_gone_back(shop.database)


@pytest.mark.parametrize("words", [[ACCEPT], ["--max-lost-rows", "3"]])
@pytest.mark.parametrize("vendor", ["sqlite"])
def test_who_has_said_it_already_is_not_asked(shop: Project, words: list[str]) -> None:
    code, shown = at_a_terminal(shop, "manage", *BACK, *words)
    assert (code, "will be lost" in shown) == (0, False), shown
    assert has_gone_back(shop.database)


@BOTH_DOORS
@pytest.mark.parametrize("words", [["--noinput"], ["--no-input"], ["--max-lost-rows", "2"]])
@pytest.mark.parametrize("vendor", ["sqlite"])
def test_who_wants_no_questions_is_refused_at_a_terminal_too(shop: Project, door: str, words: list[str]) -> None:
    before = data_in(shop.database)
    code, shown = at_a_terminal(shop, door, *BACK, *words)
    assert (code, "will be lost" in shown) == (1, False), shown
    assert "would lose 3 rows and values" in shown
    same(data_in(shop.database), before)


# The first name of the command


@BOTH_VENDORS
def test_the_original_command_warns_and_goes_on(shop: Project) -> None:
    """As it always did, so that no deploy that calls it stops from one day to the next; but it says the numbers."""
    result = shop.manage("rollback_migrations", "-t", "v1")
    assert_done(shop, result)
    assert "Lost: 3 rows and values.\n  3 values of shop_item.price, by undoing shop.0002_price\n" in result.stderr
    assert "Lost" not in result.stdout


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_the_original_command_asks_nothing_at_a_terminal(shop: Project) -> None:
    code, shown = at_a_terminal(shop, "original", "rollback_migrations", "-t", "v1")
    assert (code, "will be lost" in shown, "Lost: 3 rows and values." in shown) == (0, False, True), shown


@BOTH_VENDORS
def test_the_original_command_keeps_to_a_limit(shop: Project) -> None:
    before = data_in(shop.database)
    result = shop.manage("rollback_migrations", "-t", "v1", "--max-lost-rows", "2", check=False)
    assert (result.returncode, "would lose 3 rows and values" in result.stderr) == (1, True), result.stderr
    same(data_in(shop.database), before)
    assert_done(shop, shop.manage("rollback_migrations", "-t", "v1", "--max-lost-rows", "3"))


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_the_log_has_the_numbers(shop: Project) -> None:
    shop.install_apps(APPS, extra=LOGGING)
    (shop.root / "log").write_text("")
    shop.manage("rollback_migrations", "-t", "v1", "--logger", "audit")
    ((level, message),) = re.findall(r"(\w+) \{(.*)\}$", (shop.root / "log").read_text(), re.DOTALL)
    assert level == "WARNING"
    assert "Lost: 3 rows and values.\n  3 values of shop_item.price, by undoing shop.0002_price\n" in message


@BOTH_VENDORS
def test_the_setting_makes_the_original_command_refuse(shop: Project) -> None:
    shop.install_apps(APPS, extra='DJANGO_ROLLBACK = {"DATA_LOSS": "refuse"}\n')
    before = data_in(shop.database)
    result = shop.manage("rollback_migrations", "-t", "v1", check=False)
    assert (result.returncode, "would lose 3 rows and values" in result.stderr) == (1, True), result.stderr
    same(data_in(shop.database), before)
    assert_done(shop, shop.manage("rollback_migrations", "-t", "v1", ACCEPT))


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_the_setting_is_asked_about_at_a_terminal(shop: Project) -> None:
    shop.install_apps(APPS, extra='DJANGO_ROLLBACK = {"DATA_LOSS": "refuse"}\n')
    before = data_in(shop.database)
    code, shown = at_a_terminal(shop, "original", "rollback_migrations", "-t", "v1", typed="no\n")
    assert (code, QUESTION in shown) == (1, True), shown
    same(data_in(shop.database), before)
    code, shown = at_a_terminal(shop, "original", "rollback_migrations", "-t", "v1", typed="yes\n")
    assert (code, has_gone_back(shop.database)) == (0, True), shown


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_the_setting_warn_changes_nothing_for_rollback(shop: Project) -> None:
    """It is about the command of the original alone."""
    shop.install_apps(APPS, extra='DJANGO_ROLLBACK = {"DATA_LOSS": "warn"}\n')
    assert_refused(shop, "manage", *BACK)


@pytest.mark.parametrize("vendor", ["sqlite"])
@pytest.mark.parametrize("value", ['"ignore"', "True", "None", '"REFUSE"', "[]"])
def test_a_wrong_value_of_the_setting(shop: Project, value: str) -> None:
    shop.install_apps(APPS, extra=f'DJANGO_ROLLBACK = {{"DATA_LOSS": {value}}}\n')
    before = everything_in(shop.database)
    checked = shop.manage("check", check=False)
    assert (checked.returncode, "(rollback.E003)" in checked.stderr) == (1, True), checked.stderr
    assert "DJANGO_ROLLBACK['DATA_LOSS'] must be 'warn' or 'refuse'." in checked.stderr
    for words in (["rollback_migrations", "-t", "v1"], ["rollback", *BACK, ACCEPT]):
        result = shop.manage(*words, check=False)
        assert (result.returncode, "(rollback.E003)" in result.stderr) == (1, True), result.stderr
    same(everything_in(shop.database), before)
