"""At the end of a rollback the schema is held against the one that the target had: before the commit.

Who changed something by hand is told so, and keeps it; a migration that does not go back exactly is found out.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

import pytest

from conftest import CopyDatabase, NewDatabase
from harness import oracle
from harness.project import Project
from scenarios import NAMED, NUMBER, Result, Trip, add, create, migration, same
from under_way import Shop, untouched

BY_NAME = 'migrations.AddIndex("Tag", models.Index(fields=["name"], name="by_name"))'
V1 = {"shop.0001_initial": migration(create("Item", **NAMED, size=NUMBER), create("Tag", **NAMED), BY_NAME)}
V2 = {"shop.0002_a": migration(add("Item", "a", NUMBER), after=["shop.0001_initial"])}
ROWS = {"v1": ["INSERT INTO shop_item (name, size) VALUES ('tea', 1)"]}
BACK = ("rollback_migrations", "-t", "v1")
WRONG_HINT = (
    "  hint: a migration does not go back exactly: fix its reverse, deploy that file and run this again; "
    "`--no-verify` accepts the result as it is\n"
)
DOORS = pytest.mark.parametrize("door", ["manage", "native"])


@pytest.fixture(scope="module")
def shop(copy_database: CopyDatabase, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Two releases whose migrations go back exactly, built once on each database."""
    return Shop(tmp_path_factory.mktemp("proof"), copy_database, {"v1": V1, "v2": V2}, rows=ROWS)


@pytest.fixture
def trip(shop: Shop) -> Trip:
    """A copy of the database at v2."""
    return shop.anew()


@pytest.fixture
def new_trip(project: Project, new_database: NewDatabase) -> Trip:
    """A trip that has not begun."""
    return Trip(project, new_database)


def back(trip: Trip, door: str = "manage", *words: str) -> Result:
    """Go back to v1 through a door, whatever comes of it."""
    if door == "manage":
        return trip.project.manage(*BACK, *words, check=False)
    python = {"DJANGO_ROLLBACK_PYTHON": trip.project.front}
    return trip.project.native("rollback", "-t", "v1", "--accept-data-loss", *words, check=False, env=python)


def last_verified(trip: Trip) -> str | None:
    """What history says of the comparison."""
    last = trip.history()[0]
    same((last["kind"], last["outcome"]), ("rollback", "done"))
    return last.get("verified")


def warnings_of(trip: Trip) -> dict[str, str]:
    """The warnings of the plan, by their kind."""
    return {warning["kind"]: warning["message"] for warning in trip.plan("v1")["warnings"]}


# A migration that does not go back exactly


class Inexact(NamedTuple):
    """A migration whose reverse leaves, or takes, what it should not, and how the message tells it."""

    operation: str
    told: str
    code: str = ""
    only: str | None = None


def by_sql(forwards: str | list[str], backwards: str) -> str:
    """An operation by SQL: nobody but its author knows whether the reverse fits."""
    return f"migrations.RunSQL({forwards!r}, {backwards!r})"


NOOP = ""
APART = by_sql("CREATE INDEX apart ON shop_tag (name)", NOOP)
INEXACT = {
    "a table is left": Inexact(by_sql("CREATE TABLE extra (id integer)", NOOP), "table extra is unexpected"),
    "a view is left": Inexact(
        by_sql("CREATE VIEW names AS SELECT name FROM shop_tag", NOOP), "view names is unexpected: `"
    ),
    "an index is left": Inexact(
        by_sql("CREATE INDEX fast ON shop_tag (name)", NOOP), "index fast of shop_tag is unexpected: `"
    ),
    "a column is left": Inexact(
        by_sql("ALTER TABLE shop_tag ADD COLUMN note text", NOOP),
        "column shop_tag.note is unexpected: `text`",
    ),
    "a trigger is left": Inexact(
        by_sql(["CREATE TRIGGER t AFTER DELETE ON shop_tag BEGIN SELECT 1; END"], NOOP),
        "trigger t of shop_tag is unexpected: `",
        only="sqlite",
    ),
    "a function is left": Inexact(
        by_sql("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", NOOP),
        "function f is unexpected: `",
        only="postgresql",
    ),
    "an extension is left": Inexact(
        by_sql("CREATE EXTENSION citext", NOOP), "extension citext is unexpected", only="postgresql"
    ),
    "a default is left": Inexact(
        by_sql("ALTER TABLE shop_tag ALTER name SET DEFAULT 'x'", NOOP),
        "column shop_tag.name is `",
        only="postgresql",
    ),
    "an index is lost": Inexact(by_sql("SELECT 1", "DROP INDEX by_name"), "index by_name of shop_tag is missing: `"),
    "a table is lost": Inexact(by_sql("SELECT 1", "DROP TABLE shop_tag"), "table shop_tag is missing"),
    "a column is lost": Inexact(
        by_sql("SELECT 1", "DROP INDEX by_name; ALTER TABLE shop_tag DROP COLUMN name"),
        "column shop_tag.name is missing: `",
    ),
    "an index comes back as another": Inexact(
        by_sql("DROP INDEX by_name", "CREATE INDEX by_name ON shop_tag (id)"),
        "index by_name of shop_tag is `",
    ),
    "code makes a table": Inexact(
        "migrations.RunPython(migrations.RunPython.noop, make)",
        "table made is unexpected",
        code="def make(apps, editor): editor.execute('CREATE TABLE made (id integer)')",
    ),
    "an operation of the project forgets": Inexact(
        "Own()",
        "index own of shop_tag is unexpected: `",
        code="""
            from django.db.migrations.operations.base import Operation

            class Own(Operation):
                def state_forwards(self, app_label, state):
                    pass

                def database_forwards(self, app_label, schema_editor, from_state, to_state):
                    schema_editor.execute("CREATE INDEX own ON shop_tag (name)")

                def database_backwards(self, app_label, schema_editor, from_state, to_state):
                    pass
        """,
    ),
    "a nested one is left": Inexact(
        f"migrations.SeparateDatabaseAndState(database_operations=[{APART}])",
        "index apart of shop_tag is unexpected: `",
    ),
}


def deploy_inexact(trip: Trip, case: str) -> str:
    """Two releases with such a migration between them, in the middle of others that do go back."""
    operation, told, code, _ = INEXACT[case]
    trip.deploy("v1", V1, rows=ROWS["v1"])
    trip.deploy(
        "v2",
        {
            **V2,
            "shop.0003_inexact": migration(operation, after=["shop.0002_a"], code=code),
            "shop.0004_b": migration(add("Item", "b", NUMBER), after=["shop.0003_inexact"]),
        },
    )
    return told


CASES = [
    pytest.param(vendor, case, id=f"{vendor}-{case}")
    for case, inexact in INEXACT.items()
    for vendor, name in (("sqlite", "sqlite"), ("postgres", "postgresql"))
    if inexact.only in (None, name)
]


@pytest.mark.parametrize(("new_database", "case"), CASES, indirect=["new_database"])
def test_a_migration_that_does_not_go_back_exactly(new_trip: Trip, case: str) -> None:
    """The message names the object, all is as it was, history has it, and `--no-verify` goes through."""
    told = deploy_inexact(new_trip, case)
    before = untouched(new_trip.database)
    result = back(new_trip)
    assert result.returncode == 1, result
    v1 = new_trip.releases()[1]["commit"][:7]
    sentence = (
        f"CommandError: after all steps the schema is not the one that {v1} (v1) was saved with, and everything is as "
        "it was before: "
    )
    assert sentence in result.stderr and result.stderr.endswith(f"\n{WRONG_HINT}"), result.stderr
    assert told in result.stderr.partition(sentence)[2], result.stderr
    same(untouched(new_trip.database), before)
    last = new_trip.history()[0]
    same(
        (last["outcome"], last["failed_step"], last["steps_done"], last.get("verified")),
        ("failed", "the check of the schema", 0, None),
    )

    accepted = back(new_trip, "manage", "--no-verify")
    assert (accepted.returncode, accepted.stdout.splitlines()[-1]) == (0, f"The database is back at {v1} (v1)."), (
        accepted
    )
    same(last_verified(new_trip), "not-verified")
    status = json.loads(new_trip.project.native("status", "--format", "json", check=False).stdout)
    assert (status["same"], status["schema"] != []) == (False, True), status
    same((status["ahead"], status["missing"]), ([], []))


@DOORS
def test_through_both_doors(new_trip: Trip, door: str) -> None:
    """The binary hands `--no-verify` over, and is told the same."""
    deploy_inexact(new_trip, "an index is left")
    before = untouched(new_trip.database)
    result = back(new_trip, door)
    assert (result.returncode, "index fast of shop_tag is unexpected" in result.stderr) == (1, True), result
    same(untouched(new_trip.database), before)
    assert back(new_trip, door, "--no-verify").returncode == 0
    same(last_verified(new_trip), "not-verified")


def test_a_mended_reverse_goes_through(new_trip: Trip) -> None:
    """What the hint says: the file is mended, and the same command again does it."""
    deploy_inexact(new_trip, "an index is left")
    assert back(new_trip).returncode == 1
    mended = migration(by_sql("CREATE INDEX fast ON shop_tag (name)", "DROP INDEX fast"), after=["shop.0002_a"])
    new_trip.write({"shop.0003_inexact": mended})
    assert back(new_trip).returncode == 0
    new_trip.assert_at("v1")
    same(last_verified(new_trip), "same")


UNSOLD = 'models.UniqueConstraint(fields=["name"], condition=models.Q(sold=False), name="once")'


def test_a_partial_unique_constraint_that_django_loses(new_trip: Trip) -> None:
    """Django's own: on PostgreSQL, undoing a `db_index` drops every index on that column, a partial unique one too."""
    item = create("Item", **NAMED, sold="models.BooleanField(default=False)")
    new_trip.deploy("v1", {"shop.0001_initial": migration(item, f'migrations.AddConstraint("Item", {UNSOLD})')})
    indexed = 'migrations.AlterField("Item", "name", models.CharField(max_length=20, db_index=True))'
    new_trip.deploy("v2", {"shop.0002_index": migration(indexed, after=["shop.0001_initial"])})
    if new_trip.database.vendor == "sqlite":
        new_trip.back("v1", ["shop.0002_index"])
        return
    before = untouched(new_trip.database)
    result = back(new_trip)
    assert (result.returncode, "index once of shop_item is missing: `" in result.stderr) == (1, True), result
    same(untouched(new_trip.database), before)


def test_many_differences_are_all_named(new_trip: Trip) -> None:
    """In one line, in one order."""
    many = [
        by_sql("CREATE TABLE extra (id integer)", NOOP),
        by_sql("CREATE INDEX fast ON shop_tag (name)", NOOP),
        by_sql("SELECT 1", "DROP INDEX by_name"),
    ]
    new_trip.deploy("v1", V1, rows=ROWS["v1"])
    new_trip.deploy("v2", {"shop.0002_many": migration(*many, after=["shop.0001_initial"])})
    said = back(new_trip).stderr
    places = [
        said.find(part) for part in ("column extra.id is unexpected", "index by_name", "index fast", "table extra")
    ]
    assert -1 not in places and places == sorted(places), said


# Changed by hand


HAND_MADE = {
    "an index": ("CREATE INDEX by_hand ON shop_item (size)", "index by_hand of shop_item is unexpected: `"),
    "a column": ("ALTER TABLE shop_tag ADD COLUMN by_hand integer", "column shop_tag.by_hand is unexpected: `"),
    "a table": ("CREATE TABLE by_hand (id integer)", "table by_hand is unexpected"),
    "a view": ("CREATE VIEW by_hand AS SELECT id FROM shop_tag", "view by_hand is unexpected: `"),
    "a lost index": ("DROP INDEX by_name", "index by_name of shop_tag is missing: `"),
    "another index": (
        "DROP INDEX by_name; CREATE INDEX by_name ON shop_tag (id, name)",
        "index by_name of shop_tag is `",
    ),
}
TRIGGER = {
    "sqlite": ["CREATE TRIGGER by_hand AFTER DELETE ON shop_tag BEGIN DELETE FROM shop_item; END"],
    "postgresql": [
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER by_hand AFTER DELETE ON shop_tag FOR EACH ROW EXECUTE FUNCTION nothing()",
    ],
}


def by_hand(trip: Trip, what: str) -> str:
    """Change the schema; returns how it is told."""
    if what == "a trigger":
        trip.execute(*TRIGGER[trip.database.vendor])
        return "trigger by_hand of shop_tag is unexpected: `"
    statements, told = HAND_MADE[what]
    trip.execute(*statements.split("; "))
    return told


def drifted(trip: Trip, shop: Shop) -> tuple[set[str], set[str]]:
    """What is there now that a database freshly built at v1 does not have, and the other way round."""
    now, built = set(oracle.schema(trip.database).splitlines()), set(shop.built("v1").schema.splitlines())
    return now - built, built - now


@pytest.mark.parametrize("what", [*HAND_MADE, "a trigger"])
def test_changed_by_hand_after_the_save(trip: Trip, shop: Shop, what: str) -> None:
    """It is listed, bars no way, and is there afterwards as it was."""
    shop.built("v1")
    schema = set(oracle.schema(trip.database).splitlines())
    told = by_hand(trip, what)
    changed = set(oracle.schema(trip.database).splitlines())
    warnings = warnings_of(trip)
    v2 = shop.commits["v2"][:7]
    sentence = f"the schema differs from the one saved with the current release {v2} (v2), and these differences stay: "
    same((list(warnings), warnings["drift"].startswith(sentence)), (["drift"], True))
    assert told in warnings["drift"], warnings
    native = json.loads(trip.project.native("plan", "-t", "v1", "--format", "json").stdout)["warnings"]
    same([each["message"] for each in native if each["kind"] == "drift"], [warnings["drift"]])

    result = back(trip)
    assert result.returncode == 0, result
    assert f"Warning: {sentence}" in result.stderr and told in result.stderr, result.stderr
    assert result.stdout.endswith(
        " (v1), and its schema is the one that the release had, except for differences that already existed.\n"
    )
    same(last_verified(trip), "drift")
    same(drifted(trip, shop), (changed - schema, schema - changed))


def test_changed_by_hand_what_the_rollback_takes_away(new_trip: Trip) -> None:
    """A table of the newer release had got an index and a column: they go with it, and the result is exact."""
    new_trip.deploy("v1", V1, rows=ROWS["v1"])
    new_trip.deploy("v2", {"shop.0002_note": migration(create("Note", **NAMED), after=["shop.0001_initial"])})
    new_trip.execute("CREATE INDEX by_hand ON shop_note (name)", "ALTER TABLE shop_note ADD COLUMN mine integer")
    assert "column shop_note.mine is unexpected" in warnings_of(new_trip)["drift"]
    result = back(new_trip)
    assert result.returncode == 0, result
    same(last_verified(new_trip), "same")
    new_trip.assert_at("v1")


@pytest.mark.parametrize("what", ["an index", "a trigger"])
def test_changed_by_hand_on_a_table_that_is_remade(new_trip: Trip, what: str) -> None:
    """SQLite's tables are remade by Django without what it does not know: it is left as it is, or something is said."""
    new_trip.deploy("v1", V1, rows=ROWS["v1"])
    code = "models.CharField(max_length=9, null=True, unique=True)"
    altered = migration(add("Item", "code", code), add("Tag", "code", code), after=["shop.0001_initial"])
    new_trip.deploy("v2", {"shop.0002_code": altered})
    by_hand(new_trip, what)
    before = untouched(new_trip.database)
    assert "by_hand" in warnings_of(new_trip)["drift"]
    result = back(new_trip)
    error = result.stderr.partition("CommandError: ")[2]
    if result.returncode == 1 and "by_hand" in error:
        same(untouched(new_trip.database), before)
    else:
        assert (result.returncode, "by_hand" in oracle.schema(new_trip.database)) == (0, True), result


def test_changed_by_hand_and_a_reverse_that_is_not_exact(new_trip: Trip) -> None:
    """What was there before is excused, what the rollback leaves behind is not."""
    deploy_inexact(new_trip, "an index is left")
    new_trip.execute("CREATE INDEX by_hand ON shop_tag (id)")
    before = untouched(new_trip.database)
    result = back(new_trip)
    error = result.stderr.partition("CommandError: ")[2]
    assert (result.returncode, "index fast of shop_tag" in error, "by_hand" in error) == (1, True, False), result
    same(untouched(new_trip.database), before)


@DOORS
def test_changed_by_hand_between_the_save_and_the_next_migrate(new_trip: Trip, door: str) -> None:
    """`migrate` remembers it as what the release had at its end: it is no drift, and is in nobody's way."""
    new_trip.deploy("v1", V1, rows=ROWS["v1"])
    new_trip.execute("CREATE INDEX by_hand ON shop_tag (id)", "CREATE TABLE notes (id integer)")
    at_its_end = oracle.schema(new_trip.database)
    new_trip.deploy("v2", V2)
    same(warnings_of(new_trip), {})
    result = back(new_trip, door)
    assert (result.returncode, "by_hand" in result.stderr) == (0, False), result
    same((last_verified(new_trip), oracle.schema(new_trip.database)), ("same", at_its_end))


def test_changed_by_hand_and_lost_by_the_next_migrate(new_trip: Trip) -> None:
    """On SQLite Django remakes the table in `migrate` without the index: going back cannot bring it back, and even so
    it bars no way."""
    new_trip.deploy("v1", V1, rows=ROWS["v1"])
    new_trip.execute("CREATE INDEX by_hand ON shop_item (size)")
    new_trip.deploy("v2", V2)
    is_lost = "by_hand" not in oracle.schema(new_trip.database)
    same(is_lost, new_trip.database.vendor == "sqlite")
    result = back(new_trip)
    assert result.returncode == 0, result
    same(last_verified(new_trip), "drift" if is_lost else "same")


def test_changed_by_hand_before_and_after_the_migrate(new_trip: Trip) -> None:
    """Each is held against what was known at its time."""
    new_trip.deploy("v1", V1, rows=ROWS["v1"])
    new_trip.execute("CREATE INDEX early ON shop_tag (id)")
    new_trip.deploy("v2", V2)
    new_trip.execute("CREATE INDEX late ON shop_tag (name, id)", "DROP INDEX early")
    drift = warnings_of(new_trip)["drift"]
    assert "index late of shop_tag is unexpected" in drift and "index early of shop_tag is missing" in drift, drift
    result = back(new_trip)
    assert result.returncode == 0, result
    same(last_verified(new_trip), "drift")
    left_now = oracle.schema(new_trip.database)
    assert "late" in left_now and "early" not in left_now


def test_a_migrate_that_has_nothing_to_do_remembers_nothing(new_trip: Trip) -> None:
    """Only newer migrations end a release: until then `status` goes on telling what was changed."""
    new_trip.deploy("v1", V1)
    new_trip.execute("CREATE INDEX by_hand ON shop_item (size)")
    new_trip.project.manage("migrate", "-v", "0")
    assert new_trip.database.execute("SELECT final_schema FROM django_rollback_appsstate") == [(None,)]
    status = new_trip.project.native("status", check=False)
    assert (status.returncode, "index by_hand" in status.stdout) == (1, True), status


def test_going_back_and_up_again(new_trip: Trip) -> None:
    """What was left in place belongs to the release that is saved next, and is no drift of that."""
    new_trip.deploy("v1", V1)
    new_trip.deploy("v2", V2)
    new_trip.execute("CREATE INDEX by_hand ON shop_tag (name)")
    assert back(new_trip).returncode == 0
    same(last_verified(new_trip), "drift")
    new_trip.project.manage("migrate", "-v", "0")
    new_trip.project.manage("save_migrations_state", "-v", "0")
    same(warnings_of(new_trip), {})
    assert back(new_trip).returncode == 0
    same(last_verified(new_trip), "same")


# Migrations that were never saved


def test_migrations_that_were_never_saved(new_trip: Trip) -> None:
    """They go back and are compared like others; on what they touch nobody knows what was changed by hand."""
    new_trip.deploy("v1", V1, rows=ROWS["v1"])
    new_trip.write(V2)
    new_trip.project.manage("migrate", "-v", "0")
    same(list(warnings_of(new_trip)), ["not-saved"])
    before = untouched(new_trip.database)
    new_trip.execute("CREATE INDEX by_hand ON shop_item (size)")
    refused = back(new_trip)
    assert (refused.returncode, "index by_hand of shop_item is unexpected" in refused.stderr) == (1, True), refused
    new_trip.execute("DROP INDEX by_hand")
    same(untouched(new_trip.database), before)
    assert back(new_trip).returncode == 0
    same(last_verified(new_trip), "same")


# Migrations of the target that are not applied any more


def test_the_target_had_a_migration_that_is_not_applied_any_more(new_trip: Trip) -> None:
    """Nothing is applied again: what that migration had made may be missing, on a table of another app, too."""
    zoo = migration(
        create("Cage"),
        by_sql("CREATE INDEX of_the_zoo ON shop_tag (id)", "DROP INDEX of_the_zoo"),
        after=["shop.0001_initial"],
    )
    new_trip.deploy("v1", {**V1, "zoo.0001_initial": zoo})
    new_trip.deploy("v2", V2)
    new_trip.project.manage("migrate", "zoo", "zero", "-v", "0")
    assert "not-applied" in warnings_of(new_trip)
    result = back(new_trip)
    assert result.returncode == 0, result
    same(last_verified(new_trip), "drift")
    assert "zoo_cage" not in oracle.table_names(new_trip.database)
    assert "of_the_zoo" not in oracle.schema(new_trip.database)


def test_not_applied_any_more_and_a_reverse_that_is_not_exact(new_trip: Trip) -> None:
    """What is left behind is found out all the same, and so is what the rollback itself takes too much."""
    new_trip.deploy("v1", {**V1, "zoo.0001_initial": migration(create("Cage"))})
    inexact = migration(
        by_sql("CREATE INDEX fast ON shop_tag (name)", NOOP),
        by_sql("SELECT 1", "DROP INDEX by_name"),
        after=["shop.0001_initial"],
    )
    new_trip.deploy("v2", {"shop.0002_inexact": inexact})
    new_trip.project.manage("migrate", "zoo", "zero", "-v", "0")
    result = back(new_trip)
    error = result.stderr.partition("CommandError: ")[2]
    assert (result.returncode, "index fast of shop_tag is unexpected" in error) == (1, True), result
    assert "index by_name of shop_tag is missing" in error and "zoo" not in error, error


def test_not_applied_any_more_with_nothing_else_saved(new_trip: Trip) -> None:
    """Both at once: migrations that were never saved, and one of the target's that is gone."""
    new_trip.deploy("v1", {**V1, "zoo.0001_initial": migration(create("Cage"))})
    new_trip.write(V2)
    new_trip.project.manage("migrate", "-v", "0")
    new_trip.project.manage("migrate", "zoo", "zero", "-v", "0")
    result = back(new_trip)
    assert result.returncode == 0, result
    same(last_verified(new_trip), "drift")


# Schemas that are not there


@DOORS
def test_a_target_without_a_schema(trip: Trip, shop: Shop, door: str) -> None:
    """Saved by an older version: it is said, and nothing can be compared."""
    trip.execute("UPDATE django_rollback_appsstate SET schema = NULL, final_schema = NULL WHERE tags LIKE '%v1%'")
    v1 = f"{shop.commits['v1'][:7]} (v1)"
    sentence = f"{v1} was saved without its schema, so the result cannot be verified"
    same(warnings_of(trip), {"not-verifiable": sentence})
    result = back(trip, door)
    assert (result.returncode, f"Warning: {sentence}.\n" in result.stderr) == (0, True), result
    assert result.stdout.endswith(f"The database is back at {v1}.\n"), result.stdout
    same(last_verified(trip), "no-schema")
    shop.assert_built("v1")


def test_a_target_whose_end_is_known(trip: Trip, shop: Shop) -> None:
    """It was saved without a schema, and the `migrate` after it could not remember one: none is made up."""
    trip.execute("UPDATE django_rollback_appsstate SET schema = NULL, final_schema = NULL")
    same(list(warnings_of(trip)), ["not-verifiable"])
    assert back(trip).returncode == 0
    same(last_verified(trip), "no-schema")
    shop.assert_built("v1")


def test_a_current_release_without_a_schema(trip: Trip, shop: Shop) -> None:
    """Nothing can be called drift then, and on what the steps touch nothing is excused."""
    trip.execute("UPDATE django_rollback_appsstate SET schema = NULL WHERE tags LIKE '%v2%'")
    same(warnings_of(trip), {})
    trip.execute("CREATE INDEX by_hand ON shop_item (size)")
    before = untouched(trip.database)
    refused = back(trip)
    assert (refused.returncode, "index by_hand of shop_item is unexpected" in refused.stderr) == (1, True), refused
    same(untouched(trip.database), before)
    trip.execute("DROP INDEX by_hand")
    assert back(trip).returncode == 0
    same(last_verified(trip), "same")
    shop.assert_built("v1")


NEWER = '{"format":2,"objects":[]}'
DAMAGES = {
    "changed": (
        "UPDATE django_rollback_schema SET body = body || ' ' WHERE hash = '{hash}'",
        "cannot be used: its content",
    ),
    "missing": ("DELETE FROM django_rollback_schema WHERE hash = '{hash}'", "cannot be used: it is missing"),
    "newer": (
        f"INSERT INTO django_rollback_schema (hash, body) VALUES ('{hashlib.sha256(NEWER.encode()).hexdigest()}', "
        f"'{NEWER.replace('{', '{{').replace('}', '}}')}'); UPDATE django_rollback_appsstate SET final_schema = NULL, "
        f"schema = '{hashlib.sha256(NEWER.encode()).hexdigest()}' WHERE tags LIKE '%{{tag}}%'",
        "cannot be used: ",
    ),
}


def damage(trip: Trip, how: str, tag: str) -> None:
    """Damage the stored schema of this release."""
    query = f"SELECT coalesce(final_schema, schema) FROM django_rollback_appsstate WHERE tags LIKE '%{tag}%'"
    ((stored,),) = trip.database.execute(query)
    trip.execute(*DAMAGES[how][0].format(hash=stored, tag=tag).split("; "))


@DOORS
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_schema_of_the_target(trip: Trip, shop: Shop, door: str, how: str) -> None:
    """Nobody can say what v1 had: the preview and the rollback are refused, and nothing is touched."""
    damage(trip, how, "v1")
    before = untouched(trip.database)
    results = [back(trip, door), back(trip, door, "--fake")]
    for result in results:
        assert result.returncode == 1, result
        assert f"the stored schema of release {shop.commits['v1']}" in result.stderr, result.stderr
        assert DAMAGES[how][1] in result.stderr and "\n  hint: " in result.stderr, result.stderr
    same(untouched(trip.database), before)


def test_no_verify_goes_back_to_a_target_with_a_damaged_schema(trip: Trip, shop: Shop) -> None:
    """As the hint says: `--no-verify` needs no schema to compare with."""
    damage(trip, "changed", "v1")
    assert "or go back with `--no-verify`" in back(trip).stderr
    result = back(trip, "manage", "--no-verify")
    assert result.returncode == 0, result
    same(last_verified(trip), "not-verified")
    shop.assert_built("v1")


@DOORS
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_schema_of_the_current_release(trip: Trip, shop: Shop, door: str, how: str) -> None:
    """It bars no way: the target's is what counts."""
    damage(trip, how, "v2")
    result = back(trip, door)
    assert result.returncode == 0, result
    same(last_verified(trip), "same")
    shop.assert_built("v1")


# What does not count


def test_made_up_names_do_not_count(new_trip: Trip) -> None:
    """Constraints and indexes come back under other names than they had: that is the same schema."""
    item = create("Item", name="models.CharField(max_length=20, unique=True, db_index=True)")
    new_trip.deploy("v1", {"shop.0001_initial": migration(item)})
    altered = migration(
        'migrations.AlterField("Item", "name", models.CharField(max_length=40))',
        'migrations.RenameField("Item", "name", "title")',
        'migrations.RenameModel("Item", "Thing")',
        after=["shop.0001_initial"],
    )
    new_trip.deploy("v2", {"shop.0002_alter": altered})
    new_trip.back("v1", ["shop.0002_alter"])
    same(last_verified(new_trip), "same")


def test_rows_do_not_count(trip: Trip, shop: Shop) -> None:
    trip.execute("INSERT INTO shop_tag (name) VALUES ('hot')")
    assert back(trip).returncode == 0
    same(last_verified(trip), "same")


def test_releases_without_a_step_between_them(new_trip: Trip) -> None:
    """A deploy of code only: there is nothing to undo, and even so what was changed by hand is told."""
    new_trip.deploy("v1", V1)
    new_trip.deploy("v2", files={"shop/views.py": "# code only\n"})
    new_trip.execute("CREATE INDEX by_hand ON shop_tag (name)")
    same(list(warnings_of(new_trip)), ["drift"])
    assert back(new_trip).returncode == 0
    same(last_verified(new_trip), "drift")
