"""Ctrl-C and SIGTERM on the way: the rollback ends soon, says so, and nothing is changed."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys

import pytest

from conftest import CopyDatabase
from scenarios import NAMED, NUMBER, Trip, add, create, migration, same
from under_way import AT, Command, Ended, Shop, held, troubled, untouched

INT, TERM = signal.SIGINT, signal.SIGTERM
SIGNALS = pytest.mark.parametrize("number", [INT, TERM], ids=["Ctrl-C", "SIGTERM"])
ON_SQLITE, ON_POSTGRES = (
    pytest.mark.parametrize("copy_database", [vendor], indirect=True, scope="module")
    for vendor in ("sqlite", "postgres")
)
# What is interrupted would take five minutes.
SOON = 15
V1 = {"shop.0001_initial": migration(create("Item", **NAMED))}
V2 = {
    "shop.0002_a": migration(add("Item", "a", NUMBER), troubled("0002"), after=["shop.0001_initial"], code=AT),
    "shop.0003_b": migration(add("Item", "b", NUMBER), after=["shop.0002_a"], code=f"{AT}at('import', None)\n"),
}
ROWS = {"v1": ["INSERT INTO shop_item (name) VALUES ('tea')"], "v2": ["UPDATE shop_item SET a = 1, b = 2"]}
BACK = ("rollback_migrations", "-t", "v1")
INTERRUPTED = (
    "interrupted, and everything is as it was before\n  hint: nothing was changed: run it again when you want to\n"
)


@pytest.fixture(scope="module")
def shop(copy_database: CopyDatabase, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Two releases, built once on each database."""
    return Shop(tmp_path_factory.mktemp("signals"), copy_database, {"v1": V1, "v2": V2}, rows=ROWS)


@pytest.fixture
def trip(shop: Shop) -> Trip:
    """A copy of the database at v2."""
    return shop.anew()


@pytest.fixture(scope="module")
def psycopg2(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables with which Django uses psycopg2; where it is not installed, it is fetched for this run."""
    folder = tmp_path_factory.mktemp("psycopg2")
    if importlib.util.find_spec("psycopg2") is None:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
            str(folder),
        ]
        fetched = subprocess.run([*pip, "--no-deps", "psycopg2-binary"], capture_output=True, text=True)
        assert fetched.returncode == 0, f"psycopg2 is not installed, and cannot be:\n{fetched.stderr}"
    # Django takes psycopg 3 where it finds it.
    (folder / "psycopg.py").write_text('raise ImportError("hidden, so that psycopg2 is used")\n')
    variables = {"PYTHONPATH": str(folder)}
    ask = "from django.db.backends.postgresql.psycopg_any import is_psycopg3; print(is_psycopg3)"
    assert subprocess.check_output([sys.executable, "-c", ask], env=variables, text=True) == "False\n"
    return variables


def assert_interrupted(trip: Trip, ended: Ended, number: signal.Signals, before: dict[str, list[str]]) -> None:
    """The exit code and the sentence say it, history has it, and nothing else has changed."""
    assert (ended.code, ended.err.endswith(f"CommandError: {INTERRUPTED}")) == (128 + number, True), ended
    same(untouched(trip.database), before)
    last = trip.history()[0]
    same((last["kind"], last["outcome"], last["steps_done"]), ("rollback", "interrupted", 0))


def assert_idle(trip: Trip) -> None:
    """No session works on for somebody who has gone."""
    if trip.database.vendor == "postgresql":
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND pid <> pg_backend_pid()"
        assert trip.database.execute(query) == [(0,)]


def goes_back_at_last(trip: Trip, shop: Shop) -> None:
    """Nothing is left of the attempt that would be in the way."""
    assert trip.project.manage(*BACK, "-v", "0").stderr == ""
    shop.assert_built("v1")


@SIGNALS
@pytest.mark.parametrize("place", ["statement", "sleep"])
def test_in_the_middle_of_a_step(trip: Trip, shop: Shop, place: str, number: signal.Signals) -> None:
    """A statement that runs is cancelled, code that runs is interrupted: the step before is taken back, too."""
    before = untouched(trip.database)
    with Command(trip.project, *BACK, TROUBLE=f"0002:{place}") as command:
        command.wait_for_mark()
        command.wait_for_output("Unapplying shop.0003_b... OK")
        ended = command.stop(number, within=SOON)
    assert_interrupted(trip, ended, number, before)
    assert_idle(trip)
    goes_back_at_last(trip, shop)


@ON_POSTGRES
@SIGNALS
@pytest.mark.parametrize("place", ["statement", "sleep"])
def test_with_the_older_driver(
    trip: Trip, shop: Shop, psycopg2: dict[str, str], place: str, number: signal.Signals
) -> None:
    """psycopg2 does not return to Python before the end of a statement: it has to be cancelled from outside."""
    before = untouched(trip.database)
    with Command(trip.project, *BACK, TROUBLE=f"0002:{place}", **psycopg2) as command:
        command.wait_for_mark()
        ended = command.stop(number, within=SOON)
    assert_interrupted(trip, ended, number, before)
    assert_idle(trip)
    goes_back_at_last(trip, shop)


@ON_POSTGRES
@SIGNALS
@pytest.mark.parametrize("lock_timeout", ["100", "60000"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_while_it_waits_for_a_lock(
    trip: Trip, shop: Shop, request: pytest.FixtureRequest, driver: str, lock_timeout: str, number: signal.Signals
) -> None:
    """Between two tries, and inside the statement that waits."""
    variables = request.getfixturevalue("psycopg2") if driver == "psycopg2" else {}
    before = untouched(trip.database)
    with held(trip.database, "shop_item") as session:
        words = (*BACK, "--wait", "30", "--lock-timeout", lock_timeout)
        with Command(trip.project, *words, **variables) as command:
            if lock_timeout == "100":
                command.wait_for_output("Another session is in the way")
            else:
                waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'shop_item'::regclass"
                command.wait_until(lambda: trip.database.execute(waits), "it waits for the table")
            ended = command.stop(number, within=SOON)
        session.execute("ROLLBACK")
    assert_interrupted(trip, ended, number, before)
    goes_back_at_last(trip, shop)


@ON_SQLITE
@SIGNALS
def test_while_it_waits_for_a_writer(trip: Trip, shop: Shop, number: signal.Signals) -> None:
    """Where the whole database is the lock, history cannot be written either: nothing at all has happened."""
    before = untouched(trip.database)
    done = len(trip.history())
    with held(trip.database, "") as session:
        with Command(trip.project, *BACK, "--wait", "30") as command:
            command.wait_for_output("Rollback from")
            ended = command.stop(number, within=SOON)
        session.execute("ROLLBACK")
    assert (ended.code, "Traceback" in ended.err) == (128 + number, False), ended
    same(untouched(trip.database), before)
    same([each["outcome"] for each in trip.history()[: len(trip.history()) - done]], [])
    goes_back_at_last(trip, shop)


@SIGNALS
def test_while_the_project_is_loaded(trip: Trip, number: signal.Signals) -> None:
    """Before there is a plan: history has nothing of it."""
    before = untouched(trip.database), trip.history()
    with Command(trip.project, *BACK, TROUBLE="import:sleep") as command:
        command.wait_for_mark()
        ended = command.stop(number, within=SOON)
    assert (ended.code, ended.err) == (128 + number, f"CommandError: {INTERRUPTED}"), ended
    same((untouched(trip.database), trip.history()), before)


@SIGNALS
def test_the_second_signal_ends_it_at_once(trip: Trip, shop: Shop, number: signal.Signals) -> None:
    """Code that does not listen to the first: the process ends by the second, and the next command settles it."""
    before = untouched(trip.database)
    with Command(trip.project, *BACK, TROUBLE="0002:stubborn") as command:
        command.wait_for_mark()
        command.process.send_signal(number)
        command.wait_for_mark("told")
        ended = command.stop(number, within=5)
    assert ended.code == -number, ended
    settled = trip.project.manage("rollback", "status").stderr
    v1 = shop.commits["v1"][:7]
    assert settled.startswith(f"Settled: the rollback to {v1} by "), settled
    assert settled.endswith(" was interrupted, and changed nothing.\n")
    same(untouched(trip.database), before)
    same(trip.history()[0]["outcome"], "interrupted")
    goes_back_at_last(trip, shop)


@SIGNALS
def test_the_binary_that_has_handed_over(trip: Trip, shop: Shop, number: signal.Signals) -> None:
    """Whoever started the binary knows its process only: the signal reaches the `manage.py` that works."""
    before = untouched(trip.database)
    words = ("rollback", "-t", "v1", "--accept-data-loss")
    with Command(trip.project, *words, door="native", TROUBLE="0002:statement") as command:
        command.wait_for_mark()
        ended = command.stop(number, within=SOON)
    assert_interrupted(trip, ended, number, before)
    assert_idle(trip)
    same([each["kind"] for each in trip.history()[:2]], ["rollback", "hand-over"])
    goes_back_at_last(trip, shop)


def test_a_writer_who_ends_in_time_is_waited_for(trip: Trip, shop: Shop) -> None:
    """`--wait` counts from the beginning: for the first write of history, too, and longer than Django waits for SQLite.

    On PostgreSQL the other session is a `migrate` that knows nothing of django-rollback.
    """
    with trip.database.connect() as session:
        session.execute("BEGIN IMMEDIATE" if trip.database.vendor == "sqlite" else "BEGIN")
        session.execute("UPDATE django_migrations SET applied = applied")
        with Command(trip.project, *BACK, "--wait", "60") as command:
            command.wait_for_output("Rollback from")
            with pytest.raises(subprocess.TimeoutExpired):
                command.process.wait(8)
            session.execute("ROLLBACK")
            ended = command.wait()
    assert ended.code == 0, ended
    shop.assert_built("v1")
