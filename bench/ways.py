"""Rolling back by recorded SQL: beside the original, and beside the database's own program running the same statements.

One release that touches 10 of 30 apps, 300 migrations in all. Every figure is that of whole processes.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import (
    HOW_TO_COMPARE,
    ORIGINAL_VARIABLE,
    Cost,
    PostgresStore,
    Side,
    SqliteStore,
    Store,
    install_original,
    measure,
    milliseconds,
    print_machine,
)
from generate import generate  # puts the harness on the path
from harness.postgres import Cluster
from harness.project import Project

APPS, MIGRATIONS = 30, 300
SECRET = "for throw-away projects only"
BACK = ("rollback_migrations", "-t", "base", "-v", "0")


@dataclass(frozen=True)
class Goal:
    """What is measured, against what, and how it should come out: so much faster, or at most so much slower."""

    title: str
    ours: str
    peers: tuple[str, ...]
    faster: float | None = None
    slower: float | None = None


GOALS = [
    Goal("binary / original", "binary", ("original",), faster=40),
    Goal("manage.py / original", "manage", ("original",), faster=4),
    Goal("binary / same statements + fingerprint", "binary", ("statements", "fingerprint"), slower=2),
    Goal("manage.py / check + same statements", "manage", ("check", "statements"), slower=1.3),
]


def main() -> int:
    """Measure and print; what is slower than wanted is said in the table and does not fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="how often each command is timed (default: 7)")
    options = parser.parse_args()
    if importlib.util.find_spec("django_rollback") is None:
        print("django_rollback is not installed for this Python: run `make bench`", file=sys.stderr)
        return 1
    original = os.environ.get(ORIGINAL_VARIABLE)
    python = install_original(Path(original)) if original else None
    if python is None:
        print(HOW_TO_COMPARE)
    options.database = "SQLite and PostgreSQL"
    print_machine(options)
    with tempfile.TemporaryDirectory(prefix="django-rollback-bench-") as folder, Cluster() as cluster:
        Path(folder, "sqlite").mkdir()
        files = Path(folder, "sqlite")
        compare(files, "SQLite", lambda name: SqliteStore(files / f"{name}.sqlite3"), python, options.runs)
        Path(folder, "postgres").mkdir()
        postgres = Path(folder, "postgres")
        compare(postgres, "PostgreSQL", lambda name: PostgresStore(cluster, name), python, options.runs)
    return 0


def compare(folder: Path, vendor: str, new_store: Callable[[str], Store], original: str | None, runs: int) -> None:
    """Measure one database and print the goals."""
    print(f"\n{vendor}, {APPS} apps, {MIGRATIONS} migrations, a release that touches 10 apps: preparing …", flush=True)
    ours = deployed(folder, "ours", new_store, sys.executable, ways=())
    commands = our_commands(ours, folder)
    stores = dict.fromkeys(commands, ours)
    if original is not None:
        theirs = deployed(folder, "original", new_store, original, ways=("disk",))
        commands["original"] = [original, "manage.py", "rollback_migrations", "-t", "base"]
        stores["original"] = theirs
    costs = alternate(commands, stores, runs)
    costs["fingerprint"] = [
        Cost(max(status.cpu - list.cpu, 0), max(status.wall - list.wall, 0))
        for status, list in zip(costs.pop("status"), costs.pop("list"), strict=True)
    ]
    for name, each in costs.items():
        print(f"  {name:12} {show(each, 'cpu'):>11} cpu {show(each, 'wall'):>11} wall")
    for goal in GOALS:
        if all(peer in costs for peer in goal.peers):
            print(f"  {goal.title:40} {judged(goal, costs)}", flush=True)


def deployed(folder: Path, name: str, new_store: Callable[[str], Store], python: str, ways: tuple[str, ...]) -> Side:
    """A project whose database is at the release that touches 10 apps."""
    store = new_store(name)
    project = generate(
        folder / name, store.database, apps=APPS, migrations=MIGRATIONS, python=python, data_share=0, ways=ways
    )
    side = Side(name, project, store)
    side.prepare()
    project.checkout("ten")
    store.restore("ten")
    return side


def our_commands(side: Side, folder: Path) -> dict[str, list[str]]:
    """Our two doors, and what they are held against."""
    project = side.project
    statements = folder / "statements.sql"
    statements.write_text("\n".join(only_statements(project)))
    if project.database.vendor == "sqlite":
        program = ["sqlite3", "-bail", project.database.name, f".read {statements}"]
    else:
        program = ["psql", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", str(statements), project.database.url]
    binary = str(project.binary())
    return {
        "binary": [binary, "rollback", "-t", "base", "-v", "0", "--accept-data-loss"],
        "manage": [project.python, "manage.py", *BACK],
        "statements": program,
        "check": [project.python, "manage.py", "check"],
        "status": [binary, "status"],
        "list": [binary, "list"],
    }


def only_statements(project: Project) -> list[str]:
    """The script of `sql` without its checks and our books: the statements of the steps, in one transaction."""
    script = project.manage("rollback", "sql", "-t", "base").stdout.split("\n-- ")
    steps = [part.partition("\n")[2] for part in script if part.startswith("Unapply ")]
    if project.database.vendor == "sqlite":
        return ["PRAGMA foreign_keys = OFF;", "BEGIN IMMEDIATE;", *steps, "COMMIT;"]
    return steps


def alternate(commands: dict[str, list[str]], stores: dict[str, Side], runs: int) -> dict[str, list[Cost]]:
    """All commands in turn, each from the prepared database, so that a busy machine is busy for all."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            side = stores[name]
            side.store.restore("ten")
            environment = side.project.environment() | {
                "DATABASE_URL": side.project.database.url,
                "DJANGO_ROLLBACK_KEY": SECRET,
            }
            del environment["PYTHONDONTWRITEBYTECODE"]
            costs[name].append(measure(command, environment, side.project.root))
    return costs


def judged(goal: Goal, costs: dict[str, list[Cost]]) -> str:
    """The ratio of medians, CPU and wall, with what is wanted."""
    ratios = []
    for what in ("cpu", "wall"):
        ours = median(getattr(cost, what) for cost in costs[goal.ours])
        peers = sum(median(getattr(cost, what) for cost in costs[peer]) for peer in goal.peers)
        ratios.append(f"{peers / ours:.1f}x" if goal.faster else f"{ours / peers:.2f}")
    wanted = f"at least {goal.faster}x" if goal.faster else f"at most {goal.slower}"
    return f"cpu {ratios[0]:>8}   wall {ratios[1]:>8}   (wanted: {wanted})"


def show(costs: list[Cost], what: str) -> str:
    """The median, to be read beside others."""
    return milliseconds(median(getattr(cost, what) for cost in costs))


if __name__ == "__main__":
    sys.exit(main())
