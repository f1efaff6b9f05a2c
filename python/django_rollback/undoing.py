"""Undoes one migration with Django's own code, inside the transaction that the engine began."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from django.db.migrations import RunSQL
from django.db.migrations.migration import Migration
from django.db.transaction import TransactionManagementError

from . import dialects
from .operations import nested, runs_custom_code
from .states import LazyState

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

    Backwards = Callable[[str, BaseDatabaseSchemaEditor, LazyState, LazyState], None]


def undo(migration: Migration, state: LazyState, connection: BaseDatabaseWrapper) -> None:
    """Runs a migration backwards; ``state`` is the one before it."""
    dialect = dialects.of(connection)
    with (
        dialect.careful(connection),
        _exact_models(migration),
        _plain_indexes(migration, connection),
        _schema_editor(connection, atomic=migration.atomic or connection.in_atomic_block) as editor,
    ):
        migration.unapply(state, editor)
    dialect.check_step(connection)


@contextlib.contextmanager
def _exact_models(migration: Migration) -> Iterator[None]:
    """Lets code of the project see every relation exactly, as Django's ``RunPython`` does forwards, not backwards."""
    with contextlib.ExitStack() as stack:
        for operation, _ in nested(migration.operations):
            if runs_custom_code(operation) and not isinstance(operation, RunSQL):
                backwards = _with_exact_models(operation.database_backwards)
                _replace(stack, operation, "database_backwards", backwards)
        yield


def _with_exact_models(backwards: Backwards) -> Backwards:
    def database_backwards(
        app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: LazyState, to_state: LazyState
    ) -> None:
        from_state.clear_delayed_apps_cache()
        backwards(app_label, schema_editor, from_state, to_state)

    return database_backwards


@contextlib.contextmanager
def _plain_indexes(migration: Migration, connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Lets operations of concurrent indexes run inside a transaction, in which they make plain indexes."""
    with contextlib.ExitStack() as stack:
        for operation, _ in nested(migration.operations):
            if connection.in_atomic_block and hasattr(operation, "_ensure_not_in_transaction"):
                _replace(stack, operation, "_ensure_not_in_transaction", lambda schema_editor: None)
        yield


def _replace(stack: contextlib.ExitStack, instance: object, name: str, method: Callable[..., None]) -> None:
    """Gives one instance another method, until the stack unwinds."""
    setattr(instance, name, method)
    stack.callback(delattr, instance, name)


@contextlib.contextmanager
def _schema_editor(connection: BaseDatabaseWrapper, atomic: bool) -> Iterator[BaseDatabaseSchemaEditor]:
    """Django's schema editor. SQLite's forgets its savepoint if foreign keys are violated at its end."""
    depth = len(connection.savepoint_ids)
    editor = connection.schema_editor(atomic=atomic)
    try:
        with editor:
            yield editor
    except BaseException as error:
        if len(connection.savepoint_ids) > depth:
            editor.atomic.__exit__(type(error), error, error.__traceback__)
        if isinstance(error, TransactionManagementError) and error.__context__ is not None:
            # The check at the editor's end stumbles over the transaction that the first failure broke.
            raise error.__context__ from None
        raise
