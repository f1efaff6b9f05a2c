"""The order of a plan's steps is the reverse of the order in which Django applies, on any graph at all.

Random projects of migrations that do nothing: dependencies within and across apps, `run_before`, merges, squashes,
`__first__` and `__latest__`, names that sort in no order. Django's own plan is the oracle. SQLite is enough: order
is decided before a database is asked for anything but rows.
"""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from harness.database import Database
from harness.project import Project
from scenarios import BASE_APPS, migration

Key = tuple[str, str]
SEEDS = range(15)

ASK_BOTH = """
import contextlib, io, json
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

with open("question.json") as file:
    APPS, FIRST, REST = json.load(file)

def record(rows):
    with connection.cursor() as cursor:
        sql = "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, '2026-01-01')"
        cursor.executemany(sql, rows)

def steps(**target):
    out = io.StringIO()
    with contextlib.suppress(SystemExit):
        call_command("rollback_migrations", fake=True, format="json", stdout=out, **target)
    plan = json.loads(out.getvalue())
    assert not plan["blockers"], plan["blockers"]
    return [(step["app"], step["migration"]) for step in plan["steps"] if step["way"] == "disk"]

def order_of_django(staying):
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
    keys = [(migration.app_label, migration.name) for migration, _ in plan]
    return [key for key in reversed(keys) if key not in staying and key[0] in APPS]

record(FIRST)
call_command("save_migrations_state", release="2" * 40, verbosity=0)
record(REST)
found = [steps(tag="base"), steps(commit="2222")]
print(json.dumps([found, [order_of_django(()), order_of_django({tuple(key) for key in FIRST})]]))
"""


@dataclass
class Node:
    """A migration that does nothing."""

    key: Key
    after: set[Key] = field(default_factory=set)
    before: set[Key] = field(default_factory=set)
    replaces: list[Key] = field(default_factory=list)

    def source(self) -> str:
        """Its file."""
        after, before, replaces = (
            [".".join(key) for key in sorted(keys)] for keys in (self.after, self.before, self.replaces)
        )
        return migration(after=after, before=before, replaces=replaces)


class RandomProject:
    """Migrations in one order that respects all edges, cut in two: what the middle release has, and the rest."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.apps = [f"app_{letter}" for letter in self.random.sample("abcdefgh", k=self.random.randint(3, 4))]
        self.nodes: list[Node] = []
        for number in range(len(self.apps) * self.random.randint(20, 30)):
            self._add_node(number)
        self.nodes[-1].after |= {(app, "__latest__") for app in self.apps if app != self.nodes[-1].key[0]}
        self._add_squashes()

    def _add_node(self, number: int) -> None:
        app = self.apps[number] if number < len(self.apps) else self.random.choice(self.apps)
        node = Node((app, f"{self.random.choice('0abz')}{self.random.randrange(16**4):04x}_{number}"))
        inside = [other for other in self.nodes if other.key[0] == app]
        outside = [other for other in self.nodes if other.key[0] != app]
        if inside:
            recent = inside[-4:]
            parents = self.random.sample(recent, k=min(len(recent), self.random.choice([1, 1, 1, 2, 3])))
            node.after |= {parent.key for parent in parents}
        if outside and self.random.random() < 0.4:
            node.after |= {other.key for other in self.random.sample(outside[-20:], k=1)}
        if outside and inside and self.random.random() < 0.05:
            node.after.add((self.random.choice(outside).key[0], "__first__"))
        if outside and self.random.random() < 0.15:
            # Said from the other side: the older one has to run before this one.
            self.random.choice(outside[-20:]).before.add(node.key)
        self.nodes.append(node)

    def _add_squashes(self) -> None:
        for _ in range(20):
            start = self.random.randrange(len(self.nodes) - 12)
            app = self.nodes[start].key[0]
            part = [node for node in self.nodes[start : start + 12] if node.key[0] == app and not node.replaces]
            squashed = {key for node in self.nodes for key in node.replaces}
            keys = [node.key for node in part]
            if len(part) > 2 and squashed.isdisjoint(keys) and self._can_be_one(set(keys)):
                after = {key for node in part for key in node.after} - set(keys)
                before = {key for node in part for key in node.before}
                name = f"{self.random.choice('0mz')}_squash_of_{len(part)}"
                place = self.nodes.index(part[-1]) + 1
                self.nodes.insert(place, Node((app, f"{name}_{start}"), after, before, keys))

    def _can_be_one(self, keys: set[Key]) -> bool:
        """Whether there is still an order that has parents first when each squash stands for what it replaces."""
        squashes = {key: squash.key for squash in self.nodes for key in squash.replaces} | dict.fromkeys(
            keys, min(keys)
        )
        edges = [(node.key, self._meant(parent)) for node in self.nodes for parent in node.after]
        edges += [(child, node.key) for node in self.nodes for child in node.before]
        graph: dict[Key, set[Key]] = {}
        for child, parent in edges:
            child, parent = squashes.get(child, child), squashes.get(parent, parent)
            if child != parent:
                graph.setdefault(child, set()).add(parent)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError:
            return False
        return True

    def _meant(self, key: Key) -> Key:
        keys = [node.key for node in self.nodes if node.key[0] == key[0] and not node.replaces]
        return {"__first__": keys[0], "__latest__": keys[-1]}.get(key[1], key)

    def halves(self) -> tuple[list[Key], list[Key]]:
        """Two parts of the order that has parents first, cut where no squash is cut."""
        keys = [node.key for node in self.nodes]
        spans = [(min(map(keys.index, node.replaces)), keys.index(node.key)) for node in self.nodes if node.replaces]
        middle = len(keys) // 2
        places = sorted(range(1, len(keys)), key=lambda place: abs(place - middle))
        cut = next(place for place in places if not any(first < place <= last for first, last in spans))
        return keys[:cut], keys[cut:]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with nothing of the random projects applied, saved as `base`."""
    path = tmp_path_factory.mktemp("base") / "base.sqlite3"
    path.touch()
    project = Project(path.with_name("project"), database=Database.sqlite(path), apps=BASE_APPS)
    project.commit(tag="base")
    project.manage("migrate", "-v", "0")
    project.manage("save_migrations_state", "-v", "0")
    return path


@pytest.mark.parametrize("seed", SEEDS)
def test_steps_are_in_the_reverse_of_django_s_order(seed: int, base: Path, tmp_path: Path) -> None:
    """Back to nothing, and back to the middle: the steps are those of Django's full plan, from its end."""
    database = shutil.copyfile(base, tmp_path / "database.sqlite3")
    random_project = RandomProject(seed)
    project = Project(tmp_path / "project", database=Database.sqlite(database), apps=BASE_APPS)
    project.install_apps([*BASE_APPS, *random_project.apps])
    project.write({f"{node.key[0]}/migrations/{node.key[1]}.py": node.source() for node in random_project.nodes})
    project.write({"question.json": json.dumps([random_project.apps, *random_project.halves()])})

    found, expected = json.loads(project.run_python(ASK_BOTH))
    assert found[0] == expected[0]
    assert found[1] == expected[1]
    assert len(expected[0]) > len(expected[1]) > 10
