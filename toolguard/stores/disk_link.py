"""One process's hold on a disk store: its connection, its locks, its transactions, and what happens when they fail."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from toolguard.errors import StoreBusy, StoreDamaged, StoreError, StoreForeign, StoreReadOnly, StoreUnavailable
from toolguard.stores.disk_batch import Ledger, prune
from toolguard.stores.disk_check import inspect
from toolguard.stores.disk_fork import carry, unwatch, watch
from toolguard.stores.disk_lock import DirectoryLock, Lease, holds_lease, sweep
from toolguard.stores.disk_log import BUSY, IDLE, Log, checkpoint
from toolguard.stores.disk_schema import FILE, explain, open_journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

_LOOK = 32  # commits between two looks at how full the log is


class Link:
    """What is open between :meth:`DiskStore.open` and :meth:`DiskStore.close`.

    Args:
        directory: The store's directory; it exists.
        process: On whose behalf; a unique token.
        chain_key: Key of the hash chains, or None.
        readonly: Nothing is written, no lease is taken.
        damaged: True opens a damaged store too, to accept its damage.

    Raises:
        StoreError: The store cannot be opened; subclasses say why.
    """

    def __init__(
        self, directory: Path, process: str, chain_key: bytes | None, *, readonly: bool, damaged: bool = False
    ) -> None:
        self.directory = directory
        self.process = process
        self.readonly = readonly
        self.ledger = Ledger(process, chain_key)
        self._key = chain_key
        self._pid = os.getpid()
        self._conn: sqlite3.Connection | None = None
        self._lock: DirectoryLock | None = None
        self._lease: Lease | None = None
        self._log: Log | None = None
        self._durable: bool | None = None
        self._number = 0
        self._sound = False
        self._dirty = True
        self._limit = BUSY
        self._commits = 0
        fresh = not (directory / "lock").exists()
        try:
            self._open(damaged=damaged)
        except BaseException as error:
            self.close()
            if fresh and isinstance(error, StoreForeign):
                self._leave_no_trace()
            raise
        watch(self)

    def transact(self, work: Callable[[sqlite3.Connection], T], *, durable: bool, batch: bool = False) -> T:
        """Do ``work`` in one transaction, under the directory's lock.

        Args:
            work: Reads and writes over the connection; an error of its own rolls everything back.
            durable: Whether the commit waits for the disk (fsync).
            batch: True where ``work`` records :meth:`next_batch`, so that an unknown outcome can be looked up.

        Raises:
            StoreError: Nothing was written, or (``StoreUnavailable``) nobody can tell.
        """
        self.check()
        if self.readonly or self._lock is None:
            raise StoreReadOnly(f"{self.directory} is open for reading only", advice="Open it without readonly=True.")
        self._lock.acquire()
        try:
            answer = self._attempt(work, durable=durable, batch=batch)
            self._commits += 1
            if self._commits % _LOOK == 0 and self._used() >= self._limit:
                self._checkpoint("PASSIVE")
            return answer
        finally:
            self._lock.release()

    def next_batch(self) -> int:
        """A new batch number of this process."""
        self._number += 1
        return self._number

    def query(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Read rows.

        Raises:
            StoreError: The store cannot be read.
        """
        self.check()
        try:
            conn = self._conn or self._reopen()
            return conn.execute(sql, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise explain(error, self.directory) from error
        except (UnicodeError, OverflowError) as error:
            raise StoreError(f"a value cannot be looked up: {error}", advice="Mend the value.") from error

    def idle(self) -> None:
        """Make room in the log, or move a grown one into the journal's file, unless another process is writing."""
        if not self._dirty or self._lock is None or self._pid != os.getpid():
            return
        self._dirty = False
        with suppress(StoreBusy):
            if self._used() >= IDLE:
                with self._lock.held(patience=0):
                    self._checkpoint("PASSIVE")
            elif self._log is not None and self._conn is not None and not self._log.roomy():
                with self._lock.held(patience=0), suppress(OSError, sqlite3.Error):
                    self._log.widen(self._conn)

    def scrub(self) -> None:
        """Empty the write-ahead log, so that what was deleted does not stay readable in it; best effort."""
        if self._lock is not None:
            with suppress(StoreBusy), self._lock.held():
                self._checkpoint("TRUNCATE")

    def close(self) -> None:
        """Release everything. In a forked child the parent's locks and connection are left as they are."""
        unwatch(self)
        if self._pid != os.getpid():
            self.orphan()
            return
        if self._conn is not None:
            held = False
            if self._lock is not None:
                with suppress(StoreError, OSError):
                    self._lock.acquire()
                    held = True
            try:
                if held and self._sound:
                    owners = self.directory / "owners"
                    with suppress(sqlite3.Error, OSError):
                        prune(self._conn, lambda name: name == self.process or not holds_lease(owners, name))
                        sweep(owners)
            finally:
                self._drop()  # without the lock this is not the last connection, and closing it writes nothing
                if held and self._lock is not None:
                    self._lock.release()
        if self._lease is not None:
            self._lease.close()
        if self._lock is not None:
            self._lock.close()

    def orphan(self) -> None:
        """Let go of what was carried over a fork, without touching what belongs to the parent."""
        if self._conn is not None:
            carry(self._conn)
            self._conn = None
        if self._log is not None:
            self._log.close()
        if self._lease is not None:
            self._lease.forget()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def check(self) -> None:
        """Refuse to work in a forked child.

        Raises:
            StoreUnavailable: The store was opened by another process.
        """
        if self._pid != os.getpid():
            raise StoreUnavailable(
                f"the store in {self.directory} was opened before this process was forked",
                advice="Make and open a store of its own in every process, after the fork.",
            )

    def _open(self, *, damaged: bool) -> None:
        try:
            try:
                self._lock = DirectoryLock(self.directory / "lock", self.process)
            except OSError:
                if not self.readonly:
                    raise
            if not self.readonly and not damaged:
                owners = self.directory / "owners"
                owners.mkdir(mode=0o700, exist_ok=True)
                self._lease = Lease(owners, self.process)
            conn = self._reopen()
            if self.readonly:
                return
            row = conn.execute("SELECT batch FROM processes WHERE process = ?", (self.process,)).fetchone()
            self._number = int(row[0]) if row else 0
            found = [] if damaged else inspect(conn, self._key)
        except (sqlite3.Error, OSError) as error:
            raise explain(error, self.directory) from error
        if found:
            raise StoreDamaged(
                f"{self.directory} is damaged in {len(found)} places: {'; '.join(one.sentence for one in found[:3])}",
                advice="Open it with readonly=True to look, and let a person accept it: toolguard verify --accept.",
            )
        self._sound = True

    def _reopen(self) -> sqlite3.Connection:
        """Connect, taking the lock for it."""
        if self._lock is None:
            return self._connect()
        with self._lock.held():
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        """Connect; the lock is held, where there is one."""
        conn = self._conn = open_journal(self.directory, self._key, readonly=self.readonly)
        if not self.readonly:
            self._log = Log(self.directory / f"{FILE}-wal")
        return conn

    def _attempt(self, work: Callable[[sqlite3.Connection], T], *, durable: bool, batch: bool) -> T:
        done: list[T] = []
        try:
            conn = self._conn or self._connect()
            if durable is not self._durable:
                conn.execute("PRAGMA synchronous=FULL" if durable else "PRAGMA synchronous=NORMAL")
                self._durable = durable
            self.ledger.begin(conn)
            done.append(work(conn))
            finish(conn)
        except (sqlite3.Error, OSError) as error:
            self._drop()
            if not (done and batch and self._landed(error)):
                raise explain(error, self.directory) from error
        except BaseException:
            self._undo()
            raise
        self._dirty = True
        return done[0]

    def _landed(self, error: Exception) -> bool:
        try:
            conn = self._connect()
            row = conn.execute("SELECT batch FROM processes WHERE process = ?", (self.process,)).fetchone()
        except (sqlite3.Error, OSError, StoreError) as again:
            raise StoreUnavailable(
                f"the commit failed ({error}) and the store in {self.directory} cannot be opened again ({again}):"
                " nobody knows whether the batch landed",
                advice="Read the sessions again before anything is decided for them.",
            ) from error
        return row is not None and row[0] == self._number

    def _undo(self) -> None:
        self.ledger.forget()
        try:
            if self._conn is not None and self._conn.in_transaction:
                self._conn.execute("ROLLBACK")
        except sqlite3.Error:
            self._drop()

    def _drop(self) -> None:
        """Close the connection; what a failed transaction wrote is rolled back with it."""
        conn, self._conn, self._durable = self._conn, None, None
        log, self._log = self._log, None
        self.ledger.forget()
        if log is not None:
            log.close()
        if conn is not None:
            with suppress(sqlite3.Error):
                conn.close()

    def _used(self) -> int:
        try:
            return self._log.used() if self._log is not None else 0
        except OSError:
            return 0

    def _checkpoint(self, mode: str) -> None:
        if self._conn is not None:
            moved = checkpoint(self._conn, mode)
            # A reader may hold the log: try again once it has grown as much again, not at every look.
            self._limit = BUSY if moved else self._used() + BUSY

    def _leave_no_trace(self) -> None:
        with suppress(OSError):
            (self.directory / "lock").unlink()
            (self.directory / "owners").rmdir()


def finish(conn: sqlite3.Connection) -> None:
    """Commit the open transaction."""
    conn.execute("COMMIT")
