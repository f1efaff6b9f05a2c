"""What can be said of an operation of a migration by looking at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db.migrations import RunPython, RunSQL, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation

if TYPE_CHECKING:
    from django.db.models import Field

AnyField: TypeAlias = "Field[Any, Any]"
"""A field of a model, with values of any type."""


def nested(operations: Iterable[Operation], inside: str = "") -> Iterator[tuple[Operation, str]]:
    """Each operation and the database operations inside it, each with its place in words."""
    for number, operation in enumerate(operations, 1):
        place = f"{inside}operation {number}"
        yield operation, place
        if isinstance(operation, SeparateDatabaseAndState):
            yield from nested(operation.database_operations, f"{place}, database ")


def describe(operation: Operation) -> str:
    """The class of an operation, and the function that a ``RunPython`` calls."""
    name = type(operation).__name__
    function = getattr(operation.code, "__name__", None) if isinstance(operation, RunPython) else None
    return f"{name} {function}" if function else name


def runs_custom_code(operation: Operation) -> bool:
    """Whether undoing the operation runs the project's own code or SQL."""
    if isinstance(operation, RunPython):
        return operation.reverse_code not in (None, RunPython.noop)
    if isinstance(operation, RunSQL):
        return bool(operation.reverse_sql)
    return not type(operation).__module__.startswith(("django.db.migrations.", "django.contrib."))


def reverse_sql(operation: RunSQL) -> list[str]:
    """The texts of SQL that undo the operation, without their parameters."""
    sql = operation.reverse_sql
    if sql is None:
        return []
    parts = sql if isinstance(sql, (list, tuple)) else [sql]
    return [str(part[0] if isinstance(part, (list, tuple)) else part) for part in parts]
