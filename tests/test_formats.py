"""What a newer version has stored does not bar the way of `migrate`, and stays as it is.

What every command of ours makes of such documents, and of damaged ones, is tested in `crates/rollback-cli/tests`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from harness.project import Project
from scenarios import same
from two_releases import VENDORS, TwoReleases

NEWER = '{"format":2,"delta":{}}'
NEWER_HASH = hashlib.sha256(NEWER.encode()).hexdigest()


def document(table: str, column: str, tag: str) -> tuple[str, ...]:
    """The release gets a document that a newer version has written, under its right hash."""
    size = "4, " if table == "django_rollback_appliedset" else ""
    return (
        f"INSERT INTO {table} VALUES ('{NEWER_HASH}', {size}'{NEWER}')",
        f"UPDATE django_rollback_appsstate SET {column} = '{NEWER_HASH}' WHERE tags LIKE '%{tag}%'",
    )


def operation(kind: str, outcome: str) -> tuple[str, ...]:
    """One more line in history."""
    values = f"'{kind}', '{outcome}', '{NEWER}', '2026-01-01 00:00:00+00:00'"
    return (f"INSERT INTO django_rollback_operation (kind, outcome, body, at) VALUES ({values})",)


CASES = {
    "set of the target": document("django_rollback_appliedset", "applied_set", "v1"),
    "set of the current release": document("django_rollback_appliedset", "applied_set", "v2"),
    "schema of the current release": document("django_rollback_schema", "schema", "v2"),
    "capsule": (f"UPDATE django_rollback_capsule SET format = 2, body = '{NEWER}' WHERE name = '0002_price'",),
    "rollback under way": operation("rollback", "running"),
    "rollback part-way": operation("rollback", "stopped"),
}
DOCUMENTS = (
    f"SELECT * FROM django_rollback_appliedset WHERE hash = '{NEWER_HASH}'",
    f"SELECT * FROM django_rollback_schema WHERE hash = '{NEWER_HASH}'",
    "SELECT * FROM django_rollback_capsule WHERE name = '0002_price'",
    "SELECT * FROM django_rollback_operation WHERE id = 3",
)


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> TwoReleases:
    """The project that these tests copy."""
    return TwoReleases(tmp_path_factory.mktemp("formats"), lambda: request.getfixturevalue("postgres"))


@pytest.fixture(params=VENDORS)
def project(request: pytest.FixtureRequest, releases: TwoReleases) -> Iterator[Project]:
    """v1 and v2 are saved; once on SQLite and once on PostgreSQL."""
    with releases.on(request.param) as project:
        yield project


@pytest.mark.parametrize("case", CASES)
def test_migrate(project: Project, case: str) -> None:
    for statement in CASES[case]:
        project.database.execute(statement)
    before = [project.database.execute(query) for query in DOCUMENTS]
    result = project.manage("migrate", "shop", "0001", check=False)
    assert (result.returncode, result.stderr) == (0, ""), result
    same([project.database.execute(query) for query in DOCUMENTS], before)
