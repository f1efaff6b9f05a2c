"""What differs between databases is in one module of the Django app; the others do not ask which one it is."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import django_rollback

PACKAGE = Path(django_rollback.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
NAMES = re.compile(r"vendor|postgres|sqlite|mysql|oracle", re.IGNORECASE)


@pytest.mark.parametrize("name", [name for name in FILES if name != "dialects.py"])
def test_no_other_module_asks_for_the_database(name: str) -> None:
    assert [*names_of_databases((PACKAGE / name).read_text())] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("if connection.vendor == 'mysql': pass", ["vendor", "mysql"]),
        ("is_postgresql = True", ["is_postgresql"]),
        ("getattr(connection, 'vendor')", ["vendor"]),
        ("def of_sqlite(): return 1", ["of_sqlite"]),
        ("def undo():\n    '''SQLite forgets its savepoint.'''", []),
    ],
)
def test_what_counts_as_asking(text: str, found: list[str]) -> None:
    """Names and texts do, comments and docstrings do not."""
    assert [*names_of_databases(text)] == found


def names_of_databases(text: str) -> Iterator[str]:
    """Names and texts of the code in which a database or Django's `vendor` appears."""
    for node in ast.walk(without_docstrings(ast.parse(text))):
        for field in ("attr", "id", "name", "arg", "value"):
            word = getattr(node, field, None)
            if isinstance(word, str) and NAMES.search(word):
                yield word


def without_docstrings(tree: ast.AST) -> ast.AST:
    """The code without the texts that are statements of their own."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not is_text(each)]
    return tree


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def test_the_stub_names_what_the_engine_has() -> None:
    """mypy believes `_native.pyi`; functions, their parameters and classes are as it says."""
    from django_rollback import _native

    stub = ast.parse((PACKAGE / "_native.pyi").read_text())
    functions = [node for node in stub.body if isinstance(node, ast.FunctionDef)]
    said = {node.name: [argument.arg for argument in node.args.args] for node in functions}
    assert said == {name: [*inspect.signature(getattr(_native, name)).parameters] for name in said}
    classes = {node.name for node in stub.body if isinstance(node, ast.ClassDef) and not node.bases}
    public = {name for name in vars(_native) if not name.startswith("_")}
    assert public == classes | set(said)
