"""The physical floor: records appended to a plain file, made durable by one thread for all that wait, and no more."""

from __future__ import annotations

import asyncio
import os
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RECORD = os.urandom(250).hex().encode()
"""500 bytes, about what a journaled call takes."""


class Floor:
    """Appends bytes with fdatasync, one for whatever waits, and wakes the loop once for them.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._queue: SimpleQueue[tuple[bytes, asyncio.Future[None]] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write, name="floor", daemon=True)
        self._thread.start()

    def append(self, record: bytes = RECORD) -> asyncio.Future[None]:
        """Append a record; the future resolves when it is on the disk."""
        landed: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((record, landed))
        return landed

    def close(self) -> None:
        """End the thread."""
        self._queue.put(None)
        self._thread.join()
        os.close(self._fd)

    def _write(self) -> None:
        while True:
            first = self._queue.get()
            batch = [first]
            while not self._queue.empty():
                batch.append(self._queue.get())
            waiting = [one for one in batch if one is not None]
            if waiting:
                os.write(self._fd, b"".join([record for record, _ in waiting]))
                os.fdatasync(self._fd)
                self._loop.call_soon_threadsafe(_resolve, [landed for _, landed in waiting])
            if len(waiting) < len(batch):
                return


def _resolve(landed: list[asyncio.Future[None]]) -> None:
    for future in landed:
        if not future.done():
            future.set_result(None)
