"""The settings, all under one name: ``DJANGO_ROLLBACK = {...}``. ``docs/settings.md`` describes them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from django.conf import settings

NAME = "DJANGO_ROLLBACK"
SUPPORTED_VENDORS = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Options:
    """What can be set, with the defaults."""

    PATH: str | None = None
    """Path of the git repository, when ``--path`` is not given."""

    LOGGER: str | None = None
    """Logger that gets the report of each command, when ``--logger`` is not given."""

    LOG_LEVEL: str | None = None
    """Level that this logger is set to, when ``--log-level`` is not given."""

    COMMIT_VARIABLES: list[str] = field(default_factory=list)
    """Environment variables that may name the commit, asked before those that platforms set."""

    DATA_LOSS: str = "warn"
    """What ``rollback_migrations`` does when data would be lost: ``warn`` and go on, or ``refuse`` as ``rollback``."""

    ON_AHEAD: str | None = None
    """What the system check says when the database is ahead of this code: ``warn``, ``fail``, or nothing."""

    WAYS: list[str] = field(default_factory=list)
    """The ways to undo a migration that may be taken, the best first: some of ``sql``, ``disk`` and ``capsule``."""


DATA_LOSS = ("warn", "refuse")
ON_AHEAD = ("warn", "fail")
WAYS = ("sql", "disk", "capsule")
KEYS = [option.name for option in fields(Options)]


def raw() -> Any:
    """What the project has set, unchecked."""
    return getattr(settings, NAME, {})


def options() -> Options:
    """The options, defaults where the project has set nothing. What is set wrongly is reported by the checks."""
    given = raw()
    if not isinstance(given, dict):
        return Options()
    return Options(**{key: value for key, value in given.items() if key in KEYS})
