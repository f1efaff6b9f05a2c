"""Every point at which a rollback can die, and cuts and server faults by the hundred; beside stock Django's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import NamedTuple

import pytest

from faults.shop import MIGRATE_BACK, Shop, backwards
from faults.trials import (
    ServerFaults,
    Tally,
    Trial,
    Trials,
    all_is_well,
    cuts,
    deaths_inside,
    goes_through_within,
    interruptions,
    slice_of,
)
from harness.faults import BEFORE, PAUSE, CommandTookTooLong, DurableCluster, Fault, Proxy
from harness.postgres import Cluster

KILLS_INSIDE = 200
CUTS = 1200
SERVER_FAULTS = 120
# The server waits a minute for a client that is silent.
SECONDS_UNTIL_FREE = 90
SLICES = range(4)
Report = Callable[[str, Iterable[Trial]], list[Trial]]


class Kind(NamedTuple):
    """Which shop, on which database."""

    vendor: str
    mixed: bool = True
    concurrently: bool = False
    wal: bool = False

    def __str__(self) -> str:
        return "-".join([self.vendor, *(word for word in self._fields[1:] if getattr(self, word))])


KINDS = [Kind("sqlite"), Kind("sqlite", wal=True), Kind("postgresql"), Kind("postgresql", concurrently=True)]
PLAIN = [Kind("sqlite", mixed=False), Kind("postgresql", mixed=False)]


@pytest.fixture(scope="module")
def shops(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kind], Shop]]:
    """Shops, each built when it is asked for."""
    built: dict[Kind, Shop] = {}

    def shop(kind: Kind) -> Shop:
        if kind not in built:
            cluster: Cluster | None = request.getfixturevalue("postgres") if kind.vendor == "postgresql" else None
            folder = tmp_path_factory.mktemp("shop")
            built[kind] = Shop(folder, cluster=cluster, **kind._asdict())
        return built[kind]

    yield shop
    for each in built.values():
        each.close()


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    """Counts trials as they pass; `conftest.py` prints what was counted at the end of the run."""

    def counted(name: str, trials: Iterable[Trial]) -> list[Trial]:
        seen = list(trials)
        record_property("faults", asdict(Tally.of(name, seen)))
        return seen

    return counted


@pytest.mark.parametrize("index", SLICES)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_killed_at_every_point(shops: Callable[[Kind], Shop], report: Report, kind: Kind, index: int) -> None:
    """kill -9 before and after every statement there is."""
    trials = Trials(shops(kind))
    points = slice_of(trials.points, index, len(SLICES))
    all_is_well(report(f"killed, {kind}", map(trials.kill, points)))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_told_to_stop_at_every_statement(shops: Callable[[Kind], Shop], report: Report, kind: Kind) -> None:
    """Ctrl-C before every statement, and SIGTERM after it."""
    trials = Trials(shops(kind))
    all_is_well(report(f"told to stop, {kind}", map(trials.kill, interruptions(trials.points))))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_killed_inside_statements(shops: Callable[[Kind], Shop], report: Report, kind: Kind) -> None:
    """kill -9 within statements, half of the time within COMMIT."""
    trials = Trials(shops(kind))
    all_is_well(report(f"killed inside, {kind}", map(trials.kill, deaths_inside(trials, KILLS_INSIDE))))


@pytest.mark.parametrize("index", SLICES)
@pytest.mark.parametrize("kind", PLAIN, ids=str)
def test_beside_stock_django(shops: Callable[[Kind], Shop], report: Report, kind: Kind, index: int) -> None:
    """The same way back by Django's own `migrate`, of a shop that it can take back: it must do worse.

    On SQLite it has the help without which it could not go back at all where a view names a table.
    """
    shop = shops(kind)
    stock = Trials(shop, MIGRATE_BACK, rename_as_of_old=True)
    stock.know_the_way(*((*MIGRATE_BACK[:2], name) for name in backwards(shop)))
    points = slice_of(stock.points, index, len(SLICES))
    theirs = Tally.of("", report(f"killed, {kind}, plain shop, stock Django", map(stock.kill, points)))
    ours = Trials(shop)
    points = slice_of(ours.points, index, len(SLICES))
    all_is_well(report(f"killed, {kind}, plain shop", map(ours.kill, points)))
    assert theirs.half_done, "stock Django left nothing half done: is what is half done seen at all?"


@pytest.mark.parametrize("index", SLICES)
def test_cut_off(shops: Callable[[Kind], Shop], postgres: Cluster, report: Report, index: int) -> None:
    """The connection breaks at any byte, and at COMMIT."""
    trials = Trials(shops(Kind("postgresql")))
    with Proxy(postgres.port) as proxy:
        some = slice_of(cuts(proxy, trials, CUTS), index, len(SLICES))
        all_is_well(report("cut off", (trials.cut(cut, proxy) for cut in some)))


def test_a_server_that_fails(tmp_path_factory: pytest.TempPathFactory, report: Report) -> None:
    """Sessions ended, processes killed, servers crashed and started again, on a server that writes to disk."""
    with DurableCluster() as cluster, Shop(tmp_path_factory.mktemp("shop"), "postgresql", cluster) as shop:
        faults = ServerFaults(Trials(shop, wait=cluster.wait_until_it_answers), cluster)
        all_is_well(report("server faults", faults.some(SERVER_FAULTS)))


def test_a_vanished_host_holds_no_lock(shops: Callable[[Kind], Shop], postgres: Cluster) -> None:
    """The client's machine is gone and nobody tells the server: it lets go of the lock by itself."""
    trials = Trials(shops(Kind("postgresql")))
    fault = Fault(len(trials.statements) // 2, BEFORE, PAUSE)
    with trials.shop.copy() as database, Proxy(postgres.port) as proxy:

        def vanish(go_on: Callable[[], None]) -> None:
            proxy.freeze()
            go_on()

        with pytest.raises(CommandTookTooLong):
            there = proxy.database(database)
            trials.shop.manage.run(there, *trials.command, fault=fault, at_pause=vanish, limit=2)
        goes_through_within(trials, database, SECONDS_UNTIL_FREE)
