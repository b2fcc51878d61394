"""Snapshots: a session's account as of one record, packed, so that recovery need not begin at the first record.

The head has what may change; it is written anew each time. What is over and done goes into pieces, which are written
once; a row that changes later lives in a newer piece or in the head again, and the newest one counts. A snapshot is a
convenience: whatever is wrong with it, the journal says the same.
"""

from __future__ import annotations

from dataclasses import Field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self, get_type_hints
from zlib import crc32, decompress

import msgspec

from toolguard.core.conversation import Conversation
from toolguard.core.lazy import Records, Shelf, Shelved
from toolguard.core.rows import ITEMS, PLAIN, RUNS, SLOTS
from toolguard.core.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from toolguard.core.conversation import Item

VERSION = 1
"""Raised with every new record kind or version too: whoever reads a snapshot knows all that is folded into it."""
TABLES = ("slots", "runs", "by_call_id", "newest", "undos", "items", "offers")
"""Fields of a state that grow with its history."""
SQUEEZED = ("slots", "runs", "said")
"""Sections that are compressed in a piece: the bulk of it, which is seldom asked for again."""
_NEWER, _WHOLE = "it is of a newer version ({})", "it is damaged: {}"
_STAMP = 7


class SnapshotUnfit(ValueError):  # noqa: N818 - named for what was found
    """A snapshot cannot be used; ``newer``: because a newer release wrote it."""

    def __init__(self, why: str, *, newer: bool = False) -> None:
        super().__init__(why)
        self.newer = newer


class Sections(msgspec.Struct, array_like=True, frozen=True):
    """Rows of all tables, each packed by itself: what nobody asks for is never unpacked."""

    slots: memoryview
    runs: memoryview
    by_call_id: memoryview
    newest: memoryview
    undos: memoryview
    items: memoryview
    offers: memoryview
    said: memoryview


class Piece(msgspec.Struct, array_like=True, frozen=True):
    """What the head knows of a piece: its checksum, and the first and last numbers in it.

    ``wide``: it has writes of a scope beyond the session.
    """

    crc: int
    slots: tuple[int, int]
    runs: tuple[int, int]
    contexts: tuple[int, int]
    wide: bool = False


class Head(msgspec.Struct, array_like=True, frozen=True):
    """The head of a snapshot; ``mark`` is the chain's link of record ``seq``, so that it fits one journal alone."""

    session: str
    seq: int
    at: int
    mark: bytes
    skip: int
    pieces: list[Piece]
    values: dict[str, Any]
    sets: dict[str, list[int]]
    more: dict[str, bytes]
    rank: int
    highest: dict[str, int]
    own: Sections


_HEAD = msgspec.msgpack.Decoder(Head)
_SECTIONS = msgspec.msgpack.Decoder(Sections)
_CALL_IDS = msgspec.msgpack.Decoder(list[tuple[int, str, int]])
_UNDOS = msgspec.msgpack.Decoder(list[tuple[str, str, int]])
_OFFERS = msgspec.msgpack.Decoder(list[tuple[str, str, int, int]])
_UNPACK: dict[str, Callable[[memoryview], dict[Any, Any]]] = {
    "slots": lambda raw: {slot.number: slot for slot in SLOTS.unpack(raw)},
    "runs": lambda raw: {run.number: run for run in RUNS.unpack(raw)},
    "by_call_id": lambda raw: {(context, id_): call for context, id_, call in _CALL_IDS.decode(raw)},
    "newest": lambda raw: msgspec.msgpack.decode(raw, type=dict[str, int]),
    "undos": lambda raw: {(tool, print_): run for tool, print_, run in _UNDOS.decode(raw)},
    "items": lambda raw: msgspec.msgpack.decode(raw, type=dict[str, int]),
    "offers": lambda raw: {(intent, print_): (turns, at) for intent, print_, turns, at in _OFFERS.decode(raw)},
}
PACK: dict[str, Callable[[dict[Any, Any]], bytes]] = {
    "slots": lambda rows: SLOTS.pack(rows.values()),
    "runs": lambda rows: RUNS.pack(rows.values()),
    "by_call_id": lambda rows: msgspec.msgpack.encode([(*key, value) for key, value in rows.items()]),
    "newest": msgspec.msgpack.encode,
    "undos": lambda rows: msgspec.msgpack.encode([(*key, value) for key, value in rows.items()]),
    "items": msgspec.msgpack.encode,
    "offers": lambda rows: msgspec.msgpack.encode([(*key, *value) for key, value in rows.items()]),
}
"""How each table is packed."""


def _is_set(field: Field[Any]) -> bool:
    return str(field.type) == "set[int]"


_OTHERS = tuple(field for field in fields(State) if field.name not in {"session", "conversation", *TABLES})
VALUES = tuple(field.name for field in _OTHERS if str(field.type) in PLAIN)
SETS = tuple(field.name for field in _OTHERS if _is_set(field))
_HINTS = get_type_hints(State)
MORE = {field.name: msgspec.json.Decoder(_HINTS[field.name]) for field in _OTHERS if field.name not in {*VALUES, *SETS}}
"""What reads the fields of other types: they are kept as JSON."""


def stamped(body: bytes) -> bytes:
    """Bytes with a head of their own: what they are, their version, their checksum."""
    return b"tg" + bytes((VERSION,)) + crc32(body).to_bytes(4, "big") + body


def _checked(raw: bytes, what: str) -> memoryview:
    view = memoryview(raw)
    if len(view) < _STAMP or bytes(view[:2]) != b"tg":
        raise SnapshotUnfit(_WHOLE.format(f"its {what} is none"))
    if view[2] > VERSION:
        raise SnapshotUnfit(_NEWER.format(view[2]), newer=True)
    if crc32(view[_STAMP:]) != int.from_bytes(view[3:_STAMP], "big"):
        raise SnapshotUnfit(_WHOLE.format(f"its {what} fails its checksum"))
    return view[_STAMP:]


def checksum(part: bytes) -> int:
    """The checksum that a stamped part bears."""
    return int.from_bytes(part[3:_STAMP], "big")


def opened(session: str, seq: int, head: bytes, parts: Sequence[bytes], known: Base | None = None) -> Opening:
    """Open a snapshot: its head is read, its parts are checked and stay packed.

    Args:
        session: The session that it should be of.
        seq: The record that it should end with.
        head: Its head.
        parts: Its parts.
        known: An earlier snapshot of the same process, whose parts it begins with.

    Raises:
        SnapshotUnfit: It cannot be used; the error says why.
    """
    try:
        read = _HEAD.decode(_checked(head, "head"))
        if (read.session, read.seq) != (session, seq):
            raise SnapshotUnfit(_WHOLE.format(f"it is one of {read.session} at record {read.seq}"))
        if len(parts) - read.skip != len(read.pieces):
            raise SnapshotUnfit(_WHOLE.format(f"it has {len(parts)} parts instead of {read.skip + len(read.pieces)}"))
        library = known.library if known is not None else Library()
        for piece, part in list(zip(read.pieces, parts[read.skip :], strict=True))[len(library) :]:
            body = _checked(part, "part")
            if checksum(part) != piece.crc:
                raise SnapshotUnfit(_WHOLE.format("a part of another snapshot is in it"))
            library.add(piece, body)
        return Opening(_state(read, library), read, Base(tuple(parts), read.skip, tuple(read.pieces), library))
    except (msgspec.MsgspecError, TypeError, AttributeError, UnicodeError) as error:
        raise SnapshotUnfit(_WHOLE.format(error)) from error


def _state(head: Head, library: Library) -> State:
    state = State(head.session, **{name: head.values[name] for name in VALUES if name in head.values})
    for name in SETS:
        setattr(state, name, numbers(head.sets.get(name, ())))
    for name, decoder in MORE.items():
        if name in head.more:
            setattr(state, name, decoder.decode(head.more[name]))
    for name in TABLES:
        rows: dict[Any, Any] = _UNPACK[name](getattr(head.own, name))
        if not len(library):
            table = rows
        elif name in head.highest:
            table = Records(rows, library.shelves(name), head.highest[name])
        else:
            table = Shelved(rows, library.shelves(name))
        setattr(state, name, table)
    state.conversation = Conversation(ITEMS.unpack(head.own.said), head.rank, library.said())
    return state


class Library:
    """The packed pieces of one snapshot, and the shelves of each table that have been asked for."""

    def __init__(self) -> None:
        self._pieces: list[tuple[Piece, memoryview]] = []
        self._shelves: dict[str, list[Shelf[Any, Any]]] = {}

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, piece: Piece, body: memoryview) -> None:
        """Put a piece behind the others."""
        self._pieces.append((piece, body))

    def shelves(self, name: str) -> Callable[[], list[Shelf[Any, Any]]]:
        """The shelves of a table for the pieces that are here now."""
        pieces = len(self._pieces)

        def make() -> list[Shelf[Any, Any]]:
            made = self._shelves.setdefault(name, [])
            made += [_shelf(name, *one) for one in self._pieces[len(made) : pieces]]
            return made[:pieces]

        return make

    def said(self) -> tuple[Callable[[], list[Item]], ...]:
        """What unpacks the items of the conversation, piece by piece."""
        return tuple(partial(_said, body) for _, body in self._pieces)

    def forget(self) -> None:
        """Pack everything again."""
        for shelf in (shelf for shelves in self._shelves.values() for shelf in shelves):
            shelf.forget()


def _said(body: memoryview) -> list[Item]:
    return ITEMS.unpack(_section("said", body))


def _section(name: str, body: memoryview) -> memoryview:
    """One section of a piece."""
    packed: memoryview = getattr(_SECTIONS.decode(body), name)
    return memoryview(decompress(packed)) if name in SQUEEZED else packed


def _shelf(name: str, piece: Piece, body: memoryview) -> Shelf[Any, Any]:
    def unpack() -> dict[Any, Any]:
        return _UNPACK[name](_section(name, body))

    first, last = {"slots": piece.slots, "runs": piece.runs, "by_call_id": piece.contexts}.get(name, (0, 0))
    holds: Callable[[Any], bool] | None = None
    if name == "by_call_id":
        holds = lambda key: first <= key[0] <= last  # noqa: E731
    elif name in {"slots", "runs"}:
        holds = lambda key: first <= key <= last  # noqa: E731
    return Shelf(unpack, holds, wide=piece.wide)


class Base(NamedTuple):
    """The snapshot that a state was opened from; the first ``skip`` parts in the store belong to no readable one."""

    parts: tuple[bytes, ...]
    skip: int
    pieces: tuple[Piece, ...]
    library: Library

    @classmethod
    def none(cls, parts: tuple[bytes, ...] = ()) -> Self:
        """None that can be read; the store has these parts of one that cannot."""
        return cls(parts, len(parts), (), Library())


class Opening(NamedTuple):
    """An opened snapshot."""

    state: State
    head: Head
    base: Base


def ranges(numbers: Collection[int]) -> list[int]:
    """Numbers as the first and last of each unbroken row."""
    ends: list[int] = []
    for number in sorted(numbers):
        if ends and ends[-1] == number - 1:
            ends[-1] = number
        else:
            ends += (number, number)
    return ends


def numbers(ends: Sequence[int]) -> set[int]:
    """The numbers again."""
    return {number for first, last in zip(ends[::2], ends[1::2], strict=True) for number in range(first, last + 1)}
