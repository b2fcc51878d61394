"""A batch whose fate was unknown for a while: what of it turned out to have landed is not written a second time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.stores.base import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.errors import StoreError
    from toolguard.stores.base import Append


class Unsure:
    """Knows records again that had landed while their writer was told that nobody knows, and that it now writes anew.

    Records, claims and marks are known again by their identity: whoever tries again does so with the same objects,
    joined to other appends perhaps.
    """

    def __init__(self) -> None:
        self._landed: dict[int, tuple[object, Receipt]] = {}  # the object is kept, so that its id stays its own

    def note(self, append: Append, receipt: Receipt) -> None:
        """Note that an append of unknown fate has landed."""
        seq = receipt.seq
        for draft in append.drafts:
            self._landed[id(draft)] = (draft, Receipt(seq, receipt.epoch))
            seq += 1
        for part in (*append.swaps, *append.marks):
            self._landed[id(part)] = (part, receipt)

    def write(
        self, batch: Sequence[Append], land: Callable[[Sequence[Append]], list[Receipt | StoreError]]
    ) -> list[Receipt | StoreError]:
        """Have ``land`` write what of a batch is not there yet, and answer each append in its place."""
        if not self._landed:
            return land(batch)
        found: dict[int, Receipt] = {}
        rest: dict[int, Append] = {}
        for index, append in enumerate(batch):
            known = [self._landed[id(part)][1] for part in (*append.drafts, *append.swaps) if id(part) in self._landed]
            if known:
                found[index] = known[0]
            left = self._without(append) if known else append
            if not known or left.drafts or left.swaps:
                rest[index] = left
        answers = dict(zip(rest, land(list(rest.values())) if rest else [], strict=True))
        if not found:
            self._landed.clear()  # whoever writes anew begins with the oldest: nothing more of it is to come
        told: list[Receipt | StoreError] = []
        for index in range(len(batch)):
            answer = answers.get(index, found.get(index))
            if isinstance(answer, Receipt) and index in found:
                answer = found[index]
            if answer is not None:
                told.append(answer)
        return told

    def _without(self, append: Append) -> Append:
        return append._replace(
            drafts=tuple(draft for draft in append.drafts if id(draft) not in self._landed),
            swaps=tuple(swap for swap in append.swaps if id(swap) not in self._landed),
            marks=tuple(mark for mark in append.marks if id(mark) not in self._landed),
        )
