"""The benchmark's generated project is a right one: stock Django takes it up, down to a release, and to zero.

A small one is enough: apps differ in their number, not in kind.
"""

from __future__ import annotations

from pathlib import Path

from conftest import NewDatabase
from generate import generate
from harness import oracle
from harness.database import Database
from harness.project import CONTRIB_APPS, Project
from many import generate_many


def small_project(root: Path, database: Database) -> Project:
    return generate(root, database, apps=4, migrations=32, base_apps=CONTRIB_APPS)


def newest_migrations(project: Project) -> dict[str, str]:
    """The last migration of each generated app, later apps first: the order in which Django can undo them."""
    folders = sorted(project.root.glob("app_*/migrations"), reverse=True)
    return {folder.parent.name: max(path.stem for path in folder.glob("0*.py")) for folder in folders}


def test_goes_up_and_back_with_stock_django(tmp_path: Path, new_database: NewDatabase) -> None:
    project = small_project(tmp_path / "project", new_database())
    project.manage("migrate")
    base = project.clone_at("base", new_database())
    base.manage("migrate")
    assert oracle.schema(project.database) != oracle.schema(base.database)

    for app, migration in newest_migrations(base).items():
        project.manage("migrate", app, migration)
    assert oracle.schema(project.database) == oracle.schema(base.database)
    assert oracle.migrations(project.database) == oracle.migrations(base.database)
    assert oracle.rows(project.database) == oracle.rows(base.database)

    for app in newest_migrations(base):
        project.manage("migrate", app, "zero")
    assert not [table for table in oracle.table_names(project.database) if table.startswith("app_")]


def test_models_are_what_the_migrations_make(tmp_path: Path, database: Database) -> None:
    project = small_project(tmp_path / "project", database)
    for release in ("base", "ten", "all"):
        project.checkout(release)
        assert project.manage("makemigrations", "--check", "--dry-run").stdout == "No changes detected\n"


def test_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    database = Database.sqlite(tmp_path / "database.sqlite3")
    one, other = (small_project(tmp_path / name, database) for name in ("one", "other"))
    assert one.git("rev-parse", "base", "ten", "all") == other.git("rev-parse", "base", "ten", "all")


def test_many_files_go_up_and_back_with_stock_django(tmp_path: Path, new_database: NewDatabase) -> None:
    project = generate_many(tmp_path / "project", new_database(), files=32, per_app=8)
    assert len(list(project.root.glob("app_*/migrations/0*.py"))) == 32
    project.manage("migrate")
    for folder in sorted(project.root.glob("app_*"), reverse=True):
        project.manage("migrate", folder.name, "zero")
    assert not [table for table in oracle.table_names(project.database) if table.startswith("app_")]


def test_many_files_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    database = Database.sqlite(tmp_path / "database.sqlite3")
    one, other = (generate_many(tmp_path / name, database, files=24, per_app=6) for name in ("one", "other"))
    tags = ("empty", "v1", "v2")
    assert one.git("rev-parse", *tags) == other.git("rev-parse", *tags)
    assert one.git("diff", "--name-only", "v1", "v2").count("migrations/") == 4
