"""The settings, all in one dictionary: ``DJANGO_ROLLBACK = {...}``. ``docs/settings.md`` describes them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, fields

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

NAME = "DJANGO_ROLLBACK"


@dataclass(frozen=True)
class Options:
    """What can be set, with the defaults."""

    PATH: str | os.PathLike[str] | None = None
    """Path of the git repository, unless ``--path`` is given."""

    LOGGER: str | None = None
    """Logger that gets the report of each command, unless ``--logger`` is given."""

    LOG_LEVEL: str | None = None
    """Level that this logger is set to, unless ``--log-level`` is given."""

    COMMIT_VARIABLES: list[str] = field(default_factory=list)
    """Environment variables that may name the commit, read before those that platforms set."""

    DATA_LOSS: str = "warn"
    """What ``rollback_migrations`` does if data would be lost: ``warn`` and go on, or ``refuse`` as ``rollback``."""

    ON_AHEAD: str | None = None
    """What the system check does if the database is ahead of this code: ``warn``, ``fail``, or nothing."""

    WAYS: list[str] = field(default_factory=list)
    """The ways allowed to undo a migration, the best first: some of ``sql``, ``disk`` and ``capsule``."""


DATA_LOSS = ("warn", "refuse")
ON_AHEAD = ("warn", "fail")
WAYS = ("sql", "disk", "capsule")
KEYS = [option.name for option in fields(Options)]


def raw() -> object:
    """What the project has set, unchecked."""
    return getattr(settings, NAME, {})


def options() -> Options:
    """The options, with defaults for what the project has not set. The system checks report wrong values."""
    given = raw()
    if not isinstance(given, dict):
        return Options()
    return Options(**{key: value for key, value in given.items() if key in KEYS})


def ways() -> list[str]:
    """The ways that are allowed. The binary sets its variable when it hands a rollback over to ``manage.py``."""
    given = os.environ.get("DJANGO_ROLLBACK_WAYS", "")
    return given.split(",") if given else list(options().WAYS)


def secrets() -> list[str]:
    """What the keys of signatures are made from: the first one signs, the others verify older signatures."""
    given = [line.strip() for line in os.environ.get("DJANGO_ROLLBACK_KEY", "").splitlines()]
    with contextlib.suppress(ImproperlyConfigured):  # a project may have no secret at all
        given += [str(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return [secret for secret in given if secret]
