"""Verifies journals against their hash chains and against anchors that were kept elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import msgspec

from toolguard.audit.trail import Trail, page_of_records
from toolguard.core import chain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from toolguard.audit.anchor import Anchor
    from toolguard.audit.source import Ask, Row

PAGE = 512


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What verification found in one session.

    Attributes:
        session: The session's id.
        ok: Whether every record is the one that was written, and none is missing.
        records: How many records from the first on are right.
        head: The chain's link of the last right record, in hexadecimal.
        damage: What was done to the first wrong record, None where nothing is wrong.
        seq: That record's number, 0 where nothing is wrong.
        sentence: The same for people.
    """

    session: str
    ok: bool
    records: int
    head: str
    damage: Literal["changed", "removed", "swapped", "inserted", "cut"] | None
    seq: int
    sentence: str


class Verifier:
    """Reads journals as they are stored and checks every link.

    The store's own index of sessions serves as an anchor too, so that a journal whose end was cut off by somebody who
    forgot the index is noticed without one. Whoever rewrites index and journal alike is found by an anchor kept
    elsewhere, or by a chain key that they do not have.

    Args:
        ask: Asks the store something on its own thread.
        key: The key that the journals were chained with (HMAC), or None.
        anchors: Anchors by session.
    """

    def __init__(self, ask: Ask, *, key: bytes | None = None, anchors: Mapping[str, Anchor] | None = None) -> None:
        self._ask = ask
        self._trail = Trail(ask)
        self._key = key
        self._anchors = anchors or {}

    async def session(self, session: str) -> Checked:
        """Verify one session.

        Raises:
            UnknownRef: Neither the store nor the anchors know it.
        """
        if session in self._anchors and await self._ask(lambda store: store.session(session)) is None:
            return self._gone(session)
        row = await self._trail.row(session)
        own = (row.seq, row.chain)
        anchor = self._anchors.get(session)
        verdict = await self._verify(session, anchor.pair if anchor is not None else own)
        if verdict.ok and anchor is not None:
            verdict = self._against_index(verdict, own)
        if verdict.ok and verdict.records > row.seq:
            verdict = self._not_added(verdict, await self._trail.row(session))
        return _checked(session, verdict)

    async def store(self) -> AsyncIterator[Checked]:
        """Verify every session of the store, and every one that an anchor was taken of."""
        seen: set[str] = set()
        async for row in self._trail.sessions():
            if row.session in self._anchors:
                seen.add(row.session)
            yield await self.session(row.session)
        for session in self._anchors.keys() - seen:
            yield self._gone(session)

    async def _verify(self, session: str, anchor: tuple[int, bytes] | None) -> chain.Verdict:
        """Walk the chain; a long one in a thread of its own, which fetches pages as it goes, so that nobody is held."""
        loop = asyncio.get_running_loop()
        first = await self._ask(page_of_records(session, 0, PAGE))
        if len(first) < PAGE:
            return chain.verify(first, key=self._key, anchor=anchor)

        async def page(after: int) -> list[tuple[int, bytes]]:
            return await self._ask(page_of_records(session, after, PAGE))

        def rows() -> Iterator[tuple[int, bytes]]:
            some = first
            yield from some
            while len(some) == PAGE:
                some = asyncio.run_coroutine_threadsafe(page(some[-1][0]), loop).result()
                yield from some

        return await asyncio.to_thread(lambda: chain.verify(rows(), key=self._key, anchor=anchor))

    @staticmethod
    def _against_index(verdict: chain.Verdict, own: tuple[int, bytes]) -> chain.Verdict:
        if verdict.records >= own[0]:
            return verdict
        cut = verdict.records + 1
        sentence = f"the end was cut off: records {cut} to {own[0]} are missing"
        return verdict._replace(ok=False, damage="cut", seq=cut, sentence=sentence)

    @staticmethod
    def _not_added(verdict: chain.Verdict, row: Row) -> chain.Verdict:
        """Records beyond those of the index are new ones, if the index has grown with them."""
        if verdict.records <= row.seq:
            return verdict
        extra = row.seq + 1
        sentence = f"record {extra} was inserted: the session has {row.seq} records"
        return chain.Verdict(ok=False, records=row.seq, head=row.chain, damage="inserted", seq=extra, sentence=sentence)

    def _gone(self, session: str) -> Checked:
        last = self._anchors[session].records
        return Checked(
            session=session,
            ok=False,
            records=0,
            head="",
            damage="removed",
            seq=1,
            sentence=f"the session is gone: records 1 to {last} are missing",
        )


def _checked(session: str, verdict: chain.Verdict) -> Checked:
    return Checked(
        session=session,
        ok=verdict.ok,
        records=verdict.records,
        head=verdict.head.hex(),
        damage=verdict.damage,
        seq=verdict.seq,
        sentence=verdict.sentence,
    )
