"""What undoing migrations does to the database, read off Django's operations before anything runs.

An operation is held against the states before and after it: what only the state after has will be dropped. Names are
those that tables and columns have at that moment of the way back; the engine follows them through renames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from operator import is_
from typing import TYPE_CHECKING, Any, TypeAlias

from django.conf import settings
from django.db.backends.utils import strip_quotes, truncate_name
from django.db.migrations import operations as ops
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.utils import resolve_relation  # type: ignore[attr-defined]  # the stubs lack it
from django.db.models import NOT_PROVIDED, DateTimeField, DecimalField, ManyToManyField, UniqueConstraint

from . import dialects
from .documents import Effect, Key, Rule
from .operations import AnyField, runs_custom_code

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

ManyToMany: TypeAlias = "ManyToManyField[Any, Any]"
Step = tuple[Operation, ProjectState, ProjectState]
"""An operation, and the states of the models before and after it."""

# What an integer column of PostgreSQL holds; SQLite's hold anything.
LIMITS = {"smallint": (-(2**15), 2**15 - 1), "integer": (-(2**31), 2**31 - 1)}

DATABASE_OPTIONS = (
    "constraints",
    "db_table",
    "db_table_comment",
    "index_together",
    "indexes",
    "order_with_respect_to",
    "unique_together",
)


def effects_of_undoing(migration: Migration, before: ProjectState, connection: BaseDatabaseWrapper) -> list[Effect]:
    """The effects of undoing one migration, in order; ``before``, the state before it, becomes the one after it."""
    steps = _steps(migration.operations, migration.app_label, before)
    return effects_of_steps((migration.app_label, migration.name), steps, connection)


def effects_of_steps(key: Key, steps: Iterable[Step], connection: BaseDatabaseWrapper) -> list[Effect]:
    """The same for a migration whose states are known. They are only read, and need not be rendered."""
    reader = _Reader(key[0], connection)
    return [{"migration": list(key), **effect} for effect in reader.effects_of_all(steps)]


def _steps(operations: Iterable[Operation], app_label: str, state: ProjectState) -> Iterator[Step]:
    """Each operation with the states before and after it; the one after it is moved on for the next."""
    for operation in operations:
        before = state.clone()
        operation.state_forwards(app_label, state)
        yield operation, before, state


class _Reader:
    """Reads the operations of one app's migration."""

    def __init__(self, app_label: str, connection: BaseDatabaseWrapper):
        self.app_label = app_label
        self.connection = connection
        self.dialect = dialects.of(connection)

    def effects_of_all(self, steps: Iterable[Step]) -> list[Effect]:
        """What undoing these operations does, which begins with the last one."""
        parts = [self.effects(*step) for step in steps]
        return [effect for part in reversed(parts) for effect in part]

    def effects(self, operation: Operation, before: ProjectState, after: ProjectState) -> list[Effect]:
        if isinstance(operation, ops.SeparateDatabaseAndState):
            state = before.clone()
            vars(state).pop("apps", None)  # not needed here, and rendering them again takes time
            return self.effects_of_all(_steps(operation.database_operations, self.app_label, state))
        code: list[Effect] = []
        if runs_custom_code(operation):
            code.append({"kind": "run-code"})
        elif isinstance(operation, (ops.RunPython, ops.RunSQL)):
            code.append({"kind": "leave-behind"})
        if isinstance(operation, (ops.RunPython, ops.RunSQL)):
            return code
        if isinstance(operation, ops.RenameModel):
            return code + list(self._rename_model(operation, before, after))
        if isinstance(operation, ops.RenameField):
            return code + list(self._rename_field(operation, before, after))
        return code + (list(self._difference(before, after)) or list(self._unseen(operation, after)))

    def _difference(self, before: ProjectState, after: ProjectState) -> Iterator[Effect]:
        for key in sorted(before.models.keys() | after.models.keys()):
            old: ModelState | None = before.models.get(key)
            new: ModelState | None = after.models.get(key)
            if old is new or (old and new and _is_same(old, new)):
                continue
            if new is None:
                if old is not None and self._has_table(old):
                    yield from self._created(old, before)
            elif self._has_table(new):
                yield from self._dropped(new, after) if old is None else self._altered(old, new, before, after)

    def _unseen(self, operation: Operation, state: ProjectState) -> Iterator[Effect]:
        """What changes a table and no state of its model, such as ``ValidateConstraint``."""
        name = getattr(operation, "model_name", None)
        model = state.models.get((self.app_label, name.lower())) if name else None
        if model is not None and self._has_table(model):
            yield {"kind": "alter", "table": self._table(model)}

    def _has_table(self, model: ModelState) -> bool:
        options = model.options
        if options.get("proxy") or not options.get("managed", True):
            return False
        swapped = getattr(settings, options["swappable"], None) if options.get("swappable") else None
        return swapped is None or swapped.lower() == f"{model.app_label}.{model.name_lower}"

    def _dropped(self, model: ModelState, state: ProjectState) -> Iterator[Effect]:
        for field in self._many_to_many(model):
            yield from self._dropped_many_to_many(model, field, state)
        yield {"kind": "drop-table", "table": self._table(model), **self._written_at(model)}
        yield from self._referred(model, self._columns(model).values(), state)

    def _created(self, model: ModelState, state: ProjectState) -> Iterator[Effect]:
        yield {"kind": "create-table", "table": self._table(model)}
        yield from self._referred(model, self._columns(model).values(), state)

    def _dropped_many_to_many(self, model: ModelState, field: ManyToMany, state: ProjectState) -> Iterator[Effect]:
        yield {"kind": "drop-table", "table": self._join_table(model, field)}
        yield {"kind": "alter", "table": self._table(model)}
        yield from self._referred(model, [field], state)

    def _altered(self, old: ModelState, new: ModelState, before: ProjectState, after: ProjectState) -> Iterator[Effect]:
        table, old_table = self._table(new), self._table(old)
        if table != old_table:
            yield {"kind": "rename-table", "table": table, "to": old_table}
            table = old_table
        yield {"kind": "alter", "table": table}
        yield from self._altered_many_to_many(old, new, before, after)
        yield from self._altered_order(table, old, new)
        old_fields, new_fields = self._columns(old), self._columns(new)
        for name in [name for name in new_fields if name not in old_fields]:
            column = new_fields[name].column
            written_at = self._written_at(new, except_for=column)
            yield {"kind": "drop-column", "table": table, "column": column, **written_at}
            yield from self._referred(new, [new_fields[name]], after)
        for name in [name for name in old_fields if name not in new_fields]:
            field = old_fields[name]
            yield {
                "kind": "create-column",
                "table": table,
                "column": field.column,
                "needs_empty": not field.null and not field.primary_key and not self._is_filled(field),
            }
            yield from self._referred(old, [field], before)
        for name in [name for name in old_fields if name in new_fields]:
            yield from self._altered_field(table, old, old_fields[name], new_fields[name], before, after)
        for columns in sorted(self._unique_sets(old) - self._unique_sets(new)):
            yield {"kind": "require", "table": table, "columns": list(columns), "rule": "unique"}

    def _altered_many_to_many(
        self, old: ModelState, new: ModelState, before: ProjectState, after: ProjectState
    ) -> Iterator[Effect]:
        old_fields = {field.name: field for field in self._many_to_many(old)}
        new_fields = {field.name: field for field in self._many_to_many(new)}
        for name, field in new_fields.items():
            join = self._join_table(new, field)
            if name not in old_fields:
                yield from self._dropped_many_to_many(new, field, after)
            elif join != self._join_table(old, old_fields[name]):
                yield {"kind": "rename-table", "table": join, "to": self._join_table(old, old_fields[name])}
        for name, field in old_fields.items():
            if name not in new_fields:
                yield {"kind": "create-table", "table": self._join_table(old, field)}
                yield from self._referred(old, [field], before)

    def _altered_order(self, table: str, old: ModelState, new: ModelState) -> Iterator[Effect]:
        """The column that ``order_with_respect_to`` adds."""
        was, is_now = (model.options.get("order_with_respect_to") for model in (old, new))
        if is_now and not was:
            yield {"kind": "drop-column", "table": table, "column": "_order"}
        if was and not is_now:
            yield {"kind": "create-column", "table": table, "column": "_order"}

    def _altered_field(
        self,
        table: str,
        model: ModelState,
        old: AnyField,
        new: AnyField,
        before: ProjectState,
        after: ProjectState,
    ) -> Iterator[Effect]:
        if old.column != new.column:
            yield {"kind": "rename-column", "table": table, "column": new.column, "to": old.column}
        if old.remote_field or new.remote_field:
            yield from self._referred(model, [new], after)
            yield from self._referred(model, [old], before)
        require: Effect = {"kind": "require", "table": table, "columns": [old.column]}
        if new.null and not old.null and not self._fills_nulls(old):
            yield {**require, "rule": "not-null"}
        if old.unique and not new.unique and not old.primary_key:
            yield {**require, "rule": "unique"}
        if not (old.remote_field or new.remote_field):
            for rule in self._narrower(old, new):
                yield {**require, **rule}

    def _narrower(self, old: AnyField, new: AnyField) -> Iterator[Rule]:
        """What the older type asks of values of the newer one, if both hold the same kind of value."""
        types = old.db_type(self.connection) or "", new.db_type(self.connection) or ""
        if types[0] == types[1]:
            return
        length = old.max_length
        if types[0].startswith(("varchar", "char")) and length and types[1].startswith(("varchar", "char", "text")):
            if new.max_length is None or new.max_length > length or types[1] == "text":
                yield {"rule": "length", "most": length}
        elif types[0] in LIMITS and types[1] in ("integer", "bigint"):
            least, greatest = LIMITS[types[0]]
            yield {"rule": "range", "least": least, "greatest": greatest}
        elif isinstance(old, DecimalField) and isinstance(new, DecimalField) and old.max_digits is not None:
            places = old.decimal_places or 0
            yield {"rule": "digits", "most": old.max_digits - places, "places": places}

    def _rename_model(self, operation: ops.RenameModel, before: ProjectState, after: ProjectState) -> Iterator[Effect]:
        old = before.models[self.app_label, operation.old_name_lower]
        new = after.models[self.app_label, operation.new_name_lower]
        if self._has_table(new) and self._table(old) != self._table(new):
            yield {"kind": "rename-table", "table": self._table(new), "to": self._table(old)}
            for table, old_table in self._join_tables(old, new):
                yield {"kind": "alter", "table": table}
                if table != old_table:
                    yield {"kind": "rename-table", "table": table, "to": old_table}
        for key, model in after.models.items():
            earlier = before.models.get(key)
            if earlier is not None and not _is_same(earlier, model) and self._has_table(model):
                yield {"kind": "alter", "table": self._table(model)}

    def _rename_field(self, operation: ops.RenameField, before: ProjectState, after: ProjectState) -> Iterator[Effect]:
        key = self.app_label, operation.model_name_lower
        old, new = before.models[key], after.models[key]
        if not self._has_table(new):
            return
        table = self._table(new)
        old_fields, new_fields = self._columns(old), self._columns(new)
        if operation.old_name in old_fields:
            column, old_column = new_fields[operation.new_name].column, old_fields[operation.old_name].column
            if column != old_column:
                yield {"kind": "rename-column", "table": table, "column": column, "to": old_column}
            return
        for join, old_join in self._join_tables(old, new):
            if join != old_join:
                yield {"kind": "rename-table", "table": join, "to": old_join}

    def _referred(self, model: ModelState, fields: Iterable[AnyField], state: ProjectState) -> Iterator[Effect]:
        """Tables that a foreign key refers to: adding it or dropping it locks them, too."""
        for field in fields:
            if not field.remote_field or not getattr(field, "db_constraint", True):
                continue
            key = resolve_relation(field.remote_field.model, model.app_label, model.name_lower)
            if key in state.models and key != (model.app_label, model.name_lower):
                yield {"kind": "alter", "table": self._table(state.models[key])}

    def _table(self, model: ModelState) -> str:
        name = model.options.get("db_table") or f"{model.app_label}_{model.name_lower}"
        return strip_quotes(truncate_name(name, self.connection.ops.max_name_length()))

    def _columns(self, model: ModelState) -> dict[str, AnyField]:
        """The fields that are columns, each with its name and its column set."""
        bound = {}
        for name, field in model.fields.items():
            if not field.many_to_many:
                bound[name] = copy(field)
                bound[name].set_attributes_from_name(name)
        return {name: field for name, field in bound.items() if field.column is not None}

    def _many_to_many(self, model: ModelState) -> list[ManyToMany]:
        """The many-to-many fields whose join tables Django makes by itself."""
        bound = []
        for name, field in model.fields.items():
            if isinstance(field, ManyToManyField) and field.remote_field.through is None:
                bound.append(copy(field))
                bound[-1].set_attributes_from_name(name)
        return bound

    def _join_tables(self, old: ModelState, new: ModelState) -> Iterator[tuple[str, str]]:
        """The join tables of a renamed model or field: now, and before it was renamed."""
        for old_field, new_field in zip(self._many_to_many(old), self._many_to_many(new), strict=True):
            yield self._join_table(new, new_field), self._join_table(old, old_field)

    def _join_table(self, model: ModelState, field: ManyToMany) -> str:
        own: str | None = field.db_table  # type: ignore[attr-defined]  # the stubs lack it
        name = own or f"{strip_quotes(self._table(model))}_{field.name}"
        return strip_quotes(truncate_name(name, self.connection.ops.max_name_length()))

    def _written_at(self, model: ModelState, except_for: str | None = None) -> Effect:
        """A column with the time of the last change of a row, or else of its creation.

        SQLite stores times without a zone: they are in the project's own if it does not use time zones.
        """
        times = [field for field in self._columns(model).values() if isinstance(field, DateTimeField)]
        changed = [field.column for field in times if field.auto_now and field.column != except_for]
        created = [field.column for field in times if field.auto_now_add and field.column != except_for]
        local_time = not self.dialect.keeps_time_zones and not settings.USE_TZ
        return {"written_at": next(iter(changed + created), None), "local_time": local_time}

    def _default(self, field: AnyField) -> object:
        if getattr(field, "generated", False):
            return "computed"
        if field.remote_field:
            # Django asks the related model for it, which is not rendered here.
            return field.default if field.has_default() else None
        # Django's stubs do not know it.
        return self.connection.SchemaEditorClass._effective_default(field)  # type: ignore[attr-defined]

    def _is_filled(self, field: AnyField) -> bool:
        return _has_database_default(field) or self._default(field) is not None

    def _fills_nulls(self, old: AnyField) -> bool:
        """Whether Django replaces NULL by a default when it brings the older field back.

        In a table that is remade it uses the effective default, which may be an empty text; else an explicit one.
        """
        if self.dialect.remakes_tables:
            return self._is_filled(old)
        return _has_database_default(old) or old.has_default()

    def _unique_sets(self, model: ModelState) -> set[tuple[str, ...]]:
        columns = self._columns(model)
        sets = [tuple(names) for names in model.options.get("unique_together") or ()]
        for constraint in model.options.get("constraints") or ():
            if isinstance(constraint, UniqueConstraint) and constraint.fields and constraint.condition is None:
                sets.append(tuple(constraint.fields))
        known = [names for names in sets if all(name in columns for name in names)]
        return {tuple(columns[name].column for name in names) for names in known}


def _has_database_default(field: AnyField) -> bool:
    """``Field.has_db_default`` of Django 5.2, for 5.0 and 5.1 as well; before, there is none."""
    return getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


def _is_same(old: ModelState, new: ModelState) -> bool:
    """Whether two states of a model ask for the same table."""
    # Asked of all models for each operation: this way of asking is the fast one.
    return (
        old.fields.keys() == new.fields.keys()
        and all(map(is_, map(old.fields.get, new.fields), new.fields.values()))
        and (old.options == new.options or _options(old) == _options(new))
    )


def _options(model: ModelState) -> list[object]:
    return [model.options.get(name) for name in DATABASE_OPTIONS]
