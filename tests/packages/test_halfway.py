"""All the migrations of published packages, taken back to somewhere on the way, are as if the rest had never run.

The oracle is the same database when it was first there; for rows, which no published migration promises to bring
back, it is what Django's own executor leaves when it takes the same steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest

from harness.postgres import Cluster
from packages import sites
from packages.journeys import Databases, Journey, Snapshot, blocked, commit_of
from packages.known import forgiven, go_back
from scenarios import same
from two_releases import everything_in

SITES = {"wagtail": sites.WAGTAIL_NEW, "oscar": sites.OSCAR_NEW, "addons": sites.ADDONS_NEW}
VENDORS = ("sqlite", "postgresql")
SHARES = (0.0, 0.25, 0.5, 0.75)
DJANGOS_ORDER = None
# Oscar's migrations leave out dependencies between its apps: in other orders than Django's they cannot even be applied.
SEEDS = {
    "wagtail": (DJANGOS_ORDER, 1, 2),
    "oscar": (DJANGOS_ORDER,),
    "addons": (DJANGOS_ORDER, 1, 2),
}


class Route(NamedTuple):
    """Which site goes on a journey, on which database, and in which order."""

    site: str
    vendor: str
    seed: int | None

    def __str__(self) -> str:
        order = "in-order" if self.seed is DJANGOS_ORDER else f"seed-{self.seed}"
        return f"{self.site}-{self.vendor}-{order}"


ROUTES = [Route(site, vendor, seed) for site in SITES for vendor in VENDORS for seed in SEEDS[site]]


@pytest.fixture(scope="module", params=ROUTES, ids=str)
def journey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """A site that has stopped at each share of its migrations, and wherever a way back has to begin."""
    route: Route = request.param
    folder = tmp_path_factory.mktemp("journey")
    cluster: Callable[[], Cluster] = lambda: request.getfixturevalue("postgres")  # noqa: E731
    journey = Journey(SITES[route.site], Databases(route.vendor, folder, cluster), folder, route.seed)
    targets = [journey.target(share) for share in SHARES]
    for stop in sorted({*targets, *map(journey.farthest_start, targets), journey.end}):
        journey.go_on_to(stop)
    return journey


@pytest.mark.parametrize("share", SHARES)
def test_what_comes_back_is_what_was_there(journey: Journey, share: float) -> None:
    """Schema, applied migrations and content types are those of then.

    Where rows are not, because a data migration's way back does nothing, they are those that Django leaves.
    """
    target = journey.target(share)
    start = journey.farthest_start(target)
    journey.use_copy(start)
    exact = go_back(journey.project, commit_of(target))
    found, fresh = Snapshot.of(journey.project.database), journey.snapshots[target]
    assert exact or found.schema != fresh.schema
    same(forgiven(found.schema), forgiven(fresh.schema))
    same(found.migrations, fresh.migrations)
    assert found.content_types >= fresh.content_types
    if (found.schema, found.rows) != (fresh.schema, fresh.rows):
        journey.use_copy(start)
        journey.call("backwards", journey.keys(target, start))
        by_django = Snapshot.of(journey.project.database)
        same(found.schema, by_django.schema)
        same(found.rows, by_django.rows)


@pytest.mark.parametrize("share", SHARES)
def test_what_cannot_be_undone_is_all_named_and_nothing_is_touched(journey: Journey, share: float) -> None:
    """From the end of the journey: each irreversible migration on the way is a blocker, and there are no others."""
    target = journey.target(share)
    irreversible = {".".join(entry.key) for entry in journey.order[target:] if entry.irreversible}
    journey.use_copy(journey.end)
    untouched = everything_in(journey.project.database)
    command = ["rollback_migrations", "-c", commit_of(target)]
    plan = json.loads(journey.project.manage(*command, "--fake", "--format", "json", check=False).stdout)
    assert len(plan["steps"]) == journey.end - target
    same(blocked(plan), irreversible)
    if irreversible:
        assert journey.project.manage(*command, check=False).returncode == 1
    same(everything_in(journey.project.database), untouched)
