"""What differs between databases: one class each, listed in ``DIALECTS``. No other module asks which one it is.

A dialect keeps no state: it is asked about Django's connection, which comes as an argument.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import DatabaseError, IntegrityError

from .statements import spans, split

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

Params = Sequence[object] | Mapping[str, object]
"""The parameters of a statement: one by one, or named."""
Context = dict[str, Any]
"""What Django tells a wrapper of statements."""
Execute = Callable[[str, object, bool, Context], object]
"""What runs a statement: the text, its parameters, whether there are many sets of them, and the context."""


class CannotCopy(Exception):
    """Why there is no scratch copy of a database."""


@dataclass(frozen=True)
class Copy:
    """A database made for a rehearsal."""

    name: str
    """Its ``NAME`` in the settings of a connection."""
    is_complete: bool
    """Whether it has the tables and rows of the original; if not, it is empty."""
    remove: Callable[[], None]


class Dialect(ABC):
    """One kind of database."""

    vendor: ClassVar[str]
    """Django's name of it, which the engine knows as well."""
    title: ClassVar[str]
    """Its name as people write it."""
    probe: ClassVar[str]
    """A query that fails if the database cannot be used."""

    keeps_time_zones: ClassVar[bool]
    """Whether a column of times knows their zone."""
    remakes_tables: ClassVar[bool]
    """Whether altering a column copies its table into a new one, in which Django fills NULL with any default."""
    names_constraints: ClassVar[bool]
    """Whether the database itself names constraints that a statement leaves without a name."""

    # Connections

    @abstractmethod
    def describe(self, connection: BaseDatabaseWrapper) -> str:
        """How messages call the database; never with a password."""

    @abstractmethod
    def missing_file(self, connection: BaseDatabaseWrapper) -> str | None:
        """The file that the database should be, if there is none."""

    @abstractmethod
    def lock_file(self, connection: BaseDatabaseWrapper) -> str | None:
        """The file that stands for our lock, if the database cannot lock a row."""

    @abstractmethod
    def allows_schema_changes(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """What has to surround a transaction that changes the schema."""

    @abstractmethod
    def begins_with_lock(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """Makes transactions that begin meanwhile take the lock at once that they would otherwise take later."""

    @abstractmethod
    def is_pooled(self, connection: BaseDatabaseWrapper) -> bool | None:
        """Whether a pooler stands between us and the server; ``None`` if there is no server."""

    @abstractmethod
    def cancel(self, connection: BaseDatabaseWrapper) -> None:
        """Stops the running statement, from another thread."""

    # Undoing

    @abstractmethod
    def careful(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """Lets schema changes follow data changes inside one transaction."""

    @abstractmethod
    def check_step(self, connection: BaseDatabaseWrapper) -> None:
        """Raises what the step has violated, if the database would find it only at the commit."""

    # Recording

    @abstractmethod
    def statements(self, text: str) -> list[str]:
        """The statements of a text, as the database accepts them one by one."""

    @abstractmethod
    def is_ambiguous(self, text: str) -> bool:
        """Whether ``statements`` may cut the text at a wrong place."""

    @abstractmethod
    def with_values(
        self,
        connection: BaseDatabaseWrapper,
        sql: str,
        params: Params,
        quote: Callable[[object], str],
    ) -> str:
        """The text with its parameters in it, as Django and the driver would send it."""

    # Rehearsals

    @abstractmethod
    def copy(self, connection: BaseDatabaseWrapper) -> Copy:
        """Makes a scratch copy. The caller turns the connection to it, and away from it before its removal."""


def find(connection: BaseDatabaseWrapper) -> Dialect | None:
    """The dialect of a connection; ``None`` if its database is not supported."""
    return DIALECTS.get(connection.vendor)


def of(connection: BaseDatabaseWrapper) -> Dialect:
    """The dialect of a connection to a supported database."""
    return DIALECTS[connection.vendor]


class PostgreSQL(Dialect):
    vendor = "postgresql"
    title = "PostgreSQL"
    probe = "SELECT 1"
    keeps_time_zones = True
    remakes_tables = False
    names_constraints = True

    def describe(self, connection: BaseDatabaseWrapper) -> str:
        database = connection.settings_dict
        place = f" on {database['HOST']}" if database.get("HOST") else ""
        port = f":{database['PORT']}" if database.get("HOST") and database.get("PORT") else ""
        return f'the PostgreSQL database "{database["NAME"]}"{place}{port}'

    def missing_file(self, connection: BaseDatabaseWrapper) -> str | None:
        return None

    def lock_file(self, connection: BaseDatabaseWrapper) -> str | None:
        return None

    def allows_schema_changes(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        return nullcontext()

    def begins_with_lock(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        return nullcontext()

    def is_pooled(self, connection: BaseDatabaseWrapper) -> bool | None:
        """A pooler tells its client another process id than the server's own."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        return bool(pid != connection.connection.info.backend_pid)

    def cancel(self, connection: BaseDatabaseWrapper) -> None:
        if connection.connection is not None:
            connection.connection.cancel()

    def careful(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        return connection.execute_wrapper(_FlushConstraints(connection))

    def check_step(self, connection: BaseDatabaseWrapper) -> None:
        if connection.in_atomic_block:
            connection.check_constraints()

    def statements(self, text: str) -> list[str]:
        return split(text)

    def is_ambiguous(self, text: str) -> bool:
        return len(split(text)) > 1 and BODY_WITHOUT_QUOTES.search(text) is not None

    def with_values(
        self,
        connection: BaseDatabaseWrapper,
        sql: str,
        params: Params,
        quote: Callable[[object], str],
    ) -> str:
        # Django's stubs know only the methods that all databases have.
        compose_sql: Callable[..., str] = connection.ops.compose_sql  # type: ignore[attr-defined]
        return compose_sql(sql, params)

    def copy(self, connection: BaseDatabaseWrapper) -> Copy:
        """A new database, empty: nothing of the original is locked or read."""
        name = f"django_rollback_{uuid.uuid4().hex[:12]}"
        self._beside(connection, f"CREATE DATABASE {connection.ops.quote_name(name)}")
        drop = f"DROP DATABASE IF EXISTS {connection.ops.quote_name(name)}"
        return Copy(name, is_complete=False, remove=functools.partial(self._beside, connection, drop))

    def _beside(self, connection: BaseDatabaseWrapper, sql: str) -> None:
        with connection._nodb_cursor() as cursor:
            cursor.execute(sql)


class SQLite(Dialect):
    vendor = "sqlite"
    title = "SQLite"
    probe = "PRAGMA schema_version"
    keeps_time_zones = False
    remakes_tables = True
    names_constraints = False

    def describe(self, connection: BaseDatabaseWrapper) -> str:
        return f"the SQLite database at {connection.settings_dict['NAME']}"

    def missing_file(self, connection: BaseDatabaseWrapper) -> str | None:
        """SQLite would make a new, empty database of a wrong path."""
        name = str(connection.settings_dict["NAME"])
        is_file = not _is_in_memory(connection) and not name.startswith("file:")
        return name if is_file and not os.path.exists(name) else None

    def lock_file(self, connection: BaseDatabaseWrapper) -> str | None:
        """A file beside the database's own."""
        if _is_in_memory(connection):
            return None
        name = str(connection.settings_dict["NAME"])
        path = name.removeprefix("file:").partition("?")[0] if name.startswith("file:") else name
        return os.path.realpath(path) + LOCK_SUFFIX

    @contextmanager
    def allows_schema_changes(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Foreign keys off: the schema editor insists on it, and it works only outside a transaction."""
        connection.disable_constraint_checking()
        try:
            yield
        finally:
            connection.enable_constraint_checking()

    @contextmanager
    def begins_with_lock(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Takes the write lock with ``BEGIN``: upgrading a read lock later could fail as busy."""
        method = "_start_transaction_under_autocommit"
        setattr(connection, method, lambda: connection.cursor().execute("BEGIN IMMEDIATE"))
        try:
            yield
        finally:
            delattr(connection, method)

    def is_pooled(self, connection: BaseDatabaseWrapper) -> bool | None:
        return None

    def cancel(self, connection: BaseDatabaseWrapper) -> None:
        if connection.connection is not None:
            connection.connection.interrupt()

    def careful(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        return connection.execute_wrapper(_rename_the_old_way)

    def check_step(self, connection: BaseDatabaseWrapper) -> None:
        """Nothing: the schema editor checks foreign keys itself."""

    def statements(self, text: str) -> list[str]:
        """The whole text: SQLite takes one statement at a time, so a semicolon inside belongs to a trigger."""
        found = list(spans(text))
        return [text[found[0][0] : found[-1][1]]] if found else []

    def is_ambiguous(self, text: str) -> bool:
        return False

    def with_values(
        self,
        connection: BaseDatabaseWrapper,
        sql: str,
        params: Params,
        quote: Callable[[object], str],
    ) -> str:
        if isinstance(params, Mapping):
            return sql % {name: quote(value) for name, value in params.items()}
        parts = [part.replace("%%", "%") for part in re.split("(?<!%)%s", sql)]
        values = [*(quote(value) for value in params), ""]
        return "".join(part + value for part, value in zip(parts, values, strict=True))

    def copy(self, connection: BaseDatabaseWrapper) -> Copy:
        """A copy of the file, with all tables and rows."""
        if _is_in_memory(connection):
            raise CannotCopy("a database in memory has no file to copy")
        folder = tempfile.mkdtemp(prefix="django-rollback-")
        remove = functools.partial(shutil.rmtree, folder, ignore_errors=True)
        path = os.path.join(folder, "scratch.sqlite3")
        try:
            with connection.cursor() as cursor:
                cursor.execute("VACUUM INTO %s", [path])
        except BaseException:
            remove()
            raise
        return Copy(path, is_complete=True, remove=remove)


DIALECTS: dict[str, Dialect] = {dialect.vendor: dialect for dialect in (PostgreSQL(), SQLite())}
SUPPORTED = ", ".join(dialect.title for dialect in DIALECTS.values())

LOCK_SUFFIX = ".rollback-lock"


def _is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    # Django's stubs know only the methods that all databases have.
    return bool(connection.is_in_memory_db())  # type: ignore[attr-defined]


BODY_WITHOUT_QUOTES = re.compile(r"\bBEGIN\s+ATOMIC\b", re.IGNORECASE)
COMMENTS = re.compile(r"^(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
GAP = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)"
CONCURRENT_INDEX = re.compile(
    rf"((?:^|;){GAP}*(?:CREATE{GAP}+(?:UNIQUE{GAP}+)?INDEX|DROP{GAP}+INDEX)){GAP}+CONCURRENTLY\b",
    re.IGNORECASE | re.DOTALL,
)
FLUSHED_BEFORE = ("ALTER", "DROP", "CREATE", "TRUNCATE", "COMMENT")
CHANGES_NO_ROWS = (*FLUSHED_BEFORE, "SET CONSTRAINTS", "SAVEPOINT", "RELEASE")


class _FlushConstraints:
    """PostgreSQL refuses to alter a table with pending trigger events: deferred constraints are checked before."""

    def __init__(self, connection: BaseDatabaseWrapper):
        self.connection = connection
        self.pending = True

    def __call__(self, execute: Execute, sql: str, params: object, many: bool, context: Context) -> object:
        if self.connection.in_atomic_block and CONCURRENT_INDEX.match(str(sql)):
            sql = CONCURRENT_INDEX.sub(r"\1", str(sql))
        statement = COMMENTS.sub("", str(sql)).upper()
        if not statement.startswith(CHANGES_NO_ROWS):
            self.pending = self.pending or not statement.startswith("SELECT")
        elif self.pending and self.connection.in_atomic_block and statement.startswith(FLUSHED_BEFORE):
            return self._after_flush(execute, sql, params, many, context)
        return execute(sql, params, many, context)

    def _after_flush(self, execute: Execute, sql: str, params: object, many: bool, context: Context) -> object:
        violated = self._flush(execute, context)
        self.pending = violated is not None
        try:
            return execute(sql, params, many, context)
        except DatabaseError as error:
            if violated is None or "pending trigger events" not in str(error):
                raise
            raise violated from None

    def _flush(self, execute: Execute, context: Context) -> IntegrityError | None:
        """Checks what is deferred. A violation stays deferred, as in Django: later statements may repair it."""
        flush = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
        try:
            execute(f"SAVEPOINT flush_constraints; {flush}; RELEASE flush_constraints", None, False, context)
        except IntegrityError as error:
            execute("ROLLBACK TO flush_constraints; RELEASE flush_constraints", None, False, context)
            return error
        return None


def _rename_the_old_way(execute: Execute, sql: str, params: object, many: bool, context: Context) -> object:
    """SQLite refuses to rename a remade table that a view names, unless it renames as older versions did."""
    if not str(sql).startswith('ALTER TABLE "new__'):
        return execute(sql, params, many, context)
    execute("PRAGMA legacy_alter_table = ON", None, False, context)
    try:
        return execute(sql, params, many, context)
    finally:
        execute("PRAGMA legacy_alter_table = OFF", None, False, context)
