"""Bad input through a real process: a sentence that names the thing, a hint, the right exit code, nothing changed.

What each refusal says is a snapshot in `crates/rollback-cli/tests`; here are those that need a driver, a server, git or
Django, and a few through every door.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.database import Database
from harness.postgres import Cluster
from harness.project import Project
from two_releases import DOORS, VENDORS, TwoReleases, everything_in, name_of, refusal, run

SHIPPED_DOORS = ("native", "original")
ALL_DOORS = pytest.mark.parametrize("door", DOORS)
BOTH_DOORS = pytest.mark.parametrize("door", SHIPPED_DOORS)

DAMAGED_HINT = "something else changed it: repair it, or restore it from a backup"
DAMAGED_SET_HINT = "something else changed it: restore it from a backup, or go back to another release"
LIST_HINT = "`list` shows the saved releases"
ROLE_HINT = "connect as the role that runs `migrate`: it owns the tables and may write to them"
SOURCE_HINT = (
    "give it with `--commit`, set DJANGO_ROLLBACK_COMMIT, point `-p` at the repository, or run "
    "`django-rollback stamp` when the image is built"
)
UNSET_HINT = "is the shell variable unset? Leave `--commit` out to go back to the previous release"
UNSAVED = "ab" * 20
SET_OF_V1 = "hash = (SELECT applied_set FROM django_rollback_appsstate WHERE tags LIKE '%v1%')"


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> TwoReleases:
    """The project that these tests copy; PostgreSQL starts when the first of them needs it."""
    return TwoReleases(tmp_path_factory.mktemp("refusals"), lambda: request.getfixturevalue("postgres"))


@pytest.fixture(params=VENDORS)
def project(request: pytest.FixtureRequest, releases: TwoReleases) -> Iterator[Project]:
    """v1 and v2 are saved; once on SQLite and once on PostgreSQL."""
    with releases.on(request.param) as project:
        yield project


@pytest.fixture
def on_sqlite(releases: TwoReleases) -> Iterator[Project]:
    """v1 and v2 are saved, on SQLite, where the database does not matter."""
    with releases.on("sqlite") as project:
        yield project


@pytest.fixture
def on_postgresql(releases: TwoReleases) -> Iterator[Project]:
    """v1 and v2 are saved, on PostgreSQL."""
    with releases.on("postgresql") as project:
        yield project


def check(project: Project, door: str, words: list[str], expected: tuple[int, str, str | None], **options: Any) -> None:
    """The command is refused with this code, sentence and hint, prints no data, and changes nothing at all."""
    code, message, hint = expected
    before = everything_in(project.database)
    result = run(project, door, *words, **options)
    assert refusal(result, door) == (code, message if hint is None else f"{message}\n  hint: {hint}")
    assert everything_in(project.database) == before


# Which release


TARGETS = {
    "unknown tag": (["-t", "v9"], 1, "no release is saved for tag v9", LIST_HINT),
    "empty commit": (["-c", ""], 2, "the commit is empty", UNSET_HINT),
    "harmful characters": (
        ["-t", "v\x1b[31m\n\u202e'\""],
        1,
        "no release is saved for tag v\\u{1b}[31m\\u{a}\\u{202e}'\"",
        LIST_HINT,
    ),
}


@ALL_DOORS
@pytest.mark.parametrize("case", TARGETS)
def test_a_target_that_no_release_answers_to(on_sqlite: Project, door: str, case: str) -> None:
    words, *expected = TARGETS[case]
    check(on_sqlite, door, ["rollback", *words], tuple(expected))


# Which commit


def folder_without_a_repository(folder: Path, project: Project) -> str:
    return (
        f"the commit of this deploy is not known: there is no git repository at {folder} or above it, and no "
        "variable or file names one"
    )


def empty_repository(folder: Path, project: Project) -> str:
    project.git("init", "--quiet", str(folder))
    return f"the git repository at {folder} has no commit yet, and no variable or file names one"


@pytest.mark.parametrize("make", [folder_without_a_repository, empty_repository])
def test_no_commit_is_found(on_sqlite: Project, tmp_path: Path, make: Any) -> None:
    message = make(tmp_path, on_sqlite)
    check(on_sqlite, "native", ["save", "-p", str(tmp_path)], (1, message, SOURCE_HINT))


@BOTH_DOORS
def test_the_path_is_not_there(on_sqlite: Project, tmp_path: Path, door: str) -> None:
    path = tmp_path / "nowhere"
    message = f"cannot read the git repository at {path}: no such folder"
    check(on_sqlite, door, ["save", "-p", str(path)], (1, message, None))


# What is stored


class Damage(NamedTuple):
    """What is done to the tables by SQL, which command meets it, and what it says."""

    sql: str
    words: list[str]
    message: str
    hint: str = DAMAGED_HINT


DAMAGES = {
    "changed body": Damage(
        f"UPDATE django_rollback_appliedset SET body = body || ' ' WHERE {SET_OF_V1}",
        ["rollback"],
        "the list of migrations of release {v1} cannot be used: its content does not match its hash {set}",
        DAMAGED_SET_HINT,
    ),
    "tags of another kind": Damage(
        "UPDATE django_rollback_appsstate SET tags = '{{\"v1\": 1}}' WHERE tags LIKE '%v1%'",
        ["list"],
        "row 1 of django_rollback_appsstate in {database} is damaged: in the column tags, invalid type: map, expected "
        "a sequence at line 1 column 0",
    ),
    "no django_migrations": Damage(
        "DROP TABLE django_migrations",
        ["rollback"],
        "{database} has no table django_migrations",
        "check that this is the application's database; if it is, run `manage.py migrate` first",
    ),
}


@BOTH_DOORS
@pytest.mark.parametrize("case", DAMAGES)
def test_damage(project: Project, releases: TwoReleases, door: str, case: str) -> None:
    sql, words, message, hint = DAMAGES[case]
    ((stored,),) = project.database.execute(f"SELECT hash FROM django_rollback_appliedset WHERE {SET_OF_V1}")
    project.database.execute(sql.format())
    facts = releases.commits | {"database": name_of(project.database), "set": stored}
    check(project, door, words, (1, message.format(**facts), hint))


# The way to the database


@contextmanager
def using(project: Project, database: Database) -> Iterator[Project]:
    """The project on another database, for a moment."""
    project.use(database)
    yield project


def expect_unreachable(
    project: Project, door: str, message: str, hint: str, words: tuple[str, ...] = ("list",)
) -> None:
    result = run(project, door, *words)
    assert refusal(result, door) == (1, f"{message}\n  hint: {hint}")
    assert result.stdout == ""


@BOTH_DOORS
@pytest.mark.parametrize("words", [("list",), ("save",), ("rollback",)])
def test_a_sqlite_file_that_is_not_there_is_not_made(
    releases: TwoReleases, tmp_path: Path, door: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / "absent.sqlite3"
    with using(releases.project, Database.sqlite(path)) as project:
        result = run(project, door, *words)
    code, text = refusal(result, door)
    assert (code, path.exists()) == (1, False), text
    assert f"there is no database file at {path}\n" in text
    assert "host" not in text


@BOTH_DOORS
@pytest.mark.parametrize("kind", ["folder", "no folder", "text"])
def test_a_sqlite_path_that_is_no_database(releases: TwoReleases, tmp_path: Path, door: str, kind: str) -> None:
    """The sentence names the file, and the hint does not speak of hosts, ports and passwords."""
    path = {"folder": tmp_path, "no folder": tmp_path / "nowhere/db", "text": tmp_path / "text"}[kind]
    if kind == "text":
        path.write_text("no database at all\n" * 500)
    with using(releases.project, Database.sqlite(path)) as project:
        code, text = refusal(run(project, door, "list"), door)
    assert code == 1
    assert str(path) in text
    assert "password" not in text


@BOTH_DOORS
def test_an_empty_sqlite_file(releases: TwoReleases, tmp_path: Path, door: str) -> None:
    path = tmp_path / "empty.sqlite3"
    path.touch()
    with using(releases.project, Database.sqlite(path)) as project:
        message = f"the SQLite database at {path} has no table django_migrations"
        hint = "check that this is the application's database; if it is, run `manage.py migrate` first"
        expect_unreachable(project, door, message, hint)
    assert path.read_bytes() == b""


SERVER_HINT = "check the host, the port, the name of the database and the password"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "absent"}, 'database "absent" does not exist'),
        ({"port": 9}, "connection refused"),
        ({"user": "nobody"}, 'role "nobody" does not exist'),
    ],
)
def test_a_postgresql_server_that_gives_no_connection(
    releases: TwoReleases, postgres: Cluster, change: dict[str, Any], reason: str
) -> None:
    database = replace(postgres.database("postgres"), **change)
    with using(releases.project, database) as project:
        place = f"cannot connect to {name_of(database)}"
        result = run(project, "native", "list")
        code, text = refusal(result, "native")
        assert (code, text) == (1, f"{place}: {reason}\n  hint: {SERVER_HINT}")

        code, text = refusal(run(project, "original", "list"), "original")
        assert code == 1
        assert text.startswith("cannot connect to the")
        assert str(database.port) in text
        assert reason in text.replace("Connection", "connection")
        assert text.count("\n") == 1


def test_the_hint_names_the_alias_that_failed(releases: TwoReleases, postgres: Cluster, tmp_path: Path) -> None:
    project = releases.project
    path = tmp_path / "default.sqlite3"
    path.touch()
    project.use(Database.sqlite(path), reports=replace(postgres.database("postgres"), port=9))
    _, text = refusal(run(project, "original", "list", "--database", "reports"), "original")
    assert "reports" in text
    assert "default" not in text


@BOTH_DOORS
def test_a_wrong_password_is_not_shown(on_postgresql: Project, postgres: Cluster, door: str) -> None:
    """A second server line of the cluster asks for a password: pg_hba.conf is read again, and put back."""
    database = on_postgresql.database
    access = postgres.directory / "data" / "pg_hba.conf"
    trusting = access.read_text()
    access.write_text("host all secretive 127.0.0.1/32 scram-sha-256\n" + trusting)
    try:
        database.execute("DO $$BEGIN CREATE ROLE secretive LOGIN PASSWORD 'right'; EXCEPTION WHEN OTHERS THEN END$$")
        database.execute("SELECT pg_reload_conf()")
        wrong = replace(database, user="secretive")
        url = wrong.url.replace("secretive@", "secretive:letmein@")
        on_postgresql.use(wrong)
        settings = on_postgresql.root / "local_settings.py"
        settings.write_text(settings.read_text().replace("'USER'", "'PASSWORD': 'letmein', 'USER'"))
        result = run(on_postgresql, door, "list", env={"DATABASE_URL": url})
    finally:
        access.write_text(trusting)
        database.execute("SELECT pg_reload_conf()")
    code, text = refusal(result, door)
    assert code == 1
    assert 'password authentication failed for user "secretive"' in text
    assert "letmein" not in result.stdout + result.stderr


@BOTH_DOORS
def test_a_role_without_rights(on_postgresql: Project, postgres: Cluster, door: str) -> None:
    """Without any right nothing is read; with the right to read, everything but writing works."""
    database = on_postgresql.database
    database.execute("DO $$BEGIN CREATE ROLE poor LOGIN; EXCEPTION WHEN OTHERS THEN END$$")
    on_postgresql.use(replace(database, user="poor"))
    name = name_of(database)
    for words in (["list"], ["save"], ["rollback"]):
        result = run(on_postgresql, door, *words)
        message = f"{name}: permission denied for table django_migrations\n  hint: {ROLE_HINT}"
        assert refusal(result, door) == (1, message)

    database.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor")
    before = everything_in(database)
    assert run(on_postgresql, door, "list").returncode == 0
    message = f"{name}: permission denied for table django_rollback_lock\n  hint: {ROLE_HINT}"
    assert refusal(run(on_postgresql, door, "save", "--commit", UNSAVED), door) == (1, message)
    if door == "native":
        assert run(on_postgresql, door, "plan").returncode == 0
    else:
        blocker = "Blocker: the role poor may not alter these tables: shop_item (owner: postgres).\n"
        for words in ("plan", "rollback"):
            blocked = run(on_postgresql, door, words)
            assert (blocked.returncode, blocker in blocked.stdout) == (1, True), blocked.stdout
    database.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM poor")
    assert everything_in(database) == before


def obey_file_modes() -> None:
    """Let the modes of files count for root as well: drop CAP_DAC_OVERRIDE before the program starts."""
    prctl_capbset_drop, cap_dac_override = 24, 1
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(prctl_capbset_drop, cap_dac_override, 0, 0, 0)


@BOTH_DOORS
def test_a_sqlite_file_that_can_only_be_read(on_sqlite: Project, door: str) -> None:
    database = Path(on_sqlite.database.name)
    commands = {
        "native": [str(on_sqlite.binary())],
        "original": [on_sqlite.python, str(on_sqlite.root / "manage.py")],
    }

    def start(*words: str) -> subprocess.CompletedProcess[str]:
        environment = on_sqlite.environment() | {"DATABASE_URL": on_sqlite.database.url}
        return subprocess.run(
            [*commands[door], *words],
            env=environment,
            cwd=on_sqlite.root,
            capture_output=True,
            text=True,
            preexec_fn=obey_file_modes,
        )

    before = everything_in(on_sqlite.database)
    database.chmod(0o444)
    listed = start("list") if door == "native" else start("rollback_migrations", "--list")
    saved = start("save" if door == "native" else "save_migrations_state", "--commit", UNSAVED)
    database.chmod(0o644)
    assert (listed.returncode, listed.stderr, "v2" in listed.stdout) == (0, "", True)
    message = f"{name_of(on_sqlite.database)}: attempt to write a readonly database"
    hint = "connect to the primary: a replica or a read-only file takes no writes"
    assert refusal(saved, door) == (1, f"{message}\n  hint: {hint}")
    assert everything_in(on_sqlite.database) == before


# Two at once


@contextmanager
def held_lock(database: Database, holder: str = "rollback by deploy@web-1") -> Iterator[None]:
    """Another session that saves or rolls back, or does what else the holder says."""
    if database.vendor == "sqlite":
        with Path(f"{database.name}.rollback-lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(f"{holder}\n2026-01-01T00:00:00Z\n")
            file.flush()
            yield
        return
    with database.connect() as connection:
        connection.execute(f"SET application_name = 'django-rollback: {holder}'")
        connection.execute("BEGIN")
        connection.execute("SELECT id FROM django_rollback_lock WHERE id = 1 FOR UPDATE")
        yield
        connection.execute("ROLLBACK")


HOLDER = "rollback by deploy@web-1"
# Longer than `manage.py` takes to begin, and shorter than anything waits.
PROMPTLY = 8


def is_locked(said: str, database: Database) -> bool:
    """Whether this says that the lock is held, by whom, and since when."""
    since = r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" + (r" \(pid \d+\)" if database.vendor == "postgresql" else "")
    hint = "wait until it has ended, then run this again"
    held = f"another save, rollback or migrate holds the lock in {name_of(database)}: {HOLDER}"
    return re.fullmatch(f"{re.escape(held)}, {since}\n  hint: {hint}", said) is not None


def test_a_rollback_does_not_wait_for_the_lock(project: Project) -> None:
    """Reading goes on, and the refusal is at once."""
    before = everything_in(project.database)
    with held_lock(project.database):
        assert run(project, "native", "list").returncode == 0
        started = time.monotonic()
        result = run(project, "original", "rollback")
        assert time.monotonic() - started < PROMPTLY
    code, said = refusal(result, "original")
    assert (code, is_locked(said, project.database)) == (1, True), said
    assert everything_in(project.database) == before


def start(project: Project, door: str, *words: str) -> subprocess.Popen[str]:
    """Begin a command and do not wait for it."""
    program = [str(project.binary())] if door == "native" else [project.python, str(project.root / "manage.py")]
    return subprocess.Popen(
        [*program, *words],
        env=project.environment() | {"DATABASE_URL": project.database.url},
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_rollback_waits_for_one_who_only_settles(project: Project) -> None:
    """That is bookkeeping of milliseconds; who stays for longer is named as everybody else is."""
    settles = "settle by deploy@web-1"
    with held_lock(project.database, settles):
        code, said = refusal(run(project, "original", "rollback"), "original")
        assert (code, f": {settles}, since " in said) == (1, True), said
    with held_lock(project.database, settles):
        accepted = start(project, "original", "rollback_migrations", "--no-input")
        assert accepted.stdout and accepted.stdout.readline().startswith("Rollback from ")
        time.sleep(0.3)
    said = accepted.communicate()[1]
    assert accepted.returncode == 0, said


def test_a_save_gives_up_waiting_for_the_lock(releases: TwoReleases) -> None:
    """After ten seconds, on both databases (at the same time here): pods that start together queue, not for ever."""
    outcomes = {}
    with releases.on("sqlite") as project, held_lock(project.database):
        saves = {"sqlite": (project.database, start(project, "native", "save", "--commit", UNSAVED))}
        with releases.on("postgresql") as project, held_lock(project.database):
            saves["postgresql"] = (project.database, start(project, "native", "save", "--commit", UNSAVED))
            for vendor, (database, save) in saves.items():
                try:
                    said = save.communicate(timeout=15)[1].removeprefix("error: ").removesuffix("\n")
                    outcomes[vendor] = is_locked(said, database) or said
                except subprocess.TimeoutExpired:
                    save.kill()
                    save.communicate()
                    outcomes[vendor] = "still waiting after 15 seconds"
    assert outcomes == {"sqlite": True, "postgresql": True}


# Arguments about the database


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        (
            "postgresql://shop:letmein@db/shop",
            "the database URL contains a password: other users can see it in the process list, and the shell keeps it "
            "in its history",
            "put the URL into DATABASE_URL or into a file named with --database-file, or keep the password in "
            "PGPASSWORD or ~/.pgpass",
        ),
        (
            "postgresql://shop@db/shop?password=letmein",
            "the database URL contains a password: other users can see it in the process list, and the shell keeps it "
            "in its history",
            "put the URL into DATABASE_URL or into a file named with --database-file, or keep the password in "
            "PGPASSWORD or ~/.pgpass",
        ),
        ("mysql://shop@db/shop", "MySQL is not supported yet", "supported databases: PostgreSQL, SQLite"),
        (
            "oracle://shop@db/shop",
            "a `oracle://` database is not supported",
            "write postgresql://user@host/name or sqlite:////path/to/file",
        ),
        (
            "",
            "`--database` is empty",
            "set DATABASE_URL, or give `--database postgres://user@host/name` or `--database sqlite:///path`",
        ),
        (
            "sqlite://:memory:",
            "an in-memory SQLite database belongs to another process and cannot be opened here",
            "name a file: sqlite:////path/to/file",
        ),
    ],
)
def test_a_url_that_is_refused(on_sqlite: Project, url: str, message: str, hint: str | None) -> None:
    result = run(on_sqlite, "native", "list", "--database", url)
    assert refusal(result, "native") == (2, message if hint is None else f"{message}\n  hint: {hint}")
    assert "letmein" not in result.stdout + result.stderr


def test_no_database_is_named(on_sqlite: Project) -> None:
    result = run(on_sqlite, "native", "list", env={"DATABASE_URL": ""})
    hint = "set DATABASE_URL, or give `--database postgres://user@host/name` or `--database sqlite:///path`"
    assert refusal(result, "native") == (2, f"no database is named\n  hint: {hint}")


def test_the_file_of_the_url_is_not_there(on_sqlite: Project, tmp_path: Path) -> None:
    path = tmp_path / "url"
    result = run(on_sqlite, "native", "list", "--database-file", str(path))
    message = f"cannot read {path}: No such file or directory (os error 2)"
    assert refusal(result, "native") == (1, f"{message}\n  hint: name the file that holds the database's URL")


@pytest.mark.parametrize("door", ["manage", "original"])
def test_an_unknown_alias(on_sqlite: Project, door: str) -> None:
    expected = (2, "there is no database 'reports' in the setting DATABASES", "aliases: default")
    check(on_sqlite, door, ["list", "--database", "reports"], expected)


def test_the_option_of_the_binary_in_the_other_door(on_sqlite: Project) -> None:
    message = "`--database-file` is an option of the binary: manage.py uses the setting DATABASES"
    expected = (2, message, "name an alias with `--database`")
    check(on_sqlite, "manage", ["list", "--database-file", "x"], expected)


@pytest.mark.parametrize("command", ["save_migrations_state", "rollback_migrations"])
def test_wrong_usage_of_the_original_commands(on_sqlite: Project, command: str) -> None:
    result = on_sqlite.manage(command, "--nonsense", check=False)
    assert result.returncode == 2
    assert result.stderr.endswith("error: unrecognized arguments: --nonsense\n")
