"""The write-ahead log beside a journal: how full it is, and room made in it ahead of need.

A commit into a part of the log that is on the disk already costs about half of one that makes the file longer, because
the file system then has nothing but the data to write. SQLite reads a log up to the first frame whose salt or checksum
does not fit, so zeros behind the newest frame mean nothing to it.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from pathlib import Path

IDLE = 4 * 1024 * 1024
"""Bytes in use from which an idle store moves the log into the journal's file."""
BUSY = 16 * 1024 * 1024
"""Bytes in use from which a busy store does so too."""
STEP = 1024 * 1024
"""Bytes of room made in one go."""

_HEADER = 32
_FRAME_HEADER = 24


class Log:
    """A handle on the log of an open journal. The log itself carries no locks, so that closing this one is safe."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self._fd = os.open(path, (os.O_RDONLY if readonly else os.O_RDWR) | os.O_CLOEXEC)

    def used(self) -> int:
        """Bytes of frames since the log was last begun anew, whichever process wrote them.

        Frames carry the salt of the log's header; older ones behind them carry another, so halving finds the border.
        """
        header = os.pread(self._fd, _HEADER, 0)
        if len(header) < _HEADER:
            return 0
        salt = header[16:24]
        frame = _FRAME_HEADER + int.from_bytes(header[8:12], "big")
        low, high = 0, (os.fstat(self._fd).st_size - _HEADER) // frame
        while low < high:
            middle = (low + high) // 2
            if os.pread(self._fd, 8, _HEADER + middle * frame + 8) == salt:
                low = middle + 1
            else:
                high = middle
        return low * frame

    def stamp(self) -> tuple[bytes, int]:
        """Something that is another one after every transaction: times of files are too coarse for that."""
        return os.pread(self._fd, _HEADER, 0)[16:24], self.used()

    def roomy(self) -> bool:
        """Whether the file is as long as an idle store ever needs it."""
        return os.fstat(self._fd).st_size >= IDLE + STEP

    def widen(self, conn: sqlite3.Connection) -> None:
        """Make the file longer by one step of zeros.

        Raises:
            sqlite3.Error, OSError: There is no room, or somebody else is writing.
        """
        conn.execute("BEGIN IMMEDIATE")  # keeps programs out that do not know the directory's lock
        try:
            end = os.fstat(self._fd).st_size
            os.pwrite(self._fd, bytes(STEP), end)
            os.fdatasync(self._fd)
        finally:
            conn.execute("ROLLBACK")

    def close(self) -> None:
        """Close the handle."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def checkpoint(conn: sqlite3.Connection, mode: str) -> bool:
    """Move the log into the journal's file, without waiting for readers where ``mode`` is ``PASSIVE``.

    Returns:
        Whether all of it was moved.
    """
    try:
        busy, log, moved = conn.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    except sqlite3.Error as error:
        logger.warning("toolguard: the journal's log could not be moved into its file: {}", error)
        return False
    return not busy and log == moved
