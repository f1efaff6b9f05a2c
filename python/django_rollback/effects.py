"""What undoing migrations does to the database, read off Django's operations before anything runs.

An operation is held against the states before and after it: what only the state after has will be dropped. Names are
those that tables and columns have at that moment of the way back; the engine follows them through renames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from operator import is_
from typing import Any

from django.conf import settings
from django.db.backends.utils import strip_quotes, truncate_name
from django.db.migrations import operations as ops
from django.db.migrations.migration import Migration
from django.db.migrations.utils import resolve_relation
from django.db.models import NOT_PROVIDED, DateTimeField, DecimalField, Field, UniqueConstraint

Effect = dict[str, Any]
# An operation, and the states of the models before and after it.
Step = tuple[Any, Any, Any]
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


def effects_of_undoing(migration: Migration, before: Any, connection: Any) -> list[Effect]:
    """The effects of undoing one migration, in order; ``before`` is the state before it, and is moved past it."""
    steps = _steps(migration.operations, migration.app_label, before)
    return effects_of_steps((migration.app_label, migration.name), steps, connection)


def effects_of_steps(key: tuple[str, str], steps: Iterable[Step], connection: Any) -> list[Effect]:
    """The same for a migration whose states are known; they are only read, and need not be rendered."""
    reader = _Reader(key[0], connection)
    return [{"migration": list(key), **effect} for effect in reader.effects_of_all(steps)]


def _steps(operations: Iterable[Any], app_label: str, state: Any) -> Iterator[Step]:
    """Each operation with the states before and after it; the one after it is moved on for the next."""
    for operation in operations:
        before = state.clone()
        operation.state_forwards(app_label, state)
        yield operation, before, state


class _Reader:
    def __init__(self, app_label: str, connection: Any):
        self.app_label = app_label
        self.connection = connection

    def effects_of_all(self, steps: Iterable[Step]) -> list[Effect]:
        """What undoing these operations does, which begins with the last one."""
        parts = [self.effects(*step) for step in steps]
        return [effect for part in reversed(parts) for effect in part]

    def effects(self, operation: Any, before: Any, after: Any) -> list[Effect]:
        if isinstance(operation, ops.SeparateDatabaseAndState):
            state = before.clone()
            vars(state).pop("apps", None)  # nobody asks for models here: without them, none are rendered again
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

    def _difference(self, before: Any, after: Any) -> Iterator[Effect]:
        for key in sorted(before.models.keys() | after.models.keys()):
            old, new = before.models.get(key), after.models.get(key)
            if old is new or (old and new and _is_same(old, new)) or not self._has_table(new or old):
                continue
            if old is None:
                yield from self._dropped(new, after)
            elif new is None:
                yield from self._created(old, before)
            else:
                yield from self._altered(old, new, before, after)

    def _unseen(self, operation: Any, state: Any) -> Iterator[Effect]:
        """What changes a table and no state of its model, such as ``ValidateConstraint``."""
        name = getattr(operation, "model_name", None)
        model = state.models.get((self.app_label, name.lower())) if name else None
        if model is not None and self._has_table(model):
            yield {"kind": "alter", "table": self._table(model)}

    def _has_table(self, model: Any) -> bool:
        options = model.options
        if options.get("proxy") or not options.get("managed", True):
            return False
        swapped = getattr(settings, options["swappable"], None) if options.get("swappable") else None
        return swapped is None or swapped.lower() == f"{model.app_label}.{model.name_lower}"

    def _dropped(self, model: Any, state: Any) -> Iterator[Effect]:
        for field in self._many_to_many(model):
            yield from self._dropped_many_to_many(model, field, state)
        yield {"kind": "drop-table", "table": self._table(model), **self._written_at(model)}
        yield from self._referred(model, self._columns(model).values(), state)

    def _created(self, model: Any, state: Any) -> Iterator[Effect]:
        yield {"kind": "create-table", "table": self._table(model)}
        yield from self._referred(model, self._columns(model).values(), state)

    def _dropped_many_to_many(self, model: Any, field: Any, state: Any) -> Iterator[Effect]:
        yield {"kind": "drop-table", "table": self._join_table(model, field)}
        yield {"kind": "alter", "table": self._table(model)}
        yield from self._referred(model, [field], state)

    def _altered(self, old: Any, new: Any, before: Any, after: Any) -> Iterator[Effect]:
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

    def _altered_many_to_many(self, old: Any, new: Any, before: Any, after: Any) -> Iterator[Effect]:
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

    def _altered_order(self, table: str, old: Any, new: Any) -> Iterator[Effect]:
        """The column that ``order_with_respect_to`` adds."""
        was, is_now = (model.options.get("order_with_respect_to") for model in (old, new))
        if is_now and not was:
            yield {"kind": "drop-column", "table": table, "column": "_order"}
        if was and not is_now:
            yield {"kind": "create-column", "table": table, "column": "_order"}

    def _altered_field(
        self, table: str, model: Any, old: Field[Any, Any], new: Field[Any, Any], before: Any, after: Any
    ) -> Iterator[Effect]:
        if old.column != new.column:
            yield {"kind": "rename-column", "table": table, "column": new.column, "to": old.column}
        if old.remote_field or new.remote_field:
            yield from self._referred(model, [new], after)
            yield from self._referred(model, [old], before)
        require = {"kind": "require", "table": table, "columns": [old.column]}
        if new.null and not old.null and not self._fills_nulls(old):
            yield {**require, "rule": "not-null"}
        if old.unique and not new.unique and not old.primary_key:
            yield {**require, "rule": "unique"}
        if not (old.remote_field or new.remote_field):
            yield from ({**require, **rule} for rule in self._narrower(old, new))

    def _narrower(self, old: Field[Any, Any], new: Field[Any, Any]) -> Iterator[Effect]:
        """What the older type asks of values of the newer one, where both hold the same kind of value."""
        types = old.db_type(self.connection) or "", new.db_type(self.connection) or ""
        if types[0] == types[1]:
            return
        length = old.max_length
        if types[0].startswith(("varchar", "char")) and length and types[1].startswith(("varchar", "char", "text")):
            if new.max_length is None or new.max_length > length or types[1] == "text":
                yield {"rule": "length", "most": length}
        elif types[0] in LIMITS and types[1] in ("integer", "bigint"):
            yield dict(zip(("rule", "least", "greatest"), ("range", *LIMITS[types[0]]), strict=True))
        elif isinstance(old, DecimalField) and isinstance(new, DecimalField) and old.max_digits is not None:
            places = old.decimal_places or 0
            yield {"rule": "digits", "most": old.max_digits - places, "places": places}

    def _rename_model(self, operation: Any, before: Any, after: Any) -> Iterator[Effect]:
        old = before.models[self.app_label, operation.old_name_lower]
        new = after.models[self.app_label, operation.new_name_lower]
        if self._has_table(new) and self._table(old) != self._table(new):
            yield {"kind": "rename-table", "table": self._table(new), "to": self._table(old)}
            for old_field, new_field in zip(self._many_to_many(old), self._many_to_many(new), strict=True):
                joins = {"table": self._join_table(new, new_field), "to": self._join_table(old, old_field)}
                yield {"kind": "alter", "table": joins["table"]}
                if joins["table"] != joins["to"]:
                    yield {"kind": "rename-table", **joins}
        for key, model in after.models.items():
            earlier = before.models.get(key)
            if earlier is not None and not _is_same(earlier, model) and self._has_table(model):
                yield {"kind": "alter", "table": self._table(model)}

    def _rename_field(self, operation: Any, before: Any, after: Any) -> Iterator[Effect]:
        key = self.app_label, operation.model_name_lower
        old, new = before.models[key], after.models[key]
        if not self._has_table(new):
            return
        table = self._table(new)
        old_fields, new_fields = self._columns(old), self._columns(new)
        if operation.old_name in old_fields:
            names = {"column": new_fields[operation.new_name].column, "to": old_fields[operation.old_name].column}
            if names["column"] != names["to"]:
                yield {"kind": "rename-column", "table": table, **names}
            return
        for old_field, new_field in zip(self._many_to_many(old), self._many_to_many(new), strict=True):
            joins = {"table": self._join_table(new, new_field), "to": self._join_table(old, old_field)}
            if joins["table"] != joins["to"]:
                yield {"kind": "rename-table", **joins}

    def _referred(self, model: Any, fields: Iterable[Any], state: Any) -> Iterator[Effect]:
        """Tables that a foreign key refers to: adding it or dropping it locks them, too."""
        for field in fields:
            if not field.remote_field or not getattr(field, "db_constraint", True):
                continue
            key = resolve_relation(field.remote_field.model, model.app_label, model.name_lower)
            if key in state.models and key != (model.app_label, model.name_lower):
                yield {"kind": "alter", "table": self._table(state.models[key])}

    def _table(self, model: Any) -> str:
        name = model.options.get("db_table") or f"{model.app_label}_{model.name_lower}"
        return strip_quotes(truncate_name(name, self.connection.ops.max_name_length()))

    def _columns(self, model: Any) -> dict[str, Field[Any, Any]]:
        """The fields that are columns, each with its name and its column set."""
        bound = {}
        for name, field in model.fields.items():
            if not field.many_to_many:
                bound[name] = copy(field)
                bound[name].set_attributes_from_name(name)
        return {name: field for name, field in bound.items() if field.column is not None}

    def _many_to_many(self, model: Any) -> list[Any]:
        """The many-to-many fields whose join tables Django makes by itself."""
        bound = []
        for name, field in model.fields.items():
            if field.many_to_many and field.remote_field.through is None:
                field = copy(field)
                field.set_attributes_from_name(name)
                bound.append(field)
        return bound

    def _join_table(self, model: Any, field: Any) -> str:
        name = field.db_table or f"{strip_quotes(self._table(model))}_{field.name}"
        return strip_quotes(truncate_name(name, self.connection.ops.max_name_length()))

    def _written_at(self, model: Any, except_for: str | None = None) -> Effect:
        """A column with the time of the last change of a row, or else of its creation.

        SQLite keeps times without their zone: those of the project's own, where it does not use time zones.
        """
        times = [field for field in self._columns(model).values() if isinstance(field, DateTimeField)]
        changed = [field.column for field in times if field.auto_now and field.column != except_for]
        created = [field.column for field in times if field.auto_now_add and field.column != except_for]
        local_time = self.connection.vendor == "sqlite" and not settings.USE_TZ
        return {"written_at": next(iter(changed + created), None), "local_time": local_time}

    def _default(self, field: Any) -> Any:
        if getattr(field, "generated", False):
            return "computed"
        if field.remote_field:
            # Django asks the related model for it, which nobody has rendered here.
            return field.default if field.has_default() else None
        return self.connection.SchemaEditorClass._effective_default(field)

    def _is_filled(self, field: Any) -> bool:
        return _has_database_default(field) or self._default(field) is not None

    def _fills_nulls(self, old: Any) -> bool:
        """Whether Django puts a default where there is NULL when it takes the older field back.

        A remade table of SQLite gets the effective default, which an empty text is, too; PostgreSQL's an explicit one.
        """
        if self.connection.vendor == "sqlite":
            return self._is_filled(old)
        return _has_database_default(old) or old.has_default()

    def _unique_sets(self, model: Any) -> set[tuple[str, ...]]:
        columns = self._columns(model)
        sets = [tuple(names) for names in model.options.get("unique_together") or ()]
        for constraint in model.options.get("constraints") or ():
            if isinstance(constraint, UniqueConstraint) and constraint.fields and constraint.condition is None:
                sets.append(tuple(constraint.fields))
        known = [names for names in sets if all(name in columns for name in names)]
        return {tuple(columns[name].column for name in names) for names in known}


def _has_database_default(field: Any) -> bool:
    """``Field.has_db_default`` of Django 5.2, for 5.0 and 5.1 as well; before, there is none."""
    return getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


def _is_same(old: Any, new: Any) -> bool:
    """Whether two states of a model ask for the same table."""
    # Asked of all models for each operation: this way of asking is the fast one.
    return (
        old.fields.keys() == new.fields.keys()
        and all(map(is_, map(old.fields.get, new.fields), new.fields.values()))
        and (old.options == new.options or _options(old) == _options(new))
    )


def _options(model: Any) -> list[Any]:
    return [model.options.get(name) for name in DATABASE_OPTIONS]


def nested(operations: Iterable[Any], inside: str = "") -> Iterator[tuple[Any, str]]:
    """Each operation and what is inside of it, with the place of each."""
    for number, operation in enumerate(operations, 1):
        place = f"{inside}operation {number}"
        yield operation, place
        if isinstance(operation, ops.SeparateDatabaseAndState):
            yield from nested(operation.database_operations, f"{place}, database ")


def describe(operation: Any) -> str:
    """The class of an operation, and the function that a ``RunPython`` calls."""
    name = type(operation).__name__
    code = getattr(operation, "code", None)
    return f"{name} {code.__name__}" if isinstance(operation, ops.RunPython) and hasattr(code, "__name__") else name


def runs_custom_code(operation: Any) -> bool:
    """Whether undoing the operation runs code of the project, or SQL of its own."""
    if isinstance(operation, ops.RunPython):
        return operation.reverse_code not in (None, ops.RunPython.noop)
    if isinstance(operation, ops.RunSQL):
        return bool(operation.reverse_sql)
    return not type(operation).__module__.startswith(("django.db.migrations.", "django.contrib."))
