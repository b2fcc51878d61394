"""Turns packed appends into the values that the landing functions on the server take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from toolguard.stores.postgres_text import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.stores.base import Append
    from toolguard.stores.place import Head

ARGUMENTS = {"land_1": 28, "land_one_1": 21}
"""The functions, and how many values each takes."""
_FEW = 8  # records, claims or marks of a lone append that are written one by one


class Packed(NamedTuple):
    """An append packed behind a head.

    Attributes:
        append: The append.
        under: The epoch that its frames carry.
        head: The head it is packed behind.
        frames: The frames, in order.
        link: The chain's link behind them.
    """

    append: Append
    under: int
    head: Head
    frames: list[bytes]
    link: bytes


def values(packed: Sequence[Packed], names: list[str], process: str, number: int) -> tuple[str, tuple[Any, ...]]:
    """The function that lands these appends, and what it takes; ``names`` are their sessions, sorted."""
    if len(packed) == 1 and _short(packed[0].append):
        return "land_one_1", (written(process), number, *_one(packed[0]))
    return "land_1", (written(process), number, names, *_many(packed, names))


def _short(append: Append) -> bool:
    keys = {swap.key for swap in append.swaps}
    return len(keys) == len(append.swaps) and max(len(append.drafts), len(keys), len(append.marks)) <= _FEW


def _one(packed: Packed) -> tuple[Any, ...]:
    append, head = packed.append, packed.head
    swaps = sorted((written(swap.key), _expected(swap.expects), swap.value) for swap in append.swaps)
    return (
        *(written(append.session), _epoch(packed), append.lease, _tenant(append), _at(append)),
        *(packed.under, head.seq, head.chain, packed.link, packed.frames),
        *(_columns(swaps, 3) if swaps else (None,) * 3),
        *(_columns(_marks(append, 0), 7)[1:] if append.marks else (None,) * 6),
    )


def _many(packed: Sequence[Packed], names: list[str]) -> tuple[Any, ...]:
    spots = {name: spot for spot, name in enumerate(names, 1)}
    keys = sorted({written(swap.key) for one in packed for swap in one.append.swaps})
    places = {key: spot for spot, key in enumerate(keys, 1)}
    appends: list[tuple[Any, ...]] = []
    frames: list[tuple[Any, ...]] = []
    swaps: list[tuple[Any, ...]] = []
    marks: list[tuple[Any, ...]] = []
    for spot, one in enumerate(packed, 1):
        append, head = one.append, one.head
        appends.append(
            (
                *(spots[written(append.session)], _epoch(one), append.lease, _tenant(append), _at(append)),
                *(one.under, head.seq, head.chain, one.link, len(one.frames), len(append.swaps)),
            )
        )
        frames += [(spot, seq, frame) for seq, frame in enumerate(one.frames, head.seq + 1)]
        swaps += [(places[written(swap.key)], _expected(swap.expects), swap.value) for swap in append.swaps]
        marks += _marks(append, spot)
    return (*_columns(appends, 11), *_columns(frames, 3), keys, *_columns(swaps, 3), *_columns(marks, 7))


def _epoch(packed: Packed) -> int | None:
    return None if packed.append.epoch is None else packed.under


def _tenant(append: Append) -> str:
    return written(append.marks[0].tenant) if append.marks else ""


def _at(append: Append) -> int:
    return append.drafts[-1].at if append.drafts else 0


def _expected(version: int) -> int:
    """The version, or one at which no claim ever stands, where the server could not hold it."""
    return version if 0 <= version < 1 << 62 else -1


def _marks(append: Append, spot: int) -> list[tuple[Any, ...]]:
    return [
        (spot, written(m.session), m.call, written(m.tenant), written(m.tool), written(m.phase), m.at)
        for m in append.marks
    ]


def _columns(table: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*table, strict=True)] if table else [[] for _ in range(width)]
