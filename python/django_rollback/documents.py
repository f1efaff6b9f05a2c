"""The documents that go to the engine as JSON. Their Rust halves are in ``rollback-core`` and ``rollback-engine``."""

from __future__ import annotations

from typing import Literal, TypedDict

Key = tuple[str, str]
"""A migration: the label of its app, and its name."""


class CustomOperation(TypedDict):
    """An operation that runs the project's own code or SQL when it is undone."""

    operation: str
    sql: str | None
    """The SQL of a ``RunSQL``; ``None`` if it is code."""


class Facts(TypedDict):
    """What planning has to know of a migration's file."""

    id: list[str]
    dependencies: list[list[str]]
    run_before: list[list[str]]
    replaces: list[list[str]]
    atomic: bool
    irreversible: list[str]
    custom: list[CustomOperation]
    source: str | None
    """The SHA-256 of the file's text; ``None`` if only compiled code is there."""


class ProjectFacts(TypedDict):
    """What the loader finds in the project."""

    migrations: list[Facts]
    unmigrated_apps: list[str]


class OperationFacts(TypedDict):
    """One operation of a capsule's migration."""

    kind: str
    reversible: bool


class Rule(TypedDict, total=False):
    """What an older type asks of values of the newer one."""

    rule: Literal["digits", "length", "not-null", "range", "unique"]
    most: int
    least: int
    greatest: int
    places: int


class Effect(Rule, total=False):
    """What undoing a migration does to the database. ``kind`` says which of the keys there are."""

    migration: list[str]
    kind: Literal[
        "alter",
        "create-column",
        "create-table",
        "drop-column",
        "drop-table",
        "leave-behind",
        "rename-column",
        "rename-table",
        "require",
        "run-code",
    ]
    table: str
    column: str | None
    columns: list[str]
    to: str | None
    needs_empty: bool
    written_at: str | None
    """The column that tells when a row was written."""
    local_time: bool
    """Whether that column holds times of the project's own zone, without saying so."""


class Recording(TypedDict, total=False):
    """The SQL that undoes a migration, or why there is none."""

    statements: list[str]
    reason: str
    effects: list[Effect] | None
    """``None`` if they could not be told."""


class Capsule(Facts):
    """What there is to keep of a migration."""

    operations: list[OperationFacts]
    imports: list[str]
    text: str | None
    recording: Recording
