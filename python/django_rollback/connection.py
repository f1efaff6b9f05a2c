"""Django's connection as the engine uses it: statements, and transactions that the engine begins and ends."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import DatabaseError, transaction

from . import dialects
from .interrupts import Interrupts

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

Value = str | int | None
"""A parameter of the engine's statements."""


class Connection:
    """The connection of one alias, with at most one transaction at a time."""

    def __init__(self, django: BaseDatabaseWrapper, interrupts: Interrupts):
        self.django = django
        self.interrupts = interrupts
        self.dialect = dialects.of(django)
        self.name = self.dialect.describe(django)
        self.lock_file = self.dialect.lock_file(django)
        self._transaction: contextlib.ExitStack | None = None

    def query(self, sql: str, params: Sequence[Value] | None) -> list[tuple[object, ...]]:
        with self.interrupts.section(), self.django.cursor() as cursor:
            cursor.execute(sql, params)
            rows: list[tuple[object, ...]] = cursor.fetchall()
            return rows

    def execute(self, sql: str, params: Sequence[Value] | None) -> int:
        with self.interrupts.section(), self.django.cursor() as cursor:
            cursor.execute(sql, params)
            return int(cursor.rowcount)

    def run(self, sql: str) -> None:
        with self.interrupts.section(), self.django.cursor() as cursor:
            cursor.execute(sql)

    def begin(self, schema: bool) -> None:
        with self.interrupts.section(), contextlib.ExitStack() as stack:
            if schema:
                stack.enter_context(self.dialect.allows_schema_changes(self.django))
            stack.callback(self._forget)
            with self.dialect.begins_with_lock(self.django):
                stack.enter_context(transaction.atomic(using=self.django.alias, durable=schema))
            self._transaction = stack.pop_all()

    def commit(self) -> None:
        if self._transaction is None:
            raise RuntimeError("commit without begin")
        if self.django.needs_rollback:
            raise RuntimeError("code inside the transaction swallowed a database error, so it cannot be committed")
        with self.interrupts.section():
            pass
        self._transaction.close()

    def rollback(self) -> None:
        if self._transaction is not None:
            self._transaction.__exit__(RollBack, RollBack(), None)

    def reconnect(self) -> None:
        self.django.close()
        self.django.ensure_connection()

    def another(self) -> OtherConnection:
        return OtherConnection(self.django.copy(), self.interrupts)

    def is_pooled(self) -> bool | None:
        with self.interrupts.section():
            return self.dialect.is_pooled(self.django)

    def cancel(self) -> None:
        """Stops the running statement, from another thread."""
        self.dialect.cancel(self.django)

    def _forget(self) -> None:
        self._transaction = None


class OtherConnection(Connection):
    """A second connection to the same database, for one transaction. Django knows nothing of it."""

    def begin(self, schema: bool) -> None:
        self.django.set_autocommit(False)

    def commit(self) -> None:
        self.django.commit()
        self.django.close()

    def rollback(self) -> None:
        with contextlib.suppress(DatabaseError):
            self.django.rollback()
        self.django.close()


class RollBack(Exception):
    """Tells ``atomic`` to roll back. It never leaves this module."""
