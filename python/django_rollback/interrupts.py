"""Ctrl-C and SIGTERM: the first one takes back what is under way, the second one ends the process at once."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Interruption(KeyboardInterrupt):
    """A signal asked to stop. Drivers know ``KeyboardInterrupt``: they cancel the running statement."""

    def __init__(self, number: int):
        super().__init__(f"signal {number}")
        self.signal = number


class Interrupts:
    """Raises an ``Interruption`` once, and only in sections that can be taken back. A commit is no such section."""

    def __init__(self) -> None:
        self.cancel: Callable[[], None] = lambda: None
        """Stops the running statement; called from another thread."""
        self._pending: int | None = None
        self._raised = False
        self._depth = 0

    @contextlib.contextmanager
    def section(self) -> Iterator[None]:
        """Code that may be interrupted. A signal that came before it interrupts it at its beginning."""
        self._depth += 1
        try:
            if self._pending is not None:
                self._raise()
            yield
        finally:
            self._depth -= 1

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handles the signals meanwhile. Python allows this only in the main thread; others change nothing."""
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

    def _handle(self, number: int, frame: FrameType | None) -> None:
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
        """Runs a thread that cancels the running statement: a driver in C may not return to Python before its end."""
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

    def _watch(self, wakeups: socket.socket) -> None:
        while received := wakeups.recv(1):
            if received[0] in STOPPING:
                with contextlib.suppress(Exception):
                    self.cancel()
