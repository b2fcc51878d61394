"""The writer's side of a commit: batches land, and what a failing store leaves waiting is tried again in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.engine.batch import Entry, grouped
from toolguard.errors import StoreError, StoreUnavailable
from toolguard.stores.base import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Store

MAX_BATCH = 256
"""Records a commit takes at most, so that a flood cannot hold the interpreter lock for long."""
MAX_WAITING = 20_000
"""Appends that may wait for the writer; beyond it the store counts as unavailable."""


class Lander:
    """Commits batches to a store.

    Args:
        store: Where to write.
        tell: Called with the sessions whose records begin to wait, and why.

    Attributes:
        late: Entries that wait for the store to come back, in order.
    """

    def __init__(self, store: Store, tell: Callable[[set[str], StoreError], None]) -> None:
        self._store = store
        self._tell = tell
        self._delayed: set[str] = set()
        self.late: list[Entry] = []

    def commit(self, batch: list[Entry]) -> list[Entry]:
        """Write a batch, behind what an earlier failure has left waiting.

        Returns:
            The entries whose fate is known now.
        """
        late, self.late = self.late, []
        for start in range(0, len(late), MAX_BATCH):
            error = self._land(late[start : start + MAX_BATCH])
            if error is not None:
                self.late = late[start:]
                return [*late[:start], *self._put_off(batch, error)]
        self._delayed.clear()
        error = self._land(batch)
        return [*late, *(batch if error is None else self._put_off(batch, error))]

    def _put_off(self, batch: list[Entry], error: StoreError) -> list[Entry]:
        """The store failed: who waits for a record is told, what nobody waits for is written when the store is back."""
        told: list[Entry] = []
        for entry in batch:
            if entry.error is None and not entry.awaited and len(self.late) < MAX_WAITING:
                self.late.append(entry)
                continue
            entry.error = entry.error or error
            told.append(entry)
        sessions = {entry.append.session for entry in self.late} - self._delayed
        self._delayed |= sessions
        if sessions:
            self._tell(sessions, error)
        return told

    def _land(self, batch: list[Entry]) -> StoreError | None:
        """Write a batch in one transaction; the error if all of it failed."""
        groups = grouped(batch)
        try:
            answers = self._store.commit([append for append, _ in groups]) if groups else []
        except StoreError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the writer must outlive whatever a store does
            return StoreUnavailable(f"the store failed: {type(error).__name__}: {error}")
        for (_, entries), answer in zip(groups, answers, strict=True):
            for entry in entries:
                if isinstance(answer, StoreError):
                    entry.error = answer
                else:
                    entry.receipt = answer
                    answer = Receipt(answer.seq + len(entry.append.drafts), answer.epoch)  # noqa: PLW2901
        return None
