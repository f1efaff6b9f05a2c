"""A schema editor that collects statements, over the catalogue as it will be when they have run.

Django asks the database for the names of constraints while it writes SQL. Here nothing has run yet, so what the
statements so far will do to the catalogue is followed.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from django.db import transaction
from django.db.backends.ddl_references import Statement
from django.db.backends.utils import strip_quotes
from django.db.models import Index, Model

from . import dialects
from .dialects import Params
from .operations import AnyField

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.introspection import BaseDatabaseIntrospection
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.backends.utils import CursorWrapper

    Editor = BaseDatabaseSchemaEditor
else:
    Editor = object

# Default functions that return the same each time.
CONSTANT = (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)


def collector(connection: BaseDatabaseWrapper) -> Collector:
    """A schema editor for this connection that executes nothing."""
    return _collector_class(connection.SchemaEditorClass)(connection)


@functools.cache
def _collector_class(editor_class: type[BaseDatabaseSchemaEditor]) -> type[Collector]:
    """The schema editor of a database, as one that collects."""
    return type("Collector", (Collector, editor_class), {})


class Collector(Editor):
    """Collects each statement as the database would get it, alone and with its values.

    What it cannot know is noted and not raised, so that operations leave the models as they found them.
    """

    # Django 6.1 follows the names of tables by itself; the catalogue follows them all, in every version.
    collected_table_renames = property(lambda self: {}, lambda self, renames: None)

    def __init__(self, connection: BaseDatabaseWrapper):
        followed = _FollowedConnection(connection)
        super().__init__(followed, collect_sql=True)  # type: ignore[arg-type]
        self.catalogue = followed.introspection
        self.dialect = dialects.of(connection)
        self.deferred_sql: list[Statement] = []
        self.sql_create_index_concurrently = self.sql_create_index
        self.sql_delete_index_concurrently = self.sql_delete_index

    def statements(self) -> list[str]:
        """All that was collected, with the statements that Django defers to the end."""
        for sql in self.deferred_sql:
            self.execute(sql, None)
        self.deferred_sql = []
        return [str(sql) for sql in self.collected_sql]

    def execute(self, sql: Statement | str, params: Params | None = ()) -> None:
        if isinstance(sql, Statement):
            self.catalogue.follow(sql)
        text = self._with_values(str(sql), params)
        if self.dialect.is_ambiguous(text):
            self.catalogue.obstacles.append("it has SQL with BEGIN ATOMIC among other statements")
        self.collected_sql += self.dialect.statements(text)

    def _with_values(self, sql: str, params: Params | None) -> str:
        if params is None or (not params and "%" not in sql):
            return sql
        if not isinstance(params, Mapping):
            params = [self._known(value) for value in params]
        return self.dialect.with_values(self.connection, sql, params, self.quote_value)

    def quote_value(self, value: object) -> str:
        return super().quote_value(self._known(value))

    def effective_default(self, field: AnyField) -> object:  # type: ignore[override]  # ours stands for one
        return _Computed(field) if _is_computed(field) else super().effective_default(field)

    def _known(self, value: object) -> object:
        if isinstance(value, _Computed):
            self.catalogue.obstacles.append(f"the default of {value.field} is computed when it is undone")
            return None
        return value

    def create_model(self, model: type[Model]) -> None:
        self.catalogue.tables[model._meta.db_table] = _Table(None)
        super().create_model(model)

    def delete_model(self, model: type[Model], **kwargs: Any) -> None:
        super().delete_model(model, **kwargs)
        self.catalogue.tables[model._meta.db_table] = _Table(None)

    def alter_db_table(self, model: type[Model], old_db_table: str, new_db_table: str, **kwargs: Any) -> None:
        before = len(self.collected_sql)
        super().alter_db_table(model, old_db_table, new_db_table, **kwargs)
        if len(self.collected_sql) > before:
            self.catalogue.rename_table(old_db_table, new_db_table)

    def add_field(self, model: type[Model], field: AnyField) -> None:
        super().add_field(model, field)
        if field.column:
            self.catalogue.table(model._meta.db_table).made_columns.add(field.column)

    def remove_field(self, model: type[Model], field: AnyField) -> None:
        super().remove_field(model, field)
        if field.column:
            self.catalogue.table(model._meta.db_table).rename_column(field.column, None)

    # Django's stubs do not know the methods below.

    def _rename_field_sql(self, table: str, old_field: AnyField, new_field: AnyField, new_type: str) -> str:
        self.catalogue.table(table).rename_column(old_field.column, new_field.column)
        sql: str = super()._rename_field_sql(table, old_field, new_field, new_type)  # type: ignore[misc]
        return sql

    def _constraint_names(
        self, model: type[Model], column_names: list[str] | None = None, **kinds: object
    ) -> list[str]:
        self._look_up(model._meta.db_table, column_names)
        names: list[str] = super()._constraint_names(model, column_names, **kinds)  # type: ignore[misc]
        return names

    def _get_sequence_name(self, table: str, column: str) -> str | None:
        self._look_up(table, [column])
        name: str | None = super()._get_sequence_name(table, column)  # type: ignore[misc]
        return name

    def _look_up(self, name: str, columns: list[str] | None) -> None:
        """Notes a question for a name that the database itself will give, together with a table or a column."""
        table = self.catalogue.table(name)
        made = bool(table.made_columns) if columns is None else table.made_columns.issuperset(columns)
        if self.dialect.names_constraints and (made or not table.live):
            self.catalogue.obstacles.append(f"undoing it makes and then alters the same in {name}")

    def _is_collation_deterministic(self, collation_name: str) -> bool | None:
        found: bool | None = super()._is_collation_deterministic(collation_name)  # type: ignore[misc]
        if found is None:
            self.catalogue.obstacles.append(f"undoing it makes and then uses the collation {collation_name}")
        return found


@dataclass(frozen=True, eq=False)
class _Computed:
    """Stands for a default that is another one each time, so it equals nothing."""

    field: AnyField


def _is_computed(field: AnyField) -> bool:
    if field.has_default():
        return callable(field.default) and field.default not in CONSTANT
    return bool(getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False))


class _FollowedConnection:
    """The connection as a schema editor uses it, with the catalogue as it will be."""

    # Operations of concurrent indexes refuse a transaction; here they are plain ones.
    in_atomic_block = False

    def __init__(self, connection: BaseDatabaseWrapper):
        self._connection = connection
        self.introspection = _Catalogue(connection.introspection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @contextlib.contextmanager
    def cursor(self) -> Iterator[CursorWrapper]:
        """For questions to the catalogue: one that fails does not break the transaction of ``migrate``."""
        with contextlib.ExitStack() as stack:
            if self._connection.in_atomic_block:
                stack.enter_context(transaction.atomic(using=self._connection.alias))
            yield stack.enter_context(self._connection.cursor())


class _Columns(TypedDict):
    columns: list[str | None]


class Constraint(_Columns, total=False):
    """A constraint or an index, as Django's introspection tells it: the keys that schema editors ask for."""

    type: str
    primary_key: bool
    unique: bool
    foreign_key: bool | tuple[str, str] | None
    check: bool
    index: bool


class _Catalogue:
    """The database's catalogue as it will be when the statements collected so far have run."""

    def __init__(self, introspection: BaseDatabaseIntrospection):
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
        """Notes what the statement does to constraints and indexes."""
        parts: dict[str, Any] = statement.parts
        template = statement.template.upper()
        if "table" not in parts or parts.keys().isdisjoint(("name", "old_name")):
            return
        table = self.table(parts["table"].table)
        name = strip_quotes(str(parts.get("name", parts.get("old_name"))))
        if "old_name" in parts:
            table.rename(name, strip_quotes(parts["new_name"]))
        elif "DROP" in template:
            table.rename(name, None)
        else:
            table.made[name] = _constraint(template, parts)

    def get_constraints(self, cursor: CursorWrapper, name: str) -> dict[str, Constraint]:
        table = self.table(name)
        found = self.introspection.get_constraints(cursor, table.live) if table.live else {}
        names = "|".join(map(re.escape, filter(None, [name, table.live, *found])))
        if any(re.search(rf"\b({names})\b", sql, re.IGNORECASE) for sql in self.sql_of_project):
            self.obstacles.append(f"undoing it runs SQL of the project and then alters {name}, which that may change")
        return table.constraints(found)

    def get_sequences(
        self, cursor: CursorWrapper, name: str, table_fields: Sequence[object] = ()
    ) -> list[dict[str, object]]:
        table = self.table(name)
        found = self.introspection.get_sequences(cursor, table.live, table_fields) if table.live else []
        return [{**each, "column": table.columns.get(each["column"], each["column"])} for each in found]


def _constraint(template: str, parts: Mapping[str, Any]) -> Constraint:
    """What introspection would tell of a constraint or an index that a statement makes."""
    columns = parts.get("columns", parts.get("column"))
    # A check has its columns in its text.
    named = columns.columns if columns else dict.fromkeys(re.findall('"([^"]+)"', str(parts.get("check"))))
    return {
        "columns": list(named),
        "type": parts.get("using") or Index.suffix,
        "primary_key": "PRIMARY KEY" in template,
        "unique": "UNIQUE" in template,
        "foreign_key": "FOREIGN KEY" in template,
        "check": "CHECK" in template,
        "index": "INDEX" in template,
    }


@dataclass
class _Table:
    """A table, and what the statements collected so far do to it."""

    live: str | None
    """Its name in the database; ``None`` if a statement makes it or has dropped it."""
    columns: dict[str, str | None] = field(default_factory=dict)
    """The columns of the database that will have other names, or be gone."""
    names: dict[str, str | None] = field(default_factory=dict)
    """The same of constraints and indexes."""
    made_columns: set[str] = field(default_factory=set)
    made: dict[str, Constraint] = field(default_factory=dict)
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

    def constraints(self, found: Mapping[str, Constraint]) -> dict[str, Constraint]:
        """Those that were found in the database as they will be, and those that are made."""
        every: dict[str | None, Constraint] = {}
        for name, each in found.items():
            columns = [self.columns.get(column, column) if column else column for column in each["columns"]]
            every[self.names.get(name, name)] = {**each, "columns": columns}
        every.update(self.made)
        return {name: each for name, each in every.items() if name and None not in each["columns"]}


def _follow(names: dict[str, str | None], old: str, new: str | None) -> None:
    live = next((live for live, now in names.items() if now == old), old)
    names[live] = new
