"""PgBouncer in front of the test server, with transaction pooling: each transaction may get another server connection.

The pool is smaller than the number of its clients, so that nothing that a session keeps is still there the next time.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.database import Database
from harness.postgres import (
    START_SECONDS,
    SUPERUSER,
    Cluster,
    _free_port,
    _stop_with_parent,
    _temporary_root,
    _unprivileged_user,
)

POOL_SIZE = 3
PROGRAM = "pgbouncer"
PACKAGE = "pgbouncer"
# Not on the PATH of everybody who may run it.
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"

CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
admin_users = {superuser}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
"""


class PgBouncerUnavailable(Exception):
    """There is no program, or it does not start; the message says why."""


class PgBouncer:
    """A running PgBouncer in front of `cluster`; a context manager, and stopped at the end of the process in any case.

    Clients log in as the superuser of the cluster, to any of its databases.
    """

    def __init__(self, cluster: Cluster, *, pool_size: int = POOL_SIZE) -> None:
        program = find_program()
        self.pool_size = pool_size
        self._cluster = cluster
        # It refuses to run as root, just as the server does.
        self._owner = _unprivileged_user()
        self.directory = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir=_temporary_root(self._owner)))
        self.port = _free_port()
        self._process: subprocess.Popen[Any] | None = None
        atexit.register(self.stop)
        self._configure()
        self._start(program)

    def __enter__(self) -> PgBouncer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def database(self, name: str) -> Database:
        """The database `name` of the server behind, reached through the pool."""
        return replace(self._cluster.database(name), port=self.port)

    def stop(self) -> None:
        """Stop it and remove its directory; doing it twice does no harm."""
        atexit.unregister(self.stop)
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def _configure(self) -> None:
        users = self.directory / "users.txt"
        users.write_text(f'"{SUPERUSER}" ""\n')
        text = CONFIGURATION.format(
            server_port=self._cluster.port,
            port=self.port,
            users=users,
            superuser=SUPERUSER,
            pool_size=self.pool_size,
        )
        self._configuration.write_text(text)
        if self._owner is not None:
            for path in (self.directory, users, self._configuration):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)

    def _start(self, program: str) -> None:
        options: dict[str, Any] = {"cwd": self.directory, "env": {"PATH": os.environ.get("PATH", os.defpath)}}
        if self._owner is not None:
            options |= {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}
        with self._log.open("wb") as log:
            process = self._process = subprocess.Popen(
                [program, "--quiet", str(self._configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_stop_with_parent,
                **options,
            )
        self._wait_until_ready(process)

    def _wait_until_ready(self, process: subprocess.Popen[Any]) -> None:
        """It is ready when the server answers through it."""
        import psycopg

        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(psycopg.OperationalError):
                self.database("postgres").execute("SELECT 1")
                return
            time.sleep(0.02)
        raise PgBouncerUnavailable(f"PgBouncer did not start:\n{self._log.read_text(errors='replace')}")

    @property
    def _configuration(self) -> Path:
        return self.directory / "pgbouncer.ini"

    @property
    def _log(self) -> Path:
        return self.directory / "log"


def find_program() -> str:
    """The program of this machine; its package is installed if there is none."""
    return _program() or _install_package()


def _program() -> str | None:
    return shutil.which(PROGRAM) or shutil.which(PROGRAM, path=SYSTEM_FOLDERS)


def _install_package() -> str:
    why = "only root may install it"
    if os.geteuid() == 0:
        why = "there is no apt-get to install it with"
        if apt := shutil.which("apt-get"):
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            command = [apt, "install", "-y", "--no-install-recommends", PACKAGE]
            result = subprocess.run(command, capture_output=True, text=True, env=environment)
            if program := _program():
                return program
            why = f"`{' '.join(command)}` failed:\n{result.stdout}{result.stderr}"
    raise PgBouncerUnavailable(f"no {PROGRAM} found, and {why}\ninstall PgBouncer (on Debian: the package {PACKAGE})")
