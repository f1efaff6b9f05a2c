"""Puts temporary files into memory, if the machine has room: nothing that a test writes has to last."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
# At its height a run needs less than a quarter of this.
ROOM = 4 << 30


def use() -> None:
    """From here on temporary files are in memory, unless TMPDIR names a folder."""
    if "TMPDIR" not in os.environ and _has_room():
        os.environ["TMPDIR"] = str(SHARED_MEMORY)
        tempfile.tempdir = None


def _has_room() -> bool:
    """Whether there is room, and whether programs may run there: some tests write their own."""
    if not SHARED_MEMORY.is_dir() or not os.access(SHARED_MEMORY, os.W_OK):
        return False
    found = os.statvfs(SHARED_MEMORY)
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC
