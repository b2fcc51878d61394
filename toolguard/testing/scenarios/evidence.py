"""What every play leaves behind, whatever it was played over: the journal, and what is wrong with a conversation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from toolguard.core.records import NAMES, decode
from toolguard.testing.scenarios.played import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.stores.base import Store
    from toolguard.testing.scenarios.played import Item

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Wall time of the virtual loop's zero."""
_PAGE = 512


def problems_of(items: Sequence[Item]) -> tuple[str, ...]:
    """What the strictest provider would refuse: behind calls of one reply come their outputs, one each, no others."""
    found: list[str] = []
    waiting: list[str] = []
    seen: set[str] = set()
    answered = False
    for item in items:
        if item.kind == "call":
            if answered or not waiting:
                found.extend(f"no output stands behind {call}" for call in waiting)
                waiting, answered = [], False
            if item.call in seen:
                found.append(f"{item.call} stands there twice")
            seen.add(item.call)
            waiting.append(item.call)
        elif item.kind == "output" and item.call in waiting:
            waiting.remove(item.call)
            answered = True
        elif item.kind == "output":
            found.append(f"the output of {item.call} does not stand behind its call")
        else:
            found.extend(f"no output stands behind {call}" for call in waiting)
            waiting, answered = [], False
    found.extend(f"no output stands behind {call}" for call in waiting)
    return tuple(found)


def journal_of(store: Store, base: float) -> tuple[list[Entry], list[tuple[str, str]], list[tuple[str, str]]]:
    """Read the whole journal, the index of open calls and the sessions back from a store that nobody has open."""
    store.open("judge")
    entries: list[Entry] = []
    try:
        rows = store.sessions()
        for row in rows:
            after = 0
            while frames := store.read(row.session, after=after, limit=_PAGE):
                for frame in frames:
                    record = decode(frame.kind, frame.version, frame.payload)
                    at = (frame.at / 1e9 - EPOCH.timestamp() - base) * 1000
                    entries.append(Entry(round(at, 3), frame.seq, row.session, NAMES[type(record)], record))
                after = frames[-1].seq
        open_calls = [(mark.tool, mark.phase) for mark in store.open_calls()]
    finally:
        store.close()
    return entries, open_calls, [(row.session, row.state) for row in rows]
