"""The recovery-event stream: typed records as they land, to several subscribers, none of whom can hold the engine."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from toolguard.core.records import CODES, KINDS, NAMES, Record
from toolguard.engine.clock import moment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from datetime import datetime

    from toolguard.engine.batch import Entry
    from toolguard.engine.journal import Journal

SCHEMA = 1
"""Version of :class:`Event` itself; a record's own version is ``Event.version``."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One record as it landed.

    Attributes:
        session: The session's id.
        seq: Its place in the session's journal, from 1, dense.
        epoch: The owner's epoch.
        at: Wall time of the record.
        kind: The record's name (``commit_began``).
        version: The record kind's version.
        record: The record itself.
        missed: How many events this subscriber lost right before this one because it was slow.
    """

    session: str
    seq: int
    epoch: int
    at: datetime
    kind: str
    version: int
    record: Record
    missed: int = 0
    schema: int = SCHEMA

    @property
    def ref(self) -> str:
        """The call concerned (``conv-42/7``) or the session."""
        call = getattr(self.record, "call", 0)
        return f"{self.session}/{call}" if call else self.session


class _Subscriber:
    __slots__ = ("bell", "buffer", "kinds", "missed", "room", "session")

    def __init__(self, session: str | None, kinds: Collection[str] | None, room: int) -> None:
        self.session = session
        self.kinds = frozenset(kinds) if kinds is not None else None
        self.room = room
        self.buffer: deque[Event] = deque()
        self.missed = 0
        self.bell = asyncio.Event()

    def offer(self, event: Event) -> None:
        if self.session is not None and event.session != self.session:
            return
        if self.kinds is not None and event.kind not in self.kinds:
            return
        if len(self.buffer) >= self.room:
            self.buffer.popleft()
            self.missed += 1
        self.buffer.append(event)
        self.bell.set()


class Feed:
    """Fans landed records out. Without subscribers and sinks it costs nothing."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._subscribers: set[_Subscriber] = set()
        self._sinks: list[Callable[[Event], None]] = []
        self.sink_errors = 0

    def add_sink(self, sink: Callable[[Event], None]) -> None:
        """Call ``sink`` with every event; one that raises is counted and never disturbs the engine."""
        self._sinks.append(sink)
        self._journal.landed = self._landed

    async def events(
        self, *, session: str | None = None, kinds: Collection[str] | None = None, room: int = 4096
    ) -> AsyncIterator[Event]:
        """Events from now on, as they land.

        Args:
            session: Only this session's.
            kinds: Only these kinds (names as in :attr:`Event.kind`).
            room: Events kept for a slow reader; beyond it the oldest are dropped and counted in ``missed``.
        """
        subscriber = _Subscriber(session, kinds, room)
        self._subscribers.add(subscriber)
        self._journal.landed = self._landed
        try:
            while True:
                while subscriber.buffer:
                    event = subscriber.buffer.popleft()
                    if subscriber.missed:
                        event = msgspec.structs.replace(event, missed=subscriber.missed)
                        subscriber.missed = 0
                    yield event
                subscriber.bell.clear()
                await subscriber.bell.wait()
        finally:
            self._subscribers.discard(subscriber)
            if not self._subscribers and not self._sinks:
                self._journal.landed = None

    def _landed(self, entries: list[Entry]) -> None:
        for entry in entries:
            receipt = entry.receipt
            if receipt is None:
                continue
            for offset, record in enumerate(entry.records):
                self._publish(_event(entry, record, receipt.seq + offset, receipt.epoch, offset))

    def _publish(self, event: Event) -> None:
        for subscriber in self._subscribers:
            subscriber.offer(event)
        for sink in self._sinks:
            try:
                sink(event)
            except Exception:  # noqa: BLE001 - a sink is somebody else's code; it is counted, never fatal
                self.sink_errors += 1


def _event(entry: Entry, record: Record, seq: int, epoch: int, offset: int) -> Event:
    kind: type[Record] = type(record)
    return Event(
        session=entry.append.session,
        seq=seq,
        epoch=epoch,
        at=moment(entry.append.drafts[offset].at),
        kind=NAMES[kind],
        version=KINDS[CODES[kind]][1],
        record=record,
    )
