"""The two locks of a shared directory: one around every transaction, and one per process that shows it is alive."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from toolguard.errors import StoreBusy, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

PATIENCE = 0.25
"""Longest wait for another process's transaction, in seconds."""

_LABEL = 160
_TAKEN = frozenset({errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK})


class DirectoryLock:
    """An exclusive lock on a file of its own, held around every transaction, open, checkpoint and close.

    The file says who held it last, so that whoever waits in vain can name the process. The lock is never broken.
    """

    def __init__(self, path: Path, process: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        label = f"process {os.getpid()} ({process})".encode("utf-8", "backslashreplace")[:_LABEL]
        self._label = label.ljust(_LABEL)

    def acquire(self, patience: float = PATIENCE) -> None:
        """Take the lock, polling for at most ``patience`` seconds.

        Raises:
            StoreBusy: Another process holds it for longer; the message names it.
            StoreUnavailable: The file system does not lock.
        """
        fd = self._fd
        if not self._try():
            self._poll(patience)
        if os.pread(fd, _LABEL, 0) != self._label:
            with suppress(OSError):  # a full disk must not keep anybody from locking: the label is for people
                os.pwrite(fd, self._label, 0)

    def release(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    @contextmanager
    def held(self, patience: float = PATIENCE) -> Generator[None]:
        """The lock for the length of a block.

        Raises:
            StoreBusy: Another process holds it for longer than ``patience`` seconds.
        """
        self.acquire(patience)
        try:
            yield
        finally:
            self.release()

    def holder(self) -> str:
        """Who took the lock last, for people."""
        text = os.pread(self._fd, _LABEL, 0).decode("utf-8", "replace").strip()
        return text or "another process"

    def close(self) -> None:
        """Close the file; in a forked child this leaves the parent's lock as it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise StoreUnavailable(
                f"{self.path} cannot be locked: {error}", advice="Use a directory on a local disk."
            ) from error
        return True

    def _poll(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        pause = 0.0002
        while True:
            time.sleep(pause)
            if self._try():
                return
            if time.monotonic() >= deadline:
                raise StoreBusy(
                    f"{self.holder()} holds {self.path} for more than {patience * 1000:.0f} ms",
                    advice="Try again; if it stays so, look at what that process does.",
                )
            pause = min(pause * 1.5, 0.002)


class Lease:
    """Shows that a process is alive: it holds a lock on ``<its name>.lock`` until it closes or dies."""

    def __init__(self, directory: Path, process: str) -> None:
        self.process = process
        self._path = _lease_file(directory, process)
        self._fd = -1
        for attempt in range(50):
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if self._taken():
                return
            self.forget()
            time.sleep(0.001 * (attempt > 0))  # somebody may be asking this very moment whether we live
        raise StoreError(
            f"a process called {process} holds its lease already",
            advice="Give every process a token of its own.",
        )

    def _taken(self) -> bool:
        """Whether the lock is ours, on a file that nobody has swept away meanwhile."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except OSError as error:
            if error.errno not in _TAKEN and error.errno != errno.ENOENT:
                self.forget()
                raise
            return False

    def close(self) -> None:
        """End the lease."""
        if self._fd >= 0:
            with suppress(OSError):
                self._path.unlink()
            self.forget()

    def forget(self) -> None:
        """Close this process's handle alone; in a forked child the parent's lease goes on."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def holds_lease(directory: Path, process: str) -> bool:
    """Whether a process of that name is alive; a dead one is noticed at once."""
    return _held(_lease_file(directory, process), sweep=False)


def shared(directory: Path) -> bool:
    """Whether more than one process has left a lease file here, be they alive or not."""
    return sum(1 for _ in directory.glob("*.lock")) > 1


def sweep(directory: Path) -> None:
    """Take away the lock files of processes that died without closing."""
    for path in directory.glob("*.lock"):
        _held(path, sweep=True)


def _held(path: Path, *, sweep: bool) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask at once do not take each other for it
        if sweep:
            path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        return True
    else:
        return False
    finally:
        os.close(fd)


def _lease_file(directory: Path, process: str) -> Path:
    return directory / f"{quote(process, safe='@=+:')[:200]}.lock"
