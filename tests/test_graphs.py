"""Rollbacks over every shape that a graph of migrations takes: merges, squashes, apps that come and go, odd edges."""

from __future__ import annotations

import pytest

from conftest import NewDatabase
from harness import oracle
from harness.project import CONTRIB_APPS, Project
from scenarios import BASE_APPS, NAMED, NUMBER, Trip, add, create, kinds, migration, round_trip, steps_of

ITEM = migration(create("Item", **NAMED))
ONE_ITEM = ["INSERT INTO shop_item (name) VALUES ('tea')"]
SOME_ITEMS = ["INSERT INTO shop_item (name, a) VALUES ('tea', 1)", "INSERT INTO shop_item (name, a) VALUES ('pot', 2)"]


def field(name: str, *after: str) -> str:
    """A migration that adds one number to the item of the shop."""
    return migration(add("Item", name, NUMBER), after=[f"shop.{parent}" for parent in after])


@pytest.fixture
def trip(project: Project, new_database: NewDatabase) -> Trip:
    """A trip that has not begun."""
    return Trip(project, new_database)


def test_a_merge_goes_with_the_branch_that_came_with_it(trip: Trip) -> None:
    """The older of two parallel branches stays, whatever their names."""
    round_trip(
        trip,
        {"shop.0001_initial": ITEM, "shop.0002_a": field("a", "0001_initial")},
        {"shop.0002_b": field("b", "0001_initial"), "shop.0003_merge": migration(after=["shop.0002_a", "shop.0002_b"])},
        ["shop.0003_merge", "shop.0002_b"],
        rows=SOME_ITEMS,
    )


def test_a_merge_of_a_branch_with_a_lower_name(trip: Trip) -> None:
    """The branch that stays may be the one with the higher name."""
    round_trip(
        trip,
        {"shop.0001_initial": ITEM, "shop.0002_b": field("a", "0001_initial")},
        {
            "shop.0002_a": field("b", "0001_initial"),
            "shop.0003_c": field("c", "0002_a"),
            "shop.0004_merge": migration(after=["shop.0002_b", "shop.0003_c"]),
            "shop.0005_last": field("d", "0004_merge"),
        },
        ["shop.0005_last", "shop.0004_merge", "shop.0003_c", "shop.0002_a"],
        rows=SOME_ITEMS,
    )


def test_a_lower_number_that_was_applied_after_a_higher_one(trip: Trip) -> None:
    """Numbers in names mean nothing, nor need there be any."""
    round_trip(
        trip,
        {"shop.0001_initial": ITEM, "shop.0003_a": field("a", "0001_initial")},
        {"shop.0002_b": field("b", "0003_a"), "shop.0000c_auto": field("c", "0002_b"), "shop.z": field("d", "0002_b")}
        | {"shop.merge": migration(after=["shop.0000c_auto", "shop.z"])},
        ["shop.merge", "shop.0000c_auto", "shop.z", "shop.0002_b"],
        rows=SOME_ITEMS,
    )


def test_an_app_that_is_new(trip: Trip) -> None:
    """All tables of an app that the release did not have go, in the order that its foreign keys ask for."""
    line = create("Line", item='models.ForeignKey("shop.Item", models.CASCADE)')
    round_trip(
        trip,
        {"shop.0001_initial": ITEM},
        {
            "orders.0001_initial": migration(line, after=["shop.0001_initial"]),
            "shop.0002_best": migration(
                add("Item", "best_order", 'models.ForeignKey("orders.Line", models.SET_NULL, null=True)'),
                after=["shop.0001_initial", "orders.0001_initial"],
            ),
        },
        ["shop.0002_best", "orders.0001_initial"],
        rows=ONE_ITEM,
        new_rows=["INSERT INTO orders_line (item_id) SELECT id FROM shop_item"],
    )


def test_an_app_that_was_removed_with_its_files(trip: Trip) -> None:
    """What has to be undone and has no file is found before anything runs; its own release still has the way back."""
    trip.deploy("v1", {"shop.0001_initial": ITEM, "old.0001_initial": ITEM}, rows=ONE_ITEM)
    trip.deploy("v2", {"old.0002_b": migration(add("Item", "b", NUMBER), after=["old.0001_initial"])})
    trip.deploy("v3", {"old": None, "shop.0002_a": field("a", "0001_initial")})

    [message] = trip.refused("v1", "missing-file")
    assert message == "old.0002_b must be undone, but its file is missing"
    trip.back("v2", ["shop.0002_a"])
    trip.project.checkout("v2")
    trip.back("v1", ["old.0002_b"])
    trip.up_again("v2", "v3")


def test_an_app_that_was_undone_by_hand_and_then_removed(trip: Trip) -> None:
    """The release had it and the database has not: said as a warning; `migrate` of the release brings it back."""
    trip.deploy("v1", {"shop.0001_initial": ITEM, "old.0001_initial": ITEM}, rows=ONE_ITEM)
    fresh = oracle.schema(trip.database)
    trip.project.manage("migrate", "old", "zero", "-v", "0")
    trip.deploy("v2", {"old": None, "shop.0002_a": field("a", "0001_initial")})

    plan = trip.plan("v1")
    assert (steps_of(plan), kinds(plan["warnings"])) == (["shop.0002_a"], ["not-applied"])
    assert "old.0001_initial" in plan["warnings"][0]["message"]
    result = trip.project.manage("rollback_migrations", "-t", "v1")
    assert "old.0001_initial" in result.stdout + result.stderr
    trip.project.checkout("v1")
    trip.project.manage("migrate", "-v", "0")
    assert oracle.schema(trip.database) == fresh


def test_an_app_that_was_renamed(trip: Trip) -> None:
    """The table that changed hands gets its old name back and keeps its rows."""
    taken_over = create("Item", **NAMED).replace("])", '], options={"db_table": "shop_item"})')
    trip.deploy("v1", {"shop.0001_initial": ITEM}, rows=ONE_ITEM)
    trip.deploy(
        "v2",
        {
            "shop": None,
            "market.0001_initial": migration(
                f"migrations.SeparateDatabaseAndState(state_operations=[{taken_over}])",
            ),
            "market.0002_table": migration(
                'migrations.AlterModelTable("Item", "market_item")', after=["market.0001_initial"]
            ),
        },
        rows=["INSERT INTO market_item (name) VALUES ('pot')"],
    )
    both = [{"id": 1, "name": "tea"}, {"id": 2, "name": "pot"}]
    trip.back("v1", ["market.0002_table", "market.0001_initial"], rows={"shop_item": both})
    trip.up_again("v2")


THREE = {"shop.0001_initial": ITEM, "shop.0002_a": field("a", "0001_initial"), "shop.0003_b": field("b", "0002_a")}
SQUASH = migration(
    create("Item", **NAMED, a=NUMBER, b=NUMBER), replaces=["shop.0001_initial", "shop.0002_a", "shop.0003_b"]
)
PLAIN = migration(create("Item", **NAMED, a=NUMBER, b=NUMBER))
WITHOUT_THE_OLD = dict.fromkeys(THREE)
FOURTH = field("c", "0001_squashed")
ITEM_OF_THREE = ["INSERT INTO shop_item (name, a, b) VALUES ('tea', 1, 2)"]


@pytest.mark.parametrize("old_files", ["kept", "deleted"])
def test_back_to_before_a_squash(trip: Trip, old_files: str) -> None:
    """What stands on a squash is undone; the squash is the state that the release had, under another name."""
    deleted = WITHOUT_THE_OLD if old_files == "deleted" else {}
    round_trip(
        trip,
        THREE,
        {"shop.0001_squashed": SQUASH, "shop.0004_c": FOURTH, **deleted},
        ["shop.0004_c", "unrecord shop.0001_squashed"],
        rows=ITEM_OF_THREE,
        new_rows=["UPDATE shop_item SET c = 3"],
    )


@pytest.mark.parametrize("old_files", ["kept", "deleted"])
def test_back_to_a_squash_with_more_on_top_of_it(trip: Trip, old_files: str) -> None:
    """What came in the same release as the squash stays, and its data with it."""
    deleted = WITHOUT_THE_OLD if old_files == "deleted" else {}
    trip.deploy("v0", THREE, rows=ITEM_OF_THREE)
    v1 = {"shop.0001_squashed": SQUASH, "shop.0004_c": FOURTH, **deleted}
    trip.deploy("v1", v1, rows=["UPDATE shop_item SET c = 3"])
    trip.deploy("v2", {"shop.0005_d": field("d", "0004_c")})
    trip.back("v1", ["shop.0005_d"])
    trip.up_again("v2")


def test_back_to_before_a_squash_that_is_a_plain_migration_now(trip: Trip) -> None:
    """When `replaces` is gone and the old rows are pruned, the rows of the release come back with its state."""
    trip.deploy("v1", THREE, rows=ITEM_OF_THREE)
    trip.deploy("v2", {"shop.0001_squashed": SQUASH, **WITHOUT_THE_OLD})
    v3 = {"shop.0001_squashed": PLAIN, "shop.0004_c": FOURTH}
    trip.deploy("v3", v3, commands=[("migrate", "shop", "--prune", "-v", "0")])
    assert ("shop", "0002_a") not in oracle.migrations(trip.database)

    old_rows = [f"record {name}" for name in THREE]
    trip.back("v1", ["shop.0004_c", "unrecord shop.0001_squashed", *old_rows])
    trip.up_again("v2", "v3")


def test_back_to_a_squash_that_is_a_plain_migration_now(trip: Trip) -> None:
    """The release had the old rows and the squash; only the old rows are missing now."""
    trip.deploy("v0", THREE, rows=ITEM_OF_THREE)
    trip.deploy("v1", {"shop.0001_squashed": SQUASH, **WITHOUT_THE_OLD})
    trip.deploy(
        "v2",
        {"shop.0001_squashed": PLAIN, "shop.0004_c": FOURTH},
        commands=[("migrate", "shop", "--prune", "-v", "0")],
    )
    trip.back("v1", ["shop.0004_c", *(f"record {name}" for name in THREE)])
    trip.up_again("v2")


def test_a_part_of_a_squash_goes_by_its_own_file(trip: Trip) -> None:
    """The release ends in the middle of what is squashed now: the old files say how to undo the rest."""
    first, second = list(THREE)[:2]
    round_trip(
        trip,
        {first: THREE[first], second: THREE[second]},
        {"shop.0003_b": THREE["shop.0003_b"], "shop.0001_squashed": SQUASH, "shop.0004_c": FOURTH},
        ["shop.0004_c", "shop.0003_b", "unrecord shop.0001_squashed"],
        rows=["INSERT INTO shop_item (name, a) VALUES ('tea', 1)"],
        new_rows=["UPDATE shop_item SET b = 2, c = 3"],
    )


def test_a_part_of_a_squash_without_a_file_of_its_own(trip: Trip) -> None:
    """Nothing can undo a part of a squash when only the squash has a file: refused, and the squash itself can go."""
    first, second = list(THREE)[:2]
    trip.deploy("v1", {first: THREE[first], second: THREE[second]}, rows=SOME_ITEMS)
    trip.deploy("v2", {"shop.0003_b": THREE["shop.0003_b"]}, rows=["UPDATE shop_item SET b = 2"])
    trip.deploy("v3", {"shop.0001_squashed": SQUASH, **WITHOUT_THE_OLD})

    [message] = trip.refused("v1", "cannot-split")
    assert "shop.0003_b" in message and "shop.0001_squashed" in message
    trip.back("v2", ["unrecord shop.0001_squashed"])
    trip.project.checkout("v2")
    trip.back("v1", ["shop.0003_b"])
    trip.up_again("v2", "v3")


def test_a_squash_that_is_new_goes_as_one(trip: Trip) -> None:
    """An app that came as a squash, its old files beside it, is undone by the squash: once."""
    round_trip(
        trip,
        {"other.0001_initial": ITEM},
        {**THREE, "shop.0001_squashed": SQUASH, "shop.0004_c": FOURTH},
        ["shop.0004_c", "shop.0001_squashed"],
        rows=["INSERT INTO other_item (name) VALUES ('tea')"],
        new_rows=ITEM_OF_THREE[:0],
    )


def test_a_migration_that_runs_before_one_of_another_app(trip: Trip) -> None:
    """`run_before` is an edge like any other: the one that ran later goes first."""
    plugin = migration(
        create("Plugin"), add("Plugin", "size", NUMBER), after=["shop.0001_initial"], before=["shop.0002_a"]
    )
    round_trip(
        trip,
        {"shop.0001_initial": ITEM},
        {"shop.0002_a": field("a", "0001_initial"), "zz.0001_initial": plugin},
        ["shop.0002_a", "zz.0001_initial"],
        rows=ONE_ITEM,
    )


def test_first_and_latest_of_another_app(trip: Trip) -> None:
    """`__first__` and `__latest__` stand for what they stood for when Django applied them."""
    refers = create("Line", item='models.ForeignKey("shop.Item", models.CASCADE)')
    round_trip(
        trip,
        {"base.0001_initial": migration(create("Thing"))},
        {
            "aa.0001_initial": migration(refers, after=["shop.__first__"]),
            "ab.0001_initial": migration(refers, after=["shop.__latest__", "base.__first__"]),
            "shop.0001_initial": ITEM,
            "shop.0002_a": field("a", "0001_initial"),
        },
        ["ab.0001_initial", "shop.0002_a", "aa.0001_initial", "shop.0001_initial"],
        rows=["INSERT INTO base_thing DEFAULT VALUES"],
    )


USER_MODEL = """
    from django.contrib.auth.models import AbstractBaseUser
    from django.db import models

    class User(AbstractBaseUser):
        name = models.CharField(max_length=20, unique=True)
        USERNAME_FIELD = "name"
"""


def test_a_swappable_user_model(project: Project, new_database: NewDatabase) -> None:
    """A dependency on the user model is one on the app that the settings name."""
    trip = Trip(project, new_database, [*CONTRIB_APPS, *BASE_APPS[1:]], 'AUTH_USER_MODEL = "people.User"\n')
    user = create(
        "User",
        password="models.CharField(max_length=128)",
        last_login="models.DateTimeField(null=True)",
        name="models.CharField(max_length=20, unique=True)",
    )
    post = create("Post", author="models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)")
    favourite = add("User", "favourite", 'models.ForeignKey("blog.Post", models.SET_NULL, null=True)')
    model = {"people/models.py": USER_MODEL}
    trip.deploy(
        "v1",
        {"people.0001_initial": migration(user)},
        rows=["INSERT INTO people_user (password, name) VALUES ('!', 'ann')"],
        files=model,
    )
    trip.deploy(
        "v2",
        {
            "blog.0001_initial": migration(post, after=["[migrations.swappable_dependency(settings.AUTH_USER_MODEL)]"]),
            "people.0002_favourite": migration(favourite, after=["people.0001_initial", "blog.0001_initial"]),
        },
        rows=["INSERT INTO blog_post (author_id) SELECT id FROM people_user"],
    )
    trip.back("v1", ["people.0002_favourite", "blog.0001_initial"])
    trip.up_again("v2")


def test_a_dependency_that_was_added_to_an_applied_migration(trip: Trip) -> None:
    """Something that stays would lose what it depends on: refused with both names, and nothing is touched."""
    trip.deploy("v1", {"shop.0001_initial": ITEM, "blog.0001_initial": migration(create("Post"))}, rows=ONE_ITEM)
    trip.deploy("v2", {"shop.0002_a": field("a", "0001_initial")})
    trip.write({"blog.0001_initial": migration(create("Post"), after=["shop.0002_a"])})

    [message] = trip.refused("v1", "inconsistent")
    assert message == "shop.0002_a must be undone, but blog.0001_initial stays and depends on it"
    trip.project.git("checkout", "--force", "v2")
    trip.back("v1", ["shop.0002_a"])


def test_rows_of_django_migrations_in_another_order_than_the_graph(trip: Trip) -> None:
    """A restored or copied table: the ids of its rows mean nothing."""
    trip.deploy("v1", THREE, rows=ITEM_OF_THREE)
    trip.deploy("v2", {"shop.0004_c": field("c", "0003_b"), "blog.0001_initial": migration(create("Post"))})
    reverse = [row[1:] for row in sorted(trip.database.execute("SELECT * FROM django_migrations"), reverse=True)]
    trip.execute("DELETE FROM django_migrations")
    trip.execute(
        *(
            f"INSERT INTO django_migrations (app, name, applied) VALUES ('{app}', '{name}', '{applied}')"
            for app, name, applied in reverse
        )
    )
    trip.back("v1", ["shop.0004_c", "blog.0001_initial"])
    trip.up_again("v2")
