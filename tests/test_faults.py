"""A rollback that is killed, cut off or loses its server leaves everything as it was, or everything done.

A usual run takes a sample of all points, a long one every point there is, of more kinds of shops, and stock Django's
numbers beside them. DJANGO_ROLLBACK_TEST_SEED chooses another sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import NamedTuple

import pytest

from conftest import LONG, USUAL
from faults.shop import MIGRATE_BACK, SLOWLY, Shop, backwards
from faults.trials import (
    NEITHER,
    ServerFaults,
    Tally,
    Trial,
    Trials,
    all_is_well,
    cuts,
    deaths_inside,
    goes_through_within,
    interruptions,
    sample,
    slice_of,
)
from harness.faults import CommandTookTooLong, DurableCluster, Proxy
from harness.inside import AFTER, BEFORE, DURING, PAUSE, Fault
from harness.postgres import Cluster

SLICES = range(4)
SECONDS_UNTIL_FREE = 60
# The server waits a minute for a client that is silent.
SECONDS_UNTIL_A_SILENT_CLIENT_IS_GIVEN_UP = 90


class Kind(NamedTuple):
    """Which shop, on which database."""

    vendor: str
    mixed: bool = True
    concurrently: bool = False
    wal: bool = False

    def __str__(self) -> str:
        return "-".join([self.vendor, *(word for word in self._fields[1:] if getattr(self, word))])


SQLITE, POSTGRESQL, CONCURRENTLY = Kind("sqlite"), Kind("postgresql"), Kind("postgresql", concurrently=True)
PLAIN = [Kind("sqlite", mixed=False), Kind("postgresql", mixed=False)]
every_kind = pytest.mark.sized(
    "kind", usual=[SQLITE, CONCURRENTLY], long=[SQLITE, Kind("sqlite", wal=True), POSTGRESQL, CONCURRENTLY]
)


class Numbers(NamedTuple):
    """How many faults of each sort there are; None for all that are possible."""

    kills: int | None
    kills_inside: int
    interruptions: int | None
    cuts: int
    server_faults: int


NUMBERS = {USUAL: Numbers(40, 10, 10, 120, 20), LONG: Numbers(None, 200, None, 1200, 120)}
OnKind = Callable[..., Trials]
Report = Callable[[str, Iterable[Trial]], None]


@pytest.fixture(scope="module")
def shops(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kind], Shop]]:
    """Shops, each built when it is asked for."""
    built: dict[Kind, Shop] = {}

    def shop(kind: Kind) -> Shop:
        if kind not in built:
            cluster: Cluster | None = request.getfixturevalue("postgres") if kind.vendor == "postgresql" else None
            built[kind] = Shop(tmp_path_factory.mktemp("shop"), cluster=cluster, **kind._asdict())
        return built[kind]

    yield shop
    for each in built.values():
        each.close()


@pytest.fixture(scope="module")
def trials(shops: Callable[[Kind], Shop]) -> OnKind:
    """Trials of a rollback on a kind of shop, which has gone back once undisturbed."""
    ready: dict[Kind, Trials] = {}

    def on(kind: Kind) -> Trials:
        if kind not in ready:
            ready[kind] = Trials(shops(kind))
        return ready[kind]

    return on


@pytest.fixture
def numbers_of_faults(pytestconfig: pytest.Config) -> Numbers:
    """Those of this run's size."""
    return NUMBERS[pytestconfig.getoption("size")]


@pytest.fixture
def assert_well(record_property: Callable[[str, object], None]) -> Report:
    """Fail with everything that is wrong with any trial, and count them for the end of the run."""

    def judge(name: str, trials: Iterable[Trial]) -> None:
        all_is_well(_counted(record_property, name, trials))

    return judge


def _counted(record: Callable[[str, object], None], name: str, trials: Iterable[Trial]) -> list[Trial]:
    seen = list(trials)
    record("faults", asdict(Tally.of(name, seen)))
    return seen


def _some(trials: Trials, number: int | None, salt: str) -> list[Fault]:
    return trials.points if number is None else sample(trials.points, number, salt)


@pytest.mark.sized
def test_a_server_that_fails(
    tmp_path_factory: pytest.TempPathFactory, numbers_of_faults: Numbers, assert_well: Report
) -> None:
    """The session is ended, its process is killed, or the whole server goes down, and comes back."""
    with DurableCluster() as cluster, Shop(tmp_path_factory.mktemp("shop"), "postgresql", cluster) as shop:
        faults = ServerFaults(Trials(shop, wait=cluster.wait_until_it_answers), cluster)
        assert_well("server faults", faults.some(numbers_of_faults.server_faults))


@pytest.mark.parametrize("index", SLICES)
@every_kind
def test_killed_between_statements(
    trials: OnKind, numbers_of_faults: Numbers, assert_well: Report, kind: Kind, index: int
) -> None:
    """kill -9 before or after a statement: everything or nothing, and the same command again does the rest."""
    some = _some(trials(kind), numbers_of_faults.kills, kind.vendor)
    assert_well(f"killed, {kind}", map(trials(kind).kill, slice_of(some, index, len(SLICES))))


@every_kind
def test_killed_inside_a_statement(trials: OnKind, numbers_of_faults: Numbers, assert_well: Report, kind: Kind) -> None:
    """kill -9 while the database is at work, above all at COMMIT."""
    some = deaths_inside(trials(kind), numbers_of_faults.kills_inside)
    assert_well(f"killed inside, {kind}", map(trials(kind).kill, some))


@every_kind
def test_told_to_stop(trials: OnKind, numbers_of_faults: Numbers, assert_well: Report, kind: Kind) -> None:
    """Ctrl-C or SIGTERM at a statement, at COMMIT too: nothing is half done, and what the command says is true."""
    some = _some(trials(kind), numbers_of_faults.interruptions, f"interrupted {kind.vendor}")
    commit = trials(kind).numbers_of("COMMIT")[-1]
    at_commit = [point for point in trials(kind).points if point.statement == commit]
    stops = [*interruptions([*some, *at_commit]), *interruptions(reversed(at_commit))]
    assert_well(f"told to stop, {kind}", map(trials(kind).kill, stops))


@pytest.mark.long
@pytest.mark.parametrize("index", SLICES)
@pytest.mark.parametrize("kind", PLAIN, ids=str)
def test_beside_stock_django(
    shops: Callable[[Kind], Shop],
    record_property: Callable[[str, object], None],
    assert_well: Report,
    kind: Kind,
    index: int,
) -> None:
    """The same way back by Django's own `migrate`, of a shop that it can take back: it must do worse.

    On SQLite it has the help without which it could not go back at all where a view names a table.
    """
    shop = shops(kind)
    stock = Trials(shop, MIGRATE_BACK, rename_as_of_old=True)
    stock.know_the_way(*((*MIGRATE_BACK[:2], name) for name in backwards(shop)))
    points = slice_of(stock.points, index, len(SLICES))
    theirs = _counted(record_property, f"killed, {kind}, plain shop, stock Django", map(stock.kill, points))
    ours = Trials(shop)
    assert_well(f"killed, {kind}, plain shop", map(ours.kill, slice_of(ours.points, index, len(SLICES))))
    assert Tally.of("", theirs).half_done, "stock Django left nothing half done: is what is half done seen at all?"


def test_half_done_is_seen(trials: OnKind) -> None:
    """Stock Django, killed once tables have changed and before it is recorded: neither before nor after.

    What all other tests here say is worth as much as this one.
    """
    stock = Trials(trials(SQLITE).shop, MIGRATE_BACK, rename_as_of_old=True)
    first_commit = stock.numbers_of("COMMIT")[0]
    trial = stock.kill(Fault(first_commit, AFTER))
    assert trial.found == NEITHER, str(trial)
    with pytest.raises(AssertionError, match="left half done"):
        all_is_well([trial])


@pytest.mark.parametrize("index", SLICES)
@pytest.mark.sized("kind", usual=[CONCURRENTLY], long=[POSTGRESQL])
def test_cut_off(
    trials: OnKind, postgres: Cluster, numbers_of_faults: Numbers, assert_well: Report, kind: Kind, index: int
) -> None:
    """The connection breaks anywhere, and at COMMIT: what the command says of the database is true."""
    with Proxy(postgres.port) as proxy:
        some = slice_of(cuts(proxy, trials(kind), numbers_of_faults.cuts), index, len(SLICES))
        assert_well("cut off", (trials(kind).cut(cut, proxy) for cut in some))


def test_a_dead_client_holds_no_lock(trials: OnKind) -> None:
    """The client is killed while the server is busy for minutes: the next rollback need not wait for that."""
    shop = trials(CONCURRENTLY).shop
    [number, *_] = trials(CONCURRENTLY).numbers_of('INSERT INTO "shop_ledger"')
    with shop.copy() as database:
        database.execute(SLOWLY)
        fault = Fault(number, DURING, delay=0.5)
        assert shop.manage.run(database, *trials(CONCURRENTLY).command, fault=fault).killed
        database.execute("UPDATE shop_pace SET seconds = 0")
        goes_through_within(trials(CONCURRENTLY), database, SECONDS_UNTIL_FREE)


@pytest.mark.long
def test_a_vanished_host_holds_no_lock(trials: OnKind, postgres: Cluster) -> None:
    """The client's machine is gone and nobody tells the server: it lets go of the lock by itself."""
    rollbacks = trials(POSTGRESQL)
    fault = Fault(len(rollbacks.statements) // 2, BEFORE, PAUSE)
    with rollbacks.shop.copy() as database, Proxy(postgres.port) as proxy:

        def vanish(go_on: Callable[[], None]) -> None:
            proxy.freeze()
            go_on()

        with pytest.raises(CommandTookTooLong):
            there = proxy.database(database)
            rollbacks.shop.manage.run(there, *rollbacks.command, fault=fault, at_pause=vanish, limit=2)
        goes_through_within(rollbacks, database, SECONDS_UNTIL_A_SILENT_CLIENT_IS_GIVEN_UP)
