"""Makes a session's next snapshot, in steps: pieces of what is over and done first, then the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import compress

import msgspec

from toolguard.core.lazy import highest, own
from toolguard.core.rows import ITEMS
from toolguard.core.snapshot import (
    MORE,
    PACK,
    SETS,
    SQUEEZED,
    TABLES,
    VALUES,
    Base,
    Head,
    Piece,
    Sections,
    checksum,
    ranges,
    stamped,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from toolguard.core.state import State

PIECE = 128
"""So many rows of a table are sealed together."""
WARM = 32
"""So many of the newest calls, runs and items stay in the head: something may still happen to them."""


class Sealing:
    """Packs a state that is the fold of a journal up to a record.

    Args:
        state: The state; it must not change before the last step.
        base: The snapshot that it was opened from.
        seq: The record's number.
        at: Its wall time.
        mark: Its link of the chain.
    """

    def __init__(self, state: State, base: Base, *, seq: int, at: int, mark: bytes) -> None:
        self._state = state
        self._base = base
        self._seq, self._at, self._mark = seq, at, mark
        self._pieces = list(base.pieces)
        self._rows: dict[str, dict[Any, Any]] = {}
        self._steps = self._work()
        self.parts = list(base.parts)
        self.head = b""

    @property
    def known(self) -> int:
        """How many parts are in the store already."""
        return len(self._base.parts)

    def step(self) -> bool:
        """Do some of the work, for less than two milliseconds; False when all is done."""
        return next(self._steps, None) is not None

    def _work(self) -> Iterator[bool]:
        state = self._state
        for name in TABLES:
            self._rows[name] = own(getattr(state, name))
            yield True
        self._rows["said"] = {item.rank: item for item in state.conversation.recent}
        yield True
        cold: dict[str, list[Any]] = {}
        for name in self._rows:
            cold[name] = self._cold(name)
            yield True
        at = 0
        while any(len(keys) >= at + PIECE for keys in cold.values()):
            self._seal({name: keys[at : at + PIECE] for name, keys in cold.items()})
            at += PIECE
            yield True
        self.head = stamped(msgspec.msgpack.encode(self._head()))

    def _cold(self, name: str) -> list[Any]:
        """Keys of the rows that can be sealed, oldest first."""
        state, rows = self._state, self._rows[name]
        if name == "slots":
            return _old(sorted(rows.keys() - state.unsent))
        if name == "runs":
            return _old(sorted(rows.keys() - state.open_runs - state.doubtful - state.owed))
        if name == "said":
            return _old(list(rows))
        return _old(sorted(rows, key=lambda key: rows[key][1] if name == "offers" else rows[key]))

    def _seal(self, chosen: dict[str, list[Any]]) -> None:
        """Make a piece of the chosen rows."""
        rows = {name: {key: self._rows[name].pop(key) for key in keys} for name, keys in chosen.items()}
        part = stamped(msgspec.msgpack.encode(_sections(rows, SQUEEZED)))
        contexts = [context for context, _ in rows["by_call_id"]]
        wide = any(run.effect.writes and run.scope != "session" and not run.parent for run in rows["runs"].values())
        self._pieces.append(
            Piece(checksum(part), _ends(rows["slots"]), _ends(rows["runs"]), _ends(contexts), wide=wide)
        )
        self.parts.append(part)

    def _head(self) -> Head:
        state = self._state
        return Head(
            state.session,
            self._seq,
            self._at,
            self._mark,
            self._base.skip,
            self._pieces,
            {name: getattr(state, name) for name in VALUES},
            {name: ranges(getattr(state, name)) for name in SETS},
            {name: msgspec.json.encode(getattr(state, name)) for name in MORE},
            state.conversation.rank,
            {"slots": highest(state.slots), "runs": highest(state.runs)},
            _sections(self._rows),
        )


def _old(keys: list[Any]) -> list[Any]:
    """All but the newest."""
    return keys[: max(0, len(keys) - WARM)]


def _sections(rows: dict[str, dict[Any, Any]], squeezed: Sequence[str] = ()) -> Sections:
    packed = {name: PACK[name](rows[name]) for name in TABLES}
    packed["said"] = ITEMS.pack(rows["said"].values())
    return Sections(**{n: memoryview(compress(raw, 1) if n in squeezed else raw) for n, raw in packed.items()})


def _ends(numbers: Collection[int]) -> tuple[int, int]:
    """The first and the last; of none a pair that nothing lies between."""
    return (min(numbers), max(numbers)) if numbers else (0, -1)
