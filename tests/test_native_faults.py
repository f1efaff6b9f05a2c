"""Kills, cuts and contention, through the binary alone: it runs recorded SQL with the same executor as manage.py.

The seed is printed by pytest where a test fails; DJANGO_ROLLBACK_TEST_SEED chooses another one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import oracle
from harness.database import Database
from harness.faults import IN_FLIGHT, UNANSWERED, UNDELIVERED, Cut, CutAtByte, CutAtCommit, Proxy
from harness.pgbouncer import PgBouncer
from harness.postgres import Cluster
from harness.project import Project
from two_releases import APPS, V1

SEED = int(os.environ.get("DJANGO_ROLLBACK_TEST_SEED", "20261122"))
KILLS, CUTS, ROUNDS, CONTENDERS = 25, 60, 8, 4
REFUSED = ("lock", "stale", "changed", "already", "is running")
BACK = ["rollback", "-t", "v1", "--accept-data-loss"]
# A foreign key that is checked at the end, a table that SQLite makes anew, names that change, and rows.
V2 = {
    "shop/migrations/0002_tags.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [
                migrations.CreateModel("Tag", [
                    ("id", models.BigAutoField(primary_key=True)),
                    ("item", models.ForeignKey("shop.Item", models.CASCADE)),
                    ("name", models.CharField(max_length=20, db_index=True)),
                ]),
                migrations.AddField("Item", "tags", models.ManyToManyField("shop.Tag", related_name="+")),
                migrations.AddField("Item", "price", models.IntegerField(default=0)),
            ]
    """,
    "shop/migrations/0003_names.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            dependencies = [("shop", "0002_tags")]
            operations = [
                migrations.RenameField("Item", "price", "cost"),
                migrations.AlterField("Item", "cost", models.BigIntegerField(null=True)),
                migrations.AlterUniqueTogether("Tag", {("item", "name")}),
                migrations.RunSQL("CREATE VIEW dear AS SELECT id FROM shop_item WHERE cost > 9", "DROP VIEW dear"),
            ]
    """,
}


class Shop:
    """The project at v2, with a database of each kind that is copied for every trial."""

    def __init__(self, root: Path, cluster: Callable[[], Cluster], numbers: Iterator[int]) -> None:
        self.root = root
        self.cluster = cluster
        self.numbers = numbers
        self.project = Project(root / "project", database=Database.sqlite(root / "unused"), apps=APPS, ways=())
        for tag, files in {"v1": V1, "v2": V2}.items():
            self.project.commit(files, tag=tag)
        self.templates: dict[str, Database] = {}
        self.ends: dict[str, dict[str, object]] = {}
        self.elsewhere = root / "elsewhere"
        self.elsewhere.mkdir()

    def template(self, vendor: str) -> Database:
        """Both releases are saved in it; what it is like there and at v1 is remembered."""
        if vendor not in self.templates:
            database = self.empty(vendor)
            self.project.use(database)
            at = {}
            for tag in ("v1", "v2"):
                self.project.checkout(tag)
                self.project.manage("migrate", "--verbosity=0")
                self.project.manage("save_migrations_state")
                if tag == "v1":
                    database.execute("INSERT INTO shop_item (id) VALUES (1), (2)")
                at[tag] = state(database)
            database.execute("INSERT INTO shop_tag (item_id, name) VALUES (1, 'a'), (2, 'b')")
            database.execute("INSERT INTO shop_item_tags (item_id, tag_id) VALUES (1, 1), (2, 2)")
            self.templates[vendor], self.ends[vendor] = database, at
        return self.templates[vendor]

    def empty(self, vendor: str, template: str = "template1") -> Database:
        name = f"native_faults_{next(self.numbers)}"
        if vendor == "postgresql":
            return self.cluster().create_database(name, template=template)
        path = self.root / f"{name}.sqlite3"
        path.touch()
        return Database.sqlite(path)

    @contextmanager
    def copy(self, vendor: str) -> Iterator[Database]:
        template = self.template(vendor)
        database = self.empty(vendor, template.name) if vendor == "postgresql" else self.empty(vendor)
        if vendor == "sqlite":
            shutil.copyfile(template.name, database.name)
        yield database
        if vendor == "postgresql":
            self.cluster().drop_database(database.name)

    def start(self, database: Database, *words: str) -> subprocess.Popen[str]:
        """The binary with nothing around it: no project, no git, no program."""
        environment = {"PATH": "/nonexistent", "DATABASE_URL": database.url, "DJANGO_ROLLBACK_KEY": self.project.secret}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        command = [str(self.project.binary()), *(words or BACK)]
        return subprocess.Popen(command, env=environment, cwd=self.elsewhere, **pipes)

    def back(self, database: Database, *words: str) -> tuple[int, str]:
        process = self.start(database, *words)
        out, _ = process.communicate(timeout=120)
        return process.returncode, out

    def where(self, database: Database, vendor: str) -> str:
        """At which release the database is, in schema and records both."""
        found = state(database)
        names = [tag for tag, end in self.ends[vendor].items() if end == found]
        assert names, "the database is at neither release"
        return names[0]

    def check(self, database: Database, vendor: str) -> str:
        """It is before or after, history agrees, and the same command brings it to its end; no row is lost."""
        found = self.where(database, vendor)
        code, out = self.back(database)
        assert code == 0, out
        assert self.where(database, vendor) == "v1"
        assert database.execute("SELECT count(*) FROM shop_item") == [(2,)]
        operations = json.loads(self.back(database, "history", "--format", "json")[1].splitlines()[-1])["operations"]
        outcomes = [each["outcome"] for each in operations if each["kind"] == "rollback"]
        assert outcomes.count("done") == 1 and set(outcomes) <= {"done", "failed", "interrupted"}, outcomes
        return found


def state(database: Database) -> object:
    return oracle.schema(database), oracle.migrations(database)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, numbers: Iterator[int]) -> Shop:
    return Shop(tmp_path_factory.mktemp("native-faults"), lambda: request.getfixturevalue("postgres"), numbers)


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_killed_at_any_moment(shop: Shop, vendor: str) -> None:
    """kill -9 anywhere in the time that it takes: the database is where it was, or back."""
    chance = random.Random(f"{SEED} {vendor}")
    with shop.copy(vendor) as database:
        began = time.monotonic()
        assert shop.back(database)[0] == 0
        took = time.monotonic() - began
    found: Counter[str] = Counter()
    for _ in range(KILLS):
        with shop.copy(vendor) as database:
            process = shop.start(database)
            time.sleep(chance.uniform(0, 1.1 * took))
            process.kill()
            process.communicate()
            found[shop.check(database, vendor)] += 1
    print(found)
    assert set(found) <= {"v1", "v2"}


def cuts(chance: random.Random, sizes: tuple[int, int], commits: int) -> Iterator[Cut]:
    for _ in range(CUTS):
        if chance.random() < 0.5:
            to_server = chance.random() < 0.5
            yield CutAtByte(chance.randrange(sizes[not to_server]), to_server=to_server, reset=chance.random() < 0.5)
        else:
            how = chance.choice([UNDELIVERED, IN_FLIGHT, UNANSWERED])
            yield CutAtCommit(how, chance.randint(1, commits), delivered=chance.randrange(8))


def test_connection_cut_anywhere(shop: Shop) -> None:
    """At random bytes and around each COMMIT: what the command says of it is what has come of it."""
    chance = random.Random(f"{SEED} cuts")
    found: Counter[str] = Counter()
    with Proxy(shop.cluster().port) as proxy:
        with shop.copy("postgresql") as database:
            proxy.arm(Cut())
            assert shop.back(proxy.database(database))[0] == 0
            sizes, commits = (proxy.bytes_to_server, proxy.bytes_from_server), proxy.commits
        for cut in cuts(chance, sizes, commits):
            with shop.copy("postgresql") as database:
                proxy.arm(cut)
                code, out = shop.back(proxy.database(database))
                proxy.arm(Cut())
                where = shop.where(database, "postgresql")
                assert (code == 0) == (where == "v1"), f"{cut}: exit code {code}, and it is at {where}\n{out}"
                found[shop.check(database, "postgresql")] += 1
    print(found)
    assert found.keys() == {"v1", "v2"}


@pytest.fixture(params=["direct", "pooled"])
def through(request: pytest.FixtureRequest, postgres: Cluster) -> Iterator[PgBouncer | None]:
    if request.param == "direct":
        yield None
        return
    with PgBouncer(postgres) as bouncer:
        yield bouncer


def test_one_of_four_wins(shop: Shop, through: PgBouncer | None) -> None:
    """Whoever comes second is refused, or finds nothing to do; nobody breaks anything."""
    for _ in range(ROUNDS):
        contend(shop, "postgresql", through)


def test_one_of_four_wins_on_sqlite(shop: Shop) -> None:
    for _ in range(ROUNDS):
        contend(shop, "sqlite", None)


def contend(shop: Shop, vendor: str, bouncer: PgBouncer | None) -> None:
    with shop.copy(vendor) as database:
        place = bouncer.database(database.name) if bouncer else database
        contenders = [shop.start(place) for _ in range(CONTENDERS)]
        ends = [(each.communicate(timeout=120)[0], each.returncode) for each in contenders]
        assert any(code == 0 and "The database is back" in out for out, code in ends), ends
        for out, code in ends:
            refused = any(
                word in out for word in ("lock", "stale", "changed", "already", "nothing to do", "is running")
            )
            assert code == 0 or (code == 1 and refused), out
        assert shop.check(database, vendor) == "v1"


# Signals


SLOW = {
    "sqlite": "CREATE TABLE slow AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT max(i) AS i FROM n",
    "postgresql": "SELECT pg_sleep(300)",
}


def slow(vendor: str) -> dict[str, str]:
    """A migration whose undoing takes for ever."""
    return {
        "shop/migrations/0004_slow.py": f"""
            from django.db import migrations

            class Migration(migrations.Migration):
                dependencies = [("shop", "0003_names")]
                operations = [migrations.RunSQL("SELECT 1", {SLOW[vendor]!r})]
        """,
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_a_signal_stops_a_statement(shop: Shop, vendor: str, number: int) -> None:
    """The statement is cancelled, everything is taken back, and history says that it was interrupted."""
    with shop.copy(vendor) as database:
        shop.project.use(database)
        shop.project.checkout("v2")
        shop.project.git("checkout", "--quiet", "-B", f"slow-{vendor}-{number}")
        shop.project.commit(slow(vendor))
        shop.project.manage("migrate", "--verbosity=0")
        shop.project.manage("save_migrations_state")
        before = state(database)
        process = shop.start(database)
        wait_until_running(shop, database)
        time.sleep(0.3)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 128 + number, out
        assert "nothing was changed" in out
        assert state(database) == before
        operations = json.loads(shop.back(database, "history", "--format", "json")[1].splitlines()[-1])["operations"]
        assert (operations[0]["kind"], operations[0]["outcome"]) == ("rollback", "interrupted")


def test_a_signal_ends_the_waiting_for_others(shop: Shop) -> None:
    """Between two tries there is nothing to take back."""
    with shop.copy("postgresql") as database, database.connect() as reader:
        before = state(database)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM shop_tag")
        process = shop.start(database)
        wait_until_running(shop, database)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        reader.execute("ROLLBACK")
        assert process.returncode == 130, out
        assert state(database) == before


def wait_until_running(shop: Shop, database: Database) -> None:
    """Until history says that the rollback is on its way."""
    running = "SELECT count(*) FROM django_rollback_operation WHERE outcome = 'running'"
    for _ in range(600):
        if database.execute(running) != [(0,)]:
            return
        time.sleep(0.05)
    raise AssertionError("the rollback never began")
