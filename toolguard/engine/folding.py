"""Reads a session's journal and folds it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.core.state import State

if TYPE_CHECKING:
    from toolguard.core.frame import Frame
    from toolguard.engine.journal import Journal
    from toolguard.stores.base import Store

PAGE = 512
"""Records that are read at once."""


async def fold(journal: Journal, session: str, *, until: int | None = None) -> tuple[State, int]:
    """Read a session's journal in pages and fold it, to its end or up to sequence number ``until``.

    Returns:
        The state and the wall time of its last record in nanoseconds (0 for an empty journal).
    """
    state, after, last = State(session), 0, 0
    while True:
        frames = await journal.ask(partial(_page, session, after))
        for frame in frames:
            if until is not None and frame.seq > until:
                return state, last
            state.apply(r.decode(frame.kind, frame.version, frame.payload), frame.at)
            after, last = frame.seq, frame.at
        if len(frames) < PAGE:
            return state, last


def _page(session: str, after: int, store: Store) -> list[Frame]:
    return store.read(session, after=after, limit=PAGE)
