"""Bad input: one sentence that names the thing, a hint, the right exit code, and nothing changed; in every door."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
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

from harness import oracle
from harness.database import Database
from harness.postgres import Cluster
from harness.project import Project
from two_releases import DOORS, VENDORS, TwoReleases, everything_in, name_of, refusal, run

SHIPPED_DOORS = ("native", "original")
ALL_DOORS = pytest.mark.parametrize("door", DOORS)
BOTH_DOORS = pytest.mark.parametrize("door", SHIPPED_DOORS)

DAMAGED_HINT = "it was changed from outside: mend it, or restore it from a backup"
DAMAGED_SET_HINT = "it was changed from outside: restore it from a backup, or go back to another release"
LIST_HINT = "`list` shows the saved releases"
MIGRATE_HINT = "run `manage.py migrate django_rollback` with this version installed"
NEWER_HINT = "use the version of django-rollback that the newer release has"
ROLE_HINT = "connect as the role that runs `migrate`: it owns the tables and may write to them"
SOURCE_HINT = (
    "give it with `--commit`, set DJANGO_ROLLBACK_COMMIT, point `-p` at the repository, or run "
    "`django-rollback stamp` when the image is built"
)
UNSET_HINT = "is the shell variable unset? Leave `--{option}` out to go back to the previous release"
UNSAVED = "ab" * 20
STORED_SET = "hash = (SELECT applied_set FROM django_rollback_appsstate WHERE tags LIKE '%{tag}%')"
SET_OF_V1, SET_OF_V2 = STORED_SET.format(tag="v1"), STORED_SET.format(tag="v2")


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
    "unknown commit": (["-c", "0123456"], 1, "no release is saved for commit 0123456", LIST_HINT),
    "unknown full commit": (["-c", "9" * 40], 1, f"no release is saved for commit {'9' * 40}", LIST_HINT),
    "tag as a commit": (
        ["-c", "v1"],
        2,
        "`v1` is not a commit hash: it may only contain the digits 0-9 and a-f",
        "for a tag use `-t v1`; `list` shows the saved commits",
    ),
    "short prefix": (
        ["-c", "abc"],
        2,
        "`abc` is too short for a commit: at least 4 digits are needed",
        "for a tag use `-t abc`; `list` shows the saved commits",
    ),
    "long commit": (
        ["-c", "a" * 65],
        2,
        f"`{'a' * 65}` is too long for a commit: a hash has at most 64 digits",
        f"for a tag use `-t {'a' * 65}`; `list` shows the saved commits",
    ),
    "empty tag": (["-t", ""], 2, "the tag is empty", UNSET_HINT.format(option="tag")),
    "blank tag": (["-t", " "], 2, "the tag is empty", UNSET_HINT.format(option="tag")),
    "empty commit": (["-c", ""], 2, "the commit is empty", UNSET_HINT.format(option="commit")),
    "blank commit": (
        ["-c", " "],
        2,
        "` ` is not a commit hash: it may only contain the digits 0-9 and a-f",
        UNSET_HINT.format(option="commit"),
    ),
    "tag and commit": (
        ["--tag", "v1", "--commit", "abcd"],
        2,
        "`--tag` and `--commit` both name a release: give one of them",
        "a commit is exact; a tag means the release that was saved under it",
    ),
    "empty path": (["-p", ""], 2, "the path is empty", "is the shell variable unset? `-p .` is the working directory"),
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


@BOTH_DOORS
def test_a_tag_of_a_commit_that_was_never_saved(on_sqlite: Project, door: str) -> None:
    commit = on_sqlite.git("commit-tree", "HEAD^{tree}", "-m", "never saved")
    on_sqlite.git("tag", "--force", "later", commit)
    expected = (1, f"tag later is commit {commit}, and no release is saved for that commit", LIST_HINT)
    check(on_sqlite, door, ["rollback", "-t", "later"], expected)


@ALL_DOORS
def test_an_ambiguous_prefix_shows_the_candidates(on_sqlite: Project, door: str) -> None:
    one, other = "abcd1".ljust(40, "0"), "abcd2".ljust(40, "0")
    on_sqlite.native("save", "--commit", one)
    on_sqlite.native("save", "--commit", other, env={"DJANGO_ROLLBACK_TAGS": "stable"})
    message = "commit abcd is ambiguous: 2 releases start with it"
    hint = f"give more digits: {other} (stable), {one}"
    check(on_sqlite, door, ["rollback", "-c", "ABCD"], (1, message, hint))


@pytest.mark.parametrize("others", [["-t", "v1"], ["-c", "abcd"], ["--fake"], ["--dry-run"]])
def test_list_goes_with_nothing_that_asks_for_a_rollback(on_sqlite: Project, others: list[str]) -> None:
    message = "`--list` only lists the releases: it does not go with `--tag`, `--commit` or `--fake`"
    expected = (2, message, "leave `--list` out to go back to a release")
    check(on_sqlite, "original", ["list", *others], expected)


@pytest.mark.parametrize("words", [["show"], ["plan"], ["rollback"], ["rollback", "-t", "v1"], ["status"]])
def test_nothing_is_saved(project: Project, words: list[str]) -> None:
    project.database.execute("DELETE FROM django_rollback_appsstate")
    hint = "run `manage.py save_migrations_state` after `migrate` in each deploy"
    check(project, "native", words, (1, "no release is saved in this database", hint))
    if words[0] == "rollback":
        check(project, "original", words, (1, "no release is saved in this database", hint))


@ALL_DOORS
def test_an_empty_list_is_no_error(on_sqlite: Project, door: str) -> None:
    on_sqlite.database.execute("DELETE FROM django_rollback_appsstate")
    result = run(on_sqlite, door, "list")
    said = "No release is saved yet: run `save_migrations_state` after `migrate` in each deploy.\n"
    assert (result.returncode, result.stdout, result.stderr) == (0, said, "")


@BOTH_DOORS
def test_there_is_no_release_before_the_current_one(project: Project, releases: TwoReleases, door: str) -> None:
    project.database.execute("DELETE FROM django_rollback_appsstate WHERE tags LIKE '%v2%'")
    message = f"no release was saved before the current one, {releases.label('v1')}"
    hint = "name the release with `-c COMMIT` or `-t TAG`; `list` shows the saved ones"
    check(project, door, ["rollback"], (1, message, hint))


# Which commit


def folder_without_a_repository(folder: Path, project: Project) -> str:
    return (
        f"the commit of this deploy is not known: there is no git repository at {folder} or above it, and no "
        "variable or file names one"
    )


def empty_repository(folder: Path, project: Project) -> str:
    project.git("init", "--quiet", str(folder))
    return f"the git repository at {folder} has no commit yet, and no variable or file names one"


@ALL_DOORS
@pytest.mark.parametrize("make", [folder_without_a_repository, empty_repository])
def test_no_commit_is_found(on_sqlite: Project, tmp_path: Path, door: str, make: Any) -> None:
    message = make(tmp_path, on_sqlite)
    check(on_sqlite, door, ["save", "-p", str(tmp_path)], (1, message, SOURCE_HINT))


@BOTH_DOORS
def test_variables_without_a_commit_are_named(on_sqlite: Project, tmp_path: Path, door: str) -> None:
    message = f"{folder_without_a_repository(tmp_path, on_sqlite)} (GIT_COMMIT set, but to no full hash)"
    variables = {"GIT_COMMIT": "unknown", "GITHUB_SHA": ""}
    check(on_sqlite, door, ["save", "-p", str(tmp_path)], (1, message, SOURCE_HINT), env=variables)


@BOTH_DOORS
def test_the_path_is_not_there(on_sqlite: Project, tmp_path: Path, door: str) -> None:
    path = tmp_path / "nowhere"
    message = f"cannot read the git repository at {path}: no such folder"
    check(on_sqlite, door, ["save", "-p", str(path)], (1, message, None))


@BOTH_DOORS
@pytest.mark.parametrize(
    ("release", "reason"),
    [
        ("", "the commit is empty"),
        ("v1", "`v1` is not a commit hash: it may only contain the digits 0-9 and a-f"),
        ("abcdef0", "`abcdef0` is not a full commit hash: it has 7 digits, not 40 or 64"),
    ],
)
def test_a_release_that_is_no_commit(on_sqlite: Project, door: str, release: str, reason: str) -> None:
    expected = (2, f"--commit: {reason}", "give the full hash: `git rev-parse HEAD` prints it")
    check(on_sqlite, door, ["save", "--commit", release], expected)


@BOTH_DOORS
def test_a_stamp_that_is_damaged(on_sqlite: Project, tmp_path: Path, door: str) -> None:
    stamp = tmp_path / ".django-rollback-release"
    stamp.write_text('{"format": 2, "commit": "' + UNSAVED + '"}')
    message = f"the file {stamp} is not what `django-rollback stamp` writes: it has format 2, but this version reads at most format 1"
    hint = f"write it again with `django-rollback stamp`, or delete {stamp}"
    check(on_sqlite, door, ["save", "-p", str(tmp_path)], (1, message, hint))


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
        "the stored set of release {v1} cannot be used: its content does not match its hash {set}",
        DAMAGED_SET_HINT,
    ),
    "missing set": Damage(
        f"DELETE FROM django_rollback_appliedset WHERE {SET_OF_V1}",
        ["rollback"],
        "the stored set of release {v1} in {database} is damaged: it is missing",
    ),
    "tags": Damage(
        "UPDATE django_rollback_appsstate SET tags = '[\"v1' WHERE tags LIKE '%v1%'",
        ["rollback"],
        "row 1 of django_rollback_appsstate in {database} is damaged: in the column tags, EOF while parsing a string "
        "at line 1 column 4",
    ),
    "tags of another kind": Damage(
        "UPDATE django_rollback_appsstate SET tags = '{{\"v1\": 1}}' WHERE tags LIKE '%v1%'",
        ["list"],
        "row 1 of django_rollback_appsstate in {database} is damaged: in the column tags, invalid type: map, expected "
        "a sequence at line 1 column 0",
    ),
    "commit": Damage(
        "UPDATE django_rollback_appsstate SET \"commit\" = 'nonsense' WHERE tags LIKE '%v1%'",
        ["list"],
        "row 1 of django_rollback_appsstate in {database} is damaged: in the column commit, `nonsense` is not a commit "
        "hash: it may only contain the digits 0-9 and a-f",
    ),
    "commit, at a save": Damage(
        "UPDATE django_rollback_appsstate SET \"commit\" = '' WHERE tags LIKE '%v1%'",
        ["save", "--commit", UNSAVED],
        "row 1 of django_rollback_appsstate in {database} is damaged: in the column commit, the commit is empty",
    ),
    "no django_migrations": Damage(
        "DROP TABLE django_migrations",
        ["rollback"],
        "{database} has no table django_migrations",
        "check that this is the application's database; if it is, run `manage.py migrate` first",
    ),
    "not migrated": Damage(
        "DELETE FROM django_migrations WHERE app = 'django_rollback'",
        ["save"],
        "the tables of django-rollback are missing in {database}: django_rollback.0001_initial is not applied",
        MIGRATE_HINT,
    ),
    "as 0.4.0 left it": Damage(
        "DELETE FROM django_migrations WHERE app = 'django_rollback' AND name > '0002'",
        ["rollback"],
        "the tables of django-rollback are missing in {database}: django_rollback.0002_releases is not applied",
        MIGRATE_HINT,
    ),
    "before schemas were stored": Damage(
        "DELETE FROM django_migrations WHERE app = 'django_rollback' AND name > '0003'",
        ["rollback"],
        "the tables of django-rollback are missing in {database}: django_rollback.0003_schemas is not applied",
        MIGRATE_HINT,
    ),
    "newer tables, at a save": Damage(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('django_rollback', '0099_future', '2026-01-01')",
        ["save"],
        "a newer django-rollback made the tables in {database}: django_rollback.0099_future is applied, and this "
        "version does not know it",
        NEWER_HINT,
    ),
    "newer tables, at a rollback": Damage(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('django_rollback', '0099_future', '2026-01-01')",
        ["rollback"],
        "a newer django-rollback made the tables in {database}: django_rollback.0099_future is applied, and this "
        "version does not know it",
        NEWER_HINT,
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


@BOTH_DOORS
def test_damaged_history(project: Project, door: str) -> None:
    project.database.execute("UPDATE django_rollback_operation SET body = '{}' WHERE id = 2")
    damage = "is damaged: in the column body, missing field `kind` at line 1 column 2"
    message = f"row 2 of django_rollback_operation in {name_of(project.database)} {damage}"
    check(project, "native" if door == "native" else "manage", ["history"], (1, message, DAMAGED_HINT))


def store_newer_format(project: Project) -> None:
    """Give v1 a set that a newer version has written, under its right hash."""
    body = '{"format":2,"delta":{}}'
    digest = hashlib.sha256(body.encode()).hexdigest()
    project.database.execute(f"INSERT INTO django_rollback_appliedset VALUES ('{digest}', 4, '{body}')")
    project.database.execute(f"UPDATE django_rollback_appsstate SET applied_set = '{digest}' WHERE tags LIKE '%v1%'")


@BOTH_DOORS
def test_a_set_of_a_newer_format(project: Project, releases: TwoReleases, door: str) -> None:
    """The hint sends to the newer version: nobody has changed that row from outside."""
    store_newer_format(project)
    v1 = releases.commits["v1"]
    message = f"the stored set of release {v1} cannot be used: it has format 2, but this version reads at most format 1"
    check(project, door, ["rollback", "-t", "v1"], (1, message, NEWER_HINT))


DAMAGED_SETS = pytest.mark.parametrize(
    "sql",
    ["UPDATE django_rollback_appliedset SET body = ''", "DELETE FROM django_rollback_appliedset"],
    ids=["changed", "missing"],
)


@BOTH_DOORS
@DAMAGED_SETS
def test_a_damaged_set_of_the_current_release_bars_no_way_back(project: Project, door: str, sql: str) -> None:
    """The plan needs the target's set and the rows that are applied now; of the current release it only warns."""
    project.database.execute(f"{sql} WHERE {SET_OF_V2}")
    result = run(project, door, "plan", "-t", "v1")
    assert (result.returncode, "Unapply shop.0002_price" in result.stdout) == (0, True), result.stderr


@BOTH_DOORS
@DAMAGED_SETS
def test_a_save_does_not_call_a_damaged_set_fine(project: Project, door: str, sql: str) -> None:
    """Either the save mends it, or it is refused: afterwards it would be too late to find out."""
    project.database.execute(f"{sql} WHERE {SET_OF_V2}")
    saved = run(project, door, "save")
    shown = run(project, "native", "show")
    assert saved.returncode == 1 or shown.returncode == 0, saved.stdout + shown.stderr


@BOTH_DOORS
def test_a_new_release_does_not_share_a_damaged_set(on_sqlite: Project, door: str) -> None:
    """A deploy of code only stores no new set; the one it shares must be whole, or be made whole."""
    on_sqlite.database.execute(f"UPDATE django_rollback_appliedset SET body = '' WHERE {SET_OF_V2}")
    saved = run(on_sqlite, door, "save", "--commit", UNSAVED)
    shown = run(on_sqlite, "native", "show")
    assert saved.returncode == 1 or shown.returncode == 0, saved.stdout + shown.stderr


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


SERVER_HINT = "check the host, the port, the database's name and the password"


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
    hint = "wait until it has ended and run this again; `history` shows what was done"
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
            "the database URL contains a password: other users can see it in the process list, and the shell keeps it in "
            "its history",
            "put the URL into DATABASE_URL or into a file named with --database-file, or keep the password in "
            "PGPASSWORD or ~/.pgpass",
        ),
        (
            "postgresql://shop@db/shop?password=letmein",
            "the database URL contains a password: other users can see it in the process list, and the shell keeps it in "
            "its history",
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


# Names that are harmful on a terminal

HARMFUL = "v'1\"\x1b[31m\n\u202e\u2066\x9b"
SHOWN = "v'1\"\\u{1b}[31m\\u{a}\\u{202e}\\u{2066}\\u{9b}"
# The binary hands its environment on: without this, Python would keep a stale copy of the settings.
HAND_OVER = {"PYTHONDONTWRITEBYTECODE": "1"}
HARMFUL_APP, SHOWN_APP = "ev'il\x1b[2J", "ev'il\\u{1b}[2J"


def insert_harmful_names(database: Database) -> None:
    mark = "?" if database.vendor == "sqlite" else "%s"
    values = f"({mark}, {mark}, '2026-01-01')"
    with database.connect() as connection:
        connection.execute(f"UPDATE django_rollback_appsstate SET tags = {mark} WHERE id = 1", (json.dumps([HARMFUL]),))
        connection.execute(
            f"INSERT INTO django_migrations (app, name, applied) VALUES {values}", (HARMFUL_APP, HARMFUL)
        )


@pytest.mark.parametrize("door", ["native", "manage"])
def test_harmful_names_are_escaped_in_text(project: Project, door: str) -> None:
    insert_harmful_names(project.database)
    before = everything_in(project.database)
    for words, expected in {
        ("list",): SHOWN,
        ("show", "-t", HARMFUL): f"tags       {SHOWN}\n",
        ("plan",): f"  Unapply {SHOWN_APP}.{SHOWN}\n",
        ("status",): f"  + {SHOWN_APP}.{SHOWN}\n",
        ("rollback", "--fake"): f"  Unapply {SHOWN_APP}.{SHOWN}\n",
    }.items():
        result = run(project, door, *words, env=HAND_OVER | {"DJANGO_ROLLBACK_PYTHON": project.python})
        assert expected in result.stdout, (words, result)
        printed = (result.stdout + result.stderr).replace("\n", "")
        assert printed.isprintable(), (words, result)
    assert everything_in(project.database) == before


def test_harmful_names_are_escaped_in_talk_and_refusals(project: Project) -> None:
    insert_harmful_names(project.database)
    result = run(project, "original", "rollback")
    assert result.returncode == 1
    assert f"Blocker: {SHOWN_APP}.{SHOWN} must be undone, but its file is missing.\n" in result.stdout
    assert (result.stdout + result.stderr).replace("\n", "").isprintable()

    result = run(project, "original", "save", "--log-full-data", "--log-diff")
    assert f"  + {SHOWN_APP}.{SHOWN}\n" in result.stdout
    assert (result.stdout + result.stderr).replace("\n", "").isprintable()


def test_harmful_names_are_raw_in_json(project: Project) -> None:
    insert_harmful_names(project.database)
    listed = json.loads(run(project, "native", "list", "--format", "json").stdout)
    assert HARMFUL in listed["releases"][1]["tags"]
    planned = json.loads(run(project, "original", "plan", "--format", "json").stdout)
    assert planned["steps"][0] == {"app": HARMFUL_APP, "migration": HARMFUL, "way": "disk"}
    assert planned["blockers"][0]["kind"] == "missing-file"


@pytest.mark.parametrize("door", ["native", "manage"])
@pytest.mark.parametrize("words", [["list", "--\x1b[31m"], ["list", "\u202ex"], ["list", "--format", "\x1b[31m"]])
def test_harmful_arguments_are_escaped(on_sqlite: Project, door: str, words: list[str]) -> None:
    result = run(on_sqlite, door, *words)
    assert result.returncode == 2
    assert result.stderr.replace("\n", "").isprintable()


# Wrong usage


@pytest.mark.parametrize("door", ["native", "manage"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "unrecognized subcommand 'nonsense'"),
        (["list", "--nonsense"], "unexpected argument '--nonsense' found"),
        (["list", "-v", "7"], "invalid value '7' for '--verbosity <LEVEL>': 7 is not in 0..=3"),
        (["list", "--format", "yaml"], "invalid value 'yaml' for '--format <FORMAT>'"),
        (["history", "-n", "many"], "invalid value 'many' for '--limit <N>': invalid digit found in string"),
    ],
)
def test_wrong_usage(on_sqlite: Project, door: str, words: list[str], message: str) -> None:
    result = run(on_sqlite, door, *words)
    code, text = refusal(result, door)
    assert (code, text.splitlines()[0], result.stdout) == (2, message, "")
    assert "--help" in text


@pytest.mark.parametrize("door", ["native", "manage"])
def test_no_command_at_all(on_sqlite: Project, door: str) -> None:
    """The help follows, but it is not the error."""
    result = on_sqlite.native(check=False) if door == "native" else on_sqlite.manage("rollback", check=False)
    assert result.returncode == 2
    assert "Usage:" in result.stderr
    first = result.stderr.splitlines()[0]
    assert not first.endswith(": Take a Django database back to the migrations of any release you have deployed")


@pytest.mark.parametrize("command", ["save_migrations_state", "rollback_migrations"])
def test_wrong_usage_of_the_original_commands(on_sqlite: Project, command: str) -> None:
    result = on_sqlite.manage(command, "--nonsense", check=False)
    assert result.returncode == 2
    assert result.stderr.endswith("error: unrecognized arguments: --nonsense\n")


def test_nothing_is_left_behind_by_a_refused_rollback(project: Project) -> None:
    """A blocker is found before anything is touched: no row, no lock, no line of history."""
    project.database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('gone', '0001', '2026-01-01')")
    before = everything_in(project.database)
    result = run(project, "original", "rollback")
    hint = "nothing was changed: each blocker above says the way out"
    assert result.returncode == 1
    assert result.stderr.endswith(f"CommandError: the rollback cannot run: 1 thing is in the way\n  hint: {hint}\n")
    assert everything_in(project.database) == before
    assert ("gone", "0001") in oracle.migrations(project.database)
