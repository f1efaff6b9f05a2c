"""The random walks of `tests/test_model.py`, longer and many more of them.

`DJANGO_ROLLBACK_TEST_WALKS` says how many, both databases together, and `DJANGO_ROLLBACK_TEST_SEED` which.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from harness.postgres import Cluster
from walks import Walker, take_walks

WALKS = int(os.environ.get("DJANGO_ROLLBACK_TEST_WALKS", "2000"))
BATCH, STEPS = 25, 30
# Other walks than those of the short tier.
FIRST_NUMBER = 1000


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def walker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, numbers: Iterator[int]
) -> Iterator[Walker]:
    """Takes walks on one kind of database."""
    cluster: Cluster | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    walker = Walker(tmp_path_factory.mktemp("walks"), cluster, numbers)
    yield walker
    walker.close()


@pytest.mark.parametrize("number", range(FIRST_NUMBER, FIRST_NUMBER + max(1, WALKS // 2 // BATCH)))
def test_database_and_model_stay_the_same(walker: Walker, number: int) -> None:
    """Whatever comes after what: after each step the database holds what the model says."""
    take_walks(walker, number, walks=BATCH, steps=STEPS)
