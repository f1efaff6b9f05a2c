"""The schema that is saved with a release: one through both doors, and `status` tells what somebody changed by hand.

What is made here has every kind of thing that a schema can hold; what must not count is done to it, too.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from conftest import CopyDatabase, NewDatabase
from harness import oracle
from harness.database import Database
from harness.project import Project
from scenarios import NAMED, create, migration, same
from two_releases import refusal, run

APPS = ("django_rollback", "shop")
DOORS = ("native", "manage")
A, B = "a" * 40, "b" * 40

SHOP = migration(
    create("Tag", name="models.CharField(max_length=20, unique=True)"),
    create(
        "Item",
        **NAMED,
        price="models.DecimalField(max_digits=6, decimal_places=2, default=0)",
        sold_at="models.DateTimeField(null=True)",
        data="models.JSONField(default=dict)",
        count="models.PositiveIntegerField(default=0)",
        tag='models.ForeignKey("shop.Tag", models.CASCADE, null=True, related_name="+")',
        tags='models.ManyToManyField("shop.Tag")',
    ),
    'migrations.AddIndex("Item", models.Index(fields=["price"], name="dear", condition=models.Q(count__gt=100)))',
    'migrations.AddIndex("Item", models.Index(Lower("name"), name="any_case"))',
    'migrations.AddConstraint("Item", models.CheckConstraint(name="late", **{CONDITION: models.Q(sold_at__gt=DAY)}))',
    'migrations.AddConstraint("Item", models.UniqueConstraint("name", condition=UNSOLD, name="one_unsold"))',
    'migrations.AddConstraint("Item", models.UniqueConstraint(fields=["name", "tag"], name="once", deferrable=LATER))',
    code="""
        from datetime import datetime, timezone

        from django.db.models.functions import Lower

        DAY = datetime(2020, 1, 1, tzinfo=timezone.utc)
        LATER = models.Deferrable.DEFERRED
        UNSOLD = models.Q(sold_at=None)
    """,
)
# There and back again they leave the same schema under other names.
ALTERED = migration(
    'migrations.AlterField("Tag", "name", models.CharField(max_length=20))',
    'migrations.AlterField("Item", "name", models.CharField(max_length=20, unique=True))',
    'migrations.AlterField("Item", "tag", models.ForeignKey("shop.Tag", models.CASCADE, null=True, db_index=False, '
    'db_constraint=False, related_name="+"))',
    'migrations.AlterField("Item", "count", models.IntegerField(default=0))',
    'migrations.AlterUniqueTogether("Item", {("price", "count")})',
    after=["shop.0001_initial"],
)
WARE = {
    "sqlite": {
        "id": "integer PRIMARY KEY AUTOINCREMENT",
        "weight": "integer NOT NULL DEFAULT 5",
        "name": "varchar(20) COLLATE NOCASE",
        "note": "text",
        "amount": "integer",
        "twice": "integer GENERATED ALWAYS AS (amount * 2) STORED",
        "tag_id": "integer CONSTRAINT ware_of_tag REFERENCES shop_tag (id) DEFERRABLE INITIALLY DEFERRED",
        "CONSTRAINT heavy": "CHECK (weight > 0)",
        "CONSTRAINT single": "UNIQUE (weight, amount)",
    },
    "postgresql": {
        "id": "integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "weight": "integer NOT NULL DEFAULT 5",
        "name": 'varchar(20) COLLATE "C"',
        "note": "text",
        "amount": "integer",
        "twice": "integer GENERATED ALWAYS AS (amount * 2) STORED",
        "span": "int4range",
        "since": "timestamptz DEFAULT '2020-01-01 00:00:00+00'",
        "day": "date DEFAULT '2020-02-03'",
        "length": "interval DEFAULT '1 day 02:03:00'",
        "photo": "bytea DEFAULT 'abc'",
        "colour": "colour DEFAULT 'red'",
        "share": "percent",
        "number": "integer DEFAULT nextval('numbers')",
        "tag_id": "bigint CONSTRAINT ware_of_tag REFERENCES shop_tag (id) DEFERRABLE INITIALLY DEFERRED",
        "CONSTRAINT heavy": "CHECK (weight > 0)",
        "CONSTRAINT single": "UNIQUE (weight, amount) DEFERRABLE",
        "CONSTRAINT apart": "EXCLUDE USING gist (span WITH &&)",
    },
}


def ware(vendor: str, *, backwards: bool = False, **changes: str | None) -> str:
    """The statement that creates the table: with other columns, without some, or with the columns the other way."""
    definitions = {name: text for name, text in {**WARE[vendor], **changes}.items() if text is not None}
    names = sorted(definitions, key=lambda name: name.startswith("CONSTRAINT"))
    if backwards:
        names = sorted(reversed(names), key=lambda name: name.startswith("CONSTRAINT"))
    return f"CREATE TABLE ware ({', '.join(f'{name} {definitions[name]}' for name in names)})"


TOUCH = "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN {}; END'"
ODD_TABLE = (
    'CREATE TABLE "Odd ""table""" ("check" integer NOT NULL, "Primary, (" text, "unique" integer, "index" integer)'
)
ODD_INDEX = 'CREATE INDEX "index" ON "Odd ""table""" ("index")'
# What Django's migrations do not make by themselves.
BY_SQL = {
    "sqlite": [
        ware("sqlite"),
        ODD_TABLE,
        ODD_INDEX,
        "CREATE TABLE pair (a integer, b integer, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "CREATE TABLE draft (a text, b text, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "CREATE VIEW short AS SELECT a FROM pair WHERE b < 5",
        "CREATE TRIGGER touched AFTER UPDATE ON pair BEGIN UPDATE ware SET amount = 1; DELETE FROM draft; END",
        "CREATE TRIGGER into_view INSTEAD OF INSERT ON short BEGIN DELETE FROM draft; END",
    ],
    "postgresql": [
        "CREATE EXTENSION citext",
        "CREATE TYPE colour AS ENUM ('red', 'green')",
        "CREATE DOMAIN percent AS integer DEFAULT 1 CONSTRAINT full_range CHECK (VALUE BETWEEN 0 AND 100)",
        "CREATE SEQUENCE numbers START 100",
        ware("postgresql"),
        ODD_TABLE,
        ODD_INDEX,
        "CREATE TABLE pair (a citext, b integer, PRIMARY KEY (a, b)) PARTITION BY HASH (a)",
        "CREATE TABLE pair_0 PARTITION OF pair FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE UNLOGGED TABLE draft (id serial PRIMARY KEY)",
        "CREATE VIEW short AS SELECT id FROM shop_tag WHERE length(name) < 5",
        "CREATE MATERIALIZED VIEW long_tag AS SELECT id FROM shop_tag WHERE length(name) > 5",
        "CREATE UNIQUE INDEX long_tags ON long_tag (id)",
        "CREATE INDEX CONCURRENTLY by_data ON shop_item USING gin (data)",
        TOUCH.format("NEW"),
        "CREATE TRIGGER touched BEFORE UPDATE OF name ON shop_tag FOR EACH ROW EXECUTE FUNCTION touch()",
        "CREATE CONSTRAINT TRIGGER later AFTER INSERT ON shop_tag DEFERRABLE FOR EACH ROW EXECUTE FUNCTION touch()",
        "COMMENT ON TABLE ware IS 'it''s heavy'",
        "COMMENT ON COLUMN ware.weight IS 'in kg'",
        "CREATE SCHEMA elsewhere",
        "CREATE TABLE elsewhere.secret (id integer)",
    ],
}
KINDS = {
    "sqlite": {"table", "column", "constraint", "index", "trigger", "view"},
    "postgresql": {"table", "column", "constraint", "index", "trigger", "view", "materialized view"}
    | {"sequence", "function", "type", "extension"},
}
NAMES = {
    "sqlite": "SELECT name FROM sqlite_master",
    "postgresql": "SELECT relname FROM pg_class UNION SELECT conname FROM pg_constraint",
}
SAME = "Schema: the same as when it was saved.\n"
NOT_THE_SAME = "Schema: not the one that the release had.\n"


@dataclass
class Shop:
    """A project, and copies of its database: before a release was saved, and with the release A."""

    project: Project
    unsaved: NewDatabase
    saved: NewDatabase


@pytest.fixture(scope="module")
def shop(copy_database: CopyDatabase, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Made once on each kind of database."""
    unsaved = copy_database()
    project = Project(tmp_path_factory.mktemp("schemas") / "project", database=unsaved, apps=APPS)
    project.commit({"shop/migrations/0001_initial.py": SHOP, "shop/migrations/0002_altered.py": ALTERED})
    project.manage("migrate", "django_rollback", "-v", "0")
    project.manage("migrate", "shop", "0001", "-v", "0")
    execute(unsaved, BY_SQL[unsaved.vendor])
    saved = copy_database(unsaved)
    project.use(saved)
    project.native("save", "--commit", A)
    return Shop(project, lambda: copy_database(unsaved), lambda: copy_database(saved))


@pytest.fixture
def project(shop: Shop) -> Project:
    """On a database with the release A."""
    shop.project.use(shop.saved())
    return shop.project


ON_POSTGRESQL = pytest.mark.parametrize("copy_database", ["postgres"], indirect=True)


def each(cases: Mapping[str, Mapping[str, Any]]) -> pytest.MarkDecorator:
    """Each case on the kind of database that it is for."""
    databases = {"sqlite": "sqlite", "postgresql": "postgres"}
    found = [(databases[vendor], case) for vendor, named in cases.items() for case in named]
    return pytest.mark.parametrize(("copy_database", "case"), found, indirect=["copy_database"])


def execute(database: Database, statements: Iterable[str]) -> None:
    """All of them in one session; a name with question marks is the one that fits."""
    with database.connect() as connection:
        for statement in statements:
            names = {name for (name,) in connection.execute(NAMES[database.vendor]).fetchall()}
            for pattern in re.findall(r"\w+\?{8}\w*", statement):
                [name] = fnmatch.filter(names, pattern)
                statement = statement.replace(pattern, name)
            connection.execute(statement)


@dataclass
class Status:
    """What the command said of the schema."""

    code: int
    text: str
    differences: list[dict[str, str]] | None

    @property
    def lines(self) -> list[str]:
        """The differences in words."""
        heading, *lines = self.text.splitlines(keepends=True)
        same([heading, self.code], [NOT_THE_SAME, 1])
        assert all(line.startswith("  ") and line.endswith("\n") for line in lines)
        return [line[2:-1] for line in lines]


def status(project: Project, door: str = "native") -> Status:
    """As text and as a document, which agree."""
    text, document = (run(project, door, "status", *words) for words in ((), ("--format", "json")))
    assert (text.stderr, document.stderr, document.returncode) == ("", "", text.returncode)
    applied, schema = text.stdout.split("\n", 1)
    assert applied.endswith("applied: the same as when it was saved.")
    found = json.loads(document.stdout)
    assert (found["ahead"], found["missing"], found["same"]) == ([], [], text.returncode == 0)
    return Status(text.returncode, schema, found["schema"])


def assert_same(project: Project, *doors: str) -> None:
    for door in doors or ["native"]:
        same(status(project, door), Status(0, SAME, []))


def stored(database: Database) -> list[tuple[str, str]]:
    """Hash and document of each stored schema."""
    return database.execute("SELECT hash, body FROM django_rollback_schema ORDER BY hash")


def schema_of(database: Database, commit: str) -> str:
    """The hash that the release has."""
    ((found,),) = database.execute(f"SELECT schema FROM django_rollback_appsstate WHERE \"commit\" = '{commit}'")
    return found


# One schema, two doors


def test_both_doors_store_and_see_the_same(shop: Shop) -> None:
    """Whichever saves, and whichever looks afterwards."""
    found = []
    for door in DOORS:
        shop.project.use(shop.unsaved())
        assert run(shop.project, door, "save", "--commit", A).returncode == 0
        assert_same(shop.project, *DOORS)
        found.append(stored(shop.project.database))
    same(found[0], found[1])


def test_what_is_stored(project: Project) -> None:
    """A document of format 1 under its hash: one list of objects, sorted, and of every kind at least one."""
    database = project.database
    [(digest, body)] = stored(database)
    assert (schema_of(database, A), hashlib.sha256(body.encode()).hexdigest()) == (digest, digest)
    document = json.loads(body)
    assert (list(document), document["format"]) == (["format", "objects"], 1)
    objects = [tuple(each) for each in document["objects"]]
    assert objects == sorted(objects) and {len(each) for each in objects} == {4}
    same({kind for kind, *_ in objects}, KINDS[database.vendor])
    tables = {table for kind, table, *_ in objects if kind == "table"}
    expected = {name for name in oracle.table_names(database) if not name.startswith("django_rollback_")}
    same(tables, expected - {"pair_0", "secret"})
    same({table for _, table, *_ in objects if table.startswith(("django_rollback_", "sqlite_", "pg_"))}, set())


SETTINGS = {
    "timezone": "'Asia/Kolkata'",
    "datestyle": "'German'",
    "intervalstyle": "'iso_8601'",
    "bytea_output": "'escape'",
    "extra_float_digits": "0",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "search_path": "missing, public",
}


@ON_POSTGRESQL
@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_the_session_do_not_count(project: Project, setting: str) -> None:
    """Server, database and role have their own, Django sets its time zone at each connection, and all may change."""
    database = project.database
    database.execute(f'ALTER DATABASE "{database.name}" SET {setting} = {SETTINGS[setting]}')
    assert_same(project, *DOORS)


@ON_POSTGRESQL
def test_the_time_zone_of_django_does_not_count(project: Project) -> None:
    """Two releases may have two: a time that stands in a constraint or a default is still the same time."""
    project.install_apps(APPS, extra="USE_TZ = False\nTIME_ZONE = 'America/Lima'\n")
    try:
        assert_same(project, *DOORS)
    finally:
        project.install_apps(APPS)


# What was changed by hand


Drift = tuple[list[str], list[str]]
DRIFTS: Mapping[str, Mapping[str, Drift]] = {
    "sqlite": {
        "type of a column": (
            ["DROP TABLE ware", ware("sqlite", weight="bigint NOT NULL DEFAULT 5")],
            ["column ware.weight is `bigint not null default 5` and should be `integer not null default 5`"],
        ),
        "length of a text": (
            ["DROP TABLE ware", ware("sqlite", name="varchar(40) COLLATE NOCASE")],
            ["column ware.name is `varchar ( 40 ) collate nocase` and should be `varchar ( 20 ) collate nocase`"],
        ),
        "collation of a column": (
            ["DROP TABLE ware", ware("sqlite", name="varchar(20) COLLATE RTRIM")],
            ["column ware.name is `varchar ( 20 ) collate rtrim` and should be `varchar ( 20 ) collate nocase`"],
        ),
        "a column that may be null": (
            ["DROP TABLE ware", ware("sqlite", weight="integer DEFAULT 5")],
            ["column ware.weight is `integer default 5` and should be `integer not null default 5`"],
        ),
        "default": (
            ["DROP TABLE ware", ware("sqlite", weight="integer NOT NULL DEFAULT 6")],
            ["column ware.weight is `integer not null default 6` and should be `integer not null default 5`"],
        ),
        "no default": (
            ["DROP TABLE ware", ware("sqlite", weight="integer NOT NULL")],
            ["column ware.weight is `integer not null` and should be `integer not null default 5`"],
        ),
        "what a column is generated from": (
            ["DROP TABLE ware", ware("sqlite", twice="integer GENERATED ALWAYS AS (amount * 3) STORED")],
            [
                "column ware.twice is `integer generated always as ( amount * 3 ) stored` and should be "
                "`integer generated always as ( amount * 2 ) stored`"
            ],
        ),
        "autoincrement": (
            ["DROP TABLE ware", ware("sqlite", id="integer PRIMARY KEY")],
            ["column ware.id is `integer primary key` and should be `integer primary key autoincrement`"],
        ),
        "a column more": (
            ["ALTER TABLE ware ADD COLUMN extra text"],
            ["column ware.extra is unexpected: `text`"],
        ),
        "a column less": (["ALTER TABLE ware DROP COLUMN note"], ["column ware.note is missing: `text`"]),
        "a renamed column": (
            ["ALTER TABLE ware RENAME COLUMN note TO remark"],
            ["column ware.note is missing: `text`", "column ware.remark is unexpected: `text`"],
        ),
        "a foreign key that is not deferred": (
            ["DROP TABLE ware", ware("sqlite", tag_id="integer CONSTRAINT ware_of_tag REFERENCES shop_tag (id)")],
            [
                "column ware.tag_id is `integer constraint ware_of_tag references shop_tag ( id )` and should be "
                "`integer constraint ware_of_tag references shop_tag ( id ) deferrable initially deferred`"
            ],
        ),
        "another check": (
            ["DROP TABLE ware", ware("sqlite", **{"CONSTRAINT heavy": "CHECK (weight > 1)"})],
            ["constraint heavy of ware is `check ( weight > 1 )` and should be `check ( weight > 0 )`"],
        ),
        "a check less": (
            ["DROP TABLE ware", ware("sqlite", **{"CONSTRAINT heavy": None})],
            ["constraint heavy of ware is missing: `check ( weight > 0 )`"],
        ),
        "a constraint with another name": (
            [
                "DROP TABLE ware",
                ware("sqlite", **{"CONSTRAINT single": None, "CONSTRAINT only": "UNIQUE (weight, amount)"}),
            ],
            [
                "constraint only of ware is unexpected: `unique ( weight , amount )`",
                "constraint single of ware is missing: `unique ( weight , amount )`",
            ],
        ),
        "an index more": (
            ["CREATE INDEX by_hand ON shop_item (price)"],
            ["index by_hand of shop_item is unexpected: `create on shop_item ( price )`"],
        ),
        "an index less": (
            ["DROP INDEX any_case"],
            ["index any_case of shop_item is missing: `create on shop_item ( ( lower ( name ) ) )`"],
        ),
        "another expression in an index": (
            ["DROP INDEX any_case", "CREATE INDEX any_case ON shop_item ((upper(name)))"],
            [
                "index any_case of shop_item is `create on shop_item ( ( upper ( name ) ) )` and should be "
                "`create on shop_item ( ( lower ( name ) ) )`"
            ],
        ),
        "a whole index that was a partial one": (
            ["DROP INDEX dear", "CREATE INDEX dear ON shop_item (price)"],
            [
                "index dear of shop_item is `create on shop_item ( price )` and should be "
                "`create on shop_item ( price ) where count > 100`"
            ],
        ),
        "an index that is not unique": (
            ["DROP INDEX one_unsold", "CREATE INDEX one_unsold ON shop_item (name) WHERE sold_at IS NULL"],
            [
                "index one_unsold of shop_item is `create on shop_item ( name ) where sold_at is null` and "
                "should be `create unique on shop_item ( name ) where sold_at is null`"
            ],
        ),
        "an index with another name": (
            ["DROP INDEX any_case", "CREATE INDEX no_case ON shop_item ((lower(name)))"],
            [
                "index any_case of shop_item is missing: `create on shop_item ( ( lower ( name ) ) )`",
                "index no_case of shop_item is unexpected: `create on shop_item ( ( lower ( name ) ) )`",
            ],
        ),
        "an index of Django's less": (
            ["DROP INDEX shop_item_tags_item_id_????????"],
            ["index of shop_item_tags is missing: `create on shop_item_tags ( item_id )`"],
        ),
        "a table more": (
            ["CREATE TABLE extra (id integer PRIMARY KEY)"],
            ["column extra.id is unexpected: `integer primary key`", "table extra is unexpected"],
        ),
        "a table less": (
            ["DROP TABLE draft"],
            [
                "column draft.a is missing: `text`",
                "column draft.b is missing: `text`",
                "constraint of draft is missing: `primary key ( a , b )`",
                "table draft is missing: `without rowid`",
            ],
        ),
        "options of a table": (
            ["DROP TABLE draft", "CREATE TABLE draft (a text, b text, PRIMARY KEY (a, b))"],
            ["table draft is missing: `without rowid`", "table draft is unexpected"],
        ),
        "a view less": (
            ["DROP VIEW short"],
            [
                "trigger into_view of short is missing: "
                "`create trigger into_view instead of insert on short begin delete from draft ; end`",
                "view short is missing: `create view short as select a from pair where b < 5`",
            ],
        ),
        "a view more": (
            ["CREATE VIEW extra AS SELECT 1 AS one"],
            ["view extra is unexpected: `create view extra as select 1 as one`"],
        ),
        "the text of a view": (
            ["DROP VIEW short", "CREATE VIEW short AS SELECT a FROM pair WHERE b < 6", BY_SQL["sqlite"][-1]],
            [
                "view short is missing: `create view short as select a from pair where b < 5`",
                "view short is unexpected: `create view short as select a from pair where b < 6`",
            ],
        ),
        "a trigger less": (
            ["DROP TRIGGER touched"],
            [
                "trigger touched of pair is missing: `create trigger touched after update on pair begin "
                "update ware set amount = 1 ; delete from draft ; end`"
            ],
        ),
        "a trigger more": (
            ["CREATE TRIGGER extra AFTER DELETE ON ware BEGIN DELETE FROM pair; END"],
            [
                "trigger extra of ware is unexpected: `create trigger extra after delete on ware begin "
                "delete from pair ; end`"
            ],
        ),
        "what a trigger does": (
            ["DROP TRIGGER touched", BY_SQL["sqlite"][-2].replace("amount = 1", "amount = 2")],
            [
                "trigger touched of pair is `create trigger touched after update on pair begin "
                "update ware set amount = 2 ; delete from draft ; end` and should be `create trigger touched after "
                "update on pair begin update ware set amount = 1 ; delete from draft ; end`"
            ],
        ),
    },
    "postgresql": {
        "type of a column": (
            ["ALTER TABLE ware ALTER weight TYPE bigint"],
            [
                "column ware.weight is `bigint not null default 5 comment 'in kg'` and should be "
                "`integer not null default 5 comment 'in kg'`"
            ],
        ),
        "length of a text": (
            ['ALTER TABLE ware ALTER name TYPE varchar(40) COLLATE "C"'],
            [
                'column ware.name is `character varying(40) collate "C"` and should be '
                '`character varying(20) collate "C"`'
            ],
        ),
        "collation of a column": (
            ['ALTER TABLE ware ALTER name TYPE varchar(20) COLLATE "POSIX"'],
            [
                'column ware.name is `character varying(20) collate "POSIX"` and should be '
                '`character varying(20) collate "C"`'
            ],
        ),
        "no collation": (
            ["ALTER TABLE ware ALTER name TYPE varchar(20)"],
            ['column ware.name is `character varying(20)` and should be `character varying(20) collate "C"`'],
        ),
        "a column that may be null": (
            ["ALTER TABLE ware ALTER weight DROP NOT NULL"],
            [
                "column ware.weight is `integer default 5 comment 'in kg'` and should be "
                "`integer not null default 5 comment 'in kg'`"
            ],
        ),
        "a column that may not be null": (
            ["ALTER TABLE ware ALTER note SET NOT NULL"],
            ["column ware.note is `text not null` and should be `text`"],
        ),
        "default": (
            ["ALTER TABLE ware ALTER weight SET DEFAULT 6"],
            [
                "column ware.weight is `integer not null default 6 comment 'in kg'` and should be "
                "`integer not null default 5 comment 'in kg'`"
            ],
        ),
        "no default": (
            ["ALTER TABLE ware ALTER weight DROP DEFAULT"],
            [
                "column ware.weight is `integer not null comment 'in kg'` and should be "
                "`integer not null default 5 comment 'in kg'`"
            ],
        ),
        "another identity": (
            ["ALTER TABLE ware ALTER id SET GENERATED BY DEFAULT"],
            [
                "column ware.id is `integer not null identity by default` and should be "
                "`integer not null identity always`"
            ],
        ),
        "no identity": (
            ["ALTER TABLE ware ALTER id DROP IDENTITY"],
            [
                "column ware.id is `integer not null` and should be `integer not null identity always`",
                "sequence of ware is missing: `integer start 1 increment 1 of id`",
            ],
        ),
        "a column that is not generated": (
            ["ALTER TABLE ware ALTER twice DROP EXPRESSION"],
            ["column ware.twice is `integer` and should be `integer generated always as (amount * 2)`"],
        ),
        "comments": (
            ["COMMENT ON COLUMN ware.weight IS NULL", "COMMENT ON TABLE ware IS 'light'"],
            [
                "column ware.weight is `integer not null default 5` and should be "
                "`integer not null default 5 comment 'in kg'`",
                "table ware is missing: `comment 'it''s heavy'`",
                "table ware is unexpected: `comment 'light'`",
            ],
        ),
        "a column more": (
            ["ALTER TABLE ware ADD COLUMN extra text"],
            ["column ware.extra is unexpected: `text`"],
        ),
        "a column less": (["ALTER TABLE ware DROP COLUMN note"], ["column ware.note is missing: `text`"]),
        "a renamed column": (
            ["ALTER TABLE ware RENAME COLUMN note TO remark"],
            ["column ware.note is missing: `text`", "column ware.remark is unexpected: `text`"],
        ),
        "a foreign key that is not deferred": (
            ["ALTER TABLE ware ALTER CONSTRAINT ware_of_tag NOT DEFERRABLE"],
            [
                "constraint ware_of_tag of ware is `FOREIGN KEY (tag_id) REFERENCES shop_tag(id)` and should be "
                "`FOREIGN KEY (tag_id) REFERENCES shop_tag(id) DEFERRABLE INITIALLY DEFERRED`"
            ],
        ),
        "a foreign key less": (
            ["ALTER TABLE ware DROP CONSTRAINT ware_of_tag"],
            [
                "constraint ware_of_tag of ware is missing: "
                "`FOREIGN KEY (tag_id) REFERENCES shop_tag(id) DEFERRABLE INITIALLY DEFERRED`"
            ],
        ),
        "a foreign key that was never checked": (
            [
                "ALTER TABLE ware DROP CONSTRAINT ware_of_tag",
                "ALTER TABLE ware ADD CONSTRAINT ware_of_tag FOREIGN KEY (tag_id) REFERENCES shop_tag (id) "
                "DEFERRABLE INITIALLY DEFERRED NOT VALID",
            ],
            [
                "constraint ware_of_tag of ware is "
                "`FOREIGN KEY (tag_id) REFERENCES shop_tag(id) DEFERRABLE INITIALLY DEFERRED NOT VALID` and should be "
                "`FOREIGN KEY (tag_id) REFERENCES shop_tag(id) DEFERRABLE INITIALLY DEFERRED`"
            ],
        ),
        "another check": (
            ["ALTER TABLE ware DROP CONSTRAINT heavy", "ALTER TABLE ware ADD CONSTRAINT heavy CHECK (weight > 1)"],
            ["constraint heavy of ware is `CHECK ((weight > 1))` and should be `CHECK ((weight > 0))`"],
        ),
        "a check less": (
            ["ALTER TABLE ware DROP CONSTRAINT heavy"],
            ["constraint heavy of ware is missing: `CHECK ((weight > 0))`"],
        ),
        "a check of Django's less": (
            ["ALTER TABLE shop_item DROP CONSTRAINT shop_item_count_check"],
            ["constraint of shop_item is missing: `CHECK ((count >= 0))`"],
        ),
        "a unique constraint less": (
            ["ALTER TABLE shop_tag DROP CONSTRAINT shop_tag_name_key"],
            [
                "constraint of shop_tag is missing: `UNIQUE (name)`",
            ],
        ),
        "a constraint that excludes less": (
            ["ALTER TABLE ware DROP CONSTRAINT apart"],
            [
                "constraint apart of ware is missing: `EXCLUDE USING gist (span WITH &&)`",
            ],
        ),
        "a constraint with another name": (
            ["ALTER TABLE ware RENAME CONSTRAINT heavy TO weighty"],
            [
                "constraint heavy of ware is missing: `CHECK ((weight > 0))`",
                "constraint weighty of ware is unexpected: `CHECK ((weight > 0))`",
            ],
        ),
        "an index more": (
            ["CREATE INDEX by_hand ON shop_item (price)"],
            ["index by_hand of shop_item is unexpected: `CREATE INDEX ON public.shop_item USING btree (price)`"],
        ),
        "an index less": (
            ["DROP INDEX any_case"],
            [
                "index any_case of shop_item is missing: "
                "`CREATE INDEX ON public.shop_item USING btree (lower((name)::text))`"
            ],
        ),
        "another expression in an index": (
            ["DROP INDEX any_case", "CREATE INDEX any_case ON shop_item (upper(name))"],
            [
                "index any_case of shop_item is `CREATE INDEX ON public.shop_item USING btree (upper((name)::text))` "
                "and should be `CREATE INDEX ON public.shop_item USING btree (lower((name)::text))`"
            ],
        ),
        "a whole index that was a partial one": (
            ["DROP INDEX dear", "CREATE INDEX dear ON shop_item (price)"],
            [
                "index dear of shop_item is `CREATE INDEX ON public.shop_item USING btree (price)` and should be "
                "`CREATE INDEX ON public.shop_item USING btree (price) WHERE (count > 100)`"
            ],
        ),
        "another kind of index": (
            ["DROP INDEX by_data", "CREATE INDEX by_data ON shop_item USING gin (data jsonb_path_ops)"],
            [
                "index by_data of shop_item is "
                "`CREATE INDEX ON public.shop_item USING gin (data jsonb_path_ops)` and should be "
                "`CREATE INDEX ON public.shop_item USING gin (data)`"
            ],
        ),
        "an index that a broken build left": (
            ["UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'dear'::regclass"],
            [
                "index dear of shop_item is "
                "`CREATE INDEX ON public.shop_item USING btree (price) WHERE (count > 100) INVALID` and "
                "should be `CREATE INDEX ON public.shop_item USING btree (price) WHERE (count > 100)`"
            ],
        ),
        "an index with another name": (
            ["ALTER INDEX long_tags RENAME TO long_ones"],
            [
                "index long_ones of long_tag is unexpected: `CREATE UNIQUE INDEX ON public.long_tag USING btree (id)`",
                "index long_tags of long_tag is missing: `CREATE UNIQUE INDEX ON public.long_tag USING btree (id)`",
            ],
        ),
        "an index of Django's less": (
            ["DROP INDEX shop_item_tags_item_id_????????"],
            ["index of shop_item_tags is missing: `CREATE INDEX ON public.shop_item_tags USING btree (item_id)`"],
        ),
        "a table more": (
            ["CREATE TABLE extra (id integer)"],
            ["column extra.id is unexpected: `integer`", "table extra is unexpected"],
        ),
        "a table less": (
            ["DROP TABLE draft"],
            [
                "column draft.id is missing: `integer not null default nextval('draft_id_seq'::regclass)`",
                "constraint of draft is missing: `PRIMARY KEY (id)`",
                "sequence of draft is missing: `integer start 1 increment 1 of id`",
                "table draft is missing: `unlogged`",
            ],
        ),
        "an unlogged table": (
            ["ALTER TABLE draft SET LOGGED"],
            ["table draft is missing: `unlogged`", "table draft is unexpected"],
        ),
        "a view less": (
            ["DROP VIEW short"],
            [
                "view short is missing: `SELECT shop_tag.id FROM shop_tag WHERE (length((shop_tag.name)::text) < 5);`",
            ],
        ),
        "a view more": (
            ["CREATE VIEW extra AS SELECT 1 AS one"],
            ["view extra is unexpected: `SELECT 1 AS one;`"],
        ),
        "the text of a view": (
            ["CREATE OR REPLACE VIEW short AS SELECT id FROM shop_tag WHERE length(name) < 6"],
            [
                "view short is missing: `SELECT shop_tag.id FROM shop_tag WHERE (length((shop_tag.name)::text) < 5);`",
                "view short is unexpected: "
                "`SELECT shop_tag.id FROM shop_tag WHERE (length((shop_tag.name)::text) < 6);`",
            ],
        ),
        "a materialized view less": (
            ["DROP MATERIALIZED VIEW long_tag"],
            [
                "index long_tags of long_tag is missing: `CREATE UNIQUE INDEX ON public.long_tag USING btree (id)`",
                "materialized view long_tag is missing: "
                "`SELECT shop_tag.id FROM shop_tag WHERE (length((shop_tag.name)::text) > 5);`",
            ],
        ),
        "a trigger less": (
            ["DROP TRIGGER touched ON shop_tag"],
            [
                "trigger touched of shop_tag is missing: `CREATE TRIGGER touched BEFORE UPDATE OF name ON "
                "public.shop_tag FOR EACH ROW EXECUTE FUNCTION touch()`"
            ],
        ),
        "a trigger more": (
            ["CREATE TRIGGER extra AFTER DELETE ON ware EXECUTE FUNCTION touch()"],
            [
                "trigger extra of ware is unexpected: `CREATE TRIGGER extra AFTER DELETE ON public.ware "
                "FOR EACH STATEMENT EXECUTE FUNCTION touch()`"
            ],
        ),
        "when a trigger fires": (
            [
                "DROP TRIGGER touched ON shop_tag",
                "CREATE TRIGGER touched BEFORE INSERT ON shop_tag FOR EACH ROW EXECUTE FUNCTION touch()",
            ],
            [
                "trigger touched of shop_tag is `CREATE TRIGGER touched BEFORE INSERT ON "
                "public.shop_tag FOR EACH ROW EXECUTE FUNCTION touch()` and should be `CREATE TRIGGER touched BEFORE "
                "UPDATE OF name ON public.shop_tag FOR EACH ROW EXECUTE FUNCTION touch()`"
            ],
        ),
        "a constraint trigger less": (
            ["DROP TRIGGER later ON shop_tag"],
            [
                "trigger later of shop_tag is missing: `CREATE CONSTRAINT TRIGGER later AFTER INSERT ON "
                "public.shop_tag DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION touch()`"
            ],
        ),
        "what a function does": (
            [TOUCH.format("OLD")],
            [
                "function touch is missing: `CREATE OR REPLACE FUNCTION public.touch() RETURNS trigger LANGUAGE "
                "plpgsql AS $function$BEGIN RETURN NEW; END$function$`",
                "function touch is unexpected: `CREATE OR REPLACE FUNCTION public.touch() RETURNS trigger LANGUAGE "
                "plpgsql AS $function$BEGIN RETURN OLD; END$function$`",
            ],
        ),
        "a value of an enum more": (
            ["ALTER TYPE colour ADD VALUE 'blue'"],
            [
                "type colour is missing: `enum 'red', 'green'`",
                "type colour is unexpected: `enum 'red', 'green', 'blue'`",
            ],
        ),
        "another domain": (
            ["ALTER DOMAIN percent SET NOT NULL", "ALTER DOMAIN percent DROP CONSTRAINT full_range"],
            [
                "type percent is missing: `domain over integer default 1 CHECK (((VALUE >= 0) AND (VALUE <= 100)))`",
                "type percent is unexpected: `domain over integer not null default 1`",
            ],
        ),
        "another sequence": (
            ["ALTER SEQUENCE numbers INCREMENT 2"],
            [
                "sequence numbers of numbers is `bigint start 100 increment 2 of` and should be "
                "`bigint start 100 increment 1 of`"
            ],
        ),
        "an extension less": (
            ["ALTER TABLE pair ALTER b TYPE bigint", "CREATE EXTENSION hstore"],
            [
                "column pair.b is `bigint not null` and should be `integer not null`",
                "extension hstore is unexpected",
            ],
        ),
    },
}


@each(DRIFTS)
def test_drift(project: Project, case: str) -> None:
    """One line for each object, with both definitions where it changed, and exit code 1."""
    statements, lines = DRIFTS[project.database.vendor][case]
    execute(project.database, statements)
    found = status(project)
    # PostgreSQL 16 and newer name the table only where it is needed.
    same([line.replace("shop_tag.", "") for line in found.lines], [line.replace("shop_tag.", "") for line in lines])
    assert found.differences
    for difference in found.differences:
        assert list(difference) == ["side", "kind", "table", "name", "definition"]
        assert difference["side"] in ("missing", "surplus")
        assert any(is_told(difference, line) for line in found.lines)


def is_told(difference: dict[str, str], line: str) -> bool:
    facts = [difference[key] for key in ("kind", "table", "name", "definition")]
    return line.startswith(f"{facts[0]} ") and all(fact in line for fact in facts)


def test_drift_of_a_column_with_the_name_of_a_keyword(project: Project) -> None:
    """A column `check` is a column."""
    changes = {
        "sqlite": ['DROP TABLE "Odd ""table"""', ODD_TABLE.replace("integer NOT NULL", "integer"), ODD_INDEX],
        "postgresql": ['ALTER TABLE "Odd ""table""" ALTER "check" DROP NOT NULL'],
    }
    execute(project.database, changes[project.database.vendor])
    same(status(project).lines, ['column Odd "table".check is `integer` and should be `integer not null`'])


UNSEEN = {
    "a trigger of a view": "CREATE TRIGGER extra INSTEAD OF INSERT ON short FOR EACH ROW EXECUTE FUNCTION touch()",
    "a trigger that is switched off": "ALTER TABLE shop_tag DISABLE TRIGGER touched",
}


@ON_POSTGRESQL
@pytest.mark.parametrize("case", UNSEEN)
def test_drift_of_triggers(project: Project, case: str) -> None:
    """Rows are not what they would be, so it matters."""
    project.database.execute(UNSEEN[case])
    assert status(project).lines


@pytest.mark.parametrize("door", DOORS)
def test_document_of_a_drift(project: Project, door: str) -> None:
    """What changed stands there twice: as it should be, and as it is."""
    execute(
        project.database,
        [
            "ALTER TABLE ware ADD COLUMN extra text",
            "DROP INDEX dear",
            "CREATE UNIQUE INDEX dear ON shop_item (sold_at)",
            "DROP VIEW short",
        ],
    )
    found = status(project, door).differences
    assert found is not None
    assert all(difference.pop("definition") for difference in found)
    trigger = {"side": "missing", "kind": "trigger", "table": "short", "name": "into_view"}
    expected = [
        {"side": "surplus", "kind": "column", "table": "ware", "name": "extra"},
        {"side": "missing", "kind": "index", "table": "shop_item", "name": "dear"},
        {"side": "surplus", "kind": "index", "table": "shop_item", "name": "dear"},
        *([trigger] if project.database.vendor == "sqlite" else []),
        {"side": "missing", "kind": "view", "table": "short", "name": ""},
    ]
    by_object = sorted(found, key=lambda difference: (difference["kind"], difference["side"]))
    same(by_object, expected)


def test_both_doors_tell_the_same_drift(project: Project) -> None:
    """A lot of it at once, in the same order."""
    done = {"a table less", "a trigger more", "what a function does", "an index less", "comments", "a renamed column"}
    for name, (statements, _) in DRIFTS[project.database.vendor].items():
        if name in done:
            execute(project.database, statements)
    native, django = (status(project, door) for door in DOORS)
    assert len(native.lines) > 5
    same(native, django)


def test_drift_and_migrations_are_told_together(project: Project) -> None:
    """Each has its own line, and either of them is enough for exit code 1."""
    project.manage("migrate", "shop", "-v", "0")
    result = run(project, "native", "status", "--format", "json")
    found = json.loads(result.stdout)
    assert (result.returncode, found["same"], found["ahead"]) == (1, False, [["shop", "0002_altered"]])
    assert {"shop_item", "shop_tag"} == {difference["table"] for difference in found["schema"]}
    said = run(project, "native", "status").stdout.splitlines()
    assert said[0].endswith("not those of the release.")
    assert said[1:3] == ["  + shop.0002_altered", NOT_THE_SAME.strip()]


# What does not count


NO_DRIFTS: Mapping[str, Mapping[str, list[str]]] = {
    "sqlite": {
        "order of columns": ["DROP TABLE ware", ware("sqlite", backwards=True)],
        "how it was written": [
            "DROP TABLE draft",
            'create table [draft]("a" TEXT, -- the first\n`b` Text/* , */,primary   key(a,"b"))WITHOUT ROWID',
        ],
        "statistics": ["ANALYZE"],
        "a table that was remade": ["VACUUM", "REINDEX"],
    },
    "postgresql": {
        "order of columns": [
            "DROP TABLE ware",
            ware("postgresql", backwards=True),
            "COMMENT ON TABLE ware IS 'it''s heavy'",
            "COMMENT ON COLUMN ware.weight IS 'in kg'",
        ],
        "names that PostgreSQL made up": [
            "ALTER TABLE ware RENAME CONSTRAINT ware_pkey TO ware_pkey1",
            "ALTER TABLE shop_tag RENAME CONSTRAINT shop_tag_name_key TO shop_tag_name_key2",
            "ALTER TABLE shop_item RENAME CONSTRAINT shop_item_count_check TO shop_item_count_check1",
            "ALTER SEQUENCE ware_id_seq RENAME TO ware_id_seq1",
        ],
        "a new partition": ["CREATE TABLE pair_1 PARTITION OF pair FOR VALUES WITH (MODULUS 2, REMAINDER 1)"],
        "a partition less": ["DROP TABLE pair_0"],
        "an index of a partition": ["CREATE INDEX by_b ON pair_0 (b)"],
        "what is looked up elsewhere": ["CREATE TABLE elsewhere.other (id integer)", "DROP TABLE elsewhere.secret"],
        "what belongs to an extension": [
            "CREATE TABLE helper (id serial PRIMARY KEY, name text)",
            "CREATE INDEX helper_names ON helper (name)",
            "ALTER EXTENSION citext ADD TABLE helper",
            "ALTER EXTENSION citext ADD SEQUENCE helper_id_seq",
            "CREATE TYPE help AS ENUM ('a')",
            "ALTER EXTENSION citext ADD TYPE help",
            "CREATE FUNCTION help() RETURNS help LANGUAGE sql AS 'SELECT NULL::help'",
            "ALTER EXTENSION citext ADD FUNCTION help()",
        ],
        "statistics": ["ANALYZE", "VACUUM"],
        "a table that was rewritten": ["VACUUM FULL ware", "REINDEX TABLE shop_item", "CLUSTER ware USING ware_pkey"],
        "rights": ["GRANT SELECT ON ware TO PUBLIC"],
    },
}


@each(NO_DRIFTS)
def test_no_drift(project: Project, case: str) -> None:
    execute(project.database, NO_DRIFTS[project.database.vendor][case])
    assert_same(project)


def test_names_that_django_made_up_do_not_count(project: Project) -> None:
    """There and back again: what was altered has other names then on PostgreSQL, and the same schema."""
    names = oracle.schema(project.database, generated_names=True)
    project.manage("migrate", "shop", "-v", "0")
    project.manage("migrate", "shop", "0001", "-v", "0")
    is_renamed = oracle.schema(project.database, generated_names=True) != names
    assert is_renamed == (project.database.vendor == "postgresql")
    assert_same(project)


def test_our_own_tables_do_not_count(project: Project) -> None:
    """They are changed by our own migrations, whatever release the application is at."""
    execute(
        project.database,
        [
            "ALTER TABLE django_rollback_operation ADD COLUMN extra text",
            "CREATE INDEX extra ON django_rollback_capsule (app)",
            "CREATE TABLE django_rollback_next (id integer PRIMARY KEY)",
        ],
    )
    assert_same(project)


def test_rows_do_not_count(project: Project) -> None:
    """Neither those of the application nor where its sequences are."""
    execute(
        project.database,
        ["INSERT INTO shop_tag (name) VALUES ('a'), ('b'), ('c')", "DELETE FROM shop_tag WHERE name <> 'b'"],
    )
    project.database.execute("DELETE FROM django_rollback_capsule")
    assert_same(project)


def test_temporary_tables_do_not_count(project: Project) -> None:
    """Those of another session are not seen at all, and those of this one are no part of the schema."""
    with project.database.connect() as connection:
        connection.execute("CREATE TEMPORARY TABLE passing (id integer PRIMARY KEY)")
        connection.execute("CREATE TEMPORARY TABLE pair (id integer PRIMARY KEY)")
        assert_same(project)
    said = project.run_python("""
        from django.core.management import call_command
        from django.db import connection

        cursor = connection.cursor()
        for statement in (
            "CREATE TEMPORARY TABLE passing (id integer PRIMARY KEY)",
            "CREATE INDEX passing_ids ON passing (id)",
            "CREATE TEMPORARY TABLE pair (id integer PRIMARY KEY)",
            "CREATE TEMPORARY VIEW passing_pairs AS SELECT id FROM pair",
        ):
            cursor.execute(statement)
        call_command("rollback", "status")
    """)
    assert said.endswith(SAME)


@ON_POSTGRESQL
def test_a_partition_of_a_table_that_others_refer_to(project: Project) -> None:
    """PostgreSQL lists the foreign key once more for each partition."""
    database = project.database
    parts = "PARTITION OF event FOR VALUES FROM ({}) TO ({})"
    execute(
        database,
        [
            "CREATE TABLE event (id integer PRIMARY KEY) PARTITION BY RANGE (id)",
            f"CREATE TABLE event_0 {parts.format(0, 10)}",
            "CREATE TABLE guest (event_id integer REFERENCES event (id))",
        ],
    )
    project.native("save", "--commit", B)
    database.execute(f"CREATE TABLE event_1 {parts.format(10, 20)}")
    assert_same(project)


# Releases


def test_releases_with_the_same_schema_share_one(project: Project) -> None:
    """Deploys of nothing but code store nothing new."""
    project.native("save", "--commit", B)
    database = project.database
    assert (len(stored(database)), schema_of(database, A)) == (1, schema_of(database, B))


@pytest.mark.parametrize("door", DOORS)
def test_a_new_release_has_the_schema_of_now(project: Project, door: str) -> None:
    """What was done by hand before belongs to it."""
    database = project.database
    database.execute("CREATE INDEX by_hand ON shop_item (price)")
    run(project, door, "save", "--commit", B)
    assert_same(project, *DOORS)
    assert (len(stored(database)), schema_of(database, A) == schema_of(database, B)) == (2, False)
    database.execute("DROP INDEX by_hand")
    assert [difference["side"] for difference in status(project).differences or []] == ["missing"]


@pytest.mark.parametrize("door", DOORS)
def test_an_update_of_a_release_takes_the_schema_of_now(project: Project, door: str) -> None:
    """It has other migrations, and so another schema."""
    project.manage("migrate", "shop", "-v", "0")
    result = run(project, door, "save", "--commit", A, "--format", "json")
    assert json.loads(result.stdout)["outcome"] == "updated"
    assert_same(project)
    assert len(stored(project.database)) == 2


@pytest.mark.parametrize("door", DOORS)
def test_saving_the_same_again_hides_no_drift(project: Project, door: str) -> None:
    """A pod that starts saves its release again: what somebody did by hand meanwhile is still told."""
    database = project.database
    before = stored(database)
    database.execute("CREATE INDEX by_hand ON shop_item (price)")
    result = run(project, door, "save", "--commit", A, "--format", "json")
    assert json.loads(result.stdout)["outcome"] == "unchanged"
    assert stored(database) == before
    assert "index by_hand of shop_item is unexpected" in status(project).text


def test_after_a_rollback_the_schema_is_the_one_of_then(project: Project) -> None:
    """The release that was gone back to is the current one, and has its schema."""
    project.manage("migrate", "shop", "-v", "0")
    project.native("save", "--commit", B)
    assert_same(project)
    project.manage("rollback_migrations", "-c", A)
    assert_same(project, *DOORS)


def test_what_was_done_by_hand_before_a_migrate_is_remembered(project: Project) -> None:
    """It was there when the release ended, so going back to the release finds it right; `status` still tells it."""
    database = project.database
    database.execute("CREATE INDEX by_hand ON ware (weight)")
    project.manage("migrate", "shop", "-v", "0")
    project.manage("save_migrations_state", "--commit", B)
    assert_same(project)
    project.manage("rollback_migrations", "-c", A)
    [line] = status(project).lines
    assert line.startswith("index by_hand of ware is unexpected")


# Damage


def damage(database: Database, body: str) -> None:
    """Give the release this document, under its right hash."""
    digest = hashlib.sha256(body.encode()).hexdigest()
    database.execute(f"INSERT INTO django_rollback_schema (hash, body) VALUES ('{digest}', '{body}')")
    database.execute(f"UPDATE django_rollback_appsstate SET schema = '{digest}'")


DAMAGES = {
    "changed": (
        "UPDATE django_rollback_schema SET body = body || ' '",
        "the stored schema of release {release} cannot be used: its content does not match its hash {hash}",
    ),
    "missing": (
        "DELETE FROM django_rollback_schema",
        "the stored schema of release {release} cannot be used: it is missing",
    ),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_schema(project: Project, door: str, case: str) -> None:
    """`status` is refused, and whatever does not need the schema still works."""
    database = project.database
    sql, message = DAMAGES[case]
    facts = {"release": A, "hash": schema_of(database, A)}
    database.execute(sql)
    result = run(project, door, "status")
    code, said = refusal(result, door)
    same((code, said.split("\n  hint: ")[0], result.stdout), (1, message.format(**facts), ""))
    for words in (["list"], ["show"], ["plan"], ["history"]):
        assert run(project, door, *words).stderr.count("schema") == 0


@pytest.mark.parametrize("door", DOORS)
def test_a_new_release_does_not_share_a_damaged_schema(project: Project, door: str) -> None:
    """It has the same schema, and so the same hash: what is stored under it is whole again."""
    before = stored(project.database)
    project.database.execute("UPDATE django_rollback_schema SET body = ''")
    assert run(project, door, "save", "--commit", B).returncode == 0
    assert stored(project.database) == before
    assert_same(project)


FOREIGN = {
    '{"format":2,"delta":{}}': "it has format 2, but this version reads at most format 1",
    "[]": "it is not a valid document: ",
    '{"format":1,"objects":[["table","a"]]}': "it is not a valid document: ",
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("body", FOREIGN)
def test_a_schema_of_another_format(project: Project, door: str, body: str) -> None:
    """Only where a newer version has written it the hint sends there."""
    damage(project.database, body)
    code, said = refusal(run(project, door, "status"), door)
    assert code == 1
    assert said.startswith(f"the stored schema of release {A} cannot be used: {FOREIGN[body]}")
    newer = "use the version of django-rollback that the newer release has"
    assert (newer in said) == ("format 2" in said)
