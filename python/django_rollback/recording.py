"""The SQL that undoes a migration, recorded while ``migrate`` applies it, for a rollback without Python.

The operations of each migration are run backwards with a schema editor that collects statements. That happens when the
next migration begins, or at the end: the database is at the state after the migration only then, and Django asks it for
the names of constraints. The states are those that ``migrate`` has at hand. Nothing that fails here is a failure of
``migrate``: it becomes the reason why there is no SQL.
"""

from __future__ import annotations

import contextlib
import functools
import re
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from django.contrib.contenttypes.management import RenameContentType
from django.db import router, transaction
from django.db.backends.ddl_references import Statement
from django.db.backends.utils import strip_quotes
from django.db.migrations import RunPython, RunSQL
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Index

from .effects import Effect, Step, describe, effects_of_steps, nested, runs_custom_code
from .states import LazyState, Models, Renderer, Version

Key = tuple[str, str]
# `statements`, or else the `reason` why there are none; and `effects`.
Recording = dict[str, Any]

# How many models are kept rendered only for the recording of one migration; each takes some 64 kB.
MOST_MODELS = 1_000
# Default functions that return the same each time.
CONSTANT = (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)


class Recorder:
    """Watches one run of ``migrate`` on one database."""

    def __init__(self, connection: Any):
        self.connection = connection
        self.recordings: dict[Key, Recording] = {}
        self._watched: list[tuple[Any, Any]] = []
        self._last: _Run | None = None
        self._is_over = False

    def watch(self, plan: Iterable[tuple[Any, bool]]) -> None:
        """Records what the plan applies from now on.

        Migrations hold the recorder, and it holds none of them: the end of a run that fails is that of its migrations.
        """
        for migration, backwards in plan:
            if not backwards:
                reference, before = weakref.ref(migration), vars(migration).get("apply")
                migration.apply = functools.partial(self._apply, reference, before)
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

    def _apply(self, reference: Any, before: Any, *args: Any, **kwargs: Any) -> Any:
        migration = reference()
        apply = before or functools.partial(type(migration).apply, migration)
        if self._is_over:
            return apply(*args, **kwargs)
        self._record_last()
        run = _Run(migration)
        with run.watched():
            run.state = apply(*args, **kwargs)
        self._last = run
        return run.state

    def _record_last(self) -> None:
        """Records the migration that was applied last: the database is at the state after it."""
        last, self._last = self._last, None
        if last is not None:
            self.recordings[last.key] = _recording(last, self.connection)


class _Run:
    """The operations of a migration that ran, and the states between them."""

    def __init__(self, migration: Any):
        self.key: Key = (migration.app_label, migration.name)
        self.operations = list(migration.operations)
        self.state: Any = None
        """The state after the last operation, until the next migration begins."""
        self._rows: set[Key] = {self.key, *map(tuple, migration.replaces)}
        self._ran: list[Any] = []
        self._befores: list[Any] = []
        self._models: set[int] = set()
        self._kept = 0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Notes what runs meanwhile."""
        with contextlib.ExitStack() as stack:
            for operation in {id(operation): operation for operation in self.operations}.values():
                with contextlib.suppress(Exception):  # one that takes no attributes will be missed
                    before = vars(operation).get("database_forwards")
                    operation.database_forwards = self._noting(operation)
                    stack.callback(_restore, operation, "database_forwards", before)
            yield

    def _noting(self, operation: Any) -> Any:
        forwards = operation.database_forwards

        def database_forwards(app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
            with contextlib.suppress(Exception):
                self._note(operation, from_state)
            forwards(app_label, schema_editor, from_state, to_state)

        return database_forwards

    def _note(self, operation: Any, before: Any) -> None:
        """Keeps the state before the operation, unless a migration keeps too many rendered models alive with them."""
        if self._kept <= MOST_MODELS:
            models = {id(model) for models in before.apps.all_models.values() for model in models.values()}
            self._kept += len(models - self._models) if self._befores else 0
            self._models = models
            self._befores.append(before)
            if self._kept > MOST_MODELS:
                del self._befores[1:]
                del self._befores[0].apps
        self._ran.append(operation)

    @functools.cached_property
    def steps(self) -> list[Step]:
        """The operations, each with the states before and after it."""
        states = [*self._befores, self.state]
        if self._kept > MOST_MODELS:
            states = [LazyState(Models(states[0].models), states[0].real_apps, Renderer(), Version())]
            for operation in self._ran:
                states.append(states[-1].clone())
                operation.state_forwards(self.key[0], states[-1])
        return [(operation, *pair) for operation, pair in zip(self._ran, pairwise(states), strict=True)]

    def is_applied(self, connection: Any) -> bool:
        """Whether it has its row: after ``apply`` the end of the transaction can fail."""
        return not self._rows.isdisjoint(MigrationRecorder(connection).applied_migrations())

    def obstacle(self, connection: Any) -> str | None:
        """Why no SQL can undo it, as far as its operations say it."""
        if self._ran != self.operations:
            return "its operations did not run one after another"
        for operation, place in nested(self.operations):
            if not operation.reversible:
                return f"{describe(operation)} ({place}) cannot be undone"
            if _needs_python(operation, self.key[0], connection):
                return f"{describe(operation)} ({place}) runs code of the project"
        return None


def _restore(instance: Any, name: str, before: Any) -> None:
    """Gives an instance its attribute back; it had none of its own where there is nothing to give."""
    if before is None:
        vars(instance).pop(name, None)
    else:
        setattr(instance, name, before)


class _Obstacle(Exception):
    """No SQL is right; the text says why."""


def _recording(run: _Run, connection: Any) -> Recording:
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


def _needs_python(operation: Any, app_label: str, connection: Any) -> bool:
    """Whether undoing it takes more than what Django's own code says in SQL."""
    if isinstance(operation, RenameContentType):
        return False
    for kind in (RunSQL, RunPython):
        if isinstance(operation, kind) and type(operation).database_backwards is kind.database_backwards:
            if kind is RunSQL:
                return type(operation)._run_sql is not RunSQL._run_sql
            if not router.allow_migrate(connection.alias, app_label, **operation.hints):
                return False
            return runs_custom_code(operation)
    return not type(operation).__module__.startswith("django.")


def _undone(run: _Run, connection: Any) -> list[str]:
    """The statements of all operations, run backwards from the last to the first."""
    editor = _collector(connection.SchemaEditorClass)(connection)
    for operation, before, after in reversed(run.steps):
        with _unchanged(operation):
            if isinstance(operation, RenameContentType):
                _rename_content_type(operation, run.key[0], editor, after)
            elif not isinstance(operation, RunPython):
                editor.catalogue.sql_of_project += _schema_statements(operation)
                operation.database_backwards(run.key[0], editor, after, before)
    for sql in editor.deferred_sql:
        editor.execute(sql, None)
    if editor.catalogue.obstacles:
        raise _Obstacle(editor.catalogue.obstacles[0])
    return editor.collected_sql


@contextlib.contextmanager
def _unchanged(operation: Any) -> Iterator[None]:
    """Some operations swap their names to run backwards, and every loader of the process has the same ones."""
    before = [(each, dict(vars(each))) for each, _ in nested([operation])]
    try:
        yield
    except BaseException:
        for each, attributes in before:
            vars(each).clear()
            vars(each).update(attributes)
        raise


def _rename_content_type(operation: RenameContentType, app_label: str, editor: Any, state: Any) -> None:
    """What its reverse does: nothing, where the old name is taken."""
    model, alias = state.apps.get_model("contenttypes", "ContentType"), editor.connection.alias
    if router.allow_migrate(alias, app_label, **operation.hints) and router.allow_migrate_model(alias, model):
        table = editor.quote_name(model._meta.db_table)
        old, new = ([operation.app_label, name] for name in (operation.old_model, operation.new_model))
        taken = f"SELECT 1 FROM {table} WHERE app_label = %s AND model = %s"
        update = f"UPDATE {table} SET model = %s WHERE app_label = %s AND model = %s AND NOT EXISTS ({taken})"
        editor.execute(update, [operation.old_model, *new, *old])


@functools.cache
def _collector(editor_class: Any) -> Any:
    """The schema editor of a database, as one that collects."""
    return type("Collector", (_Collector, editor_class), {})


class _Collector:
    """Collects each statement as the database would get it, alone and with its values.

    What it cannot know is noted and not raised, so that operations leave the models as they found them.
    """

    # Django 6.1 follows the names of tables by itself; the catalogue follows them all, in every version.
    collected_table_renames = property(lambda self: {}, lambda self, renames: None)

    def __init__(self, connection: Any):
        super().__init__(_Connection(connection), collect_sql=True)
        self.catalogue: _Catalogue = self.connection.introspection
        self.is_postgresql = connection.vendor == "postgresql"
        self.deferred_sql = []
        self.sql_create_index_concurrently = self.sql_create_index
        self.sql_delete_index_concurrently = self.sql_delete_index

    def execute(self, sql: Any, params: Any = ()) -> None:
        if isinstance(sql, Statement):
            self.catalogue.follow(sql)
        text = self._with_values(str(sql), params)
        spans = list(_spans(text))
        if not self.is_postgresql:
            # SQLite takes one statement at a time: a semicolon inside is that of a trigger.
            spans = [(spans[0][0], spans[-1][1])] if spans else []
        elif len(spans) > 1 and BODY_WITHOUT_QUOTES.search(text):
            self.catalogue.obstacles.append("it has SQL with BEGIN ATOMIC among other statements")
        self.collected_sql += [text[start:end] for start, end in spans]

    def _with_values(self, sql: str, params: Any) -> str:
        """What Django and the driver make of a text and its values."""
        if params is None or (not params and "%" not in sql):
            return sql
        named = isinstance(params, Mapping)
        if self.is_postgresql:
            return self.connection.ops.compose_sql(sql, params if named else [self._known(each) for each in params])
        if named:
            return sql % {name: self.quote_value(value) for name, value in params.items()}
        parts = [part.replace("%%", "%") for part in re.split("(?<!%)%s", sql)]
        values = [*(self.quote_value(value) for value in params), ""]
        return "".join(part + value for part, value in zip(parts, values, strict=True))

    def quote_value(self, value: Any) -> str:
        return super().quote_value(self._known(value))

    def effective_default(self, field: Any) -> Any:
        return _Computed(field) if _is_computed(field) else super().effective_default(field)

    def _known(self, value: Any) -> Any:
        if isinstance(value, _Computed):
            self.catalogue.obstacles.append(f"the default of {value.field} is computed when it is undone")
            return None
        return value

    def create_model(self, model: Any) -> None:
        self.catalogue.tables[model._meta.db_table] = _Table(None)
        super().create_model(model)

    def delete_model(self, model: Any, **kwargs: Any) -> None:
        super().delete_model(model, **kwargs)
        self.catalogue.tables[model._meta.db_table] = _Table(None)

    def alter_db_table(self, model: Any, old_db_table: str, new_db_table: str, **kwargs: Any) -> None:
        before = len(self.collected_sql)
        super().alter_db_table(model, old_db_table, new_db_table, **kwargs)
        if len(self.collected_sql) > before:
            self.catalogue.rename_table(old_db_table, new_db_table)

    def add_field(self, model: Any, field: Any) -> None:
        super().add_field(model, field)
        if field.column:
            self.catalogue.table(model._meta.db_table).made_columns.add(field.column)

    def remove_field(self, model: Any, field: Any) -> None:
        super().remove_field(model, field)
        if field.column:
            self.catalogue.table(model._meta.db_table).rename_column(field.column, None)

    def _rename_field_sql(self, table: str, old_field: Any, new_field: Any, new_type: Any) -> str:
        self.catalogue.table(table).rename_column(old_field.column, new_field.column)
        return super()._rename_field_sql(table, old_field, new_field, new_type)

    def _constraint_names(self, model: Any, column_names: Any = None, **kinds: Any) -> list[str]:
        self._look_up(model._meta.db_table, column_names)
        return super()._constraint_names(model, column_names, **kinds)

    def _get_sequence_name(self, table: str, column: str) -> str | None:
        self._look_up(table, [column])
        return super()._get_sequence_name(table, column)

    def _look_up(self, name: str, columns: list[str] | None) -> None:
        """PostgreSQL itself names what is made with a table or a column; on SQLite only statements name things."""
        table = self.catalogue.table(name)
        made = table.made_columns if columns is None else table.made_columns.issuperset(columns)
        if self.is_postgresql and (made or not table.live):
            self.catalogue.obstacles.append(f"undoing it makes and then alters the same in {name}")

    def _is_collation_deterministic(self, collation_name: str) -> Any:
        found = super()._is_collation_deterministic(collation_name)
        if found is None:
            self.catalogue.obstacles.append(f"undoing it makes and then uses the collation {collation_name}")
        return found


@dataclass(frozen=True, eq=False)
class _Computed:
    """Stands for a default that is another one each time; so it is equal to none."""

    field: Any


def _is_computed(field: Any) -> bool:
    if field.has_default():
        return callable(field.default) and field.default not in CONSTANT
    return bool(getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False))


class _Connection:
    """The connection as a schema editor uses it, with the catalogue as it will be."""

    # Operations of concurrent indexes refuse a transaction; here they are plain ones.
    in_atomic_block = False

    def __init__(self, connection: Any):
        self._connection = connection
        self.introspection = _Catalogue(connection.introspection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @contextlib.contextmanager
    def cursor(self) -> Iterator[Any]:
        """For questions to the catalogue: one that fails does not break the transaction of ``migrate``."""
        with contextlib.ExitStack() as stack:
            if self._connection.in_atomic_block:
                stack.enter_context(transaction.atomic(using=self._connection.alias))
            yield stack.enter_context(self._connection.cursor())


class _Catalogue:
    """The database's catalogue as it will be when the statements collected so far have run."""

    def __init__(self, introspection: Any):
        self.introspection = introspection
        self.tables: dict[str, _Table] = {}
        self.sql_of_project: list[str] = []
        self.obstacles: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.introspection, name)

    def table(self, name: str) -> _Table:
        """The table that will have this name."""
        return self.tables.setdefault(name, _Table(name))

    def rename_table(self, old: str, new: str) -> None:
        self.tables[new], self.tables[old] = self.table(old), _Table(None)

    def follow(self, statement: Statement) -> None:
        """What the statement does to constraints and indexes."""
        parts, template = statement.parts, statement.template.upper()
        if "table" not in parts or parts.keys().isdisjoint(("name", "old_name")):
            return
        table = self.table(parts["table"].table)
        name = strip_quotes(str(parts.get("name", parts.get("old_name"))))
        if "old_name" in parts:
            table.rename(name, strip_quotes(parts["new_name"]))
        elif "DROP" in template:
            table.rename(name, None)
        else:
            kinds = {kind.lower().replace(" ", "_"): kind in template for kind in KINDS}
            table.made[name] = {"columns": _columns(parts), "type": parts.get("using") or Index.suffix, **kinds}

    def get_constraints(self, cursor: Any, name: str) -> dict[str, Any]:
        table = self.table(name)
        found = self.introspection.get_constraints(cursor, table.live) if table.live else {}
        names = "|".join(map(re.escape, filter(None, [name, table.live, *found])))
        if any(re.search(rf"\b({names})\b", sql, re.IGNORECASE) for sql in self.sql_of_project):
            self.obstacles.append(f"undoing it runs SQL of the project and then alters {name}, which that may change")
        return table.constraints(found)

    def get_sequences(self, cursor: Any, name: str, table_fields: Any = ()) -> list[dict[str, Any]]:
        table = self.table(name)
        found = self.introspection.get_sequences(cursor, table.live, table_fields) if table.live else []
        return [{**each, "column": table.columns.get(each["column"], each["column"])} for each in found]


# What Django's introspection tells of a constraint or an index, in the words of statements.
KINDS = ("PRIMARY KEY", "UNIQUE", "FOREIGN KEY", "CHECK", "INDEX")


def _columns(parts: dict[str, Any]) -> list[str]:
    columns = parts.get("columns", parts.get("column"))
    # A check has its columns in its text.
    return list(columns.columns if columns else dict.fromkeys(re.findall('"([^"]+)"', str(parts.get("check")))))


@dataclass
class _Table:
    """A table, and what the statements collected so far do to it."""

    live: str | None
    """Its name in the database; nothing, where a statement makes it or has dropped it."""
    columns: dict[str, str | None] = field(default_factory=dict)
    """The columns of the database that will have other names, or be gone."""
    names: dict[str, str | None] = field(default_factory=dict)
    """The same of constraints and indexes."""
    made_columns: set[str] = field(default_factory=set)
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The constraints and indexes that statements make."""

    def rename(self, old: str, new: str | None) -> None:
        """Follows a constraint or an index; without a new name it is dropped."""
        if old not in self.made:
            _follow(self.names, old, new)
            return
        constraint = self.made.pop(old)
        if new is not None:
            self.made[new] = constraint

    def rename_column(self, old: str, new: str | None) -> None:
        """The same of a column."""
        if old not in self.made_columns:
            _follow(self.columns, old, new)
        elif new is not None:
            self.made_columns.add(new)
        self.made_columns.discard(old)
        for constraint in self.made.values():
            constraint["columns"] = [new if column == old else column for column in constraint["columns"]]

    def constraints(self, found: dict[str, Any]) -> dict[str, Any]:
        """Those that were found in the database as they will be, and those that are made."""
        kept = {
            self.names.get(name, name): {**each, "columns": [self.columns.get(c, c) for c in each["columns"]]}
            for name, each in found.items()
        }
        return {name: each for name, each in {**kept, **self.made}.items() if name and None not in each["columns"]}


def _follow(names: dict[str, str | None], old: str, new: str | None) -> None:
    live = next((live for live, now in names.items() if now == old), old)
    names[live] = new


# https://www.postgresql.org/docs/current/sql-syntax-lexical.html, and SQLite's is a part of it
TOKEN = re.compile(
    r"""(?P<nothing> \s+ | --[^\n]* | /\*(?:/\*.*?\*/|.)*?\*/ )
      | (?P<end> ; )
      | [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
      | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
      | \w[\w$]* | .""",
    re.DOTALL | re.VERBOSE,
)
BODY_WITHOUT_QUOTES = re.compile(r"\bBEGIN\s+ATOMIC\b", re.IGNORECASE)
DATA_STATEMENT = re.compile(r"(?:INSERT|UPDATE|DELETE|SELECT|WITH)\b", re.IGNORECASE)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each statement begins and ends, without the comments around it and without its semicolon."""
    start, end = None, 0
    for token in TOKEN.finditer(text):
        if token.lastgroup == "end":
            if start is not None:
                yield start, end
            start = None
        elif token.lastgroup != "nothing":
            start, end = token.start() if start is None else start, token.end()
    if start is not None:
        yield start, end


def _schema_statements(operation: Any) -> list[str]:
    """The statements of the project that run when the operation is undone, as far as they may change the schema."""
    found = []
    for each, _ in nested([operation]):
        if isinstance(each, RunSQL):
            parts = each.reverse_sql if isinstance(each.reverse_sql, (list, tuple)) else [each.reverse_sql]
            for part in parts:
                text = str(part[0] if isinstance(part, (list, tuple)) else part)
                found += [text[start:end] for start, end in _spans(text)]
    return [statement for statement in found if not DATA_STATEMENT.match(statement)]
