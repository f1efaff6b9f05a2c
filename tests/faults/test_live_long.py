"""The open shop for as long as it takes: what `tests/test_live.py` plays, many times and at many moments."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import live_rounds
from harness.pgbouncer import PgBouncer
from harness.postgres import Cluster
from live_rounds import Rounds
from live_shop import Shop


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


@pytest.mark.parametrize(("rounds", "binaries"), [(25, 0), (5, 2)], ids=["manage.py", "and the binary"])
def test_one_of_four_wins(shop: Shop, through: PgBouncer | None, rounds: int, binaries: int) -> None:
    outcomes = live_rounds.contend(shop, "postgresql", rounds, through, binaries=binaries)
    print(outcomes)
    assert outcomes["won"] == rounds


def test_one_of_four_wins_on_sqlite(shop: Shop) -> None:
    print(live_rounds.contend(shop, "sqlite", 10))


@pytest.mark.parametrize("play", [live_rounds.save_and_go_back, live_rounds.migrate_and_go_back])
def test_a_rollback_meets_another_command(shop: Shop, through: PgBouncer | None, play: Rounds) -> None:
    """Either one refuses in some of the rounds, and in some they do not meet."""
    outcomes = play(shop, "postgresql", 20, through)
    print(outcomes)
    assert len(outcomes) > 1


@pytest.mark.parametrize("play", [live_rounds.save_and_go_back, live_rounds.migrate_and_go_back])
def test_a_rollback_meets_another_command_on_sqlite(shop: Shop, play: Rounds) -> None:
    print(play(shop, "sqlite", 20, None))


def test_a_rollback_is_killed(shop: Shop, through: PgBouncer | None) -> None:
    print(live_rounds.kill(shop, 15, through))


@pytest.mark.parametrize("crossing", [0, 2], ids=["in order", "crosswise"])
def test_an_application_goes_on(shop: Shop, through: PgBouncer | None, crossing: int) -> None:
    """Twenty times back and up, half of them behind a reader of two and a half seconds."""
    print(live_rounds.stay_open(shop, 20, through, reader=2.5, crossing=crossing))


def test_it_is_never_the_application_that_dies_of_a_deadlock(shop: Shop) -> None:
    live_rounds.cross(shop, 25)
