"""What the engine asks of Django's migrations: their facts, their effects, and to undo them one at a time.

The engine decides what is undone, in which order, and when the transaction begins and ends. Here is what only Django
can do: load migrations, build the states of the models, run an operation backwards, send signals.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar, cast

from django.apps import apps
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.migrations.state import ModelState
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import module_has_submodule

from . import archived
from .documents import Key, ProjectFacts, Recording
from .effects import effects_of_undoing
from .facts import capsule, facts
from .interrupts import Interrupts
from .states import LazyState
from .suspension import suspended
from .undoing import undo

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

UNRECORDED: Recording = {"reason": "it was applied when nothing recorded its SQL"}


class Command(Protocol):
    """What a runner has to know of the command that it works for."""

    verbosity: int
    interrupts: Interrupts
    failure: BaseException | None


def interruptible(
    method: Callable[Concatenate[Runner, Arguments], Result],
) -> Callable[Concatenate[Runner, Arguments], Result]:
    """Lets Ctrl-C and SIGTERM stop a method of the runner on its way."""

    @functools.wraps(method)
    def in_section(self: Runner, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with self.command.interrupts.section():
            return method(self, *args, **kwargs)

    return in_section


class Runner:
    """The engine calls ``facts``, then ``prepare``, ``undo`` for each step, and ``finish``."""

    def __init__(self, connection: BaseDatabaseWrapper, command: Command):
        self.connection = connection
        self.command = command
        self.loader = MigrationLoader(None, load=False, ignore_no_migrations=True)
        self.loaded = False
        self.archived: dict[Key, Migration] = {}
        self.states: dict[Key, LazyState] = {}
        self.base = LazyState.empty(set())
        self.plan: list[tuple[Migration, bool]] = []

    def failed(self, error: BaseException) -> None:
        """Remembers an exception for ``--traceback``."""
        self.command.failure = error

    @interruptible
    def facts(self) -> str:
        """What the loader finds: one entry for each file, nothing left out or replaced."""
        self._load()
        migrations = [facts(migration) for _, migration in sorted(self.loader.disk_migrations.items())]
        found = ProjectFacts(migrations=migrations, unmigrated_apps=sorted(self.loader.unmigrated_apps))
        return json.dumps(found)

    @interruptible
    def capsules(self, keys: Sequence[Key]) -> str:
        """What there is to keep of these migrations."""
        self._load()
        known = [self.loader.disk_migrations[key] for key in keys if key in self.loader.disk_migrations]
        return json.dumps([capsule(migration, UNRECORDED) for migration in known])

    @interruptible
    def load(self, sources: Sequence[tuple[Key, str]]) -> list[tuple[Key, str]]:
        """Loads archived sources, and returns those that cannot be loaded, each with the reason."""
        failed = []
        for (app, name), text in sources:
            try:
                self.archived[app, name] = archived.load(app, name, text)
            except archived.NotLoadable as error:
                failed.append(((app, name), str(error)))
        return failed

    @interruptible
    def effects(self, steps: Sequence[Key], staying: Sequence[Key]) -> str:
        """What undoing these steps does to the database, in order."""
        state = self._state_of(staying)
        found = []
        for key in reversed(steps):
            found.append(effects_of_undoing(self._migration(key), state, self.connection))
        return json.dumps([effect for effects in reversed(found) for effect in effects])

    @interruptible
    def prepare(self, steps: Sequence[Key], staying: Sequence[Key]) -> None:
        """Builds the state before each step, and sends ``pre_migrate``."""
        state = self.base = self._state_of(staying)
        self.plan = [(self._migration(key), True) for key in steps]
        for migration, _ in reversed(self.plan):
            self.states[migration.app_label, migration.name] = state
            state = cast(LazyState, migration.mutate_state(state, preserve=True))
        self._send_pre_migrate(state)

    @interruptible
    def undo(self, app: str, name: str) -> None:
        """Runs one migration backwards. The engine removes its row."""
        undo(self._migration((app, name)), self.states.pop((app, name)), self.connection)

    @interruptible
    def apply(self, app: str, name: str) -> None:
        """Applies one migration again, as ``migrate`` does it: for a rehearsal."""
        executor = MigrationExecutor(self.connection)
        executor.migrate(None, plan=[(executor.loader.graph.nodes[app, name], False)])

    @interruptible
    def finish(self) -> list[str]:
        """Sends ``post_migrate`` with the models that are left. A receiver that fails gives a warning."""
        self.base.clear_delayed_apps_cache()
        _render_real_apps_again(self.base)
        try:
            self._send_post_migrate()
        except Exception as error:
            self.failed(error)
            return [
                f"a receiver of post_migrate failed ({type(error).__name__}): the migrations are undone, but content "
                "types and permissions may lack rows until the next `migrate`"
            ]
        return []

    def _load(self) -> None:
        if not self.loaded:
            self.loader.load_disk()
            self.loaded = True

    def _migration(self, key: Key) -> Migration:
        return self.archived.get(key) or self.loader.disk_migrations[key]

    def _state_of(self, staying: Sequence[Key]) -> LazyState:
        """The state of the migrations that stay, in the order of the graph: it is exactly that of the database."""
        self._load()
        state = LazyState.empty(self.loader.unmigrated_apps)
        for key in staying:
            self._migration(key).mutate_state(state, preserve=False)
        return state

    def _send_pre_migrate(self, state: LazyState) -> None:
        for app_config in apps.get_app_configs():
            if module_has_submodule(app_config.module, "management"):
                import_module(".management", app_config.name)
        with suspended():
            emit_pre_migrate_signal(
                self.command.verbosity,
                False,
                self.connection.alias,
                stdout=sys.stderr,
                apps=SimpleLazyObject(lambda: state.apps),
                plan=self.plan,
            )

    def _send_post_migrate(self) -> None:
        with suspended(), transaction.atomic(using=self.connection.alias):
            emit_post_migrate_signal(
                self.command.verbosity,
                False,
                self.connection.alias,
                stdout=sys.stderr,
                apps=self.base.apps,
                plan=self.plan,
            )


def _render_real_apps_again(state: LazyState) -> None:
    """Relates the models of apps without migrations to the final state, as ``migrate`` does it."""
    with state.apps.bulk_update():
        keys = [(model.app_label, model.name_lower) for model in state.apps.real_models]
        for key in keys:
            state.apps.unregister_model(*key)
        state.apps.render_multiple([ModelState.from_model(apps.get_model(*key)) for key in keys])
