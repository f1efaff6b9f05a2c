"""The rows of `tests/test_hostile.py`, and many more of them.

`DJANGO_ROLLBACK_TEST_ROWS` says how many on SQLite (a tenth of that on PostgreSQL), `DJANGO_ROLLBACK_TEST_SEED` which.
"""

from __future__ import annotations

import os

import pytest

from test_hostile import Shop, check

ROWS = int(os.environ.get("DJANGO_ROLLBACK_TEST_ROWS", "10000"))
SLICE = 1000
# Other rows than those of the short tier.
FIRST_NUMBER = 100_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Shop:
    """The project and its databases."""
    return Shop(tmp_path_factory.mktemp("hostile"), lambda: request.getfixturevalue("postgres"))


@pytest.mark.parametrize("number", range(max(1, ROWS // SLICE)))
def test_on_sqlite(shop: Shop, number: int) -> None:
    """In the image of the first release and in that of the last, two to one."""
    image = "new" if number % 3 == 2 else "old"
    first = FIRST_NUMBER + number * SLICE
    check(shop.attack("sqlite", image, first=first, count=min(ROWS, SLICE), binary_every=20, manage_every=500))


@pytest.mark.parametrize("image", ["old", "new"])
def test_on_postgresql(shop: Shop, image: str) -> None:
    """A tenth as many."""
    rows = max(1, ROWS // 20)
    check(shop.attack("postgresql", image, first=FIRST_NUMBER, count=rows, binary_every=10, carry_out_every=5))
