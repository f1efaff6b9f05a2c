"""A rollback that is killed, cut off or loses its server leaves everything as it was, or everything done.

A sample of what `pytest tests/faults` tries in full; DJANGO_ROLLBACK_TEST_SEED chooses another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from faults.shop import MIGRATE_BACK, SLOWLY, Shop
from faults.trials import (
    NEITHER,
    ServerFaults,
    Trials,
    all_is_well,
    cuts,
    deaths_inside,
    goes_through_within,
    interruptions,
    sample,
    slice_of,
)
from harness.faults import AFTER, DURING, DurableCluster, Fault, Proxy
from harness.postgres import Cluster

OnVendor = Callable[[str], Trials]
SLICES = range(4)
KILLS = 40
KILLS_INSIDE = 10
INTERRUPTIONS = 10
CUTS = 120
SERVER_FAULTS = 20
SECONDS_UNTIL_FREE = 60


@pytest.fixture(scope="module")
def trials(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnVendor]:
    """Trials of a rollback on either database, whose shop is built when the first of them is asked for."""
    ready: dict[str, Trials] = {}

    def on(vendor: str) -> Trials:
        if vendor not in ready:
            cluster: Cluster | None = request.getfixturevalue("postgres") if vendor == "postgresql" else None
            folder = tmp_path_factory.mktemp("shop")
            ready[vendor] = Trials(Shop(folder, vendor, cluster, concurrently=cluster is not None))
        return ready[vendor]

    yield on
    for each in ready.values():
        each.shop.close()


def test_a_server_that_fails(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The session is ended, its process is killed, or the whole server goes down, and comes back."""
    with DurableCluster() as cluster, Shop(tmp_path_factory.mktemp("shop"), "postgresql", cluster) as shop:
        faults = ServerFaults(Trials(shop, wait=cluster.wait_until_it_answers), cluster)
        all_is_well(faults.some(SERVER_FAULTS))


@pytest.mark.parametrize("index", SLICES)
@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_killed_between_statements(trials: OnVendor, vendor: str, index: int) -> None:
    """kill -9 before or after a statement: everything or nothing, and the same command again does the rest."""
    some = sample(trials(vendor).points, KILLS, vendor)
    all_is_well(map(trials(vendor).kill, slice_of(some, index, len(SLICES))))


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_killed_inside_a_statement(trials: OnVendor, vendor: str) -> None:
    """kill -9 while the database is at work, above all at COMMIT."""
    all_is_well(map(trials(vendor).kill, deaths_inside(trials(vendor), KILLS_INSIDE)))


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_told_to_stop(trials: OnVendor, vendor: str) -> None:
    """Ctrl-C or SIGTERM at a statement, at COMMIT too: nothing is half done, and what the command says is true."""
    points, commit = trials(vendor).points, trials(vendor).numbers_of("COMMIT")[-1]
    some = sample(points, INTERRUPTIONS, f"interrupted {vendor}")
    at_commit = [point for point in points if point.statement == commit]
    all_is_well(map(trials(vendor).kill, [*interruptions([*some, *at_commit]), *interruptions(reversed(at_commit))]))


def test_half_done_is_seen(trials: OnVendor) -> None:
    """Stock Django, killed once tables have changed and before it is recorded: neither before nor after.

    What all other tests here say is worth as much as this one.
    """
    stock = Trials(trials("sqlite").shop, MIGRATE_BACK, rename_as_of_old=True)
    first_commit = stock.numbers_of("COMMIT")[0]
    trial = stock.kill(Fault(first_commit, AFTER))
    assert trial.found == NEITHER, str(trial)
    with pytest.raises(AssertionError, match="left half done"):
        all_is_well([trial])


@pytest.mark.parametrize("index", SLICES)
def test_cut_off(trials: OnVendor, postgres: Cluster, index: int) -> None:
    """The connection breaks anywhere, and at COMMIT: what the command says of the database is true."""
    with Proxy(postgres.port) as proxy:
        some = slice_of(cuts(proxy, trials("postgresql"), CUTS), index, len(SLICES))
        all_is_well(trials("postgresql").cut(cut, proxy) for cut in some)


def test_a_dead_client_holds_no_lock(trials: OnVendor) -> None:
    """The client is killed while the server is busy for minutes: the next rollback need not wait for that."""
    shop = trials("postgresql").shop
    [number, *_] = trials("postgresql").numbers_of('INSERT INTO "shop_ledger"')
    with shop.copy() as database:
        database.execute(SLOWLY)
        assert shop.manage.run(database, *trials("postgresql").command, fault=Fault(number, DURING, delay=0.5)).killed
        database.execute("UPDATE shop_pace SET seconds = 0")
        goes_through_within(trials("postgresql"), database, SECONDS_UNTIL_FREE)
