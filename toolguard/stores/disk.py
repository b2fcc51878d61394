"""The embedded store: one SQLite file in a directory, shared safely by the processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import time
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from toolguard.errors import StoreError, StoreForeign, StoreUnavailable
from toolguard.stores.base import Append, Mark, Receipt, SessionRow
from toolguard.stores.disk_batch import NEWEST, insert_session
from toolguard.stores.disk_check import set_aside
from toolguard.stores.disk_keep import ROW, DiskKeeping
from toolguard.stores.disk_link import Link
from toolguard.stores.disk_lock import shared
from toolguard.stores.disk_schema import check_directory, explain
from toolguard.stores.mounts import network_filesystem
from toolguard.stores.place import frame_of, not_owner, other_tenant, overtaken, storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.core.frame import Frame

_DAMAGED = "Verify the session, and let a person accept the damage: toolguard verify --accept."


class DiskStore(DiskKeeping):
    """Journals in a directory of this machine, safe against SIGKILL and, where asked for, against loss of power.

    Several processes may share the directory; each opens a store of its own, after any fork.

    Args:
        path: The directory; made with mode 0700 where it is missing. Network file systems are refused.
        chain_key: Key of the sessions' hash chains (HMAC-SHA-256); None chains with plain SHA-256. A journal keeps
            the key that it was made with.
        readonly: Open for reading alone, damaged journals too; no lease, nothing written.
    """

    threaded: bool = True

    def __init__(self, path: str | os.PathLike[str], *, chain_key: bytes | None = None, readonly: bool = False) -> None:
        self.path = Path(path).absolute()
        self.name = f"disk:{self.path}"
        self._key = chain_key
        self._readonly = readonly
        self._link: Link | None = None
        self._listening = []

    def open(self, process: str) -> None:
        """Open on behalf of ``process`` (a unique token); its lease begins.

        Raises:
            StoreForeign: Not a toolguard store, of a newer format, of another chain key, or on a network file system.
            StoreDamaged: The newest records or a session's head are not what was written; see :meth:`accept_damage`.
            StoreReadOnly: The directory cannot be written.
            StoreBusy: Another process holds the directory's lock.
        """
        if self._link is not None:
            raise StoreError(f"the store is open already, for {self._link.process}", advice="Close it first.")
        storable(process)
        self._prepare()
        self._link = Link(self.path, process, self._key, readonly=self._readonly)
        if sqlite3.sqlite_version_info < (3, 51, 3) and shared(self.path / "owners"):
            logger.debug("toolguard: several processes share {}; its lock keeps SQLite safe", self.path)

    def close(self) -> None:
        """Release everything; the process's lease ends, and so does its listening."""
        self._listen_no_more()
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def idle(self) -> None:
        """House-keeping for a moment without a waiting batch; returns at once when there is nothing to do."""
        if self._link is not None:
            self._link.idle()

    def accept_damage(self, by: str) -> list[str]:
        """Accept, in a person's name, that the journal is damaged, so that it can be written again.

        Unreadable records move aside (they are kept), sequence numbers and positions are never given again, and a
        note ``damage/<time>`` says who accepted what. The store must be closed.

        Returns:
            A sentence for each thing accepted; empty where nothing is wrong.

        Raises:
            StoreDamaged: The file itself is damaged; only a copy helps.
        """
        if self._link is not None:
            raise StoreError("the store is open", advice="Close it before its damage is accepted.")
        self._prepare()
        link = Link(self.path, f"accept-{os.getpid()}", self._key, readonly=False, damaged=True)
        try:
            return link.transact(lambda conn: set_aside(conn, self._key, by=by, at=time.time_ns()), durable=True)
        finally:
            link.close()

    def commit(self, batch: Sequence[Append]) -> list[Receipt | StoreError]:
        """Store a batch in one transaction, fsynced if one append of it asks for that.

        An append that is fenced or loses a claim is refused alone, in its place of the answer.

        Raises:
            StoreError: Nothing of the batch landed; ``StoreUnavailable`` may also mean that nobody can tell.
        """
        link = self._opened()
        if not batch:
            return []
        number = link.next_batch()
        durable = any(append.durable for append in batch)
        return link.transact(lambda conn: link.ledger.land(conn, batch, number), durable=durable, batch=True)

    def enter(self, session: str, tenant: str, *, at: int, expects: int | None = None) -> SessionRow:
        """Take a session over: its epoch grows by one. ``at`` is wall time in nanoseconds.

        Raises:
            Fenced: The session belongs to another tenant, or does not stand at the epoch ``expects``.
        """
        link = self._opened()
        storable(session, tenant)

        def work(conn: sqlite3.Connection) -> SessionRow:
            row = conn.execute("SELECT tenant, epoch FROM sessions WHERE name = ?", (session,)).fetchone()
            epoch = row[1] if row is not None else 0
            if expects is not None and expects != epoch:
                raise overtaken(session, expects, epoch)
            if row is None:
                insert_session(conn, session, tenant, at)
            elif row[0] not in {"", tenant}:
                raise other_tenant(session)
            conn.execute(
                "UPDATE sessions SET tenant = ?, epoch = epoch + 1, owner = ?, state = 'open',"
                " last_at = max(last_at, ?) WHERE name = ?",
                (tenant, link.process, at, session),
            )
            link.ledger.drop(session)
            found = conn.execute(f"SELECT {ROW} FROM sessions WHERE name = ?", (session,)).fetchone()  # noqa: S608
            return SessionRow(*found)

        return link.transact(work, durable=False)

    def leave(self, session: str, state: str) -> None:
        """Record that the session is ``closed`` or ``open`` without an owner; an unknown session is left alone.

        Raises:
            Fenced: Another process owns the session by now.
        """
        link = self._opened()
        storable(session, state)

        def work(conn: sqlite3.Connection) -> None:
            row = conn.execute("SELECT owner FROM sessions WHERE name = ?", (session,)).fetchone()
            if row is None:
                return
            if row[0] not in {"", link.process}:
                raise not_owner(session, row[0])
            conn.execute("UPDATE sessions SET owner = '', state = ? WHERE name = ?", (state, session))

        link.transact(work, durable=False)

    def session(self, session: str) -> SessionRow | None:
        """One session's row."""
        rows = self._opened().query(f"SELECT {ROW} FROM sessions WHERE name = ?", (session,))  # noqa: S608
        return SessionRow(*rows[0]) if rows else None

    def sessions(
        self, *, tenant: str | None = None, state: str | None = None, after: str = "", limit: int = 500
    ) -> list[SessionRow]:
        """Rows of sessions in order of their ids, starting behind ``after``."""
        sql = f"SELECT {ROW} FROM sessions WHERE name > ?"  # noqa: S608 -- a constant
        values: list[object] = [after]
        if tenant is not None:
            sql += " AND tenant = ?"
            values.append(tenant)
        if state == "open":
            sql += " AND state = 'open'"  # spelt out, so that the partial index serves it
        elif state is not None:
            sql += " AND state = ?"
            values.append(state)
        rows = self._opened().query(f"{sql} ORDER BY name LIMIT ?", (*values, max(limit, 0)))
        return [SessionRow(*row) for row in rows]

    def read(self, session: str, *, after: int = 0, limit: int = 512) -> list[Frame]:
        """Records of one session behind sequence number ``after``, in order.

        Raises:
            StoreDamaged: A record is not what was written.
        """
        return [_frame(session, seq, stored) for seq, stored in self.raw(session, after=after, limit=limit)]

    def raw(self, session: str, *, after: int = 0, limit: int = 512) -> list[tuple[int, bytes]]:
        """The same, as (sequence number of the row, stored bytes), for verification."""
        rows = self._opened().query(
            "SELECT seq, frame FROM journal WHERE session = (SELECT id FROM sessions WHERE name = ?) AND seq > ?"
            " ORDER BY seq LIMIT ?",
            (session, after, max(limit, 0)),
        )
        return [(seq, frame) for seq, frame in rows]

    def tail(self, *, after: int, limit: int = 512) -> list[tuple[int, str, Frame]]:
        """Records of all sessions behind store position ``after``, oldest first.

        Raises:
            StoreDamaged: A record is not what was written.
        """
        rows = self._opened().query(
            "SELECT j.pos, s.name, j.seq, j.frame FROM journal j JOIN sessions s ON s.id = j.session"
            " WHERE j.pos > ? ORDER BY j.pos LIMIT ?",
            (after, max(limit, 0)),
        )
        return [(pos, name, _frame(name, seq, frame)) for pos, name, seq, frame in rows]

    def position(self) -> int:
        """The newest store position."""
        return int(self._opened().query(NEWEST)[0][0])

    def claim(self, key: str) -> tuple[int, bytes] | None:
        """A claim's version and value."""
        rows = self._opened().query("SELECT version, value FROM claims WHERE key = ?", (key,))
        return (rows[0][0], rows[0][1]) if rows else None

    def open_calls(
        self, *, tenant: str | None = None, phase: str | None = None, session: str | None = None, limit: int = 500
    ) -> list[Mark]:
        """Rows of the index of open and in-doubt calls, oldest first."""
        wanted = {"tenant": tenant, "phase": phase, "session": session}
        given = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in given)
        rows = self._opened().query(
            "SELECT session, call, tenant, tool, phase, at FROM open_calls"  # noqa: S608 -- column names are ours
            f"{f' WHERE {where}' if where else ''} ORDER BY at, session, call LIMIT ?",
            (*given.values(), max(limit, 0)),
        )
        return [Mark._make(row) for row in rows]

    def note(self, key: str, value: bytes | None, *, keep: bool = False) -> None:
        """Set (or with None remove) a small store-wide setting; a removed one leaves no readable trace in the file.

        With ``keep`` one that is there stays as it is: of several processes that set it, the first one does.
        """
        link = self._opened()
        storable(key)
        if value is None:
            link.transact(lambda conn: conn.execute("DELETE FROM notes WHERE key = ?", (key,)), durable=True)
            link.scrub()
            return
        how = "IGNORE" if keep else "REPLACE"
        sql = f"INSERT OR {how} INTO notes (key, value) VALUES (?, ?)"  # noqa: S608 -- both ways are ours
        link.transact(lambda conn: conn.execute(sql, (key, value)), durable=True)

    def notes(self, prefix: str = "") -> dict[str, bytes]:
        """Store-wide settings whose key starts with ``prefix``, in order of their keys."""
        rows = self._opened().query("SELECT key, value FROM notes WHERE key >= ? ORDER BY key", (prefix,))
        return dict(takewhile(lambda row: str(row[0]).startswith(prefix), ((row[0], row[1]) for row in rows)))

    def _opened(self) -> Link:
        if self._link is None:
            raise StoreUnavailable(f"the store in {self.path} is not open", advice="Call open() before using it.")
        return self._link

    def _prepare(self) -> None:
        """Make the directory where it is missing, and refuse one that cannot carry a journal."""
        try:
            kind = network_filesystem(self.path)
            if kind is not None:
                raise StoreForeign(
                    f"{self.path} lies on a network file system ({kind}), which cannot carry a shared journal",
                    advice="Use a directory on a local disk, or a server store for several machines.",
                )
            check_directory(self.path)
            if not self._readonly:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, self.path) from error


def _frame(session: str, seq: int, stored: bytes) -> Frame:
    return frame_of(session, seq, stored, advice=_DAMAGED)
