"""The migrate lock: ``migrate`` holds the lock of saves and rollbacks from ``pre_migrate`` to its end.

Meanwhile the SQL that undoes what it applies is recorded, and stored at its end.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from django.core.management import CommandError
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration

from . import conf, dialects
from .connection import Connection
from .documents import Key
from .facts import capsule
from .interrupts import Interrupts
from .recording import Recorder
from .suspension import is_suspended

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from ._native import LockHolder, PlannedMigration

Plan = Sequence[tuple[Migration, bool]]
"""What ``migrate`` is about to do: migrations, each with whether it is undone."""

# The lock holder of each database alias. A `migrate` that fails sends no `post_migrate`: its plan's end releases it.
_holders: dict[str, LockHolder] = {}
_recorders: dict[str, Recorder] = {}


def before_migrate(*, using: str, plan: Plan = (), **kwargs: object) -> None:
    """Receiver of ``pre_migrate``: takes the lock, and refuses a plan that is stale by then."""
    if not plan or is_suspended() or dialects.find(connections[using]) is None:
        return
    if any(backwards and migration.app_label == "django_rollback" for migration, backwards in plan):
        return  # it drops our own tables, and the lock with them: it would wait for itself
    # Here and not above, as below: every process of the project loads this module, and few of them migrate.
    from . import _native

    release(using)
    connection = Connection(connections[using], Interrupts())
    try:
        holder = _native.hold_lock(connection, _planned(plan, connections[using]), _wait())
    except RuntimeError as error:
        raise CommandError(str(error), returncode=1) from None
    _holders[using] = holder
    _record(using, connection, plan)
    end_of_plan = weakref.finalize(plan[0][0], _release_if, using, holder)
    end_of_plan.atexit = False  # type: ignore[misc]  # it is a property, which mypy takes for a slot


def after_migrate(*, using: str, **kwargs: object) -> None:
    """Receiver of ``post_migrate``."""
    if not is_suspended():
        release(using)


def release(using: str) -> None:
    """Stores what was recorded, and releases the lock."""
    _store_recordings(using)
    holder = _holders.pop(using, None)
    if holder is not None:
        holder.release()


def _record(using: str, connection: Connection, plan: Plan) -> None:
    """Begins to record, unless there is no release to go back to yet."""
    from . import _native

    with _reported("the SQL that undoes these migrations is not recorded"):
        if _native.has_releases(connection):
            _recorders[using] = Recorder(connections[using])
            _recorders[using].watch(plan)


def _store_recordings(using: str) -> None:
    recorder = _recorders.pop(using, None)
    recordings = recorder.finish() if recorder is not None else {}
    if not recordings:
        return
    from . import _native

    with _reported("the SQL that undoes these migrations was recorded but cannot be stored"):
        loader = MigrationLoader(None, load=False, ignore_no_migrations=True)
        loader.load_disk()
        capsules = [capsule(loader.disk_migrations[key], recording) for key, recording in recordings.items()]
        _native.keep(Connection(connections[using], Interrupts()), conf.secrets(), json.dumps(capsules))


@contextlib.contextmanager
def _reported(what: str) -> Iterator[None]:
    """Turns an error into a warning: recording must not make ``migrate`` fail, and the next save makes up for it."""
    try:
        yield
    except Exception as error:
        print(f"Warning: {what}: {error}", file=sys.stderr, flush=True)


def _release_if(using: str, holder: LockHolder) -> None:
    if _holders.get(using) is holder:
        release(using)


@atexit.register
def _release_all() -> None:
    for using in list(_holders):
        release(using)


def _planned(plan: Plan, connection: BaseDatabaseWrapper) -> list[PlannedMigration]:
    """The plan as the engine reads it. Parents come from the graph, in which squashes replace their originals."""
    loader = MigrationLoader(connection)
    planned: list[PlannedMigration] = []
    for migration, backwards in plan:
        key = migration.app_label, migration.name
        node = loader.graph.node_map.get(key)
        parents = [(parent.key, _replaced(loader, parent.key)) for parent in sorted(node.parents)] if node else []
        planned.append((key, backwards, [(parent, replaced) for parent, replaced in parents if parent[1] is not None]))
    return planned


def _replaced(loader: MigrationLoader, key: Key) -> list[Key]:
    migration = loader.graph.nodes.get(key)
    return list(migration.replaces) if migration is not None else []


def _wait() -> Callable[[str, float], None]:
    """Sleeps, and says once who holds the lock."""
    told: set[str] = set()

    def wait(who: str, seconds: float) -> None:
        if who not in told:
            told.add(who)
            print(f"Waiting for the lock, which is held by {who}.", file=sys.stderr, flush=True)
        time.sleep(seconds)

    return wait
