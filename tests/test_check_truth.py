"""What `check` says about going back and about the older code, held against what really happens.

Each case is an app of its own: its first migration is the older release, its second one the newer. Django itself
applies both with rows in the tables, lets the older code read and write, and undoes the newer one. Where the rules say
more or less than what happened, the case says so, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django

from conftest import CopyDatabase
from harness.database import Database
from harness.project import Project
from scenarios import NAMED, NUMBER, add, create, migration, same

BOTH = ("sqlite", "postgresql")
ON_SQLITE, ON_POSTGRESQL = ("sqlite",), ("postgresql",)
CODE = """
    from datetime import date, datetime, timezone

    from django.db.models.functions import Lower, Now, Random, Upper


    def nothing(apps, schema_editor):
        pass


    def something(apps, schema_editor):
        apps.get_model("APP", "Item").objects.update(name="changed")


    def back(apps, schema_editor):
        apps.get_model("APP", "Item").objects.update(name="a")


    class OneWay(migrations.RunSQL):
        reversible = False


    class Own(migrations.operations.base.Operation):
        reversible = False

        def state_forwards(self, app_label, state):
            pass

        def database_forwards(self, app_label, schema_editor, from_state, to_state):
            pass
"""
CODE_OF_POSTGRESQL = """
    from django.contrib.postgres import constraints, fields, functions, indexes, operations, search
"""

IRREVERSIBLE, LOSES, EMPTY, FAILS = "RB011", "RB012", "RB013", "RB014"
# A warning instead of an error: not with every row.
MAY_FAIL = "RB014 with some rows"
OLDER_CODE = "older code fails"
REWRITES, BLOCKS_WRITES = "RB042", "RB043"
ABOUT_OLDER_CODE = ("RB021", "RB022", "RB023", "RB024", "RB025", "RB026")


@dataclass(frozen=True)
class Case:
    """One app. `APP` stands for its name, and `<new>` for a value that is nowhere else.

    `rows` are there before the newer release, `new_rows` are written with it; `more_rows` too, for a second attempt at
    going back, with what only the newer release takes. The older code reads every model and makes one of each;
    `writes` is what it does besides. `rules` are those about the older code.
    """

    base: list[str]
    head: list[str]
    rows: list[str] = field(default_factory=lambda: ONE)
    new_rows: list[str] = field(default_factory=list)
    more_rows: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    rules: str = ""
    on: tuple[str, ...] = BOTH
    since: tuple[int, int] = (4, 2)
    # What the rules say and does not happen, and what happens and they do not say; with the reason.
    wider: Mapping[str, str] = field(default_factory=dict)
    narrower: Mapping[str, str] = field(default_factory=dict)
    atomic: bool = True

    def is_known(self, vendor: str) -> bool:
        return vendor in self.on and self.since <= django.VERSION[:2]

    def source(self, app: str, operations: list[str], **words: Any) -> str:
        code = CODE + (CODE_OF_POSTGRESQL if self.on == ON_POSTGRESQL else "")
        return migration(*operations, code=code, **words).replace("APP", app)


def alter(name: str, definition: str, model: str = "Item") -> str:
    return f"migrations.AlterField({model!r}, {name!r}, {definition})"


def remove(name: str, model: str = "Item") -> str:
    return f"migrations.RemoveField({model!r}, {name!r})"


def separate(*database: str, state: tuple[str, ...] = ()) -> str:
    return (
        f"migrations.SeparateDatabaseAndState(database_operations=[{', '.join(database)}], "
        f"state_operations=[{', '.join(state)}])"
    )


def to(model: str, more: str = "", kind: str = "ForeignKey") -> str:
    on_delete = "" if kind == "ManyToManyField" else ", models.CASCADE"
    return f'models.{kind}("APP.{model}"{on_delete}{more})'


def item(**fields: str) -> list[str]:
    return [create("Item", **fields)]


ITEM = create("Item", **NAMED)
UNMANAGED = f'{ITEM[:-1]}, options={{"managed": False}})'
NOTED = {"note": "models.CharField(max_length=20, null=True)"}
PLAIN = [ITEM]
TAG = create("Tag", **NAMED)
TAGS = to("Tag", kind="ManyToManyField")
ONE = ["INSERT INTO APP_item (name) VALUES ('a')"]
TWO = ["INSERT INTO APP_item (name) VALUES ('a'), ('b')"]
A_TAG = "INSERT INTO APP_tag (id, name) VALUES (7, 't')"
TAGGED = [*ONE, A_TAG, "INSERT INTO APP_item_tags (item_id, tag_id) VALUES (1, 7)"]
PRICED = ["INSERT INTO APP_item (price) VALUES (5)"]


def was(definition: str, value: str = "5", **words: Any) -> dict[str, Any]:
    """An item that has the one field `price`, and one row."""
    return {"base": item(price=definition), "rows": [f"INSERT INTO APP_item (price) VALUES ({value})"], **words}


def became(definition: str) -> dict[str, Any]:
    return {"head": [alter("price", definition)]}


def more(value: str) -> dict[str, Any]:
    return {"more_rows": [f"INSERT INTO APP_item (price) VALUES ({value})"]}


def goes_to_new(column: str = "price", value: str = "<new>") -> list[str]:
    return [f"UPDATE APP_item SET {column} = {value} WHERE id = 1"]


CHECK_KEYS = "from django.db import connection; connection.check_constraints()"
TEXT = "models.TextField()"
INTEGER = "models.IntegerField({})"


def chars(length: int, more_: str = "") -> str:
    return f"models.CharField(max_length={length}{more_})"


CASES: dict[str, Case] = {
    # Operations that run code
    "python_without_reverse": Case(PLAIN, ["migrations.RunPython(nothing)"]),
    "python_with_reverse": Case(PLAIN, ["migrations.RunPython(something, back)"]),
    "python_with_noop": Case(PLAIN, ["migrations.RunPython(something, migrations.RunPython.noop)"]),
    "python_with_an_empty_reverse": Case(PLAIN, ["migrations.RunPython(something, nothing)"]),
    "python_with_a_lambda": Case(
        PLAIN, ["migrations.RunPython(something, reverse_code=lambda apps, schema_editor: None)"]
    ),
    "python_noop_both_ways": Case(
        PLAIN,
        ["migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)"],
    ),
    "python_that_fills_a_new_column": Case(
        PLAIN,
        [add("Item", "price", "models.IntegerField(null=True)"), "migrations.RunPython(nothing, nothing)"],
        new_rows=goes_to_new(),
        wider={EMPTY: "what a function changes is not known"},
    ),
    "sql_without_reverse": Case(PLAIN, ['migrations.RunSQL("SELECT 1")']),
    "sql_with_none": Case(PLAIN, ['migrations.RunSQL("SELECT 1", reverse_sql=None)']),
    "sql_with_reverse": Case(
        PLAIN,
        ["migrations.RunSQL(\"UPDATE APP_item SET name = 'c'\", \"UPDATE APP_item SET name = 'a'\")"],
    ),
    "sql_with_noop": Case(PLAIN, ["migrations.RunSQL(\"UPDATE APP_item SET name = 'c'\", migrations.RunSQL.noop)"]),
    "sql_with_an_empty_list": Case(PLAIN, ["migrations.RunSQL(\"UPDATE APP_item SET name = 'c'\", [])"]),
    "sql_with_an_empty_text": Case(PLAIN, ["migrations.RunSQL(\"UPDATE APP_item SET name = 'c'\", reverse_sql='')"]),
    "sql_of_the_project_s_own": Case(PLAIN, ['OneWay("SELECT 1", "SELECT 1")']),
    "own_operation": Case(PLAIN, ["Own()"]),
    # Operations inside of another
    "python_without_reverse_inside": Case(PLAIN, [separate("migrations.RunPython(nothing)")]),
    "sql_without_reverse_inside": Case(PLAIN, [separate('migrations.RunSQL("SELECT 1")')]),
    "sql_without_reverse_two_deep": Case(PLAIN, [separate(separate('migrations.RunSQL("SELECT 1")'))]),
    "sql_without_reverse_in_the_state": Case(PLAIN, [separate(state=('migrations.RunSQL("SELECT 1")',))]),
    "python_with_noop_inside": Case(
        PLAIN,
        [separate("migrations.RunPython(something, migrations.RunPython.noop)")],
    ),
    "sql_with_noop_inside": Case(
        PLAIN,
        [separate("migrations.RunSQL(\"UPDATE APP_item SET name = 'c'\", migrations.RunSQL.noop)")],
    ),
    "field_only_in_the_state": Case(PLAIN, [separate(state=(add("Item", "price", NUMBER),))]),
    "field_removed_only_in_the_state": Case(
        [create("Item", **NAMED, price="models.IntegerField(null=True)")], [separate(state=(remove("price"),))]
    ),
    "field_added_inside": Case(
        PLAIN,
        [separate(*(price := (add("Item", "price", "models.IntegerField(null=True)"),)), state=price)],
        new_rows=goes_to_new(),
    ),
    "field_added_two_deep": Case(
        PLAIN,
        [separate(separate(*price, state=price), state=price)],
        new_rows=goes_to_new(),
    ),
    "field_removed_inside": Case(
        [create("Item", **NAMED, price=NUMBER)],
        [separate(*(gone := (remove("price"),)), state=gone)],
        rows=["INSERT INTO APP_item (name, price) VALUES ('a', 5)"],
        rules="RB021",
    ),
    "field_removed_two_deep": Case(
        [create("Item", **NAMED, price=NUMBER)],
        [separate(separate(*gone, state=gone), state=gone)],
        rows=["INSERT INTO APP_item (name, price) VALUES ('a', 5)"],
        rules="RB021",
    ),
    "sql_for_a_model": Case(
        PLAIN,
        [
            'migrations.RunSQL("CREATE TABLE APP_note (id integer PRIMARY KEY)", "DROP TABLE APP_note", '
            f"state_operations=[{create('Note')}])",
            add("Note", "price", NUMBER),
        ],
    ),
    "nothing_for_sql": Case(
        PLAIN, ["migrations.RunSQL(migrations.RunSQL.noop, migrations.RunSQL.noop)", "migrations.RunSQL([], [])"]
    ),
    "sql_for_a_field": Case(
        PLAIN,
        [
            separate(
                'migrations.RunSQL("ALTER TABLE APP_item ADD COLUMN price integer NULL", '
                '"ALTER TABLE APP_item DROP COLUMN price")',
                state=price,
            )
        ],
        new_rows=goes_to_new(),
        narrower={LOSES: "SQL is not read"},
    ),
    # Models
    "create_model": Case(
        PLAIN,
        [create("Order", number=NUMBER)],
        new_rows=["INSERT INTO APP_order (number) VALUES (<new>)"],
    ),
    "create_model_with_many": Case(
        PLAIN,
        [create("Order", items=to("Item", kind="ManyToManyField"))],
        new_rows=[
            "INSERT INTO APP_order (id) VALUES (<new>)",
            "INSERT INTO APP_order_items (id, order_id, item_id) SELECT <new>, id, 1 FROM APP_order",
        ],
    ),
    "create_child": Case(
        PLAIN,
        [
            'migrations.CreateModel("Book", [("item_ptr", models.OneToOneField("APP.Item", models.CASCADE, '
            'parent_link=True, primary_key=True)), ("pages", models.IntegerField())], bases=("APP.item",))'
        ],
        new_rows=["INSERT INTO APP_book (item_ptr_id, pages) VALUES (1, <new>)"],
    ),
    "create_proxy_and_unmanaged": Case(
        PLAIN,
        [
            'migrations.CreateModel("Cheap", [], options={"proxy": True}, bases=("APP.item",))',
            f'{create("View", **NAMED)[:-1]}, options={{"managed": False}})',
        ],
    ),
    "delete_model": Case([*PLAIN, TAG], ['migrations.DeleteModel("Tag")'], rows=[*ONE, A_TAG], rules="RB022"),
    "delete_model_that_another_points_to": Case(
        [*PLAIN, create("Line", item=to("Item"))],
        ['migrations.DeleteModel("Line")'],
        rows=[*ONE, "INSERT INTO APP_line (item_id) VALUES (1)"],
        rules="RB022",
    ),
    "delete_proxy_and_unmanaged": Case(
        [
            ITEM,
            'migrations.CreateModel("Cheap", [], options={"proxy": True}, bases=("APP.item",))',
            f'{create("View", **NAMED)[:-1]}, options={{"managed": False, "db_table": "APP_item"}})',
        ],
        ['migrations.DeleteModel("Cheap")', 'migrations.DeleteModel("View")'],
    ),
    "delete_model_only_in_the_state": Case([*PLAIN, TAG], [separate(state=('migrations.DeleteModel("Tag")',))]),
    "create_and_delete_model": Case(
        PLAIN,
        [create("Order", **NAMED), 'migrations.DeleteModel("Order")'],
        wider={LOSES: "the table is gone already"},
    ),
    "field_of_a_model_that_is_managed_no_more": Case(
        PLAIN,
        [
            'migrations.AlterModelOptions("item", {"managed": False})',
            add("Item", "price", NUMBER),
            'migrations.DeleteModel("item")',
        ],
    ),
    "field_of_a_model_that_becomes_managed": Case(
        ["migrations.RunSQL('CREATE TABLE APP_item (id integer PRIMARY KEY, name varchar(20))')", UNMANAGED],
        ['migrations.AlterModelOptions("item", {})', add("Item", "price", "models.IntegerField(null=True)")],
        rows=["INSERT INTO APP_item (id, name) VALUES (1, 'a')"],
        new_rows=goes_to_new(),
    ),
    "field_of_a_model_with_another_s_table": Case(
        item(**NAMED, **NOTED),
        [
            separate(
                state=(
                    'migrations.DeleteModel("Item")',
                    f'{create("Thing", **NAMED, **NOTED)[:-1]}, options={{"db_table": "APP_item"}})',
                )
            ),
            add("Thing", "price", "models.IntegerField(null=True)"),
            remove("note", "Thing"),
        ],
        rows=["INSERT INTO APP_item (name, note) VALUES ('a', 'b')"],
        new_rows=goes_to_new(),
        rules="RB021",
    ),
    "rename_model": Case(PLAIN, ['migrations.RenameModel("Item", "Thing")'], rules="RB024"),
    "rename_model_with_a_table": Case(
        [f'{ITEM[:-1]}, options={{"db_table": "APP_item"}})'], ['migrations.RenameModel("Item", "Thing")']
    ),
    "rename_model_keeping_its_table": Case(
        PLAIN,
        ['migrations.AlterModelTable("item", "APP_item")', 'migrations.RenameModel("Item", "Thing")'],
    ),
    "rename_model_and_its_table_back": Case(
        PLAIN,
        ['migrations.RenameModel("Item", "Thing")', 'migrations.AlterModelTable("thing", "APP_item")'],
    ),
    "rename_model_with_many_keeping_its_table": Case(
        [TAG, f'{create("Item", **NAMED, tags=TAGS)[:-1]}, options={{"db_table": "APP_item"}})'],
        ['migrations.RenameModel("Item", "Thing")'],
        rows=TAGGED,
        rules="RB024",
    ),
    "alter_model_table": Case(PLAIN, ['migrations.AlterModelTable("item", "APP_goods")'], rules="RB024"),
    "alter_model_table_to_the_same": Case(PLAIN, ['migrations.AlterModelTable("item", "APP_item")']),
    "alter_model_table_of_a_proxy": Case(
        [ITEM, 'migrations.CreateModel("Cheap", [], options={"proxy": True}, bases=("APP.item",))'],
        ['migrations.AlterModelTable("cheap", "APP_cheap")'],
    ),
    "alter_order": Case(
        [*PLAIN, create("Line", **NAMED, item=to("Item"))],
        ['migrations.AlterOrderWithRespectTo("line", "item")'],
        rows=[*ONE, "INSERT INTO APP_line (name, item_id) VALUES ('a', 1)"],
        new_rows=["UPDATE APP_line SET _order = <new>"],
        rules="RB023",
    ),
    "alter_order_to_none": Case(
        [
            *PLAIN,
            create("Line", **NAMED, item=to("Item")),
            'migrations.AlterOrderWithRespectTo("line", "item")',
        ],
        ['migrations.AlterOrderWithRespectTo("line", None)'],
        rows=[*ONE, "INSERT INTO APP_line (name, item_id, _order) VALUES ('a', 1, 5)"],
        rules="RB021",
    ),
    "alter_options_and_managers": Case(
        PLAIN,
        [
            'migrations.AlterModelOptions("item", {"ordering": ["name"]})',
            'migrations.AlterModelManagers("item", [("things", models.Manager())])',
            'migrations.AlterModelTableComment("item", "about")',
        ],
    ),
    # Fields that are added
    "add_null": Case(PLAIN, [add("Item", "price", "models.IntegerField(null=True)")], new_rows=goes_to_new()),
    "add_with_a_default": Case(PLAIN, [add("Item", "price", NUMBER)], new_rows=goes_to_new(), rules="RB023"),
    "add_with_preserve_default": Case(
        PLAIN,
        ['migrations.AddField("Item", "price", models.IntegerField(default=0), preserve_default=False)'],
        new_rows=goes_to_new(),
        rules="RB023",
    ),
    "add_blank_text": Case(
        PLAIN, [add("Item", "price", chars(20, ", blank=True"))], new_rows=goes_to_new(value="'<new>'"), rules="RB023"
    ),
    "add_auto_now": Case(
        PLAIN,
        [add("Item", "at", "models.DateTimeField(auto_now=True)")],
        rules="RB023",
        wider={LOSES: "no value of it is written here"},
    ),
    "add_virtual": Case(
        item(price=NUMBER),
        [
            'migrations.AddField("Item", "double", models.GeneratedField(expression=models.F("price") * 2, '
            "output_field=models.IntegerField(), db_persist=False))"
        ],
        rows=PRICED,
        since=(5, 0),
        on=ON_SQLITE,
    ),
    "another_key": Case(
        PLAIN,
        [remove("id"), add("Item", "number", "models.BigAutoField(primary_key=True)")],
        rows=TWO,
        rules="RB021",
        wider={LOSES: "no value of it is written here", EMPTY: "the numbers are the same when they are counted anew"},
    ),
    "add_composite_key": Case(
        PLAIN,
        [separate(add("Item", "pk", 'models.CompositePrimaryKey("id", "name")'))],
        since=(5, 2),
    ),
    "add_null_unique": Case(
        PLAIN, [add("Item", "price", "models.IntegerField(null=True, unique=True)")], new_rows=goes_to_new()
    ),
    "add_with_a_default_of_the_database": Case(
        PLAIN, [add("Item", "price", "models.IntegerField(db_default=0)")], new_rows=goes_to_new(), since=(5, 0)
    ),
    "add_unique_with_a_default_of_the_database": Case(
        PLAIN,
        [add("Item", "price", "models.IntegerField(db_default=0, unique=True)")],
        new_rows=goes_to_new(),
        since=(5, 0),
        rules="RB026",
    ),
    "add_with_an_expression": Case(
        PLAIN,
        [add("Item", "price", "models.FloatField(db_default=Random())")],
        new_rows=goes_to_new(),
        since=(5, 0),
        on=ON_POSTGRESQL,
    ),
    "add_with_now": Case(
        PLAIN,
        [add("Item", "at", "models.DateTimeField(db_default=Now())")],
        since=(5, 0),
        on=ON_POSTGRESQL,
        wider={LOSES: "no value of it is written here"},
    ),
    "add_with_a_stable_expression": Case(
        PLAIN,
        [add("Item", "price", 'models.CharField(max_length=9, db_default=Lower(models.Value("A")))')],
        new_rows=goes_to_new(value="'<new>'"),
        since=(5, 0),
        on=ON_POSTGRESQL,
        wider={REWRITES: "whether a function is volatile is not known"},
    ),
    "add_generated": Case(
        PLAIN,
        [
            add(
                "Item",
                "big",
                'models.GeneratedField(expression=Upper("name"), output_field=models.CharField(max_length=20), '
                "db_persist=True)",
            )
        ],
        since=(5, 0),
    ),
    "add_foreign_key": Case(
        [*PLAIN, TAG],
        [add("Item", "tag", to("Tag", ", null=True"))],
        rows=[*ONE, "INSERT INTO APP_tag (id, name) VALUES (7, 't')"],
        new_rows=goes_to_new("tag_id", "7"),
        wider={LOSES: "the value is that of another row"},
    ),
    "add_many": Case(
        [*PLAIN, TAG],
        [add("Item", "tags", TAGS)],
        rows=[*ONE, A_TAG],
        new_rows=["INSERT INTO APP_item_tags (id, item_id, tag_id) VALUES (<new>, 1, 7)"],
    ),
    "add_many_through": Case(
        [*PLAIN, TAG, create("Link", item=to("Item"), tag=to("Tag"))],
        [add("Item", "tags", to("Tag", ', through="APP.Link"', "ManyToManyField"))],
        rows=[*ONE, A_TAG],
        new_rows=["INSERT INTO APP_link (id, item_id, tag_id) VALUES (<new>, 1, 7)"],
    ),
    "add_to_an_unmanaged_model": Case(
        [ITEM, f'{create("View", **NAMED)[:-1]}, options={{"managed": False, "db_table": "APP_item"}})'],
        [add("View", "price", NUMBER)],
    ),
    "add_to_a_new_model": Case(
        PLAIN,
        [create("Order", **NAMED), add("Order", "price", NUMBER), alter("price", "models.BigIntegerField()", "Order")],
        new_rows=["INSERT INTO APP_order (name, price) VALUES ('a', <new>)"],
    ),
    "add_and_remove": Case(
        PLAIN,
        [add("Item", "price", NUMBER), remove("price")],
        wider={LOSES: "the column is gone already", OLDER_CODE: "between the two the column is there"},
        rules="RB023",
    ),
    # Fields that are removed
    "remove_null": Case(**was("models.IntegerField(null=True)"), head=[remove("price")], rules="RB021"),
    "remove_with_a_default": Case(**was(NUMBER), head=[remove("price")], rules="RB021"),
    "remove_with_the_default_none": Case(
        **was("models.IntegerField(default=None)"),
        head=[remove("price")],
        rules="RB021",
    ),
    "remove_without_a_default": Case(**was("models.IntegerField()"), head=[remove("price")], rules="RB021"),
    "remove_after_a_default": Case(
        **was("models.IntegerField()"), head=[alter("price", NUMBER), remove("price")], rules="RB021"
    ),
    "remove_with_a_default_of_the_database": Case(
        **was("models.IntegerField(db_default=0)"), head=[remove("price")], rules="RB021", since=(5, 0)
    ),
    "remove_blank_text": Case(**was(chars(20, ", blank=True"), "'a'"), head=[remove("price")], rules="RB021"),
    "remove_text": Case(**was(chars(20), "'a'"), head=[remove("price")], rules="RB021"),
    "remove_blank_integer": Case(**was("models.IntegerField(blank=True)"), head=[remove("price")], rules="RB021"),
    "remove_auto_now": Case(
        **was("models.DateTimeField(auto_now_add=True)", "'2020-01-02 00:00:00'"), head=[remove("price")], rules="RB021"
    ),
    "remove_binary": Case(**was("models.BinaryField()", "''"), head=[remove("price")], rules="RB021"),
    "remove_json": Case(**was("models.JSONField(default=dict)", "'[1]'"), head=[remove("price")], rules="RB021"),
    "remove_unique": Case(
        **was("models.IntegerField(unique=True, default=0)"),
        head=[remove("price")],
        more_rows=["INSERT INTO APP_item (id) VALUES (50)"],
        rules="RB021",
    ),
    "remove_null_unique": Case(
        **was("models.IntegerField(unique=True, null=True)"),
        head=[remove("price")],
        more_rows=["INSERT INTO APP_item (id) VALUES (50)"],
        rules="RB021",
    ),
    "remove_foreign_key": Case(
        [TAG, create("Item", **NAMED, tag=to("Tag", ", null=True"))],
        [remove("tag")],
        rows=[A_TAG, "INSERT INTO APP_item (name, tag_id) VALUES ('a', 7)"],
        rules="RB021",
    ),
    "remove_foreign_key_that_is_not_null": Case(
        [TAG, create("Item", **NAMED, tag=to("Tag"))],
        [remove("tag")],
        rows=[A_TAG, "INSERT INTO APP_item (name, tag_id) VALUES ('a', 7)"],
        rules="RB021",
    ),
    "remove_many": Case([TAG, create("Item", **NAMED, tags=TAGS)], [remove("tags")], rows=TAGGED, rules="RB021"),
    "remove_many_through": Case(
        [
            *PLAIN,
            TAG,
            create("Link", item=to("Item"), tag=to("Tag")),
            add("Item", "tags", to("Tag", ', through="APP.Link"', "ManyToManyField")),
        ],
        [remove("tags")],
        rows=[*ONE, A_TAG, "INSERT INTO APP_link (item_id, tag_id) VALUES (1, 7)"],
    ),
    "remove_generated": Case(
        [
            create(
                "Item",
                **NAMED,
                big='models.GeneratedField(expression=Upper("name"), output_field=models.CharField(max_length=20), '
                "db_persist=True)",
            )
        ],
        [remove("big")],
        since=(5, 0),
        rules="RB021",
    ),
    "remove_and_add_again": Case(
        **was("models.IntegerField(null=True)"),
        head=[remove("price"), add("Item", "price", "models.IntegerField(null=True)")],
        new_rows=goes_to_new(),
        wider={OLDER_CODE: "the column of this name is another one"},
        rules="RB021",
    ),
    # Fields that are renamed
    "rename_field": Case(PLAIN, ['migrations.RenameField("Item", "name", "title")'], rules="RB024"),
    "rename_field_keeping_its_column": Case(
        PLAIN,
        [alter("name", chars(20, ', db_column="name"')), 'migrations.RenameField("Item", "name", "title")'],
    ),
    "rename_field_and_its_column_back": Case(
        PLAIN,
        ['migrations.RenameField("Item", "name", "title")', alter("title", chars(20, ', db_column="name"'))],
    ),
    "rename_field_there_and_back": Case(
        PLAIN,
        ['migrations.RenameField("Item", "name", "title")', 'migrations.RenameField("Item", "title", "name")'],
    ),
    "rename_foreign_key": Case(
        [TAG, create("Item", **NAMED, tag=to("Tag", ", null=True"))],
        ['migrations.RenameField("Item", "tag", "label")'],
        rows=[A_TAG, "INSERT INTO APP_item (name, tag_id) VALUES ('a', 7)"],
        rules="RB024",
    ),
    "rename_many": Case(
        [TAG, create("Item", **NAMED, tags=TAGS)],
        ['migrations.RenameField("Item", "tags", "labels")'],
        rows=TAGGED,
        rules="RB024",
    ),
    "alter_column": Case(PLAIN, [alter("name", chars(20, ', db_column="title"'))], rules="RB024"),
    "alter_table_of_many": Case(
        [TAG, create("Item", **NAMED, tags=TAGS)],
        [alter("tags", to("Tag", ', db_table="APP_labels"', "ManyToManyField"))],
        rows=TAGGED,
        rules="RB024",
    ),
    # NULL and defaults
    "null_to_not_null": Case(**was("models.IntegerField(null=True)"), **became("models.IntegerField()"), rules="RB023"),
    "null_to_a_default": Case(**was("models.IntegerField(null=True)"), **became(NUMBER), rules="RB023"),
    "not_null_to_null": Case(
        **was("models.IntegerField()"), **became("models.IntegerField(null=True)"), **more("NULL")
    ),
    "default_to_null": Case(**was(NUMBER), **became("models.IntegerField(null=True)"), **more("NULL")),
    "default_to_null_with_the_same_default": Case(
        **was(NUMBER), **became("models.IntegerField(null=True, default=0)"), **more("NULL")
    ),
    "blank_text_to_null": Case(
        **was(chars(20, ", blank=True"), "'a'"),
        **became(chars(20, ", blank=True, null=True")),
        **more("NULL"),
    ),
    "auto_now_to_null": Case(
        **was("models.DateField(auto_now=True)", "'2020-01-02'"),
        **became("models.DateField(null=True)"),
        **more("NULL"),
    ),
    "default_of_the_database_to_null": Case(
        **was("models.IntegerField(db_default=0)"),
        **became("models.IntegerField(null=True)"),
        **more("NULL"),
        since=(5, 0),
    ),
    "default_of_the_database_goes": Case(
        **was("models.IntegerField(db_default=0)"),
        **became(NUMBER),
        since=(5, 0),
        rules="RB023",
    ),
    "default_of_the_database_comes": Case(**was(NUMBER), **became("models.IntegerField(db_default=0)"), since=(5, 0)),
    "default_of_the_database_with_null_goes": Case(
        **was("models.IntegerField(db_default=0, null=True)"),
        **became("models.IntegerField(null=True)"),
        since=(5, 0),
    ),
    # Types: whole numbers
    "integer_to_big": Case(**was("models.IntegerField()"), **became("models.BigIntegerField()"), **more("3000000000")),
    "big_to_integer": Case(
        **was("models.BigIntegerField()"),
        **became("models.IntegerField()"),
        writes=["Item.objects.create(price=3_000_000_000)"],
        rules="RB025",
    ),
    "integer_to_small": Case(
        **was("models.IntegerField()"),
        **became("models.SmallIntegerField()"),
        writes=["Item.objects.create(price=40_000)"],
        rules="RB025",
    ),
    "integer_to_positive": Case(
        **was("models.IntegerField()"),
        **became("models.PositiveIntegerField()"),
        writes=["Item.objects.create(price=-1)"],
        rules="RB025",
    ),
    "positive_to_integer": Case(
        **was("models.PositiveIntegerField()"),
        **became("models.IntegerField()"),
        **more("-1"),
    ),
    "positive_to_positive_big": Case(
        **was("models.PositiveIntegerField()"), **became("models.PositiveBigIntegerField()"), **more("3000000000")
    ),
    "key_to_big": Case(
        ['migrations.CreateModel("Item", [("id", models.AutoField(primary_key=True)), ("name", models.TextField())])'],
        ['migrations.AlterField("Item", "id", models.BigAutoField(primary_key=True))'],
        more_rows=["INSERT INTO APP_item (id, name) VALUES (3000000000, 'b')"],
    ),
    # Types: texts
    "longer": Case(**was(chars(10), "'a'"), **became(chars(20)), **more("'eleven chars'")),
    "shorter": Case(
        **was(chars(20), "'a'"), **became(chars(10)), writes=["Item.objects.create(price='x' * 15)"], rules="RB025"
    ),
    "chars_to_text": Case(
        **was(chars(10), "'a'"),
        **became(TEXT),
        new_rows=["INSERT INTO APP_item (price) VALUES ('a long one <new>')"],
    ),
    "text_to_chars": Case(
        **was(TEXT, "'a'"),
        **became(chars(10)),
        writes=["Item.objects.create(price='x' * 15)"],
        rules="RB025",
    ),
    "chars_to_slug": Case(**was(chars(50), "'a'"), **became("models.SlugField()")),
    "slug_to_longer_chars": Case(
        **was("models.SlugField()", "'a'"),
        **became(chars(60)),
        new_rows=[f"INSERT INTO APP_item (price) VALUES ('{'x' * 50}<new>')"],
    ),
    "file_to_longer_file": Case(
        **was("models.FileField()", "'a'"), **became("models.FileField(max_length=200)"), **more(f"'{'x' * 150}'")
    ),
    "email_to_text": Case(
        **was("models.EmailField(max_length=10)", "'a'"),
        **became(TEXT),
        new_rows=["INSERT INTO APP_item (price) VALUES ('a long one <new>')"],
    ),
    # Types: others
    "more_digits": Case(
        **was("models.DecimalField(max_digits=6, decimal_places=2)"),
        **became("models.DecimalField(max_digits=9, decimal_places=2)"),
        **more("123456.5"),
    ),
    "fewer_digits": Case(
        **was("models.DecimalField(max_digits=9, decimal_places=2)"),
        **became("models.DecimalField(max_digits=6, decimal_places=2)"),
        writes=["Item.objects.create(price='123456.5')"],
        rules="RB025",
    ),
    "more_places": Case(
        **was("models.DecimalField(max_digits=6, decimal_places=1)"),
        **became("models.DecimalField(max_digits=10, decimal_places=5)"),
        new_rows=["INSERT INTO APP_item (price) VALUES (7.<new>)"],
    ),
    "fewer_places": Case(
        **was("models.DecimalField(max_digits=10, decimal_places=5)", "7.12345"),
        **became("models.DecimalField(max_digits=6, decimal_places=1)"),
        rules="RB025",
        on=ON_POSTGRESQL,
        wider={OLDER_CODE: "values are rounded without a word"},
        narrower={EMPTY: "RB025 tells that what was rounded does not come back"},
    ),
    "integer_to_text": Case(
        **was("models.IntegerField()"),
        **became(chars(10)),
        **more("'x'"),
    ),
    "text_to_integer": Case(
        **was(chars(10), "'5'"),
        **became("models.IntegerField()"),
        writes=["Item.objects.create(price='x')"],
        rules="RB025",
    ),
    "date_to_time": Case(
        **was("models.DateField()", "'2020-01-02'"),
        **became("models.DateTimeField()"),
        new_rows=["INSERT INTO APP_item (price) VALUES ('2021-01-02 03:04:05.<new>')"],
    ),
    "time_to_date": Case(
        **was("models.DateTimeField()", "'2020-01-02 00:00:00'"),
        **became("models.DateField()"),
    ),
    "integer_to_float": Case(
        **was("models.IntegerField()"),
        **became("models.FloatField()"),
        new_rows=["INSERT INTO APP_item (price) VALUES (7.<new>)"],
    ),
    "integer_to_decimal": Case(
        **was("models.IntegerField()"),
        **became("models.DecimalField(max_digits=20, decimal_places=5)"),
        new_rows=["INSERT INTO APP_item (price) VALUES (7.<new>)"],
    ),
    "text_to_json": Case(
        **was(TEXT, "'{}'"),
        **became("models.JSONField(default=dict)"),
        writes=["Item.objects.create(price='x')"],
        rules="RB025",
    ),
    "boolean_to_integer": Case(
        **was("models.BooleanField()", "true"),
        **became("models.IntegerField()"),
        new_rows=goes_to_new(),
        rules="RB025",
        on=ON_POSTGRESQL,
    ),
    "integer_to_boolean": Case(
        **was("models.IntegerField()", "1"), **became("models.BooleanField()"), rules="RB025", on=ON_POSTGRESQL
    ),
    "integer_to_foreign_key": Case(
        [TAG, create("Item", tag="models.BigIntegerField()")],
        [alter("tag", to("Tag", ', db_column="tag"'))],
        rows=[A_TAG, "INSERT INTO APP_item (tag) VALUES (7)"],
        writes=["Item.objects.create(tag=999); " + CHECK_KEYS],
        rules="RB025",
    ),
    "integer_to_one_to_one": Case(
        [TAG, create("Item", tag="models.BigIntegerField(unique=True)")],
        [alter("tag", to("Tag", ', db_column="tag"', "OneToOneField"))],
        rows=[A_TAG, "INSERT INTO APP_item (tag) VALUES (7)"],
        writes=["Item.objects.create(tag=999); " + CHECK_KEYS],
        rules="RB025",
    ),
    "foreign_key_to_one_to_one": Case(
        [TAG, create("Item", tag=to("Tag"))],
        [alter("tag", to("Tag", "", "OneToOneField"))],
        rows=[A_TAG, "INSERT INTO APP_item (tag_id) VALUES (7)"],
        writes=["Item.objects.create(tag_id=7)"],
        rules="RB026",
    ),
    "one_to_one_to_foreign_key": Case(
        [TAG, create("Item", tag=to("Tag", "", "OneToOneField"))],
        [alter("tag", to("Tag"))],
        rows=[A_TAG, "INSERT INTO APP_item (tag_id) VALUES (7)"],
        more_rows=["INSERT INTO APP_item (tag_id) VALUES (7)"],
    ),
    "foreign_key_to_another_model": Case(
        [TAG, create("Sort", **NAMED), create("Item", tag=to("Tag"))],
        [alter("tag", to("Sort"))],
        rows=[
            A_TAG,
            "INSERT INTO APP_sort (id, name) VALUES (7, 's'), (8, 's')",
            "INSERT INTO APP_item (tag_id) VALUES (7)",
        ],
        writes=["Tag.objects.create(id=9, name='t'); Item.objects.create(tag_id=9); " + CHECK_KEYS],
        more_rows=["INSERT INTO APP_item (tag_id) VALUES (8)"],
        rules="RB025",
    ),
    "foreign_key_to_another_name_of_the_model": Case(
        [f'{TAG[:-1]}, options={{"db_table": "APP_tag"}})', create("Item", tag=to("Tag"))],
        ['migrations.RenameModel("Tag", "Label")', alter("tag", to("Label", ", null=True"))],
        rows=[A_TAG, "INSERT INTO APP_item (tag_id) VALUES (7)"],
        more_rows=["INSERT INTO APP_item (tag_id) VALUES (NULL)"],
    ),
    "foreign_key_to_the_same_table": Case(
        [TAG, create("Item", tag=to("Tag"))],
        [
            separate(state=(f'{create("Label", **NAMED)[:-1]}, options={{"db_table": "APP_tag"}})',)),
            alter("tag", to("Label")),
        ],
        rows=[A_TAG, "INSERT INTO APP_item (tag_id) VALUES (7)"],
    ),
    "foreign_key_without_a_constraint_to_another_model": Case(
        [TAG, create("Sort", **NAMED), create("Item", tag=to("Tag", ", db_constraint=False"))],
        [alter("tag", to("Sort", ", db_constraint=False"))],
        rows=[A_TAG, "INSERT INTO APP_item (tag_id) VALUES (7)"],
        more_rows=["INSERT INTO APP_item (tag_id) VALUES (8)"],
    ),
    "foreign_key_to_integer": Case(
        [TAG, create("Item", tag=to("Tag"))],
        [alter("tag", 'models.BigIntegerField(db_column="tag_id")')],
        rows=[A_TAG, "INSERT INTO APP_item (tag_id) VALUES (7)"],
        more_rows=["INSERT INTO APP_item (tag_id) VALUES (8)"],
    ),
    # Unique
    "unique_comes": Case(
        **was("models.IntegerField()"),
        **became("models.IntegerField(unique=True)"),
        writes=["Item.objects.create(price=5)"],
        rules="RB026",
    ),
    "unique_goes": Case(**was("models.IntegerField(unique=True)"), **became("models.IntegerField()"), **more("5")),
    "unique_constraint_comes": Case(
        PLAIN,
        ['migrations.AddConstraint("Item", models.UniqueConstraint(fields=["name"], name="APP_one"))'],
        writes=["Item.objects.create(name='a')"],
        rules="RB026",
    ),
    "unique_constraint_with_a_condition_comes": Case(
        PLAIN,
        [
            'migrations.AddConstraint("Item", models.UniqueConstraint(fields=["name"], name="APP_one", '
            'condition=models.Q(name="a")))'
        ],
        writes=["Item.objects.create(name='a')"],
        rules="RB026",
    ),
    "unique_constraint_goes": Case(
        [ITEM, 'migrations.AddConstraint("Item", models.UniqueConstraint(fields=["name"], name="APP_one"))'],
        ['migrations.RemoveConstraint("Item", "APP_one")'],
        more_rows=ONE,
    ),
    "unique_constraint_of_the_first_migration_goes": Case(
        [f'{ITEM[:-1]}, options={{"constraints": [models.UniqueConstraint(fields=["name"], name="APP_one")]}})'],
        ['migrations.RemoveConstraint("Item", "APP_one")'],
        more_rows=ONE,
    ),
    "unique_together_comes": Case(
        PLAIN,
        ['migrations.AlterUniqueTogether("Item", {("name",)})'],
        writes=["Item.objects.create(name='a')"],
        rules="RB026",
    ),
    "unique_together_goes": Case(
        [ITEM, 'migrations.AlterUniqueTogether("Item", {("name",)})'],
        ['migrations.AlterUniqueTogether("Item", set())'],
        more_rows=ONE,
    ),
    "unique_together_of_a_new_model_goes": Case(
        PLAIN,
        [create("Order", **NAMED), 'migrations.AlterUniqueTogether("Order", {("name",)})'],
        new_rows=["INSERT INTO APP_order (id, name) VALUES (<new>, 'a')"],
    ),
    "unique_together_stays": Case(
        [f'{ITEM[:-1]}, options={{"unique_together": {{("name",)}}}})'],
        ['migrations.AlterUniqueTogether("Item", {("name",)})'],
    ),
    "check_comes": Case(
        PLAIN,
        [
            'migrations.AddConstraint("Item", models.CheckConstraint(**{CONDITION: ~models.Q(name="b")}, '
            'name="APP_no_b"))'
        ],
        writes=["Item.objects.create(name='b')"],
        rules="RB025",
    ),
    "check_goes": Case(
        [
            ITEM,
            'migrations.AddConstraint("Item", models.CheckConstraint(**{CONDITION: ~models.Q(name="b")}, '
            'name="APP_no_b"))',
        ],
        ['migrations.RemoveConstraint("Item", "APP_no_b")'],
        more_rows=["INSERT INTO APP_item (name) VALUES ('b')"],
    ),
    # Indexes
    "index_comes_and_goes": Case(
        [ITEM, 'migrations.AddIndex("Item", models.Index(fields=["name"], name="APP_one"))'],
        [
            'migrations.AddIndex("Item", models.Index(fields=["-name"], name="APP_two"))',
            'migrations.RenameIndex("Item", "APP_three", "APP_two")',
            'migrations.RemoveIndex("Item", "APP_one")',
        ],
    ),
    "index_of_a_column": Case(PLAIN, [alter("name", chars(20, ", db_index=True"))]),
    "index_concurrently": Case(
        PLAIN,
        ['operations.AddIndexConcurrently("Item", models.Index(fields=["name"], name="APP_one"))'],
        on=ON_POSTGRESQL,
        atomic=False,
        narrower={BLOCKS_WRITES: "it is built concurrently"},
    ),
    "index_together": Case(
        PLAIN,
        ['migrations.AlterIndexTogether("Item", {("name", "id")})'],
    ),
    # Only PostgreSQL
    "array": Case(
        PLAIN,
        [add("Item", "tags", "fields.ArrayField(models.IntegerField(), default=list)")],
        new_rows=goes_to_new("tags", "'{<new>}'"),
        on=ON_POSTGRESQL,
        rules="RB023",
    ),
    "array_removed": Case(
        [create("Item", **NAMED, tags="fields.ArrayField(models.IntegerField())")],
        [remove("tags")],
        ["INSERT INTO APP_item (name, tags) VALUES ('a', '{1}')"],
        on=ON_POSTGRESQL,
        rules="RB021",
    ),
    "exclusion": Case(
        [create("Item", span="fields.IntegerRangeField()")],
        [
            'migrations.AddConstraint("Item", constraints.ExclusionConstraint(name="APP_apart", '
            'expressions=[("span", fields.RangeOperators.OVERLAPS)]))'
        ],
        ["INSERT INTO APP_item (span) VALUES ('[1,5)')"],
        writes=["Item.objects.create(span=(2, 3))"],
        on=ON_POSTGRESQL,
        rules="RB026",
    ),
    "random_identifiers": Case(
        PLAIN,
        [add("Item", "code", "models.UUIDField(db_default=functions.RandomUUID(), unique=True)")],
        on=ON_POSTGRESQL,
        since=(5, 0),
        wider={LOSES: "no value of it is written here", BLOCKS_WRITES: "it is built while the table is written anew"},
    ),
}

APPS = {vendor: {name: f"case_{name}" for name, case in CASES.items() if case.is_known(vendor)} for vendor in BOTH}

# Runs inside the project.
TRY = """
import importlib, itertools, json
from django.db import connection, models, transaction
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.state import ProjectState

with open("cases.json") as file:
    CASES = json.load(file)
ON_POSTGRESQL = connection.vendor == "postgresql"
NEW = itertools.count(10001)

def load(app, name):
    module = importlib.import_module(f"{app}.migrations.{name}")
    return module.Migration(name, app)

def apply(migration, state):
    with connection.schema_editor(atomic=migration.atomic) as editor:
        return migration.apply(state.clone(), editor)

def unapply(migration, state):
    with connection.schema_editor(atomic=migration.atomic) as editor:
        migration.unapply(state.clone(), editor)

def execute(statements, marks):
    with connection.cursor() as cursor:
        for statement in statements:
            while "<new>" in statement:
                mark = str(next(NEW))
                marks.append(mark)
                statement = statement.replace("<new>", mark, 1)
            cursor.execute(statement)

def contents(app):
    found = {}
    with connection.cursor() as cursor:
        tables = [table.name for table in connection.introspection.get_table_list(cursor) if table.type == "t"]
        for table in sorted(table for table in tables if table.startswith(f"{app}_")):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            names = [column[0] for column in cursor.description]
            # As it is stored, without what the driver makes of it.
            stored = ", ".join(f"CAST({connection.ops.quote_name(name)} AS text)" for name in names)
            cursor.execute(f"SELECT {stored} FROM {connection.ops.quote_name(table)}")
            rows = [dict(zip(names, row)) for row in cursor.fetchall()]
            found[table] = {row.get("id", row[names[0]]): row for row in rows}
    return found

def files(app, kind):
    # Tables or indexes, with the files that they are stored in.
    if not ON_POSTGRESQL:
        return {}
    sql = {
        "table": "SELECT oid, relfilenode FROM pg_class WHERE relkind = 'r' AND starts_with(relname, %s)",
        "index": "SELECT indexrelid, indrelid FROM pg_index JOIN pg_class ON oid = indrelid "
        "WHERE starts_with(relname, %s)",
    }
    with connection.cursor() as cursor:
        cursor.execute(sql[kind], [f"{app}_"])
        return dict(cursor.fetchall())

SAMPLES = {
    "CharField": "m", "SlugField": "m", "TextField": "m", "FileField": "m", "BinaryField": b"m",
    "DateField": "2020-03-04", "DateTimeField": "2020-03-04T00:00:00Z", "JSONField": {}, "ArrayField": [],
    "IntegerRangeField": (100, 101), "BooleanField": True,
}

def value(field, number):
    if field.is_relation:
        return field.related_model.objects.first()
    found = SAMPLES.get(field.get_internal_type() or "", None)
    if found is None:
        found = SAMPLES.get(type(field).__name__, number)
    return f"{found}{number}" if found == "m" else found

def make(model, number):
    left_out = lambda field: (
        field.auto_created or field.primary_key or field.null or field.has_default() or field.name == "_order"
        or any(getattr(field, how, False) for how in ("generated", "auto_now", "auto_now_add"))
        or getattr(field, "db_default", models.NOT_PROVIDED) is not models.NOT_PROVIDED
    )
    return model.objects.create(
        **{field.name: value(field, number) for field in model._meta.concrete_fields if not left_out(field)}
    )

def use(model):
    numbers = itertools.count(500)
    for each in model.objects.all():
        for field in model._meta.many_to_many:
            list(getattr(each, field.name).all())
    # The second one may meet the first.
    if model._meta.managed and not any(field.one_to_one for field in model._meta.concrete_fields):
        made = [make(model, next(numbers)) for _ in range(2)]
        for field in model._meta.many_to_many:
            other = field.related_model.objects.first()
            if other is not None and field.remote_field.through._meta.auto_created:
                getattr(made[0], field.name).add(other)

def attempt(work):
    # Nothing of it stays.
    try:
        with transaction.atomic():
            work()
            transaction.set_rollback(True)
    except Exception as error:
        return f"{type(error).__name__}: {error}".strip()
    return None

def undo(migration, state):
    try:
        unapply(migration, state)
    except (IrreversibleError, NotImplementedError):
        return "irreversible"
    except Exception as error:
        # On SQLite Django leaves the transaction open where a foreign key leads nowhere.
        connection.connection.close()
        connection.connect()
        return f"{type(error).__name__}: {error}".strip()
    return None

def lost(before, after):
    differences = []
    for table, rows in before.items():
        for key, row in rows.items():
            now = after.get(table, {}).get(key)
            if now != row:
                differences.append([table, row, now])
    return differences

def run(app, case):
    base, head = load(app, "0001"), load(app, "0002")
    older = apply(base, ProjectState())
    marks = []
    execute(case["rows"], marks)
    before, tables, indexes = contents(app), files(app, "table"), files(app, "index")
    apply(head, older)
    tables_after, indexes_after = files(app, "table"), files(app, "index")
    found = {"rewritten": any(tables_after.get(oid, file) != file for oid, file in tables.items())}
    found["indexed"] = any(index not in indexes and table in tables for index, table in indexes_after.items())

    scope = {model._meta.object_name: model for model in older.apps.get_models()}
    works = [lambda model=model: use(model) for model in scope.values()]
    works += [lambda write=write: exec(write, dict(scope)) for write in case["writes"]]
    found["older"] = [error for error in map(attempt, works) if error]

    execute(case["new_rows"], marks)
    found["undo"] = undo(head, older)
    if found["undo"] is None:
        after = contents(app)
        found["changed"] = lost(before, after)
        found["lost"] = [mark for mark in marks if mark not in str(after)]
        if case["more_rows"]:
            apply(head, older)
            execute(case["more_rows"], [])
            found["undo_again"] = undo(head, older)
    return found

def tried(app, case):
    try:
        return run(app, case)
    except Exception as error:
        import traceback
        return {"broken": traceback.format_exc()}

print(json.dumps({app: tried(app, case) for app, case in CASES.items()}, default=str))
"""


@dataclass(frozen=True)
class Known:
    """What happened and what was said, by app."""

    vendor: str
    happened: dict[str, Any]
    said: dict[str, set[str]]


def tried(database: Database, root: Path) -> Known:
    """All cases at once, on one kind of database."""
    apps = APPS[database.vendor]
    project = Project(root / "project", database=database, apps=[])
    files, newer, cases = {}, {}, {}
    for name, app in apps.items():
        case = CASES[name]
        files[f"{app}/migrations/0001.py"] = case.source(app, case.base)
        newer[f"{app}/migrations/0002.py"] = case.source(app, case.head, after=[f"{app}.0001"], atomic=case.atomic)
        rows = {"rows": case.rows, "new_rows": case.new_rows, "more_rows": case.more_rows, "writes": case.writes}
        cases[app] = {key: [each.replace("APP", app) for each in lines] for key, lines in rows.items()}
    config = {"pyproject.toml": f'[tool.django-rollback]\ndatabase = "{database.vendor}"\n'}
    project.commit(files, tag="v1")
    project.commit(newer | config, tag="v2")
    project.write({"cases.json": json.dumps(cases)})
    project.install_apps(["django.contrib.contenttypes", "django.contrib.postgres"])
    document = json.loads(project.native("check", "v1..v2", "--format", "json", check=False).stdout)
    return Known(database.vendor, json.loads(project.run_python(TRY)), rules_said(document, apps.values()))


def rules_said(document: dict[str, Any], apps: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {app: set() for app in apps}
    for finding in document["findings"]:
        is_milder = finding["code"] == FAILS and finding["level"] == "warning"
        found[finding["app"]].add(MAY_FAIL if is_milder else finding["code"])
    return found


def what_happened(happened: dict[str, Any]) -> set[str]:
    """In the words of the rules."""
    undo = happened["undo"]
    answers = {
        IRREVERSIBLE: undo == "irreversible",
        FAILS: undo not in (None, "irreversible"),
        MAY_FAIL: happened.get("undo_again"),
        # What fails brings nothing back either.
        EMPTY: happened.get("changed") or undo not in (None, "irreversible"),
        LOSES: happened.get("lost"),
        OLDER_CODE: happened["older"],
        REWRITES: happened["rewritten"],
        # A table that is written anew has its indexes built anew with it.
        BLOCKS_WRITES: happened["indexed"] and not happened["rewritten"],
    }
    return {rule for rule, answer in answers.items() if answer}


def compared(case: Case, happened: dict[str, Any], said: set[str]) -> tuple[Any, Any]:
    """What is said, and what has to be said."""
    if "broken" in happened:
        return happened["broken"], ""
    about_older_code = said.intersection(ABOUT_OLDER_CODE)
    said = said.difference(ABOUT_OLDER_CODE, {"RB002", "RB041"})
    said |= {OLDER_CODE} if about_older_code else set()
    expected = (what_happened(happened) | set(case.wider)) - set(case.narrower)
    # SQLite enforces neither lengths nor types: what the older code writes fits there.
    rules = case.rules if OLDER_CODE in expected else ""
    return (said, " ".join(sorted(about_older_code))), (expected, rules)


def test_what_is_said_is_what_happens(copy_database: CopyDatabase, tmp_path: Path) -> None:
    known = tried(copy_database(), tmp_path)
    both = {
        name: compared(CASES[name], known.happened[app], known.said[app]) for name, app in APPS[known.vendor].items()
    }
    wrong = {name: each for name, each in both.items() if each[0] != each[1]}
    same({name: said for name, (said, _) in wrong.items()}, {name: expected for name, (_, expected) in wrong.items()})
