"""A shop with everything on the way from v1 to v2 that can be half done, deployed once and copied for each fault.

Deferrable foreign keys, many-to-many, unique together, a check constraint, data migrations both ways, a view, an
index of PostgreSQL's own kind, fields and models that are renamed, removed and added; rows in every table.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from harness import oracle
from harness.database import Database
from harness.faults import Outcome, ReadyManage
from harness.postgres import Cluster
from harness.project import Project
from scenarios import BASE_APPS, Migrations, call, create, migration

# It gives up looking for a server that has gone as soon as it may.
ROLLBACK = ("rollback_migrations", "-t", "v1", "--wait", "5")
MIGRATE_BACK = ("migrate", "shop", "0003_orders")

NAME = "models.CharField(max_length=40)"
NUMBER = "models.IntegerField(default=0)"


def key(model: str, *, null: bool = False) -> str:
    return f"models.ForeignKey({model!r}, models.CASCADE, null={null})"


def step(name: str, forwards: str, backwards: str) -> str:
    """Code of a data migration; its way back leaves a line in a table that stays, so that a second run is seen.

    The numbers of rows that are made on the way back are given: what a sequence has given out is not taken back.
    """
    return f"""
def forwards(apps, schema_editor):
    get = lambda name: apps.get_model("shop", name).objects
    {forwards}


def backwards(apps, schema_editor):
    get = lambda name: apps.get_model("shop", name).objects
    {backwards}
    get("Ledger").create(id=get("Ledger").count() + 1, step={name!r})
"""


RUN = "migrations.RunPython(forwards, backwards)"
V1: Migrations = {
    "shop.0001_initial": migration(
        create("Ledger", step=NAME),
        create("Supplier", name="models.CharField(max_length=40, unique=True)"),
        create("Item", name=NAME, price=NUMBER, supplier=key("shop.Supplier")),
    ),
    "shop.0002_tags": migration(
        create("Tag", name=NAME),
        "migrations.AddField('Item', 'tags', models.ManyToManyField('shop.Tag'))",
        "migrations.AlterUniqueTogether('Item', {('supplier', 'name')})",
        after=["shop.0001_initial"],
    ),
    "shop.0003_orders": migration(
        create("Order", number=NUMBER),
        create("Line", order=key("shop.Order"), item=key("shop.Item"), amount=NUMBER),
        create("Discount", item=key("shop.Item"), percent=NUMBER),
        "migrations.AlterUniqueTogether('Line', {('order', 'item')})",
        after=["shop.0002_tags"],
    ),
}
V1_ROWS = (
    "INSERT INTO shop_supplier (id, name) VALUES (1, 'north'), (2, 'south')",
    "INSERT INTO shop_item (id, name, price, supplier_id) VALUES (1, 'nail', 3, 1), (2, 'screw', 5, 1)",
    "INSERT INTO shop_item (id, name, price, supplier_id) VALUES (3, 'nut', 7, 2)",
    "INSERT INTO shop_tag (id, name) VALUES (1, 'steel'), (2, 'new')",
    "INSERT INTO shop_item_tags (item_id, tag_id) VALUES (1, 1), (2, 1), (2, 2)",
    "INSERT INTO shop_order (id, number) VALUES (1, 100), (2, 101)",
    "INSERT INTO shop_line (order_id, item_id, amount) VALUES (1, 1, 10), (1, 2, 20), (2, 3, 30)",
    "INSERT INTO shop_discount (id, item_id, percent) VALUES (1, 1, 5)",
)
V2: Migrations = {
    "shop.0004_stock": migration(
        "migrations.AddField('Item', 'stock', models.IntegerField(default=1))",
        "migrations.AddConstraint('Item', "
        "models.CheckConstraint(name='shop_stock', **{CONDITION: models.Q(stock__gte=0)}))",
        after=["shop.0003_orders"],
    ),
    "shop.0005_cents": migration(
        "migrations.AddField('Item', 'cents', models.IntegerField(default=0))",
        RUN,
        after=["shop.0004_stock"],
        code=step(
            "cents",
            "get('Item').update(cents=models.F('price') * 100)",
            "get('Item').update(price=models.F('cents') / 100)",
        ),
    ),
    "shop.0007_renamed": migration(
        "migrations.RenameField('Supplier', 'name', 'title')",
        "migrations.RenameModel('Tag', 'Label')",
        after=["shop.0006_notes"],
    ),
    "shop.0008_reviews": migration(
        create("Review", item=key("shop.Item"), order=key("shop.Order", null=True), stars=NUMBER),
        "migrations.AddField('Review', 'labels', models.ManyToManyField('shop.Label'))",
        "migrations.AddIndex('Review', models.Index(fields=['stars'], name='shop_stars'))",
        after=["shop.0007_renamed"],
    ),
    "shop.0009_first_reviews": migration(
        RUN,
        after=["shop.0008_reviews"],
        code=step(
            "reviews",
            "[get('Review').create(item_id=each.item_id, order_id=each.order_id) for each in get('Line').all()]",
            "get('Review').all().delete()",
        ),
    ),
    "shop.0010_wider": migration(
        "migrations.AlterField('Item', 'stock', models.BigIntegerField(default=1))",
        "migrations.AlterField('Review', 'order', models.ForeignKey('shop.Order', models.SET_NULL, null=True))",
        "migrations.AlterUniqueTogether('Review', {('item', 'order')})",
        after=["shop.0009_first_reviews"],
    ),
    "shop.0011_view": migration(
        "migrations.RunSQL("
        "'CREATE VIEW shop_sold AS SELECT i.name, l.amount FROM shop_line l JOIN shop_item i ON i.id = l.item_id', "
        "'DROP VIEW shop_sold')",
        after=["shop.0010_wider"],
    ),
    "shop.0012_no_price": migration(
        "migrations.RemoveField('Item', 'price')",
        "migrations.DeleteModel('Discount')",
        after=["shop.0011_view"],
    ),
}
V2_ROWS = (
    "INSERT INTO shop_item (id, name, cents, stock, supplier_id) VALUES (4, 'bolt', 900, 8, 2)",
    "INSERT INTO shop_item_tags (item_id, label_id) VALUES (4, 2)",
    "INSERT INTO shop_line (order_id, item_id, amount, note) VALUES (2, 4, 40, 'urgent')",
    "INSERT INTO shop_review (id, item_id, order_id, stars) VALUES (50, 4, NULL, 5)",
    "INSERT INTO shop_review_labels (review_id, label_id) VALUES (50, 1)",
)
STEPS = ("cents", "notes", "reviews")
CONCURRENTLY = {
    "shop.0013_concurrently": """
        from django.contrib.postgres.operations import AddIndexConcurrently
        from django.db import migrations, models

        class Migration(migrations.Migration):
            atomic = False
            dependencies = [("shop", "0012_no_price")]
            operations = [AddIndexConcurrently("Line", models.Index(fields=["amount"], name="shop_amount"))]
    """
}
# On PostgreSQL each data step takes as long as the table says.
SLOWLY = """
CREATE TABLE shop_pace (seconds integer);
INSERT INTO shop_pace VALUES (300);
CREATE FUNCTION shop_slowly() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(seconds) FROM shop_pace; RETURN NEW; END';
CREATE TRIGGER shop_slowly BEFORE INSERT ON shop_ledger FOR EACH ROW EXECUTE FUNCTION shop_slowly();
"""


def notes(*, mixed: bool) -> Migrations:
    """A migration whose way back is data and then schema.

    Where it is `mixed` the data leaves deferred checks for the very table that loses its column then, which stock
    Django cannot undo on PostgreSQL; otherwise it does not.
    """
    new_row = "get('Line').create(id=50, order_id=2, item_id=1, amount=1, note='')"
    return {
        "shop.0006_notes": migration(
            "migrations.AddField('Line', 'note', models.CharField(max_length=40, default=''))",
            RUN,
            after=["shop.0005_cents"],
            code=step(
                "notes",
                "get('Line').update(note='old')",
                new_row if mixed else "get('Line').filter(note='urgent').update(amount=41)",
            ),
        )
    }


@dataclass(frozen=True)
class State:
    """All of a database that a rollback is about; not its history, which tells of failures too."""

    schema: str
    rows: oracle.Rows
    content_types: frozenset[tuple[str, str]]
    releases: tuple[str, ...]

    @classmethod
    def of(cls, database: Database) -> State:
        schema, rows = oracle.schema(database, own_tables=True, generated_names=True), oracle.rows(database)
        with database.connect() as connection:
            content_types = connection.execute("SELECT app_label, model FROM django_content_type").fetchall()
            releases = connection.execute("SELECT * FROM django_rollback_appsstate ORDER BY id").fetchall()
        return cls(schema, rows, frozenset(content_types), tuple(map(repr, releases)))

    def without_releases(self) -> State:
        """What Django's own `migrate` is about."""
        return replace(self, releases=())

    def difference(self, other: State) -> str:
        """The first things that differ, in words."""
        found: list[str] = []
        ours, theirs = set(self.schema.splitlines()), set(other.schema.splitlines())
        found += [f"+ {line}" for line in sorted(ours - theirs)] + [f"- {line}" for line in sorted(theirs - ours)]
        for table in sorted(self.rows.keys() | other.rows.keys()):
            mine, others = self.rows.get(table), other.rows.get(table)
            if mine != others:
                found.append(f"rows of {table}: {mine} / {others}")
        for what in ("content_types", "releases"):
            if getattr(self, what) != getattr(other, what):
                found.append(f"{what}: {getattr(self, what)} / {getattr(other, what)}")
        return "\n".join(found[:12])


class Shop:
    """The shop at v2 on one kind of database, and copies of it; a context manager."""

    numbers = count(1)

    def __init__(
        self,
        folder: Path,
        vendor: str,
        cluster: Cluster | None,
        *,
        mixed: bool = True,
        concurrently: bool = False,
        wal: bool = False,
    ) -> None:
        """`mixed` and `concurrently` choose migrations, `wal` the other kind of SQLite's journal."""
        assert not concurrently or vendor == "postgresql"
        self.vendor = vendor
        self.cluster = cluster
        self._folder = folder
        self._prefix = f"shop_{next(self.numbers)}"
        self.template = self._database("template")
        self.project = Project(folder / "project", database=self.template, apps=(*BASE_APPS, "shop"))
        self._deploy(V1, "v1", V1_ROWS)
        self._deploy({**V2, **notes(mixed=mixed), **(CONCURRENTLY if concurrently else {})}, "v2", V2_ROWS)
        if wal:
            self.template.execute("PRAGMA journal_mode = WAL")
        self.manage = ReadyManage(self.project)
        self.before = State.of(self.template)

    def __enter__(self) -> Shop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what runs, and drop the database."""
        self.manage.stop()
        if self.cluster is not None:
            self.cluster.drop_database(self.template.name)

    @contextmanager
    def copy(self) -> Iterator[Database]:
        """A copy of the shop at v2, for one fault."""
        database = self._database(f"copy_{next(self.numbers)}", self.template)
        yield database
        if self.cluster is not None:
            self.cluster.drop_database(database.name)
            return
        for path in self._folder.glob(f"{Path(database.name).name}*"):
            path.unlink()

    def undisturbed(self, command: tuple[str, ...] = ROLLBACK, **options: Any) -> tuple[Outcome, State]:
        """What the command says to the database and what it makes of it when nothing goes wrong."""
        with self.copy() as database:
            outcome = self.manage.run(database, *command, **options)
            assert outcome.code == 0, str(outcome)
            after = State.of(database)
        assert after != self.before, "the command has done nothing"
        assert sorted(row["step"] for row in after.rows["shop_ledger"]) == sorted(STEPS), after.rows["shop_ledger"]
        return outcome, after

    def _deploy(self, migrations: Migrations, tag: str, rows: tuple[str, ...]) -> None:
        files = {f"shop/migrations/{name.partition('.')[2]}.py": source for name, source in migrations.items()}
        self.project.commit({"shop/models.py": "", **files}, tag=tag)
        call(self.project, ("migrate", "-v", "0"), ("save_migrations_state", "-v", "0"))
        for statement in rows:
            self.template.execute(statement)

    def _database(self, name: str, template: Database | None = None) -> Database:
        name = f"{self._prefix}_{name}"
        if self.cluster is not None:
            return self.cluster.create_database(name, template=template.name if template else "template1")
        path = self._folder / f"{name}.sqlite3"
        shutil.copyfile(template.name, path) if template else path.touch()
        return Database.sqlite(path)


def backwards(shop: Shop) -> list[str]:
    """The migrations that stock Django passes on its way back, but for the last, where it stops."""
    applied = sorted(name for app, name in oracle.migrations(shop.template) if app == "shop")
    return applied[-2 : applied.index(MIGRATE_BACK[-1]) : -1]
