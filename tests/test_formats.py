"""What a newer version has stored, and what somebody has damaged: it is named and refused, or it does not matter.

Whatever comes of a command, a document that this version cannot read stays as it is, and stays the one that counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from harness.database import Database
from harness.project import Project
from scenarios import same
from two_releases import VENDORS, Result, TwoReleases, everything_in, run

NEWER = '{"format":2,"delta":{}}'
NEWER_HASH = hashlib.sha256(NEWER.encode()).hexdigest()
UNSAVED = "ab" * 20
HISTORY = "django_rollback_operation"
APPLIED = "django_rollback_appliedset"
SCHEMAS = "django_rollback_schema"
# A rollback as history has it, with what a newer version may add.
ROLLBACK: dict[str, Any] = {
    "format": 2,
    "kind": "rollback",
    "outcome": "done",
    "from": None,
    "to": UNSAVED,
    "tags": ["v9"],
    "from_set": None,
    "to_set": None,
    "steps": ["shop.0003", "shop.0002"],
    "steps_done": 1,
    "releases_removed": [],
    "failed_step": "shop.0002",
    "user": "somebody",
    "host": "elsewhere",
    "version": "9.0.0",
    "parts": [{"step": "shop.0003", "half": True}],
}


@dataclass(frozen=True)
class Case:
    """What is done to the tables; how a refusal names it; which commands have no choice but to refuse."""

    statements: tuple[str, ...]
    name: str
    refused: frozenset[str]
    is_newer: bool = True


def newer(table: str, column: str, tag: str) -> tuple[str, ...]:
    """The release gets a document that a newer version has written, under its right hash."""
    values = f"'{NEWER_HASH}', 4, '{NEWER}'" if table == APPLIED else f"'{NEWER_HASH}', '{NEWER}'"
    return (
        f"INSERT INTO {table} VALUES ({values})",
        f"UPDATE django_rollback_appsstate SET {column} = '{NEWER_HASH}' WHERE tags LIKE '%{tag}%'",
    )


def changed(table: str, column: str, tag: str) -> tuple[str, ...]:
    """The bytes of the release's document are not those of its hash any more."""
    hashes = f"SELECT {column} FROM django_rollback_appsstate WHERE tags LIKE '%{tag}%'"
    return (f"UPDATE {table} SET body = body || ' ' WHERE hash IN ({hashes})",)


def operation(kind: str, outcome: str, body: str) -> tuple[str, ...]:
    """One more line in history."""
    columns = "kind, outcome, body, at"
    values = f"'{kind}', '{outcome}', '{body}', '2026-01-01 00:00:00+00:00'"
    return (f"INSERT INTO {HISTORY} ({columns}) VALUES ({values})",)


def of_version_9(outcome: str) -> tuple[str, ...]:
    """A rollback that a newer version has begun, as far as this one can read it."""
    return operation("rollback", outcome, json.dumps({**ROLLBACK, "outcome": outcome}))


CAPSULE = "UPDATE django_rollback_capsule SET {} WHERE name = '0002_price'"
BACK = frozenset({"plan -t v1", "rollback -t v1"})
CASES = {
    "set of the target, newer": Case(newer(APPLIED, "applied_set", "v1"), "{set_v1}", BACK | {"show -t v1"}),
    "set of the target, changed": Case(
        changed(APPLIED, "applied_set", "v1"), "{set_v1}", BACK | {"show -t v1"}, is_newer=False
    ),
    "set of the current release, newer": Case(
        newer(APPLIED, "applied_set", "v2"), "{set_v2}", frozenset({"show", "status"})
    ),
    "set of the current release, changed": Case(
        changed(APPLIED, "applied_set", "v2"), "{set_v2}", frozenset({"show", "status"}), is_newer=False
    ),
    "schema of the target, newer": Case(newer(SCHEMAS, "schema", "v1"), "{schema_v1}", BACK),
    "schema of the target, changed": Case(changed(SCHEMAS, "schema", "v1"), "{schema_v1}", BACK, is_newer=False),
    "schema of the current release, newer": Case(newer(SCHEMAS, "schema", "v2"), "{schema_v2}", frozenset({"status"})),
    "schema of the current release, changed": Case(
        changed(SCHEMAS, "schema", "v2"), "{schema_v2}", frozenset({"status"}), is_newer=False
    ),
    "capsule, newer": Case((CAPSULE.format(f"format = 2, body = '{NEWER}'"),), "{capsule}", frozenset()),
    "save in history, newer": Case(operation("save", "done", NEWER), "{operation}", frozenset({"history"})),
    "save in history, damaged": Case(
        operation("save", "done", "["), "{operation}", frozenset({"history"}), is_newer=False
    ),
    "rollback in history, newer": Case(operation("rollback", "done", NEWER), "{operation}", frozenset({"history"})),
    "rollback in history, damaged": Case(
        operation("rollback", "done", "["), "{operation}", frozenset({"history"}), is_newer=False
    ),
    "rollback under way, newer": Case(operation("rollback", "running", NEWER), "{operation}", frozenset({"history"})),
    "rollback part-way, newer": Case(operation("rollback", "stopped", NEWER), "{operation}", BACK | {"history"}),
    "rollback part-way, damaged": Case(
        operation("rollback", "stopped", "["), "{operation}", BACK | {"history"}, is_newer=False
    ),
}
NEWER_HINT = "use the version of django-rollback that the newer release has"
READING = ["list", "show", "show -t v1", "status", "history", "plan -t v1"]
WRITING = {
    "save": "native",
    f"save --commit {UNSAVED}": "native",
    "rollback --resume": "native",
    "rollback --abort": "native",
    "rollback -t v1": "original",
}


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> TwoReleases:
    """The project that these tests copy."""
    return TwoReleases(tmp_path_factory.mktemp("formats"), lambda: request.getfixturevalue("postgres"))


@pytest.fixture(params=VENDORS)
def project(request: pytest.FixtureRequest, releases: TwoReleases) -> Iterator[Project]:
    """v1 and v2 are saved; once on SQLite and once on PostgreSQL."""
    with releases.on(request.param) as project:
        yield project


@pytest.fixture
def on_sqlite(releases: TwoReleases) -> Iterator[Project]:
    """v1 and v2 are saved, on SQLite."""
    with releases.on("sqlite") as project:
        yield project


def name_in(case: Case, releases: TwoReleases) -> str:
    """How a refusal names what it cannot read."""
    kinds = {
        f"{kind}_{tag}": f"the stored {kind} of release {releases.commits[tag]}"
        for kind in ("set", "schema")
        for tag in ("v1", "v2")
    }
    return case.name.format(**kinds, capsule="the capsule of shop.0002_price", operation=f"row 3 of {HISTORY}")


def assert_refused_or_fine(result: Result, words: str, case: Case, name: str, usual: int) -> None:
    """It ends as it does without damage, or it says what it cannot read, and who can."""
    if name not in result.stderr:
        assert (words in case.refused, result.returncode) == (False, usual), (words, result)
        return
    assert result.returncode == 1, (words, result)
    if case.is_newer:
        assert "format 2" in result.stderr and NEWER_HINT in result.stderr, (words, result.stderr)
    else:
        assert "changed from outside" in result.stderr and NEWER_HINT not in result.stderr, (words, result.stderr)


def damage(database: Database, case: Case) -> None:
    for statement in case.statements:
        database.execute(statement)


@pytest.mark.parametrize("case", CASES)
def test_reading(project: Project, releases: TwoReleases, case: str) -> None:
    """Every command that looks; and looking writes nothing."""
    damage(project.database, CASES[case])
    before = everything_in(project.database)
    name = name_in(CASES[case], releases)
    for words in READING:
        assert_refused_or_fine(run(project, "native", *words.split()), words, CASES[case], name, 0)
    same(everything_in(project.database), before)


# What stands under these names is not ours to change; in the tables of the others a row may be mended by its hash.
KEPT = {
    "newer sets": f"SELECT * FROM {APPLIED} WHERE hash = '{NEWER_HASH}'",
    "newer schemas": f"SELECT * FROM {SCHEMAS} WHERE hash = '{NEWER_HASH}'",
    "capsules": "SELECT * FROM django_rollback_capsule WHERE name = '0002_price'",
    "lines of history": f"SELECT * FROM {HISTORY} WHERE id = 3",
}


def kept(database: Database, like: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is there of them, or of those that were there before."""
    found = {what: database.execute(query) for what, query in KEPT.items()}
    return {what: rows for what, rows in found.items() if (rows if like is None else what in like)}


def pointers(database: Database) -> dict[str, tuple[str, str]]:
    """Which set and which schema each release has."""
    query = 'SELECT "commit", applied_set, schema FROM django_rollback_appsstate'
    return {commit: rest for commit, *rest in database.execute(query)}


@pytest.mark.parametrize("words", WRITING)
@pytest.mark.parametrize("case", CASES)
def test_writing(on_sqlite: Project, releases: TwoReleases, case: str, words: str) -> None:
    """Every command that writes: whatever it does, the document is there as it was, and the release still has it."""
    damage(on_sqlite.database, CASES[case])
    before, had = kept(on_sqlite.database), pointers(on_sqlite.database)
    untouched = everything_in(on_sqlite.database)
    result = run(on_sqlite, WRITING[words], *words.split())
    # Without a rollback that stopped part-way there is nothing to resume.
    usual = 1 if words in ("rollback --resume", "rollback --abort") else 0
    assert_refused_or_fine(result, words, CASES[case], name_in(CASES[case], releases), usual)
    same(kept(on_sqlite.database, before), before)
    now = pointers(on_sqlite.database)
    if CASES[case].is_newer:
        same({commit: now[commit] for commit in had if commit in now}, {each: had[each] for each in had if each in now})
    if result.returncode:
        same(everything_in(on_sqlite.database), untouched)


@pytest.mark.parametrize("case", [name for name, case in CASES.items() if case.is_newer])
def test_migrate(on_sqlite: Project, case: str) -> None:
    """Nothing that is stored bars the way of `migrate`."""
    damage(on_sqlite.database, CASES[case])
    before = kept(on_sqlite.database)
    result = on_sqlite.manage("migrate", "shop", "0001", check=False)
    assert (result.returncode, result.stderr) == (0, ""), result
    same(kept(on_sqlite.database, before), before)


# Half of it can be read


@pytest.mark.parametrize("outcome", ["running", "stopped"])
@pytest.mark.parametrize("words", ["list", "status", "history", "save", "rollback --abort", f"save --commit {UNSAVED}"])
def test_a_rollback_of_a_newer_version(on_sqlite: Project, outcome: str, words: str) -> None:
    """It looks like one of ours, and has more to it: settled or aborted by this version that would be lost."""
    damage(on_sqlite.database, Case(of_version_9(outcome), "", frozenset()))
    before = kept(on_sqlite.database)
    run(on_sqlite, "native", *words.split())
    same(kept(on_sqlite.database, before), before)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "0",
        '"x"',
        '{"format":2}',
        '{"format":"1"}',
        '{"format":-1}',
        '{"format":1}',
        '{"format":1e99}',
        '{"format":99999999999}',
        "{" * 200,
        "[" * 100_000,
        '{"format":1,"applied":[["a"]]}',
    ],
    ids=lambda body: body[:30] or "empty",
)
@pytest.mark.parametrize("table", [APPLIED, SCHEMAS])
def test_any_text_for_a_document(on_sqlite: Project, table: str, body: str) -> None:
    """Under its right hash: it is refused in one sentence, and no text makes a program fall over."""
    database = on_sqlite.database
    digest = hashlib.sha256(body.encode()).hexdigest()
    column = "applied_set" if table == APPLIED else "schema"
    values = f"'{digest}', 1, '{body}'" if table == APPLIED else f"'{digest}', '{body}'"
    database.execute(f"INSERT INTO {table} VALUES ({values})")
    database.execute(f"UPDATE django_rollback_appsstate SET {column} = '{digest}'")
    before = everything_in(database)
    for words in ("show", "status", "plan -t v1"):
        result = run(on_sqlite, "native", *words.split())
        assert result.returncode in (0, 1) and len(result.stderr) < 1000, result
        if words == ("show" if table == APPLIED else "status"):
            assert "cannot be used: " in result.stderr, result
    same(everything_in(database), before)


@pytest.mark.parametrize("body", ["", "null", "[]", '{"id":["shop"]}', "[" * 100_000, '{"id":["zoo","0001"]}'])
def test_any_text_for_a_capsule(on_sqlite: Project, body: str) -> None:
    """It is refused where it counts, and passed over where it does not (`tests/test_hostile.py` has more of that)."""
    on_sqlite.database.execute(CAPSULE.format(f"body = '{body}'"))
    for way, refused in (("sql", True), ("disk", False)):
        result = run(on_sqlite, "native", "plan", "-t", "v1", "--way", way)
        said = "the capsule of shop.0002_price cannot be trusted" in result.stdout
        assert (result.returncode, said) == (int(refused), refused), result.stdout[:500]
        assert len(result.stdout) < 2000
