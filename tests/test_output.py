"""What the commands print: the same text and the same documents in both doors, data on stdout, talk on stderr."""

from __future__ import annotations

import functools
import json
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.project import Project
from two_releases import VENDORS, Result, TwoReleases, everything_in, run

CLI_DOORS = ("native", "manage")
SUBCOMMANDS = ("save", "import", "list", "show", "plan", "rollback", "status", "history", "stamp", "completions")
UNSAVED = "ab" * 20
Shown = Callable[..., Result]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> TwoReleases:
    """The project that these tests copy; PostgreSQL starts when the first of them needs it."""
    return TwoReleases(tmp_path_factory.mktemp("output"), lambda: request.getfixturevalue("postgres"))


@pytest.fixture(scope="module", params=VENDORS)
def shop(request: pytest.FixtureRequest, releases: TwoReleases) -> Iterator[Project]:
    """v1 and v2 are saved, once on SQLite and once on PostgreSQL; for tests that only read."""
    with releases.on(request.param) as project:
        yield project


@pytest.fixture(scope="module")
def shown(shop: Project) -> Shown:
    """Runs a command that only reads, and each of them once."""
    return functools.cache(functools.partial(run, shop))


@pytest.fixture
def project(releases: TwoReleases) -> Iterator[Project]:
    """v1 and v2 are saved, on SQLite, where the database does not matter; the work tree is given back afterwards."""
    before = releases.project.database
    with releases.on("sqlite") as project:
        yield project
        project.use(before)


# Text


def same_in_each_run(text: str, releases: TwoReleases) -> str:
    """The text with hashes, times, the user, the host and the version replaced, where possible at the same width."""
    for digit, commit in zip("12", releases.commits.values(), strict=True):
        text = text.replace(commit, digit * 40).replace(commit[:7], digit * 7)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "YYYY-MM-DD hh:mm:ssZ", text)
    text = re.sub(r"\(\d+\.\d{3}s\)", "(TIME)", text)
    return re.sub(r"\S+@\S+ +\d+\.\d+\.\d+\S*", "USER@HOST  VERSION", text)


TEXTS = {
    ("list",): """\
          SAVED AT              COMMIT                                    MIGRATIONS  TAGS
curr >>>  YYYY-MM-DD hh:mm:ssZ  2222222222222222222222222222222222222222  6           v2
          YYYY-MM-DD hh:mm:ssZ  1111111111111111111111111111111111111111  5           v1
""",
    ("show",): """\
commit     2222222222222222222222222222222222222222 (current)
tags       v2
saved at   YYYY-MM-DD hh:mm:ssZ
previous   1111111 (v1)
migrations 6
    django_rollback.0001_initial
    django_rollback.0002_releases
    django_rollback.0003_schemas
    django_rollback.0004_capsules
    shop.0001_initial
    shop.0002_price
""",
    ("show", "-t", "v1"): """\
commit     1111111111111111111111111111111111111111
tags       v1
saved at   YYYY-MM-DD hh:mm:ssZ
migrations 5
    django_rollback.0001_initial
    django_rollback.0002_releases
    django_rollback.0003_schemas
    django_rollback.0004_capsules
    shop.0001_initial
""",
    ("plan",): """\
Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
  Unapply shop.0002_price
Releases that leave the list: 2222222 (v2).
""",
    ("plan", "-t", "v2"): """\
Rollback from 2222222 (v2) to 2222222 (v2): no migration has to be undone.
""",
    ("status",): """\
Current release 2222222 (v2), 6 migrations applied: the same as when it was saved.
Schema: the same as when it was saved.
""",
}


# The binary cannot read migration files, and says so of a plan that has steps.
LOSSES_UNKNOWN = "losses are not counted here; `manage.py rollback plan` counts them"


@pytest.mark.parametrize("door", CLI_DOORS)
@pytest.mark.parametrize("words", TEXTS, ids=" ".join)
def test_text(shown: Shown, releases: TwoReleases, door: str, words: tuple[str, ...]) -> None:
    result = shown(door, *words)
    assert same_in_each_run(result.stdout, releases) == TEXTS[words]
    warning = f"Warning: {LOSSES_UNKNOWN}.\n" if (door, words) == ("native", ("plan",)) else ""
    assert (result.returncode, result.stderr) == (0, warning)


@pytest.mark.parametrize("door", CLI_DOORS)
def test_text_of_history(shown: Shown, releases: TwoReleases, door: str) -> None:
    """The columns after the user's name have another place on each machine."""
    result = shown(door, "history")
    text = re.sub(r" {2,}", "  ", same_in_each_run(result.stdout, releases))
    assert text.splitlines() == [
        "  AT  WHAT  FROM  TO  STEPS  OUTCOME  WHO  VERSION",
        "2  YYYY-MM-DD hh:mm:ssZ  save  1111111  2222222  done  USER@HOST  VERSION",
        "1  YYYY-MM-DD hh:mm:ssZ  save  1111111  done  USER@HOST  VERSION",
    ]
    assert (result.returncode, result.stderr) == (0, "")


def test_the_original_commands_print_the_same(shown: Shown) -> None:
    for words in (("list",), ("plan",), ("plan", "-t", "v2")):
        assert shown("original", *words).stdout == shown("native", *words).stdout


def test_text_of_a_rollback(project: Project, releases: TwoReleases) -> None:
    result = run(project, "original", "rollback")
    assert same_in_each_run(result.stdout, releases) == (
        "Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.\n"
        "  Unapplying shop.0002_price... OK (TIME)\n"
        "The database is back at 1111111 (v1), and its schema is the one that the release had.\n"
    )
    assert (result.returncode, result.stderr) == (0, "")

    again = run(project, "original", "rollback", "-t", "v1")
    said = "The database is at 1111111 (v1) already: nothing to do.\n"
    assert (again.returncode, same_in_each_run(again.stdout, releases)) == (0, said)


def test_text_of_saves(project: Project, releases: TwoReleases) -> None:
    def save(*words: str) -> tuple[str, str]:
        result = project.native("save", *words)
        return same_in_each_run(result.stdout, releases), same_in_each_run(result.stderr, releases)

    v1, v2 = releases.commits.values()
    assert save("--commit", v2) == (
        "Release 2222222 (v2) is saved already, with the same 6 migrations, and is the newest: all is fine.\n",
        "",
    )
    assert save("--commit", v1) == (
        "",
        "Release 1111111 (v1) is saved already and is not the newest: that is 2222222 (v2). Nothing was changed; the "
        "migrations that are applied are not those of this release. If you went back to this code on purpose, go back "
        "with the database too: `rollback_migrations -c 1111111`.\n",
    )
    project.database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('blog', '0001', '2026-01-01')")
    assert save("--commit", v2) == ("Updated release 2222222 (v2): it has 7 migrations now.\n  + blog.0001\n", "")
    assert save("--commit", UNSAVED, "--log-diff") == (
        "Saved release abababa with 7 migrations (commit from --commit).\nThe same migrations as at 2222222 (v2).\n",
        "",
    )


# JSON


RELEASE_KEYS = ["commit", "tags", "saved_at"]
LISTED_KEYS = [*RELEASE_KEYS, "current", "migrations", "imported"]
PLAN_KEYS = ["format", "from", "to", "steps", "blockers", "warnings", "atomic", "segments"]
PLAN_KEYS += ["losses", "lost_rows", "releases_removed"]
DOCUMENTS = [("list",), ("show",), ("show", "-t", "v1"), ("plan",), ("plan", "-t", "v1"), ("status",), ("history",)]


def document(result: Result) -> dict[str, Any]:
    """The one JSON document on stdout."""
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    assert (next(iter(found)), found["format"]) == ("format", 1)
    return found


@pytest.mark.parametrize("words", DOCUMENTS, ids=" ".join)
def test_both_doors_print_the_same_document(shown: Shown, words: tuple[str, ...]) -> None:
    native, django = (shown(door, *words, "--format", "json") for door in CLI_DOORS)
    assert document(native)
    unknown = json.dumps([{"kind": "losses-unknown", "message": LOSSES_UNKNOWN}], separators=(",", ":"))
    assert (unknown in native.stdout) == (words in [("plan",), ("plan", "-t", "v1")])
    expected = django.stdout, django.stderr, django.returncode
    assert (native.stdout.replace(unknown, "[]"), native.stderr, native.returncode) == expected


@pytest.mark.parametrize("words", [("list",), ("plan",)])
def test_the_original_commands_print_the_same_document(shown: Shown, words: tuple[str, ...]) -> None:
    original, django = (shown(door, *words, "--format", "json") for door in ("original", "manage"))
    assert original.stdout == django.stdout


def test_document_of_list(shown: Shown, releases: TwoReleases) -> None:
    listed = document(shown("native", "list", "--format", "json"))
    assert list(listed) == ["format", "releases"]
    assert [list(release) for release in listed["releases"]] == [LISTED_KEYS, LISTED_KEYS]
    times = [release.pop("saved_at") for release in listed["releases"]]
    assert listed["releases"] == [
        {"commit": releases.commits["v2"], "tags": ["v2"], "current": True, "migrations": 6, "imported": False},
        {"commit": releases.commits["v1"], "tags": ["v1"], "current": False, "migrations": 5, "imported": False},
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)
    assert times == sorted(times, reverse=True)


def test_document_of_plan(shown: Shown, releases: TwoReleases) -> None:
    planned = document(shown("manage", "plan", "--format", "json"))
    assert list(planned) == PLAN_KEYS
    assert (list(planned["from"]), list(planned["to"])) == (RELEASE_KEYS, RELEASE_KEYS)
    assert (planned["from"]["commit"], planned["to"]["commit"]) == (releases.commits["v2"], releases.commits["v1"])
    assert planned["steps"] == [{"app": "shop", "migration": "0002_price", "way": "disk"}]
    assert (planned["blockers"], planned["warnings"], planned["atomic"]) == ([], [], True)
    assert planned["segments"] == [{"steps": [["shop", "0002_price"]], "in_transaction": True}]
    assert (planned["losses"], planned["lost_rows"]) == ([], 0)
    assert [release["tags"] for release in planned["releases_removed"]] == [["v2"]]


def test_document_of_a_plan_with_blockers_and_warnings(project: Project) -> None:
    project.database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('gone', '0001', '2026-01-01')")
    result = run(project, "original", "plan", "--format", "json")
    planned = document(result)
    assert (result.returncode, result.stderr) == (1, "")
    assert planned["blockers"] == [
        {
            "kind": "missing-file",
            "message": "gone.0001 must be undone, but its file is missing",
            "hint": "run the command from the image or checkout of a release that has gone.0001, with its app in "
            "INSTALLED_APPS",
        }
    ]
    assert [warning["kind"] for warning in planned["warnings"]] == ["not-saved"]


def test_document_of_show(shown: Shown) -> None:
    found = document(shown("native", "show", "-t", "v1", "--format", "json"))
    assert list(found) == ["format", "release", "current", "imported", "previous", "migrations", "uncertain"]
    assert (list(found["release"]), found["current"], found["previous"]) == (RELEASE_KEYS, False, None)
    assert ["shop", "0001_initial"] in found["migrations"]


def test_document_of_status(project: Project) -> None:
    project.database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('blog', '0001', '2026-01-01')")
    project.database.execute("DELETE FROM django_migrations WHERE name = '0002_price'")
    for door in CLI_DOORS:
        result = run(project, door, "status", "--format", "json")
        found = document(result)
        assert result.returncode == 1
        assert list(found) == ["format", "current", "migrations", "same", "ahead", "missing", "schema"]
        assert (found["same"], found["ahead"], found["missing"], found["schema"]) == (
            False,
            [["blog", "0001"]],
            [["shop", "0002_price"]],
            [],
        )


def test_document_of_history(shown: Shown) -> None:
    operations = document(shown("native", "history", "--format", "json"))["operations"]
    assert [(operation["id"], operation["kind"], operation["outcome"]) for operation in operations] == [
        (2, "save", "done"),
        (1, "save", "done"),
    ]
    promised = {"at", "kind", "outcome", "from", "to", "steps", "steps_done", "user", "host", "version"}
    assert promised <= operations[0].keys()


@pytest.mark.parametrize("door", [*CLI_DOORS, "original"])
def test_document_of_a_save_with_the_talk_on_stderr(project: Project, door: str) -> None:
    result = run(project, door, "save", "--commit", UNSAVED, "--format", "json", "--log-full-data", "--log-diff")
    saved = document(result)
    assert (saved["outcome"], saved["release"]["commit"], saved["migrations"]) == ("created", UNSAVED, 6)
    assert (saved["commit_from"], len(saved["applied"]), saved["diff"]["added"]) == ("--commit", 6, [])
    assert result.stderr == "Saved release abababa with 6 migrations (commit from --commit).\n"


@pytest.mark.parametrize("door", [*CLI_DOORS, "original"])
def test_documents_of_a_rollback_with_the_talk_on_stderr(project: Project, releases: TwoReleases, door: str) -> None:
    """One event a line, also where the binary hands over to manage.py."""
    hand_over = {"DJANGO_ROLLBACK_PYTHON": project.python, "PYTHONDONTWRITEBYTECODE": "1"}
    result = run(project, door, "rollback", "--format", "json", env=hand_over)
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(event["format"], event["event"]) for event in events] == [
        (1, event) for event in ("plan", "step-begins", "step-ends", "end")
    ]
    plan, begins, ends, done = events
    step = {"app": "shop", "migration": "0002_price", "way": "disk"}
    assert plan["steps"] == [step] == done["steps"]
    assert {name: begins[name] for name in step} == step == {name: ends[name] for name in step}
    assert ends["seconds"] > 0
    assert (done["outcome"], done["verified"], done["notes"]) == ("done", "same", [])
    assert same_in_each_run(result.stderr, releases) == (
        "Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.\n"
        "  Unapplying shop.0002_price... OK (TIME)\n"
        "The database is back at 1111111 (v1), and its schema is the one that the release had.\n"
    )


@pytest.mark.parametrize("door", CLI_DOORS)
def test_an_empty_list_is_a_document_too(project: Project, door: str) -> None:
    project.database.execute("DELETE FROM django_rollback_appsstate")
    project.database.execute("DELETE FROM django_rollback_operation")
    assert document(run(project, door, "list", "--format", "json")) == {"format": 1, "releases": []}
    assert document(run(project, door, "history", "--format", "json")) == {"format": 1, "operations": []}


@pytest.mark.parametrize("door", CLI_DOORS)
def test_a_refusal_leaves_stdout_empty(shown: Shown, door: str) -> None:
    result = shown(door, "plan", "-t", "v9", "--format", "json")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.endswith("no release is saved for tag v9\n  hint: `list` shows the saved releases\n")


# Silence


@pytest.mark.parametrize("door", [*CLI_DOORS, "original"])
@pytest.mark.parametrize("silent", [("-v", "0"), ("--verbosity=0",)], ids=" ".join)
def test_silence(project: Project, door: str, silent: tuple[str, ...]) -> None:
    """Nothing but errors and the data that was asked for, warnings included."""
    saved = run(project, door, "save", "--commit", UNSAVED, *silent)
    warned = run(project, door, "save", *silent)
    undone = run(project, door if door == "original" else "manage", "rollback", "-t", "v1", *silent)
    for result in (saved, warned, undone):
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert run(project, door, "list", *silent).stdout == run(project, door, "list").stdout
    refused = run(project, door, "rollback", "-t", "v9", *silent)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no release is saved for tag v9" in refused.stderr


def test_quiet_is_silence(project: Project) -> None:
    assert project.native("save", "--commit", UNSAVED, "-q").stdout == ""
    assert project.native("list", "--quiet").stdout != ""


# Nobody reads, or the disk is full


def process(project: Project, door: str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """As `run`, with stdout wherever `options` says."""
    program = [str(project.binary())] if door == "native" else [project.python, str(project.root / "manage.py")]
    command = [*program, *(["rollback"] if door == "manage" else []), *words]
    environment = project.environment() | {"DATABASE_URL": project.database.url} | options.pop("env", {})
    return subprocess.run(command, env=environment, cwd=project.root, stderr=subprocess.PIPE, text=True, **options)


def into_closed_pipe(project: Project, door: str, *words: str) -> subprocess.CompletedProcess[str]:
    read, write = os.pipe()
    os.close(read)
    try:
        return process(project, door, *words, stdout=write)
    finally:
        os.close(write)


@pytest.mark.parametrize("door", CLI_DOORS)
@pytest.mark.parametrize(
    "words",
    [("list",), ("list", "--format", "json"), ("plan",), ("show",), ("history",), ("--help",), ("completions", "bash")],
    ids=" ".join,
)
def test_a_closed_pipe_is_a_quiet_end(project: Project, door: str, words: tuple[str, ...]) -> None:
    result = into_closed_pipe(project, door, *words)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("door", CLI_DOORS)
def test_a_closed_pipe_does_not_stop_a_save(project: Project, door: str) -> None:
    result = into_closed_pipe(project, door, "save", "--commit", UNSAVED)
    assert (result.returncode, result.stderr) == (0, "")
    assert UNSAVED in project.native("list").stdout


def test_a_closed_pipe_does_not_stop_a_rollback(project: Project) -> None:
    result = into_closed_pipe(project, "manage", "rollback")
    assert (result.returncode, result.stderr) == (0, "")
    assert project.native("status").stdout.endswith(
        "5 migrations applied: the same as when it was saved.\nSchema: the same as when it was saved.\n"
    )


@pytest.mark.parametrize("door", CLI_DOORS)
@pytest.mark.parametrize("words", [("list",), ("list", "--format", "json"), ("plan",), ("--help",)], ids=" ".join)
def test_a_full_disk_is_said(project: Project, door: str, words: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        result = process(project, door, *words, stdout=full)
    assert result.returncode == 1
    assert "cannot write to stdout: " in result.stderr
    assert "No space left on device" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


# Colour


def on_a_terminal(project: Project, door: str, *words: str, **variables: str) -> str:
    """What a person sees: stdout and stderr are a terminal."""
    main, terminal = pty.openpty()
    program = [str(project.binary())] if door == "native" else [project.python, str(project.root / "manage.py")]
    environment = project.environment() | {"DATABASE_URL": project.database.url, "TERM": "xterm-256color"} | variables
    result = subprocess.Popen(
        [*program, *words], env=environment, cwd=project.root, stdout=terminal, stderr=terminal, stdin=terminal
    )
    os.close(terminal)
    seen = b""
    try:
        while chunk := os.read(main, 65536):
            seen += chunk
    except OSError:  # the other end is closed
        pass
    os.close(main)
    result.wait()
    return seen.decode().replace("\r\n", "\n")


COLOURED = ["save_migrations_state", "rollback list", "rollback plan -t v9", "rollback --help"]


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"DJANGO_COLORS": "nocolor"}], ids=str)
@pytest.mark.parametrize("words", COLOURED)
def test_no_colour_in_manage_py(project: Project, words: str, variables: dict[str, str]) -> None:
    seen = on_a_terminal(project, "django", *words.split(), **variables)
    assert "v2" in seen or "v9" in seen or "Usage" in seen
    assert "\x1b" not in seen


@pytest.mark.parametrize("words", ["save", "list", "plan -t v9", "--help", "nonsense"])
def test_no_colour_in_the_binary(project: Project, words: str) -> None:
    assert "\x1b" not in on_a_terminal(project, "native", *words.split(), NO_COLOR="1")


@pytest.mark.parametrize("option", ["--no-color", "--force-color"])
def test_the_colour_options_of_django(project: Project, option: str) -> None:
    """They are Django's own, so both commands take them, and the words are the same with and without colour."""
    for words in (["save_migrations_state"], ["rollback", "save"]):
        result = project.manage(*words, option)
        assert ("\x1b[" in result.stdout) == (option == "--force-color")
        plain = re.sub(r"\x1b\[[\d;]*m", "", result.stdout)
        assert plain.endswith("with the same 6 migrations, and is the newest: all is fine.\n")


# Help and completions


@pytest.mark.parametrize("door", CLI_DOORS)
@pytest.mark.parametrize("words", [(), *((name,) for name in SUBCOMMANDS)], ids=lambda words: " ".join(words) or "top")
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(project: Project, door: str, words: tuple[str, ...], option: str) -> None:
    result = run(project, door, *words, option)
    program = {"native": "django-rollback", "manage": "manage.py rollback"}[door]
    assert (result.returncode, result.stderr) == (0, "")
    assert f"\nUsage: {' '.join((program, *words))} " in result.stdout
    assert ("--database <URL>" in result.stdout) == (door == "native")
    assert ("--database-file" in result.stdout) == (door == "native")
    for hidden in ("save_migrations_state", "--expect", "--settings", "--pythonpath", "\x1b"):
        assert hidden not in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


def test_help_teaches_the_exit_codes(project: Project) -> None:
    for door in CLI_DOORS:
        text = run(project, door, "--help").stdout
        for line in (
            "0    done",
            "1    refused or failed, nothing was changed",
            "2    wrong usage",
            "3    stopped part-way: finish it with `rollback --resume`, or close it with `rollback --abort`",
        ):
            assert f"\n  {line}\n" in text


def test_help_of_django_finds_the_commands(project: Project) -> None:
    assert "manage.py rollback --help" in project.manage("help", "rollback").stdout
    for command, options in {
        "save_migrations_state": ["--commit", "--log-full-data", "--log-diff"],
        "rollback_migrations": ["--list", "--tag", "--commit", "--fake", "--dry-run"],
    }.items():
        text = project.manage(command, "--help").stdout
        for option in [*options, "--path", "--logger", "--log-level", "--database", "--format", "--verbosity"]:
            assert option in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions(project: Project, tmp_path: Path, shell: str) -> None:
    """The script names what a user may type and nothing that is hidden; the shell itself reads it, where it is here."""
    result = project.native("completions", shell)
    for name in SUBCOMMANDS:
        assert name in result.stdout
    for hidden in ("save_migrations_state", "rollback_migrations", "expect", "pythonpath"):
        assert hidden not in result.stdout
    if program := shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(result.stdout)
        read = subprocess.run([program, "-n", str(script)], capture_output=True, text=True)
        assert (read.returncode, read.stderr) == (0, "")


def test_completions_need_no_database(project: Project) -> None:
    assert project.native("completions", "bash", env={"DATABASE_URL": "nonsense"}).stderr == ""


def test_completions_of_an_unknown_shell(project: Project) -> None:
    result = project.native("completions", "csh", check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: invalid value 'csh' for '<SHELL>'\n")


@pytest.mark.parametrize("words", [("show",), ("plan",), ("status",), ("history",), ("list",)], ids=" ".join)
def test_reading_writes_nothing(shop: Project, words: tuple[str, ...]) -> None:
    before = everything_in(shop.database)
    for door in CLI_DOORS:
        run(shop, door, *words)
    assert everything_in(shop.database) == before
