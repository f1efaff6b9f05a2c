"""A shop that is open: an application reads and writes while releases are taken back, saved and migrated.

v1 and v2 are saved, made once on each kind of database and copied for every round; the work tree is at v3, whose
migration is on disk and not applied. What the application writes is valid in all of them. A migration of v2, on its
way back, and that of v3, on its way forward, can be held up from outside.
"""

from __future__ import annotations

import os
import pwd
import random
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from harness import oracle
from harness.crew import Crew, Ended, wait_for
from harness.database import Database
from harness.pgbouncer import PgBouncer
from harness.postgres import Cluster
from harness.project import Project
from scenarios import NAMED, NUMBER, Migrations, Trip, add, create, migration, recorded, same

# What is promised of a rollback that waits, in seconds: the default of --lock-timeout, and what comes on top.
LOCK_TIMEOUT = 0.1
ON_TOP = 0.05

HELD_UP = """
    import os
    import time

    def hold_up(apps, schema_editor):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        gate = os.environ.get("GATE")
        if gate:
            open(gate + ".reached", "w").close()
            for _ in range(20_000):
                if os.path.exists(gate + ".open"):
                    return
                # A session that does nothing for long would lose its transaction.
                schema_editor.connection.cursor().execute("SELECT 1")
                time.sleep(0.005)
            raise TimeoutError("nobody has opened the gate")

    def pass_by(apps, schema_editor):
        pass
"""
NULL = "models.IntegerField(null=True)"
CUSTOMER = "models.ForeignKey('shop.Customer', models.CASCADE)"
V1: Migrations = {
    "shop.0001_initial": migration(create("Customer", **NAMED)),
    "orders.0001_initial": migration(create("Order", customer=CUSTOMER, amount=NUMBER), after=["shop.0001_initial"]),
}
V2: Migrations = {
    "shop.0002_points": migration(add("Customer", "points", NULL), after=["shop.0001_initial"]),
    "orders.0002_note": migration(
        add("Order", "note", "models.TextField(null=True)"), after=["orders.0001_initial", "shop.0002_points"]
    ),
    "shop.0003_voucher": migration(
        create("Voucher", customer=CUSTOMER),
        "migrations.RunPython(pass_by, hold_up)",
        after=["shop.0002_points", "orders.0002_note"],
        code=HELD_UP,
    ),
}
V3: Migrations = {
    "orders.0003_total": migration(
        add("Order", "total", NULL),
        "migrations.RunPython(hold_up, pass_by)",
        after=["orders.0002_note", "shop.0003_voucher"],
        code=HELD_UP,
    ),
}
BASE = ("django_rollback",)
ROWS = (
    "INSERT INTO shop_customer (id, name) VALUES (-1, 'Ada'), (-2, 'Grace')",
    "INSERT INTO orders_order (id, customer_id, amount) VALUES (-1, -1, 10), (-2, -2, 20)",
)
TABLES = ("orders_order", "shop_customer")

BACK = ("rollback_migrations", "-t", "v1")
SAVE = ("save_migrations_state",)
UP = ("migrate", "-v", "1")

ALREADY = "already: nothing to do."
STALE = "since this plan was made"
STALE_FOR_THE_BINARY = "manage.py sees another database, or another state of it"

Applied = frozenset[tuple[str, str]]


class Shop:
    """The project, its databases, and what each set of migrations should look like."""

    def __init__(self, folder: Path, cluster: Callable[[], Cluster]) -> None:
        self.folder = folder
        self.cluster = cluster
        self._numbers = count(1)
        self._templates: dict[str, Database] = {}
        self._built: dict[tuple[str, Applied], str] = {}
        self.project = Project(folder / "project", database=self._empty("sqlite"), apps=BASE)
        self.trip = Trip(self.project, lambda: self._empty("sqlite"), base=BASE)
        self.commits = {}
        for tag, files in {"v1": V1, "v2": V2, "v3": V3}.items():
            self.trip.write(files)
            self.commits[tag] = self.project.commit(tag=tag)
        self.crew = Crew(self.project)
        self.at = {tag: self._keys(*versions) for tag, versions in (("v1", (V1,)), ("v2", (V1, V2)))}
        self.at["v3"] = self._keys(V1, V2, V3)

    def close(self) -> None:
        """End the processes."""
        self.crew.stop()

    @contextmanager
    def copy(self, vendor: str = "postgresql") -> Iterator[Database]:
        """A database at v2 with some rows, in which v1 and v2 are saved."""
        with self._fresh(vendor, self._templates.get(vendor) or self._deploy(vendor)) as database:
            yield database

    def tags(self, database: Database) -> list[str]:
        """The releases in the list, newest first."""
        names = {commit: tag for tag, commit in self.commits.items()}
        commits = database.execute('SELECT "commit" FROM django_rollback_appsstate ORDER BY id DESC')
        return [names[commit] for (commit,) in commits]

    def where(self, database: Database) -> str:
        """At which release the database is; an error where it is in between, or not what its records say.

        Right is a database that was freshly built to have just the recorded migrations: where one of them has lost a
        dependency, there is no such database.
        """
        applied = frozenset(key for key in oracle.migrations(database) if key[0] in ("shop", "orders"))
        same(oracle.schema(database), self._schema(database.vendor, applied))
        rows = [(row["app"], row["name"]) for row in recorded(database)["django_migrations"]]
        same(sorted(rows), sorted(set(rows)))
        [place] = [tag for tag, keys in self.at.items() if keys == applied]
        return place

    def keeps_its_rows(self, database: Database) -> None:
        """The rows that were there before anything began are there."""
        customers = database.execute("SELECT id, name FROM shop_customer WHERE id < 0 ORDER BY id")
        same(customers, [(-2, "Grace"), (-1, "Ada")])
        orders = database.execute("SELECT id, customer_id, amount FROM orders_order WHERE id < 0 ORDER BY id")
        same(orders, [(-2, -2, 20), (-1, -1, 10)])

    def _deploy(self, vendor: str) -> Database:
        database = self._templates[vendor] = self._empty(vendor)
        last = {"v1": ("0001", "0001"), "v2": ("0003", "0002")}
        self.crew.manage(database, "migrate", "django_rollback")
        for tag, (shop, orders) in last.items():
            self.crew.manage(database, "migrate", "shop", shop)
            self.crew.manage(database, "migrate", "orders", orders)
            self.crew.manage(database, *SAVE, "--commit", self.commits[tag])
        for statement in ROWS:
            database.execute(statement)
        return database

    def _schema(self, vendor: str, applied: Applied) -> str:
        if (vendor, applied) not in self._built:
            with self._fresh(vendor) as database:
                self.crew.manage(database, "migrate", "django_rollback")
                for app in ("shop", "orders"):
                    last = max((name for of, name in applied if of == app), default=None)
                    # What another app depends on is there already; naming it would be a way back.
                    if last and (app, last) not in oracle.migrations(database):
                        self.crew.manage(database, "migrate", app, last)
                same({key for key in oracle.migrations(database) if key[0] in ("shop", "orders")}, set(applied))
                self._built[vendor, applied] = oracle.schema(database)
        return self._built[vendor, applied]

    @contextmanager
    def _fresh(self, vendor: str, template: Database | None = None) -> Iterator[Database]:
        database = self._empty(vendor, template)
        yield database
        if vendor == "sqlite":
            for path in self.folder.glob(f"{Path(database.name).name}*"):
                path.unlink()
        else:
            self.cluster().drop_database(database.name)

    def _empty(self, vendor: str, template: Database | None = None) -> Database:
        name = f"live_{next(self._numbers)}"
        if vendor == "postgresql":
            return self.cluster().create_database(name, template=template.name if template else "template1")
        path = self.folder / f"{name}.sqlite3"
        shutil.copyfile(template.name, path) if template else path.touch()
        return Database.sqlite(path)

    @staticmethod
    def _keys(*versions: Migrations) -> Applied:
        names = [name.partition(".") for version in versions for name in version]
        return frozenset((app, name) for app, _, name in names)


class Gate:
    """Where a migration of the shop waits until it is let through, or until the end of the block.

    `environment` is that of the command it runs in.
    """

    def __init__(self, folder: Path) -> None:
        self._name = folder / f"gate-{random.getrandbits(64):x}"
        self.environment = {"GATE": str(self._name)}

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()

    def wait_until_reached(self) -> None:
        """Wait until the migration is there: then its command has all its locks."""
        wait_for(self._name.with_suffix(".reached").exists, "a migration that should wait at the gate")

    def open(self) -> None:
        """Let it through."""
        self._name.with_suffix(".open").touch()


@dataclass(frozen=True)
class Call:
    """One statement of the application that was answered."""

    kind: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Application:
    """Threads that read and write rows until the end of the block, each with a connection of its own.

    What was acknowledged is remembered: `check` says what of it is not in the database, and every error. `crossing`
    is how many of them lock the tables in another order than a rollback does, in transactions that take a while.
    """

    def __init__(self, database: Database, *, readers: int = 2, writers: int = 2, crossing: int = 0) -> None:
        self.database = database
        self.calls: list[Call] = []
        self.errors: list[str] = []
        self.acknowledged: dict[tuple[str, int], Any] = {}
        self._closing = threading.Event()
        work = [self._read] * readers + [self._write] * writers + [self._cross] * crossing
        self._threads = [threading.Thread(target=self._repeat, args=(each,), daemon=True) for each in work]

    def __enter__(self) -> Application:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def check(self, database: Database) -> None:
        """No error, and of all that was acknowledged nothing is lost: neither a row nor its last value."""
        same(self.errors, [])
        found: dict[tuple[str, int], Any] = {
            **{("customer", id): name for id, name in database.execute("SELECT id, name FROM shop_customer")},
            **{("order", id): amount for id, amount in database.execute("SELECT id, amount FROM orders_order")},
        }
        lost = {key: value for key, value in self.acknowledged.items() if found.get(key) != value}
        same(lost, {})
        assert self.acknowledged

    def worst(self, kind: str, begin: float = 0.0, end: float = float("inf")) -> float:
        """The longest that a call of this kind took which had ended between these moments."""
        return max((call.seconds for call in self.calls if call.kind == kind and begin <= call.ended <= end), default=0)

    def _repeat(self, work: Callable[[Any, int], object]) -> None:
        try:
            with self.database.connect() as connection:
                # As Django does it: the server prepares nothing, which a transaction pooler could not follow.
                connection.prepare_threshold = None
                for number in count():
                    if self._closing.is_set():
                        return
                    work(connection, number)
                    time.sleep(0.002)
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    def _read(self, connection: Any, number: int) -> None:
        if number % 2:
            self._call(connection, "read", "SELECT id, name FROM shop_customer ORDER BY id DESC LIMIT 10", ())
        else:
            joined = "orders_order o JOIN shop_customer c ON c.id = o.customer_id"
            self._call(connection, "read", f"SELECT o.amount, c.name FROM {joined} ORDER BY o.id DESC LIMIT 10", ())

    def _write(self, connection: Any, number: int) -> tuple[int, int]:
        name = f"customer {number}"
        insert = "INSERT INTO shop_customer (name) VALUES (%s) RETURNING id"
        [(customer,)] = self._call(connection, "write", insert, (name,))
        self.acknowledged["customer", customer] = name
        insert = "INSERT INTO orders_order (customer_id, amount) VALUES (%s, %s) RETURNING id"
        [(order,)] = self._call(connection, "write", insert, (customer, number))
        self.acknowledged["order", order] = number
        self._call(connection, "write", "UPDATE shop_customer SET name = %s WHERE id = %s", (f"new {number}", customer))
        self.acknowledged["customer", customer] = f"new {number}"
        return customer, order

    def _cross(self, connection: Any, number: int) -> None:
        """Mostly at rest: otherwise there would be no moment at which a rollback could have both tables."""
        customer, order = self._write(connection, number)
        time.sleep(random.uniform(0.02, 0.1))
        connection.execute("BEGIN")
        self._call(connection, "cross", "UPDATE shop_customer SET name = 'crossed' WHERE id = %s", (customer,))
        time.sleep(random.uniform(0, 0.02))
        self._call(connection, "cross", "UPDATE orders_order SET amount = -1 WHERE id = %s", (order,))
        connection.execute("COMMIT")
        self.acknowledged |= {("customer", customer): "crossed", ("order", order): -1}

    def _call(self, connection: Any, kind: str, sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        began = time.monotonic()
        cursor = connection.execute(sql, parameters)
        rows = list(cursor.fetchall()) if cursor.description else []
        self.calls.append(Call(kind, began, time.monotonic()))
        return rows


@contextmanager
def long_reader(
    database: Database, statement: str = "SELECT count(*) FROM shop_customer WHERE name <> 'nobody'"
) -> Iterator[int]:
    """A session that has read a table and keeps its transaction open; its process id on the server."""
    with database.connect() as connection:
        connection.execute("BEGIN")
        [(pid,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
        connection.execute(statement)
        yield pid
        connection.execute("COMMIT")


def nothing_is_left(database: Database) -> None:
    """No session but this one holds a lock in the database, is inside a transaction, or has the name of a rollback."""
    locks = f"""
        SELECT coalesce(relation::regclass::text, locktype), mode, granted, pid FROM pg_locks
        WHERE database = (SELECT oid FROM pg_database WHERE datname = '{database.name}') AND pid <> pg_backend_pid()
    """
    same(database.execute(locks), [])
    names = f"SELECT application_name FROM pg_stat_activity WHERE datname = '{database.name}'"
    same(database.execute(f"{names} AND application_name LIKE 'django-rollback: %'"), [])
    assert is_free(database), "a session is inside a transaction"


def is_free(database: Database) -> bool:
    """Whether no session is inside a transaction."""
    inside = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{database.name}' AND pid <> pg_backend_pid()"
    return not database.execute(f"{inside} AND xact_start IS NOT NULL")


def has_one_and_waits_for_another(database: Database, has: str, waits_for: str) -> bool:
    """Whether a session holds an exclusive lock on one table and waits for one on another."""
    locks = "SELECT pid FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND"
    held = f"{locks} granted AND relation = '{has}'::regclass"
    return bool(database.execute(f"{locks} NOT granted AND relation = '{waits_for}'::regclass AND pid IN ({held})"))


def same_settings_everywhere(bouncer: PgBouncer, database: Database) -> None:
    """On no server connection of the pool a setting was left behind; all of them are looked at.

    PgBouncer itself passes on those that a client names when it connects.
    """
    passed_on = "'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings', 'application_name'"
    left = f"SELECT name, setting FROM pg_settings WHERE source = 'session' AND name NOT IN ({passed_on})"
    with ExitStack() as stack:
        seen = {}
        for _ in range(bouncer.pool_size):
            connection = stack.enter_context(bouncer.database(database.name).connect())
            connection.prepare_threshold = None
            # Each stays in its transaction, so that the next one gets another server connection.
            stack.enter_context(connection.transaction())
            [(pid, timeout)] = connection.execute("SELECT pg_backend_pid(), current_setting('lock_timeout')").fetchall()
            seen[pid] = timeout, connection.execute(left).fetchall()
        assert len(seen) == bouncer.pool_size
        same(list(seen.values()), [("0", [])] * bouncer.pool_size)


def whole(ended: Ended) -> str:
    """All that a command has printed, for messages."""
    return f"exit code {ended.code}\n{ended.out}{ended.err}"


def assert_refused(ended: Ended) -> None:
    """Exit code 1 and a sentence, after the warnings of the plan: no traceback and nothing unexpected."""
    assert ended.code == 1, whole(ended)
    assert len(re.findall(r"^(?:CommandError|error): ", ended.err, re.MULTILINE)) == 1, whole(ended)
    for trace in ("Traceback", "panicked", "RUST_BACKTRACE"):
        assert trace not in ended.err, whole(ended)


def assert_names_holder(ended: Ended, operation: str) -> None:
    """The refusal says who holds the lock: what is being done, by whom, on which machine, since when."""
    assert_refused(ended)
    who = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
    assert re.search(rf"\b{operation} by {re.escape(who)}, since \d", ended.err), whole(ended)
