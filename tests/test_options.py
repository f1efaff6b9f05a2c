"""The options of the original with their meaning, `call_command`, settings, system checks, and use inside tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import oracle
from harness.project import Project
from two_releases import APPS, VENDORS, TwoReleases, everything_in, name_of, run

UNSAVED = "ab" * 20
LOGGING = """
import os

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"record": {"format": "%(levelname)s %(name)s {%(message)s}"}},
    "handlers": {"file": {"class": "logging.FileHandler", "filename": BASE_DIR / "log", "formatter": "record"}},
    "loggers": {"audit": {"handlers": ["file"], "level": "DEBUG", "propagate": False}},
}
"""


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> TwoReleases:
    """The project that these tests copy; PostgreSQL starts when the first of them needs it."""
    return TwoReleases(tmp_path_factory.mktemp("options"), lambda: request.getfixturevalue("postgres"))


@pytest.fixture
def project(releases: TwoReleases) -> Iterator[Project]:
    """v1 and v2 are saved, on SQLite; a logger `audit` writes to the file `log`."""
    with releases.on("sqlite") as project:
        configure(project)
        yield project
        project.install_apps(APPS)


@pytest.fixture(params=VENDORS)
def on_each(request: pytest.FixtureRequest, releases: TwoReleases) -> Iterator[Project]:
    """v1 and v2 are saved, once on SQLite and once on PostgreSQL."""
    with releases.on(request.param) as project:
        yield project


def configure(project: Project, settings: str = "") -> None:
    """Begin with an empty log, and with this value of DJANGO_ROLLBACK where one is given."""
    (project.root / "log").write_text("")
    project.install_apps(APPS, extra=LOGGING + (f"DJANGO_ROLLBACK = {settings}\n" if settings else ""))


def records(project: Project) -> list[tuple[str, str, str]]:
    """Level, logger and message of each record in the log."""
    return re.findall(r"^(\w+) (\w+) \{(.*?)\}$", (project.root / "log").read_text(), re.MULTILINE | re.DOTALL)


# The logger


def test_the_report_is_one_record(project: Project) -> None:
    result = project.manage("rollback_migrations", "--list", "-l", "audit")
    assert records(project) == [("INFO", "audit", result.stdout.rstrip("\n"))]


def test_the_whole_rollback_is_one_record(project: Project, releases: TwoReleases) -> None:
    result = project.manage("rollback_migrations", "--logger", "audit")
    ((level, _, message),) = records(project)
    assert (level, message) == ("INFO", result.stdout.rstrip("\n"))
    assert message.startswith(f"Rollback from {releases.label('v2')} to {releases.label('v1')}: 1 step")
    back = f"The database is back at {releases.label('v1')}, and its schema is the one that the release had."
    assert message.splitlines()[-1] == back


def test_something_to_warn_of_is_a_warning(project: Project, releases: TwoReleases) -> None:
    result = project.manage("save_migrations_state", "--commit", releases.commits["v1"], "-l", "audit")
    ((level, _, message),) = records(project)
    assert (level, message) == ("WARNING", result.stderr.rstrip("\n"))
    assert "is already saved, but is not the newest" in message


def test_a_plan_with_a_warning_is_a_warning(project: Project) -> None:
    project.database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('gone', '0001', '2026-01-01')")
    project.manage("rollback_migrations", "--fake", "-l", "audit", check=False)
    ((level, _, message),) = records(project)
    assert level == "WARNING"
    assert "Warning: gone.0001 was applied after" in message
    assert "Blocker: gone.0001 must be undone" in message


def test_a_blocker_alone_is_something_to_warn_of(project: Project) -> None:
    """The migration was saved with its release: there is no warning, and still the way back is barred."""
    project.database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('gone', '0001', '2026-01-01')")
    project.native("save", "--commit", UNSAVED)
    result = project.manage("rollback_migrations", "--fake", "-t", "v1", "-l", "audit", check=False)
    assert result.returncode == 1
    ((level, _, message),) = records(project)
    assert (level in ("WARNING", "ERROR"), "Blocker: gone.0001" in message) == (True, True), level


def test_a_failure_is_an_error(project: Project) -> None:
    result = project.manage("rollback_migrations", "-t", "v9", "-l", "audit", check=False)
    message = "no release is saved for tag v9\n  hint: `list` shows the saved releases"
    assert records(project) == [("ERROR", "audit", message)]
    assert (result.returncode, result.stderr) == (1, f"CommandError: {message}\n")


def test_a_refusal_after_the_plan_is_one_error_with_all_of_it(project: Project) -> None:
    project.database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('gone', '0001', '2026-01-01')")
    project.manage("rollback_migrations", "-l", "audit", check=False)
    ((level, _, message),) = records(project)
    assert level == "ERROR"
    assert "Blocker: gone.0001 must be undone" in message
    assert "the rollback is blocked: 1 problem" in message


def test_silence_on_the_terminal_is_no_silence_in_the_log(project: Project) -> None:
    """`-v 0` is for cron, `-l` for the record: the report is whole, and never an empty line."""
    result = project.manage("save_migrations_state", "-v", "0", "-l", "audit")
    ((_, _, message),) = records(project)
    assert (result.stdout, "with 6 migrations is already saved; nothing to do" in message) == ("", True), records(
        project
    )


def test_a_per_cent_sign_in_a_name_does_no_harm(project: Project) -> None:
    project.database.execute("UPDATE django_rollback_appsstate SET tags = '[\"100%s\"]' WHERE id = 1")
    result = project.manage("rollback_migrations", "--list", "-l", "audit")
    assert (result.stderr, "100%s" in records(project)[0][2]) == ("", True)


@pytest.mark.parametrize(("level", "count"), [("ERROR", 0), ("WARNING", 0), ("info", 1), ("DEBUG", 1)])
def test_log_level_is_the_level_of_the_logger(project: Project, level: str, count: int) -> None:
    project.manage("rollback_migrations", "--list", "--logger", "audit", "--log-level", level)
    assert len(records(project)) == count


@pytest.mark.parametrize("command", ["save_migrations_state", "rollback_migrations"])
@pytest.mark.parametrize("level", ["LOUD", ""])
def test_a_wrong_level_is_a_usage_error(project: Project, command: str, level: str) -> None:
    before = everything_in(project.database)
    result = project.manage(command, "-l", "audit", "--log-level", level, check=False)
    assert result.returncode == 2
    assert result.stderr.endswith(f"error: argument --log-level: invalid logging level value: '{level}'\n")
    assert (records(project), everything_in(project.database)) == ([], before)


# The target


@pytest.mark.parametrize("option", ["--fake", "--dry-run"])
def test_a_preview_writes_nothing(on_each: Project, option: str) -> None:
    before = everything_in(on_each.database)
    for command in (["rollback_migrations"], ["rollback", "rollback"], ["rollback", "plan"]):
        words = [*command] if command[-1] == "plan" else [*command, option]
        assert "  Unapply shop.0002_price\n" in on_each.manage(*words).stdout
    assert everything_in(on_each.database) == before


def test_path(project: Project, tmp_path: Path) -> None:
    """`-p` names the repository, or any folder in it."""
    project.git("init", "--quiet", str(tmp_path))
    project.git("-C", str(tmp_path), "commit", "--quiet", "--allow-empty", "-m", "x")
    head = project.git("-C", str(tmp_path), "rev-parse", "HEAD")
    below = tmp_path / "a/b"
    below.mkdir(parents=True)
    for option in ("-p", "--path"):
        saved = json.loads(project.manage("save_migrations_state", option, str(below), "--format", "json").stdout)
        assert (saved["release"]["commit"], saved["commit_from"]) == (head, f"the git repository at {tmp_path}")


@pytest.mark.parametrize("words", [["--list"], ["--fake"], ["--fake", "-t", "v1"]])
def test_a_path_without_a_repository_is_no_bar_to_reading(project: Project, tmp_path: Path, words: list[str]) -> None:
    """Tags are stored with the release: an image without `.git` rolls back as well."""
    assert project.manage("rollback_migrations", *words, "-p", str(tmp_path)).stderr == ""


def test_database(releases: TwoReleases) -> None:
    """`--database` is an alias, as in Django's own commands, and the other database stays as it is."""
    with releases.on("sqlite") as project, releases.database("sqlite", project.database) as other:
        main = project.database
        project.use(main, other=other)
        before = everything_in(main)
        project.manage("rollback_migrations", "--database", "other")
        project.manage("save_migrations_state", "--database", "other", "--commit", UNSAVED)
        assert everything_in(main) == before
        assert ("shop", "0002_price") not in oracle.migrations(other)


def test_a_database_that_is_not_supported(project: Project) -> None:
    project.install_apps(APPS, extra='DATABASES["other"] = {"ENGINE": "django.db.backends.dummy"}\n')
    result = run(project, "original", "list", "--database", "other")
    hint = "supported databases: PostgreSQL, SQLite; pass another alias with --database"
    assert result.stderr == f"CommandError: the database 'other' is not supported\n  hint: {hint}\n"
    assert result.returncode == 1


# call_command

CALL = """
import io, json
from django.core.management import CommandError, call_command

def call(*args, **options):
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(*args, stdout=out, stderr=err, **options)
        end = None
    except CommandError as error:
        end = [str(error), error.returncode]
    except SystemExit as error:
        end = ["SystemExit", error.code]
    print(json.dumps([out.getvalue(), err.getvalue(), end]))

"""


def call(project: Project, arguments: str) -> list[Any]:
    """What `call_command(ARGUMENTS)` writes to its own stdout and stderr, and the message and code of its error."""
    return json.loads(project.run_python(f"{CALL}call({arguments})"))


def test_call_command_with_keywords(project: Project, releases: TwoReleases) -> None:
    before = everything_in(project.database)
    out, err, end = call(project, '"rollback_migrations", tag="v1", fake=True')
    assert (out.splitlines()[1], err, end) == ("  Unapply shop.0002_price", "", None)

    out, err, end = call(project, '"rollback_migrations", list=True, format="json"')
    assert (len(json.loads(out)["releases"]), err, end) == (2, "", None)

    out, err, end = call(project, f'"rollback_migrations", commit="{releases.commits["v1"][:6]}", fake=True')
    assert (out.splitlines()[1], err, end) == ("  Unapply shop.0002_price", "", None)

    out, err, end = call(project, '"rollback_migrations", dry_run=True')
    assert (out.splitlines()[1], err, end) == ("  Unapply shop.0002_price", "", None)
    assert everything_in(project.database) == before


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        ('"rollback_migrations", tag="v9"', "no release is saved for tag v9", 1),
        ('"rollback_migrations", "-t", "v9"', "no release is saved for tag v9", 1),
        ('"rollback_migrations", tag=""', "the tag is empty", 2),
        ('"rollback_migrations", commit=""', "the commit is empty", 2),
        ('"rollback_migrations", tag="v1", commit="abcd"', "`--tag` and `--commit` both name a release", 2),
        ('"rollback_migrations", list=True, tag="v1"', "`--list` cannot be combined", 2),
        ('"save_migrations_state", release="v1"', "--commit: `v1` is not a commit hash", 2),
        ('"save_migrations_state", path="/nonexistent"', "cannot read the git repository at /nonexistent", 1),
        ('"rollback_migrations", database="other"', "there is no database 'other' in the setting DATABASES", 2),
        ('"rollback", "plan", "-t", "v9"', "no release is saved for tag v9", 1),
        ('"rollback", "nonsense"', "unrecognized subcommand 'nonsense'", 2),
    ],
)
def test_call_command_raises_command_error(project: Project, arguments: str, message: str, code: int) -> None:
    before = everything_in(project.database)
    out, err, end = call(project, arguments)
    assert (out, err, end[0].startswith(message), end[1]) == ("", "", True, code), end
    assert everything_in(project.database) == before


@pytest.mark.parametrize(
    "arguments", ['"rollback_migrations", fake=True', '"rollback", "plan"', '"rollback", "status"']
)
def test_call_command_never_ends_the_process(project: Project, arguments: str) -> None:
    """Whatever has exit code 1 is a CommandError to code that calls it, after the output that explains it."""
    project.database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('gone', '0001', '2026-01-01')")
    out, _, (message, code) = call(project, arguments)
    assert ("gone.0001" in out, code) == (True, 1)
    assert message != "SystemExit"


def test_call_command_saves_and_rolls_back(on_each: Project, releases: TwoReleases) -> None:
    out, err, end = call(on_each, f'"save_migrations_state", release="{UNSAVED}", log_diff=True, log_full_data=True')
    assert (out.splitlines()[0], err, end) == (
        "Saved release abababa with 6 migrations (commit from --commit).",
        "",
        None,
    )
    out, err, end = call(on_each, '"rollback_migrations", tag="v1", verbosity=0')
    assert (out, err, end) == ("", "", None)
    assert ("shop", "0002_price") not in oracle.migrations(on_each.database)
    out, _, _ = call(on_each, '"rollback", "status"')
    assert out.startswith(f"Current release {releases.label('v1')}, 5 migrations applied")


def test_call_command_takes_a_path_object(project: Project) -> None:
    out, _, end = call(project, '"save_migrations_state", path=__import__("pathlib").Path(".")')
    assert (end, "is already saved" in out) == (None, True)


# The settings


def test_settings_of_the_logger(project: Project) -> None:
    configure(project, '{"LOGGER": "audit", "LOG_LEVEL": "WARNING"}')
    project.manage("rollback_migrations", "--list")
    assert records(project) == []
    project.manage("rollback_migrations", "--list", "--log-level", "INFO")
    project.manage("rollback", "list")
    project.manage("rollback_migrations", "-t", "v9", check=False)
    assert [level for level, _, _ in records(project)] == ["INFO", "ERROR"]


def test_setting_of_the_path(project: Project, tmp_path: Path) -> None:
    project.git("init", "--quiet", str(tmp_path))
    project.git("-C", str(tmp_path), "commit", "--quiet", "--allow-empty", "-m", "x")
    head = project.git("-C", str(tmp_path), "rev-parse", "HEAD")
    for value in (f"{str(tmp_path)!r}", f"Path({str(tmp_path)!r})"):
        configure(project, f'{{"PATH": {value}}}')
        saved = json.loads(project.manage("save_migrations_state", "--format", "json").stdout)
        assert saved["release"]["commit"] == head
    given = json.loads(project.manage("save_migrations_state", "-p", ".", "--format", "json", check=False).stdout)
    assert given["release"]["commit"] == project.git("rev-parse", "HEAD")


def test_setting_of_the_commit_variables(project: Project, tmp_path: Path) -> None:
    """They come before those of the platforms, and after git."""
    configure(project, '{"COMMIT_VARIABLES": ["OUR_COMMIT"]}')
    variables = {"OUR_COMMIT": UNSAVED, "GITHUB_SHA": "cd" * 20}
    result = project.manage("save_migrations_state", "-p", str(tmp_path), env=variables)
    assert result.stdout == "Saved release abababa with 6 migrations (commit from OUR_COMMIT).\n"


WRONG_SETTINGS = {
    "[]": ("E001", "DJANGO_ROLLBACK must be a dictionary.", 'Write it as {"PATH": "…"}.'),
    '{"LOGER": "x"}': ("E002", "DJANGO_ROLLBACK has the unknown key 'LOGER'.", "Did you mean 'LOGGER'?"),
    '{"zzz": 1}': (
        "E002",
        "DJANGO_ROLLBACK has the unknown key 'zzz'.",
        "Known keys: PATH, LOGGER, LOG_LEVEL, COMMIT_VARIABLES, DATA_LOSS, ON_AHEAD, WAYS.",
    ),
    '{"PATH": 3}': ("E003", "DJANGO_ROLLBACK['PATH'] must be a string that is not empty.", "It is 3."),
    '{"PATH": ""}': ("E003", "DJANGO_ROLLBACK['PATH'] must be a string that is not empty.", "It is ''."),
    '{"LOGGER": ["x"]}': ("E003", "DJANGO_ROLLBACK['LOGGER'] must be a string that is not empty.", "It is ['x']."),
    '{"LOG_LEVEL": "LOUD"}': (
        "E003",
        "DJANGO_ROLLBACK['LOG_LEVEL'] must be the name of a level such as 'INFO'.",
        "It is 'LOUD'.",
    ),
    '{"LOGGER": "audit", "LOG_LEVEL": "LOUD"}': (
        "E003",
        "DJANGO_ROLLBACK['LOG_LEVEL'] must be the name of a level such as 'INFO'.",
        "It is 'LOUD'.",
    ),
    '{"COMMIT_VARIABLES": "OUR_COMMIT"}': (
        "E003",
        "DJANGO_ROLLBACK['COMMIT_VARIABLES'] must be a list of names of environment variables.",
        "It is 'OUR_COMMIT'.",
    ),
    '{"COMMIT_VARIABLES": [1]}': (
        "E003",
        "DJANGO_ROLLBACK['COMMIT_VARIABLES'] must be a list of names of environment variables.",
        "It is [1].",
    ),
}


def reported(text: str) -> list[tuple[str, str, str]]:
    """The id, message and hint of each of our messages in the output of `check`."""
    found = re.findall(r"^\?: \(rollback\.(\w+)\) (.*)\n\tHINT: (.*)$", text, re.MULTILINE)
    return [(number, message, hint) for number, message, hint in found]


@pytest.mark.parametrize("settings", WRONG_SETTINGS)
def test_wrong_settings_are_errors_of_check(project: Project, settings: str) -> None:
    configure(project, settings)
    result = project.manage("check", check=False)
    assert (result.returncode, reported(result.stderr)) == (1, [WRONG_SETTINGS[settings]])


@pytest.mark.parametrize("settings", WRONG_SETTINGS)
def test_wrong_settings_give_no_traceback(project: Project, settings: str) -> None:
    """The commands do not wait for `check`: in the night they work, or refuse with a sentence before they begin."""
    configure(project, settings)
    before = everything_in(project.database)
    result = run(project, "original", "rollback")
    changed = everything_in(project.database) != before
    assert (result.returncode, changed) in {(0, True), (1, False), (2, False)}, result


@pytest.mark.parametrize(
    "settings",
    [
        "{}",
        '{"PATH": None, "LOGGER": None, "LOG_LEVEL": None}',
        '{"LOG_LEVEL": "info"}',
        '{"COMMIT_VARIABLES": ("A",)}',
    ],
)
def test_right_settings(project: Project, settings: str) -> None:
    configure(project, settings)
    assert reported(project.manage("check", check=False).stderr) == []
    configure(project, settings.replace("}", ', "LOGGER": "audit"}').replace("{, ", "{"))
    assert run(project, "original", "list").returncode == 0


# The other checks


def test_e004_the_engine_cannot_be_loaded(project: Project) -> None:
    found = project.run_python("""
        import sys, django_rollback
        sys.modules["django_rollback._native"] = None
        vars(django_rollback).pop("_native", None)
        from django.core.checks import run_checks
        print([(found.id, found.msg.partition(":")[0], found.hint) for found in run_checks()])
    """)
    hint = "Install the wheel for this machine: pip install --force-reinstall django-rollback"
    assert found == f"[('rollback.E004', 'The engine of django-rollback cannot be loaded', {hint!r})]\n"


def test_e004_the_engine_is_of_another_version(project: Project) -> None:
    """Two versions are mixed after an upgrade that was cut off."""
    found = project.run_python("""
        import django_rollback
        django_rollback.__version__ = "0.9.9"
        from django.core.checks import run_checks
        print([found.id for found in run_checks()])
    """)
    assert found == "['rollback.E004']\n"


def test_w001_a_database_that_cannot_be_rolled_back(project: Project) -> None:
    found = project.run_python("""
        from unittest import mock
        from django.core.checks import run_checks
        from django.db import connections
        with mock.patch.multiple(connections["default"], vendor="oracle", display_name="Oracle"):
            print([(found.id, found.msg, found.hint) for found in run_checks(databases=["default"])])
    """)
    message = "django-rollback does not support the database 'default' (Oracle)."
    hint = "Supported databases: PostgreSQL, SQLite. Save and roll back only those, with --database."
    assert found == f"[('rollback.W001', {message!r}, {hint!r})]\n"


def test_w002_the_commit_is_not_known(project: Project, tmp_path: Path) -> None:
    configure(project, f'{{"PATH": {str(tmp_path)!r}}}')
    assert reported(project.manage("check").stderr) == []
    result = project.manage("check", "--deploy")
    message = (
        "A release cannot be saved from here: the commit of this deploy is not known: there is no git repository at "
        f"{tmp_path} or above it, and no variable or file names one."
    )
    hint = (
        "give it with `--commit`, set DJANGO_ROLLBACK_COMMIT, point `-p` at the repository, or run `django-rollback "
        "stamp` when the image is built"
    )
    assert reported(result.stderr) == [("W002", message, hint)]
    known = project.manage("check", "--deploy", env={"DJANGO_ROLLBACK_COMMIT": UNSAVED})
    assert reported(known.stderr) == []


def test_checks_find_nothing_in_a_fresh_project(on_each: Project) -> None:
    assert "rollback." not in on_each.manage("check", "--deploy", "--database", "default").stderr


# A migration that fails on the way back

FAILING = """
    from django.db import migrations

    def fail(apps, schema_editor):
        raise ValueError("the price is missing\\nsecond line")

    class Migration(migrations.Migration):
        dependencies = [("shop", "0002_price")]
        operations = [migrations.RunPython(migrations.RunPython.noop, fail)]
"""


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["rollback_migrations"], []),
        (["rollback_migrations"], ["--traceback"]),
        (["rollback", "rollback"], ["--traceback"]),
    ],
    ids=["sentence", "original", "manage"],
)
def test_the_traceback_of_a_failing_migration(on_each: Project, command: list[str], option: list[str]) -> None:
    """One sentence without the option, the traceback before it with it; the database is as it was either way."""
    on_each.write({"shop/migrations/0003_fail.py": FAILING})
    try:
        on_each.manage("migrate", "-v", "0")
        on_each.manage("save_migrations_state", "--commit", UNSAVED)
        applied, schema = oracle.migrations(on_each.database), oracle.schema(on_each.database)
        result = on_each.manage(*command, "-t", "v1", *option, check=False)
    finally:
        on_each.write({"shop/migrations/0003_fail.py": None})
    sentence = (
        "CommandError: shop.0003_fail could not be undone, and everything is as it was before: ValueError: the price "
        "is missing\n  hint: nothing was changed: fix the cause, then run this again\n"
    )
    assert result.returncode == 1
    assert result.stderr.endswith(sentence)
    assert ("Traceback (most recent call last)" in result.stderr) == bool(option)
    assert ("in fail\n" in result.stderr) == bool(option)
    assert "FAILED" in result.stdout + result.stderr
    assert (oracle.migrations(on_each.database), oracle.schema(on_each.database)) == (applied, schema)
    failed = json.loads(on_each.native("history", "-n", "1", "--format", "json").stdout)["operations"][0]
    assert (failed["kind"], failed["outcome"], failed["failed_step"]) == ("rollback", "failed", "shop.0003_fail")


# The whole command line inside Django


@pytest.mark.parametrize("command", ["save", "list", "show", "plan", "status", "history"])
def test_every_subcommand(project: Project, command: str) -> None:
    result = run(project, "manage", command)
    assert (result.returncode, result.stdout != "", result.stderr) == (0, True, "")


def test_stamp_and_rollback(on_each: Project, releases: TwoReleases, tmp_path: Path) -> None:
    stamp = tmp_path / ".django-rollback-release"
    result = run(on_each, "manage", "stamp", "--output", str(stamp))
    place = f"the git repository at {on_each.root}"
    said = f"Wrote {stamp} for commit {releases.commits['v2'][:7]} (from {place}).\n"
    assert (result.stdout, result.stderr) == (said, "")
    assert json.loads(stamp.read_text()) == {"format": 1, "commit": releases.commits["v2"], "tags": ["v2"]}
    saved = run(on_each, "manage", "save", "-p", str(tmp_path), "--format", "json")
    assert json.loads(saved.stdout)["commit_from"] == f"the file {stamp}"
    assert run(on_each, "manage", "rollback").returncode == 0
    assert ("shop", "0002_price") not in oracle.migrations(on_each.database)


@pytest.mark.parametrize("words", [["--settings", "settings"], ["--pythonpath", "."], ["--skip-checks"]])
def test_options_of_django_go_with_every_command(project: Project, words: list[str]) -> None:
    assert project.manage("rollback", "list", *words).returncode == 0
    if words != ["--skip-checks"]:
        assert project.manage("rollback_migrations", "--list", *words).returncode == 0


def test_another_settings_module(project: Project) -> None:
    """`--settings` is Django's: it decides which database is meant."""
    project.write(
        {"empty_settings.py": "from settings import *\nDATABASES = {}\nDJANGO_ROLLBACK = {'LOGGER': 'audit'}\n"}
    )
    result = run(project, "manage", "list", "--settings", "empty_settings")
    project.write({"empty_settings.py": None})
    assert result.returncode != 0


# Inside Django's tests

TESTS = """
    from io import StringIO

    from django.core.management import call_command
    from django.test import TestCase, TransactionTestCase

    def save(digits):
        out = StringIO()
        call_command("save_migrations_state", release=digits * 20, stdout=out)
        return out.getvalue()

    def listed():
        out = StringIO()
        call_command("rollback_migrations", list=True, stdout=out)
        return out.getvalue()

    class InsideATransaction(TestCase):
        def test_save_and_list(self):
            self.assertIn("Saved release ababab", save("ab"))
            self.assertIn("is already saved", save("ab"))
            self.assertIn("ab" * 20, listed())

        def test_the_other_test_left_nothing(self):
            self.assertIn("No release is saved yet", listed())

    class AfterAFlush(TransactionTestCase):
        def test_one(self):
            self.assertIn("Saved release cdcdcd", save("cd"))

        def test_two(self):
            self.assertIn("Saved release cdcdcd", save("cd"))
"""


@pytest.mark.parametrize("case", ["InsideATransaction", "AfterAFlush"])
def test_save_and_list_inside_tests_of_django(on_each: Project, case: str) -> None:
    """A TestCase runs in a transaction, on SQLite in memory; a TransactionTestCase flushes every table afterwards."""
    on_each.write({"shop/tests.py": TESTS})
    try:
        result = on_each.manage("test", f"shop.tests.{case}", "--noinput", check=False)
    finally:
        on_each.write({"shop/tests.py": None})
    assert (result.returncode, "Ran 2 tests" in result.stderr) == (0, True), result.stderr


@pytest.mark.parametrize("door", ["native", "manage"])
def test_a_flush_does_not_break_later_saves(on_each: Project, door: str) -> None:
    """`flush` empties our tables too, the one row of the lock among them: it is made again."""
    on_each.manage("flush", "--noinput")
    for digits in ("ab", "cd"):
        result = run(on_each, door, "save", "--commit", digits * 20)
        assert (result.returncode, result.stderr) == (0, ""), name_of(on_each.database)
    assert on_each.manage("rollback_migrations").returncode == 0
    assert on_each.database.execute("SELECT id FROM django_rollback_lock") == [(1,)]


def test_no_migration_is_missing(project: Project) -> None:
    """With the default settings, and with another DEFAULT_AUTO_FIELD."""
    assert project.manage("makemigrations", "--check", "--dry-run", "django_rollback").stdout.startswith("No changes")
    project.install_apps(APPS, extra='DEFAULT_AUTO_FIELD = "django.db.models.AutoField"\n')
    assert project.manage("makemigrations", "--check", "--dry-run", "django_rollback").stdout.startswith("No changes")


def test_no_warning_of_python_is_raised(on_each: Project) -> None:
    """Neither a deprecation nor an open file: both commands run with `-W error`."""
    strict = {"PYTHONWARNINGS": "error"}
    for words in (["save_migrations_state", "--commit", UNSAVED], ["rollback_migrations", "-t", "v1"]):
        result = on_each.manage(*words, env=strict)
        assert result.stderr == ""


def test_the_version_is_one(project: Project) -> None:
    """pip, Django's door and the binary call it by the same name."""
    installed = project.run_python("from importlib.metadata import version; print(version('django-rollback'))").strip()
    assert project.run_python("import django_rollback; print(django_rollback.__version__)").strip() == installed
    assert run(project, "native", "--version").stdout == f"django-rollback {installed}\n"
    assert run(project, "manage", "--version").stdout == f"django-rollback {installed}\n"
