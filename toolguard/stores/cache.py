"""Read results kept for a while across sessions and processes: a cache, where anything may be evicted at any time."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import diskcache  # type: ignore[import-untyped]

from toolguard.errors import StoreDamaged, StoreError, StoreForeign, StoreUnavailable
from toolguard.stores.mounts import network_filesystem

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

ROOM = 256 * 1024 * 1024
"""Default size of a cache directory in bytes, beyond which the least recently stored results go first."""


_Disk = cast("Any", diskcache.Disk)
_Cache = cast("Any", diskcache.Cache)
_RAW: Final = 1  # diskcache's mode of a value that stands in its row as it is
_ROW: Final = 128  # what a row costs beside its value, in bytes


class Cache(Protocol):
    """A place for results that may be reused for a while. Synchronous; used from a worker thread."""

    def get(self, key: str) -> bytes | None:
        """A value that is still fresh, or None. An empty value is a value."""
        ...

    def put(self, key: str, value: bytes, fresh_for: float) -> None:
        """Keep a value for at most ``fresh_for`` seconds; nothing is kept for 0 or less."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


class PlainDisk(_Disk):  # type: ignore[misc, valid-type]  # diskcache has no types
    """Stores text keys and bytes, inside the database file alone, and never unpickles whatever a row says."""

    def put(self, key: Any) -> tuple[Any, bool]:
        """The database form of a key."""
        if not isinstance(key, str):
            raise TypeError(f"keys are text, not {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: Any) -> str:
        """The key of a row."""
        if not raw or not isinstance(key, str):
            raise PlantedRowError("a row's key is pickled")
        return key

    def store(self, value: Any, read: Any, key: Any = None) -> tuple[int, int, None, Any]:  # noqa: ARG002 -- theirs
        """The database form of a value: size, mode, file name, value."""
        if read or not isinstance(value, bytes):
            raise TypeError(f"values are bytes, not {type(value).__name__}")
        return len(value) + _ROW, _RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: Any, filename: Any, value: Any, read: Any) -> bytes:  # noqa: ARG002 -- diskcache's own
        """The value of a row."""
        if mode != _RAW or filename is not None or not isinstance(value, bytes):
            raise PlantedRowError("a row's value is not plain bytes")
        return value

    def remove(self, file_path: Any) -> None:
        """Nothing is kept in files of its own, so a row that names one has none deleted."""


class PlainCache(_Cache):  # type: ignore[misc, valid-type]
    """Measures what it holds by its rows: the file itself does not shrink when rows are evicted."""

    def volume(self) -> int:
        """Bytes held."""
        return int(self.reset("size"))


class PlantedRowError(ValueError):
    """A row that toolguard cannot have written; it is refused unread."""


class ReadCache:
    """A cache in a directory of this machine, shared by its processes.

    Args:
        path: The directory; made with mode 0700 where it is missing. It may be deleted while nobody has it open.
        room: Size in bytes beyond which the least recently stored values go.

    Raises:
        StoreForeign: The directory lies on a network file system.
        StoreUnavailable: It cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], *, room: int = ROOM) -> None:
        self.path = Path(path).absolute()
        kind = network_filesystem(self.path)
        if kind is not None:
            raise StoreForeign(
                f"{self.path} lies on a network file system ({kind})", advice="Use a directory on a local disk."
            )
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self._cache: Any = PlainCache(
                str(self.path),
                timeout=1,
                disk=PlainDisk,
                size_limit=room,
                eviction_policy="least-recently-stored",
                cull_limit=10,
                statistics=0,
                tag_index=0,
                sqlite_auto_vacuum=0,
                sqlite_mmap_size=0,
                sqlite_synchronous=1,
            )
            for file in self.path.glob("cache.db*"):
                file.chmod(0o600)
        except (OSError, sqlite3.Error, diskcache.Timeout, TypeError, ValueError, AttributeError) as error:
            raise self._explained(error) from error

    def get(self, key: str) -> bytes | None:
        """A value that is still fresh, or None.

        Raises:
            StoreDamaged: The row is not one that toolguard wrote; it was not unpickled.
            StoreUnavailable: The cache does not answer.
        """
        try:
            value: bytes | None = self._cache.get(key, default=None, retry=False)
        except PlantedRowError as error:
            raise StoreDamaged(
                f"the cache in {self.path} holds a row that toolguard did not write: {error}",
                advice="Find out who can write that directory, then delete it; nothing but cached reads is lost.",
            ) from error
        except (OSError, sqlite3.Error, diskcache.Timeout) as error:
            raise self._explained(error) from error
        return value

    def put(self, key: str, value: bytes, fresh_for: float) -> None:
        """Keep a value for at most ``fresh_for`` seconds; nothing is kept for 0 or less.

        Raises:
            StoreUnavailable: The cache does not answer.
        """
        if fresh_for <= 0:
            return
        try:
            self._cache.set(key, value, expire=fresh_for, retry=False)
        except (OSError, sqlite3.Error, diskcache.Timeout) as error:
            raise self._explained(error) from error

    def close(self) -> None:
        """Close this thread's connection; those of other threads end with their threads."""
        self._cache.close()

    def _explained(self, error: Exception) -> StoreError:
        said = str(error) or type(error).__name__
        return StoreUnavailable(
            f"the cache in {self.path} does not answer: {said}", advice="Look at the disk, or delete the directory."
        )


class MemoryCache:
    """The same in this process's memory.

    Args:
        clock: Gives the time in seconds; monotonic.
        entries: How many values are kept; beyond it the oldest go first.
    """

    def __init__(self, clock: Callable[[], float], *, entries: int = 10_000) -> None:
        self._clock = clock
        self._entries = entries
        self._kept: dict[str, tuple[float, bytes]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """A value that is still fresh, or None."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            if found[0] <= self._clock():
                del self._kept[key]
                return None
            return found[1]

    def put(self, key: str, value: bytes, fresh_for: float) -> None:
        """Keep a value for at most ``fresh_for`` seconds; nothing is kept for 0 or less."""
        if fresh_for <= 0:
            return
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (self._clock() + fresh_for, value)
            while len(self._kept) > self._entries:
                del self._kept[next(iter(self._kept))]

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
