"""Runs commands in forks of a Python process that has imported Django already: a start costs milliseconds.

A fork gets a command line, an environment, a folder and standard streams, and runs and ends like a process of its own.
The process that forks imports nothing that depends on settings, and opens no connection. Some variables are read only
when Python starts; `Warm.can_run` says whether a command needs a fresh process for that.

The second half of this file is the process that forks. It runs in any Python, and imports nothing of the tests.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Variables that Python, the C library or the loader of libraries reads once, when a process starts.
START_TIME_VARIABLES = ("PYTHON", "LC_", "LANG", "LD_")
LENGTH_BYTES = 8
READY = b"ready\n"
# The program `Warm.front`: it starts ten times faster than Django, asks for a fork, and passes signals on.
FRONT = """\
#!{python} -IS
import os, signal, socket, sys

command = ["{python}", *sys.argv[1:]]
# Python sets LC_CTYPE by itself if nothing else says how texts are encoded.
read_at_start = [name for name in os.environ if name.startswith({prefixes}) and name != "LC_CTYPE"]
if {{name: os.environ[name] for name in read_at_start}} != {start_time} or sys.argv[1].startswith("-"):
    os.execv(command[0], command)
import json

request = json.dumps({{"command": command, "environment": dict(os.environ), "folder": os.getcwd()}}).encode()
connection = socket.socket(socket.AF_UNIX)
connection.connect("{address}")
socket.send_fds(connection, [len(request).to_bytes({length}, "big")], [0, 1, 2])
connection.sendall(request)
child = int.from_bytes(connection.recv({length}, socket.MSG_WAITALL), "big")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: os.kill(child, number))
code = os.waitstatus_to_exitcode(int.from_bytes(connection.recv({length}, socket.MSG_WAITALL), "big"))
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class Process:
    """A fork on its way, with as much of `subprocess.Popen` as the tests use."""

    def __init__(self, args: Sequence[str], connection: socket.socket) -> None:
        self.args = list(args)
        self.returncode: int | None = None
        self._connection = connection
        self.pid = self._read()

    def poll(self) -> int | None:
        """The exit code, or a signal as a negative number; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit code."""
        if self.returncode is None:
            if timeout is not None and not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = os.waitstatus_to_exitcode(self._read())
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def _read(self) -> int:
        try:
            return int.from_bytes(_exactly(self._connection, LENGTH_BYTES), "big")
        except EOFError:
            raise RuntimeError(f"the process that forks has ended before {self.args} has") from None


class Warm:
    """The process that forks, seen from the tests."""

    def __init__(
        self, python: str, environment: Mapping[str, str], *, folder: Path = Path("/"), load: str = ""
    ) -> None:
        """Start it in `folder`; the code `load` is run there once, before anything is forked."""
        self._python = python
        self._start_time = _start_time(environment)
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        self.address = str(Path(self._folder.name) / "socket")
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [python, str(Path(__file__).resolve()), self.address, load]
        self._server = subprocess.Popen(command, env=dict(environment), cwd=folder, **pipes)
        assert self._server.stdout is not None
        if self._server.stdout.readline() != READY:
            raise RuntimeError("the process that forks does not start: it says why on stderr")
        atexit.register(self.close)

    def can_run(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether a fork can run it: `python FILE …` or `python -c CODE …` with our start-time variables."""
        is_plain = command[0] == self._python and (command[1] == "-c" or not command[1].startswith("-"))
        return is_plain and _start_time(environment) == self._start_time

    def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdin: int,
        stdout: int,
        stderr: int,
        first: str = "",
    ) -> Process:
        """Begin a command with these open files as its standard streams; the caller closes its own copies.

        The code `first` is run in the fork before the command.
        """
        facts = {"command": list(command), "environment": dict(env), "folder": str(cwd), "first": first}
        request = json.dumps(facts).encode()
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.address)
        socket.send_fds(connection, [len(request).to_bytes(LENGTH_BYTES, "big")], [stdin, stdout, stderr])
        connection.sendall(request)
        return Process(command, connection)

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, like `subprocess.run` with no input and captured output."""
        deadline = time.monotonic() + timeout
        pipes = [os.pipe(), os.pipe()]
        try:
            with open(os.devnull) as nothing:
                (_, stdout), (_, stderr) = pipes
                process = self.start(command, env=env, cwd=cwd, stdin=nothing.fileno(), stdout=stdout, stderr=stderr)
        finally:
            for _, end in pipes:
                os.close(end)
        try:
            out, err = _read_all([end for end, _ in pipes], command, deadline)
            code = process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            for end, _ in pipes:
                os.close(end)
        return subprocess.CompletedProcess(command, code, _text(out), _text(err))

    @functools.cached_property
    def front(self) -> Path:
        """A program that stands in for the Python: a fork runs its command line, with the program's own streams."""
        path = Path(self._folder.name) / "python"
        facts = {"python": self._python, "address": self.address, "start_time": self._start_time}
        path.write_text(FRONT.format(**facts, prefixes=START_TIME_VARIABLES, length=LENGTH_BYTES))
        path.chmod(0o755)
        return path

    def close(self) -> None:
        """End the process; doing it twice does no harm."""
        atexit.unregister(self.close)
        for pipe in (self._server.stdin, self._server.stdout):
            if pipe is not None:
                pipe.close()
        self._server.wait()
        self._folder.cleanup()


@functools.cache
def of(python: str, environment: tuple[tuple[str, str], ...]) -> Warm:
    """The one warm process of a Python that starts in this environment; it ends with the run of the tests."""
    return Warm(python, dict(environment))


def _start_time(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(START_TIME_VARIABLES)}


def _read_all(ends: list[int], command: Sequence[str], deadline: float) -> list[bytes]:
    """All that is written to these pipes until every writer has closed them."""
    found: dict[int, list[bytes]] = {end: [] for end in ends}
    with selectors.DefaultSelector() as selector:
        for end in ends:
            selector.register(end, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0, deadline - time.monotonic()))
            if not ready:
                raise subprocess.TimeoutExpired(list(command), deadline)
            for key, _ in ready:
                chunk = os.read(key.fd, 1 << 16)
                found[key.fd].append(chunk)
                if not chunk:
                    selector.unregister(key.fd)
    return [b"".join(chunks) for chunks in found.values()]


def _text(output: bytes) -> str:
    return io.TextIOWrapper(io.BytesIO(output), encoding="utf-8").read()


# From here on: the process that forks.

# What most commands import. Models are not here: importing them needs settings.
IMPORTED_AHEAD = (
    "psycopg",
    "django.contrib.auth.apps",
    "django.contrib.auth.hashers",
    "django.contrib.auth.password_validation",
    "django.contrib.contenttypes.apps",
    "django.contrib.contenttypes.checks",
    "django.contrib.contenttypes.management",
    "django.core.management.commands.migrate",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.template.defaultfilters",
    "django.template.defaulttags",
    "django.template.loader_tags",
    "django.templatetags.i18n",
    "django.utils.translation.reloader",
    "django.views.debug",
)
OUR_APP = "django_rollback"


def serve(address: str) -> dict[str, Any] | None:
    """Fork for each request, and return it in the fork; return None when the owner has closed our standard input."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    ended, wake_up = os.pipe()
    for end in (ended, wake_up):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Ctrl-C is for the process that runs the tests, which ends this one by closing its standard input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running: dict[int, socket.socket] = {}
    owner = 0
    poll = select.poll()
    for end in (owner, listener.fileno(), ended):
        poll.register(end, select.POLLIN)
    os.write(1, READY)
    while True:
        ready = [number for number, _ in poll.poll()]
        if owner in ready:
            return None
        if ended in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(ended, 1 << 12)
            _report(running)
        if listener.fileno() in ready:
            connection, _ = listener.accept()
            request, files = _receive(connection)
            child = os.fork()
            if child == 0:
                for each in (listener, connection, *running.values()):
                    each.detach()
                _take(request, files)
                return request
            for file in files:
                os.close(file)
            running[child] = connection
            _tell(connection, child)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, files, _, _ = socket.recv_fds(connection, LENGTH_BYTES, 3)
    head += _exactly(connection, LENGTH_BYTES - len(head))
    return json.loads(_exactly(connection, int.from_bytes(head, "big"))), list(files)


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        chunk = connection.recv(size - len(found))
        if not chunk:
            raise EOFError
        found += chunk
    return found


def _tell(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(number.to_bytes(LENGTH_BYTES, "big"))


def _report(running: dict[int, socket.socket]) -> None:
    """Tell the clients whose forks have ended."""
    for child in list(running):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            with running.pop(child) as connection:
                _tell(connection, status)


def _take(request: dict[str, Any], files: list[int]) -> None:
    """Become the requested process: open no file but its streams; take its environment, its folder, usual signals."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 1 << 16)
    sys.stdin = sys.__stdin__ = _stream(sys.__stdin__, "r")
    sys.stdout = sys.__stdout__ = _stream(sys.__stdout__, "w")
    sys.stderr = sys.__stderr__ = _stream(sys.__stderr__, "w")
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])


def _stream(like: Any, mode: str) -> Any:
    """A standard stream as Python makes one, over the file that has its number now."""
    number, name = like.fileno(), like.name
    binary = open(number, f"{mode}b", closefd=False)  # noqa: SIM115
    getattr(binary, "raw", binary).name = name
    by_line = binary.isatty() or number == 2
    text = io.TextIOWrapper(binary, like.encoding, like.errors, newline="\n", line_buffering=by_line)
    text.mode = mode  # type: ignore[misc]
    return text


def _main_module(command: list[str]) -> tuple[types.CodeType, types.ModuleType]:
    """The code of a command line, and the module in which it runs."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.orig_argv = list(command)
    sys.argv = command[1:]
    if command[1] == "-c":
        sys.argv = ["-c", *command[3:]]
        sys.path[0] = ""
        return compile(command[2], "<string>", "exec"), main
    sys.path[0] = str(Path(command[1]).resolve().parent)
    main.__file__ = command[1]
    return compile(Path(command[1]).read_bytes(), command[1], "exec"), main


def _without_our_frames(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    """Print an error with a trace that begins in the command's own code."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def _import_ahead() -> None:
    """Import what most commands need, as far as this Python has it."""
    for name in IMPORTED_AHEAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError):
        package = importlib.import_module(OUR_APP)
        for module in pkgutil.walk_packages(package.__path__, f"{OUR_APP}.", onerror=lambda name: None):
            # Another version of it may import its models everywhere, which needs settings.
            with contextlib.suppress(Exception):
                importlib.import_module(module.name)
    _leave_out_of_collections()


def _leave_out_of_collections() -> None:
    """A collection would touch every object that is here now, so that each fork would get its own copy."""
    gc.collect()
    gc.freeze()


def _end_quickly(code: int) -> None:
    """Do what others see of the interpreter's end, and exit: taking it down piece by piece costs more than a command.

    If the output cannot be written, return: the interpreter's own end follows and reports it.
    """
    threading._shutdown()
    atexit._run_exitfuncs()
    _close_connections()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    os._exit(code & 0xFF)


def _close_connections() -> None:
    """Close the connections that the interpreter's end would close."""
    django = sys.modules.get("django")
    if django is not None and django.conf.settings.configured:
        django.db.connections.close_all()


if __name__ == "__main__":
    _import_ahead()
    _address, _load = sys.argv[1:]
    if _load:
        sys.path[0] = os.getcwd()
        exec(_load, {})
        _leave_out_of_collections()
    if request := serve(_address):
        sys.excepthook = _without_our_frames
        exec(request.get("first", ""), {})
        _code, _module = _main_module(request["command"])
        try:
            exec(_code, vars(_module))
        except SystemExit as _end:
            if _end.code is None or isinstance(_end.code, int):
                _end_quickly(_end.code or 0)
            raise
        _end_quickly(0)
