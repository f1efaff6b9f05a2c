"""What the commands print through a real process: the same in both doors, data on stdout, talk on stderr.

What each command says is a snapshot in `crates/rollback-cli/tests`.
"""

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


def same_in_each_run(text: str, releases: TwoReleases) -> str:
    """The text with hashes, times, the user, the host and the version replaced, where possible at the same width."""
    for digit, commit in zip("12", releases.commits.values(), strict=True):
        text = text.replace(commit, digit * 40).replace(commit[:7], digit * 7)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "YYYY-MM-DD hh:mm:ssZ", text)
    text = re.sub(r"\(\d+\.\d{3}s\)", "(TIME)", text)
    return re.sub(r"\S+@\S+ +\d+\.\d+\.\d+\S*", "USER@HOST  VERSION", text)


# The binary cannot read migration files, and says so of a plan that has steps.
LOSSES_UNKNOWN = "losses are not counted here; `manage.py rollback plan` counts them"


def test_the_original_commands_print_the_same(shown: Shown) -> None:
    for words in (("list",), ("plan",), ("plan", "-t", "v2")):
        assert shown("original", *words).stdout == shown("native", *words).stdout


# JSON


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


# Silence


@pytest.mark.parametrize("door", ["manage", "original"])
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
@pytest.mark.parametrize("words", [("list",), ("plan",), ("--help",)], ids=" ".join)
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
        assert plain.endswith("with 6 migrations is already saved; nothing to do.\n")


# Help and completions


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


@pytest.mark.parametrize("words", [("show",), ("plan",), ("status",), ("history",), ("list",)], ids=" ".join)
def test_reading_writes_nothing(shop: Project, words: tuple[str, ...]) -> None:
    before = everything_in(shop.database)
    for door in CLI_DOORS:
        run(shop, door, *words)
    assert everything_in(shop.database) == before
