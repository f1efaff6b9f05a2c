"""The SQL that undoes a migration: recorded by a real `migrate`, run later without Python, held against Django's own.

A small app of the project watches `migrate` and writes down what was recorded. Later migrations are applied on top,
then the recorded statements run in one transaction, as a rollback runs them, on one copy of the database, and Django's
own way back on another.
"""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.db.migrations import Migration

from conftest import CopyDatabase, NewDatabase
from django_rollback.recording import Recorder
from django_rollback.statements import split
from harness import oracle
from harness.database import Database
from harness.project import Project
from scenarios import NAMED, NUMBER, Migrations, Trip, add, create, migration, same
from test_operations import (
    BOTH,
    CODE,
    CODE_OF_POSTGRESQL,
    FLAWS,
    IN_CAGE,
    LABELS,
    ON_POSTGRESQL,
    ON_SQLITE,
    ONE,
    PAIR,
    PAIRS,
    PLAIN,
    STOCK_WAY_BACK,
    STORIES,
    TAG,
    TAGGED,
    TAGS,
    TWO,
    Story,
    alter,
    index,
    not_there,
    of_app,
    remove,
    to,
)

NOTHING = "migrations.RunPython.noop"
# The app is called first, so that operations are put into the migrations after it has seen them.
BASE = ("tape", "django.contrib.contenttypes")
TAPE = """
    import atexit
    import json
    import os
    from pathlib import Path

    from django.apps import AppConfig
    from django.db import connections
    from django.db.models.signals import post_migrate, pre_migrate

    from django_rollback import recording

    FILE = Path(__file__).parent.with_name("tape.json")
    running = {}


    class TapeConfig(AppConfig):
        name = "tape"

        def ready(self):
            pre_migrate.connect(begin, sender=self)
            post_migrate.connect(end, sender=self)


    def begin(using, plan, **kwargs):
        if "FEW" in os.environ:
            recording.MOST_MODELS = 0
        recorder = recording.Recorder(connections[using])
        recorder.watch(plan)
        running[using] = recorder, plan
        if "BREAK" in os.environ:
            connections[using].introspection.get_constraints = fail


    def fail(cursor, name):
        if os.environ["BREAK"] == "interruption":
            raise KeyboardInterrupt
        cursor.execute("SELECT nonsense")


    def end(using, **kwargs):
        recorder, plan = running.pop(using)
        found = {".".join(key): each for key, each in recorder.finish().items()}
        operations = [operation for migration, _ in plan for operation in migration.operations]
        wrapped = [each for each in operations if "database_forwards" in vars(each)]
        assert not wrapped and not any("apply" in vars(migration) for migration, _ in plan), wrapped
        FILE.write_text(json.dumps({**(json.loads(FILE.read_text()) if FILE.exists() else {}), **found}))


    @atexit.register
    def end_all():
        for using in list(running):
            end(using)
"""


class Taped:
    """A project whose `migrate` is recorded."""

    def __init__(self, project: Project, new_database: NewDatabase, settings: str = "") -> None:
        self.project = project
        self.trip = Trip(project, new_database, BASE, settings)
        self.project.write({"tape/apps.py": TAPE, "tape/models.py": ""})

    def migrate(self, migrations: Migrations, rows: Iterable[str] = (), env: dict[str, str] | None = None) -> Any:
        """Apply these migrations, and insert rows; the end of `migrate` is what the caller makes of it."""
        self.trip.write(migrations)
        result = self.project.manage("migrate", "-v", "0", check=False, env=env)
        self.trip.execute(*rows)
        return result

    def recordings(self) -> dict[str, dict[str, Any]]:
        """What was recorded, by `app.name`, in the order in which it was applied."""
        return json.loads((self.project.root / "tape.json").read_text())

    def reasons(self) -> dict[str, str | None]:
        """Why there are no statements; nothing, where there are. Without those of other apps."""
        found = self.recordings()
        return {key: each.get("reason") for key, each in found.items() if not key.startswith("contenttypes.")}


def undo(database: Database, statements: Iterable[str]) -> None:
    """Run recorded statements as a rollback does: all in one transaction, on a bare connection."""
    with database.connect() as connection:
        is_sqlite = database.vendor == "sqlite"
        words: dict[str, bool] = {} if is_sqlite else {"prepare": True}  # a prepared statement is a single one
        if is_sqlite:
            connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("BEGIN")
        for sql in statements:
            assert not sql.rstrip().endswith(";"), sql
            if not is_sqlite and re.match("ALTER|DROP|CREATE|TRUNCATE|COMMENT", sql, re.IGNORECASE):
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
            is_renamed = sql.startswith('ALTER TABLE "new__')
            if is_renamed:
                connection.execute("PRAGMA legacy_alter_table = ON")
            try:
                connection.execute(sql, **words)
            except Exception as error:
                raise AssertionError(f"{error}\n{sql}") from error
            if is_renamed:
                connection.execute("PRAGMA legacy_alter_table = OFF")
        if is_sqlite:
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.execute("COMMIT")


def sql(backwards: object, forwards: object = "SELECT 1") -> str:
    """The operation that runs SQL of the project: when it is undone, and when it is applied."""
    return f"migrations.RunSQL({forwards!r}, {backwards!r})"


def rename(model: str, new: str) -> str:
    return f"migrations.RenameModel({model!r}, {new!r})"


def rename_field(model: str, old: str, new: str) -> str:
    return f"migrations.RenameField({model!r}, {old!r}, {new!r})"


def together(model: str, fields: str) -> str:
    return f"migrations.AlterUniqueTogether({model!r}, {fields})"


def apart(*operations: str) -> str:
    """The operations, once for the database and once for the state."""
    both = f"both := [{', '.join(operations)}]"
    return f"migrations.SeparateDatabaseAndState(database_operations=({both}), state_operations=both)"


def once(operation: str) -> str:
    """The operation with a default for this one time."""
    return f"{operation[:-1]}, preserve_default=False)"


RENAMED = rename("Item", "Thing")
UNIQUE = alter("Item", "name", "models.CharField(max_length=20, unique=True)")
INDEXED = alter("Item", "name", "models.CharField(max_length=20, db_index=True)")
TO_TAG = add("Item", "tag", to("Tag", ", null=True"))
UNIQUE_AB = together("Item", '{("a", "b")}')
A_TO_C = rename_field("Item", "a", "c")
OTHER_TABLE = 'migrations.AlterModelTable("Item", "APP_odd")'
MANY_TAGS = add("Item", "tags", to("Tag", kind="ManyToManyField"))
TAGGED_ITEMS = [TAG, create("Label", **NAMED), create("Item", **NAMED, tag=to("Tag", ", null=True"))]
WITH_TAGS = [*TAGS, *LABELS, "INSERT INTO APP_item (name, tag_id) VALUES ('a', 1), ('b', 2)"]
SIZE = add("Item", "size", NUMBER)
SCRIPT = """
    INSERT INTO APP_item (name) VALUES ('one; "two'); -- and; then
    INSERT INTO APP_item (name) VALUES ('three'); /* no more; */
"""
TRIGGER = (
    "CREATE TRIGGER APP_t AFTER DELETE ON APP_item "
    "BEGIN DELETE FROM APP_item WHERE name = 'a;'; DELETE FROM APP_item WHERE name = 'b'; END;"
)
FUNCTION = (
    "/* a; /* b; */ */ CREATE FUNCTION APP_f() RETURNS text LANGUAGE plpgsql AS $x$ BEGIN RETURN ';'; END; $x$; "
    "UPDATE APP_item SET name = E'it\\'s;' || $$;$$ -- the end;\n;"
)
VALUES = (
    'migrations.RunSQL("SELECT 1", [("INSERT INTO APP_item (size, data, day, yes, price) VALUES (%s, %s, %s, %s, %s)", '
    '[-1.5e-7, b"\\x00\\xff\'", datetime(2020, 1, 2, 3, 4, 5, 678), True, Decimal("1.50")]), '
    '("UPDATE APP_item SET size = %s WHERE size = 7", (None,))])'
)

COMBINED: dict[str, Story] = {
    # What is made first is dropped last: names are others by then.
    "unique_then_model": Story(PLAIN, [UNIQUE, RENAMED], TWO),
    "unique_then_field": Story(PLAIN, [UNIQUE, rename_field("Item", "name", "title")], TWO),
    "unique_then_table": Story(PLAIN, [UNIQUE, OTHER_TABLE], TWO),
    "index_then_model": Story(PLAIN, [INDEXED, RENAMED], TWO),
    "index_then_field": Story(PLAIN, [INDEXED, rename_field("Item", "name", "title")], TWO),
    "index_then_table": Story(PLAIN, [INDEXED, OTHER_TABLE], TWO),
    "together_then_field": Story(PAIR, [UNIQUE_AB, A_TO_C], PAIRS),
    "together_then_model": Story(PAIR, [UNIQUE_AB, RENAMED], PAIRS),
    "together_then_table": Story(PAIR, [UNIQUE_AB, OTHER_TABLE], PAIRS),
    "together_then_column": Story(PAIR, [UNIQUE_AB, alter("Item", "a", 'models.IntegerField(db_column="odd")')], PAIRS),
    "together_then_all": Story(PAIR, [UNIQUE_AB, A_TO_C, rename_field("Item", "b", "a"), RENAMED], PAIRS),
    "field_then_together": Story(PAIR, [A_TO_C, together("Item", '{("c", "b")}')], PAIRS),
    "together_then_another_field": Story(
        [*PAIR, SIZE],
        [UNIQUE_AB, alter("Item", "size", "models.BigIntegerField(null=True)"), A_TO_C],
        ["INSERT INTO APP_item (a, b, size) VALUES (1, 1, 5), (1, 2, 6)"],
    ),
    "together_under_an_older_name": Story(
        [*PAIR, UNIQUE_AB, RENAMED],
        [together("Thing", "set()"), alter("Thing", "a", "models.BigIntegerField()")],
        ["INSERT INTO APP_thing (a, b) VALUES (1, 1), (1, 2)"],
    ),
    "foreign_key_then_models": Story([*PLAIN, TAG], [TO_TAG, RENAMED, rename("Tag", "Label")], TWO),
    "foreign_key_then_field": Story([*PLAIN, TAG], [TO_TAG, rename_field("Item", "tag", "label")], TWO),
    "foreign_key_in_turn": Story(
        TAGGED_ITEMS,
        [
            rename_field("Item", "tag", "label"),
            alter("Item", "label", to("Label", ", null=True")),
            RENAMED,
            alter("Thing", "label", "models.BigIntegerField(null=True)"),
            rename_field("Thing", "label", "number"),
        ],
        WITH_TAGS,
    ),
    "foreign_key_to_itself": Story(
        [create("Item", **NAMED, parent=to("Item", ", null=True"))],
        [
            rename_field("Item", "parent", "mother"),
            RENAMED,
            alter("Thing", "mother", to("Thing", ", null=True", kind="OneToOneField")),
        ],
        ["INSERT INTO APP_item (name, parent_id) VALUES ('a', 1)"],
    ),
    "foreign_key_and_number": Story(
        TAGGED_ITEMS,
        [
            alter("Item", "tag", 'models.BigIntegerField(null=True, db_column="tag_id")'),
            alter("Item", "tag", to("Label", ", null=True")),
        ],
        WITH_TAGS,
    ),
    "foreign_key_altered_twice": Story(
        TAGGED_ITEMS,
        [
            alter("Item", "tag", to("Label", ", null=True")),
            alter("Item", "tag", to("Label", ", null=True, unique=True")),
        ],
        WITH_TAGS,
    ),
    "many_to_many_then_names": Story(
        [*PLAIN, TAG, MANY_TAGS, create("Box", items=to("Item", kind="ManyToManyField"))],
        [
            rename_field("Item", "tags", "labels"),
            RENAMED,
            rename("Tag", "Label"),
            'migrations.AlterModelTable("Thing", "APP_odd")',
            rename("Box", "Crate"),
        ],
        [
            *ONE,
            *TAGS,
            "INSERT INTO APP_item_tags (item_id, tag_id) SELECT 1, id FROM APP_tag",
            "INSERT INTO APP_box (id) VALUES (100)",
            "INSERT INTO APP_box_items (box_id, item_id) SELECT 100, id FROM APP_item",
        ],
    ),
    "many_to_many_to_itself_then_names": Story(
        [create("Item", **NAMED, friends=to("Item", kind="ManyToManyField"))],
        [RENAMED, rename_field("Thing", "friends", "enemies")],
        [*TWO, "INSERT INTO APP_item_friends (from_item_id, to_item_id) VALUES (1, 2)"],
    ),
    "index_with_a_name_and_one_without": Story(
        [*PAIR, index('models.Index(fields=["a"], name="APP_old")')],
        [
            alter("Item", "a", "models.IntegerField(db_index=True)"),
            'migrations.RenameIndex("Item", "APP_new", old_name="APP_old")',
            A_TO_C,
        ],
        PAIRS,
    ),
    "key_then_names": Story(
        [create("Item", id="models.AutoField(primary_key=True)", **NAMED), create("Cage", item=to("Item"))],
        [
            alter("Item", "id", "models.BigAutoField(primary_key=True)"),
            RENAMED,
            rename_field("Cage", "item", "thing"),
            rename("Cage", "Stable"),
        ],
        [*TWO, IN_CAGE],
    ),
    "order_then_names": Story(
        [TAG, create("Item", tag=to("Tag"))],
        ['migrations.AlterOrderWithRespectTo("Item", "tag")', RENAMED, rename("Tag", "Label")],
        TAGGED,
    ),
    "field_replaced": Story(
        TAGGED_ITEMS,
        [remove("Item", "tag"), add("Item", "tag", to("Label", ", null=True")), SIZE, remove("Item", "size")],
        [*TAGS, *LABELS],
    ),
    "model_made_and_changed": Story(
        PLAIN,
        [
            TAG,
            add("Tag", "item", to("Item", ", null=True")),
            alter("Tag", "code", "models.CharField(max_length=50, db_index=True)"),
            rename("Tag", "Label"),
            rename_field("Label", "item", "thing"),
        ],
        ONE,
    ),
    "model_taken_apart": Story(
        [TAG, create("Item", a=NUMBER, tag=to("Tag")), together("Item", '{("a", "tag")}')],
        [
            together("Item", "set()"),
            remove("Item", "tag"),
            'migrations.DeleteModel("Item")',
            'migrations.DeleteModel("Tag")',
        ],
    ),
    "positive_then_names": Story(
        PAIR,
        [
            alter("Item", "a", "models.PositiveIntegerField(unique=True)"),
            A_TO_C,
            alter("Item", "c", "models.PositiveBigIntegerField()"),
            RENAMED,
        ],
        ["INSERT INTO APP_item (a, b) VALUES (1, 1), (2, 2)"],
    ),
    # Database and state apart.
    "names_apart": Story(
        TAGGED_ITEMS,
        [
            apart(
                UNIQUE,
                rename_field("Item", "name", "title"),
                add("Item", "label", to("Label", ", null=True")),
                RENAMED,
            ),
            rename_field("Thing", "tag", "mark"),
        ],
        WITH_TAGS,
    ),
    "state_or_database": Story(
        PLAIN,
        [
            f"migrations.SeparateDatabaseAndState(state_operations=[{add('Item', 'ghost', NUMBER)}])",
            f"migrations.SeparateDatabaseAndState(database_operations=[{SIZE}])",
        ],
        ONE,
    ),
    # SQL of the project.
    "sql": Story(
        PLAIN,
        [
            sql("UPDATE APP_item SET name = '50%s %%; it''s --' /* x; */;", "UPDATE APP_item SET name = '100%'"),
            sql(
                [
                    ("UPDATE APP_item SET name = name || %s || '%%' WHERE name = 'a'", ["a'b;%"]),
                    "DELETE FROM APP_item WHERE name = 'x;%';",
                    ("INSERT INTO APP_item (name) VALUES (%(name)s)", {"name": "named % %s"}),
                ]
            ),
            sql("-- nothing; but a comment"),
            sql(""),
            sql(SCRIPT),
            SIZE,
        ],
        TWO,
    ),
    "sql_values": Story(
        [
            create(
                "Item",
                size="models.FloatField(null=True)",
                data="models.BinaryField()",
                day="models.DateTimeField()",
                yes="models.BooleanField()",
                price="models.DecimalField(max_digits=5, decimal_places=2)",
            )
        ],
        [VALUES],
    ),
    "sql_and_a_foreign_key": Story([*PLAIN, TAG], [TO_TAG, sql("UPDATE APP_item SET tag_id = NULL"), RENAMED], TWO),
    "sql_of_another_table": Story(
        [*PLAIN, TAG], [TO_TAG, sql("DROP INDEX APP_mine", "CREATE INDEX APP_mine ON django_migrations (name)")], TWO
    ),
    "sql_with_a_body": Story(PLAIN, [sql(TRIGGER)], ONE, on=ON_SQLITE),
    "sql_with_dollars": Story(PLAIN, [sql(FUNCTION)], ONE, on=ON_POSTGRESQL),
    # Values that are not the database's.
    "defaults": Story(
        [
            create(
                "Item",
                **NAMED,
                a='models.CharField(max_length=9, default="50%")',
                b="models.JSONField(default=dict)",
                c="models.TextField(default=str)",
            )
        ],
        [remove("Item", "a"), remove("Item", "b"), alter("Item", "c", "models.TextField(null=True)")],
        [],
        TWO,
    ),
    "defaults_for_once": Story(
        [create("Item", a="models.IntegerField(null=True)")],
        [once(alter("Item", "a", "models.IntegerField(default=7)")), once(SIZE)],
        ["INSERT INTO APP_item (a) VALUES (NULL)"],
    ),
    "computed_default_that_is_not_needed": Story(
        [create("Item", day="models.DateTimeField(auto_now_add=True)", **NAMED)],
        [alter("Item", "day", "models.DateTimeField(auto_now=True, db_index=True)"), SIZE],
        ["INSERT INTO APP_item (day, name) VALUES ('2020-01-01', 'a')"],
    ),
    "together_and_back": Story(PAIR, [UNIQUE_AB, together("Item", "set()")], PAIRS),
    # Nothing to do.
    "code_without_reverse": Story(PLAIN, [f"migrations.RunPython({NOTHING}, {NOTHING})", SIZE], ONE),
    "no_operations": Story(PLAIN, [], ONE),
}
FLAWED = {app: story for app, (story, _) in FLAWS.items()}
ALL = {**STORIES, **FLAWED, **COMBINED}


class Recorded:
    """All stories at v2, more on top of that, and two ways back: Django's, and the recorded one."""

    def __init__(self, folder: Path, copy_database: CopyDatabase) -> None:
        self.project = Project(folder / "project", database=copy_database())
        self.database = self.project.database
        self.stories = {app: story for app, story in ALL.items() if story.is_known(self.database.vendor)}
        self.taped = Taped(self.project, copy_database, 'STANDARD_MODEL = "swapped.Other"\n')
        self._migrate("0001", "v1", "rows")
        self.at_v1 = copy_database(self.database)
        self._migrate("0002", "v2", "new_rows")
        self.recordings = {key: each for key, each in self.taped.recordings().items() if key.endswith(".0002")}
        same({key: each["reason"] for key, each in self.recordings.items() if "reason" in each}, {})
        later = {"later.0001": migration(TAG, create("Item")), "later.0002": migration(RENAMED, after=["later.0001"])}
        for name, source in later.items():
            assert self.taped.migrate({name: source}).returncode == 0
        self.stock, self.ours = copy_database(self.database), copy_database(self.database)
        self.project.use(self.stock)
        # Its last state, for which content types are made, is right only if the last one undone is the first of all.
        self.project.run_python(STOCK_WAY_BACK.format(apps=sorted(self.stories, reverse=True)))
        undo(self.ours, [sql for each in reversed(self.recordings.values()) for sql in each["statements"]])

    def _migrate(self, name: str, operations: str, rows: str) -> None:
        files = {
            f"{app}.{name}": story.source(app, getattr(story, operations), after=[f"{app}.0001"] * (name != "0001"))
            for app, story in self.stories.items()
        }
        inserted = [sql.replace("APP", app) for app, story in self.stories.items() for sql in getattr(story, rows)]
        result = self.taped.migrate(files, inserted if name == "0001" else [])
        assert result.returncode == 0, result
        if name != "0001":
            self.taped.trip.execute(*inserted)

    def assert_undone(self, app: str) -> None:
        """The recorded statements leave of the app what Django's own way back leaves, made-up names and all."""
        assert of_app(self.schema("stock"), app), app
        same(of_app(self.schema("ours"), app), of_app(self.schema("stock"), app))

    @cache  # noqa: B019
    def schema(self, by: str) -> str:
        """What one of the two has left."""
        return oracle.schema(getattr(self, by), generated_names=True)


ON_BOTH = [pytest.param(app, marks=not_there(story, app)) for app, story in ALL.items() if story.on == BOTH]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, copy_database: CopyDatabase) -> Recorded:
    """All stories, recorded and undone."""
    return Recorded(tmp_path_factory.mktemp("recorded"), copy_database)


@pytest.mark.parametrize("app", ON_BOTH)
def test_recorded(recorded: Recorded, app: str) -> None:
    """The recorded statements leave what Django leaves."""
    recorded.assert_undone(app)


def test_recorded_here_alone(recorded: Recorded) -> None:
    """What only this database has, or has in its own way."""
    here = [app for app, story in recorded.stories.items() if story.on != BOTH]
    assert here
    for app in here:
        recorded.assert_undone(app)


def test_the_whole_database(recorded: Recorded) -> None:
    """Schema, rows and content types; the rows of `django_migrations` are not the statements' business."""
    same(recorded.schema("ours"), recorded.schema("stock"))
    ours, stock = ({**oracle.rows(each), "django_migrations": []} for each in (recorded.ours, recorded.stock))
    same(ours, stock)
    same(oracle.content_types(recorded.ours), oracle.content_types(recorded.stock))


def test_effects(recorded: Recorded) -> None:
    """They are those that a rollback finds in the files, in the same order."""
    found = recorded.project.run_python(EFFECTS.format(apps=list(recorded.stories)))
    by_key: dict[str, list[dict[str, Any]]] = {key: [] for key in recorded.recordings}
    for effect in json.loads(found):
        by_key[".".join(effect["migration"])].append(effect)
    same({key: each["effects"] for key, each in recorded.recordings.items()}, by_key)


EFFECTS = """
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    from django_rollback.interrupts import Interrupts
    from django_rollback.runner import Runner

    class command:
        interrupts = Interrupts()

    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
    keys = [(migration.app_label, migration.name) for migration, _ in plan]
    steps = [key for key in keys if key[0] in {apps!r} and key[1] == "0002"]
    kept = [key for key in keys if key not in steps]
    print(Runner(connection, command).effects(steps[::-1], kept))
"""


def test_states_built_anew(recorded: Recorded, copy_database: CopyDatabase) -> None:
    """A migration that would keep too many models in memory is recorded with states that are built once more."""
    database = copy_database(recorded.at_v1)
    recorded.project.use(database)
    assert recorded.taped.migrate({}, env={"FEW": "yes"}).returncode == 0
    recordings = {key: each for key, each in recorded.taped.recordings().items() if key in recorded.recordings}
    undo(database, [sql for each in reversed(recordings.values()) for sql in each["statements"]])
    schema = oracle.schema(database, generated_names=True)
    for app in recorded.stories:
        same(of_app(schema, app), of_app(recorded.schema("stock"), app))


# What cannot be recorded, and why.

CUSTOM = (
    CODE
    + """
    from django.utils import timezone
    from uuid import uuid4

    def fill(apps, editor):
        pass

    def clear(apps, editor):
        raise ValueError("code of the project runs while it is recorded")

    class Own(migrations.AddField):
        database_backwards = clear

    class OwnSQL(migrations.RunSQL):
        def database_backwards(self, app_label, editor, from_state, to_state):
            clear(None, editor)

    class OwnPython(migrations.RunPython):
        def database_backwards(self, app_label, editor, from_state, to_state):
            clear(None, editor)

    class FromFile(migrations.RunSQL):
        def __init__(self):
            super().__init__("SELECT 1", "SELECT 2")

    class Frozen(migrations.AddField):
        def __setattr__(self, name, value):
            if name == "database_forwards":
                raise AttributeError(name)
            super().__setattr__(name, value)

    SHARED = FromFile()
"""
)
COMPUTED = "the default of {0}.Item.{1} is computed when it is undone"
DAY = "models.DateTimeField({})"


def code(name: str) -> str:
    return f"{name} runs code of the project"


def marked(recorded_v1: list[str], *v2: str, on: tuple[str, ...] = BOTH) -> Story:
    return Story(recorded_v1, list(v2), on=on)


# Each app with the reason; nothing, where it looks as if it could not be recorded and yet it is.
MARKED: dict[str, tuple[Story, str | None]] = {
    "code": (marked(PLAIN, SIZE, "migrations.RunPython(fill, clear)"), code("RunPython fill (operation 2)")),
    "code_inside": (
        marked(PLAIN, SIZE, f"migrations.SeparateDatabaseAndState([{sql('')}, migrations.RunPython(fill, clear)])"),
        code("RunPython fill (operation 2, database operation 2)"),
    ),
    "own_operation": (marked(PLAIN, f"Own{SIZE.removeprefix('migrations.AddField')}"), code("Own (operation 1)")),
    "own_sql": (marked(PLAIN, "OwnSQL('SELECT 1', 'SELECT 1')"), code("OwnSQL (operation 1)")),
    "own_python": (marked(PLAIN, f"OwnPython(fill, {NOTHING})"), code("OwnPython fill (operation 1)")),
    "own_attributes": (
        marked(PLAIN, f"Frozen{SIZE.removeprefix('migrations.AddField')}"),
        "its operations did not run one after another",
    ),
    "from_a_file": (marked(PLAIN, "FromFile()"), None),
    "shared": (marked(PLAIN, "SHARED", "SHARED", SIZE), None),
    "irreversible_sql": (
        marked(PLAIN, SIZE, 'migrations.RunSQL("SELECT 1")'),
        "RunSQL (operation 2) cannot be undone",
    ),
    "irreversible_code": (marked(PLAIN, "migrations.RunPython(fill)"), "RunPython fill (operation 1) cannot be undone"),
    "computed": (
        marked([create("Item", **NAMED, day=DAY.format("default=timezone.now"))], remove("Item", "day")),
        COMPUTED.format("computed", "day"),
    ),
    "computed_at_creation": (
        marked([create("Item", **NAMED, day=DAY.format("auto_now_add=True"))], remove("Item", "day")),
        COMPUTED.format("computed_at_creation", "day"),
    ),
    "computed_instead_of_null": (
        marked(
            [create("Item", key="models.UUIDField(default=uuid4)")], alter("Item", "key", "models.UUIDField(null=True)")
        ),
        COMPUTED.format("computed_instead_of_null", "key"),
    ),
    "computed_key": (
        marked([create("Item", key="models.UUIDField(default=uuid4, unique=True)", **NAMED)], remove("Item", "key")),
        COMPUTED.format("computed_key", "key"),
    ),
    "computed_and_dropped": (
        marked(PLAIN, add("Item", "day", DAY.format("default=timezone.now"))),
        None,
    ),
    "sql_before": (
        marked(PAIR, UNIQUE_AB, sql("CREATE INDEX APP_x ON APP_item (a)")),
        "undoing it runs SQL of the project and then alters sql_before_item, which that may change",
    ),
    "sql_after": (marked(PAIR, sql("CREATE INDEX APP_x ON APP_item (a)"), UNIQUE_AB), None),
    "made_and_altered": (
        marked(TAGGED_ITEMS, alter("Item", "tag", to("Label", ", null=True")), remove("Item", "tag"), on=ON_POSTGRESQL),
        "undoing it makes and then alters the same in made_and_altered_item",
    ),
    "altered_and_dropped": (
        marked(
            [create("Item", name="models.IntegerField(unique=True)")],
            alter("Item", "name", "models.IntegerField()"),
            'migrations.DeleteModel("Item")',
            on=ON_POSTGRESQL,
        ),
        None,
    ),
    "collation": (
        marked(
            [
                'operations.CreateCollation("APP_plain", locale="C")',
                create("Item", name='models.CharField(max_length=20, db_collation="APP_plain", unique=True)'),
            ],
            alter("Item", "name", "models.CharField(max_length=20)"),
            'operations.RemoveCollation("APP_plain", locale="C")',
            on=ON_POSTGRESQL,
        ),
        "undoing it makes and then uses the collation collation_plain",
    ),
    "body_without_quotes": (
        marked(PLAIN, sql("SELECT 1; CREATE FUNCTION f() RETURNS int BEGIN ATOMIC; SELECT 1; END"), on=ON_POSTGRESQL),
        "it has SQL with BEGIN ATOMIC among other statements",
    ),
}


def test_reasons(project: Project, new_database: NewDatabase) -> None:
    """`migrate` goes through, code of the project does not run, and each migration says what is in the way."""
    known = {app: each for app, each in MARKED.items() if each[0].is_known(project.database.vendor)}
    taped = Taped(project, new_database)
    files = {}
    for app, (story, _) in known.items():
        words = {"code": CUSTOM + (CODE_OF_POSTGRESQL if story.on == ON_POSTGRESQL else "")}
        first, second = ([each.replace("APP", app) for each in operations] for operations in (story.v1, story.v2))
        files[f"{app}.0001"] = migration(*first, **words)
        files[f"{app}.0002"] = migration(*second, after=[f"{app}.0001"], **words)
    result = taped.migrate(files)
    assert result.returncode == 0, result
    found = {key: reason for key, reason in taped.reasons().items() if key.endswith(".0002")}
    same(found, {f"{app}.0002": reason for app, (_, reason) in known.items()})
    assert all(each["effects"] is not None for each in taped.recordings().values())


# Runs of `migrate` that do not go as planned

SHOP = {
    "shop.0001": migration(*PAIR).replace("APP", "shop"),
    "shop.0002": migration(UNIQUE_AB, after=["shop.0001"]),
    "shop.0003": migration(RENAMED, after=["shop.0002"]),
}
FAILING = "migrations.RunPython(fail, migrations.RunPython.noop)"
FAIL = """
def fail(apps, editor):
    raise ValueError("no luck today")
"""


@pytest.fixture
def taped(project: Project, new_database: NewDatabase) -> Taped:
    """A project with nothing in it yet."""
    return Taped(project, new_database)


def test_recording_that_fails(taped: Taped) -> None:
    """The database does not tell its constraints: that is a reason, and nothing more."""
    result = taped.migrate(SHOP, env={"BREAK": "error"})
    assert result.returncode == 0, result
    reasons = taped.reasons()
    assert re.fullmatch(
        "could not be recorded: (Operational|Programming)Error: .*nonsense.*", reasons["shop.0002"] or ""
    )
    same({key for key, reason in reasons.items() if reason is None}, {"shop.0001", "shop.0003"})
    assert ("shop", "0003") in oracle.migrations(taped.project.database)


@pytest.mark.parametrize("atomic", [True, False])
def test_migrate_that_fails_half_way(taped: Taped, atomic: bool) -> None:
    """What was applied is recorded, and can be undone."""
    failing = migration(add("Thing", "x", NUMBER), FAILING, after=["shop.0003"], atomic=atomic, code=FAIL)
    result = taped.migrate({**SHOP, "shop.0004": failing})
    assert "no luck today" in result.stderr
    same(taped.reasons(), dict.fromkeys(SHOP))
    if atomic:
        recordings = taped.recordings()
        undo(taped.project.database, [sql for key in reversed(SHOP) for sql in recordings[key]["statements"]])
        assert "shop_item" not in oracle.table_names(taped.project.database)


def test_migrate_that_fails_at_the_end_of_a_migration(taped: Taped) -> None:
    """All its operations ran, but a row refers to nothing: it is not applied, and not recorded."""
    cage = create("Cage", thing='models.ForeignKey("shop.Thing", models.CASCADE)')
    dangling = sql("", "INSERT INTO shop_cage (thing_id) VALUES (999)")
    result = taped.migrate({**SHOP, "shop.0004": migration(cage, dangling, after=["shop.0003"])})
    assert "IntegrityError" in result.stderr, result
    same(taped.reasons(), dict.fromkeys(SHOP))


def test_what_is_not_applied_is_not_recorded(taped: Taped) -> None:
    """Neither faked migrations nor those that are undone."""
    taped.trip.write(SHOP)
    for words in (["shop", "0001"], ["shop", "0002", "--fake"], ["shop", "zero", "--fake"]):
        taped.project.manage("migrate", *words)
    same(taped.reasons(), {"shop.0001": None})


def test_squashed_migration(taped: Taped) -> None:
    """It is recorded under its own name, though it fails before it has a row of its own."""
    squash = migration(*PAIR, UNIQUE_AB, RENAMED, replaces=SHOP).replace("APP", "shop")
    failing = migration(FAILING, after=["shop.0001_squashed"], code=FAIL)
    result = taped.migrate({**SHOP, "shop.0001_squashed": squash, "shop.0004": failing})
    assert "no luck today" in result.stderr
    same(taped.reasons(), {"shop.0001_squashed": None})


def test_interrupted(taped: Taped) -> None:
    """An interruption stays one: the migration that is being recorded has no recording, and the next is not applied."""
    taped.migrate({"shop.0001": SHOP["shop.0001"]})
    result = taped.migrate(SHOP, env={"BREAK": "interruption"})
    assert "KeyboardInterrupt" in result.stderr, result
    same(taped.reasons(), {"shop.0001": None})
    applied = {name for app, name in oracle.migrations(taped.project.database) if app == "shop"}
    same(applied, {"0001", "0002"})


# Details


@pytest.mark.parametrize("is_taken", [True, False])
def test_content_types(taped: Taped, is_taken: bool, new_database: NewDatabase) -> None:
    """A model's content type gets its old name back, unless there is one with that name."""
    taped.migrate(SHOP)
    database = taped.project.database
    if is_taken:
        taped.trip.execute("INSERT INTO django_content_type (app_label, model) VALUES ('shop', 'item')")
    undo(database, taped.recordings()["shop.0003"]["statements"])
    found = {model for app, model in oracle.content_types(database) if app == "shop"}
    same(found, {"item", "thing"} if is_taken else {"item"})


ROUTER = """
class Router:
    def allow_migrate(self, db, app_label, **hints):
        return app_label != "shop"
"""


def test_routers(taped: Taped) -> None:
    """What is not for this database is not undone on it: there is nothing to do, and no code to run."""
    taped.project.write({"routers.py": ROUTER})
    taped.trip.settings = 'DATABASE_ROUTERS = ["routers.Router"]\n'
    code = migration("migrations.RunPython(fail, fail)", add("Thing", "x", NUMBER), after=["shop.0003"], code=FAIL)
    assert taped.migrate({**SHOP, "shop.0004": code}).returncode == 0
    found = {key: each.get("statements") for key, each in taped.recordings().items() if key.startswith("shop.")}
    same(found, {key: [] for key in (*SHOP, "shop.0004")})


@pytest.mark.parametrize("new_database", ["postgres"], indirect=True)
def test_concurrent_indexes(taped: Taped) -> None:
    """They are undone inside a transaction, by plain statements."""
    words: dict[str, Any] = {"atomic": False, "code": CODE_OF_POSTGRESQL}
    by_a = 'models.Index(fields=["a"], name="by_a")'
    taped.migrate(
        {
            **SHOP,
            "shop.0004": migration(f'operations.AddIndexConcurrently("Thing", {by_a})', after=["shop.0003"], **words),
            "shop.0005": migration('operations.RemoveIndexConcurrently("Thing", "by_a")', after=["shop.0004"], **words),
        }
    )
    recordings = taped.recordings()
    same(recordings["shop.0005"]["statements"], ['CREATE INDEX "by_a" ON "shop_thing" ("a")'])
    same(recordings["shop.0004"]["statements"], ['DROP INDEX IF EXISTS "by_a"'])


def test_recorder_holds_no_migration() -> None:
    """The end of a `migrate` that fails is the end of its migrations: nothing may keep them."""
    recorder, migration = Recorder(None), Migration("0001", "shop")
    recorder.watch([(migration, False)])
    reference = weakref.ref(migration)
    del migration
    assert reference() is None
    assert recorder.finish() == {}


@pytest.mark.parametrize(
    "text, statements",
    [
        ("", []),
        (" ;; -- a; b", []),
        ("A; B ;C", ["A", "B", "C"]),
        ("-- x\nA /* ; */ B -- y;\n;", ["A /* ; */ B"]),
        ("A 'it''s;'; B \"x;\"\"y\"", ["A 'it''s;'", 'B "x;""y"']),
        (r"A E'\';'; B 'x\'; C", [r"A E'\';'", r"B 'x\'", "C"]),
        ("A $$;$$; B $x$ $$;$y$ $x$; C$1; D", ["A $$;$$", "B $x$ $$;$y$ $x$", "C$1", "D"]),
        ("A /* b; /* c; */ d; */ ; E", ["A", "E"]),
    ],
)
def test_statements_of_a_text(text: str, statements: list[str]) -> None:
    """Semicolons in texts, names and comments end nothing."""
    same(split(text), statements)
