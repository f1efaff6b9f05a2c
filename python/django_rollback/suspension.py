"""Whether our receivers of Django's signals do nothing for a while: a rollback sends the signals of ``migrate`` too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

_is_suspended = False


def is_suspended() -> bool:
    """Whether a rollback is sending the signals itself, and so holds the lock already."""
    return _is_suspended


@contextlib.contextmanager
def suspended() -> Iterator[None]:
    """Suspends the receivers meanwhile."""
    global _is_suspended
    before, _is_suspended = _is_suspended, True
    try:
        yield
    finally:
        _is_suspended = before
