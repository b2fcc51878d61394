"""A store in this process's memory: for tests and for agents that need nothing to outlive them."""

from __future__ import annotations

import math
import time
from bisect import bisect_right, insort
from typing import TYPE_CHECKING

from toolguard.core.frame import GENESIS, Frame
from toolguard.errors import StoreError, StoreUnavailable
from toolguard.stores.base import LEASE, Append, Mark, Receipt, SessionRow, Snapshot
from toolguard.stores.memory_shelf import Shelf
from toolguard.stores.place import (
    Head,
    frame_of,
    judge,
    lease_over,
    not_owner,
    other_tenant,
    overtaken,
    place,
    storable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class MemoryStore:
    """Journals kept in memory, by the same rules as every other store.

    Closing ends the lease and keeps the content, so the same object can be opened again, as after a restart.

    Args:
        chain_key: Key of the sessions' hash chains (HMAC-SHA-256); None chains with plain SHA-256.
    """

    threaded: bool = False

    def __init__(self, *, chain_key: bytes | None = None) -> None:
        self.name = "memory"
        self._key = chain_key
        self._shelf = Shelf()
        self._process = ""
        self._listening: list[Callable[[], None]] = []

    def twin(self) -> MemoryStore:
        """Another handle on the same content, as another process has on a shared directory."""
        other = MemoryStore(chain_key=self._key)
        other._shelf = self._shelf
        return other

    def open(self, process: str) -> None:
        """Open on behalf of ``process`` (a unique token); its lease begins.

        Raises:
            StoreError: The store is open already.
            LeaseLost: A process of that name has been found dead.
        """
        if self._process:
            raise StoreError(f"the store is open already, for {self._process}", advice="Close it first.")
        storable(process)
        if process in self._shelf.dead:
            raise lease_over(process)
        self._process = process
        self._shelf.live.add(process)

    def close(self) -> None:
        """End the lease and the listening; the content stays."""
        for wake in self._listening:
            self._shelf.unlisten(wake)
        self._listening.clear()
        self._shelf.live.discard(self._process)
        self._process = ""

    def expire(self) -> None:
        """Let this handle's lease run out, as that of a process that was stopped for too long; it does not notice."""
        self._shelf.live.discard(self._process)

    def idle(self) -> None:
        """Nothing waits to be done when no batch is waiting."""

    def commit(self, batch: Sequence[Append]) -> list[Receipt | StoreError]:
        """Store a batch; an append that is fenced or loses a claim is refused alone, in its place of the answer.

        Raises:
            StoreUnavailable: The store is not open.
        """
        self._opened()
        answers: list[Receipt | StoreError] = []
        for append in batch:
            try:
                answers.append(self._append(append))
            except StoreError as refusal:
                answers.append(refusal)
        if any(isinstance(answer, Receipt) for answer in answers):
            self._shelf.wake()
        return answers

    def enter(self, session: str, tenant: str, *, at: int, expects: int | None = None) -> SessionRow:
        """Take a session over: its epoch grows by one. ``at`` is wall time in nanoseconds.

        Raises:
            Fenced: The session belongs to another tenant, or does not stand at the epoch ``expects``.
            StoreError: A text cannot be stored.
        """
        shelf = self._opened()
        storable(session, tenant)
        row = shelf.rows.get(session)
        epoch = row.epoch if row is not None else 0
        if expects is not None and expects != epoch:
            raise overtaken(session, expects, epoch)
        if row is None:
            row = self._begin(session, tenant, at)
        elif row.tenant and row.tenant != tenant:
            raise other_tenant(session)
        row = row._replace(
            tenant=tenant, epoch=row.epoch + 1, owner=self._process, state="open", last_at=max(row.last_at, at)
        )
        shelf.rows[session] = row
        return row

    def leave(self, session: str, state: str) -> None:
        """Record that the session is ``closed`` or ``open`` without an owner; an unknown session is left alone.

        Raises:
            Fenced: Another process owns the session by now.
        """
        shelf = self._opened()
        storable(session, state)
        row = shelf.rows.get(session)
        if row is None:
            return
        if row.owner not in {"", self._process}:
            raise not_owner(session, row.owner)
        shelf.rows[session] = row._replace(owner="", state=state)

    def session(self, session: str) -> SessionRow | None:
        """One session's row."""
        return self._opened().rows.get(session)

    def sessions(
        self, *, tenant: str | None = None, state: str | None = None, after: str = "", limit: int = 500
    ) -> list[SessionRow]:
        """Rows of sessions in order of their ids, starting behind ``after``."""
        shelf = self._opened()
        found: list[SessionRow] = []
        for index in range(bisect_right(shelf.names, after), len(shelf.names)):
            if len(found) >= limit:
                break
            row = shelf.rows[shelf.names[index]]
            if tenant in {None, row.tenant} and state in {None, row.state}:
                found.append(row)
        return found

    def read(self, session: str, *, after: int = 0, limit: int = 512) -> list[Frame]:
        """Records of one session behind sequence number ``after``, in order.

        Raises:
            StoreDamaged: A record is not what was written.
        """
        return [frame_of(session, seq, stored) for seq, stored in self.raw(session, after=after, limit=limit)]

    def raw(self, session: str, *, after: int = 0, limit: int = 512) -> list[tuple[int, bytes]]:
        """The same, as (sequence number of the row, stored bytes), for verification."""
        rows = self._opened().journals.get(session, [])
        start = max(after, 0)
        return list(enumerate(rows[start : start + max(limit, 0)], start + 1))

    def tail(self, *, after: int, limit: int = 512) -> list[tuple[int, str, Frame]]:
        """Records of all sessions behind store position ``after``, oldest first.

        Raises:
            StoreDamaged: A record is not what was written.
        """
        shelf = self._opened()
        start = max(after, 0)
        found: list[tuple[int, str, Frame]] = []
        for position, (session, seq) in enumerate(shelf.log[start:], start + 1):
            if len(found) >= limit:
                break
            if seq and session in shelf.journals and seq <= len(shelf.journals[session]):
                found.append((position, session, frame_of(session, seq, shelf.journals[session][seq - 1])))
        return found

    def position(self) -> int:
        """The newest store position."""
        return len(self._opened().log)

    def claim(self, key: str) -> tuple[int, bytes] | None:
        """A claim's version and value."""
        return self._opened().claims.get(key)

    def open_calls(
        self, *, tenant: str | None = None, phase: str | None = None, session: str | None = None, limit: int = 500
    ) -> list[Mark]:
        """Rows of the index of open and in-doubt calls, oldest first."""
        found = [
            mark
            for mark in self._opened().marks.values()
            if tenant in {None, mark.tenant} and phase in {None, mark.phase} and session in {None, mark.session}
        ]
        return sorted(found, key=lambda mark: (mark.at, mark.session, mark.call))[: max(limit, 0)]

    def snapshot(self, session: str) -> Snapshot | None:
        """The newest snapshot of a session."""
        return self._opened().snapshots.get(session)

    def keep(self, snapshot: Snapshot, *, known: int) -> bool:
        """Keep a snapshot in place of an older one; False where the store has a newer one or other parts."""
        return self._opened().keep(snapshot, known)

    def prune(self, before: int, *, limit: int = 100) -> list[str]:
        """Take away closed sessions whose last record is older than ``before``; claims stay."""
        return self._opened().prune(before, max(limit, 0))

    def renew(self, seconds: float = LEASE) -> float:  # noqa: ARG002 - it lasts as long as the process
        """The lease lasts as long as the handle is open; one that has run out is good again unless it was found dead.

        Raises:
            LeaseLost: Somebody has found the process dead.
        """
        shelf = self._opened()
        if self._process in shelf.dead:
            raise lease_over(self._process)
        shelf.live.add(self._process)
        return math.inf

    def alive(self, process: str) -> bool:
        """Whether the process has the store open."""
        return process in self._opened().live

    def bury(self, process: str) -> bool:
        """Find a process dead for good, unless it has the store open."""
        shelf = self._opened()
        if process in shelf.live:
            return False
        shelf.dead.add(process)
        return True

    def stale(self, *, after: str = "", limit: int = 500) -> list[SessionRow]:
        """Open sessions that no living process owns."""
        shelf = self._opened()
        rows = (shelf.rows[name] for name in shelf.names[bisect_right(shelf.names, after) :])
        found = [row for row in rows if row.state == "open" and row.owner not in shelf.live]
        return found[: max(limit, 0)]

    def now(self) -> int:
        """This machine's clock."""
        self._opened()
        return time.time_ns()

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` after each commit that landed something."""
        self._opened().listeners.append(wake)
        self._listening.append(wake)
        return lambda: self._shelf.unlisten(wake)

    def weak(self) -> list[str]:
        """What is kept in memory is gone with the process."""
        return ["the journal is kept in memory alone: it is gone with this process"]

    def note(self, key: str, value: bytes | None, *, keep: bool = False) -> None:
        """Set (or with None remove) a small store-wide setting; with ``keep`` one that is there stays as it is."""
        notes = self._opened().notes
        storable(key)
        if value is None:
            notes.pop(key, None)
        elif keep:
            notes.setdefault(key, value)
        else:
            notes[key] = value

    def notes(self, prefix: str = "") -> dict[str, bytes]:
        """Store-wide settings whose key starts with ``prefix``, in order of their keys."""
        return {key: value for key, value in sorted(self._opened().notes.items()) if key.startswith(prefix)}

    def _opened(self) -> Shelf:
        if not self._process:
            raise StoreUnavailable("the memory store is not open", advice="Call open() before using it.")
        return self._shelf

    def _begin(self, session: str, tenant: str, at: int) -> SessionRow:
        row = SessionRow(session, tenant, 0, "", "open", 0, GENESIS, at, at)
        insort(self._shelf.names, session)
        self._shelf.rows[session] = row
        self._shelf.journals[session] = []
        return row

    def _append(self, append: Append) -> Receipt:
        shelf = self._shelf
        session = append.session
        row = shelf.rows.get(session)
        head = Head() if row is None else Head(0, row.epoch, row.seq, row.chain, row.last_at)
        judge(append, head, lambda key: shelf.claims.get(key, (0, b""))[0])
        if append.lease and self._process not in shelf.live:
            raise lease_over(self._process, session)
        stored, chain = place(append, head, self._key)
        at = append.drafts[-1].at if append.drafts else 0
        if row is None:
            row = self._begin(session, append.marks[0].tenant if append.marks else "", at)
        for swap in append.swaps:
            shelf.claims[swap.key] = (swap.expects + 1, swap.value)
        for mark in append.marks:
            if mark.phase:
                shelf.marks[mark.session, mark.call] = mark
            else:
                shelf.marks.pop((mark.session, mark.call), None)
        shelf.journals[session].extend(stored)
        shelf.log.extend((session, head.seq + step) for step in range(1, len(stored) + 1))
        shelf.rows[session] = row._replace(seq=head.seq + len(stored), chain=chain, last_at=max(row.last_at, at))
        return Receipt(head.seq + 1, head.epoch)
