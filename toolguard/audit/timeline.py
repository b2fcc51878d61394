"""A session as plain text, line by line: seconds since its start, who, and what happened, safe for any terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.audit.happened import Teller
from toolguard.audit.plain import plain
from toolguard.audit.story import Story

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from toolguard.audit.story import Line
    from toolguard.audit.trail import Trail


async def timeline(trail: Trail, session: str) -> AsyncIterator[str]:
    """The lines of one session's timeline, each safe to print.

    Args:
        trail: Where to read.
        session: The session's id.

    Raises:
        UnknownRef: The store has no such session.
    """
    row = await trail.row(session)
    yield plain(f"{session}  tenant {row.tenant or '-'}  {row.state}, {row.seq} records, {row.epoch} owners")
    book = Timeline(session)
    async for line in trail.records(session):
        for text in book.lines(line):
            yield text
    if book.unreadable:
        yield f"{book.unreadable} records could not be read: run `toolguard verify`"


class Timeline:
    """Tells a session's records one after the other.

    Args:
        session: The session's id.
    """

    def __init__(self, session: str) -> None:
        self._story = Story(session)
        self._teller = Teller(self._story.state)
        self._start = 0.0
        self._begun = False

    @property
    def unreadable(self) -> int:
        """How many records could not be read so far."""
        return self._story.unreadable

    def lines(self, line: Line) -> Iterator[str]:
        """What one record says; a record that has nothing for people says nothing."""
        at = line.at.timestamp()
        if not self._begun:
            self._begun, self._start = True, at
            yield f"started {line.at.astimezone():%Y-%m-%d %H:%M:%S %z}"
        before = self._teller.before(line.record)
        counts = self._story.add(line, round(at * 1e6) * 1000)
        for who, what in self._teller.tell(line.record, before):
            aside = "" if counts else "  [does not count: the run had ended otherwise]"
            yield plain(f"{at - self._start:10.3f}  e{line.epoch:<2} {who:<10} {what}{aside}")
