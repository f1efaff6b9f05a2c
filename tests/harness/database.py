"""One database, said in all the ways that the tests need: as a URL, as Django settings, as a connection.

It knows how to reach a database and nothing about what is in it; that is the oracle's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class Database:
    """A SQLite file or a PostgreSQL database; `vendor` is Django's word for which."""

    vendor: str
    name: str
    host: str = ""
    port: int = 0
    user: str = ""

    @classmethod
    def sqlite(cls, path: Path) -> Database:
        """The SQLite database in the file `path`, which need not exist yet."""
        return cls("sqlite", str(path.absolute()))

    @property
    def url(self) -> str:
        """The database as the native program takes it, without a password: none is needed."""
        if self.vendor == "sqlite":
            return f"sqlite:///{quote(self.name)}"
        if self.host.startswith("/"):
            return f"postgresql://{self.user}@/{self.name}?host={quote(self.host, safe='')}&port={self.port}"
        return f"postgresql://{self.user}@{self.host}:{self.port}/{self.name}"

    @property
    def settings(self) -> dict[str, str]:
        """One entry of Django's DATABASES."""
        if self.vendor == "sqlite":
            return {"ENGINE": "django.db.backends.sqlite3", "NAME": self.name}
        server = {"ENGINE": "django.db.backends.postgresql", "NAME": self.name}
        return server | {"HOST": self.host, "PORT": str(self.port), "USER": self.user}

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """A DB-API connection that commits each statement and is closed at the end of the block."""
        with closing(self.open()) as connection:
            yield connection

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows, if it has any."""
        with self.connect() as connection:
            cursor = connection.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def open(self) -> Any:
        """A DB-API connection that commits each statement; whoever asks for it has to close it."""
        if self.vendor == "sqlite":
            return sqlite3.connect(f"file:{quote(self.name)}?mode=rw", uri=True, isolation_level=None)
        import psycopg

        return psycopg.connect(host=self.host, port=self.port, user=self.user, dbname=self.name, autocommit=True)
