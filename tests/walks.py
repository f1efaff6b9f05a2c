"""Random walks: sequences of steps that a database takes with the plain model of `model.py` beside it.

A walk is a list of steps, printed when it fails: `walker.walk("nothing", [...])` takes it again. After each step the
database is held against the model, and its schema against that of a database which never went back.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import model
from harness import oracle
from harness.database import Database
from harness.forks import Ended, Forks, Job
from harness.postgres import Cluster
from harness.project import Project
from model import COMMITS, DONE, GRAPH, UNKNOWN, State
from scenarios import BASE_APPS, add, create, migration, same
from two_releases import everything_in

CODE = """
    from django.db.models import F

    def count(apps, schema_editor, number, direction):
        apps.get_model("shop", "Item").objects.update(score=F("score") + number)
        schema_editor.execute(f"INSERT INTO ran (step) VALUES ('{name} {{direction}}')")

    def forwards(apps, schema_editor):
        count(apps, schema_editor, {number}, "forwards")

    def backwards(apps, schema_editor):
        count(apps, schema_editor, -{number}, "backwards")
"""
ITEM_KEY = 'models.ForeignKey("shop.Item", models.CASCADE, {})'
PERSON_KEY = 'models.ForeignKey("crm.Person", models.SET_NULL, null=True)'
SEVERAL_ITEMS = 'models.ManyToManyField("shop.Item")'
NAME, NUMBER = "models.CharField(max_length={})", "models.IntegerField(null=True)"
NAME_INDEX = 'migrations.AddIndex("Item", models.Index(fields=["name"], name="shop_item_by_name"))'
POSITIVE = 'models.CheckConstraint(**{CONDITION: models.Q(number__gte=0)}, name="bill_invoice_positive")'
OPERATIONS = {
    "shop.0001_initial": [create("Item", name=NAME.format(20), score="models.IntegerField(default=0)")],
    "shop.0002_price": [add("Item", "price", NUMBER)],
    "shop.0002_stock": [create("Stock", item=ITEM_KEY.format("null=True"), place=NAME.format(20)), NAME_INDEX],
    "shop.0003_merge": [f'migrations.AlterField("Item", "name", {NAME.format(40)})'],
    "crm.0001_initial": [
        create("Person", name=NAME.format(20), item=ITEM_KEY.format("null=True")),
        create("Note", text=NAME.format(20)),
    ],
    "crm.0002_points": [add("Person", "points", NUMBER)],
    "shop.0004_rename": ['migrations.RenameField("Item", "price", "cost")', add("Item", "best", PERSON_KEY)],
    "bill.0001_initial": [create("Invoice", number="models.IntegerField(unique=True)", person=PERSON_KEY)],
    "bill.0002_lines": [
        add("Invoice", "items", SEVERAL_ITEMS),
        f'migrations.AddConstraint("Invoice", {POSITIVE})',
    ],
}
# Made by nobody's migrations: each data step leaves a line here.
RAN = {
    "sqlite": "CREATE TABLE ran (id integer PRIMARY KEY, step text)",
    "postgresql": "CREATE TABLE ran (id serial PRIMARY KEY, step text)",
}
# Where walks begin: with nothing, and after some deploys.
STARTS: dict[str, list[model.Step]] = {
    "nothing": [],
    "a shop": [
        model.Migrate("shop", "0001_initial"),
        model.Save(COMMITS[0]),
        model.Write("items"),
        model.Migrate("shop", "0003_merge"),
        model.Drift("table"),
        model.Save(COMMITS[1]),
    ],
    "a shop with customers": [
        model.Migrate("shop", "0002_stock"),
        model.Write("items"),
        model.Save(COMMITS[3]),
        model.Migrate("crm", "0002_points"),
        model.Save(COMMITS[4]),
        model.Write("people"),
        model.Migrate("bill", "0002_lines"),
        model.Save(COMMITS[5]),
        model.Drift("index"),
        model.Migrate("shop", "0004_rename"),
    ],
}
SEED_VARIABLE = "DJANGO_ROLLBACK_TEST_SEED"
# Long enough for the command to arrive at the lock.
HELD_SECONDS = 0.2
# How long a command waits for SQLite's write lock: for ever, unless it is to give up.
PATIENCE_SECONDS = 60
NO_PATIENCE_SECONDS = 0.1
LOCK = {
    "sqlite": "SELECT id FROM django_rollback_lock",
    "postgresql": "SELECT id FROM django_rollback_lock FOR UPDATE",
}
RELEASES = (
    'SELECT "commit", body FROM django_rollback_appsstate JOIN django_rollback_appliedset ON hash = applied_set '
    "ORDER BY django_rollback_appsstate.id"
)
# What failed or never ended is in history too, and no concern of the model.
HISTORY = "SELECT kind, body FROM django_rollback_operation WHERE outcome = 'done' ORDER BY id"
# About how many points there are at which a command can be killed; a few too many, so that some are not.
POINTS_OF_A_SAVE, POINTS_OF_A_ROLLBACK, POINTS_OF_A_STEP = 55, 80, 28


class Walker:
    """Takes walks on one kind of database."""

    def __init__(self, folder: Path, cluster: Cluster | None, names: Iterator[int]) -> None:
        self._folder = folder
        self._cluster = cluster
        self._names = names
        self._schemas: dict[model.Applied, tuple[str, Database]] = {}
        self._starts: dict[str, tuple[Database, State]] = {}
        self._template = self._create(None)
        self._project = Project(folder / "project", database=self._template)
        self._forks = self._start()
        self._others = oracle.migrations(self._template)

    def close(self) -> None:
        """End the process of Django. What was kept goes with the folder and with the server."""
        self._forks.close()

    def walk(self, start: str, steps: Sequence[model.Step]) -> None:
        """Take these steps on a copy of the database that was made for this start."""
        if start not in self._starts:
            database = self._create(self._template)
            self._starts[start] = database, self._walk(database, State(), STARTS[start])
        template, state = self._starts[start]
        database = self._create(template)
        try:
            reached = self._walk(database, state, steps)
            self._assert_listed(database, reached)
        finally:
            self._drop(database)

    def _walk(self, database: Database, state: State, steps: Sequence[model.Step]) -> State:
        with database.connect() as connection:
            walk = Walk(database, connection, self._forks, self.schema, state, self._others)
            for number, step in enumerate(steps, 1):
                before = walk.state
                try:
                    walk.step(step)
                except AssertionError as error:
                    place = f"on {database.vendor}, at step {number}, {step!r}, from {before!r}"
                    raise AssertionError(f"{error}\n{place}") from error
            return walk.state

    def _assert_listed(self, database: Database, state: State) -> None:
        """The binary lists the same releases."""
        self._project.database = database
        listed = json.loads(self._project.native("list", "--format", "json").stdout)["releases"]
        same([each["commit"] for each in listed], [each.commit for each in reversed(state.releases)])

    def schema(self, applied: model.Applied) -> str:
        """The schema of a database that was built at these migrations."""
        return self._built(applied)[0]

    def _built(self, applied: model.Applied) -> tuple[str, Database]:
        """The schema and the database, which is built once from one that lacks the last migration."""
        if applied not in self._schemas:
            database = self._template
            if applied:
                last = max(name for name in applied if not (model.descendants(name) - {name}) & applied)
                database = self._create(self._built(applied - {last})[1])
                ended = migrate(self._forks, database, *last.split("."))
                assert ended.code == DONE, ended.err
            self._schemas[applied] = oracle.schema(database), database
        return self._schemas[applied]

    def _start(self) -> Forks:
        project = self._project
        project.install_apps([*BASE_APPS, *model.APPS])
        project.write({f"{app}/models.py": "" for app in model.APPS})
        project.write({f"{name.replace('.', '/migrations/')}.py": source(name) for name in GRAPH})
        self._template.execute(RAN[self._template.vendor])
        forks = Forks(project)
        for app in ("contenttypes", "django_rollback"):
            assert migrate(forks, self._template, app).code == DONE
        return forks

    def _create(self, template: Database | None) -> Database:
        name = f"walk_{next(self._names)}"
        if self._cluster is not None:
            return self._cluster.create_database(name, template=template.name if template else "template1")
        path = self._folder / f"{name}.sqlite3"
        if template is None:
            path.touch()
        else:
            shutil.copy(template.name, path)
        return Database.sqlite(path)

    def _drop(self, database: Database) -> None:
        if self._cluster is not None:
            self._cluster.drop_database(database.name)
        else:
            Path(database.name).unlink()


class Walk:
    """One database on its way, with the state of the model beside it."""

    def __init__(
        self,
        database: Database,
        connection: Any,
        forks: Forks,
        schema: Callable[[model.Applied], str],
        state: State,
        others: set[tuple[str, str]],
    ) -> None:
        self.database = database
        self.state = state
        self._connection = connection
        self._forks = forks
        self._schema = schema
        self._others = others
        self._data_steps = sum(times for _, times in state.ran)
        if not self._is_sqlite():
            # psycopg prepares what it has seen a few times, and then a table has other columns.
            connection.prepare_threshold = None
        self._forks = forks
        self._schema = schema

    def step(self, step: model.Step) -> None:
        """Do it, and see that it ended in one of the ways in which it may."""
        allowed = model.outcomes(self.state, step)
        ended = self._do(step)
        found = tuple(each.code for each in ended), self._seen()
        matching = [each for each in allowed if (each.codes, seen_by(each.state)) == found]
        if not matching:
            said = "\n".join(f"exit code {each.code}:\n{each.out}{each.err}" for each in ended)
            expected = "\nor ".join(f"{each.codes} {seen_by(each.state)}" for each in allowed)
            raise AssertionError(f"found {found[0]} {found[1]}\nexpected {expected}\n{said}")
        self.state = matching[0].state
        self._assert_schema()
        self._assert_order()

    def _do(self, step: model.Step) -> list[Ended]:
        match step:
            case model.Write():
                if statement := row(self.state, step):
                    self.database.execute(statement)
            case model.Drift():
                self._drift(step)
            case model.Preview(rollback):
                return [self._preview(rollback)]
            case model.Crash(command, at):
                kill_at = at % self._points(command) if at >= 0 else at
                ended = self._forks.run(self._job(command, kill_at=kill_at))
                self._wait_until_gone()
                return ended
            case model.Fail(command, at):
                # Each other point comes after a statement, when nothing can fail.
                fail_at = at % self._points(command) // 2 * 2 if at >= 0 else at
                return self._forks.run(self._job(command, fail_at=fail_at))
            case model.Held(command, by):
                return self._held(command, by)
            case model.Race(first, second):
                return self._forks.run(self._job(first), self._job(second))
            case model.Migrate() | model.Save() | model.Rollback():
                return self._forks.run(self._job(step))
        return []

    def _job(
        self,
        command: model.Command | model.Migrate,
        *,
        fake: bool = False,
        patience: float = PATIENCE_SECONDS,
        **faults: int,
    ) -> Job:
        match command:
            case model.Save(commit):
                words = ["save_migrations_state", "--commit", commit]
            case model.Rollback():
                words = ["rollback_migrations", "--format", "json", *(["--fake"] if fake else [])]
                digits = model.digits_of(self.state, command)
                words += ["--commit", digits] if digits else []
                words += ["--wait", "0"] if patience == NO_PATIENCE_SECONDS else []
            case model.Migrate(app, name):
                words = ["migrate", app, name, "--verbosity", "0"]
        return Job(connection_settings(self.database, patience), words, **faults)

    def _points(self, command: model.Command) -> int:
        """About how many points there are in a command at which something can happen to it."""
        if isinstance(command, model.Save):
            return POINTS_OF_A_SAVE
        undone = model.to_undo(self.state, command)
        return POINTS_OF_A_ROLLBACK + POINTS_OF_A_STEP * len(undone or ())

    def _preview(self, rollback: model.Rollback) -> Ended:
        """A preview that changes nothing, and says what the model says.

        Like any command, it may settle in history what one that was killed has left there.
        """

        def everything() -> dict[str, list[str]]:
            found = everything_in(self.database)
            return found | {"django_rollback_operation": ["a line"] * len(found["django_rollback_operation"])}

        before = everything()
        [ended] = self._forks.run(self._job(rollback, fake=True))
        same(everything(), before)
        if ended.code == DONE:
            steps = [(each["app"], each["migration"]) for each in json.loads(ended.out.splitlines()[-1])["steps"]]
            assert_in_order([f"{app}.{name} backwards" for app, name in steps])
            undone = model.to_undo(self.state, rollback)
            same(sorted(".".join(step) for step in steps), sorted(undone or ()))
        return ended

    def _held(self, command: model.Command, by: str) -> list[Ended]:
        """Run it while another session has the lock, or has written a row.

        A rollback that finds the lock taken gives up, so the lock is held until then; anything else waits.
        """
        writes = row(self.state, model.Write("people")) if by == "writer" else ""
        if by == "writer" and not writes:
            return self._forks.run(self._job(command))
        with self.database.connect() as other:
            other.execute("BEGIN IMMEDIATE" if self._is_sqlite() else "BEGIN")
            other.execute(writes or LOCK[self.database.vendor])
            if by == "lock" and isinstance(command, model.Rollback):
                self._forks.start(self._job(command, patience=NO_PATIENCE_SECONDS))
                ended = self._forks.finish()
                other.execute("ROLLBACK")
                return ended
            self._forks.start(self._job(command))
            time.sleep(HELD_SECONDS)
            other.execute("COMMIT")
            return self._forks.finish()

    def _drift(self, drift: model.Drift) -> None:
        name = f"drift_{drift.kind}_{self.state.names}"
        if drift.kind == "table":
            self.database.execute(f"CREATE TABLE {name} (id integer PRIMARY KEY, text varchar(20))")
        elif model.PEOPLE in self.state.applied:
            self.database.execute(f"CREATE INDEX {name} ON crm_note (text)")

    def _wait_until_gone(self) -> None:
        """PostgreSQL notices a moment later that a client was killed."""
        if self._is_sqlite():
            return
        others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._query(others):
            assert time.monotonic() < deadline, "the session of a killed process is still there"
            time.sleep(0.005)

    def _assert_order(self) -> None:
        """Of the data steps that ran since the last look."""
        ran = self._query("SELECT step FROM ran ORDER BY id")
        assert_in_order([step for (step,) in ran[self._data_steps :]])
        self._data_steps = len(ran)

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._connection.execute(sql).fetchall())

    def _is_sqlite(self) -> bool:
        return self.database.vendor == "sqlite"

    def _seen(self) -> dict[str, object]:
        """What `seen_by` says, of the real thing."""
        applied = self._query("SELECT app, name FROM django_migrations")
        assert len(applied) == len(set(applied)), "a migration is recorded twice"
        names = self._own(applied)
        ran = Counter(step for (step,) in self._query("SELECT step FROM ran"))
        return {
            "applied": sorted(names),
            "releases": [(commit, self._set(body)) for commit, body in self._query(RELEASES)],
            "history": [f"{kind} {json.loads(body)['to']}" for kind, body in self._query(HISTORY)],
            "items": self._query("SELECT name, score FROM shop_item ORDER BY id") if model.ITEMS in names else [],
            "people": self._query("SELECT name FROM crm_person ORDER BY id") if model.PEOPLE in names else [],
            "ran": sorted(ran.items()),
        }

    def _set(self, body: str) -> list[str]:
        return self._own((app, name) for app, name in json.loads(body)["applied"])

    def _own(self, applied: Iterable[tuple[str, str]]) -> list[str]:
        """Those of the graph; the others are never touched."""
        found = set(applied)
        assert self._others <= found
        return sorted(f"{app}.{name}" for app, name in found - self._others)

    def _assert_schema(self) -> None:
        """That of a database built at the same migrations, and what was made by hand besides."""
        lines = oracle.schema(self.database).splitlines(keepends=True)
        by_hand = {name for each in lines for name in re.findall(r"drift_[a-z]+_\d+", each)}
        same(sorted({re.sub("_pkey$", "", name) for name in by_hand}), sorted(self.state.drift))
        same("".join(each for each in lines if "drift_" not in each), self._schema(self.state.applied))


def migrate(forks: Forks, database: Database, *words: str) -> Ended:
    """Django's own `migrate`."""
    [ended] = forks.run(Job(connection_settings(database), ["migrate", *words, "--verbosity", "0"]))
    return ended


def connection_settings(database: Database, patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """One entry of DATABASES, with how long to wait for SQLite's locks."""
    options = {"timeout": patience} if database.vendor == "sqlite" else {}
    return {**database.settings, "OPTIONS": options}


def source(name: str) -> str:
    """The file of a migration of the graph."""
    node, operations = GRAPH[name], OPERATIONS[name]
    code = ""
    if node.adds:
        code = CODE.format(name=name, number=node.adds)
        operations = [*operations, "migrations.RunPython(forwards, backwards)"]
    return migration(*operations, after=node.parents, code=code)


def row(state: State, write: model.Write) -> str:
    """The statement that writes a row; empty where there is no table for it."""
    if write.table == "items" and model.ITEMS in state.applied:
        return f"INSERT INTO shop_item (name, score) VALUES ('item {state.names}', 0)"
    if write.table == "people" and model.PEOPLE in state.applied:
        item = "(SELECT min(id) FROM shop_item)"
        return f"INSERT INTO crm_person (name, item_id) VALUES ('person {state.names}', {item})"
    return ""


def seen_by(state: State) -> dict[str, object]:
    """What of a state can be seen in the rows of a database."""
    return {
        "applied": sorted(state.applied),
        "releases": [(release.commit, sorted(release.applied)) for release in state.releases],
        "history": list(state.history),
        "items": list(state.items),
        "people": [(name,) for name in state.people],
        "ran": list(state.ran),
    }


def assert_in_order(steps: list[str]) -> None:
    """Nothing is applied before what it needs, or undone after it."""
    ran = [tuple(step.split()) for step in steps]
    for place, (name, direction) in enumerate(ran):
        related = model.ancestors(name) if direction == "backwards" else model.descendants(name)
        earlier = {other for other, same_direction in ran[:place] if same_direction == direction}
        assert not earlier & related, f"{name} comes too late in {steps}"


# Walks made up by chance


def take_walks(walker: Walker, number: int, *, walks: int, steps: int) -> None:
    """Take so many walks of so many steps, those that belong to this number; print the shortest that fails.

    They are the same in each run, unless the environment has another seed.
    """
    run = os.environ.get(SEED_VARIABLE, "1")
    print(f"{SEED_VARIABLE}={run}, number {number}")
    chosen = settings(
        max_examples=walks,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )

    @seed(f"{run} {number}")
    @chosen
    @given(some_walks(steps))
    def at_random(walk: tuple[str, list[model.Step]]) -> None:
        walker.walk(*walk)

    at_random()


@st.composite
def some_walks(draw: st.DrawFn, most: int) -> tuple[str, list[model.Step]]:
    """Steps that are likely to do something: each is chosen for the state in which those before it may have ended."""
    start, steps = draw(st.sampled_from(list(STARTS))), []
    state = State()
    for step in STARTS[start]:
        state = model.outcomes(state, step)[0].state
    # It stops early so seldom that this only matters when a shorter walk is looked for.
    while len(steps) < most and draw(st.integers(0, 2**16)):
        steps.append(draw(steps_from(state)))
        state = model.outcomes(state, steps[-1])[0].state
    return start, steps


def steps_from(state: State) -> st.SearchStrategy[model.Step]:
    """The steps that may come next, those that change something more often."""
    migrates = {True: [], False: []}
    for migrate in MIGRATES:
        forwards, backwards = model.plan(state, migrate)
        if forwards or backwards:
            migrates[bool(forwards)].append(migrate)
    back = useful_rollbacks(state)
    unsaved = [commit for commit in COMMITS if commit not in {each.commit for each in state.releases}]
    saves = [model.Save(commit) for commit in unsaved]
    command = st.sampled_from(back or saves or MANY_SAVES)
    any_command = st.sampled_from([*back, *saves[:1], *saves[:1]] or MANY_SAVES) | SOME_COMMAND
    racing = back and migrates[True]
    weighted = [
        (5, st.sampled_from(migrates[True]) if migrates[True] else None),
        (1, st.sampled_from(migrates[False]) if migrates[False] else None),
        (6 if is_new(state) else 1, st.sampled_from(saves) if saves else None),
        (1, SOME_COMMAND),
        (3, st.sampled_from(back) if back else None),
        (1, st.builds(model.Preview, st.sampled_from(back) if back else SOME_ROLLBACK)),
        (2, st.builds(model.Write, st.sampled_from(["items", "people"])) if model.ITEMS in state.applied else None),
        (1, st.builds(model.Drift, st.sampled_from(["table", "index"]))),
        (4, st.builds(model.Crash, command, POINT | AT_COMMIT)),
        (3, st.builds(model.Fail, command, POINT | POINT | st.sampled_from([-1, -3]))),
        (1, st.builds(model.Held, any_command, st.sampled_from(["lock", "writer"]))),
        (2, st.builds(model.Race, any_command, any_command)),
        (1, st.builds(model.Race, st.sampled_from(back), st.sampled_from(migrates[True])) if racing else None),
    ]
    kinds = [strategy for weight, strategy in weighted if strategy is not None for _ in range(weight)]
    return st.sampled_from(kinds).flatmap(lambda kind: kind)


def useful_rollbacks(state: State) -> list[model.Rollback]:
    """Those that change something: to the release before, and to each by its place in the list."""
    to = [model.Rollback(), *(model.Rollback(place, 7) for place in range(len(state.releases)))]
    return [each for each in to if model.outcomes(state, each)[0].state != state]


def is_new(state: State) -> bool:
    """Is something else applied than at the newest release?"""
    return not state.releases or state.releases[-1].applied != state.applied


POINT = st.integers(0, 999)
AT_COMMIT = st.integers(-4, -1)
MIGRATES = [model.Migrate(*name.split(".")) for name in GRAPH] + [model.Migrate(app, "zero") for app in model.APPS]
MANY_SAVES = [model.Save(commit) for commit in COMMITS]
SOME_ROLLBACK = st.builds(
    model.Rollback,
    st.none() | st.integers(0, len(COMMITS) - 1) | st.sampled_from([*COMMITS, UNKNOWN]),
    st.sampled_from([4, 5, 7, 40]),
)
SOME_COMMAND = st.sampled_from(MANY_SAVES) | SOME_ROLLBACK
