"""Sessions whose process has died: gone on with one by one, or put away after the resume window (T2, H5)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from loguru import logger

from toolguard.core import records as r
from toolguard.engine.taking import Taking
from toolguard.errors import Fenced, StillOwned, StoreError, ToolguardError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from toolguard.core.plan import RecoveryPlan
    from toolguard.engine.recovering import Looked, Recoverer
    from toolguard.engine.session import Session
    from toolguard.stores.base import SessionRow, Store

PAGE = 100
ASKED_FOR = 2.0
"""Seconds that a sweep waits for the probes of one session."""
LATER = 30.0
"""Seconds before a session that could not be recovered is tried again."""
_LOOK = 0.05


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was put away.

    Attributes:
        session: The session's id.
        gap_ms: How long nobody had had it.
        stopped: Refs of calls that were stopped before their effect.
        settled: Refs of calls in doubt about which a probe found out.
        in_doubt: Refs of calls of which nobody knows whether they happened.
        filed: Refs of calls whose output nobody was given any more.
    """

    session: str
    gap_ms: float
    stopped: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
    filed: tuple[str, ...] = ()


class Watching:
    """Looks for sessions without a living owner."""

    def __init__(self, recoverer: Recoverer) -> None:
        self._recoverer = recoverer
        self._journal = recoverer.journal
        self._again: dict[str, float] = {}

    async def sessions(self, *, every: float, tenant: str | None) -> AsyncGenerator[Session]:
        """Recover stale sessions as they appear; one that fails is noticed and tried later."""
        while True:
            async for row in self._stale(tenant):
                try:
                    session = await self._one(row)
                except (ToolguardError, TimeoutError) as error:
                    self._failed(row, error)
                else:
                    self._again.pop(row.session, None)
                    if session is not None:
                        yield session
            await asyncio.sleep(every)

    async def sweep(self, *, tenant: str | None) -> list[Swept]:
        """Put away what is past the resume window."""
        swept: list[Swept] = []
        async for row in self._stale(tenant):
            try:
                looked = await self._recoverer.look(row.session, sweep=True)
                if self._is_over(looked.plan) and not looked.quarantine:
                    swept.append(await self._put_away(looked))
            except (ToolguardError, TimeoutError) as error:
                self._failed(row, error)
        return swept

    async def _one(self, row: SessionRow) -> Session | None:
        """Go on with one session, or put it away; None where there is nothing to go on with."""
        looked = await self._recoverer.look(row.session)
        made = looked.plan
        if made.owner_lives or made.state != "open":
            return None
        if self._is_over(made):
            if not looked.quarantine:
                await self._put_away(await self._recoverer.look(row.session, sweep=True))
            return None
        if not made.epoch or looked.visited:
            return None
        taking = Taking(made.epoch, take=False, at=made.at)
        return await self._recoverer.go(looked, agent="", taking=taking)

    def _is_over(self, made: RecoveryPlan) -> bool:
        return not made.owner_lives and made.gap_ms / 1e3 > self._recoverer.limits.resume_window

    async def _put_away(self, looked: Looked) -> Swept:
        made = looked.plan
        taking = Taking(made.epoch, take=False, at=made.at, sweep=True, cause="the resume window is over")
        session = await self._recoverer.go(looked, agent="", taking=taking)
        w, state, found = session.wiring, session.state, session.recovery
        doubtful = [state.runs[number] for number in sorted(state.doubtful)]
        await self._probed(session)
        filed = tuple(sorted(state.unsent))
        w.stop()
        await w.finish(w.ledger.write(r.Closed(why="swept", unfinished=filed), wait=True), resumable=False)
        w.ledger.fenced = True  # its probes are asked no more
        return Swept(
            session=made.session,
            gap_ms=made.gap_ms,
            stopped=found.stopped if found is not None else (),
            settled=tuple(state.run_ref(run) for run in doubtful if run.phase.final),
            in_doubt=tuple(state.run_ref(run) for run in doubtful if not run.phase.final),
            filed=tuple(state.ref(call) for call in filed),
        )

    @staticmethod
    async def _probed(session: Session) -> None:
        """Give the probes a moment."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ASKED_FOR
        live = session.wiring.execution.live
        while loop.time() < until and any(  # noqa: ASYNC110 -- runs and probes ring no common bell
            one.tool.prober and not one.run.phase.final for one in live.values()
        ):
            await asyncio.sleep(_LOOK)

    async def _stale(self, tenant: str | None) -> AsyncIterator[SessionRow]:
        """Open sessions without a living owner, read in pages; a store that does not answer is asked again later."""
        after, now = "", asyncio.get_running_loop().time()
        while True:
            try:
                await self._recoverer.ready()
                rows = await self._journal.ask(partial(_page, after))
            except StoreError as error:
                logger.warning("toolguard: stale sessions cannot be looked for now: {}", error)
                return
            for row in rows:
                after = row.session
                mine = row.session in self._recoverer.entrance.sessions
                if row.seq and not mine and tenant in {None, row.tenant} and self._again.get(row.session, now) <= now:
                    yield row
            if len(rows) < PAGE:
                return

    def _failed(self, row: SessionRow, error: Exception) -> None:
        """Somebody else was first, or it cannot be recovered now: the others are gone on with meanwhile."""
        if isinstance(error, (Fenced, StillOwned)):
            return
        self._again[row.session] = asyncio.get_running_loop().time() + LATER
        logger.warning("toolguard: {} could not be recovered and is tried again later: {}", row.session, error)


def _page(after: str, store: Store) -> list[SessionRow]:
    return store.stale(after=after, limit=PAGE)
