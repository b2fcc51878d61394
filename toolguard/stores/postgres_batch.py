"""Packs a batch behind the heads that are remembered, and reads what the server says to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.errors import ClaimLost, Fenced, StoreError
from toolguard.stores.base import Append, Receipt
from toolguard.stores.place import Head, lease_over, place, unfit
from toolguard.stores.postgres_text import checked, unwritten, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_EPOCH, _CLAIM = 1, 2  # reasons to refuse an append, as land_1 says them; 3 is the lease
_HEADS = 20_000  # sessions whose heads are remembered between batches
ARGUMENTS = 29
"""How many values ``land_1`` takes."""


class Heads:
    """Where sessions stood when they were last seen; the server checks it, so that it may be wrong."""

    def __init__(self) -> None:
        self._heads: dict[str, Head] = {}

    def get(self, session: str) -> Head:
        """A session's head; a fresh one where it is not known."""
        return self._heads.get(session) or Head()

    def put(self, session: str, head: Head) -> None:
        """Remember a head."""
        if len(self._heads) >= _HEADS:
            self._heads.clear()
        self._heads[session] = head

    def drop(self, sessions: Iterable[str]) -> None:
        """Forget sessions."""
        for session in sessions:
            self._heads.pop(session, None)


class Plan:
    """One batch on its way: which appends can be stored at all, how they are packed, and what becomes of them.

    Args:
        batch: The appends.
        heads: What is remembered; kept up to date.
        chain_key: Key of the hash chains, or None.
    """

    def __init__(self, batch: Sequence[Append], heads: Heads, chain_key: bytes | None) -> None:
        self.durable = any(append.durable for append in batch)
        self._heads = heads
        self._key = chain_key
        self._answers: list[Receipt | StoreError | None] = [None] * len(batch)
        self._sound: list[tuple[int, Append]] = []
        for number, append in enumerate(batch):
            try:
                _check(append)
            except (TypeError, ValueError) as error:
                self._answers[number] = unfit(append.session, error)
            else:
                self._sound.append((number, append))
        self._names = sorted({written(append.session) for _, append in self._sound})
        self._refused: set[int] = set()
        self._packed: list[tuple[Receipt, Head]] = []

    @property
    def empty(self) -> bool:
        """Whether nothing is left for the server."""
        return not self._sound

    def packed(self, process: str, number: int) -> tuple[Any, ...]:
        """What ``land_1`` takes, with everything packed behind the heads as they are remembered."""
        names = {name: spot for spot, name in enumerate(self._names, 1)}
        keys = {key: spot for spot, key in enumerate(sorted({key for _, a in self._sound for key in _keys(a)}), 1)}
        self._packed = []
        ends: dict[str, Head] = {}
        appends: list[tuple[Any, ...]] = []
        frames: list[tuple[int, int, bytes]] = []
        swaps: list[tuple[int, int, bytes]] = []
        marks: list[tuple[Any, ...]] = []
        sound, self._sound = self._sound, []
        for original, append in sound:
            head = ends.get(append.session) or self._heads.get(append.session)
            under = head.epoch if append.epoch is None else _within(append.epoch, 2**32)
            try:
                stored, link = place(append, Head(0, max(under, 0), head.seq, head.chain), self._key)
            except StoreError as refusal:
                self._answers[original] = refusal
                continue
            self._sound.append((original, append))
            spot = len(self._sound)
            end = Head(0, under, head.seq + len(stored), link)
            self._packed.append((Receipt(head.seq + 1, under), end))
            if spot - 1 not in self._refused:
                ends[append.session] = end
            appends.append(
                (
                    names[written(append.session)],
                    None if append.epoch is None else under,
                    append.lease,
                    written(append.marks[0].tenant) if append.marks else "",
                    append.drafts[-1].at if append.drafts else 0,
                    *(under, head.seq, head.chain, link, len(stored), len(append.swaps)),
                )
            )
            frames += [(spot, seq, frame) for seq, frame in enumerate(stored, head.seq + 1)]
            swaps += [(keys[written(swap.key)], _within(swap.expects, 2**62), swap.value) for swap in append.swaps]
            marks += [
                (spot, written(m.session), m.call, written(m.tenant), written(m.tool), written(m.phase), m.at)
                for m in append.marks
            ]
        columns = (*_columns(appends, 11), *_columns(frames, 3), list(keys), *_columns(swaps, 3), *_columns(marks, 7))
        return (written(process), number, self.durable, self._names, *columns)

    def behind(self, epochs: list[int], seqs: list[int], chains: list[bytes], refusals: list[int]) -> None:
        """The heads were stale: remember the present ones, and which appends are refused, for the next packing."""
        for name, epoch, seq, chain in zip(self._names, epochs, seqs, chains, strict=True):
            self._heads.put(unwritten(name), Head(0, epoch, seq, chain))
        self._refused = set(refusals[::3])

    def landed(self, refusals: list[int]) -> list[Receipt | StoreError]:
        """The answers, once the server has said which appends are refused."""
        refused = {refusals[at]: (refusals[at + 1], refusals[at + 2]) for at in range(0, len(refusals), 3)}
        answers = list(self._answers)
        for spot, ((original, append), (receipt, end)) in enumerate(zip(self._sound, self._packed, strict=True)):
            code, stands = refused.get(spot, (0, 0))
            if code:
                answers[original] = _refusal(append, code, stands)
                if code == _EPOCH:
                    self._heads.drop([append.session])
            else:
                answers[original] = receipt
                self._heads.put(append.session, end)
        return [answer for answer in answers if answer is not None]


def _refusal(append: Append, code: int, stands: int) -> StoreError:
    if code == _EPOCH:
        return Fenced(
            f"another owner has taken the session over (epoch {append.epoch} is over, it stands at {stands})",
            ref=append.session,
            advice="Stop deciding for this session; its new owner goes on.",
        )
    if code == _CLAIM:
        return ClaimLost(
            f"another process holds the occurrence (its claim stands at version {stands})",
            ref=append.session,
            advice="Read the claim again and wait for its holder.",
        )
    return lease_over("this process", append.session)


def _check(append: Append) -> None:
    checked(append.session)
    for swap in append.swaps:
        checked(swap.key)
        memoryview(swap.value)
    for mark in append.marks:
        checked(mark.session)


def _within(number: int, limit: int) -> int:
    """The number, or -1, at which nothing ever stands, where the server could not hold it."""
    return number if 0 <= number < limit else -1


def _keys(append: Append) -> list[str]:
    return [written(swap.key) for swap in append.swaps]


def _columns(table: list[Any], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*table, strict=True)] if table else [[] for _ in range(width)]
