"""A rollback is tried on a scratch copy, down and up again, before anybody needs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import NewDatabase
from harness import oracle
from harness.database import Database
from harness.project import Project
from two_releases import APPS, V1, V2

DATA = {
    "shop/migrations/0003_prices.py": """
        from django.db import migrations

        def fill(apps, editor):
            apps.get_model("shop", "Item").objects.update(price=5)

        def empty(apps, editor):
            apps.get_model("shop", "Item").objects.update(price=0)

        class Migration(migrations.Migration):
            dependencies = [("shop", "0002_price")]
            operations = [migrations.RunPython(fill, empty)]
    """,
}
# Its reverse makes the column again, and another one than it was.
UNFAITHFUL = {
    "shop/migrations/0003_renamed.py": """
        from django.db import migrations

        class Migration(migrations.Migration):
            dependencies = [("shop", "0002_price")]
            operations = [migrations.RunSQL(
                "CREATE INDEX by_price ON shop_item (price)",
                "DROP INDEX by_price; CREATE TABLE left_behind (id integer)",
            )]
    """,
}


@pytest.fixture
def shop(new_database: NewDatabase, tmp_path: Path) -> Iterator[Project]:
    """v1 and v2, both saved, with the usual ways."""
    project = Project(tmp_path / "project", database=new_database(), apps=APPS, ways=())
    for tag, files in {"v1": V1, "v2": V2}.items():
        deploy(project, files, tag)
    yield project


def deploy(project: Project, files: dict[str, str], tag: str) -> None:
    project.commit(files, tag=tag)
    project.manage("migrate", "--verbosity=0")
    project.manage("save_migrations_state")


def everything(database: Database) -> tuple[object, object]:
    """Schema and rows, but for history."""
    tables = set(oracle.table_names(database)) - {"django_rollback_operation"}
    return oracle.schema(database), oracle.rows(database, tables)


@pytest.mark.parametrize("way", ["sql", "disk", "capsule"])
def test_down_and_up_again(shop: Project, way: str) -> None:
    """Nothing of the database changes but a line of history, whichever way it goes."""
    shop.database.execute("INSERT INTO shop_item (price) VALUES (3)")
    before = everything(shop.database)
    found = json.loads(shop.manage("rollback", "rehearse", "-t", "v1", "--way", way, "--format", "json").stdout)
    assert (found["outcome"], found["problem"]) == ("done", None)
    assert [(step["migration"], step["way"], step["differences"]) for step in found["steps"]] == [
        ("0002_price", way, [])
    ]
    assert everything(shop.database) == before
    history = json.loads(shop.native("history", "--format", "json").stdout)["operations"]
    assert (history[0]["kind"], history[0]["outcome"], history[0]["steps_done"]) == ("rehearsal", "done", 1)


def test_only_what_was_rehearsed_runs_where_that_is_asked_for(shop: Project) -> None:
    """A rehearsal proves the steps and what they are done with; another way, or a newer migration, is another plan."""
    wanted = ("-t", "v1", "--require-rehearsal", "--format", "json")
    refused = shop.manage("rollback", "plan", *wanted, check=False)
    assert [each["kind"] for each in json.loads(refused.stdout)["blockers"]] == ["not-rehearsed"]
    shop.manage("rollback", "rehearse", "-t", "v1")
    assert json.loads(shop.manage("rollback", "plan", *wanted).stdout)["blockers"] == []
    assert shop.manage("rollback", "plan", *wanted, "--way", "disk", check=False).returncode == 1
    deploy(shop, DATA, "v3")
    assert shop.manage("rollback", "rollback", *wanted[:3], "--accept-data-loss", check=False).returncode == 1
    shop.manage("rollback", "rehearse", "-t", "v1")
    shop.manage("rollback", "rollback", *wanted[:3], "--accept-data-loss")
    assert json.loads(shop.native("status", "--format", "json").stdout)["same"]


def test_what_does_not_come_back_is_said_and_recorded(shop: Project) -> None:
    """Undone and applied again, the schema is another one: the rehearsal fails, and the database is as it was."""
    deploy(shop, UNFAITHFUL, "v3")
    before = everything(shop.database)
    result = shop.manage("rollback", "rehearse", "-t", "v2", check=False)
    assert result.returncode == 1
    assert "left_behind" in result.stderr and "was not touched" in result.stderr
    assert everything(shop.database) == before
    assert json.loads(shop.native("history", "--format", "json").stdout)["operations"][0]["outcome"] == "failed"
    refused = shop.manage("rollback", "plan", "-t", "v2", "--require-rehearsal", check=False)
    assert "never rehearsed" in refused.stdout


def test_the_binary_sends_one_to_manage_py(shop: Project) -> None:
    """Only Django can apply migrations again."""
    result = shop.native("rehearse", "-t", "v1", check=False)
    assert result.returncode == 1
    assert "manage.py rollback rehearse" in result.stderr


def test_blockers_are_shown(shop: Project) -> None:
    """A plan that cannot run is not rehearsed."""
    deploy(shop, DATA, "v3")
    result = shop.manage("rollback", "rehearse", "-t", "v1", "--way", "sql", check=False)
    assert result.returncode == 1
    assert "RunPython fill" in result.stdout
