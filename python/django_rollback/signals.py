"""Ctrl-C and SIGTERM: the first one takes back what is under way, the second one ends the process at once."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Interruption(KeyboardInterrupt):
    """A signal asked to stop. Drivers know ``KeyboardInterrupt``: they cancel the statement that runs."""

    def __init__(self, number: int):
        super().__init__(f"signal {number}")
        self.signal = number


class Signals:
    """Raises an ``Interruption`` once, and only in the sections that can be taken back; a commit is none of them."""

    def __init__(self) -> None:
        self.cancel: Callable[[], None] = lambda: None
        self._pending: int | None = None
        self._raised = False
        self._depth = 0

    @contextlib.contextmanager
    def section(self) -> Iterator[None]:
        """A part that may be interrupted; a signal that came before it interrupts it at its beginning."""
        self._depth += 1
        try:
            if self._pending is not None:
                self._raise()
            yield
        finally:
            self._depth -= 1

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handles the signals meanwhile. Only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in STOPPING}
        try:
            with self._watched():
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: Any) -> None:
        for each in STOPPING:
            signal.signal(each, signal.SIG_DFL)
        self._pending = number
        if self._depth:
            self._raise()

    def _raise(self) -> None:
        if not self._raised and self._pending is not None:
            self._raised = True
            raise Interruption(self._pending)

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """A thread that cancels the running statement: a driver in C may not return to Python before its end."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        watcher = threading.Thread(target=self._watch, args=(ours,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            theirs.close()
            watcher.join()
            ours.close()

    def _watch(self, socket: socket.socket) -> None:
        while received := socket.recv(1):
            if received[0] in STOPPING:
                with contextlib.suppress(Exception):
                    self.cancel()
