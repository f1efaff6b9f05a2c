"""Random walks through migrations, saves, rollbacks, crashes and contention, with a plain model beside the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.postgres import Cluster
from walks import Walker, take_walks

# Of each database: 75 walks of 12 steps.
BATCHES, WALKS, STEPS = 5, 15, 12


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def walker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, numbers: Iterator[int]
) -> Iterator[Walker]:
    """Takes walks on one kind of database."""
    cluster: Cluster | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    walker = Walker(tmp_path_factory.mktemp("walks"), cluster, numbers)
    yield walker
    walker.close()


@pytest.mark.parametrize("number", range(BATCHES))
def test_database_and_model_stay_the_same(walker: Walker, number: int) -> None:
    """Whatever comes after what: after each step the database holds what the model says. The same walks in each run."""
    take_walks(walker, number, walks=WALKS, steps=STEPS)
