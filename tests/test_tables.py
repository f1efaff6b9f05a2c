"""The tables that Rust tests make by SQL are those that Django's migrations make."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from harness import oracle
from harness.database import Database
from harness.project import Project

TABLES = Path(__file__).parents[1] / "crates/rollback-testing/src/tables.sql"


def test_tables_in_rust_tests_are_those_of_the_migrations(tmp_path: Path) -> None:
    path = tmp_path / "rust.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.executescript(TABLES.read_text())
    in_rust = Database.sqlite(path)

    path = tmp_path / "django.sqlite3"
    path.touch()
    in_django = Database.sqlite(path)
    Project(tmp_path / "project", database=in_django, apps=("django_rollback",)).manage("migrate", "-v", "0")

    assert oracle.schema(in_rust, own_tables=True) == oracle.schema(in_django, own_tables=True)
    assert oracle.migrations(in_rust) == oracle.migrations(in_django)
    assert in_rust.execute("SELECT id FROM django_rollback_lock") == [(1,)]
