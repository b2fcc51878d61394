"""``toolguard audit --follow``: the timelines of a store as they are written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from toolguard.audit.timeline import Timeline
from toolguard.audit.trail import Trail
from toolguard.cli.app import emit, say
from toolguard.cli.place import asking, reading
from toolguard.core.records import Closed

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Store

LOOK = 0.25
"""Seconds between two looks at the store."""


async def follow(place: str, session: str, *, json: bool) -> None:
    """Print what is written from now on, until the command is stopped.

    Args:
        place: The store.
        session: Only this session's; all of them where it is empty.
        json: Print records as JSON lines instead of words.

    Raises:
        UnknownRef: The store has no such session.
    """
    async with asking(reading(place)) as journal:
        trail = Trail(journal.ask)
        if session:
            await trail.row(session)
        followed = _Followed(trail, json=json, prefix=not session)
        at = await journal.ask(lambda store: store.position())
        while True:
            page = await journal.ask(_behind(at))
            for position, name, seq in page:
                at = position
                if session in {"", name}:
                    await followed.tell(name, seq)
            if not page:
                await asyncio.sleep(LOOK)


def _behind(after: int) -> Callable[[Store], list[tuple[int, str, int]]]:
    return lambda store: [(position, name, frame.seq) for position, name, frame in store.tail(after=after)]


class _Followed:
    """The sessions that are followed, each with its timeline and how far it was read."""

    def __init__(self, trail: Trail, *, json: bool, prefix: bool) -> None:
        self._trail = trail
        self._json = json
        self._prefix = prefix
        self._books: dict[str, tuple[Timeline, int]] = {}

    async def tell(self, session: str, seq: int) -> None:
        """Tell a session's record number ``seq``; those before it are read, so that its words are understood."""
        book, after = self._books.get(session) or (Timeline(session), 0)
        ended = False
        async for line in self._trail.records(session, after=after):
            words = list(book.lines(line))
            if line.seq < seq:
                continue
            ended = isinstance(line.record, Closed)
            if self._json:
                emit({"session": session, **line._asdict()})
            for text in words if not self._json else ():
                say(f"{session}  {text}" if self._prefix else text)
            break
        self._books[session] = (book, seq)
        if ended:
            del self._books[session]
