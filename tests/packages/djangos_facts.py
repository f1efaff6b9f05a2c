"""Copied into a project and run there: what Django's own loader makes of the migrations of the installed apps.

The shape is that of `django-rollback graph --format json`, as far as a text can tell the same.
"""

import re
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.migrations import Migration, SeparateDatabaseAndState
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

MODEL = re.compile(r"\w+\.\w+")
Facts = dict[str, Any]


def document(folders: dict[str, str]) -> Facts:
    """All migrations, and the settings that name a model. `folders`: where code is → what it is called in a path."""
    loader = MigrationLoader(None, load=False, ignore_no_migrations=True)
    loader.load_disk()
    values = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    return {
        "settings": {name: value for name, value in values.items() if _names_a_model(value)},
        "migrations": [_migration(each, folders) for _, each in sorted(loader.disk_migrations.items())],
    }


def _names_a_model(value: object) -> bool:
    return isinstance(value, str) and MODEL.fullmatch(value) is not None


def _migration(migration: Migration, folders: dict[str, str]) -> Facts:
    return {
        "app": migration.app_label,
        "name": migration.name,
        "path": _path(Path(sys.modules[migration.__module__].__file__), folders),
        "dependencies": _references(migration.dependencies),
        "run_before": _references(migration.run_before),
        "replaces": _references(migration.replaces),
        "atomic": bool(migration.atomic),
        "initial": migration.initial,
        "operations": [_operation(each) for each in migration.operations],
    }


def _path(file: Path, folders: dict[str, str]) -> str:
    for folder, name in folders.items():
        if file.is_relative_to(folder):
            return (Path(name) / file.relative_to(folder)).as_posix()
    raise ValueError(f"{file} is in none of {list(folders)}")


def _references(keys: list[tuple[str, str]]) -> list[Facts]:
    return [{"app": app, "name": name} for app, name in keys]


def _operation(operation: Operation) -> Facts:
    facts = {
        "class": type(operation).__name__,
        "reversible": operation.reversible,
        "elidable": operation.elidable,
    }
    if isinstance(operation, SeparateDatabaseAndState):
        facts["database_operations"] = [_operation(each) for each in operation.database_operations]
        facts["state_operations"] = [_operation(each) for each in operation.state_operations]
    return facts
