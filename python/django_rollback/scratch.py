"""A scratch copy of a database, in which a rollback is rehearsed: Django's connection is turned to it for a while.

The alias stays the same, as in Django's own test runner, so that routers decide as they do for the real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.core.management import call_command
from django.db.migrations.recorder import MigrationRecorder

from . import dialects
from .documents import Key
from .suspension import suspended

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class Rows(NamedTuple):
    """The rows of one of our own tables. Names are quoted."""

    table: str
    columns: list[str]
    values: list[tuple[Any, ...]]


class Scratch:
    """Made by ``make``, removed by ``remove``."""

    def __init__(self, connection: BaseDatabaseWrapper):
        self.connection = connection
        self.name = connection.settings_dict["NAME"]
        self._copy: dialects.Copy | None = None

    def make(self) -> None:
        """Copies the database and turns the connection to the copy."""
        try:
            self._copy = dialects.of(self.connection).copy(self.connection)
            if self._copy.is_complete:
                self._turn_to(self._copy.name)
            else:
                self._fill(self._copy.name)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Turns the connection back, and removes the copy."""
        self._turn_to(self.name)
        if self._copy is not None:
            self._copy.remove()
            self._copy = None

    def _turn_to(self, name: str) -> None:
        self.connection.close()
        self.connection.settings_dict["NAME"] = name

    def _fill(self, name: str) -> None:
        """Builds the tables in an empty database. Only our own get their rows: no other row is read."""
        applied, ours = self._applied(), list(self._our_rows())
        self._turn_to(name)
        self._migrate(applied)
        self._insert(ours)

    def _migrate(self, applied: set[Key]) -> None:
        with suspended():
            call_command("migrate", database=self.connection.alias, verbosity=0, interactive=False, skip_checks=True)
        difference = sorted(applied ^ self._applied())
        if difference:
            shown = ", ".join(f"{app}.{migration}" for app, migration in difference[:5])
            raise dialects.CannotCopy(f"the migrations of this code and of the database differ ({shown})")

    def _insert(self, ours: list[Rows]) -> None:
        with self.connection.cursor() as cursor:
            for table, columns, values in ours:
                marks = ", ".join(["%s"] * len(columns))
                cursor.execute(f"DELETE FROM {table}")
                cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", values)

    def _applied(self) -> set[Key]:
        return set(MigrationRecorder(self.connection).applied_migrations())

    def _our_rows(self) -> Iterator[Rows]:
        quote = self.connection.ops.quote_name
        for model in apps.get_app_config("django_rollback").get_models():
            columns = [quote(field.column) for field in model._meta.concrete_fields]
            table = quote(model._meta.db_table)
            with self.connection.cursor() as cursor:
                cursor.execute(f"SELECT {', '.join(columns)} FROM {table}")
                yield Rows(table, columns, cursor.fetchall())
