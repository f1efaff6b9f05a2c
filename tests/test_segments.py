"""Migrations with `atomic = False`: what joins the one transaction, and what cuts a rollback into segments.

A rollback in segments can stop part-way. Then history says where, nothing else may begin, and it is resumed or aborted.
"""

from __future__ import annotations

import json
import signal

import pytest

from conftest import CopyDatabase, NewDatabase
from harness import oracle
from harness.project import Project
from scenarios import NAMED, NUMBER, Result, Trip, add, create, migration, same, steps_of
from under_way import AT, TROUBLE, Command, Shop, held, troubled, untouched

V0 = {"shop.0001_initial": migration(create("Item", **NAMED))}
V1 = {"shop.0002_kept": migration(add("Item", "kept", NUMBER), after=["shop.0001_initial"])}
V2 = {
    "shop.0003_a": migration(add("Item", "a", NUMBER), troubled("0003"), after=["shop.0002_kept"], code=AT),
    "shop.0004_data": migration(
        troubled("end of 0004"),
        add("Item", "c", NUMBER),
        troubled("0004"),
        after=["shop.0003_a"],
        atomic=False,
        code=AT,
    ),
    "shop.0005_b": migration(add("Item", "b", NUMBER), after=["shop.0004_data"]),
    "shop.0006_d": migration(add("Item", "d", NUMBER), troubled("0006"), after=["shop.0005_b"], code=AT),
}
STEPS = ["shop.0006_d", "shop.0005_b", "shop.0004_data", "shop.0003_a"]
# After so many steps each segment ends; the step whose trouble stops it.
SEGMENTS = {"first": (0, "0006"), "second": (2, "0004"), "third": (3, "0003")}
PART_WAY = ("second", "third")
ROWS = {"v0": ["INSERT INTO shop_item (name) VALUES ('tea')"], "v2": ["UPDATE shop_item SET a = 1, b = 2, c = 3"]}
BACK = ("rollback_migrations", "-t", "v1")
RESUME = ("rollback", "rollback", "--resume", "--accept-data-loss")
OPEN_HINT = (
    "  hint: `rollback --resume` finishes it; `rollback --abort` leaves the database where it is, and says what that "
    "means\n"
)


@pytest.fixture(scope="module")
def shop(copy_database: CopyDatabase, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Three releases, built once on each database; between the last two there is data work outside transactions."""
    return Shop(tmp_path_factory.mktemp("segments"), copy_database, {"v0": V0, "v1": V1, "v2": V2}, rows=ROWS)


@pytest.fixture
def trip(shop: Shop) -> Trip:
    """A copy of the database at v2."""
    return shop.anew()


@pytest.fixture
def new_trip(project: Project, new_database: NewDatabase) -> Trip:
    """A trip that has not begun."""
    return Trip(project, new_database)


def applied(trip: Trip) -> list[str]:
    """Which of the steps are not done."""
    found = oracle.migrations(trip.database)
    return [step for step in STEPS if tuple(step.split(".")) in found]


def manage(trip: Trip, *words: str, **variables: str) -> Result:
    return trip.project.manage(*words, check=False, env=variables)


def stop_part_way(trip: Trip, segment: str) -> Result:
    """A rollback that fails in this segment."""
    done, step = SEGMENTS[segment]
    result = manage(trip, *BACK, TROUBLE=f"{step}:fail")
    assert result.returncode == (3 if done else 1), result
    return result


def assert_finished(trip: Trip, shop: Shop) -> None:
    """It is at v1, in every way there is, and nothing is open."""
    shop.assert_built("v1")
    last = trip.history()[0]
    same(
        (last["kind"], last["outcome"], last["steps"], last["steps_done"], last["verified"]),
        ("rollback", "done", STEPS, len(STEPS), "same"),
    )
    same([each["tags"] for each in trip.releases()], [["v1"], ["v0"]])
    same(oracle.rows(trip.database, ["shop_item"])["shop_item"], [{"id": 1, "kept": 0, "name": "tea"}])
    resume = manage(trip, *RESUME)
    assert (resume.returncode, "no rollback has stopped part-way" in resume.stderr) == (1, True)


ON_POSTGRES = pytest.mark.parametrize("copy_database", ["postgres"], indirect=True, scope="module")

# What joins the one transaction

INDEXES_V1 = {
    "shop.0001_initial": migration(
        create("Item", **NAMED, kept=NUMBER),
        *(
            f'migrations.AddIndex("Item", models.Index(fields=["kept"], name="{name}"))'
            for name in ("by_kept", "by_hand", "by_force")
        ),
    )
}
INDEXED_ROWS = ["INSERT INTO shop_item (name, kept) VALUES ('tea', 1)"]
DJANGOS = {
    "add": 'postgres.AddIndexConcurrently("Item", models.Index(fields=["name"], name="by_name"))',
    "remove": 'postgres.RemoveIndexConcurrently("Item", "by_kept")',
}
BY_SQL = {
    "create": 'migrations.RunSQL("CREATE INDEX CONCURRENTLY x ON shop_item (name)", "drop index concurrently x;")',
    "drop": 'migrations.RunSQL("DROP INDEX CONCURRENTLY by_hand", '
    '"CREATE INDEX CONCURRENTLY by_hand ON shop_item (kept)")',
    "several": 'migrations.RunSQL(["CREATE UNIQUE INDEX CONCURRENTLY y ON shop_item (id)", "DROP INDEX by_force"], '
    '["CREATE INDEX CONCURRENTLY IF NOT EXISTS by_force ON shop_item (kept)", '
    '"DROP INDEX CONCURRENTLY IF EXISTS y"])',
    "plain": 'migrations.RunSQL("CREATE INDEX z ON shop_item (id)", "DROP INDEX z")',
}


def indexes_v2(vendor: str) -> dict[str, str]:
    """Every way to make and drop an index outside a transaction, in a migration of its own, between ordinary ones."""
    found = {"shop.0002_a": migration(add("Item", "a", NUMBER), troubled("a"), after=["shop.0001_initial"], code=AT)}
    ways = {**DJANGOS, **BY_SQL} if vendor == "postgresql" else BY_SQL
    for number, (name, operation) in enumerate(ways.items(), 3):
        code = "from django.contrib.postgres import operations as postgres" if name in DJANGOS else ""
        if vendor == "sqlite":
            operation = operation.replace("CONCURRENTLY ", "").replace("concurrently ", "")
        field = add("Item", name, NUMBER) if name == "add" else "migrations.RunSQL(migrations.RunSQL.noop)"
        operations = [operation, field] if name == "add" else [operation]
        previous = list(found)[-1]
        found[f"shop.{number:04}_{name}"] = migration(*operations, after=[previous], atomic=False, code=code)
    return {
        **found,
        "shop.0009_b": migration(add("Item", "b", "models.IntegerField(null=True)"), after=[list(found)[-1]]),
    }


@pytest.fixture(scope="module")
def indexed(copy_database: CopyDatabase, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Two releases with nothing between them that has to stand apart."""
    releases = {"v1": INDEXES_V1, "v2": indexes_v2(copy_database().vendor)}
    return Shop(tmp_path_factory.mktemp("indexed"), copy_database, releases, rows={"v1": INDEXED_ROWS})


def test_concurrent_indexes_join_the_one_transaction(indexed: Shop) -> None:
    """Nothing of it has to be outside a transaction when it is undone: the plan is one, and leaves what v1 had."""
    trip = indexed.anew()
    plan = trip.plan("v1")
    same((plan["atomic"], len(plan["segments"]), plan["warnings"], plan["blockers"]), (True, 1, [], []))
    text = manage(trip, *BACK, "--fake").stdout
    assert f"{len(plan['steps'])} steps in one transaction.\n" in text and "Segment" not in text
    trip.project.manage(*BACK)
    indexed.assert_built("v1")
    same(trip.history()[0]["verified"], "same")
    trip.up_again("v2")


def test_a_failure_after_concurrent_indexes_takes_all_back(indexed: Shop) -> None:
    """Every index is there again, and none is half made."""
    trip = indexed.anew()
    before = untouched(trip.database)
    result = manage(trip, *BACK, TROUBLE="a:fail")
    assert (result.returncode, "ValueError: no luck today" in result.stderr) == (1, True), result
    same(untouched(trip.database), before)
    if trip.database.vendor == "postgresql":
        assert trip.database.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid OR NOT indisready") == [(0,)]
    trip.project.manage(*BACK)
    indexed.assert_built("v1")


def test_killed_after_concurrent_indexes(indexed: Shop) -> None:
    """The same for a process that could take nothing back itself."""
    trip = indexed.anew()
    before = untouched(trip.database)
    assert manage(trip, *BACK, TROUBLE="a:kill").returncode == -signal.SIGKILL
    same(untouched(trip.database), before)
    trip.project.manage(*BACK)
    indexed.assert_built("v1")


SPELLINGS = [
    "drop  index  concurrently w",
    ["drop  index  concurrently w"],
    ["DROP INDEX\n\tCONCURRENTLY\nw;"],
    ["/* quickly */ DROP INDEX CONCURRENTLY w"],
    ["-- quickly\nDROP INDEX CONCURRENTLY w"],
    "-- quickly\nDROP INDEX CONCURRENTLY w",
    [("DROP INDEX CONCURRENTLY w", None)],
    'DROP INDEX CONCURRENTLY "w"',
]


@pytest.mark.parametrize("new_database", ["postgres"], indirect=True)
@pytest.mark.parametrize("spelling", SPELLINGS, ids=repr)
def test_concurrent_indexes_however_they_are_written(new_trip: Trip, spelling: object) -> None:
    """What the plan takes for an index in the one transaction, runs in it."""
    new_trip.deploy("v1", V0)
    operation = f"migrations.RunSQL('CREATE INDEX CONCURRENTLY w ON shop_item (name)', {spelling!r})"
    v2 = migration(operation, after=["shop.0001_initial"], atomic=False)
    new_trip.deploy("v2", {"shop.0002_w": v2})
    same(new_trip.plan("v1")["atomic"], True)
    new_trip.back("v1", ["shop.0002_w"])


# What cuts the plan

DATA_WORK = {
    "RunPython": ("migrations.RunPython(forget, forget)", "RunPython forget (operation 2)"),
    "RunSQL": (
        'migrations.RunSQL("UPDATE shop_item SET c = 1", "UPDATE shop_item SET c = 0")',
        "RunSQL (operation 2)",
    ),
    "an index and a row": (
        'migrations.RunSQL("DELETE FROM shop_item WHERE c = 9", '
        '"CREATE INDEX w ON shop_item (c); DROP INDEX w; DELETE FROM shop_item WHERE c = 9")',
        "RunSQL (operation 2)",
    ),
    "a nested one": (
        "migrations.SeparateDatabaseAndState(database_operations=[migrations.RunPython(forget, forget)])",
        "RunPython forget (operation 2, database operation 1)",
    ),
    "an operation of the project": ("Own()", "Own (operation 2)"),
}
OWN_OPERATION = """
    from django.db.migrations.operations.base import Operation

    def forget(apps, schema_editor):
        assert not schema_editor.connection.in_atomic_block
        apps.get_model("shop", "Item").objects.update(c=0)

    class Own(Operation):
        def state_forwards(self, app_label, state):
            pass

        def database_forwards(self, app_label, schema_editor, from_state, to_state):
            pass

        def database_backwards(self, app_label, schema_editor, from_state, to_state):
            assert not schema_editor.connection.in_atomic_block
            schema_editor.execute("UPDATE shop_item SET c = 0")
"""


@pytest.mark.parametrize("case", DATA_WORK)
def test_data_work_outside_transactions_cuts_the_plan(new_trip: Trip, case: str) -> None:
    """It runs outside a transaction as its migration asks for, and says which operation that is."""
    operation, described = DATA_WORK[case]
    data = migration(add("Item", "c", NUMBER), operation, after=["shop.0001_initial"], atomic=False, code=OWN_OPERATION)
    new_trip.deploy("v1", V0, rows=ROWS["v0"])
    b = migration(add("Item", "b", NUMBER), after=["shop.0002_data"])
    new_trip.deploy("v2", {"shop.0002_data": data, "shop.0003_b": b})
    plan = new_trip.plan("v1")
    *others, warning = plan["warnings"]
    assert (warning["kind"], f"its {described} must run outside a transaction" in warning["message"]) == (
        "not-atomic",
        True,
    ), warning
    warnings = [*(other["kind"] for other in others), "not-atomic"]
    assert set(warnings) <= {"may-lose", "not-atomic"}
    new_trip.back("v1", ["shop.0003_b", "shop.0002_data"], warnings=warnings)


def test_the_preview_shows_the_segments(trip: Trip) -> None:
    """As text and as a document, and nothing is written."""
    before = untouched(trip.database), trip.history()
    plan = trip.plan("v1")
    same((plan["atomic"], steps_of(plan)), (False, STEPS))
    keys = [step.split(".") for step in STEPS]
    same(
        plan["segments"],
        [
            {"steps": keys[:2], "in_transaction": True},
            {"steps": keys[2:3], "in_transaction": False},
            {"steps": keys[3:], "in_transaction": True},
        ],
    )
    lines = manage(trip, *BACK, "--fake").stdout.splitlines()
    assert lines[0].endswith(": 4 steps in 3 segments."), lines
    same(
        lines[1:8],
        [
            "Segment 1 of 3, in one transaction:",
            "  Unapply shop.0006_d",
            "  Unapply shop.0005_b",
            "Segment 2 of 3, outside a transaction:",
            "  Unapply shop.0004_data",
            "Segment 3 of 3, in one transaction:",
            "  Unapply shop.0003_a",
        ],
    )
    same((untouched(trip.database), trip.history()), before)


def test_nothing_stops_it(trip: Trip, shop: Shop) -> None:
    result = manage(trip, *BACK)
    assert result.returncode == 0, result
    assert_finished(trip, shop)


# Part-way


@pytest.mark.parametrize("segment", SEGMENTS)
def test_a_failure_leaves_exactly_the_steps_before_it_done(trip: Trip, shop: Shop, segment: str) -> None:
    """What stands is a recorded step with the schema of then; history has it, and so have the exit code and stderr."""
    done, step = SEGMENTS[segment]
    before = untouched(trip.database)
    result = stop_part_way(trip, segment)
    failed = next(each for each in STEPS if step in each)
    what = f"{failed} could not be undone"
    if done:
        what = f"stopped after {done} of 4 steps: {what}: "
    assert what in result.stderr and "ValueError: no luck today" in result.stderr, result.stderr
    same(applied(trip), STEPS[done:])
    last = trip.history()[0]
    same(
        (last["outcome"], last["failed_step"], last["steps"], last["steps_done"]),
        ("stopped" if done else "failed", failed, STEPS, done),
    )
    same([each["tags"] for each in trip.releases()], [["v2"], ["v1"], ["v0"]])
    if not done:
        assert "and everything is as it was before" in result.stderr
        same(untouched(trip.database), before)
    columns = set(oracle.rows(trip.database, ["shop_item"])["shop_item"][0])
    dropped = {0: set(), 2: {"b", "d"}, 3: {"b", "d", "c"}}[done]
    same(columns, {"id", "name", "kept", "a", "b", "c", "d"} - dropped)
    same("step_begun" in last, segment == "second")


@pytest.mark.parametrize("segment", PART_WAY)
@pytest.mark.parametrize("words", [BACK, RESUME, ("rollback_migrations", "--resume")], ids=" ".join)
def test_it_goes_on_from_there(trip: Trip, shop: Shop, segment: str, words: tuple[str, ...]) -> None:
    """The same command again, or `--resume`, does the rest and no more."""
    done, _ = SEGMENTS[segment]
    stop_part_way(trip, segment)
    before = len(trip.history())
    result = manage(trip, *words)
    assert result.returncode == 0, result
    begun = next(line for line in result.stdout.splitlines() if "Unapplying" in line)
    assert begun.startswith(f"  Unapplying {STEPS[done]}... OK"), begun
    assert_finished(trip, shop)
    same(len(trip.history()), before)


def test_it_stops_twice_and_goes_on_twice(trip: Trip, shop: Shop) -> None:
    """What the first two attempts did is counted together."""
    stop_part_way(trip, "second")
    again = manage(trip, *RESUME, TROUBLE="0003:fail")
    assert (again.returncode, "stopped after 3 of 4 steps: shop.0003_a" in again.stderr) == (3, True), again
    last = trip.history()[0]
    same((last["outcome"], last["steps"], last["steps_done"]), ("stopped", STEPS, 3))
    assert manage(trip, *RESUME).returncode == 0
    assert_finished(trip, shop)


@pytest.mark.parametrize("segment", PART_WAY)
def test_a_second_failure_at_the_same_step(trip: Trip, shop: Shop, segment: str) -> None:
    """It stays open, as far as it was."""
    done, step = SEGMENTS[segment]
    stop_part_way(trip, segment)
    again = manage(trip, *RESUME, TROUBLE=f"{step}:fail")
    assert again.returncode in (1, 3), again
    last = trip.history()[0]
    same((last["outcome"], last["steps"], last["steps_done"]), ("stopped", STEPS, done))
    assert manage(trip, *RESUME).returncode == 0
    assert_finished(trip, shop)


@pytest.mark.parametrize("segment", PART_WAY)
def test_nothing_else_begins_meanwhile(trip: Trip, shop: Shop, segment: str) -> None:
    """A save, and a rollback to another release: through both doors, with what to do."""
    done, _ = SEGMENTS[segment]
    stop_part_way(trip, segment)
    before = untouched(trip.database), trip.history()
    sentence = f"the rollback to {shop.commits['v1'][:7]} stopped after {done} of 4 steps\n{OPEN_HINT}"
    native = {"DJANGO_ROLLBACK_PYTHON": trip.project.python}
    results = [
        manage(trip, "save_migrations_state"),
        manage(trip, "rollback_migrations", "-t", "v0"),
        trip.project.native("save", check=False),
    ]
    for result in results:
        assert (result.returncode in (1, 3), result.stderr.endswith(sentence)) == (True, True), result
    same((untouched(trip.database), trip.history()), before)
    handed_over = trip.project.native("rollback", "-t", "v0", check=False, env=native)
    assert (handed_over.returncode in (1, 3), handed_over.stderr.endswith(sentence)) == (True, True), handed_over
    same(untouched(trip.database), before[0])
    assert trip.project.native("rollback", "--resume", "--accept-data-loss", env=native).returncode == 0
    shop.assert_built("v1")


@pytest.mark.parametrize("door", ["native", "manage"])
def test_aborting_says_where_the_database_is(trip: Trip, shop: Shop, door: str) -> None:
    """What is undone, what is still applied, and how to go on; then everything is allowed again."""
    stop_part_way(trip, "third")
    before = untouched(trip.database)
    if door == "native":
        result = trip.project.native("rollback", "--abort")
    else:
        result = trip.project.manage("rollback_migrations", "--abort")
    same(
        result.stdout,
        "The rollback is closed, and the database stays where it is.\n"
        "These are undone for good; what they dropped is gone:\n"
        "  shop.0006_d\n  shop.0005_b\n  shop.0004_data\n"
        "These are still applied:\n  shop.0003_a\n"
        f"To apply again what is undone, run `manage.py migrate` with the code of {shop.commits['v2'][:7]}. "
        "To go on after all, run the same rollback once more.\n",
    )
    same(untouched(trip.database), before)
    last = trip.history()[0]
    same((last["outcome"], last["steps_done"], last["steps"]), ("aborted", 3, STEPS))
    for words in ("--resume", "--abort"):
        refused = manage(trip, "rollback", "rollback", words)
        assert (refused.returncode, "no rollback has stopped part-way" in refused.stderr) == (1, True), refused
    trip.project.manage("migrate", "-v", "0")
    same(applied(trip), STEPS)
    trip.project.manage("save_migrations_state")
    trip.project.manage(*BACK)
    shop.assert_built("v1")


def test_aborting_a_step_that_had_begun(trip: Trip, shop: Shop) -> None:
    """Outside a transaction, nobody can say what of it is done: that is said, in JSON as well."""
    stop_part_way(trip, "second")
    document = json.loads(trip.project.native("rollback", "--abort", "--format", "json").stdout)
    same(
        document,
        {"format": 1, "event": "aborted", "undone": STEPS[:2], "left": STEPS[2:], "in_doubt": True},
    )
    trip.project.manage(*BACK, "-v", "0")
    shop.assert_built("v1")


def test_aborting_as_text_a_step_that_had_begun(trip: Trip) -> None:
    stop_part_way(trip, "second")
    said = trip.project.native("rollback", "--abort").stdout
    assert "shop.0004_data had begun outside a transaction, and may be undone in part: compare" in said


@pytest.mark.parametrize("door", ["native", "manage"])
@pytest.mark.parametrize("word", ["--resume", "--abort"])
def test_nothing_is_open(trip: Trip, door: str, word: str) -> None:
    before = untouched(trip.database), trip.history()
    if door == "native":
        result = trip.project.native("rollback", word, check=False)
    else:
        result = manage(trip, "rollback_migrations", word)
    heading = "error" if door == "native" else "CommandError"
    same(
        (result.returncode, result.stdout, result.stderr),
        (1, "", f"{heading}: no rollback has stopped part-way\n  hint: `history` shows what was done\n"),
    )
    same((untouched(trip.database), trip.history()), before)


@pytest.mark.parametrize("words", [("--resume", "--abort"), ("--resume", "-t", "v1"), ("--abort", "--fake")], ids=str)
def test_what_does_not_go_together(trip: Trip, words: tuple[str, ...]) -> None:
    assert manage(trip, "rollback", "rollback", *words).returncode == 2
    assert manage(trip, "rollback_migrations", *words).returncode == 2


def test_the_first_step_stands_apart(new_trip: Trip) -> None:
    """It fails before anything is permanent that is recorded: even so it is open, and a resume that cannot begin at all
    leaves it open."""
    data = migration(troubled("0002"), after=["shop.0001_initial"], atomic=False, code=AT)
    data_and_more = {
        "shop.0002_a": migration(add("Item", "a", NUMBER), after=["shop.0001_initial"]),
        "shop.0003_data": data.replace("0001_initial", "0002_a"),
    }
    new_trip.deploy("v1", V0, rows=ROWS["v0"])
    new_trip.deploy("v2", data_and_more, files=TROUBLE)
    steps = ["shop.0003_data", "shop.0002_a"]
    result = manage(new_trip, *BACK, TROUBLE="0002:fail")
    assert (result.returncode, "stopped after 0 of 2 steps: shop.0003_data" in result.stderr) == (3, True), result
    is_open = ("stopped", steps, 0, True)
    keys = ("outcome", "steps", "steps_done")
    last = new_trip.history()[0]
    same((*(last[key] for key in keys), last.get("step_begun")), is_open)

    with new_trip.database.connect() as session:
        session.execute("BEGIN IMMEDIATE" if new_trip.database.vendor == "sqlite" else "BEGIN")
        session.execute("UPDATE django_migrations SET applied = applied")
        assert manage(new_trip, *RESUME, "--wait", "0").returncode in (1, 3)
        session.execute("ROLLBACK")
    last = new_trip.history()[0]
    same((*(last[key] for key in keys), last.get("step_begun")), is_open)
    new_trip.project.manage(*RESUME)
    new_trip.assert_at("v1")


def test_a_resume_that_fails_before_its_first_step_leaves_it_open(new_trip: Trip) -> None:
    """The step may be undone in part since the first attempt: nobody may say that nothing was changed."""
    new_trip.deploy("v1", V0, rows=ROWS["v0"])
    data = migration(
        add("Item", "a", NUMBER),
        troubled("0002"),
        after=["shop.0001_initial"],
        atomic=False,
        code=AT + "at('import', None)\n",
    )
    new_trip.deploy("v2", {"shop.0002_data": data}, files=TROUBLE)
    assert manage(new_trip, *BACK, TROUBLE="0002:fail").returncode == 3
    receiver = {
        "shop/apps.py": """
            import os

            from django.apps import AppConfig
            from django.db.models.signals import pre_migrate

            def refuse(**kwargs):
                raise ValueError("not today")

            class Config(AppConfig):
                name = "shop"

                def ready(self):
                    if "REFUSE" in os.environ:
                        pre_migrate.connect(refuse)
        """
    }
    new_trip.project.write(receiver)
    again = manage(new_trip, *RESUME, REFUSE="1")
    assert again.returncode in (1, 3), again
    assert "not today" in again.stderr
    last = new_trip.history()[0]
    same((last["outcome"], last["steps_done"]), ("stopped", 0))
    refused = manage(new_trip, "save_migrations_state")
    assert (refused.returncode in (1, 3), refused.stderr.endswith(OPEN_HINT)) == (True, True), refused
    new_trip.project.manage(*RESUME)
    new_trip.assert_at("v1")


# Killed

ASKING = {
    "status": ("manage", "status"),
    "list": ("native", "list"),
    "history": ("native", "history"),
    "save": ("manage", "save"),
    "plan": ("manage", "plan"),
}


@pytest.mark.parametrize(
    ("segment", "asking"), [*(("second", asking) for asking in ASKING), ("first", "status"), ("third", "save")]
)
def test_killed(trip: Trip, shop: Shop, segment: str, asking: str) -> None:
    """The next command of any kind says what has become of it, once; then it goes on from there."""
    done, step = SEGMENTS[segment]
    before = untouched(trip.database)
    assert manage(trip, *BACK, TROUBLE=f"{step}:kill").returncode == -signal.SIGKILL
    same(applied(trip), STEPS[done:])
    door, word = ASKING[asking]
    next_one = trip.project.native(word, check=False) if door == "native" else manage(trip, "rollback", word)
    [said, *_] = next_one.stderr.splitlines()
    ways_on = "`rollback --resume` finishes it, `rollback --abort` leaves the database there"
    end = f"stopped after {done} of 4 steps: {ways_on}." if done else "was interrupted, and changed nothing."
    assert said.startswith(f"Settled: the rollback to {shop.commits['v1'][:7]} by ") and said.endswith(f" {end}"), said
    assert "Settled" not in trip.project.native("history").stderr
    rollback = next(each for each in trip.history() if each["kind"] == "rollback")
    same((rollback["outcome"], rollback["steps_done"]), ("stopped" if done else "interrupted", done))
    if done:
        assert manage(trip, *RESUME).returncode == 0
    else:
        same(untouched(trip.database), before)
        assert manage(trip, *BACK).returncode == 0
    assert_finished(trip, shop)


@pytest.mark.parametrize("words", [RESUME, BACK], ids=" ".join)
def test_killed_and_resumed_at_once(trip: Trip, shop: Shop, words: tuple[str, ...]) -> None:
    """The command that settles it may be the one that goes on."""
    assert manage(trip, *BACK, TROUBLE="0004:kill").returncode == -signal.SIGKILL
    result = manage(trip, *words)
    assert (result.returncode, result.stderr.startswith("Settled: ")) == (0, True), result
    assert_finished(trip, shop)


def test_killed_and_aborted_at_once(trip: Trip) -> None:
    assert manage(trip, *BACK, TROUBLE="0003:kill").returncode == -signal.SIGKILL
    result = manage(trip, "rollback", "rollback", "--abort")
    assert (result.returncode, "These are still applied:\n  shop.0003_a\n" in result.stdout) == (0, True), result


def test_killed_in_a_resume(trip: Trip, shop: Shop) -> None:
    """A resume that dies leaves what the rollback before it had left, and what it has done itself."""
    stop_part_way(trip, "second")
    killed = manage(trip, *RESUME, TROUBLE="0003:kill")
    assert killed.returncode == -signal.SIGKILL
    resumed = manage(trip, *RESUME)
    assert (resumed.returncode, " stopped after 3 of 4 steps: " in resumed.stderr) == (0, True), resumed
    assert_finished(trip, shop)


# Told to stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("segment", SEGMENTS)
def test_told_to_stop(trip: Trip, shop: Shop, segment: str, number: signal.Signals) -> None:
    """In the first segment nothing was changed, and the exit code is that of the signal; later it has stopped
    part-way."""
    done, step = SEGMENTS[segment]
    before = untouched(trip.database)
    with Command(trip.project, *BACK, TROUBLE=f"{step}:statement") as command:
        command.wait_for_mark()
        ended = command.stop(number, within=15)
    same(applied(trip), STEPS[done:])
    last = trip.history()[0]
    found = (ended.code, last["outcome"], last["steps_done"])
    same(found, (3, "stopped", done) if done else (128 + number, "interrupted", 0))
    if done:
        assert "everything is as it was before" not in ended.err, ended.err
        assert manage(trip, *RESUME).returncode == 0
    else:
        same(untouched(trip.database), before)
        assert manage(trip, *BACK).returncode == 0
    assert_finished(trip, shop)


# The lock


@pytest.mark.parametrize("segment", SEGMENTS)
def test_the_lock_is_held_from_the_first_segment_to_the_last(trip: Trip, shop: Shop, segment: str) -> None:
    """Inside each, and between them, outside any transaction: who comes meanwhile is told who has it."""
    _, step = SEGMENTS[segment]
    with Command(trip.project, *BACK, TROUBLE=f"{step}:wait") as command:
        command.wait_for_mark()
        save = ("save", "--commit", "ab" * 20)
        for result in (manage(trip, "rollback", *save), trip.project.native(*save, check=False)):
            assert result.returncode == 1, result
            assert " holds the lock in " in result.stderr and ": rollback by " in result.stderr, result.stderr
        assert trip.project.native("rollback", "--abort", check=False).returncode == 1
        status = trip.project.native("status", check=False)
        assert "Settled" not in status.stderr
        command.mark("go on")
        ended = command.wait()
    assert ended.code == 0, ended
    assert_finished(trip, shop)


@ON_POSTGRES
def test_another_session_in_the_way_of_a_later_segment(trip: Trip, shop: Shop) -> None:
    """A table that is read all the time: it stops with what to do, and nothing that is not true is said."""
    with held(trip.database, "shop_item") as session:
        result = manage(trip, *BACK, "--wait", "1")
        assert (result.returncode, "locks are held by pid" in result.stderr) == (1, True), result
        session.execute("ROLLBACK")
    with Command(trip.project, *BACK, "--wait", "1", TROUBLE="end of 0004:wait") as command:
        command.wait_for_mark()
        with held(trip.database, "shop_item") as session:
            command.mark("go on")
            ended = command.wait()
            session.execute("ROLLBACK")
    assert (ended.code, "locks are held by pid" in ended.err) == (3, True), ended
    assert "everything is as it was before" not in ended.err, ended.err
    assert manage(trip, *RESUME).returncode == 0
    assert_finished(trip, shop)


@ON_POSTGRES
def test_another_session_in_the_way_of_a_step_outside_transactions(trip: Trip, shop: Shop) -> None:
    """It waits no longer than it may, too: everybody who only reads would wait behind it."""
    with Command(trip.project, *BACK, "--wait", "1", TROUBLE="0004:wait") as command:
        command.wait_for_mark()
        with held(trip.database, "shop_item") as session:
            command.mark("go on")
            ended = command.wait(within=20)
            session.execute("ROLLBACK")
    assert ended.code == 3, ended
    assert manage(trip, *RESUME).returncode == 0
    assert_finished(trip, shop)


# The proof


def test_a_wrong_schema_after_the_last_segment(trip: Trip, shop: Shop) -> None:
    """The last segment is taken back, the ones before it stand: nothing that is not true is said."""
    result = manage(trip, *BACK, TROUBLE="0003:damage")
    assert (result.returncode, "left_behind" in result.stderr) == (3, True), result
    last = trip.history()[0]
    same((last["outcome"], last["failed_step"], last["steps_done"]), ("stopped", "the check of the schema", 3))
    same(applied(trip), STEPS[3:])
    assert "everything is as it was before" not in result.stderr, result.stderr
    assert "could not be undone" not in result.stderr, result.stderr
    assert manage(trip, *RESUME).returncode == 0
    assert_finished(trip, shop)
