"""Django's executor, one migration at a time, as the engine's plan says.

The engine decides what is undone, in which order, and when the transaction begins and ends. Here is what only Django
can do: load migrations, build the states of the models, run an operation backwards, send signals.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from django.apps import apps
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import DatabaseError, IntegrityError, transaction
from django.db.migrations import RunSQL
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.migrations.state import ModelState
from django.db.transaction import TransactionManagementError
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import module_has_submodule

from . import archived, guard
from .effects import effects_of_undoing, nested, runs_custom_code
from .facts import capsule, facts
from .states import LazyState

Key = tuple[str, str]


def interruptible(method: Any) -> Any:
    """Lets Ctrl-C and SIGTERM stop a method of the runner on its way."""

    @functools.wraps(method)
    def with_signals(self: Runner, *args: Any) -> Any:
        with self.door.signals.section():
            return method(self, *args)

    return with_signals


class Runner:
    """The engine calls ``facts``, then ``prepare``, ``undo`` for each step, and ``finish``."""

    def __init__(self, connection: Any, door: Any):
        self.connection = connection
        self.door = door
        self.loader = MigrationLoader(None, load=False, ignore_no_migrations=True)
        self.loaded = False
        self.archived: dict[Key, Migration] = {}
        self.states: dict[Key, LazyState] = {}
        self.base = LazyState.empty(set())
        self.plan: list[tuple[Migration, bool]] = []

    def failed(self, error: BaseException) -> None:
        """Keeps an exception for ``--traceback``."""
        self.door.failure = error

    @interruptible
    def facts(self) -> str:
        """What the loader finds, as the engine reads it: one entry for each file, nothing left out or replaced."""
        self._load()
        migrations = [facts(migration) for _, migration in sorted(self.loader.disk_migrations.items())]
        return json.dumps({"migrations": migrations, "unmigrated_apps": sorted(self.loader.unmigrated_apps)})

    @interruptible
    def capsules(self, keys: list[Key]) -> str:
        """What there is to keep of these migrations."""
        self._load()
        unrecorded = {"reason": "it was applied when nothing recorded its SQL"}
        known = [self.loader.disk_migrations[key] for key in keys if key in self.loader.disk_migrations]
        return json.dumps([capsule(migration, unrecorded) for migration in known])

    @interruptible
    def load(self, sources: list[tuple[Key, str]]) -> list[tuple[Key, str]]:
        """Loads archived sources, and returns those that cannot be, each with why."""
        failed = []
        for (app, name), text in sources:
            try:
                self.archived[app, name] = archived.load(app, name, text)
            except archived.NotLoadable as error:
                failed.append(((app, name), str(error)))
        return failed

    def _migration(self, key: Key) -> Migration:
        return self.archived.get(key) or self.loader.disk_migrations[key]

    def _load(self) -> None:
        if not self.loaded:
            self.loader.load_disk()
            self.loaded = True

    @interruptible
    def effects(self, steps: list[Key], kept: list[Key]) -> str:
        """What undoing these steps does to the database, in order."""
        state = self._state_of(kept)
        found = []
        for key in reversed(steps):
            found.append(effects_of_undoing(self._migration(key), state, self.connection))
        return json.dumps([effect for effects in reversed(found) for effect in effects])

    @interruptible
    def prepare(self, steps: list[Key], kept: list[Key]) -> None:
        """Builds the state before each step, and sends ``pre_migrate``."""
        state = self.base = self._state_of(kept)
        self.plan = [(self._migration(key), True) for key in steps]
        for migration, _ in reversed(self.plan):
            self.states[migration.app_label, migration.name] = state
            state = migration.mutate_state(state, preserve=True)
        self._send_pre_migrate(state)

    def _state_of(self, kept: list[Key]) -> LazyState:
        """The state that stays: in the order of the graph, so that it holds exactly what the database holds."""
        self._load()
        state = LazyState.empty(self.loader.unmigrated_apps)
        for key in kept:
            self._migration(key).mutate_state(state, preserve=False)
        return state

    def _send_pre_migrate(self, state: LazyState) -> None:
        for app_config in apps.get_app_configs():
            if module_has_submodule(app_config.module, "management"):
                import_module(".management", app_config.name)
        with guard.suspended():
            emit_pre_migrate_signal(
                self.door.verbosity,
                False,
                self.connection.alias,
                stdout=sys.stderr,
                apps=SimpleLazyObject(lambda: state.apps),
                plan=self.plan,
            )

    @interruptible
    def undo(self, app: str, name: str) -> None:
        """Runs one migration backwards. Its row is the engine's business."""
        migration = self._migration((app, name))
        state = self.states.pop((app, name))
        atomic = migration.atomic or self.connection.in_atomic_block
        with (
            _careful_statements(self.connection),
            _exact_models(migration),
            _plain_indexes(migration, self.connection),
            self._schema_editor(atomic) as editor,
        ):
            migration.unapply(state, editor)
        if self.connection.in_atomic_block and self.connection.vendor == "postgresql":
            # Deferred constraints: what is violated is found with the step that did it, not at the commit.
            self.connection.check_constraints()

    @contextlib.contextmanager
    def _schema_editor(self, atomic: bool) -> Iterator[Any]:
        """Django's schema editor. SQLite's forgets its savepoint when foreign keys are violated at its end."""
        depth = len(self.connection.savepoint_ids)
        editor = self.connection.schema_editor(atomic=atomic)
        try:
            with editor:
                yield editor
        except BaseException as error:
            if len(self.connection.savepoint_ids) > depth:
                editor.atomic.__exit__(type(error), error, error.__traceback__)
            if isinstance(error, TransactionManagementError) and error.__context__ is not None:
                # The check at the editor's end stumbles over the transaction that the first failure broke.
                raise error.__context__ from None
            raise

    @interruptible
    def apply(self, app: str, name: str) -> None:
        """Applies one migration again, as ``migrate`` does it: for a rehearsal."""
        executor = MigrationExecutor(self.connection)
        executor.migrate(None, plan=[(executor.loader.graph.nodes[app, name], False)])

    @interruptible
    def finish(self) -> list[str]:
        """Sends ``post_migrate`` with the models that are left; what its receivers cannot do is said, not fatal."""
        state = self.base
        state.clear_delayed_apps_cache()
        _render_real_apps_again(state)
        try:
            with guard.suspended(), transaction.atomic(using=self.connection.alias):
                emit_post_migrate_signal(
                    self.door.verbosity,
                    False,
                    self.connection.alias,
                    stdout=sys.stderr,
                    apps=state.apps,
                    plan=self.plan,
                )
        except Exception as error:
            self.failed(error)
            return [
                f"a receiver of post_migrate failed ({type(error).__name__}): the migrations are undone, but content "
                "types and permissions may lack rows until the next `migrate`"
            ]
        return []


@contextlib.contextmanager
def _exact_models(migration: Migration) -> Iterator[None]:
    """Lets code of the project see every relation exactly, as ``RunPython`` does it forwards and forgets backwards."""
    with contextlib.ExitStack() as stack:
        for operation, _ in nested(migration.operations):
            if runs_custom_code(operation) and not isinstance(operation, RunSQL):
                operation.database_backwards = _with_exact_models(operation.database_backwards)
                stack.callback(delattr, operation, "database_backwards")
        yield


def _with_exact_models(backwards: Any) -> Any:
    def database_backwards(app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        from_state.clear_delayed_apps_cache()
        backwards(app_label, schema_editor, from_state, to_state)

    return database_backwards


@contextlib.contextmanager
def _plain_indexes(migration: Migration, connection: Any) -> Iterator[None]:
    """Inside a transaction the operations of concurrent indexes do what the plain ones do."""
    with contextlib.ExitStack() as stack:
        for operation, _ in nested(migration.operations):
            if connection.in_atomic_block and hasattr(operation, "_ensure_not_in_transaction"):
                operation._ensure_not_in_transaction = lambda schema_editor: None
                stack.callback(delattr, operation, "_ensure_not_in_transaction")
        yield


COMMENTS = re.compile(r"^(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
GAP = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)"
CONCURRENT_INDEX = re.compile(
    rf"((?:^|;){GAP}*(?:CREATE{GAP}+(?:UNIQUE{GAP}+)?INDEX|DROP{GAP}+INDEX)){GAP}+CONCURRENTLY\b",
    re.IGNORECASE | re.DOTALL,
)


def _render_real_apps_again(state: LazyState) -> None:
    """Models of apps without migrations get their relations to the final state, as ``migrate`` does it."""
    with state.apps.bulk_update():
        keys = [(model.app_label, model.name_lower) for model in state.apps.real_models]
        for key in keys:
            state.apps.unregister_model(*key)
        state.apps.render_multiple([ModelState.from_model(apps.get_model(*key)) for key in keys])


SCHEMA_STATEMENTS = ("ALTER", "DROP", "CREATE", "TRUNCATE", "COMMENT", "SET CONSTRAINTS", "SAVEPOINT", "RELEASE")


@contextlib.contextmanager
def _careful_statements(connection: Any) -> Iterator[None]:
    """Lets schema changes follow data changes inside one transaction, on both databases."""
    wrapper = {"postgresql": _FlushConstraints, "sqlite": _LegacyRename}[connection.vendor](connection)
    with connection.execute_wrapper(wrapper):
        yield


class _FlushConstraints:
    """PostgreSQL refuses to alter a table with pending trigger events: check deferred constraints before."""

    def __init__(self, connection: Any):
        self.connection = connection
        self.pending = True

    def __call__(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if self.connection.in_atomic_block and CONCURRENT_INDEX.match(str(sql)):
            sql = CONCURRENT_INDEX.sub(r"\1", str(sql))
        statement = COMMENTS.sub("", str(sql)).upper()
        if not statement.startswith(SCHEMA_STATEMENTS):
            self.pending = self.pending or not statement.startswith("SELECT")
        elif self.pending and self.connection.in_atomic_block and statement.startswith(SCHEMA_STATEMENTS[:5]):
            return self._after_flush(execute, sql, params, many, context)
        return execute(sql, params, many, context)

    def _after_flush(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        violated = self._flush(execute, context)
        self.pending = violated is not None
        try:
            return execute(sql, params, many, context)
        except DatabaseError as error:
            if violated is None or "pending trigger events" not in str(error):
                raise
            raise violated from None

    def _flush(self, execute: Any, context: Any) -> IntegrityError | None:
        """Checks what is deferred. What does not hold yet may come to hold: it stays deferred, as Django has it."""
        flush = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
        try:
            execute(f"SAVEPOINT flush_constraints; {flush}; RELEASE flush_constraints", None, False, context)
        except IntegrityError as error:
            execute("ROLLBACK TO flush_constraints; RELEASE flush_constraints", None, False, context)
            return error
        return None


class _LegacyRename:
    """SQLite refuses to rename a remade table while a view names it, unless it renames the old way."""

    def __init__(self, connection: Any):
        self.connection = connection

    def __call__(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if not str(sql).startswith('ALTER TABLE "new__'):
            return execute(sql, params, many, context)
        execute("PRAGMA legacy_alter_table = ON", None, False, context)
        try:
            return execute(sql, params, many, context)
        finally:
            execute("PRAGMA legacy_alter_table = OFF", None, False, context)
