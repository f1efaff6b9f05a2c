"""System checks: what is set up wrongly, with the ids ``rollback.E001`` and on. ``docs/settings.md`` lists them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections

import django_rollback

from . import conf, dialects

AppConfigs = Sequence[AppConfig] | None


def check_settings(app_configs: AppConfigs, **kwargs: object) -> list[CheckMessage]:
    """E001 to E003: ``DJANGO_ROLLBACK`` holds what it should."""
    given = conf.raw()
    if not isinstance(given, dict):
        return [Error(f"{conf.NAME} must be a dictionary.", hint='Write it as {"PATH": "…"}.', id="rollback.E001")]
    unknown = [_unknown(key) for key in given if key not in conf.KEYS]
    return unknown + [problem for key in given if key in conf.KEYS for problem in _wrong_value(key, given[key])]


def _unknown(key: object) -> CheckMessage:
    near = get_close_matches(str(key), conf.KEYS, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(conf.KEYS)}."
    return Error(f"{conf.NAME} has the unknown key {key!r}.", hint=hint, id="rollback.E002")


def _wrong_value(key: str, value: object) -> list[CheckMessage]:
    if key == "COMMIT_VARIABLES":
        right = isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
        expected = "a list of names of environment variables"
    elif key == "DATA_LOSS":
        right = isinstance(value, str) and value in conf.DATA_LOSS
        expected = " or ".join(map(repr, conf.DATA_LOSS))
    elif key == "ON_AHEAD":
        right = value is None or (isinstance(value, str) and value in conf.ON_AHEAD)
        expected = " or ".join(map(repr, conf.ON_AHEAD))
    elif key == "WAYS":
        right = isinstance(value, (list, tuple)) and all(way in conf.WAYS for way in value)
        expected = f"a list with some of {', '.join(map(repr, conf.WAYS))}"
    elif key == "LOG_LEVEL":
        right = value is None or (isinstance(value, str) and isinstance(logging.getLevelName(value.upper()), int))
        expected = "the name of a level such as 'INFO'"
    else:
        right = value is None or (isinstance(value, (str, os.PathLike)) and str(value) != "")
        expected = "a string that is not empty"
    if right:
        return []
    return [Error(f"{conf.NAME}[{key!r}] must be {expected}.", hint=f"It is {value!r}.", id="rollback.E003")]


def check_engine(app_configs: AppConfigs, **kwargs: object) -> list[CheckMessage]:
    """E004: the engine can be loaded, and has the same version as this app."""
    try:
        from ._native import __version__ as version  # here, because it may be missing
    except ImportError as error:
        return [_wrong_engine(f"cannot be loaded: {error}")]
    if version != django_rollback.__version__:
        return [_wrong_engine(f"has version {version}, but this app has version {django_rollback.__version__}.")]
    return []


def _wrong_engine(what: str) -> CheckMessage:
    hint = "Install the wheel for this machine: pip install --force-reinstall django-rollback"
    return Error(f"The engine of django-rollback {what}", hint=hint, id="rollback.E004")


def check_databases(
    app_configs: AppConfigs, databases: Iterable[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """W001: the databases are supported."""
    return [
        Warning(
            f"django-rollback does not support the database {alias!r} ({connections[alias].display_name}).",
            hint=f"Supported databases: {dialects.SUPPORTED}. Save and roll back only those, with --database.",
            id="rollback.W001",
        )
        for alias in databases or []
        if dialects.find(connections[alias]) is None
    ]


def check_commit(app_configs: AppConfigs, **kwargs: object) -> list[CheckMessage]:
    """W002, with ``check --deploy``: the commit of this deploy can be found."""
    if check_settings(None):
        return []
    code, error, _ = _ask_engine("stamp", "--output", "-")
    if code == 0 or error is None:
        return []
    message, _, hint = error.partition("\n  hint: ")
    return [Warning(f"A release cannot be saved from here: {message}.", hint=hint or None, id="rollback.W002")]


def check_ahead(app_configs: AppConfigs, **kwargs: object) -> list[CheckMessage]:
    """E005 or W003, if the project asks for it: the database is ahead of this code.

    A database that cannot be asked, or that has no releases yet, is not ahead.
    """
    on_ahead = conf.options().ON_AHEAD
    if on_ahead not in conf.ON_AHEAD:
        return []
    code, error, said = _ask_engine("guard")
    if code != 1 or error is not None or not said:
        return []
    return [Error(said, id="rollback.E005") if on_ahead == "fail" else Warning(said, id="rollback.W003")]


def _ask_engine(*arguments: str) -> tuple[int, str | None, str]:
    """Runs a command of the engine in silence: its exit code, its error, and what it printed."""
    # Here and not above: every process of the project loads this module, and few run a command.
    from . import _native
    from .door import Door

    said: list[str] = []

    def write(stream: str, level: str, text: str) -> None:
        said.append(text)

    code, error = _native.run(Door("manage.py rollback", write), arguments)
    return code, error, "".join(said).strip()
