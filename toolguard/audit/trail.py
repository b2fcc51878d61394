"""The trail: every call of a store as people ask for it, read page by page and never all at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from toolguard.audit.call import TrailCall, TrailSession, split_ref, when
from toolguard.audit.story import Line, Story, Unreadable
from toolguard.core.frame import SEALED, FrameError, unpack
from toolguard.core.law import Phase
from toolguard.core.records import NAMES, UnknownRecord, decode
from toolguard.errors import UnknownRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from toolguard.audit.source import Ask, Readable, Row
    from toolguard.core.call import Named
    from toolguard.core.effect import Effect

PAGE = 256
"""Records, or sessions, that are read at a time."""
INDEX = 10_000
"""Rows of the index of open calls that are taken at most; beyond it every session is looked at."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a query asks for; None means "any"."""

    tool: str | None
    phase: Phase | None
    since: int | None
    until: int | None
    tenant: str | None
    session: str | None
    effect: Effect | None

    def takes(self, call: TrailCall, at: int) -> bool:
        return (
            self.tool in {None, call.tool}
            and self.phase in {None, call.phase}
            and self.effect in {None, call.effect}
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )


class Trail:
    """Reads a store's journals for people; changes nothing.

    Args:
        ask: Asks the store something on its own thread.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def calls(
        self,
        *,
        tool: Named | str | None = None,
        phase: Phase | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        tenant: str | None = None,
        session: str | None = None,
        effect: Effect | None = None,
        in_doubt_first: bool = False,
    ) -> AsyncIterator[TrailCall]:
        """Calls, by session and order number.

        Args:
            tool: Only calls of this tool (itself, or its name).
            phase: Only calls whose run stands there.
            since: Only calls that came at this time or later; without a time zone it is local time.
            until: Only calls that came before this time.
            tenant: Only this tenant's.
            session: Only this session's.
            effect: Only calls of tools with this effect.
            in_doubt_first: Begin with the calls that wait for a person.

        Raises:
            UnknownRef: The store has no such session.
            ValueError: There is no such phase.
        """
        wanted = _Wanted(
            tool=tool if tool is None or isinstance(tool, str) else tool.name,
            phase=Phase(phase) if phase is not None else None,
            since=_nanoseconds(since),
            until=_nanoseconds(until),
            tenant=tenant,
            session=session,
            effect=effect,
        )
        shown: set[str] = set()
        if in_doubt_first and wanted.phase is None:
            async for call in self._walk(replace(wanted, phase=Phase.IN_DOUBT)):
                shown.add(call.ref)
                yield call
        async for call in self._walk(wanted):
            if call.ref not in shown:
                yield call

    async def call(self, ref: str) -> TrailCall:
        """One call by its ref.

        Raises:
            UnknownRef: The store has no such call.
        """
        session, number = split_ref(ref)
        story = await self.story(session)
        if number not in story.state.slots:
            raise UnknownRef(
                f"{session} has no call {number}", ref=ref, advice=f"See `toolguard audit {session}` for its calls."
            )
        return story.call(number)

    async def records(self, session: str, *, after: int = 0) -> AsyncIterator[Line]:
        """The records of one session behind sequence number ``after``, as (seq, epoch, at, kind, record).

        Raises:
            UnknownRef: The store has no such session.
        """
        await self.row(session)
        async for line, _ in self._lines(session, after):
            yield line

    async def sessions(self, *, tenant: str | None = None, state: str | None = None) -> AsyncIterator[TrailSession]:
        """Sessions in order of their ids; ``state`` is ``open`` or ``closed``."""
        async for row in self._rows(tenant, state):
            yield TrailSession(
                session=row.session,
                tenant=row.tenant,
                state=row.state,
                owner=row.owner,
                epoch=row.epoch,
                records=row.seq,
                opened_at=when(row.opened_at),
                last_at=when(row.last_at),
            )

    async def story(self, session: str) -> Story:
        """One session, folded.

        Raises:
            UnknownRef: The store has no such session.
        """
        row = await self.row(session)
        story = Story(session, row.tenant)
        async for line, at in self._lines(session, 0):
            story.add(line, at)
        return story

    async def row(self, session: str) -> Row:
        """What the store's index knows of one session.

        Raises:
            UnknownRef: The store has no such session.
        """
        row = await self._ask(_row_of(session))
        if row is None:
            raise UnknownRef(
                "there is no such session in this store", ref=session, advice="See `toolguard audit sessions`."
            )
        return row

    async def _walk(self, wanted: _Wanted) -> AsyncIterator[TrailCall]:
        async for row in self._candidates(wanted):
            if wanted.since is not None and row.last_at < wanted.since:
                continue
            story = await self.story(row.session)
            for number, slot in story.state.slots.items():
                call = story.call(number)
                if wanted.takes(call, slot.at):
                    yield call

    async def _candidates(self, wanted: _Wanted) -> AsyncIterator[Row]:
        if wanted.session is not None:
            row = await self.row(wanted.session)
            if wanted.tenant in {None, row.tenant}:
                yield row
            return
        if wanted.phase is Phase.IN_DOUBT:
            tenant = wanted.tenant
            marks = await self._ask(
                lambda store: store.open_calls(tenant=tenant, phase=Phase.IN_DOUBT.value, limit=INDEX)
            )
            if len(marks) < INDEX:
                for name in dict.fromkeys(mark.session for mark in marks):
                    found = await self._ask(_row_of(name))
                    if found is not None:
                        yield found
                return
        async for row in self._rows(wanted.tenant, None):
            yield row

    async def _rows(self, tenant: str | None, state: str | None) -> AsyncIterator[Row]:
        after = ""
        while True:
            page = await self._ask(_page_of_rows(tenant, state, after))
            for row in page:
                yield row
            if len(page) < PAGE:
                return
            after = page[-1].session

    async def _lines(self, session: str, after: int) -> AsyncIterator[tuple[Line, int]]:
        """Records, each with its wall nanoseconds."""
        while True:
            page = await self._ask(page_of_records(session, after, PAGE))
            for seq, stored in page:
                yield _read(seq, stored)
                after = seq
            if len(page) < PAGE:
                return


def page_of_records(session: str, after: int, limit: int) -> Callable[[Readable], list[tuple[int, bytes]]]:
    """The question for a page of a session's stored records."""
    return lambda store: store.raw(session, after=after, limit=limit)


def _row_of(session: str) -> Callable[[Readable], Row | None]:
    return lambda store: store.session(session)


def _page_of_rows(tenant: str | None, state: str | None, after: str) -> Callable[[Readable], Sequence[Row]]:
    return lambda store: store.sessions(tenant=tenant, state=state, after=after, limit=PAGE)


def _read(seq: int, stored: bytes) -> tuple[Line, int]:
    try:
        frame = unpack(stored)
    except FrameError as error:
        return Line(seq, 0, when(0), "unreadable", Unreadable(why=str(error))), 0
    at = when(frame.at)
    if frame.flags & SEALED:
        return Line(seq, frame.epoch, at, "unreadable", Unreadable(why="it is sealed")), frame.at
    try:
        record = decode(frame.kind, frame.version, frame.payload)
    except UnknownRecord as error:
        return Line(seq, frame.epoch, at, "unreadable", Unreadable(why=str(error))), frame.at
    return Line(seq, frame.epoch, at, NAMES[type(record)], record), frame.at


def _nanoseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment.astimezone()
    return int(aware.timestamp()) * 1_000_000_000 + aware.microsecond * 1000
