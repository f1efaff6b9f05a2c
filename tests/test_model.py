"""Random walks through migrations, saves, rollbacks, crashes and contention, with a plain model beside the database.

In a long run they are longer, and others; DJANGO_ROLLBACK_TEST_WALKS says how many, both databases together, and
DJANGO_ROLLBACK_TEST_SEED which.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from harness.postgres import Cluster
from walks import Walker, take_walks

# Of each database: so many batches of so many walks, of so many steps.
BATCHES, WALKS, STEPS = 5, 15, 12
LONG_WALKS, LONG_STEPS = 25, 30
LONG_BATCHES = max(1, int(os.environ.get("DJANGO_ROLLBACK_TEST_WALKS", "2000")) // 2 // LONG_WALKS)
FIRST_LONG_BATCH = 1000


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def walker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, numbers: Iterator[int]
) -> Iterator[Walker]:
    """Takes walks on one kind of database."""
    cluster: Cluster | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    walker = Walker(tmp_path_factory.mktemp("walks"), cluster, numbers)
    yield walker
    walker.close()


@pytest.mark.sized(
    ("number", "walks", "steps"),
    usual=[(number, WALKS, STEPS) for number in range(BATCHES)],
    long=[(FIRST_LONG_BATCH + number, LONG_WALKS, LONG_STEPS) for number in range(LONG_BATCHES)],
)
def test_database_and_model_stay_the_same(walker: Walker, number: int, walks: int, steps: int) -> None:
    """Whatever comes after what: after each step the database holds what the model says. The same walks in each run."""
    take_walks(walker, number, walks=walks, steps=steps)
