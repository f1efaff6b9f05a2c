"""The SQL that undoes a migration, recorded while ``migrate`` applies it, for a rollback without Python.

The operations of each migration are run backwards with a schema editor that collects statements. That happens when the
next migration begins, or at the end: the database is at the state after the migration only then, and Django asks it for
the names of constraints. The states are those that ``migrate`` has at hand. A failure here never makes ``migrate``
fail: it becomes the reason why there is no SQL.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from django.contrib.contenttypes.management import RenameContentType
from django.db import router
from django.db.migrations import RunPython, RunSQL
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from .collecting import Collector, collector
from .documents import Effect, Key, Recording
from .effects import Step, effects_of_steps
from .operations import describe, nested, reverse_sql, runs_custom_code
from .statements import may_change_schema, split
from .states import LazyState, Models, Renderer, Version

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

Apply = Callable[..., ProjectState]

# How many models stay rendered only for the recording of one migration; each takes some 64 kB.
MOST_MODELS = 1_000


class Recorder:
    """Watches one run of ``migrate`` on one database."""

    def __init__(self, connection: BaseDatabaseWrapper):
        self.connection = connection
        self.recordings: dict[Key, Recording] = {}
        self._watched: list[tuple[weakref.ref[Migration], Apply | None]] = []
        self._last: _Run | None = None
        self._is_over = False

    def watch(self, plan: Iterable[tuple[Migration, bool]]) -> None:
        """Records what the plan applies from now on.

        Migrations refer to the recorder, and it refers to them only weakly: when a run fails, both go with its plan.
        """
        for migration, backwards in plan:
            if not backwards:
                reference, before = weakref.ref(migration), vars(migration).get("apply")
                migration.apply = functools.partial(self._apply, reference, before)  # type: ignore[method-assign]
                self._watched.append((reference, before))

    def finish(self) -> dict[Key, Recording]:
        """What is recorded of the migrations that were applied."""
        self._is_over = True
        for reference, before in self._watched:
            if (migration := reference()) is not None:
                _restore(migration, "apply", before)
        self._watched.clear()
        with contextlib.suppress(Exception):
            if self._last is not None and self._last.is_applied(self.connection):
                self._record_last()
        self._last = None
        return self.recordings

    def _apply(
        self,
        reference: weakref.ref[Migration],
        before: Apply | None,
        state: ProjectState,
        schema_editor: BaseDatabaseSchemaEditor,
        collect_sql: bool = False,
    ) -> ProjectState:
        migration = reference()
        assert migration is not None, "this is called as a method of the migration"
        apply = before or functools.partial(type(migration).apply, migration)
        if self._is_over:
            return apply(state, schema_editor, collect_sql)
        self._record_last()
        run = _Run(migration)
        with run.watched():
            run.state = apply(state, schema_editor, collect_sql)
        self._last = run
        return run.state

    def _record_last(self) -> None:
        """Records the migration that was applied last: the database is at the state after it."""
        last, self._last = self._last, None
        if last is not None:
            self.recordings[last.key] = _recording(last, self.connection)


class _Run:
    """The operations of a migration that ran, and the states between them."""

    def __init__(self, migration: Migration):
        self.key: Key = (migration.app_label, migration.name)
        self.operations = list(migration.operations)
        self.state = ProjectState()
        """The state after the last operation, until the next migration begins."""
        self._rows: set[Key] = {self.key, *((app, name) for app, name in migration.replaces)}
        self._ran: list[Operation] = []
        self._befores: list[ProjectState] = []
        self._models: set[int] = set()
        self._held = 0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Notes what runs meanwhile."""
        with contextlib.ExitStack() as stack:
            for operation in {id(operation): operation for operation in self.operations}.values():
                with contextlib.suppress(Exception):  # an operation that takes no attributes is missed, and found out
                    before = vars(operation).get("database_forwards")
                    operation.database_forwards = self._noting(operation)  # type: ignore[method-assign]
                    stack.callback(_restore, operation, "database_forwards", before)
            yield

    def _noting(self, operation: Operation) -> Callable[..., None]:
        forwards = operation.database_forwards

        def database_forwards(
            app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
        ) -> None:
            with contextlib.suppress(Exception):
                self._note(operation, from_state)
            forwards(app_label, schema_editor, from_state, to_state)

        return database_forwards

    def _note(self, operation: Operation, before: ProjectState) -> None:
        """Holds the state before the operation, unless the states of a migration hold too many rendered models."""
        if self._held <= MOST_MODELS:
            models = {id(model) for models in before.apps.all_models.values() for model in models.values()}
            self._held += len(models - self._models) if self._befores else 0
            self._models = models
            self._befores.append(before)
            if self._held > MOST_MODELS:
                del self._befores[1:]
                del self._befores[0].apps
        self._ran.append(operation)

    @functools.cached_property
    def steps(self) -> list[Step]:
        """The operations, each with the states before and after it."""
        states: list[ProjectState] = [*self._befores, self.state]
        if self._held > MOST_MODELS:
            states = [LazyState(Models(states[0].models), states[0].real_apps, Renderer(), Version())]
            for operation in self._ran:
                states.append(states[-1].clone())
                operation.state_forwards(self.key[0], states[-1])
        return [(operation, *pair) for operation, pair in zip(self._ran, pairwise(states), strict=True)]

    def is_applied(self, connection: BaseDatabaseWrapper) -> bool:
        """Whether it has its row: after ``apply`` the end of the transaction can fail."""
        return not self._rows.isdisjoint(MigrationRecorder(connection).applied_migrations())

    def obstacle(self, connection: BaseDatabaseWrapper) -> str | None:
        """Why no SQL can undo it, if its operations tell."""
        if self._ran != self.operations:
            return "its operations did not run one after another"
        for operation, place in nested(self.operations):
            if not operation.reversible:
                return f"{describe(operation)} ({place}) cannot be undone"
            if _needs_python(operation, self.key[0], connection):
                return f"{describe(operation)} ({place}) runs code of the project"
        return None


def _restore(instance: object, name: str, before: object) -> None:
    """Gives an instance the attribute back that it had of its own; ``None`` if it had none."""
    if before is None:
        vars(instance).pop(name, None)
    else:
        setattr(instance, name, before)


class _Obstacle(Exception):
    """Why no SQL can undo the migration."""


def _recording(run: _Run, connection: BaseDatabaseWrapper) -> Recording:
    effects: list[Effect] | None = None
    try:
        # `contenttypes` puts operations into a migration that its file does not have.
        steps = [step for step in run.steps if not isinstance(step[0], RenameContentType)]
        effects = effects_of_steps(run.key, steps, connection)
        if obstacle := run.obstacle(connection):
            raise _Obstacle(obstacle)
        return {"statements": _undone(run, connection), "effects": effects}
    except _Obstacle as obstacle:
        return {"reason": str(obstacle), "effects": effects}
    except Exception as error:
        sentence = " ".join(str(error).split()).rstrip(".")
        return {"reason": f"could not be recorded: {type(error).__name__}: {sentence}", "effects": effects}


def _needs_python(operation: Operation, app_label: str, connection: BaseDatabaseWrapper) -> bool:
    """Whether undoing it needs Python: code of the project that Django cannot turn into SQL."""
    if isinstance(operation, RenameContentType):
        return False
    if isinstance(operation, RunSQL) and _has_methods_of(RunSQL, operation):
        return False
    if isinstance(operation, RunPython) and _has_methods_of(RunPython, operation):
        return router.allow_migrate(connection.alias, app_label, **operation.hints) and runs_custom_code(operation)
    return not type(operation).__module__.startswith("django.")


def _has_methods_of(kind: type[Operation], operation: Operation) -> bool:
    """Whether the operation, which may be of a project's own class, is undone by Django's own methods."""
    names = ("database_backwards", "_run_sql")
    return all(getattr(type(operation), name, None) is getattr(kind, name, None) for name in names)


def _undone(run: _Run, connection: BaseDatabaseWrapper) -> list[str]:
    """The statements of all operations, run backwards from the last to the first."""
    editor = collector(connection)
    for operation, before, after in reversed(run.steps):
        with _unchanged(operation):
            if isinstance(operation, RenameContentType):
                _rename_content_type(operation, run.key[0], editor, after)
            elif not isinstance(operation, RunPython):
                editor.catalogue.sql_of_project += _schema_statements(operation)
                operation.database_backwards(run.key[0], editor, after, before)
    statements = editor.statements()
    if editor.catalogue.obstacles:
        raise _Obstacle(editor.catalogue.obstacles[0])
    return statements


@contextlib.contextmanager
def _unchanged(operation: Operation) -> Iterator[None]:
    """Restores operations after a failure: some swap their names to run backwards, and all loaders share them."""
    before = [(each, dict(vars(each))) for each, _ in nested([operation])]
    try:
        yield
    except BaseException:
        for each, attributes in before:
            vars(each).clear()
            vars(each).update(attributes)
        raise


def _rename_content_type(operation: RenameContentType, app_label: str, editor: Collector, state: ProjectState) -> None:
    """Collects what its reverse does: it renames, unless the old name is taken."""
    model, alias = state.apps.get_model("contenttypes", "ContentType"), editor.connection.alias
    if router.allow_migrate(alias, app_label, **operation.hints) and router.allow_migrate_model(alias, model):
        table = editor.quote_name(model._meta.db_table)
        old, new = ([operation.app_label, name] for name in (operation.old_model, operation.new_model))
        taken = f"SELECT 1 FROM {table} WHERE app_label = %s AND model = %s"
        update = f"UPDATE {table} SET model = %s WHERE app_label = %s AND model = %s AND NOT EXISTS ({taken})"
        editor.execute(update, [operation.old_model, *new, *old])


def _schema_statements(operation: Operation) -> list[str]:
    """The statements of the project that run when the operation is undone, unless they only change rows."""
    texts = [sql for each, _ in nested([operation]) if isinstance(each, RunSQL) for sql in reverse_sql(each)]
    return [statement for text in texts for statement in split(text) if may_change_schema(statement)]
