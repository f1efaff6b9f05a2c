"""System checks: what is set up wrongly, with the ids ``rollback.E001`` and on. ``docs/settings.md`` lists them."""

from __future__ import annotations

import logging
import os
from difflib import get_close_matches
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.db import connections

import django_rollback

from . import conf


def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001 to E003: ``DJANGO_ROLLBACK`` holds what it should."""
    given = conf.raw()
    if not isinstance(given, dict):
        return [Error(f"{conf.NAME} must be a dictionary.", hint='Write it as {"PATH": "…"}.', id="rollback.E001")]
    unknown = [_unknown(key) for key in given if key not in conf.KEYS]
    return unknown + [problem for key in given if key in conf.KEYS for problem in _wrong_value(key, given[key])]


def _unknown(key: Any) -> CheckMessage:
    near = get_close_matches(str(key), conf.KEYS, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(conf.KEYS)}."
    return Error(f"{conf.NAME} has the unknown key {key!r}.", hint=hint, id="rollback.E002")


def _wrong_value(key: str, value: Any) -> list[CheckMessage]:
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


def check_engine(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E004: the engine can be loaded, and is of the same version as this app."""
    try:
        from ._native import __version__ as version
    except ImportError as error:
        return [_wrong_engine(f"cannot be loaded: {error}")]
    if version != django_rollback.__version__:
        return [_wrong_engine(f"is of version {version}, and this app of {django_rollback.__version__}.")]
    return []


def _wrong_engine(what: str) -> CheckMessage:
    hint = "Install the wheel that was built for this machine: pip install --force-reinstall django-rollback"
    return Error(f"The engine of django-rollback {what}", hint=hint, id="rollback.E004")


def check_databases(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """W001: the databases are ones that can be rolled back."""
    return [
        Warning(
            f"django-rollback cannot roll back the database {alias!r}: {connections[alias].vendor} is not supported.",
            hint="SQLite and PostgreSQL are. Save and roll back only those, with --database.",
            id="rollback.W001",
        )
        for alias in databases or []
        if connections[alias].vendor not in conf.SUPPORTED_VENDORS
    ]


def check_commit(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W002, with ``check --deploy``: the commit of this deploy can be found."""
    from .door import find_commit

    problem = None if check_settings(None) else find_commit()
    if problem is None:
        return []
    message, _, hint = problem.partition("\n  hint: ")
    return [Warning(f"A release cannot be saved from here: {message}.", hint=hint or None, id="rollback.W002")]


def check_ahead(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E005 and W003, where the project asks for it: the database is ahead of this code."""
    kind = {"warn": Warning, "fail": Error}.get(str(conf.options().ON_AHEAD))
    if kind is None:
        return []
    from .door import find_ahead

    message = find_ahead()
    return [kind(message, id="rollback.E005" if kind is Error else "rollback.W003")] if message else []
