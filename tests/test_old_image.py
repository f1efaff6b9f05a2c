"""Going back with the code of the older release, which lacks the files of the newer one.

Each story is an app of its own. The default way takes recorded SQL and, where code has to run, the archived source.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import CopyDatabase
from harness import oracle
from scenarios import NAMED, NUMBER, Trip, add, create, migration, same
from test_ways import KEY, Site, back, events, image_of
from two_releases import everything_in, run

NOTHING = "migrations.RunPython.noop"
ITEM = migration(create("Item", **NAMED))
TEXT = "models.TextField(default='')"
A_TAG = [create("Tag"), add("Item", "tag", 'models.ForeignKey("APP.Tag", models.CASCADE, null=True)')]


# The data of the newer column comes back into the older one, by code between two changes of the schema.
MOVE = """
    def forwards(apps, editor):
        for item in apps.get_model("data", "Item").objects.all():
            item.title = item.name.upper()
            item.save()

    def backwards(apps, editor):
        Item, Owner = apps.get_model("data", "Item"), apps.get_model("people", "Person")
        for item in Item.objects.select_related("owner"):
            item.name = f"{item.title} of {item.owner.name}"
            item.save()
        Owner.objects.filter(name="new").delete()
"""
LOOK = """
    def look(apps, editor):
        assert apps.get_model("newcomer", "Cage").objects.select_related("item").get().item.name == "tea"
"""
# What each app has in v1 and gets in v2; None deletes a file.
STORIES: dict[str, tuple[dict[str, str], dict[str, str | None]]] = {
    "schema": (
        {"schema.0001": ITEM},
        {"schema.0002": migration(*(each.replace("APP", "schema") for each in A_TAG), after=["schema.0001"])},
    ),
    "people": ({"people.0001": migration(create("Person", **NAMED))}, {}),
    "data": (
        {
            "data.0001": migration(
                create("Item", name=TEXT, owner='models.ForeignKey("people.Person", models.CASCADE)'),
                after=["people.0001"],
            )
        },
        {
            "data.0002": migration(add("Item", "title", TEXT), after=["data.0001"]),
            "data.0003": migration("migrations.RunPython(forwards, backwards)", after=["data.0002"], code=MOVE),
            "data.0004": migration('migrations.RemoveField("Item", "name")', after=["data.0003"]),
        },
    ),
    "newcomer": (
        {},
        {
            "newcomer.0001": migration(
                create("Cage", item='models.ForeignKey("schema.Item", models.CASCADE)'), after=["schema.0002"]
            ),
            "newcomer.0002": migration(
                f"migrations.RunPython({NOTHING}, look)",
                after=["newcomer.0001"],
                code=LOOK,
            ),
        },
    ),
    "merged": (
        {"merged.0001": ITEM},
        {
            "merged.0002_a": migration(add("Item", "a", NUMBER), after=["merged.0001"]),
            "merged.0002_b": migration(add("Item", "b", NUMBER), after=["merged.0001"]),
            "merged.0003": migration(after=["merged.0002_a", "merged.0002_b"]),
            "merged.0004": migration('migrations.RenameModel("Item", "Thing")', after=["merged.0003"]),
        },
    ),
    # The newer release has the squash alone, and one migration on top.
    "squashed": (
        {"squashed.0001": ITEM, "squashed.0002": migration(add("Item", "a", NUMBER), after=["squashed.0001"])},
        {
            "squashed.0001_squashed_0002": migration(
                create("Item", **NAMED, a=NUMBER), replaces=["squashed.0001", "squashed.0002"]
            ),
            "squashed.0003": migration(add("Item", "b", NUMBER), after=["squashed.0001_squashed_0002"]),
        },
    ),
    # It has the squash beside what it replaces, all of it new.
    "fresh": (
        {"fresh.0001": ITEM},
        {
            "fresh.0002": migration(add("Item", "a", NUMBER), after=["fresh.0001"]),
            "fresh.0003": migration(add("Item", "b", NUMBER), after=["fresh.0002"]),
            "fresh.0002_squashed_0003": migration(
                add("Item", "a", NUMBER),
                add("Item", "b", NUMBER),
                after=["fresh.0001"],
                replaces=["fresh.0002", "fresh.0003"],
            ),
        },
    ),
}
# Those that are code, or were applied as one squash and go as what it replaces, which the older code knows nothing of.
BY_SOURCE = {"data.0003", "newcomer.0002", "fresh.0002", "fresh.0003"}
BY_SQL = {
    *("schema.0002", "data.0002", "data.0004", "newcomer.0001", "squashed.0003"),
    *("merged.0002_a", "merged.0002_b", "merged.0003", "merged.0004"),
}
ONLY_RECORDS = {"squashed.0001_squashed_0002", "fresh.0002_squashed_0003"}
ROWS = [
    "INSERT INTO schema_item (name) VALUES ('tea')",
    "INSERT INTO people_person (id, name) VALUES (100, 'ann')",
    "INSERT INTO data_item (id, name, owner_id) VALUES (100, 'tea', 100)",
    "INSERT INTO merged_item (name) VALUES ('tea')",
]
NEW_ROWS = [
    "INSERT INTO newcomer_cage (item_id) SELECT id FROM schema_item",
    "INSERT INTO people_person (id, name) VALUES (101, 'new')",
]
# What code makes of the rows on its way back.
RETURNED = {"data_item": [{"id": 100, "name": "TEA of ann", "owner_id": 100}]}

MONEY = """
    from django.db import models

    class MoneyField(models.DecimalField):
        def __init__(self, **words):
            super().__init__(**{**words, "max_digits": 9, "decimal_places": 2})
"""
RATES = """
    def convert(item):
        return item.name
"""
V3 = migration(
    add("Item", "price", "MoneyField(null=True)"), after=["schema.0002"], code="from schema.fields import MoneyField\n"
)
V4 = migration(
    f"migrations.RunPython({NOTHING}, lambda apps, editor: convert(apps.get_model('schema', 'Item').objects.get()))",
    after=["schema.0003"],
    code="from schema.rates import convert\n",
)
# A squash of what never was a file of its own here, as in a package that was upgraded over some releases.
V5 = migration(add("Item", "size", NUMBER), after=["schema.0004"], replaces=["schema.0005", "schema.0006"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, copy_database: CopyDatabase) -> Site:
    """v2 has all stories, v3 a field of its own class, v4 code that needs a module of its own, v5 a squash."""
    site = Site(tmp_path_factory.mktemp("image"), copy_database)
    v1 = {name: source for older, _ in STORIES.values() for name, source in older.items()}
    v2 = {name: source for _, newer in STORIES.values() for name, source in newer.items()}
    site.deploy("v1", v1, ROWS)
    site.deploy("v2", v2, NEW_ROWS)
    site.deploy("v3", {"schema.0003": V3}, files={"schema/fields.py": MONEY})
    site.deploy("v4", {"schema.0004": V4}, files={"schema/rates.py": RATES})
    site.deploy("v5", {"schema.0005_squashed_0006": V5})
    return site


def assert_back(site: Site, trip: Trip) -> None:
    """The database is v1's, but for the rows that code has made on its way back."""
    site.assert_back(trip, with_rows=False)
    same(oracle.rows(trip.database), {**oracle.rows(site.at["v1"]), **RETURNED})


def steps_of(plan: dict[str, Any]) -> dict[str, str]:
    return {f"{step['app']}.{step['migration']}": step["way"] for step in plan["steps"]}


@pytest.mark.parametrize("way", ["", "capsule"])
def test_from_the_old_image(site: Site, way: str) -> None:
    """Schema and data, an app of the newer release alone, a merge and squashes go back; then up again with new code."""
    trip = site.anew("v2", code="v1")
    plan, *_, end = events(back(trip, way, "--format", "json"))
    usual = dict.fromkeys(BY_SOURCE, "capsule") | dict.fromkeys(BY_SQL, way or "sql")
    same(steps_of(plan), usual | dict.fromkeys(ONLY_RECORDS, "unrecord"))
    same((plan["warnings"], end["outcome"], end["verified"], end["notes"]), ([], "done", "same", []))
    assert_back(site, trip)
    if not way:
        trip.up_again("v2")


@pytest.mark.parametrize(("door", "words"), [("manage", []), ("native", []), ("native", ["--way", "capsule"])])
def test_without_git(site: Site, tmp_path: Path, door: str, words: list[str]) -> None:
    """An image has neither a repository nor a git program; the binary lets the image's `manage.py` do it."""
    trip = site.anew("v2", code="v1")
    image = image_of(trip.project, tmp_path / "image")
    variables = {**KEY, "PATH": "/nonexistent", "DJANGO_ROLLBACK_PYTHON": image.python}
    result = run(image, door, "rollback", "-t", "v1", "--accept-data-loss", *words, env=variables)
    assert result.returncode == 0, result.stderr
    assert_back(site, trip)
    assert sorted(file.name for file in image.root.rglob("0003*")) == [], "nothing is written into the image"


def test_a_field_of_a_class_that_is_not_here(site: Site) -> None:
    """Recorded SQL needs no class."""
    trip = site.anew("v3", code="v2")
    plan, *_, end = events(back(trip, "", "--format", "json", tag="v2"))
    same((steps_of(plan), end["outcome"], end["verified"]), ({"schema.0003": "sql"}, "done", "same"))
    site.assert_back(trip, "v2")


# Which release is current, whose code is here, the way, and the blocker: its kind, what it says and its hint.
REFUSED = {
    "a field by its source": (
        "v3",
        "capsule",
        ("not-that-way", "schema.0003 cannot be undone with `--way capsule`: it needs schema.fields", "{v3}"),
    ),
    "code that needs a module": (
        "v4",
        "",
        (
            "missing-file",
            "schema.0004 must be undone, but its file is missing and its archived source cannot be used: "
            "it needs schema.rates",
            "{v4}",
        ),
    ),
    "only files": ("v3", "disk", ("missing-file", "schema.0003 must be undone, but its file is missing", "{v3}")),
}


@pytest.mark.parametrize("story", REFUSED)
def test_what_is_not_here(site: Site, story: str) -> None:
    """The blocker names the module and the release that has it; nothing is touched, and that image does it."""
    tag, way, (kind, message, place) = REFUSED[story]
    trip = site.anew(tag, code="v2")
    before = everything_in(trip.database)
    result = back(trip, way, "--format", "json", tag="v2")
    blockers = json.loads(result.stdout)["blockers"]
    found = [
        (each["kind"], each["message"]) for each in blockers if "schema.0003" not in each["message"] or tag == "v3"
    ]
    same((result.returncode, found), (1, [(kind, message)]))
    hint = next(each["hint"] for each in blockers if each["message"] == message)
    named = place.format(**{each: site.label(each) for each in site.commits})
    assert hint.endswith(f"run the command from the image or checkout of {named}"), hint
    same(everything_in(trip.database), before)
    trip.project.checkout(tag)
    assert back(trip, way, tag="v2").returncode == 0
    site.assert_back(trip, "v2")


def test_a_squash_of_what_was_never_here(site: Site) -> None:
    """The older code knows neither the squash nor its parts; what is kept of the squash takes it back."""
    trip = site.anew("v5", code="v4")
    plan, *_, end = events(back(trip, "", "--format", "json", tag="v4"))
    same((steps_of(plan), end["outcome"]), ({"schema.0005_squashed_0006": "sql"}, "done"))
    site.assert_back(trip, "v4")


@pytest.mark.parametrize("way", ["", "capsule"])
def test_a_file_that_was_edited(site: Site, way: str) -> None:
    """Where recorded SQL or the archived source takes it back, it does not matter what the file says by now."""
    trip = site.anew("v3")
    irreversible = V3.replace("    operations = [\n", '    operations = [\n        migrations.RunSQL("SELECT 1"),\n')
    trip.write({"schema.0003": irreversible})
    result = back(trip, way, tag="v2")
    assert result.returncode == 0, result.stdout
    site.assert_back(trip, "v2")
