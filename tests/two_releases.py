"""A small shop with the releases v1 and v2 saved, made once on each database and copied for every test that needs it.

It also knows both doors by one set of words, so that a table of inputs can be tried through either of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from harness import oracle
from harness.database import Database
from harness.postgres import Cluster
from harness.project import Project

APPS = ("django_rollback", "shop")
VENDORS = ("sqlite", "postgresql")
V1 = {
    "shop/migrations/0001_initial.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            initial = True
            operations = [migrations.CreateModel("Item", [("id", models.BigAutoField(primary_key=True))])]
    """,
}
V2 = {
    "shop/migrations/0002_price.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [migrations.AddField("Item", "price", models.IntegerField(default=0))]
    """,
}
ORIGINAL_COMMANDS = {
    "save": ["save_migrations_state"],
    "list": ["rollback_migrations", "--list"],
    "rollback": ["rollback_migrations"],
    "plan": ["rollback_migrations", "--fake"],
}
HEADINGS = {"native": "error: ", "manage": "CommandError: ", "original": "CommandError: "}
DOORS = tuple(HEADINGS)

Result = CompletedProcess[str]
numbers = count(1)


class TwoReleases:
    """The work tree at v2, the commits, and the databases that are copied."""

    def __init__(self, root: Path, cluster: Callable[[], Cluster]) -> None:
        self.root = root
        self._cluster = cluster
        self._templates: dict[str, Database] = {}
        self.project = Project(root / "project", database=self._file("unused"), apps=APPS)
        self.commits = {"v1": self.project.commit(V1, tag="v1"), "v2": self.project.commit(V2, tag="v2")}

    @contextmanager
    def on(self, vendor: str) -> Iterator[Project]:
        """The project on a database of its own in which both releases are saved."""
        template = self._templates.get(vendor) or self._deploy(vendor)
        with self.database(vendor, template) as database:
            self.project.use(database)
            yield self.project

    @contextmanager
    def database(self, vendor: str, template: Database | None = None) -> Iterator[Database]:
        """A database of this kind: a copy of `template`, or an empty one."""
        name = f"two_releases_{next(numbers)}"
        if vendor == "sqlite":
            path = self.root / f"{name}.sqlite3"
            shutil.copyfile(template.name, path) if template else path.touch()
            yield Database.sqlite(path)
            path.unlink(missing_ok=True)
            return
        yield self._cluster().create_database(name, template=template.name if template else "template1")
        self._cluster().drop_database(name)

    def label(self, tag: str) -> str:
        """How a sentence calls the release: `03ec91e (v1)`."""
        return f"{self.commits[tag][:7]} ({tag})"

    def _deploy(self, vendor: str) -> Database:
        name = f"two_releases_template_{next(numbers)}"
        database = self._file(name) if vendor == "sqlite" else self._cluster().create_database(name)
        self.project.use(database)
        for tag, target in (("v1", "0001"), ("v2", "0002")):
            self.project.manage("migrate", "django_rollback", "-v", "0")
            self.project.manage("migrate", "shop", target, "-v", "0")
            self.project.manage(
                "save_migrations_state",
                "-v",
                "0",
                "--commit",
                self.commits[tag],
            )
        self._templates[vendor] = database
        return database

    def _file(self, name: str) -> Database:
        path = self.root / f"{name}.sqlite3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return Database.sqlite(path)


def run(project: Project, door: str, *words: str, **options: Any) -> Result:
    """Run one command through a door: the binary, `manage.py rollback …`, or the commands of the original."""
    if door == "native":
        result = project.native(*words, check=False, **options)
    elif door == "manage":
        result = project.manage("rollback", *words, check=False, **options)
    else:
        result = project.manage(*ORIGINAL_COMMANDS[words[0]], *words[1:], check=False, **options)
    for trace in ("Traceback", "panicked", "RUST_BACKTRACE"):
        assert trace not in result.stdout + result.stderr, result.stderr
    return result


def refusal(result: Result, door: str) -> tuple[int, str]:
    """Exit code and what stands on stderr, without the heading that the door puts before it."""
    assert result.stderr.startswith(HEADINGS[door]), result.stderr
    return result.returncode, result.stderr.removeprefix(HEADINGS[door]).removesuffix("\n")


def name_of(database: Database) -> str:
    """What messages call a database."""
    if database.vendor == "sqlite":
        return f"the SQLite database at {database.name}"
    return f'the PostgreSQL database "{database.name}" on {database.host}:{database.port}'


def everything_in(database: Database) -> dict[str, list[str]]:
    """Every row of every table as it stands, our own tables and volatile columns included, and the whole schema."""
    with database.connect() as connection:
        tables = {
            table: sorted(map(repr, connection.execute(f'SELECT * FROM "{table}"').fetchall()))
            for table in oracle.table_names(database)
        }
    return tables | {"(schema)": oracle.schema(database, own_tables=True, generated_names=True).splitlines()}
