"""An append on its way to the store, and which appends of a batch stand or fall together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.errors import Fenced

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from toolguard.errors import StoreError
    from toolguard.stores.base import Append, Receipt


class Entry:
    """One append on its way: await :meth:`landed` to know its fate."""

    __slots__ = ("after", "append", "awaited", "error", "receipt", "records", "waiters")

    def __init__(self, append: Append, records: Sequence[Any], after: Entry | None, *, awaited: bool) -> None:
        self.append = append
        self.records = records
        self.after = after
        self.awaited = awaited
        self.waiters: list[asyncio.Future[Receipt]] = []
        self.receipt: Receipt | None = None
        self.error: StoreError | None = None

    @property
    def settled(self) -> bool:
        """Whether its fate is known on the loop's side."""
        return self.receipt is not None or self.error is not None


def grouped(batch: list[Entry]) -> list[tuple[Append, list[Entry]]]:
    """Join entries that stand or fall together; fail those whose predecessor was refused."""
    if len(batch) == 1 and batch[0].after is None:
        return [(batch[0].append, batch)]
    groups: list[tuple[Append, list[Entry]]] = []
    place: dict[int, int] = {}
    for entry in batch:
        after = entry.after
        if after is not None and after.error is not None:
            entry.error = after.error if isinstance(after.error, Fenced) else type(after.error)(after.error.what)
            continue
        if after is not None and id(after) in place:
            at = place[id(after)]
            first, members = groups[at]
            groups[at] = (_joined(first, entry.append), [*members, entry])
        else:
            at = len(groups)
            groups.append((entry.append, [entry]))
        place[id(entry)] = at
    return groups


def _joined(first: Append, second: Append) -> Append:
    return first._replace(
        drafts=first.drafts + second.drafts,
        durable=first.durable or second.durable,
        swaps=first.swaps + second.swaps,
        marks=first.marks + second.marks,
        lease=max(first.lease, second.lease),
    )
