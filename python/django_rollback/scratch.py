"""A scratch copy of a database, in which a rollback can be tried: Django's connection is turned to it for a while.

The alias stays the same, as in Django's own test runner, so that routers decide as they do for the real one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.db.migrations.recorder import MigrationRecorder

from . import guard


class CannotCopy(Exception):
    """Why there is no scratch copy."""


class Scratch:
    """Made by ``make``, removed by ``remove``."""

    def __init__(self, connection: Any):
        self.connection = connection
        self.name = connection.settings_dict["NAME"]
        self._folder: str | None = None
        self._database: str | None = None

    def make(self) -> None:
        """Copies the database and turns the connection to the copy."""
        try:
            if self.connection.vendor == "sqlite":
                self._copy_file()
            else:
                self._build_anew()
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Turns the connection back, and removes the copy."""
        self._turn_to(self.name)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        if self._database is not None:
            with self.connection._nodb_cursor() as cursor:
                cursor.execute(f"DROP DATABASE IF EXISTS {self.connection.ops.quote_name(self._database)}")
            self._database = None

    def _turn_to(self, name: Any) -> None:
        self.connection.close()
        self.connection.settings_dict["NAME"] = name

    def _copy_file(self) -> None:
        if self.connection.is_in_memory_db():
            raise CannotCopy("a database in memory has no file to copy")
        self._folder = tempfile.mkdtemp(prefix="django-rollback-")
        copy = os.path.join(self._folder, "scratch.sqlite3")
        with self.connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [copy])
        self._turn_to(copy)

    def _build_anew(self) -> None:
        """Without rows, but for ours: no lock is taken on the real one, and no row of it is read."""
        applied, ours = self._applied(), list(self._our_rows())
        name = f"django_rollback_{uuid.uuid4().hex[:12]}"
        with self.connection._nodb_cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {self.connection.ops.quote_name(name)}")
        self._database = name
        self._turn_to(name)
        with guard.suspended():
            call_command("migrate", database=self.connection.alias, verbosity=0, interactive=False, skip_checks=True)
        difference = sorted(applied ^ self._applied())
        if difference:
            shown = ", ".join(f"{app}.{migration}" for app, migration in difference[:5])
            raise CannotCopy(f"this code and the database do not have the same migrations ({shown})")
        with self.connection.cursor() as cursor:
            for table, columns, rows in ours:
                names = ", ".join(map(self.connection.ops.quote_name, columns))
                marks = ", ".join(["%s"] * len(columns))
                cursor.execute(f"DELETE FROM {table}")
                cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)

    def _applied(self) -> set[tuple[str, str]]:
        return set(MigrationRecorder(self.connection).applied_migrations())

    def _our_rows(self) -> Iterator[tuple[str, list[str], list[Any]]]:
        for model in apps.get_app_config("django_rollback").get_models():
            columns = [field.column for field in model._meta.concrete_fields]
            names = ", ".join(map(self.connection.ops.quote_name, columns))
            table = self.connection.ops.quote_name(model._meta.db_table)
            with self.connection.cursor() as cursor:
                cursor.execute(f"SELECT {names} FROM {table}")
                yield table, columns, cursor.fetchall()
