"""What the tests of the open shop do again and again: a few rounds in a usual run, many in a long one.

Each function plays its rounds, checks what every round has to leave behind, and returns how often each thing happened.
When a round fails, what it was is the last line that it has printed.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.crew import Ended, Job, wait_for
from harness.database import Database
from harness.pgbouncer import PgBouncer
from live_shop import (
    ALREADY,
    BACK,
    SAVE,
    STALE,
    STALE_FOR_THE_BINARY,
    UP,
    Application,
    Shop,
    assert_names_holder,
    assert_refused,
    has_one_and_waits_for_another,
    is_free,
    long_reader,
    nothing_is_left,
    same_settings_everywhere,
    whole,
)
from scenarios import same

CONTENDERS = 4
# For how long a migration is held up: then the others meet it on its way, whoever is first.
PAUSE = {"PAUSE": "0.15"}
# The farthest that two commands begin apart: a little more than one of them takes.
APART = 0.5
SEED_VARIABLE = "DJANGO_ROLLBACK_TEST_SEED"

Rounds = Callable[[Shop, str, int, PgBouncer | None], Counter[str]]


def dice(salt: str) -> random.Random:
    """Chance that can be had again: the seed is printed, and the variable sets it."""
    seed = os.environ.get(SEED_VARIABLE, "1")
    print(f"{SEED_VARIABLE}={seed}")
    return random.Random(f"{seed} {salt}")


def contend(
    shop: Shop, vendor: str, rounds: int, bouncer: PgBouncer | None = None, *, binaries: int = 0
) -> Counter[str]:
    """Four processes take the database back at the same moment: one does it, and each other is told why it cannot.

    So many of them come through the binary, which hands over to a `manage.py` that the Python on the PATH runs.
    """
    path = {"PATH": os.pathsep.join([str(Path(shop.project.python).parent), os.environ.get("PATH", os.defpath)])}
    native = Job(("rollback", "-t", "v1"), environment=PAUSE | path, program=str(shop.project.binary()))
    jobs = [native] * binaries + [Job(BACK, environment=PAUSE)] * (CONTENDERS - binaries)
    outcomes: Counter[str] = Counter()
    for number in range(rounds):
        print(f"round {number}")
        with shop.copy(vendor) as database:
            door = bouncer.database(database.name) if bouncer else database
            shop.project.use(door)
            all_ended = shop.crew.run(door, *jobs)
            each = [_outcome_for_contender(ended) for ended in all_ended]
            assert each.count("won") == 1, "\n".join(map(whole, all_ended))
            outcomes.update(each)
            same((shop.where(database), shop.tags(database)), ("v1", ["v1"]))
            assert rollbacks(database).count("done") == 1 and "running" not in rollbacks(database), rollbacks(database)
            shop.keeps_its_rows(database)
            _nothing_is_left(database, bouncer)
    return outcomes


def save_and_go_back(shop: Shop, vendor: str, rounds: int, bouncer: PgBouncer | None = None) -> Counter[str]:
    """A save of v3's commit, before its migrations, meets a rollback: the save waits, and the list says what is so."""
    chance = dice(f"save {vendor}")
    outcomes: Counter[str] = Counter()
    for number in range(rounds):
        first, second = _delays(chance, number)
        with shop.copy(vendor) as database:
            door = bouncer.database(database.name) if bouncer else database
            back, save = shop.crew.run(door, Job(BACK, first, PAUSE), Job(SAVE, second))
            assert save.code == 0, whole(save)
            if back.code == 0:
                same(shop.where(database), "v1")
                tags = shop.tags(database)
                assert tags in (["v1"], ["v3", "v1"]), tags
                outcomes["went back, " + ("then saved" if len(tags) == 2 else "after the save")] += 1
            else:
                outcomes[_why_not_back(back, "save")] += 1
                same((shop.where(database), shop.tags(database)), ("v2", ["v3", "v2", "v1"]))
            status = shop.crew.run(database, Job(("status",), program=str(shop.project.binary())))
            same([(ended.code, ended.err) for ended in status], [(0, "")])
            shop.keeps_its_rows(database)
            _nothing_is_left(database, bouncer)
    return outcomes


def migrate_and_go_back(shop: Shop, vendor: str, rounds: int, bouncer: PgBouncer | None = None) -> Counter[str]:
    """A `migrate` to v3 meets a rollback to v1: whoever is later does the right thing from there, or nothing."""
    chance = dice(f"migrate {vendor}")
    outcomes: Counter[str] = Counter()
    for number in range(rounds):
        first, second = _delays(chance, number)
        with shop.copy(vendor) as database:
            door = bouncer.database(database.name) if bouncer else database
            back, up = shop.crew.run(door, Job(BACK, first, PAUSE), Job(UP, second, PAUSE))
            place = shop.where(database)
            both = f"at {place}\nback: {whole(back)}\nup: {whole(up)}"
            if up.code:
                assert_refused(up)
                assert (back.code, place) == (0, "v1"), both
                outcomes["migrate was refused"] += 1
            elif back.code:
                outcomes[_why_not_back(back, "migrate")] += 1
                assert place == "v3", both
            else:
                assert place in ("v1", "v3"), both
                outcomes["one after the other"] += 1
            same(shop.tags(database), ["v1"] if back.code == 0 else ["v2", "v1"])
            shop.keeps_its_rows(database)
            _nothing_is_left(database, bouncer)
    return outcomes


def stay_open(shop: Shop, rounds: int, bouncer: PgBouncer | None, *, reader: float, crossing: int) -> Counter[str]:
    """The application goes on while the database goes back and up; every other rollback meets a long reader."""
    outcomes: Counter[str] = Counter()
    with shop.copy() as database:
        door = bouncer.database(database.name) if bouncer else database
        with Application(door, crossing=crossing) as application:
            for number in range(rounds):
                print(f"round {number}")
                if number % 2:
                    [back] = shop.crew.run(door, Job(BACK))
                else:
                    with long_reader(database):
                        [worker] = shop.crew.start(door, Job(BACK))
                        time.sleep(reader)
                    back = worker.wait()
                assert back.code == 0, whole(back)
                for words in (UP, SAVE):
                    shop.crew.manage(door, *words)
        same((shop.where(database), shop.tags(database)), ("v3", ["v3", "v1"]))
        application.check(database)
        same(_deadlocks(database), 0)
        shop.keeps_its_rows(database)
        _nothing_is_left(database, bouncer)
    outcomes.update(call.kind for call in application.calls)
    outcomes["acknowledged"] = len(application.acknowledged)
    print(", ".join(f"worst {kind} {application.worst(kind):.3f} s" for kind in ("read", "write", "cross")))
    return outcomes


def kill(shop: Shop, rounds: int, bouncer: PgBouncer | None = None) -> Counter[str]:
    """A rollback is killed at any moment: the database is at v2 or at v1, nothing is locked, and the next one works."""
    chance = dice("kill")
    outcomes: Counter[str] = Counter()
    for number in range(rounds):
        after = chance.uniform(0, APART)
        print(f"round {number}: killed after {after:.4f} s")
        with shop.copy() as database:
            door = bouncer.database(database.name) if bouncer else database
            [worker] = shop.crew.start(door, Job(BACK, environment=PAUSE))
            time.sleep(after)
            killed = worker.poll() is None
            if killed:
                worker.kill()
                worker.wait()
                wait_for(lambda database=database: is_free(database), "the end of the killed transaction")
            outcomes[f"{'killed' if killed else 'done'}, then at {shop.where(database)}"] += 1
            shop.crew.manage(door, *BACK)
            same((shop.where(database), shop.tags(database)), ("v1", ["v1"]))
            shop.keeps_its_rows(database)
            _nothing_is_left(database, bouncer)
    return outcomes


def cross(shop: Shop, rounds: int) -> None:
    """A transaction of the application and the rollback lock two tables crosswise: it is the rollback that steps back.

    The transaction has the second table and asks for the first when the rollback has the first and waits for the
    second. It must get it, without a deadlock that somebody has to die of.
    """
    for number in range(rounds):
        print(f"round {number}")
        with shop.copy() as database, database.connect() as connection:
            connection.execute("BEGIN")
            connection.execute("UPDATE shop_customer SET name = 'Augusta' WHERE id = -1")
            [worker] = shop.crew.start(database, Job(BACK))
            wait_for(
                lambda database=database: has_one_and_waits_for_another(database, "orders_order", "shop_customer"),
                "the rollback to lock the tables in their order",
            )
            connection.execute("UPDATE orders_order SET amount = 11 WHERE id = -1")
            assert worker.poll() is None, whole(worker.wait())
            connection.execute("COMMIT")
            ended = worker.wait()
            assert ended.code == 0, whole(ended)
            same(shop.where(database), "v1")
            same(_deadlocks(database), 0)
            written = "SELECT c.name, o.amount FROM shop_customer c JOIN orders_order o ON o.customer_id = c.id"
            same(database.execute(f"{written} WHERE c.id = -1"), [("Augusta", 11)])


def _delays(chance: random.Random, number: int) -> tuple[float, float]:
    """Both at once, or one of them first, in turn."""
    apart = chance.uniform(0, APART)
    delays = [(0.0, 0.0), (0.0, apart), (apart, 0.0)][number % 3]
    print(f"round {number}: the rollback after {delays[0]:.4f} s, the other after {delays[1]:.4f} s")
    return delays


def _outcome_for_contender(ended: Ended) -> str:
    if ended.code == 0:
        assert (ALREADY in ended.out) != ("is back at" in ended.out), whole(ended)
        return "came too late" if ALREADY in ended.out else "won"
    return _why_not_back(ended, "rollback")


def _why_not_back(ended: Ended, operation: str) -> str:
    """The two reasons there are: somebody holds the lock, or has done so since the plan was made."""
    assert_refused(ended)
    if STALE in ended.err or STALE_FOR_THE_BINARY in ended.err:
        return "the plan was stale"
    assert_names_holder(ended, operation)
    return f"refused during a {operation}"


def rollbacks(database: Database) -> list[str]:
    """How each rollback ended, as history says it."""
    bodies: list[Any] = [json.loads(body) for (body,) in database.execute("SELECT body FROM django_rollback_operation")]
    return [body["outcome"] for body in bodies if body["kind"] == "rollback"]


def _nothing_is_left(database: Database, bouncer: PgBouncer | None) -> None:
    if database.vendor == "postgresql":
        nothing_is_left(database)
    if bouncer is not None:
        same_settings_everywhere(bouncer, database)


def _deadlocks(database: Database) -> int:
    [(number,)] = database.execute(f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{database.name}'")
    return int(number)
