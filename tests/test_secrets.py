"""Passwords, contents of rows and variables of the environment are never said, whatever fails and wherever it is told.

Every secret here is one of a few words that stand nowhere else; they are looked for in all that a command leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from conftest import CopyDatabase
from harness.database import Database
from harness.postgres import Cluster
from harness.project import Project
from scenarios import BASE_APPS, NAMED, NUMBER, Result, Trip, add, create, migration
from under_way import HISTORY

ROW, PASSWORD, VARIABLE = "canaryrow7c1e", "canary-p@ss/w:rd?", "canaryvariable5d"
NUMBER_IN_ROW = 8675309867
SECRETS = (ROW, PASSWORD, quote(PASSWORD, safe=""), "canary", VARIABLE, str(NUMBER_IN_ROW))
BOTH = ("sqlite", "postgresql")
ON_POSTGRESQL = ("postgresql",)
ENVIRONMENT = {"SECRET_KEY": VARIABLE, "AWS_SECRET_ACCESS_KEY": VARIABLE, "PGPASSWORD": PASSWORD}
SETTINGS = """
    LOGGING = {
        "version": 1,
        "handlers": {"file": {"class": "logging.FileHandler", "filename": BASE_DIR / "log"}},
        "loggers": {"audit": {"handlers": ["file"], "level": "DEBUG", "propagate": False}},
    }
"""


@dataclass(frozen=True)
class Case:
    """Two releases of one app, and the rows that its second migration cannot take back, or takes away."""

    v1: list[str]
    v2: list[str]
    rows: list[str]
    code: str = ""
    on: tuple[str, ...] = BOTH
    fails: bool = True


def typed(older: str) -> Case:
    """A column whose older type cannot hold what is in it now."""
    return Case(
        [create("Item", x=f"models.{older}(null=True)")],
        ['migrations.AlterField("Item", "x", models.TextField(null=True))'],
        [f"INSERT INTO APP_item (x) VALUES ('{ROW}')"],
        on=ON_POSTGRESQL,
    )


TWO_OF_IT = [f"INSERT INTO APP_item (name) VALUES ('{ROW}'), ('{ROW}')"]
DANGLING = f"""
    def run(apps, editor):
        apps.get_model("APP", "Item").objects.create(tag_id="{ROW}")
"""
TWICE = f"""
    def run(apps, editor):
        apps.get_model("APP", "Item").objects.create(name="{ROW}")
"""
CHECKED = f"""
    def run(apps, editor):
        apps.get_model("APP", "Item").objects.create(name="{ROW}", size=-1)
"""
RUN = "migrations.RunPython(migrations.RunPython.noop, run)"
ONE_NAME = 'migrations.AddConstraint("Item", models.UniqueConstraint(fields=["name"], {}name="APP_one_name"))'
CASES = {
    "dropped_table": Case([create("Other")], [create("Item", **NAMED)], TWO_OF_IT, fails=False),
    "dropped_column": Case(
        [create("Item")],
        [add("Item", "name", "models.CharField(max_length=20, null=True)")],
        TWO_OF_IT,
        fails=False,
    ),
    "unfit_length": Case(
        [create("Item", name="models.CharField(max_length=3)")],
        ['migrations.AlterField("Item", "name", models.CharField(max_length=30))'],
        TWO_OF_IT,
        on=ON_POSTGRESQL,
    ),
    "unfit_unique": Case(
        [create("Item", **NAMED), ONE_NAME.format("")],
        ['migrations.RemoveConstraint("Item", "APP_one_name")'],
        TWO_OF_IT,
    ),
    "unique": Case(
        [
            create("Item", **NAMED),
            ONE_NAME.format("condition=models.Q(id__gt=0), "),
        ],
        ['migrations.RemoveConstraint("Item", "APP_one_name")'],
        TWO_OF_IT,
    ),
    "unique_in_code": Case(
        [create("Item", name="models.CharField(max_length=20, unique=True)")],
        [RUN],
        [f"INSERT INTO APP_item (name) VALUES ('{ROW}')"],
        code=TWICE,
    ),
    "check_in_code": Case([create("Item", **NAMED, size="models.PositiveIntegerField()")], [RUN], [], code=CHECKED),
    "foreign_key_in_code": Case(
        [
            create("Tag", code="models.CharField(max_length=20, unique=True)"),
            create("Item", tag='models.ForeignKey("APP.Tag", models.CASCADE, to_field="code")'),
        ],
        [RUN],
        [],
        code=DANGLING,
    ),
    "typed_number": typed("IntegerField"),
    "typed_date": typed("DateField"),
    "typed_uuid": typed("UUIDField"),
    "typed_json": typed("JSONField"),
    "typed_boolean": typed("BooleanField"),
    "big_number": Case(
        [create("Item", x="models.IntegerField()")],
        ['migrations.AlterField("Item", "x", models.CharField(max_length=20))'],
        [f"INSERT INTO APP_item (x) VALUES ('{NUMBER_IN_ROW}')"],
        on=ON_POSTGRESQL,
    ),
}


@dataclass
class Town:
    """A project with a release for each case, and a copy of the database at each of them."""

    trip: Trip
    copies: dict[str, tuple[str, Database]] = field(default_factory=dict)

    @property
    def project(self) -> Project:
        return self.trip.project


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, copy_database: CopyDatabase) -> Town:
    """Each release has one case more than the one before, so that going back by one release is one case."""
    project = Project(tmp_path_factory.mktemp("secrets") / "project", database=copy_database())
    town = Town(Trip(project, copy_database, BASE_APPS, SETTINGS))
    cases = {app: case for app, case in CASES.items() if project.database.vendor in case.on}
    first = {f"{app}.0001": source(app, case.v1) for app, case in cases.items()}
    previous = "v1"
    town.trip.deploy(previous, first, files={".gitignore": "local_settings.py\n__pycache__/\nlog\n"})
    for app, case in cases.items():
        newer = source(app, case.v2, after=[f"{app}.0001"], code=case.code.replace("APP", app))
        town.trip.write({f"{app}.0002": newer})
        project.commit(tag=app)
        project.run_python(
            "from django.core.management import call_command\n"
            f'call_command("migrate", {app!r}, verbosity=0)\n'
            'call_command("save_migrations_state", verbosity=0)'
        )
        # The case before is not in the way of this one.
        town.trip.execute(*(row.replace("APP", app) for row in case.rows))
        town.copies[app] = previous, copy_database(project.database)
        town.trip.execute(*(f"DELETE FROM {app}_item" for row in case.rows))
        previous = app
    return town


def source(app: str, operations: list[str], **words: Any) -> str:
    return migration(*(each.replace("APP", app) for each in operations), **words)


def assert_silent(project: Project, *results: Result) -> None:
    """No secret in what was printed, in the log or in history."""
    log = project.root / "log"
    left = {
        **{f"stdout of {result.args[1:]}": result.stdout for result in results},
        **{f"stderr of {result.args[1:]}": result.stderr for result in results},
        "log": log.read_text() if log.exists() else "",
        "history": repr(project.database.execute(f"SELECT * FROM {HISTORY}")),
    }
    for place, text in left.items():
        for secret in SECRETS:
            assert secret not in text, f"{secret} in {place}: {text}"
        assert "Traceback" not in text, (place, text)


@pytest.mark.parametrize("app", [app for app, case in CASES.items() if case.on == BOTH])
def test_contents_of_rows(town: Town, app: str) -> None:
    """Through every command and every form of output, with all that can be said."""
    go_back(town, app)


@pytest.mark.parametrize("copy_database", ["postgres"], indirect=True, scope="module")
@pytest.mark.parametrize("app", [app for app, case in CASES.items() if case.on != BOTH])
def test_contents_of_rows_that_do_not_fit_a_type(town: Town, app: str) -> None:
    """PostgreSQL quotes the value in the first line of what it says."""
    go_back(town, app)


def go_back(town: Town, app: str) -> None:
    previous, database = town.copies[app]
    project = town.project
    project.use(database)
    (project.root / "log").unlink(missing_ok=True)
    target = ("-t", previous)
    results = [
        project.native("plan", *target, check=False, env=ENVIRONMENT),
        project.native("plan", *target, "--format", "json", check=False, env=ENVIRONMENT),
        project.manage("rollback", "rollback", *target, "--format", "json", check=False, env=ENVIRONMENT),
        project.manage("rollback_migrations", *target, "-v", "3", "-l", "audit", check=False, env=ENVIRONMENT),
        project.native("history", "--format", "json", check=False, env=ENVIRONMENT),
    ]
    assert (results[3].returncode != 0) == CASES[app].fails, results[3]
    assert (project.root / "log").read_text() != ""
    assert_silent(project, *results)


# Queries of others

QUERIES = {
    "text": f"SELECT 1 FROM shop_item WHERE name = '{ROW}'",
    "text with a quote": f"SELECT 1 FROM shop_item WHERE name = 'it''s {ROW}'",
    "text with escapes": rf"SELECT 1 FROM shop_item WHERE name = E'it\'s {ROW}'",
    "dollars": f"SELECT 1 FROM shop_item WHERE name = $${ROW}$$ OR name = $it$ {ROW} $$ $it$",
    "comment": f"SELECT 1 FROM shop_item -- {ROW}\n/* {ROW} /* {ROW} */ */ WHERE id = {NUMBER_IN_ROW}",
    "number": f"SELECT 1 FROM shop_item WHERE id IN ({NUMBER_IN_ROW}, -{NUMBER_IN_ROW}, {NUMBER_IN_ROW}.5e3)",
    "unicode": f"SELECT 1 FROM shop_item WHERE name = U&'{ROW}'",
    "cut short": f"SELECT 1 FROM shop_item WHERE name = '{'x' * 960}{ROW * 10}'",
    "bytes": f"SELECT 1 FROM shop_item WHERE name = B'101'::text OR name = '{ROW}'::text",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Iterator[Trip]:
    """Two releases on PostgreSQL, with a column to drop."""
    database = postgres.create_database("secrets_of_a_shop")
    trip = Trip(Project(tmp_path_factory.mktemp("queries") / "project", database=database), lambda: database)
    trip.settings = SETTINGS
    trip.deploy("v1", {"shop.0001": migration(create("Item", **NAMED))})
    trip.deploy("v2", {"shop.0002": migration(add("Item", "a", NUMBER), after=["shop.0001"])})
    yield trip
    postgres.drop_database(database.name)


@contextmanager
def busy(database: Database, queries: Iterable[str]) -> Iterator[None]:
    """Sessions that have each run one of these, and hold their locks."""
    queries = list(queries)
    if not queries:
        yield
        return
    with database.connect() as session:
        session.execute("BEGIN")
        session.execute(queries[0])
        with busy(database, queries[1:]):
            yield


@pytest.mark.parametrize("names", [list(QUERIES)[:5], list(QUERIES)[5:]], ids=["first", "others"])
def test_queries_of_sessions_in_the_way(shop: Trip, names: list[str]) -> None:
    """They are shown, five at a time, without the values in them."""
    project = shop.project
    words = ("-t", "v1", "--wait", "0")
    with busy(project.database, [QUERIES[name] for name in names]):
        results = [
            project.manage("rollback_migrations", *words, "-v", "3", "-l", "audit", check=False),
            project.manage("rollback", "rollback", *words, "--format", "json", check=False),
        ]
    for result in results:
        assert (result.returncode, result.stderr.count("SELECT ? FROM shop_item")) == (1, len(names)), result
    assert_silent(project, *results)


# Passwords


@pytest.fixture(scope="module")
def guarded(postgres: Cluster) -> Iterator[Database]:
    """A database to which a role of its own has to give a password."""
    database = postgres.create_database("secrets_guarded")
    database.execute("DO $$BEGIN CREATE ROLE guarded LOGIN PASSWORD 'right'; EXCEPTION WHEN OTHERS THEN END$$")
    access = postgres.directory / "data" / "pg_hba.conf"
    trusting = access.read_text()
    access.write_text("host all guarded 127.0.0.1/32 scram-sha-256\n" + trusting)
    database.execute("SELECT pg_reload_conf()")
    yield replace(database, user="guarded")
    access.write_text(trusting)
    database.execute("SELECT pg_reload_conf()")
    postgres.drop_database(database.name)


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory, guarded: Database) -> Project:
    """A project to run the binary in."""
    return Project(tmp_path_factory.mktemp("anywhere") / "project", database=guarded)


P = quote(PASSWORD, safe="")
URLS = {
    "wrong password": f"postgresql://guarded:{P}@HOST:PORT/NAME",
    "wrong password in a parameter": f"postgresql://guarded@HOST:PORT/NAME?password={P}",
    "no such host": f"postgresql://guarded:{P}@host.invalid/NAME",
    "nobody listens": f"postgresql://guarded:{P}@127.0.0.1:9/NAME",
    "no such folder": f"postgresql://guarded:{P}@/NAME?host=/nowhere",
    "no port": f"postgresql://guarded:{P}@HOST:many/NAME",
    "a large port": f"postgresql://guarded:{P}@HOST:99999/NAME",
    "not encoded": f"postgresql://guarded:{PASSWORD}@HOST:PORT/NAME",
    "an at sign": f"postgresql://guarded:{ROW}@{ROW}@HOST:PORT/NAME",
    "a slash": f"postgresql://guarded:a/{ROW}@HOST:PORT/NAME",
    "a hash": f"postgresql://guarded:a#{ROW}@HOST:PORT/NAME",
    "a question mark": f"postgresql://guarded:a?{ROW}@HOST:PORT/NAME",
    "half a code": f"postgresql://guarded:%Z1{ROW}@HOST:PORT/NAME",
    "no text": f"postgresql://guarded:%FF%FE{ROW}@HOST:PORT/NAME",
    "brackets": f"postgresql://guarded:[{ROW}]@[::1/NAME",
    "an unknown parameter": f"postgresql://guarded:{P}@HOST:PORT/NAME?what={P}",
    "a wrong parameter": f"postgresql://guarded:{P}@HOST:PORT/NAME?sslmode={ROW}",
    "a wrong time": f"postgresql://guarded:{P}@HOST:PORT/NAME?connect_timeout={ROW}",
    "the password as a parameter": f"postgresql://guarded@HOST:PORT/NAME?{ROW}",
    "tls": f"postgresql://guarded:{P}@HOST:PORT/NAME?sslmode=verify-full&sslrootcert=/nowhere",
    "a certificate": f"postgresql://guarded:{P}@HOST:PORT/NAME?sslcert=/nowhere&sslkey=/nowhere",
    "another database": f"mysql://guarded:{P}@HOST:PORT/NAME",
    "an unknown one": f"oracle+x://guarded:{P}@HOST:PORT/NAME",
    "no scheme": f"guarded:{P}@HOST:PORT/NAME",
    "a scheme with it": f"{ROW}://guarded@HOST:PORT/NAME",
    "sqlite with it": f"sqlite://guarded:{P}@HOST/NAME",
    "settings of libpq": f"host=HOST port=PORT user=guarded password={ROW} dbname=NAME",
    "a new line": f"postgresql://guarded:{P}\n@HOST:PORT/NAME",
}
# What it cannot know for a password is shown, like the scheme or the name of a parameter: a mistake is seen by it.
SHOWN = {"a scheme with it", "the password as a parameter", "a wrong parameter", "a wrong time"}


@pytest.mark.parametrize("way", ["variable", "file", "argument"])
@pytest.mark.parametrize("case", URLS)
def test_a_password_in_a_url(guarded: Database, anywhere: Project, tmp_path: Path, case: str, way: str) -> None:
    """Through the binary: whatever is wrong with the URL, and however it is given."""
    url = URLS[case].replace("HOST", guarded.host).replace("PORT", str(guarded.port)).replace("NAME", guarded.name)
    words, env = ["list"], {"DATABASE_URL": "", "SECRET": VARIABLE}
    if way == "variable":
        env["DATABASE_URL"] = url
    elif way == "file":
        (tmp_path / "url").write_text(url)
        words += ["--database-file", str(tmp_path / "url")]
    else:
        words += ["--database", url]
    result = anywhere.native(*words, check=False, env=env)
    assert result.returncode in (1, 2) and result.stderr.startswith("error: "), result
    for secret in SECRETS:
        if case not in SHOWN or (way == "argument" and case == "wrong password"):
            assert secret not in result.stdout + result.stderr, (secret, result.stderr)
    assert "panicked" not in result.stderr


@pytest.mark.parametrize("door", ["native", "manage"])
@pytest.mark.parametrize("place", ["variable", "passfile", "settings"])
def test_a_wrong_password(guarded: Database, tmp_path: Path, place: str, door: str) -> None:
    """From the variable, from the file of passwords, and from the settings."""
    project = Project(tmp_path / "project", database=guarded, apps=["django_rollback"])
    project.install_apps(["django_rollback"], extra=SETTINGS)
    env = {"SECRET": VARIABLE}
    if place == "variable":
        env["PGPASSWORD"] = PASSWORD
    elif place == "passfile":
        (tmp_path / "pgpass").write_text("*:*:*:*:" + PASSWORD.replace(":", r"\:") + "\n")
        (tmp_path / "pgpass").chmod(0o600)
        env["PGPASSFILE"] = str(tmp_path / "pgpass")
    else:
        settings = project.root / "local_settings.py"
        settings.write_text(settings.read_text().replace("'USER'", f"'PASSWORD': {PASSWORD!r}, 'USER'"))
        env["DATABASE_URL"] = guarded.url.replace("guarded@", f"guarded:{P}@")
    for words in (["list"], ["save"], ["rollback", "-t", "v1"], ["status", "--format", "json"]):
        if door == "native":
            result = project.native(*words, check=False, env=env)
        else:
            result = project.manage("rollback", *words, "-v", "3", check=False, env=env)
        assert result.returncode == 1 and "password" in result.stderr, result
        for secret in SECRETS:
            assert secret not in result.stdout + result.stderr, (secret, result)
        if door == "manage":
            break
