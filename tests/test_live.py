"""Rollbacks while others are at work: other rollbacks, saves, `migrate`, and an application that is never stopped.

A usual run plays a few rounds of each, a long one many; DJANGO_ROLLBACK_TEST_SEED chooses other offsets.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import live_rounds
from harness import pgbouncer
from harness.crew import Job, wait_for
from harness.database import Database
from harness.pgbouncer import PgBouncer
from harness.postgres import Cluster
from live_rounds import Rounds
from live_shop import (
    BACK,
    LOCK_TIMEOUT,
    ON_TOP,
    SAVE,
    UP,
    Application,
    Gate,
    Shop,
    assert_names_holder,
    assert_refused,
    is_free,
    long_reader,
    nothing_is_left,
    same_settings_everywhere,
    whole,
)
from scenarios import kinds, same
from two_releases import VENDORS, everything_in

# How much longer than the longest call beside a preview one beside a rollback may take: for a machine with other work.
MARGIN = 3
# How long a test waits for what has to come at once, in seconds: less than anybody waits for a lock of the shop.
AT_ONCE = 20


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("live"), lambda: request.getfixturevalue("postgres"))
    yield shop
    shop.close()


@pytest.fixture(scope="module")
def bouncer(postgres: Cluster) -> Iterator[PgBouncer]:
    with PgBouncer(postgres) as bouncer:
        yield bouncer


@pytest.fixture(params=["direct", "pooled"])
def through(request: pytest.FixtureRequest) -> PgBouncer | None:
    """The connection pooler of a test that runs once without it and once with it."""
    return request.getfixturevalue("bouncer") if request.param == "pooled" else None


# Others at the same time


@pytest.mark.sized(
    ("vendor", "rounds", "binaries"),
    usual=[("postgresql", 6, 0), ("sqlite", 4, 0)],
    long=[("postgresql", 25, 0), ("postgresql", 5, 2), ("sqlite", 10, 0)],
)
def test_one_of_four_wins(shop: Shop, vendor: str, rounds: int, binaries: int) -> None:
    outcomes = live_rounds.contend(shop, vendor, rounds, binaries=binaries)
    print(outcomes)
    assert (outcomes["won"], outcomes.total()) == (rounds, 4 * rounds)


@pytest.mark.sized(("rounds", "binaries"), usual=[(6, 0)], long=[(25, 0), (5, 2)])
def test_one_of_four_wins_through_a_pooler(shop: Shop, bouncer: PgBouncer, rounds: int, binaries: int) -> None:
    print(live_rounds.contend(shop, "postgresql", rounds, bouncer, binaries=binaries))


@pytest.mark.sized(("vendor", "rounds"), usual=[("sqlite", 6), ("postgresql", 6)], long=[("sqlite", 20)])
@pytest.mark.parametrize("play", [live_rounds.save_and_go_back, live_rounds.migrate_and_go_back])
def test_a_rollback_meets_another_command(shop: Shop, vendor: str, rounds: int, play: Rounds) -> None:
    """The other one is a save or a `migrate`, earlier, later or at the same moment."""
    print(play(shop, vendor, rounds, None))


@pytest.mark.long
@pytest.mark.parametrize("play", [live_rounds.save_and_go_back, live_rounds.migrate_and_go_back])
def test_a_rollback_meets_many_commands(shop: Shop, through: PgBouncer | None, play: Rounds) -> None:
    """Either one refuses in some of the rounds, and in some they do not meet."""
    outcomes = play(shop, "postgresql", 20, through)
    print(outcomes)
    assert len(outcomes) > 1


@pytest.mark.long
def test_a_rollback_is_killed(shop: Shop, through: PgBouncer | None) -> None:
    print(live_rounds.kill(shop, 15, through))


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_rollback_during_migrate_is_refused_at_once(shop: Shop, vendor: str, tmp_path: Path) -> None:
    """Before it has done anything, and while the migration is still running; the message says who it is."""
    with shop.copy(vendor) as database, Gate(tmp_path) as gate:
        [up] = shop.crew.start(database, Job(UP, environment=gate.environment))
        gate.wait_until_reached()
        [back] = shop.crew.start(database, Job(BACK))
        assert_names_holder(back.wait(AT_ONCE), "migrate")
        assert up.poll() is None
        gate.open()
        assert up.wait().code == 0, whole(up.wait())
        same((shop.where(database), shop.tags(database)), ("v3", ["v2", "v1"]))


@pytest.mark.parametrize("vendor", VENDORS)
def test_migrate_during_a_rollback_waits_and_refuses_its_stale_plan(shop: Shop, vendor: str, tmp_path: Path) -> None:
    """It was going to apply what comes after the migrations that are undone just now: not one of them is applied."""
    with shop.copy(vendor) as database, Gate(tmp_path) as gate:
        [back] = shop.crew.start(database, Job(BACK, environment=gate.environment))
        gate.wait_until_reached()
        [up] = shop.crew.start(database, Job(UP))
        if vendor == "postgresql":
            wait_for(lambda: "Operations to perform" in up.read("out"), "the plan of migrate")
            assert up.poll() is None
        gate.open()
        assert back.wait().code == 0, whole(back.wait())
        if up.wait().code or vendor == "postgresql":
            assert_refused(up.wait())
            same(shop.where(database), "v1")
        else:
            # SQLite lets nobody look while a rollback writes, so that the plan may be as late as the rollback's end.
            same(shop.where(database), "v3")
        [again] = shop.crew.run(database, Job(UP))
        assert again.code == 0, whole(again)
        same(shop.where(database), "v3")


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("words", [BACK, SAVE])
def test_during_a_rollback(shop: Shop, vendor: str, words: tuple[str, ...], tmp_path: Path) -> None:
    """A second rollback is refused and told who is at work; a save waits, and saves what is there then."""
    with shop.copy(vendor) as database, Gate(tmp_path) as gate:
        [first] = shop.crew.start(database, Job(BACK, environment=gate.environment))
        gate.wait_until_reached()
        [second] = shop.crew.start(database, Job(words))
        if words == BACK:
            assert_names_holder(second.wait(AT_ONCE), "rollback")
            assert first.poll() is None
        else:
            time.sleep(0.3)
            assert second.poll() is None
        gate.open()
        assert first.wait().code == 0, whole(first.wait())
        assert (second.wait().code == 0) == (words == SAVE), whole(second.wait())
        same((shop.where(database), shop.tags(database)), ("v1", ["v1"] if words == BACK else ["v3", "v1"]))


# An application that goes on


@pytest.mark.sized(("rounds", "reader", "crossing"), usual=[(4, 0.5, 0)], long=[(20, 2.5, 0), (20, 2.5, 2)])
def test_an_application_goes_on(
    shop: Shop, through: PgBouncer | None, rounds: int, reader: float, crossing: int
) -> None:
    """It sees no error and loses nothing that was acknowledged, while releases come and go.

    Every other rollback meets a session that reads for some seconds; `crossing` threads lock tables crosswise.
    """
    print(live_rounds.stay_open(shop, rounds, through, reader=reader, crossing=crossing))


def test_nobody_stands_long_behind_a_rollback_that_waits(shop: Shop, through: PgBouncer | None) -> None:
    """A report reads one of the tables for seconds; meanwhile nobody waits longer than one try to lock it may take.

    What the machine itself adds is measured first: the same calls beside the same report and previews in a loop.
    """
    with shop.copy() as database:
        door = through.database(database.name) if through else database
        with Application(door, readers=3, writers=1) as application:
            begin = time.monotonic()
            with long_reader(database):
                while time.monotonic() < begin + 2:
                    shop.crew.manage(door, *BACK, "--fake")
            quiet = {kind: application.worst(kind, begin, time.monotonic()) for kind in ("read", "write")}

            begin = time.monotonic()
            with long_reader(database):
                [worker] = shop.crew.start(door, Job(BACK))
                time.sleep(2.5)
                assert worker.poll() is None, whole(worker.wait())
                end = time.monotonic()
            back = worker.wait()
            done = time.monotonic()
            assert back.code == 0, whole(back)
        waiting = {kind: application.worst(kind, begin, end) for kind in quiet}
        locked = {kind: application.worst(kind, end) for kind in quiet}
        application.check(database)
        same(shop.where(database), "v1")
    for phase, worst in {"a preview": quiet, "a rollback that waits": waiting, "one at work": locked}.items():
        print(f"longest beside {phase}: " + ", ".join(f"{kind} {1000 * worst[kind]:.0f} ms" for kind in worst))
    print(f"done {done - end:.2f} s after the reader")
    for kind in quiet:
        assert waiting[kind] <= LOCK_TIMEOUT + ON_TOP + MARGIN * quiet[kind]
    assert max(waiting.values()) > LOCK_TIMEOUT / 2, "the rollback has not even tried"


def test_a_rollback_gives_up_and_names_who_was_in_the_way(shop: Shop, through: PgBouncer | None) -> None:
    """A report that does not end: nothing is changed; the message names the session, and not what it looks for."""
    with shop.copy() as database:
        door = through.database(database.name) if through else database
        statement = r"SELECT id FROM shop_customer WHERE name NOT IN ('a secret', E'it\'s a secret', $$a secret$$)"
        with long_reader(_as_reporting(database), statement) as pid:
            before = _all_but_history(database)
            [back] = shop.crew.run(door, Job((*BACK, "--wait", "1")))
            same(_all_but_history(database), before)
        assert_refused(back)
        same(live_rounds.rollbacks(database), ["failed"])
        assert "waited 1 s" in back.err, whole(back)
        for word in (str(pid), "reporting", "SELECT", "shop_customer"):
            assert word in back.err, whole(back)
        assert "secret" not in back.out + back.err
        nothing_is_left(database)
        shop.crew.manage(door, *BACK, "--wait", "1")
        same(shop.where(database), "v1")


@pytest.mark.parametrize("table", ["django_migrations", "shop_customer", "shop_voucher"])
def test_a_rollback_tries_again_until_the_way_is_free(shop: Shop, table: str, through: PgBouncer | None) -> None:
    """Somebody writes to one of the tables and takes a while, be it the one where `migrate` keeps its rows."""
    with shop.copy() as database:
        door = through.database(database.name) if through else database
        with long_reader(database, f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE"):
            [worker] = shop.crew.start(door, Job(BACK))
            time.sleep(1)
            assert worker.poll() is None, whole(worker.wait())
        assert worker.wait().code == 0, whole(worker.wait())
        same((shop.where(database), live_rounds.rollbacks(database)), ("v1", ["done"]))
        nothing_is_left(database)


def test_others_may_look_at_a_rollback_that_waits(shop: Shop) -> None:
    """It is on its way for everybody, also while it pauses between two tries; who only looks is not in its way."""
    with shop.copy() as database:
        with long_reader(database):
            [worker] = shop.crew.start(database, Job(BACK))
            for _ in range(10):
                for words in (("list",), ("status",), ("history",)):
                    [looked] = shop.crew.run(database, Job(("rollback", *words)))
                    assert looked.code == 0, whole(looked)
                assert worker.poll() is None, whole(worker.wait())
                assert live_rounds.rollbacks(database) in ([], ["running"])
        assert worker.wait().code == 0, whole(worker.wait())
        same((shop.where(database), live_rounds.rollbacks(database)), ("v1", ["done"]))


@pytest.mark.sized("rounds", usual=[3], long=[25])
def test_it_is_never_the_application_that_dies_of_a_deadlock(shop: Shop, rounds: int) -> None:
    live_rounds.cross(shop, rounds)


# Through a pooler


def test_a_pooler_is_noticed(shop: Shop, bouncer: PgBouncer) -> None:
    """The plan says it, in a warning; a direct connection has none."""
    with shop.copy() as database:
        for door, expected in ((database, []), (bouncer.database(database.name), ["pooler"])):
            planned = shop.crew.manage(door, *BACK, "--fake", "--format", "json")
            same(kinds(json.loads(planned.out)["warnings"]), expected)


def test_nothing_stays_in_the_pool(shop: Shop, bouncer: PgBouncer, tmp_path: Path) -> None:
    """Whatever became of a rollback, the next client of its server connection notices nothing."""
    with shop.copy() as database, Gate(tmp_path) as gate:
        door = bouncer.database(database.name)
        with long_reader(database):
            [back] = shop.crew.run(door, Job((*BACK, "--wait", "1", "--lock-timeout", "50")))
            assert_refused(back)
        same_settings_everywhere(bouncer, database)
        shop.crew.manage(door, *SAVE)
        same_settings_everywhere(bouncer, database)

        [worker] = shop.crew.start(door, Job(BACK, environment=gate.environment))
        gate.wait_until_reached()
        worker.kill()
        assert worker.wait().code < 0
        wait_for(lambda: is_free(database), "the end of the killed rollback's transaction")
        same(shop.where(database), "v2")
        same_settings_everywhere(bouncer, database)

        shop.crew.manage(door, *BACK)
        same(shop.where(database), "v1")
        same_settings_everywhere(bouncer, database)
        nothing_is_left(database)


def test_the_binary_works_through_a_pooler(shop: Shop, bouncer: PgBouncer) -> None:
    """Many at once, so that no command keeps the server connection that it began with."""
    binary = str(shop.project.binary())
    with shop.copy() as database:
        commands = [("list",), ("status",), ("history",), ("show",), ("plan", "-t", "v1"), ("save",)] * 3
        for ended in shop.crew.run(
            bouncer.database(database.name), *[Job(words, program=binary) for words in commands]
        ):
            assert ended.code in (0, 1), whole(ended)
            assert "prepared statement" not in ended.err, whole(ended)
            assert not ended.err.startswith("error: the database"), whole(ended)
        same(shop.tags(database), ["v3", "v2", "v1"])


# What the tests rest on


def test_a_setting_that_stays_in_the_pool_is_found(shop: Shop, bouncer: PgBouncer) -> None:
    with shop.copy() as database:
        bouncer.database(database.name).execute("SET lock_timeout = '1s'")
        with pytest.raises(AssertionError, match="lock_timeout"):
            same_settings_everywhere(bouncer, database)


def test_two_transactions_of_a_client_get_two_server_connections(shop: Shop, bouncer: PgBouncer) -> None:
    """Where another client has come in between: so a session is nothing to rely on."""
    with shop.copy() as database:
        door = bouncer.database(database.name)
        with door.connect() as client, door.connect() as another:
            [(first,)] = client.execute("SELECT pg_backend_pid()").fetchall()
            another.execute("BEGIN")
            [(taken,)] = another.execute("SELECT pg_backend_pid()").fetchall()
            [(second,)] = client.execute("SELECT pg_backend_pid()").fetchall()
        assert (taken, second != first) == (first, True)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_lost_dependency_is_found(shop: Shop, vendor: str) -> None:
    """And so is a schema that is not that of the records."""
    with shop.copy(vendor) as database:
        database.execute("DELETE FROM django_migrations WHERE name = '0002_note'")
        with pytest.raises(AssertionError, match="0002_note"):
            shop.where(database)
    with shop.copy(vendor) as database:
        database.execute("ALTER TABLE orders_order DROP COLUMN note")
        with pytest.raises(AssertionError, match="note"):
            shop.where(database)


def test_where_there_is_no_pgbouncer_a_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgbouncer.shutil, "which", lambda *_, **__: None)
    for user in (0, 1000):
        monkeypatch.setattr(pgbouncer.os, "geteuid", lambda user=user: user)
        with pytest.raises(pgbouncer.PgBouncerUnavailable, match="install PgBouncer"):
            pgbouncer.find_program()


def _as_reporting(database: Database) -> Database:
    """The same database for another user."""
    if not database.execute("SELECT 1 FROM pg_roles WHERE rolname = 'reporting'"):
        database.execute("CREATE ROLE reporting LOGIN")
    database.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reporting")
    return replace(database, user="reporting")


def _all_but_history(database: Database) -> dict[str, list[str]]:
    return {name: rows for name, rows in everything_in(database).items() if name != "django_rollback_operation"}
