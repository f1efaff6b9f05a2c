"""Servers that cannot do what a rollback asks of them: a replica, and a disk that is full."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import oracle
from harness.database import Database
from harness.postgres import Cluster
from harness.project import Project
from two_releases import APPS, V1

# Undone, it makes every row and its index anew.
REWRITE = {
    "shop/migrations/0002_wide.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [
                migrations.AddField("Item", "text", models.TextField(default="")),
                migrations.AddField("Item", "number", models.IntegerField(default=0)),
            ]
    """,
}
BIGGER = {
    "shop/migrations/0003_bigger.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            dependencies = [("shop", "0002_wide")]
            operations = [migrations.AlterField("Item", "number", models.BigIntegerField(default=0))]
    """,
}
ROWS = 4_000
TEXT = "x" * 1_500


def deploy(project: Project, files: dict[str, str], tag: str) -> None:
    project.commit(files, tag=tag)
    project.manage("migrate", "--verbosity=0")
    project.manage("save_migrations_state")


def everything(database: Database) -> tuple[object, object]:
    """Schema and rows, but for history: a rollback that fails leaves a line there."""
    tables = set(oracle.table_names(database)) - {"django_rollback_operation"}
    return oracle.schema(database), oracle.rows(database, tables)


def test_a_replica_is_read_and_never_written(tmp_path: Path) -> None:
    """What only reads works on it; what would write is refused, with the way out."""
    with Cluster() as cluster:
        project = Project(tmp_path / "project", database=cluster.create_database("shop"), apps=APPS, ways=())
        for tag, files in {"v1": V1, "v2": REWRITE}.items():
            deploy(project, files, tag)
        project.commit(tag="v3")
        before = everything(project.database)
        cluster.become_standby()
        key = {"DJANGO_ROLLBACK_KEY": project.secret}
        for run in (project.manage, project.native):
            words = ["rollback"] if run == project.manage else []
            assert run(*words, "list", env=key).returncode == 0
            assert json.loads(run(*words, "status", "--format", "json", env=key).stdout)["same"]
            planned = run(*words, "plan", "-t", "v1", "--format", "json", check=False, env=key)
            assert [each["kind"] for each in json.loads(planned.stdout)["blockers"]] == ["read-only"]
            for command in (["rollback", "-t", "v1"], ["save"]):
                refused = run(*words, *command, check=False, env=key)
                assert refused.returncode == 1, refused.stdout + refused.stderr
                assert "read-only" in refused.stdout + refused.stderr or "replica" in refused.stdout + refused.stderr
        assert everything(project.database) == before


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A file system of this size, where a server may reach it. Where none can be mounted there is nothing to see."""
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    folder.chmod(0o755)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no small file system can be mounted here (that takes root): disk full is not tried")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def grow(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


@pytest.mark.parametrize("way", ["sql", "disk"])
@pytest.mark.parametrize("vendor", ["sqlite", "postgres"])
def test_a_full_disk_takes_everything_back(
    request: pytest.FixtureRequest, tmp_path: Path, vendor: str, way: str
) -> None:
    """The table is made anew, and there is no room for it twice: nothing is changed. With more room it goes on."""
    with small_disk("48m") as disk:
        if vendor == "sqlite":
            (disk / "db.sqlite3").touch()
            database = Database.sqlite(disk / "db.sqlite3")
        else:
            cluster: Cluster = request.getfixturevalue("postgres")
            cluster.add_tablespace(f"small_{way}", disk)
            database = cluster.create_database(f"full_{way}")
            cluster.database("postgres").execute(f"ALTER DATABASE full_{way} SET TABLESPACE small_{way}")
        project = Project(tmp_path / "project", database=database, apps=APPS, ways=())
        for tag, files in {"v1": V1, "v2": REWRITE}.items():
            deploy(project, files, tag)
        fill(database)
        deploy(project, BIGGER, "v3")
        shrink_to_fit(disk)
        before = everything(database)
        words = ("rollback", "rollback", "-t", "v2", "--way", way)
        failed = project.manage(*words, check=False)
        assert failed.returncode == 1, failed.stdout + failed.stderr
        assert "full" in failed.stderr or "No space left" in failed.stderr, failed.stderr
        grow(disk, "256m")
        assert everything(database) == before
        project.manage(*words)
        assert json.loads(project.native("status", "--format", "json").stdout)["same"]
        if vendor == "postgres":
            cluster.drop_database(f"full_{way}")
            cluster.database("postgres").execute(f"DROP TABLESPACE small_{way}")


def fill(database: Database) -> None:
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
    insert = "INSERT INTO shop_item (text, number) {numbers} SELECT '{text}', i FROM n"
    database.execute(insert.format(numbers=numbers.format(rows=ROWS), text=TEXT))


def shrink_to_fit(disk: Path) -> None:
    """Leave room for records, and not for the table."""
    usage = os.statvfs(disk)
    used = (usage.f_blocks - usage.f_bfree) * usage.f_frsize
    grow(disk, f"{used // 1024 + 3_000}k")
