"""What the handles on one memory store share."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from toolguard.stores.waking import rouse

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Mark, SessionRow, Snapshot


class Shelf:
    """Everything that one memory store keeps."""

    def __init__(self) -> None:
        self.names: list[str] = []  # sorted
        self.rows: dict[str, SessionRow] = {}
        self.journals: dict[str, list[bytes]] = {}
        self.log: list[tuple[str, int]] = []  # store position - 1 -> (session, seq)
        self.claims: dict[str, tuple[int, bytes]] = {}
        self.marks: dict[tuple[str, int], Mark] = {}
        self.notes: dict[str, bytes] = {}
        self.live: set[str] = set()
        self.dead: set[str] = set()
        self.snapshots: dict[str, Snapshot] = {}
        self.listeners: list[Callable[[], None]] = []

    def keep(self, snapshot: Snapshot, known: int) -> bool:
        """Put a snapshot in place of an older one."""
        old = self.snapshots.get(snapshot.session)
        fits = (old.seq < snapshot.seq and len(old.parts) == known) if old is not None else not known
        if snapshot.session not in self.rows or not fits:
            return False
        parts = (old.parts if old is not None else ()) + snapshot.parts[known:]
        self.snapshots[snapshot.session] = snapshot._replace(parts=parts)
        return True

    def prune(self, before: int, limit: int) -> list[str]:
        """Take away closed sessions whose last record is older than ``before``, but for those with open calls."""
        busy = {mark.session for mark in self.marks.values()}
        rows = (self.rows[name] for name in self.names)
        old = [
            row.session for row in rows if row.state == "closed" and row.last_at < before and row.session not in busy
        ]
        gone = set(old[:limit])
        for session in gone:
            self.names.remove(session)
            del self.rows[session], self.journals[session]
            self.snapshots.pop(session, None)
        if gone:  # their places stay empty, also where a session of the same id begins anew
            self.log = [("", 0) if place[0] in gone else place for place in self.log]
        return old[:limit]

    def wake(self) -> None:
        """Tell everybody who listens; one that fails costs nobody a record."""
        for listener in list(self.listeners):
            rouse(listener, "the memory store")

    def unlisten(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` no more."""
        with suppress(ValueError):
            self.listeners.remove(wake)
