"""Packs a batch behind the heads that are remembered, and reads what the server says to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.errors import StoreError
from toolguard.stores.base import Append, Receipt
from toolguard.stores.place import Head, claim_lost, fenced, forgotten, lease_over, place, unfit
from toolguard.stores.postgres_pack import Packed, values
from toolguard.stores.postgres_text import checked, unwritten, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_EPOCH, _CLAIM = 1, 2  # reasons to refuse an append, as land_1 says them; 3 is the lease
_HEADS = 20_000  # sessions whose heads are remembered between batches
_EPOCHS = 2**32  # what fits into a frame


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
        process: Whose batch it is.
        chain_key: Key of the hash chains, or None.
    """

    def __init__(self, batch: Sequence[Append], heads: Heads, process: str, chain_key: bytes | None) -> None:
        self.batch = batch
        self._heads = heads
        self._process = process
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
        self._packed: list[Packed] = []

    def packed(self, number: int) -> tuple[str, tuple[Any, ...]]:
        """The function that lands the batch and what it takes, packed behind the heads as they are remembered."""
        ends: dict[str, Head] = {}
        sound, self._sound, self._packed = self._sound, [], []
        for original, append in sound:
            head = ends.get(append.session) or self._heads.get(append.session)
            under = head.epoch if append.epoch is None else append.epoch if 0 <= append.epoch < _EPOCHS else -1
            try:
                frames, link = place(append, Head(0, max(under, 0), head.seq, head.chain), self._key)
            except StoreError as refusal:
                self._answers[original] = refusal
                continue
            if len(self._packed) not in self._refused:
                ends[append.session] = Head(0, under, head.seq + len(frames), link)
            self._sound.append((original, append))
            self._packed.append(Packed(append, under, head, frames, link))
        return values(self._packed, self._names, self._process, number) if self._packed else ("", ())

    def behind(self, heads: Sequence[tuple[int, int, bytes]], refusals: list[int]) -> None:
        """The heads were stale: remember the present ones, and which appends are refused, for the next packing.

        An owned session that stands behind what this process has seen land was lost by the server (a standby that took
        over had not got it): nothing is appended to it until somebody has entered it and gone on with what is there.
        One that nobody owns may as well have been taken away and begun anew.
        """
        lost: dict[str, StoreError] = {}
        for name, (epoch, seq, chain) in zip(self._names, heads, strict=True):
            session, known = unwritten(name), self._heads.get(unwritten(name))
            if seq < known.seq and 0 < epoch == known.epoch:
                lost[session] = forgotten(session, known.seq, seq)
            else:
                self._heads.put(session, Head(0, epoch, seq, chain))
        refused = set(refusals[::4])
        left = [(spot, one) for spot, one in enumerate(self._sound) if one[1].session not in lost]
        for original, append in self._sound:
            if append.session in lost:
                self._answers[original] = lost[append.session]
        self._sound = [one for _, one in left]
        self._refused = {place for place, (spot, _) in enumerate(left) if spot in refused}
        self._names = [name for name in self._names if unwritten(name) not in lost]

    def landed(self, refusals: list[int]) -> list[Receipt | StoreError]:
        """The answers, once the server has said which appends are refused."""
        refused = {spot: why for spot, *why in zip(*[iter(refusals)] * 4, strict=True)}
        answers = list(self._answers)
        for spot, ((original, append), packed) in enumerate(zip(self._sound, self._packed, strict=True)):
            code, stands, due = refused.get(spot, (0, 0, 0))
            if code:
                answers[original] = _refusal(append, code, stands, due, self._process)
                if code == _EPOCH:
                    self._heads.drop([append.session])
            else:
                seq = packed.head.seq
                answers[original] = Receipt(seq + 1, packed.under)
                self._heads.put(append.session, Head(0, packed.under, seq + len(packed.frames), packed.link))
        return [answer for answer in answers if answer is not None]


def _refusal(append: Append, code: int, stands: int, due: int, process: str) -> StoreError:
    if code == _EPOCH:
        return fenced(append, stands)
    if code == _CLAIM:
        return claim_lost(append, stands, due)
    return lease_over(process, append.session)


def _check(append: Append) -> None:
    checked(append.session)
    for swap in append.swaps:
        checked(swap.key)
        memoryview(swap.value)
    for mark in append.marks:
        checked(mark.session)
