"""The main job on both databases: data and schema go back, all or nothing, and what is refused is refused untouched."""

from __future__ import annotations

import json

import pytest

from conftest import NewDatabase
from harness import oracle
from harness.project import Project
from scenarios import NAMED, NUMBER, Trip, add, call, create, kinds, migration, round_trip, same, steps_of
from two_releases import everything_in

ITEM = migration(create("Item", **NAMED))
ONE_ITEM = ["INSERT INTO shop_item (name) VALUES ('tea')"]
A = migration(add("Item", "a", NUMBER), after=["shop.0001_initial"])
B = migration(add("Item", "b", NUMBER), after=["shop.0002_a"])


@pytest.fixture
def trip(project: Project, new_database: NewDatabase) -> Trip:
    """A trip that has not begun."""
    return Trip(project, new_database)


FILL_CODES = """
    def fill(apps, schema_editor):
        for item in apps.get_model("shop", "Item").objects.select_related("owner"):
            item.code = f"{item.name}/{item.owner.full_name}"
            item.save()

    def forget(apps, schema_editor):
        Item, Contact = apps.get_model("shop", "Item"), apps.get_model("people", "Contact")
        Item.objects.filter(owner=Contact.objects.get(full_name="ann")).update(code="")
        Item.objects.filter(tags__label="new").delete()
"""


def test_two_apps_with_every_usual_operation(trip: Trip) -> None:
    """Fields, renames, relations, indexes, constraints, data and a view go back together; old rows are what they were.

    What `RemoveField` had dropped comes back empty, and a row of the newer release goes by its migration's reverse.
    """
    item = create(
        "Item",
        **NAMED,
        price=NUMBER,
        note='models.TextField(default="")',
        owner='models.ForeignKey("people.Person", models.CASCADE)',
    )
    trip.deploy(
        "v1",
        {
            "people.0001_initial": migration(create("Person", **NAMED)),
            "shop.0001_initial": migration(
                item,
                create("Tag", label="models.CharField(max_length=9)", items='models.ManyToManyField("shop.Item")'),
                after=["people.0001_initial"],
            ),
        },
        rows=[
            "INSERT INTO people_person (name) VALUES ('ann')",
            "INSERT INTO shop_item (name, price, note, owner_id) SELECT 'tea', 3, 'green', id FROM people_person",
            "INSERT INTO shop_tag (label) VALUES ('hot')",
            "INSERT INTO shop_tag_items (tag_id, item_id) SELECT shop_tag.id, shop_item.id FROM shop_tag, shop_item",
        ],
    )
    person_type = content_type_id(trip, "people", "person")
    v2 = {
        "people.0002_full_name": migration(
            'migrations.RenameField("Person", "name", "full_name")',
            'migrations.AlterField("Person", "full_name", models.CharField(max_length=200, db_index=True))',
            after=["people.0001_initial"],
        ),
        "people.0003_contact": migration(
            'migrations.RenameModel("Person", "Contact")', after=["people.0002_full_name", "shop.0001_initial"]
        ),
        "shop.0002_schema": migration(
            add("Item", "code", 'models.CharField(max_length=240, default="")'),
            'migrations.AlterUniqueTogether("Item", {("name", "owner")})',
            'migrations.RemoveField("Item", "note")',
            'migrations.AlterField("Item", "price", models.DecimalField(max_digits=9, decimal_places=2, null=True))',
            'migrations.AddIndex("Item", models.Index(fields=["price", "name"], name="item_price"))',
            "migrations.AddConstraint("
            '"Item", models.CheckConstraint(name="price_positive", **{CONDITION: models.Q(price__gte=0)}))',
            after=["shop.0001_initial"],
        ),
        "shop.0003_tags": migration(
            create("Label", **NAMED),
            add("Item", "tags", 'models.ManyToManyField("shop.Tag", related_name="tagged")'),
            after=["shop.0002_schema"],
        ),
        "shop.0004_fill": migration(
            "migrations.RunPython(fill, forget)", after=["shop.0003_tags", "people.0003_contact"], code=FILL_CODES
        ),
        "shop.0005_view": migration(
            'migrations.RunSQL("CREATE VIEW shop_cheap AS SELECT name, code FROM shop_item WHERE price < 5", '
            '"DROP VIEW shop_cheap")',
            after=["shop.0004_fill"],
        ),
    }
    trip.deploy(
        "v2",
        v2,
        rows=[
            "INSERT INTO shop_tag (label) VALUES ('new')",
            "INSERT INTO shop_item (name, price, code, owner_id) SELECT 'pot', 2, 'x', id FROM people_contact",
            "INSERT INTO shop_item_tags (item_id, tag_id) SELECT shop_item.id, shop_tag.id FROM shop_item, shop_tag"
            " WHERE name = 'pot' AND label = 'new'",
        ],
    )
    assert trip.database.execute("SELECT code FROM shop_cheap WHERE name = 'tea'") == [("tea/ann",)]

    expected = oracle.rows(trip.database, ["shop_tag"])
    note_lost = [{"id": 1, "name": "tea", "note": "", "owner_id": 1, "price": 3}]
    steps = [
        "shop.0005_view",
        "shop.0004_fill",
        "shop.0003_tags",
        "shop.0002_schema",
        "people.0003_contact",
        "people.0002_full_name",
    ]
    trip.back("v1", steps, rows=expected | {"shop_item": note_lost})
    assert content_type_id(trip, "people", "person") == person_type
    assert ("people", "contact") not in oracle.content_types(trip.database)
    trip.up_again("v2")
    assert content_type_id(trip, "people", "contact") == person_type


def content_type_id(trip: Trip, app: str, model: str) -> int:
    """The id of a content type: a rename keeps it."""
    query = f"SELECT id FROM django_content_type WHERE app_label = '{app}' AND model = '{model}'"
    [(found,)] = trip.database.execute(query)
    return found


def test_a_renamed_model_that_another_app_refers_to(trip: Trip) -> None:
    """The state before a rename is rendered after the state behind it was made: neither may change the other."""
    refers = create("Cage", item='models.ForeignKey("shop.Item", models.CASCADE)')
    round_trip(
        trip,
        {"shop.0001_initial": ITEM, "zoo.0001_initial": migration(refers, after=["shop.0001_initial"])},
        {
            "shop.0002_thing": migration(
                'migrations.RenameModel("Item", "Thing")', after=["shop.0001_initial", "zoo.0001_initial"]
            )
        },
        ["shop.0002_thing"],
        rows=[*ONE_ITEM, "INSERT INTO zoo_cage (item_id) SELECT id FROM shop_item"],
    )


def test_a_renamed_field_that_a_foreign_key_refers_to(trip: Trip) -> None:
    """`to_field` follows the name there and back."""
    item = create("Item", name="models.CharField(max_length=20, unique=True)")
    refers = create("Cage", item='models.ForeignKey("shop.Item", models.CASCADE, to_field="name")')
    round_trip(
        trip,
        {"shop.0001_initial": migration(item), "zoo.0001_initial": migration(refers, after=["shop.0001_initial"])},
        {
            "shop.0002_title": migration(
                'migrations.RenameField("Item", "name", "title")', after=["shop.0001_initial", "zoo.0001_initial"]
            )
        },
        ["shop.0002_title"],
        rows=[*ONE_ITEM, "INSERT INTO zoo_cage (item_id) VALUES ('tea')"],
    )


CREATE_AND_DELETE = """
    def create(apps, schema_editor):
        apps.get_model("shop", "Item").objects.create(name="new")

    def delete(apps, schema_editor):
        apps.get_model("shop", "Item").objects.filter(name="new").delete()
"""


def test_a_reverse_deletes_rows_whose_referrers_went_before(trip: Trip) -> None:
    """A delete follows every relation: none may lead to a table that a step before has dropped."""
    round_trip(
        trip,
        {"shop.0001_initial": ITEM},
        {
            "shop.0002_data": migration(
                "migrations.RunPython(create, delete)", after=["shop.0001_initial"], code=CREATE_AND_DELETE
            ),
            "shop.0003_note": migration(
                create("Note", item='models.ForeignKey("shop.Item", models.CASCADE)'), after=["shop.0002_data"]
            ),
        },
        ["shop.0003_note", "shop.0002_data"],
        rows=ONE_ITEM,
    )


def test_a_renamed_field_and_a_foreign_key_that_came_to_refer_to_it(trip: Trip) -> None:
    """Both in one release: the state between them still has the old name, on both sides."""
    code = "models.CharField(max_length=9, unique=True)"
    refers = 'models.ForeignKey("shop.Item", models.CASCADE, null=True{})'
    by_code = refers.format(', to_field="code"')
    round_trip(
        trip,
        {
            "shop.0001_initial": migration(create("Item", **NAMED, code=code)),
            "zoo.0001_initial": migration(create("Cage", item=refers.format("")), after=["shop.0001_initial"]),
        },
        {
            "zoo.0002_by_code": migration(
                f'migrations.AlterField("Cage", "item", {by_code})', after=["zoo.0001_initial"]
            ),
            "shop.0002_slug": migration(
                'migrations.RenameField("Item", "code", "slug")', after=["shop.0001_initial", "zoo.0002_by_code"]
            ),
        },
        ["shop.0002_slug", "zoo.0002_by_code"],
        rows=["INSERT INTO shop_item (name, code) VALUES ('tea', 't')"],
    )


def test_an_irreversible_operation_is_found_before_anything_runs(trip: Trip) -> None:
    """The second of two apps cannot go back: nothing is touched, and every operation in the way is named at once."""
    irreversible = migration(
        add("Item", "a", NUMBER),
        'migrations.RunSQL("UPDATE shop_item SET a = 1")',
        "migrations.SeparateDatabaseAndState(database_operations=[migrations.RunPython(count)])",
        after=["shop.0001_initial"],
        code="def count(apps, schema_editor): pass",
    )
    trip.deploy("v1", {"shop.0001_initial": ITEM, "zoo.0001_initial": ITEM}, rows=ONE_ITEM)
    trip.deploy(
        "v2",
        {
            "shop.0002_a": irreversible,
            "zoo.0002_a": migration(add("Item", "a", NUMBER), after=["zoo.0001_initial", "shop.0002_a"]),
            "zoo.0003_b": migration('migrations.RunSQL("SELECT 1")', after=["zoo.0002_a"]),
        },
    )
    messages = trip.refused("v1", "irreversible", "irreversible", "irreversible")
    assert messages == [
        "zoo.0003_b cannot be undone: RunSQL (operation 1) is irreversible",
        "shop.0002_a cannot be undone: RunSQL (operation 2) is irreversible",
        "shop.0002_a cannot be undone: RunPython count (operation 3, database operation 1) is irreversible",
    ]
    assert [release["tags"] for release in trip.releases()] == [["v2"], ["v1"]]


ONLY_WITHOUT_BAD_ITEMS = """
    def check(apps, schema_editor):
        items = apps.get_model("shop", "Item").objects
        items.create(name="written")
        if items.filter(name="bad").exists():
            raise ValueError("there is a bad item")
        items.filter(name="written").delete()
"""
MAY_FAIL = migration(
    "migrations.RunPython(migrations.RunPython.noop, check)", after=["shop.0002_a"], code=ONLY_WITHOUT_BAD_ITEMS
)


def test_a_failure_on_the_way_takes_everything_back(trip: Trip) -> None:
    """The step in the middle fails: schema, rows, records and releases are as they were, and history says where."""
    v2 = {"shop.0002_a": A, "shop.0003_check": MAY_FAIL}
    v2["zoo.0001_initial"] = migration(create("Cage", **NAMED), after=["shop.0003_check"])
    steps = ["zoo.0001_initial", "shop.0003_check", "shop.0002_a"]
    trip.deploy("v1", {"shop.0001_initial": ITEM}, rows=ONE_ITEM)
    bad = "INSERT INTO shop_item (name, a) VALUES ('bad', 1)"
    trip.deploy("v2", v2, rows=[bad, "INSERT INTO zoo_cage (name) VALUES ('big')"])
    untouched = everything_in(trip.database)

    result = trip.project.manage("rollback_migrations", "-t", "v1", check=False)
    assert result.returncode == 1
    assert "shop.0003_check could not be undone, and everything is as it was before" in result.stderr
    assert "there is a bad item" in result.stderr
    now = everything_in(trip.database)
    operations = untouched.pop("django_rollback_operation"), now.pop("django_rollback_operation")
    same(now, untouched)
    assert len(operations[1]) == len(operations[0]) + 1
    last = trip.history()[0]
    found = (last["kind"], last["outcome"], last["failed_step"], last["steps"], last["steps_done"])
    assert found == ("rollback", "failed", "shop.0003_check", steps, 0)

    trip.execute("DELETE FROM shop_item WHERE name = 'bad'")
    trip.back("v1", steps)
    assert [operation["outcome"] for operation in trip.history()[:2]] == ["done", "failed"]
    trip.up_again("v2")


SLOWLY = """
    def slowly(apps, schema_editor):
        pass
"""


def not_atomic(after: str) -> str:
    """A migration that asks for no transaction, with code that may have a reason for that."""
    operations = "migrations.RunPython(migrations.RunPython.noop, slowly)", add("Item", "b", NUMBER)
    return migration(*operations, after=[after], atomic=False, code=SLOWLY)


def test_a_migration_outside_transactions(trip: Trip) -> None:
    """`atomic = False` works, with a warning that it is not all or nothing."""
    round_trip(
        trip,
        {"shop.0001_initial": ITEM},
        {
            "shop.0002_a": A,
            "shop.0003_slow": not_atomic("shop.0002_a"),
            "shop.0004_c": migration(add("Item", "c", NUMBER), after=["shop.0003_slow"]),
        },
        ["shop.0004_c", "shop.0003_slow", "shop.0002_a"],
        rows=ONE_ITEM,
        warnings=["not-atomic"],
    )


def test_a_failure_after_a_migration_outside_transactions(trip: Trip) -> None:
    """It stops at a recorded step with exit code 3, and the same command goes on from there."""
    v2 = {"shop.0002_a": A, "shop.0003_check": MAY_FAIL, "shop.0004_slow": not_atomic("shop.0003_check")}
    trip.deploy("v1", {"shop.0001_initial": ITEM}, rows=ONE_ITEM)
    trip.deploy("v2", v2, rows=["INSERT INTO shop_item (name, a, b) VALUES ('bad', 1, 2)"])

    result = trip.project.manage("rollback_migrations", "-t", "v1", check=False)
    assert result.returncode == 3, result.stderr
    assert "stopped after 1 of 3 steps: shop.0003_check could not be undone: " in result.stderr
    shop = {name for app, name in oracle.migrations(trip.database) if app == "shop"}
    assert shop == {"0001_initial", "0002_a", "0003_check"}
    assert oracle.rows(trip.database, ["shop_item"])["shop_item"] == [
        {"a": 0, "id": 1, "name": "tea"},
        {"a": 1, "id": 2, "name": "bad"},
    ]
    last = trip.history()[0]
    assert (last["outcome"], last["failed_step"], last["steps_done"]) == ("stopped", "shop.0003_check", 1)
    assert trip.releases()[0]["tags"] == ["v2"]

    trip.execute("DELETE FROM shop_item WHERE name = 'bad'")
    trip.back("v1", ["shop.0003_check", "shop.0002_a"])
    trip.up_again("v2")


def test_a_failure_before_a_migration_outside_transactions(trip: Trip) -> None:
    """Nothing was made permanent yet: that is an ordinary failure, with exit code 1, and not a stop part-way."""
    check = MAY_FAIL.replace("0002_a", "0003_slow")
    v2 = {"shop.0002_a": A, "shop.0003_slow": not_atomic("shop.0002_a"), "shop.0004_check": check}
    trip.deploy("v1", {"shop.0001_initial": ITEM}, rows=ONE_ITEM)
    trip.deploy("v2", v2, rows=["INSERT INTO shop_item (name, a, b) VALUES ('bad', 1, 2)"])
    before = oracle.schema(trip.database), oracle.migrations(trip.database)
    result = trip.project.manage("rollback_migrations", "-t", "v1", check=False)
    assert (result.returncode, "everything is as it was before" in result.stderr) == (1, True), result.stderr
    assert (oracle.schema(trip.database), oracle.migrations(trip.database)) == before
    assert trip.history()[0]["outcome"] == "failed"


def test_code_only_releases_and_the_list(trip: Trip) -> None:
    """Back to the middle of three releases, then to the first, by the default target; the list follows each time."""
    first = trip.deploy("v1", {"shop.0001_initial": ITEM}, rows=ONE_ITEM)
    middle = trip.deploy("v2", {"shop.0002_a": A})
    trip.deploy("v3", files={"shop/views.py": "# code only\n"})
    assert [release["tags"] for release in trip.releases()] == [["v3"], ["v2"], ["v1"]]

    trip.project.checkout("v2")
    untouched = everything_in(trip.database)
    nothing = trip.project.manage("rollback_migrations", "-t", "v3")
    assert "The database is already at" in nothing.stdout and "nothing to do" in nothing.stdout
    assert everything_in(trip.database) == untouched

    back = trip.project.manage("rollback_migrations")
    assert "no migration to undo" in back.stdout
    trip.assert_at("v2")
    again = json.loads(trip.project.manage("save_migrations_state", "--format", "json").stdout)
    assert (again["outcome"], again["release"]["commit"]) == ("unchanged", middle)

    trip.project.manage("rollback_migrations")
    trip.assert_at("v1")
    assert [release["commit"] for release in trip.releases()] == [first]
    alone = trip.project.manage("rollback_migrations", check=False)
    assert alone.returncode == 1 and "Traceback" not in alone.stderr
    trip.up_again("v2", "v3")
    call(trip.project, ("save_migrations_state", "-v", "0"))
    trip.back("v1", ["shop.0002_a"])


def test_straight_to_the_first_of_three_releases(trip: Trip) -> None:
    """The releases between are passed, and the code that runs it may be that of the target."""
    trip.deploy("v1", {"shop.0001_initial": ITEM}, rows=ONE_ITEM)
    trip.deploy("v2", {"shop.0002_a": A})
    trip.deploy("v3", {"shop.0003_b": B, "zoo.0001_initial": ITEM})
    trip.back("v1", ["zoo.0001_initial", "shop.0003_b", "shop.0002_a"])
    trip.up_again("v2", "v3")


ORDER_AND_LINE = migration(create("Order"), create("Line", order='models.ForeignKey("shop.Order", models.CASCADE)'))
RESTORED = {"shop_order": [{"id": 7}], "shop_line": [{"id": 1, "order_id": 7}]}
DATA_THEN_SCHEMA = """
    def restore(apps, schema_editor):
        Line, Order = apps.get_model("shop", "Line"), apps.get_model("shop", "Order")
        Line.objects.create(order_id=7)
        Order.objects.create(id=7)
"""


def test_data_then_schema_on_one_table(trip: Trip) -> None:
    """A reverse writes a child before its parent, and the same tables are altered in the same transaction."""
    trip.deploy("v1", {"shop.0001_initial": ORDER_AND_LINE})
    trip.deploy(
        "v2",
        {
            "shop.0002_size": migration(
                add("Order", "size", "models.IntegerField(null=True)"), after=["shop.0001_initial"]
            ),
            "shop.0003_restore": migration(
                add("Line", "size", "models.IntegerField(null=True)"),
                "migrations.RunPython(migrations.RunPython.noop, restore)",
                after=["shop.0002_size"],
                code=DATA_THEN_SCHEMA,
            ),
        },
    )
    trip.back("v1", ["shop.0003_restore", "shop.0002_size"], rows=RESTORED)
    trip.up_again("v2")


RAW_SCHEMA = """
    -- The reverse of what was added by hand.
    ALTER TABLE shop_line DROP COLUMN size
"""


def test_data_then_raw_schema_on_one_table(trip: Trip) -> None:
    """Each migration may begin on its own terms, as with Django: nothing of the one before is pending."""
    trip.deploy("v1", {"shop.0001_initial": ORDER_AND_LINE})
    trip.deploy(
        "v2",
        {
            "shop.0002_size": migration(
                f'migrations.RunSQL("ALTER TABLE shop_line ADD COLUMN size integer", """{RAW_SCHEMA}""")',
                after=["shop.0001_initial"],
            ),
            "shop.0003_restore": migration(
                "migrations.RunPython(migrations.RunPython.noop, restore)",
                after=["shop.0002_size"],
                code=DATA_THEN_SCHEMA,
            ),
        },
    )
    trip.back("v1", ["shop.0003_restore", "shop.0002_size"], rows=RESTORED, warnings=["may-lose"])
    trip.up_again("v2")


DANGLING = """
    def dangle(apps, schema_editor):
        apps.get_model("shop", "Line").objects.create(order_id=7)
"""


def test_a_reverse_that_breaks_a_foreign_key(trip: Trip) -> None:
    """A row that points nowhere is a failure like any other: everything is taken back."""
    dangle = migration(
        "migrations.RunPython(migrations.RunPython.noop, dangle)", after=["shop.0001_initial"], code=DANGLING
    )
    trip.deploy("v1", {"shop.0001_initial": ORDER_AND_LINE})
    trip.deploy("v2", {"shop.0002_dangle": dangle})
    untouched = everything_in(trip.database)
    result = trip.project.manage("rollback_migrations", "-t", "v1", check=False)
    assert result.returncode == 1, result.stdout
    assert "shop.0002_dangle could not be undone, and everything is as it was before: IntegrityError" in result.stderr
    last = trip.history()[0]
    assert (last["kind"], last["outcome"], last["failed_step"]) == ("rollback", "failed", "shop.0002_dangle")
    now = everything_in(trip.database)
    for table in ("django_rollback_operation", "sqlite_sequence"):
        untouched.pop(table, None)
        now.pop(table, None)
    same(now, untouched)


VIEW = 'migrations.RunSQL("CREATE VIEW shop_names AS SELECT id, name FROM shop_item", "DROP VIEW shop_names")'


def test_views_over_a_table_that_is_remade(trip: Trip) -> None:
    """Undoing a foreign key or an index remakes the table on SQLite: the view over it stays and still answers."""
    trip.deploy("v1", {"shop.0001_initial": migration(create("Item", **NAMED), VIEW)}, rows=ONE_ITEM)
    trip.deploy(
        "v2",
        {
            "shop.0002_refers": migration(
                create("Kind"),
                add("Item", "kind", 'models.ForeignKey("shop.Kind", models.CASCADE, null=True)'),
                add("Item", "size", "models.IntegerField(null=True, db_index=True)"),
                after=["shop.0001_initial"],
            )
        },
        rows=["INSERT INTO shop_kind DEFAULT VALUES", "UPDATE shop_item SET kind_id = 1, size = 2"],
    )
    trip.back("v1", ["shop.0002_refers"])
    assert trip.database.execute("SELECT id, name FROM shop_names") == [(1, "tea")]
    trip.up_again("v2")


ROUTERS = """
    DATABASE_ROUTERS = ["routers.ByApp"]
"""
ROUTER = """
    class ByApp:
        def allow_migrate(self, db, app_label, **hints):
            return {"shop": db == "default", "stats": db == "other"}.get(app_label)
"""


def test_each_database_carries_its_own_releases(trip: Trip, new_database: NewDatabase) -> None:
    """`--database` saves and goes back on one alias and touches no other; routers decide where there are tables."""
    project, other = trip.project, new_database()
    project.use(trip.database, other=other)
    add_a = {app: migration(add("Item", "a", NUMBER), after=[f"{app}.0001_initial"]) for app in ("shop", "stats")}
    trip.settings = ROUTERS
    on_other = ("--database", "other")
    up = [("migrate", "-v", "0", *on_other), ("save_migrations_state", "-v", "0", *on_other)]
    files = {"routers.py": ROUTER}
    trip.deploy("v1", {"shop.0001_initial": ITEM, "stats.0001_initial": ITEM}, files=files, commands=up)
    schemas = [oracle.schema(trip.database), oracle.schema(other)]
    assert "shop_item" not in schemas[1] and "stats_item" not in schemas[0]
    trip.deploy("v2", {"shop.0002_a": add_a["shop"], "stats.0002_a": add_a["stats"]}, commands=up)
    newer = oracle.schema(other)

    untouched = everything_in(trip.database)
    both = ["Unapplying stats.0002_a", "Unapplying shop.0002_a"]
    result = project.manage("rollback_migrations", "-t", "v1", *on_other)
    assert all(line in result.stdout for line in both)
    same(everything_in(trip.database), untouched)
    same(oracle.schema(other), schemas[1])
    assert {("shop", "0002_a"), ("stats", "0002_a")}.isdisjoint(oracle.migrations(other))
    listed = [
        json.loads(project.manage("rollback_migrations", "--list", "--format", "json", *arguments).stdout)
        for arguments in ([], on_other)
    ]
    assert [len(document["releases"]) for document in listed] == [2, 1]

    project.manage("rollback_migrations", "-t", "v1")
    same([oracle.schema(trip.database), oracle.schema(other)], schemas)
    call(project, ("migrate", "-v", "0", *on_other))
    same(oracle.schema(other), newer)


def test_our_own_migrations_are_never_undone(trip: Trip) -> None:
    """django-rollback itself was upgraded after the release was saved: its tables stay, and the rest goes back."""
    trip.deploy("v1", {"shop.0001_initial": ITEM}, rows=ONE_ITEM)
    as_it_was = [row for row in trip.database.execute("SELECT id, app, name FROM django_migrations ORDER BY id")]
    newest = {app: [number, app, name] for number, app, name in as_it_was}
    newest["django_rollback"] = next(list(row) for row in as_it_was if row[1:] == ("django_rollback", "0001_initial"))
    state = json.dumps([newest[app] for app in sorted(newest)])
    trip.execute(f"UPDATE django_rollback_appsstate SET applied_set = NULL, tags = NULL, migrations = '{state}'")
    trip.deploy("v2", {"shop.0002_a": A})
    trip.back("v1", ["shop.0002_a"])
    trip.up_again("v2")


def test_rows_applied_after_the_last_save_are_said(trip: Trip) -> None:
    """The plan comes from what is applied, not from what was saved; the difference is a warning."""
    trip.deploy("v1", {"shop.0001_initial": ITEM}, rows=ONE_ITEM)
    trip.write({"shop.0002_a": A})
    trip.project.manage("migrate", "-v", "0")
    plan = trip.plan("v1")
    same((steps_of(plan), kinds(plan["warnings"])), (["shop.0002_a"], ["not-saved"]))
    trip.back("v1", ["shop.0002_a"], warnings=["not-saved"])


def test_django_s_own_apps_in_the_range(project: Project, new_database: NewDatabase) -> None:
    """Content types, permissions and sites go like any other app, although signals write into their tables."""
    trip = Trip(project, new_database, ["django_rollback"])
    trip.deploy("v1", {"shop.0001_initial": ITEM}, rows=ONE_ITEM)
    trip.base += [f"django.contrib.{name}" for name in ("contenttypes", "auth", "sites", "sessions")]
    trip.deploy(
        "v2", {"shop.0002_rename": migration('migrations.RenameModel("Item", "Thing")', after=["shop.0001_initial"])}
    )
    plan = trip.plan("v1")
    trip.back("v1", steps_of(plan))
    assert {step["app"] for step in plan["steps"]} == {"shop", "contenttypes", "auth", "sites", "sessions"}
    trip.up_again("v2")


def test_files_that_are_not_applied_yet(trip: Trip) -> None:
    """The code may be ahead of the database, with a conflict even: only what is applied counts."""
    trip.deploy("v1", {"shop.0001_initial": ITEM}, rows=ONE_ITEM)
    trip.deploy("v2", {"shop.0002_a": A})
    trip.write({"shop.0003_b": B, "shop.0003_other": B, "zoo.0001_initial": ITEM})
    trip.back("v1", ["shop.0002_a"])


RECEIVER = """
    from django.db.models.signals import post_migrate

    def fail(**kwargs):
        raise ValueError("no such table, says the receiver")

    def listen():
        post_migrate.connect(fail)
"""
LISTENING = """
    import os
    from django.apps import AppConfig

    class Config(AppConfig):
        name = "zoo"

        def ready(self):
            from zoo.receiver import listen
            if "LISTEN" in os.environ:
                listen()
"""


def test_a_failing_receiver_of_post_migrate(trip: Trip) -> None:
    """The migrations are undone, which counts; what the receiver could not do is said."""
    trip.deploy("v1", {"shop.0001_initial": ITEM}, rows=ONE_ITEM)
    files = {"zoo/receiver.py": RECEIVER, "zoo/apps.py": LISTENING}
    trip.deploy("v2", {"shop.0002_a": A, "zoo.0001_initial": ITEM}, files=files)
    result = trip.project.manage("rollback_migrations", "-t", "v1", env={"LISTEN": "1"})
    assert "a receiver of post_migrate failed (ValueError)" in result.stdout + result.stderr
    trip.assert_at("v1")
