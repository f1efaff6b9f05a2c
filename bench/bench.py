"""Our commands beside the original's, each as a whole process: CPU time (user and system) and wall time.

Both sides get the same generated project, the same Django and the same Python; runs alternate, each from the same
prepared database, and nothing is timed before both sides have been seen to end at the same migrations and schema.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol

from generate import generate  # puts the harness on the path
from harness import oracle
from harness.database import Database
from harness.postgres import Cluster
from harness.project import Project

ROOT = Path(__file__).resolve().parents[1]
ORIGINAL_VARIABLE = "ORIGINAL"
ORIGINAL_VENV = ROOT / ".venv-original"
HOW_TO_COMPARE = (
    f"{ORIGINAL_VARIABLE} is not set, so only ours is measured. To compare, give a checkout of django-rollback 0.4.0:\n"
    f"    make bench {ORIGINAL_VARIABLE}=/path/to/the/checkout"
)


@dataclass(frozen=True)
class Size:
    """How large the generated project is."""

    apps: int
    migrations: int


@dataclass(frozen=True)
class Case:
    """One row of the table: what each side runs, at which release, and how much faster we have to be."""

    title: str
    release: str
    original: tuple[str, ...]
    ours: tuple[str, ...]
    wanted: int
    native: bool = False


SMALL, LARGE = Size(30, 300), Size(60, 1_300)
SAVE, LIST, BACK = ("save_migrations_state",), ("rollback_migrations", "--list"), ("rollback_migrations", "-t", "base")
SMALL_CASES = [
    Case("save, nothing new (native)", "all", SAVE, ("save",), wanted=30, native=True),
    Case("list (native)", "all", LIST, ("list",), wanted=30, native=True),
    Case("roll back 10 of 30 apps", "ten", BACK, BACK, wanted=2),
    Case("roll back 30 of 30 apps", "all", BACK, BACK, wanted=4),
]
LARGE_CASES = [Case("roll back 60 of 60 apps", "all", BACK, BACK, wanted=5)]


@dataclass(frozen=True)
class Cost:
    """What one process took, in seconds."""

    cpu: float
    wall: float


class Store(Protocol):
    """A database with named copies of itself."""

    database: Database

    def keep(self, name: str) -> None:
        """Keep a copy of the database as it is."""

    def restore(self, name: str) -> None:
        """Put the database back to a copy."""


class SqliteStore:
    """A SQLite file, with its copies beside it."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self.path = path
        self.database = Database.sqlite(path)

    def keep(self, name: str) -> None:
        """Keep a copy of the database as it is."""
        shutil.copyfile(self.path, self.path.with_suffix(f".{name}"))

    def restore(self, name: str) -> None:
        """Put the database back to a copy."""
        shutil.copyfile(self.path.with_suffix(f".{name}"), self.path)


class PostgresStore:
    """A PostgreSQL database; a copy is another database, made with it as the template."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.database = cluster.create_database(name)

    def keep(self, name: str) -> None:
        """Keep a copy of the database as it is."""
        self.cluster.create_database(f"{self.database.name}_{name}", template=self.database.name)

    def restore(self, name: str) -> None:
        """Put the database back to a copy."""
        self.cluster.drop_database(self.database.name)
        self.cluster.create_database(self.database.name, template=f"{self.database.name}_{name}")


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: its project, with its own Python, and its prepared database."""

    name: str
    project: Project
    store: Store

    def prepare(self) -> None:
        """Deploy each release, and keep the database as it is after each."""
        for release in ("base", "ten", "all"):
            self.project.checkout(release)
            self.project.manage("migrate", "--verbosity=0")
            self.project.manage("save_migrations_state")
            self.store.keep(release)

    def command(self, case: Case) -> list[str]:
        """What this side runs for a case."""
        if self.name == "original":
            return [self.project.python, "manage.py", *case.original]
        if case.native:
            return [str(self.project.binary()), *case.ours]
        return [self.project.python, "manage.py", *case.ours]

    def run(self, case: Case) -> Cost:
        """Run the command of a case once, from the prepared database."""
        self.store.restore(case.release)
        environment = self.project.environment() | {"DATABASE_URL": self.project.database.url}
        del environment["PYTHONDONTWRITEBYTECODE"]
        return measure(self.command(case), environment, self.project.root)


def main() -> int:
    """Measure and print; what is slower than wanted is said in the table and does not fail."""
    options = parse_arguments()
    if importlib.util.find_spec("django_rollback") is None:
        print("django_rollback is not installed for this Python: run `make bench`", file=sys.stderr)
        return 1
    pythons = {"ours": sys.executable}
    if original := os.environ.get(ORIGINAL_VARIABLE):
        pythons["original"] = install_original(Path(original))
    else:
        print(HOW_TO_COMPARE)
    print_machine(options)
    compare(pythons, SMALL, SMALL_CASES, options)
    if options.large:
        compare(pythons, LARGE, LARGE_CASES, options)
    return 0


def parse_arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often each command is timed (default: 5)")
    parser.add_argument("--large", action="store_true", help="also measure 60 apps with 1,300 migrations (slow)")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    return parser.parse_args()


def compare(pythons: dict[str, str], size: Size, cases: list[Case], options: argparse.Namespace) -> None:
    """Measure all cases over one project and print them as a table."""
    with tempfile.TemporaryDirectory(prefix="django-rollback-bench-") as folder, stores(options, folder) as new_store:
        print(f"\n{size.apps} apps, {size.migrations:,} migrations: preparing …", flush=True)
        sides = [make_side(name, python, size, Path(folder), new_store(name)) for name, python in pythons.items()]
        print(heading(), flush=True)
        for case in cases:
            for side in sides:
                side.project.checkout(case.release)
            check_agreement(case, sides)
            print(row(case, measure_case(case, sides, options.runs)), flush=True)


def make_side(name: str, python: str, size: Size, folder: Path, store: Store) -> Side:
    """Generate the project of one side and deploy its releases."""
    project = generate(folder / name, store.database, apps=size.apps, migrations=size.migrations, python=python)
    side = Side(name, project, store)
    side.prepare()
    return side


@contextmanager
def stores(options: argparse.Namespace, folder: str) -> Iterator[Callable[[str], Store]]:
    """A way to make stores, for as long as their server runs."""
    if options.database == "sqlite":
        yield lambda name: SqliteStore(Path(folder) / f"{name}.sqlite3")
        return
    with Cluster() as cluster:
        yield lambda name: PostgresStore(cluster, name)


def check_agreement(case: Case, sides: list[Side]) -> None:
    """Run a case once on each side, untimed, and stop unless all end at the same migrations and schema."""
    ends = []
    for side in sides:
        side.run(case)
        applied = {(app, name) for app, name in oracle.migrations(side.store.database) if app != "django_rollback"}
        ends.append((applied, oracle.schema(side.store.database)))
    if any(end != ends[0] for end in ends):
        raise SystemExit(f"{case.title}: the two sides do not end at the same migrations and schema")


def measure_case(case: Case, sides: list[Side], runs: int) -> dict[str, Cost]:
    """The median cost on each side; the sides take turns, so that a busy machine is busy for both."""
    costs: dict[str, list[Cost]] = {side.name: [] for side in sides}
    for _ in range(runs):
        for side in sides:
            costs[side.name].append(side.run(case))
    return {
        name: Cost(median(cost.cpu for cost in each), median(cost.wall for cost in each))
        for name, each in costs.items()
    }


def measure(command: list[str], environment: dict[str, str], cwd: Path) -> Cost:
    """Run a command to its end; its CPU time includes that of the processes it started and waited for."""
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}\n{output.read()}")
    return Cost(usage.ru_utime + usage.ru_stime, wall)


def install_original(checkout: Path) -> str:
    """Install the original into an environment of its own, for it has the import name that ours has."""
    if not (checkout / "setup.py").is_file():
        raise SystemExit(f"{ORIGINAL_VARIABLE} is not a checkout of the original: {checkout}")
    import django

    python = ORIGINAL_VENV / "bin" / "python"
    if not python.exists():
        venv.create(ORIGINAL_VENV, with_pip=True)
    with tempfile.TemporaryDirectory() as folder:  # a copy, because building leaves files behind
        copy = shutil.copytree(checkout, Path(folder) / "original", ignore=shutil.ignore_patterns(".git"))
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"Django=={django.__version__}", "psycopg[binary]", "GitPython"], check=True)
        subprocess.run([*pip, "--force-reinstall", "--no-deps", str(copy)], check=True)
    return str(python)


def print_machine(options: argparse.Namespace) -> None:
    """What the figures hold for."""
    import django

    print(
        f"Django {django.__version__}, Python {platform.python_version()}, {options.database}, {os.cpu_count()} cores; "
        f"medians of {options.runs} runs;\nCPU is user and system time of the whole process, "
        "without that of a database server"
    )


def heading() -> str:
    """The two lines above the figures."""
    sides = line("", "original", "", "ours", "", "ratio", "", "").rstrip()
    return f"{sides}\n{line('', 'cpu', 'wall', 'cpu', 'wall', 'cpu', 'wall', 'wanted')}"


def row(case: Case, costs: dict[str, Cost]) -> str:
    """One case as a line of the table."""
    ours, original = costs["ours"], costs.get("original")
    own = [milliseconds(ours.cpu), milliseconds(ours.wall)]
    if original is None:
        return line(case.title, "-", "-", *own, "-", "-", f"{case.wanted}x")
    theirs = [milliseconds(original.cpu), milliseconds(original.wall)]
    ratios = [f"{original.cpu / ours.cpu:.1f}x", f"{original.wall / ours.wall:.1f}x"]
    return line(case.title, *theirs, *own, *ratios, f"{case.wanted}x")


def line(title: str, *cells: str) -> str:
    """A title and cells, set in columns."""
    return f"{title:28}" + "".join(f"{cell:>12}" for cell in cells)


def milliseconds(seconds: float) -> str:
    """A duration to be read beside others."""
    return f"{1000 * seconds:,.0f} ms" if seconds >= 0.1 else f"{1000 * seconds:.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
