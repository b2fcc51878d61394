"""What a disk store does besides keeping journals: snapshots, retention, leases by an OS lock, and a wake-up call."""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from toolguard.stores.base import LEASE, SessionRow, Snapshot
from toolguard.stores.disk_batch import newest
from toolguard.stores.disk_lock import holds_lease
from toolguard.stores.disk_log import Log
from toolguard.stores.disk_schema import FILE, explain
from toolguard.stores.waking import rouse

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from toolguard.stores.disk_link import Link

ROW = "name, tenant, epoch, owner, state, seq, chain, opened_at, last_at"
"""The columns of a :class:`~toolguard.stores.base.SessionRow`."""
_LOOK = 0.05
"""Seconds between two looks at whether anybody has written."""


class DiskKeeping:
    """The half of :class:`toolguard.stores.disk.DiskStore` that is not about records."""

    path: Path
    _listening: list[threading.Event]

    def _opened(self) -> Link:
        raise NotImplementedError

    def snapshot(self, session: str) -> Snapshot | None:
        """The newest snapshot of a session; whether it is whole is for its reader to find out."""
        link = self._opened()
        if not link.query("SELECT 1 FROM sqlite_schema WHERE name = 'snapshots'"):
            return None  # a journal of format 1, open for reading alone
        rows = link.query(
            "SELECT n.seq, n.head FROM snapshots n JOIN sessions s ON s.id = n.session WHERE s.name = ?", (session,)
        )
        if not rows:
            return None
        parts = link.query(
            "SELECT p.part FROM snapshot_parts p JOIN sessions s ON s.id = p.session WHERE s.name = ?"
            " ORDER BY p.number",
            (session,),
        )
        return Snapshot(session, rows[0][0], rows[0][1], tuple(row[0] for row in parts))

    def keep(self, snapshot: Snapshot, *, known: int) -> bool:
        """Keep a snapshot in place of an older one; False where the store has a newer one or other parts."""
        return self._opened().transact(lambda conn: _keep(conn, snapshot, known), durable=False)

    def prune(self, before: int, *, limit: int = 100) -> list[str]:
        """Take away closed sessions whose last record is older than ``before`` (wall nanoseconds); claims stay."""
        link = self._opened()

        def work(conn: sqlite3.Connection) -> list[str]:
            gone = _prune(conn, before, limit)
            if gone:
                link.ledger.forget()
            return gone

        return link.transact(work, durable=False)

    def renew(self, seconds: float = LEASE) -> float:  # noqa: ARG002 - it lasts as long as the process
        """The lease is a lock of the operating system: it lasts as long as the process has the store open."""
        self._opened().check()
        return math.inf

    def alive(self, process: str) -> bool:
        """Whether the process still holds its lease: a dead one is noticed at once."""
        self._opened()
        try:
            return holds_lease(self.path / "owners", process)
        except OSError as error:
            raise explain(error, self.path) from error

    def bury(self, process: str) -> bool:
        """Whether the process is dead; its lock cannot come back to it."""
        return not self.alive(process)

    def stale(self, *, after: str = "", limit: int = 500) -> list[SessionRow]:
        """Open sessions that no living process owns, in order of their ids, starting behind ``after``."""
        link = self._opened()
        living: dict[str, bool] = {"": False}
        found: list[SessionRow] = []
        while len(found) < limit:
            rows = link.query(
                f"SELECT {ROW} FROM sessions WHERE name > ? AND state = 'open' ORDER BY name LIMIT 500",  # noqa: S608
                (after,),
            )
            for row in (SessionRow(*columns) for columns in rows):
                after = row.session
                if row.owner not in living:
                    living[row.owner] = self.alive(row.owner)
                if not living[row.owner]:
                    found.append(row)
            if len(rows) < 500:  # noqa: PLR2004 - the page above
                break
        return found[: max(limit, 0)]

    def now(self) -> int:
        """This machine's clock."""
        self._opened()
        return time.time_ns()

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` from a thread of its own soon after anybody has written to the journal's files."""
        self._opened()
        over = threading.Event()
        seen = self._stamp()

        def look() -> None:
            nonlocal seen
            while not over.wait(_LOOK):
                now = self._stamp()
                if now != seen:
                    seen = now
                    rouse(wake, str(self.path))

        self._listening.append(over)
        threading.Thread(target=look, name="toolguard-listener", daemon=True).start()
        return over.set

    def _stamp(self) -> list[object]:
        """What changes whenever anybody has written."""
        found: list[object] = []
        for file in (self.path / f"{FILE}-wal", self.path / FILE):
            with suppress(OSError):
                stat = file.stat()
                found += [file.name, stat.st_mtime_ns, stat.st_size]
        with suppress(OSError):
            log = Log(self.path / f"{FILE}-wal", readonly=True)
            try:
                found.append(log.stamp())
            finally:
                log.close()
        return found

    def _listen_no_more(self) -> None:
        for over in self._listening:
            over.set()
        self._listening.clear()

    def weak(self) -> list[str]:
        """Nothing of a local directory weakens the promise."""
        return []


def _keep(conn: sqlite3.Connection, snapshot: Snapshot, known: int) -> bool:
    row = conn.execute("SELECT id FROM sessions WHERE name = ?", (snapshot.session,)).fetchone()
    if row is None:
        return False
    session = row[0]
    old = conn.execute("SELECT seq FROM snapshots WHERE session = ?", (session,)).fetchone()
    parts = conn.execute("SELECT count(*) FROM snapshot_parts WHERE session = ?", (session,)).fetchone()[0]
    if parts != known or (old is not None and old[0] >= snapshot.seq):
        return False
    conn.execute(
        "INSERT OR REPLACE INTO snapshots (session, seq, head) VALUES (?, ?, ?)",
        (session, snapshot.seq, snapshot.head),
    )
    conn.executemany(
        "INSERT INTO snapshot_parts (session, number, part) VALUES (?, ?, ?)",
        [(session, number, part) for number, part in enumerate(snapshot.parts) if number >= known],
    )
    return True


def _prune(conn: sqlite3.Connection, before: int, limit: int) -> list[str]:
    rows = conn.execute(
        "SELECT id, name FROM sessions WHERE state = 'closed' AND last_at < ?"
        " AND name NOT IN (SELECT session FROM open_calls) ORDER BY name LIMIT ?",
        (before, max(limit, 0)),
    ).fetchall()
    if rows:
        anchor = str(newest(conn))  # what is missing up to here is not lost but taken away
        conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('accepted', ?)", (anchor,))
    for session, _ in rows:
        for table in ("journal", "snapshots", "snapshot_parts", "accepted"):
            conn.execute(f"DELETE FROM {table} WHERE session = ?", (session,))  # noqa: S608 - names of ours
        conn.execute("DELETE FROM sessions WHERE id = ?", (session,))
    return [name for _, name in rows]
