"""Looks for damage at a disk store's tail when it is opened, and sets damage aside once a person has accepted it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from toolguard.core.frame import CHAIN_SIZE, FrameError, linked, unpack
from toolguard.stores.disk_batch import newest

if TYPE_CHECKING:
    import sqlite3

_ROWS = 256  # newest records that are looked at one by one
_SESSIONS = 200  # sessions still open whose head is compared with their last record


class Damage(NamedTuple):
    """One thing found wrong: a sentence for people, the session's row and the record's position, 0 where unknown."""

    sentence: str
    session: int = 0
    position: int = 0


class _Row(NamedTuple):
    position: int
    session: int
    seq: int
    frame: bytes
    name: str


def inspect(conn: sqlite3.Connection, chain_key: bytes | None) -> list[Damage]:
    """Check the newest records and the heads of recently active sessions.

    It reads a bounded number of rows whatever the journal's size; :func:`toolguard.core.chain.verify` reads it all.

    Raises:
        sqlite3.Error: The file itself is damaged.
    """
    conn.execute("BEGIN")
    try:
        return [*_lost(conn), *_records(conn, chain_key), *_heads(conn)]
    finally:
        conn.execute("ROLLBACK")


def set_aside(conn: sqlite3.Connection, chain_key: bytes | None, *, by: str, at: int) -> list[str]:
    """Accept what :func:`inspect` finds: unreadable records move to a table of their own, heads stay or go forward.

    Sequence numbers and positions are never given again, so that verification still shows where records are missing.
    The transaction is open and stays so. ``at`` is wall time in nanoseconds.

    Returns:
        A sentence for each thing accepted; the same list stands in a note.
    """
    found = [*_lost(conn), *_records(conn, chain_key), *_heads(conn)]
    for damage in found:
        if damage.position:
            conn.execute(
                "INSERT INTO damaged (pos, session, seq, frame, accepted_at)"
                " SELECT pos, session, seq, frame, ? FROM journal WHERE pos = ?",
                (at, damage.position),
            )
            conn.execute("DELETE FROM journal WHERE pos = ?", (damage.position,))
    for session in {damage.session for damage in found if damage.session}:
        _settle(conn, session)
    conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('accepted', ?)", (str(newest(conn)),))
    sentences = [damage.sentence for damage in found]
    if sentences:
        value = json.dumps({"by": by, "at": at, "found": sentences}).encode()
        conn.execute("INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)", (f"damage/{at}", value))
    return sentences


def _settle(conn: sqlite3.Connection, session: int) -> None:
    seq, chain = conn.execute("SELECT seq, chain FROM sessions WHERE id = ?", (session,)).fetchone()
    last = conn.execute(
        "SELECT seq, frame FROM journal WHERE session = ? ORDER BY seq DESC LIMIT 1", (session,)
    ).fetchone()
    if last is not None and last[0] >= seq:
        seq, chain = last[0], last[1][-CHAIN_SIZE:]
        conn.execute("UPDATE sessions SET seq = ?, chain = ? WHERE id = ?", (seq, chain, session))
    conn.execute("INSERT OR REPLACE INTO accepted (session, seq) VALUES (?, ?)", (session, seq))


def _lost(conn: sqlite3.Connection) -> list[Damage]:
    promised = newest(conn)
    there = conn.execute("SELECT coalesce(max(pos), 0) FROM journal").fetchone()[0]
    row = conn.execute("SELECT value FROM meta WHERE key = 'accepted'").fetchone()
    if promised > max(there, int(row[0]) if row else 0):
        return [Damage(f"the newest records are missing (positions {there + 1} to {promised})")]
    return []


def _accepted(conn: sqlite3.Connection) -> dict[int, int]:
    return dict(conn.execute("SELECT session, seq FROM accepted").fetchall())


def _records(conn: sqlite3.Connection, chain_key: bytes | None) -> list[Damage]:
    rows = conn.execute(
        "SELECT j.pos, j.session, j.seq, j.frame, coalesce(s.name, '?') FROM journal j"
        " LEFT JOIN sessions s ON s.id = j.session ORDER BY j.pos DESC LIMIT ?",
        (_ROWS,),
    ).fetchall()
    accepted = _accepted(conn)
    previous: dict[int, _Row] = {}
    found: list[Damage] = []
    for row in map(_Row._make, reversed(rows)):
        wrong = _wrong(row, previous.get(row.session), accepted.get(row.session, 0), chain_key)
        if wrong:
            found.append(Damage(f"record {row.seq} of {row.name}: {wrong}", row.session, row.position))
        previous[row.session] = row
    return found


def _wrong(row: _Row, before: _Row | None, accepted: int, chain_key: bytes | None) -> str:
    try:
        frame = unpack(row.frame)
    except FrameError as error:
        return str(error)
    if frame.seq != row.seq:
        return f"it says that it is record {frame.seq}"
    if before is None or row.seq <= accepted + 1:
        return ""
    if row.seq != before.seq + 1:
        return f"the record before it is {before.seq}"
    if not linked(row.frame, before.frame[-CHAIN_SIZE:], chain_key):
        return "it does not follow from the record before it"
    return ""


def _heads(conn: sqlite3.Connection) -> list[Damage]:
    rows: list[tuple[Any, ...]] = conn.execute(
        "SELECT s.id, s.name, s.seq, s.chain, coalesce((SELECT max(seq) FROM journal WHERE session = s.id), 0),"
        " (SELECT substr(frame, -32) FROM journal WHERE session = s.id ORDER BY seq DESC LIMIT 1)"
        " FROM sessions s WHERE s.id IN (SELECT session FROM journal ORDER BY pos DESC LIMIT ?)"
        " OR s.id IN (SELECT id FROM sessions WHERE state = 'open' LIMIT ?)",
        (_ROWS, _SESSIONS),
    ).fetchall()
    accepted = _accepted(conn)
    found: list[Damage] = []
    for session, name, seq, chain, last, link in rows:
        if last < seq and accepted.get(session) != seq:
            found.append(Damage(f"{name} has {seq} records and the newest one there is {last}", session))
        elif last > seq:
            found.append(Damage(f"{name} has {seq} records and record {last} is there", session))
        elif last == seq and seq and link != chain:
            found.append(Damage(f"the last record of {name} ({seq}) is not the one that was written", session))
    return found
