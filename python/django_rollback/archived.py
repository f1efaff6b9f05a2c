"""Migrations out of archived source: loaded from memory, never written to disk, never found by an import.

The engine hands a text over only after its signature was verified.
"""

from __future__ import annotations

from types import ModuleType

from django.apps import apps
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration


class NotLoadable(Exception):
    """Why a source cannot be loaded here, as a sentence about "it"."""


def load(app: str, name: str, text: str) -> Migration:
    """The migration that the source defines. Its app may be missing here."""
    package = _package(app)
    module = ModuleType(f"{package}.{name}")
    module.__package__ = package
    module.__file__ = f"<archived source of {app}.{name}>"
    try:
        exec(compile(text, module.__file__, "exec", dont_inherit=True), module.__dict__)
        migration: Migration = module.Migration(name, app)
        return migration
    except Exception as error:
        raise NotLoadable(_reason(error)) from error


def _package(app: str) -> str:
    """The package that relative imports start from."""
    try:
        apps.get_app_config(app)
    except LookupError:
        return f"{app}.migrations"
    return MigrationLoader.migrations_module(app)[0] or f"{app}.migrations"


def _reason(error: Exception) -> str:
    """What the source needs that is missing here."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"it needs {error.name}"
    if isinstance(error, ImportError) and error.name:
        wanted = getattr(error, "name_from", None) or _imported_name(error)
        return f"it needs {error.name}.{wanted}" if wanted else f"it needs {error.name}"
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        return f"it needs {error.obj.__name__}.{error.name}"
    return f"it cannot be loaded here: {type(error).__name__}: {error}"


def _imported_name(error: ImportError) -> str | None:
    """Python 3.10 and 3.11 tell the name only in the message."""
    words = str(error).split("'")
    return words[1] if str(error).startswith("cannot import name '") else None
