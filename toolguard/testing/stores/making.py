"""Short ways to make what a store is given, and to read what it kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from toolguard.core.chain import verify
from toolguard.core.frame import Draft
from toolguard.stores.base import Append

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.stores.base import Mark, SessionRow, Store, Swap

PATIENCE = 60.0
"""Seconds that a condition may take to come true, on a machine that is busy with other things."""


def draft(payload: bytes = b"{}", at: int = 1_000, kind: int = 1) -> Draft:
    """A record that nobody has placed yet."""
    return Draft(kind, 1, 0, at, payload)


def append(
    session: str,
    epoch: int | None,
    *payloads: bytes,
    at: int = 1_000,
    durable: bool = False,
    swaps: Sequence[Swap] = (),
    marks: Sequence[Mark] = (),
    lease: float = 0.0,
) -> Append:
    """An append of one record for each payload."""
    drafts = tuple(draft(payload, at) for payload in payloads)
    return Append(session, epoch, drafts, durable=durable, swaps=tuple(swaps), marks=tuple(marks), lease=lease)


def payloads(store: Store, session: str, *, after: int = 0, limit: int = 10_000) -> list[bytes]:
    """The payloads of a session's records, in order."""
    return [frame.payload for frame in store.read(session, after=after, limit=limit)]


def until(condition: Callable[[], object], *, within: float = PATIENCE) -> bool:
    """Wait until a condition is true, at most ``within`` seconds; whether it came true."""
    limit = time.monotonic() + within
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.01)
    return True


def row_of(store: Store, session: str) -> SessionRow:
    """A session's row, which is there."""
    row = store.session(session)
    if row is None:
        raise AssertionError(f"the store does not know the session {session}")
    return row


def is_whole(store: Store, session: str, key: bytes | None = None) -> bool:
    """Whether a session's journal is dense, one chain, and ends where its row says."""
    row = row_of(store, session)
    rows = store.raw(session, limit=100_000)
    numbers = [seq for seq, _ in rows]
    return numbers == list(range(1, row.seq + 1)) and verify(rows, key=key, anchor=(row.seq, row.chain)).ok
