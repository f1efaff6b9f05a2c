"""The harness itself: the oracle sees what differs and nothing else, and projects keep to themselves.

A wrong oracle would make every other test worthless, so it is held against stock Django here.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import NewDatabase
from harness import oracle
from harness.database import Database
from harness.project import BARE_START, CONTRIB_APPS, CommandFailed, Project

MODELS = {
    "shop/migrations/0001_initial.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            operations = [
                migrations.CreateModel("Item", [
                    ("id", models.BigAutoField(primary_key=True)),
                    ("name", models.CharField(max_length=20, unique=True)),
                    ("price", models.PositiveIntegerField(default=0)),
                ]),
            ]
    """,
    "shop/migrations/0002_more.py": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [
                migrations.AddField("Item", "parent", models.ForeignKey("shop.Item", models.CASCADE, null=True)),
                migrations.AlterField("Item", "name", models.CharField(max_length=40, db_index=True)),
                migrations.RemoveField("Item", "price"),
                migrations.AddIndex("Item", models.Index(fields=["parent", "name"], name="item_by_parent")),
            ]
    """,
}


@pytest.fixture
def shop(tmp_path: Path, database: Database) -> Project:
    """A project of stock Django with one app and two migrations, committed as v1."""
    project = Project(tmp_path / "shop", database=database, apps=[*CONTRIB_APPS, "shop"])
    project.commit(MODELS, tag="v1")
    return project


def test_schema_is_the_same_after_django_goes_forwards_and_back(shop: Project, new_database: NewDatabase) -> None:
    shop.manage("migrate")
    newer = oracle.schema(shop.database)
    shop.manage("migrate", "shop", "0001")

    fresh = shop.clone_at("v1", new_database())
    fresh.manage("migrate", "shop", "0001")
    fresh.manage("migrate", "auth")

    assert oracle.schema(shop.database) == oracle.schema(fresh.database)
    assert oracle.schema(shop.database) != newer
    assert oracle.migrations(shop.database) == oracle.migrations(fresh.database)
    assert oracle.content_types(shop.database) == oracle.content_types(fresh.database)


BASE_TABLE = "CREATE TABLE item (id integer PRIMARY KEY, name varchar(20) NOT NULL, kind varchar(5) DEFAULT 'a, (b')"
SAME_TABLE = "CREATE TABLE item (name varchar(20) not null, kind  varchar(5) default 'a, (b', id INTEGER PRIMARY KEY)"


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE item ADD COLUMN extra integer",
        "CREATE INDEX item_name ON item (name)",
        "CREATE UNIQUE INDEX item_name ON item (name) WHERE id > 3",
        "CREATE VIEW names AS SELECT name FROM item",
        "CREATE TABLE other (id integer)",
        "ALTER TABLE item ADD COLUMN parent_id integer REFERENCES item (id)",
        "ALTER TABLE item ADD COLUMN size integer CHECK (size > 0)",
    ],
)
def test_schema_sees_every_change(database: Database, change: str) -> None:
    database.execute(BASE_TABLE)
    before = oracle.schema(database)
    database.execute(change)
    assert oracle.schema(database) != before


def test_schema_does_not_see_the_order_of_columns(new_database: NewDatabase) -> None:
    one, other = new_database(), new_database()
    one.execute(BASE_TABLE)
    other.execute(SAME_TABLE)
    assert oracle.schema(one) == oracle.schema(other)


def test_own_tables_are_left_out_unless_asked_for(database: Database) -> None:
    database.execute("CREATE TABLE django_rollback_something (id integer)")
    assert oracle.schema(database) == ""
    assert oracle.rows(database) == {}
    assert "django_rollback_something" in oracle.schema(database, own_tables=True)
    assert oracle.rows(database, own_tables=True) == {"django_rollback_something": []}


def test_rows_are_sorted_and_without_what_each_run_makes_anew(shop: Project) -> None:
    shop.manage("migrate")
    shop.database.execute("INSERT INTO shop_item (id, name) VALUES (2, 'b'), (1, 'a')")
    rows = oracle.rows(shop.database)
    assert rows["shop_item"] == [{"id": 1, "name": "a", "parent_id": None}, {"id": 2, "name": "b", "parent_id": None}]
    assert {"app": "shop", "name": "0002_more"} in rows["django_migrations"]
    assert not oracle.FRAMEWORK_TABLES & rows.keys()


def test_nothing_is_applied_in_an_empty_database(database: Database) -> None:
    assert oracle.migrations(database) == set()
    assert oracle.content_types(database) == set()


def test_commits_have_the_same_hashes_in_each_run(tmp_path: Path) -> None:
    database = Database.sqlite(tmp_path / "database.sqlite3")
    one, other = (Project(tmp_path / name, database=database) for name in ("one", "other"))
    assert one.commit(MODELS, tag="v1") == other.commit(MODELS, tag="v1")
    assert one.commit({"shop": None}) != one.git("rev-parse", "v1")
    assert not (one.root / "shop").exists()


def test_commands_see_nothing_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path / "project", database=Database.sqlite(tmp_path / "database.sqlite3"))
    for name in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "GITHUB_SHA", "GIT_COMMIT"):
        monkeypatch.setenv(name, "x")
    assert not {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "GITHUB_SHA", "GIT_COMMIT"} & project.environment().keys()


def test_a_failing_command_is_shown_whole(shop: Project) -> None:
    with pytest.raises(CommandFailed, match=r"(?s)exit code 1: .*manage\.py migrate nonsense.*No installed app"):
        shop.manage("migrate", "nonsense")
    assert shop.manage("migrate", "nonsense", check=False).returncode == 1


PROGRAMS = {
    "what it sees": "import os, sys; print(sys.argv, sys.path, __name__, os.getcwd(), sorted(os.environ.items()))",
    "its streams": """
        import sys
        for each in (sys.stdin, sys.stdout, sys.stderr):
            print(repr(each), each.errors, each.line_buffering, each.newlines, each.fileno(), each.isatty())
        print(repr(sys.stdin.read()))
    """,
    "its files": "import os; print(sorted(os.listdir('/proc/self/fd')))",
    "its signals": "import signal; print([(each, signal.getsignal(each)) for each in sorted(signal.valid_signals())])",
    "its clock": "import os, time; print(time.tzname, time.localtime(0).tm_hour)",
    "its texts": "import locale, sys; print(locale.setlocale(locale.LC_ALL), sys.flags, sys.getfilesystemencoding())",
    "its warnings": "import warnings; print(warnings.filters); warnings.warn('old', DeprecationWarning)",
    "its Django": "from django.conf import settings; from django.apps import apps; print(settings, apps.ready)",
    "an error": "def fail():\n    1 / 0\nfail()",
    "an error of an error": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('x') from error",
    "a text at the end": "import sys; sys.exit('no')",
    "a code": "import sys; print('half a line', end=''); sys.exit(300)",
    "Ctrl-C": "raise KeyboardInterrupt",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "at the end": "import atexit, threading, time\natexit.register(print, 'bye')\n"
    "threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()",
    "no syntax": "1 +",
}


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C ends what is started here, even if a shell runs the tests in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("how", ["a file", "a text", "behind the binary"])
def test_a_fork_is_as_good_as_a_process(tmp_path: Path, how: str, name: str) -> None:
    """Output, traces and exit code are those of a process; nothing shows of the process that forked it."""
    project = Project(tmp_path / "project", database=Database.sqlite(tmp_path / "database.sqlite3"))
    project.write({"a folder/program.py": PROGRAMS[name]})
    program = project.root / "a folder" / "program.py"
    words = ["-c", program.read_text(), "one"] if how == "a text" else [str(program), "one", "two words"]
    environment = BARE_START if how == "behind the binary" else project.environment() | {"TZ": "Asia/Tokyo"}
    options = {"env": environment, "cwd": project.root}
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    process = subprocess.run([project.python, *words], **options, **pipes)
    if how == "behind the binary":
        fork = subprocess.run([project.front, *words], **options, **pipes)
    else:
        fork = project.warm().run([project.python, *words], timeout=60, **options)
    assert (fork.returncode, fork.stdout, fork.stderr) == (process.returncode, process.stdout, process.stderr)


def test_what_python_reads_when_it_starts_needs_a_process(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", database=Database.sqlite(tmp_path / "database.sqlite3"))
    command = [sys.executable, str(project.root / "manage.py")]
    assert project.warm().can_run(command, project.environment() | {"DJANGO_ROLLBACK_KEY": "x"})
    for variable in ("PYTHONPATH", "PYTHONWARNINGS", "LC_ALL", "LANG"):
        assert not project.warm().can_run(command, project.environment() | {variable: "x"})
    assert not project.warm().can_run([sys.executable, "-W", "error", *command[1:]], project.environment())


def test_a_fork_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", database=Database.sqlite(tmp_path / "database.sqlite3"))
    sleep = [project.python, "-c", "import time; time.sleep(300)"]
    with pytest.raises(subprocess.TimeoutExpired):
        project.warm().run(sleep, env=project.environment(), cwd=tmp_path, timeout=1)
