"""Fixtures: a fresh database per test on SQLite and on PostgreSQL, and a Django project that uses it.

PostgreSQL is started when the first test asks for it; where it cannot be, its tests fail, they are never skipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from harness.database import Database
from harness.postgres import Cluster
from harness.project import Project

NewDatabase = Callable[[], Database]
CopyDatabase = Callable[..., Database]


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
