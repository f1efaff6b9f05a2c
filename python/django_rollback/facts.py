"""What a migration's file says, as the engine reads it."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import tokenize
from collections.abc import Iterable, Iterator

from django.db.migrations import RunSQL, SeparateDatabaseAndState
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation

from .documents import Capsule, CustomOperation, Facts, OperationFacts, Recording
from .operations import describe, nested, reverse_sql, runs_custom_code


def facts(migration: Migration) -> Facts:
    """What planning has to know."""
    text = source(migration)
    return {
        "id": [migration.app_label, migration.name],
        "dependencies": [list(key) for key in migration.dependencies],
        "run_before": [list(key) for key in migration.run_before],
        "replaces": [list(key) for key in migration.replaces],
        "atomic": bool(migration.atomic),
        "irreversible": list(_irreversible(migration.operations)),
        "custom": list(_custom(migration.operations)),
        "source": None if text is None else hashlib.sha256(text.encode()).hexdigest(),
    }


def capsule(migration: Migration, recording: Recording) -> Capsule:
    """What there is to keep of a migration."""
    text = source(migration)
    operations = [
        OperationFacts(kind=type(operation).__name__, reversible=bool(operation.reversible))
        for operation in migration.operations
    ]
    imports = sorted(_imports(text, type(migration).__module__)) if text is not None else []
    return {
        **facts(migration),
        "operations": operations,
        "imports": imports,
        "text": text,
        "recording": recording,
    }


def source(migration: Migration) -> str | None:
    """The text of the file; ``None`` if only compiled code is there."""
    try:
        with tokenize.open(inspect.getsourcefile(sys.modules[type(migration).__module__]) or "") as file:
            return file.read()
    except (KeyError, OSError, SyntaxError, TypeError, UnicodeError):
        return None


def _imports(text: str, module: str) -> set[str]:
    """The modules that a file imports, except those of Python's own library and of Django."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: -node.level] if node.level else []
            found.add(".".join([*parents, *([node.module] if node.module else [])]))
    return {name for name in found if name.partition(".")[0] not in {*sys.stdlib_module_names, "django"}}


def _custom(operations: Iterable[Operation]) -> Iterator[CustomOperation]:
    """The operations that run the project's own code or SQL when they are undone."""
    for operation, place in nested(operations):
        if runs_custom_code(operation) and not isinstance(operation, SeparateDatabaseAndState):
            sql = ";\n".join(reverse_sql(operation)) if isinstance(operation, RunSQL) else None
            yield {"operation": f"{describe(operation)} ({place})", "sql": sql}


def _irreversible(operations: Iterable[Operation]) -> Iterator[str]:
    for operation, place in nested(operations):
        if not operation.reversible and not isinstance(operation, SeparateDatabaseAndState):
            yield f"{describe(operation)} ({place})"
