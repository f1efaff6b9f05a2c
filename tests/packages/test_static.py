"""Published migrations, read as text: every fact is the one that Django's own loader comes to, or called unknown."""

from __future__ import annotations

import pytest

from packages import sites
from packages.static_facts import Reading
from scenarios import same

SITES = {
    "wagtail-old": sites.WAGTAIL_OLD,
    "wagtail-new": sites.WAGTAIL_NEW,
    "oscar-old": sites.OSCAR_OLD,
    "oscar-new": sites.OSCAR_NEW,
    "addons-old": sites.ADDONS_OLD,
    "addons-new": sites.ADDONS_NEW,
    "cms-old": sites.CMS_OLD,
    "cms-new": sites.CMS_NEW,
    "more": sites.MORE,
}
UNKNOWN_AT_MOST = 0.01


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reading]:
    """Each site, read and loaded."""
    return {name: Reading.of(site, tmp_path_factory.mktemp(name)) for name, site in SITES.items()}


@pytest.mark.parametrize("name", SITES)
def test_what_is_read_is_what_django_loads(name: str, readings: dict[str, Reading]) -> None:
    """Graph, flags and operations, file by file."""
    assert readings[name].loaded
    same(readings[name].differences(), [])


def test_hardly_anything_is_unknown(readings: dict[str, Reading]) -> None:
    """Of all migrations together: whoever has a few odd ones among many can still work from the text."""
    unknown = [line for reading in readings.values() for line in reading.unknown()]
    loaded = sum(len(reading.loaded) for reading in readings.values())
    print("\n".join((f"{len(unknown)} of {loaded} migrations are unknown", *unknown)))
    assert len(unknown) < UNKNOWN_AT_MOST * loaded
