"""Fixtures: a fresh database per test on SQLite and on PostgreSQL, and a Django project that uses it.

PostgreSQL is started when the first test asks for it; where it cannot be, its tests fail, they are never skipped.

A run has a size. `--size long` runs only those tests that do in a long run much more than in a usual one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from harness import memory
from harness.database import Database
from harness.postgres import Cluster
from harness.project import Project

NewDatabase = Callable[[], Database]
CopyDatabase = Callable[..., Database]

USUAL, LONG = "usual", "long"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--size`."""
    parser.addoption("--size", choices=[USUAL, LONG], default=USUAL, help="long: what has a long size, and only that")


def pytest_configure(config: pytest.Config) -> None:
    """Describes the markers of sizes, and puts what is temporary into memory."""
    memory.use()
    config.addinivalue_line("markers", "sized(names, usual, long): in a run of either size, with these values")
    config.addinivalue_line("markers", "long: only in a long run")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a test that is `sized` its arguments."""
    for mark in filter(lambda mark: mark.args, metafunc.definition.iter_markers("sized")):
        metafunc.parametrize(*mark.args, mark.kwargs[metafunc.config.getoption("size")])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A usual run skips what is only long; a long run skips what has no long size."""
    is_long = config.getoption("size") == LONG

    def belongs(item: pytest.Item) -> bool:
        only_long, sized = item.get_closest_marker("long"), item.get_closest_marker("sized")
        return bool(only_long or sized) if is_long else not only_long

    left_out = [item for item in items if not belongs(item)]
    items[:] = [item for item in items if belongs(item)]
    config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what the tests have counted, in all their slices together."""
    from faults.trials import Tally

    reports = (each for name in ("passed", "failed") for each in terminalreporter.stats.get(name, []))
    tallies = [Tally(**value) for each in reports for name, value in each.user_properties if name == "faults"]
    if tallies:
        terminalreporter.section("faults")
        for name in sorted({tally.name for tally in tallies}):
            terminalreporter.write_line(str(Tally.sum(tally for tally in tallies if tally.name == name)))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """The PostgreSQL server of this test run."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Numbers for the names of databases, each once in a run."""
    return count(1)


@pytest.fixture(params=["sqlite", "postgres"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path, numbers: Iterator[int]) -> Iterator[NewDatabase]:
    """Call it for one more empty database of the kind that the test runs on."""
    if request.param == "sqlite":
        yield lambda: _create_file(tmp_path / f"database-{next(numbers)}.sqlite3")
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    created: list[Database] = []

    def create() -> Database:
        created.append(cluster.create_database(f"test_{next(numbers)}"))
        return created[-1]

    yield create
    for database in created:
        cluster.drop_database(database.name)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def copy_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, numbers: Iterator[int]
) -> Iterator[CopyDatabase]:
    """For what is built once for a file of tests: call it for an empty database, or with one for a copy of that."""
    folder = tmp_path_factory.mktemp("databases")
    cluster: Cluster | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    created: list[Database] = []

    def create(template: Database | None = None) -> Database:
        name = f"copy_{next(numbers)}"
        if cluster is not None:
            created.append(cluster.create_database(name, template=template.name if template else "template1"))
            return created[-1]
        path = folder / f"{name}.sqlite3"
        if template is None:
            return _create_file(path)
        shutil.copy(template.name, path)
        return Database.sqlite(path)

    yield create
    for database in created if cluster else []:
        cluster.drop_database(database.name)


@pytest.fixture
def database(new_database: NewDatabase) -> Database:
    """A fresh database; a test that asks for it runs once on SQLite and once on PostgreSQL."""
    return new_database()


@pytest.fixture
def project(tmp_path: Path, database: Database) -> Project:
    """An empty Django project on `database`, with nothing committed yet."""
    return Project(tmp_path / "project", database=database)


def _create_file(path: Path) -> Database:
    path.touch()
    return Database.sqlite(path)
