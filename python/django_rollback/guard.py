"""``migrate`` takes its turn: it holds the lock of saves and rollbacks from ``pre_migrate`` to its end.

Meanwhile the SQL that undoes what it applies is recorded, and kept at its end.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import sys
import time
import weakref
from collections.abc import Iterator
from typing import Any

from django.core.management import CommandError
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from . import conf
from .facts import capsule
from .recording import Recorder

# The guard of each database alias. A `migrate` that fails sends no `post_migrate`: then its plan's end ends the guard.
_guards: dict[str, Any] = {}
_recorders: dict[str, Recorder] = {}
_suspended = False


@contextlib.contextmanager
def suspended() -> Iterator[None]:
    """While a rollback sends ``pre_migrate`` itself: it holds the lock already."""
    global _suspended
    before, _suspended = _suspended, True
    try:
        yield
    finally:
        _suspended = before


def before_migrate(*, using: str, plan: Any = (), **kwargs: Any) -> None:
    """Receiver of ``pre_migrate``: takes the lock, and refuses a plan that is stale by then."""
    if not plan or _suspended or connections[using].vendor not in conf.SUPPORTED_VENDORS:
        return
    if any(backwards and migration.app_label == "django_rollback" for migration, backwards in plan):
        return  # our own tables go, the lock with them: holding it would be waiting for oneself
    from . import _native
    from .door import Connection
    from .signals import Signals

    release(using)
    connection = Connection(connections[using], Signals())
    try:
        guard = _native.guard(connection, _planned(plan, connections[using]), _wait())
    except RuntimeError as error:
        raise CommandError(str(error), returncode=1) from None
    _guards[using] = guard
    _record(using, connection, plan)
    weakref.finalize(plan[0][0], _release_if, using, guard).atexit = False


def after_migrate(*, using: str, **kwargs: Any) -> None:
    """Receiver of ``post_migrate``."""
    if not _suspended:
        release(using)


def release(using: str) -> None:
    """Keeps what was recorded, and lets go of the lock."""
    _keep(using)
    guard = _guards.pop(using, None)
    if guard is not None:
        guard.release()


def _record(using: str, connection: Any, plan: Any) -> None:
    """Before a first release there is nothing to go back to, so nothing to record either."""
    from . import _native

    with _reported("nothing is recorded"):
        if _native.has_releases(connection):
            _recorders[using] = Recorder(connections[using])
            _recorders[using].watch(plan)


def _keep(using: str) -> None:
    recorder = _recorders.pop(using, None)
    if recorder is None:
        return
    from . import _native
    from .door import Connection, secrets
    from .signals import Signals

    recorded = recorder.finish()
    if not recorded:
        return
    with _reported("what was recorded is not kept"):
        loader = MigrationLoader(None, load=False, ignore_no_migrations=True)
        loader.load_disk()
        capsules = [capsule(loader.disk_migrations[key], recording) for key, recording in recorded.items()]
        _native.keep(Connection(connections[using], Signals()), secrets(), json.dumps(capsules))


@contextlib.contextmanager
def _reported(what: str) -> Iterator[None]:
    """A migrate does not fail because a way back could not be recorded: that is said, and the save makes up for it."""
    try:
        yield
    except Exception as error:
        print(f"Warning: {what}, so no recorded SQL undoes these migrations: {error}", file=sys.stderr, flush=True)


def _release_if(using: str, guard: Any) -> None:
    if _guards.get(using) is guard:
        release(using)


@atexit.register
def _release_all() -> None:
    for using in list(_guards):
        release(using)


def _planned(plan: Any, connection: Any) -> list[Any]:
    """The plan as the engine reads it. Parents come from the graph, in which squashes have taken their places."""
    loader = MigrationLoader(connection)
    planned = []
    for migration, backwards in plan:
        key = migration.app_label, migration.name
        node = loader.graph.node_map.get(key)
        parents = [(parent.key, _replaced(loader, parent.key)) for parent in sorted(node.parents)] if node else []
        planned.append((key, backwards, [(parent, replaced) for parent, replaced in parents if parent[1] is not None]))
    return planned


def _replaced(loader: Any, key: Any) -> list[Any]:
    migration = loader.graph.nodes.get(key)
    return list(migration.replaces) if migration is not None else []


def _wait() -> Any:
    told: set[str] = set()

    def wait(who: str, seconds: float) -> None:
        if who not in told:
            told.add(who)
            print(f"Waiting for its turn: the lock is held by {who}.", file=sys.stderr, flush=True)
        time.sleep(seconds)

    return wait
