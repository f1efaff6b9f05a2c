"""What safety costs: a rollback beside the same steps run by Django's executor alone, and a fingerprint of many tables.

The bare side undoes the same migrations in the same order inside one transaction, with the same runner, and deletes
their rows; it takes no lock, surveys nothing, compares no schema and writes no history. Its plan is handed to it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench import Cost, PostgresStore, Side, SqliteStore, Store, measure, milliseconds, print_machine
from generate import generate  # puts the harness on the path
from harness.postgres import Cluster
from harness.project import Project

APPS, MIGRATIONS = 30, 300
TABLES = 500
MOST_SAFETY = 1.15
MOST_FINGERPRINT = {"postgresql": 0.150, "sqlite": 0.050}

BARE = """\
import json, os, sys
from types import SimpleNamespace

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django_rollback.interrupts import Interrupts
from django_rollback.management.base import fewer_collections
from django_rollback.runner import Runner

steps = [tuple(step) for step in json.load(open(sys.argv[1]))]
executor = MigrationExecutor(connection)
full = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
order = [(migration.app_label, migration.name) for migration, _ in full]
runner = Runner(connection, SimpleNamespace(verbosity=0, failure=None, interrupts=Interrupts()))
runner.facts()
with fewer_collections(), transaction.atomic():
    runner.prepare(steps, [key for key in order if key not in set(steps)])
    for key in steps:
        runner.undo(*key)
        MigrationRecorder(connection).record_unapplied(*key)
    runner.finish()
"""


def main() -> int:
    """Measure and print; what is slower than wanted is said in the table and does not fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="how often each command is timed (default: 7)")
    options = parser.parse_args()
    if importlib.util.find_spec("django_rollback") is None:
        print("django_rollback is not installed for this Python: run `make bench`", file=sys.stderr)
        return 1
    options.database = "PostgreSQL and SQLite"
    print_machine(options)
    with tempfile.TemporaryDirectory(prefix="django-rollback-bench-") as folder, Cluster() as cluster:
        safety(Path(folder), PostgresStore(cluster, "safety"), options.runs)
        fingerprint(Path(folder) / "pg", PostgresStore(cluster, "tables"), options.runs)
        (Path(folder) / "lite").mkdir()
        fingerprint(Path(folder) / "lite", SqliteStore(Path(folder) / "lite" / "db.sqlite3"), options.runs)
    return 0


def safety(folder: Path, store: PostgresStore, runs: int) -> None:
    """A rollback of all apps, with and without what makes it safe; the two take turns."""
    print(f"\nPostgreSQL, {APPS} apps, {MIGRATIONS} migrations, all undone: preparing …", flush=True)
    project = generate(folder / "safety", store.database, apps=APPS, migrations=MIGRATIONS, python=sys.executable)
    Side("ours", project, store).prepare()
    plan = json.loads(project.manage("rollback_migrations", "-t", "base", "--fake", "--format", "json").stdout)
    steps = folder / "steps.json"
    steps.write_text(json.dumps([[step["app"], step["migration"]] for step in plan["steps"]]))
    bare = folder / "bare.py"
    bare.write_text(BARE)
    commands = {
        "bare": [project.python, str(bare), str(steps)],
        "safe": [project.python, "manage.py", "rollback_migrations", "-t", "base", "-v", "0"],
    }
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            store.restore("all")
            environment = project.environment() | {"PYTHONPATH": str(project.root)}
            costs[name].append(measure(command, environment, project.root))
    for what in ("wall", "cpu"):
        times = {name: median(getattr(cost, what) for cost in each) for name, each in costs.items()}
        ratio = times["safe"] / times["bare"]
        both = f"{milliseconds(times['bare']):>10} bare {milliseconds(times['safe']):>10} safe"
        print(f"rollback, {what:4} {both}   ratio {ratio:.2f} (wanted: at most {MOST_SAFETY})", flush=True)


def fingerprint(folder: Path, store: Store, runs: int) -> None:
    """`status`, which reads the schema and compares it, beside `list`, which does all else that `status` does."""
    vendor = store.database.vendor
    project = Project(folder / "project", database=store.database)
    project.commit()
    project.manage("migrate", "-v", "0")
    create_tables(store.database.execute, vendor)
    project.manage("save_migrations_state", "-v", "0")
    costs: dict[str, list[float]] = {"list": [], "status": []}
    for _ in range(runs):
        for command, walls in costs.items():
            environment = {"DATABASE_URL": store.database.url, "PATH": "/nonexistent"}
            walls.append(measure([str(project.binary()), command], environment, project.root).wall)
    listed, status = (median(walls) for walls in costs.values())
    wanted = milliseconds(MOST_FINGERPRINT[vendor])
    print(
        f"\nfingerprint of {TABLES} tables, {vendor}: {milliseconds(status - listed)} (status {milliseconds(status)}, "
        f"list {milliseconds(listed)}; wanted: at most {wanted})",
        flush=True,
    )


def create_tables(execute: Callable[[str], object], vendor: str) -> None:
    """Tables with ten columns, an index, a unique constraint, a check and a foreign key each."""
    key = "integer PRIMARY KEY" if vendor == "sqlite" else "bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
    for number in range(TABLES):
        columns = ", ".join(f'"field_{n}" varchar(100) NOT NULL' for n in range(7))
        before = max(number - 1, 0)
        execute(
            f'CREATE TABLE "big_{number}" ("id" {key}, {columns}, "price" integer CHECK ("price" >= 0), '
            f'"other_id" bigint REFERENCES "big_{before}" ("id") DEFERRABLE INITIALLY DEFERRED, '
            'UNIQUE ("field_0", "field_1"))'
        )
        execute(f'CREATE INDEX "big_{number}_index" ON "big_{number}" ("price", "field_2")')


if __name__ == "__main__":
    sys.exit(main())
