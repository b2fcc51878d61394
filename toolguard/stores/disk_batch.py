"""Lands a batch of appends inside one open transaction of the disk store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.core.frame import GENESIS
from toolguard.errors import StoreError
from toolguard.stores.base import Append, Mark, Receipt
from toolguard.stores.place import Head, judge, place, unfit

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

_HEADS = 20_000  # sessions whose heads are remembered between batches


class _Plan:
    """What a batch will write, gathered append by append."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, bytes]] = []
        self.heads: dict[str, Head] = {}
        self.claims: dict[str, tuple[int, bytes]] = {}
        self.marks: dict[tuple[str, int], Mark] = {}


class Ledger:
    """Remembers sessions' heads and the newest position between batches, for as long as nobody else has written.

    Args:
        process: Whose batches these are.
        chain_key: Key of the hash chains, or None.
    """

    def __init__(self, process: str, chain_key: bytes | None) -> None:
        self._process = process
        self._key = chain_key
        self._heads: dict[str, Head] = {}
        self._position = -1
        self._seen: object = None

    def forget(self) -> None:
        """Drop what is remembered: a transaction failed, or another connection is in use."""
        self._heads.clear()
        self._position = -1
        self._seen = None

    def drop(self, session: str) -> None:
        """Drop one session's head."""
        self._heads.pop(session, None)

    def begin(self, conn: sqlite3.Connection) -> None:
        """Start the transaction; if another process has committed since, what is remembered is dropped."""
        conn.execute("BEGIN IMMEDIATE")
        version = conn.execute("PRAGMA data_version").fetchone()[0]
        if version != self._seen or len(self._heads) > _HEADS:
            self.forget()
            self._seen = version

    def land(self, conn: sqlite3.Connection, batch: Sequence[Append], number: int) -> list[Receipt | StoreError]:
        """Write what of a batch may land; the transaction is open and stays so. Answers each append in its place."""
        plan = _Plan()
        answers: list[Receipt | StoreError] = []
        landed = False
        position = self._newest(conn)
        for append in batch:
            try:
                head = self._head(conn, append.session)
                answers.append(self._plan(conn, plan, append, head, position))
                landed = True
            except StoreError as refusal:
                answers.append(refusal)
        if landed:
            self._position = position + len(plan.rows)
            self._write(conn, plan, number)
        return answers

    def _plan(self, conn: sqlite3.Connection, plan: _Plan, append: Append, head: Head, position: int) -> Receipt:
        def version(key: str) -> int:
            pending = plan.claims.get(key)
            if pending is not None:
                return pending[0]
            row = conn.execute("SELECT version FROM claims WHERE key = ?", (key,)).fetchone()
            return int(row[0]) if row else 0

        try:
            judge(append, head, version)
        except UnicodeError as error:
            raise unfit(append.session, error) from error
        stored, chain = place(append, head, self._key)
        session = append.session
        if not head.row:
            self._enrol(conn, append, head)
        receipt = Receipt(head.seq + 1, head.epoch)
        at, row, seq = position + len(plan.rows), head.row, head.seq
        for frame in stored:
            at += 1
            seq += 1
            plan.rows.append((at, row, seq, frame))
        if stored:
            head.seq, head.chain = seq, chain
            head.last_at = max(head.last_at, append.drafts[-1].at)
            plan.heads[session] = head
        for swap in append.swaps:
            plan.claims[swap.key] = (swap.expects + 1, swap.value)
        for mark in append.marks:
            plan.marks[mark.session, mark.call] = mark
        return receipt

    def _write(self, conn: sqlite3.Connection, plan: _Plan, number: int) -> None:
        if plan.rows:
            conn.executemany("INSERT INTO journal (pos, session, seq, frame) VALUES (?, ?, ?, ?)", plan.rows)
            conn.executemany(
                "UPDATE sessions SET seq = ?, chain = ?, last_at = ? WHERE id = ?",
                [(head.seq, head.chain, head.last_at, head.row) for head in plan.heads.values()],
            )
        if plan.claims:
            conn.executemany(
                "INSERT INTO claims (key, version, value) VALUES (?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value",
                [(key, version, value) for key, (version, value) in plan.claims.items()],
            )
        if plan.marks:
            gone = [spot for spot, mark in plan.marks.items() if not mark.phase]
            if gone:
                conn.executemany("DELETE FROM open_calls WHERE session = ? AND call = ?", gone)
            kept = [mark for mark in plan.marks.values() if mark.phase]
            if kept:
                conn.executemany(
                    "INSERT OR REPLACE INTO open_calls (session, call, tenant, tool, phase, at)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    kept,
                )
        conn.execute(
            "INSERT INTO processes (process, batch, position) VALUES (?, ?, ?)"
            " ON CONFLICT (process) DO UPDATE SET batch = excluded.batch, position = excluded.position",
            (self._process, number, self._position),
        )

    def _enrol(self, conn: sqlite3.Connection, append: Append, head: Head) -> None:
        at = append.drafts[-1].at if append.drafts else 0
        tenant = append.marks[0].tenant if append.marks else ""
        head.row = insert_session(conn, append.session, tenant, at)
        head.last_at = at
        self._heads[append.session] = head

    def _head(self, conn: sqlite3.Connection, session: str) -> Head:
        head = self._heads.get(session)
        if head is not None:
            return head
        try:
            row: tuple[Any, ...] | None = conn.execute(
                "SELECT id, epoch, seq, chain, last_at FROM sessions WHERE name = ?", (session,)
            ).fetchone()
        except UnicodeError as error:
            raise unfit(session, error) from error
        if row is None:
            return Head()
        head = self._heads[session] = Head(*row)
        return head

    def _newest(self, conn: sqlite3.Connection) -> int:
        if self._position < 0:
            self._position = newest(conn)
        return self._position


def insert_session(conn: sqlite3.Connection, session: str, tenant: str, at: int) -> int:
    """Add a session's row at epoch 0; gives its row number."""
    cursor = conn.execute(
        "INSERT INTO sessions (name, tenant, epoch, owner, state, seq, chain, opened_at, last_at)"
        " VALUES (?, ?, 0, '', 'open', 0, ?, ?, ?)",
        (session, tenant, GENESIS, at, at),
    )
    return cursor.lastrowid or 0


NEWEST = "SELECT max(coalesce((SELECT max(pos) FROM journal), 0), coalesce((SELECT max(position) FROM processes), 0))"
"""The newest store position ever given; positions never come back, even where the newest records were lost."""


def newest(conn: sqlite3.Connection) -> int:
    """What :data:`NEWEST` gives."""
    return int(conn.execute(NEWEST).fetchone()[0])


def prune(conn: sqlite3.Connection, gone: Callable[[str], bool]) -> None:
    """Take away rows of processes that are gone; the newest position's row stays as the journal's anchor."""
    rows = [row for row in conn.execute("SELECT process FROM processes").fetchall() if gone(str(row[0]))]
    if rows:
        conn.execute("BEGIN IMMEDIATE")
        conn.executemany(
            "DELETE FROM processes WHERE process = ? AND position < (SELECT max(position) FROM processes)", rows
        )
        conn.execute("COMMIT")
