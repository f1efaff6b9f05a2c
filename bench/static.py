"""Commands that read commits, over repositories of very many migration files; and Django's loader over the same files.

Every figure is that of a whole process. `plan v1..v2` and `check empty..v2` read, parse and order every file, and plan
or check all of them; `check v1..v2` reads what its 20 new migrations need. Django's loader imports every file and
builds the graph; it checks nothing and plans nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import Cost, measure, milliseconds, print_machine
from harness.database import Database
from harness.project import Project
from many import generate_many

FILES = [1_000, 10_000, 50_000]
JUDGED = 10_000
MOST_MEMORY = 200_000_000
FASTER_THAN_LOADER = 50
MOST_GROWTH = 1.25


@dataclass(frozen=True)
class Case:
    """A command of ours, and how long it may take for 10,000 files, in seconds."""

    arguments: tuple[str, ...]
    most: float
    reads_all: bool = True

    @property
    def title(self) -> str:
        """The command without what only keeps its exit code at 0."""
        return " ".join(word for word in self.arguments if not word.startswith("--fail-on"))


CASES = [
    Case(("plan", "v1..v2"), most=1),
    Case(("check", "empty..v2", "--statistics", "--fail-on=never"), most=1),
    Case(("check", "v1..v2", "--fail-on=never"), most=0.150, reads_all=False),
]
FRESH, AGAIN = "Django's loader, fresh checkout", "Django's loader, with bytecode"

LOADER = """\
import os, sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()
from django.db.migrations.loader import MigrationLoader

loader = MigrationLoader(None)
print(*(".".join(key) for key in loader.disk_migrations if key[0].startswith("app_")))
"""

# A process of its own, as small as Python can be: what is larger than it is what the command took.
PEAK = """\
import resource, subprocess, sys

subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def main() -> int:
    """Measure and print; what is slower than wanted is said in the table and does not fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often each command is timed (default: 5)")
    options = parser.parse_args()
    if importlib.util.find_spec("django_rollback") is None:
        print("django_rollback is not installed for this Python: run `make bench`", file=sys.stderr)
        return 1
    options.database = "no database"
    print_machine(options)
    costs = {files: measure_size(files, options.runs) for files in FILES}
    print("\nwall time per file, startup included:")
    for case in CASES:
        print(f"  {case.title:32} {growth(case, costs)}", flush=True)
    return 0


def measure_size(files: int, runs: int) -> dict[str, list[Cost]]:
    """Measure a repository with so many files, print the figures and return them."""
    with tempfile.TemporaryDirectory(prefix="django-rollback-bench-") as folder:
        print(f"\n{files:,} migration files: preparing …", flush=True)
        project = generate_many(Path(folder, "project"), Database.sqlite(Path(folder, "unused.sqlite3")), files=files)
        commands = {case.title: [str(project.binary()), *case.arguments] for case in CASES}
        environments = dict.fromkeys(commands, project.environment())
        if files == JUDGED:
            check_agreement(project, files)
            commands |= {loader: [project.python, "-c", LOADER] for loader in (FRESH, AGAIN)}
            environments |= loader_environments(project, Path(folder))
        costs = alternate(commands, environments, project.root, runs)
        for name, command in commands.items():
            memory = peak(command, environments[name], project.root)
            print(line(name, costs[name], files, memory), flush=True)
        if files == JUDGED:
            print_goals(costs)
    return costs


def loader_environments(project: Project, folder: Path) -> dict[str, dict[str, str]]:
    """Without bytecode of the project, as after a checkout in a pipeline; and with it, written by an untimed run."""
    fresh = project.environment() | {"PYTHONPATH": str(project.root)}
    again = fresh | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    del again["PYTHONDONTWRITEBYTECODE"]
    measure([project.python, "-c", LOADER], again, project.root)
    return {FRESH: fresh, AGAIN: again}


def check_agreement(project: Project, files: int) -> None:
    """Stop unless both sides see the same migrations, and all of them."""
    graph = json.loads(project.native("graph", "v2", "--format", "json").stdout)
    ours = {f"{migration['app']}.{migration['name']}" for migration in graph["migrations"]}
    theirs = set(project.run_python(LOADER).split())
    if ours != theirs or len(ours) != files:
        raise SystemExit(f"of {files} migrations django-rollback sees {len(ours)}, and Django {len(theirs)}")


def alternate(
    commands: dict[str, list[str]], environments: dict[str, dict[str, str]], root: Path, runs: int
) -> dict[str, list[Cost]]:
    """All commands in turn, so that a busy machine is busy for all; before that each of ours once, untimed."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for case in CASES:
        measure(commands[case.title], environments[case.title], root)
    for _ in range(runs):
        for name, command in commands.items():
            costs[name].append(measure(command, environments[name], root))
    return costs


def peak(command: list[str], environment: dict[str, str], root: Path) -> int:
    """The largest resident size of a command, in bytes. It is run once more for it, and not timed."""
    result = subprocess.run(
        [sys.executable, "-S", "-c", PEAK, *command], env=environment, cwd=root, capture_output=True, check=True
    )
    return int(result.stdout)


def line(name: str, costs: list[Cost], files: int, memory: int) -> str:
    """One command's figures."""
    cpu, wall = middle(costs)
    times = f"{milliseconds(cpu):>11} cpu {milliseconds(wall):>11} wall"
    return f"  {name:32} {times} {memory / 1e6:>7.0f} MB {per_file(wall, files):>10} per file"


def print_goals(costs: dict[str, list[Cost]]) -> None:
    """The figures beside what is wanted of them, for the size that they are wanted for."""
    for case in CASES:
        print(f"  {case.title:32} wall {milliseconds(middle(costs[case.title])[1])} (wanted: {wanted(case)})")
    for case in (case for case in CASES if case.reads_all):
        for loader in (FRESH, AGAIN):
            both = zip(middle(costs[loader]), middle(costs[case.title]), strict=True)
            cpu, wall = (theirs / ours for theirs, ours in both)
            title = f"{loader} / {case.title}"
            print(f"  {title:64} cpu {cpu:>6.1f}x   wall {wall:>6.1f}x   (wanted: at least {FASTER_THAN_LOADER}x)")


def wanted(case: Case) -> str:
    """The most that a command may take."""
    memory = f", and {MOST_MEMORY / 1e6:.0f} MB" if case.reads_all else ""
    return f"at most {milliseconds(case.most)}{memory}"


def growth(case: Case, costs: dict[int, dict[str, list[Cost]]]) -> str:
    """The time per file for each size, and how much more it is for the largest one than for the middle one."""
    each = {files: middle(found[case.title])[1] / files for files, found in costs.items()}
    times = "   ".join(f"{files:,}: {per_file(time, 1)}" for files, time in each.items())
    ratio = each[max(FILES)] / each[JUDGED]
    return f"{times}   {max(FILES):,} / {JUDGED:,}: {ratio:.2f} (wanted: at most {MOST_GROWTH})"


def middle(costs: list[Cost]) -> tuple[float, float]:
    """Medians of CPU and wall time."""
    return median(cost.cpu for cost in costs), median(cost.wall for cost in costs)


def per_file(seconds: float, files: int) -> str:
    """A share of a duration, in microseconds."""
    return f"{1e6 * seconds / files:.1f} µs"


if __name__ == "__main__":
    sys.exit(main())
