"""Runs that a living process elsewhere is committing: looked for until its evidence comes, or it dies (H1)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.core.law import Phase
from toolguard.engine.background import Background
from toolguard.engine.resolve import catch_up
from toolguard.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from toolguard.core.slots import Run
    from toolguard.engine.live import Live
    from toolguard.engine.wiring import Wiring

POLL = 0.25
"""Seconds between looks where the store gives no hint."""
BREATH = 0.02
"""Seconds between looks where it gives many."""


class Following:
    """Follows the runs of one session that others are committing.

    Args:
        wiring: The session's parts.
        lost: Called with a run whose process died, or let it go: it is in doubt from then on.
    """

    def __init__(self, wiring: Wiring, lost: Callable[[Run], None]) -> None:
        self._w = wiring
        self._ledger = wiring.ledger
        self._lost = lost
        self._beside = Background()

    def follow(self, run: Run, live: Live | None) -> None:
        """Look for the outcome of a run; ``live`` is who waits for it here, None where its tool is missing."""
        self._ledger.followed.add(run.number)
        work = self._follow(run, live)
        if live is None:
            self._beside.run(work, "toolguard:follow")
        else:
            live.task = asyncio.create_task(work, name="toolguard:follow")

    async def _follow(self, run: Run, live: Live | None) -> None:
        loop = asyncio.get_running_loop()
        age = max(0.0, (self._ledger.clock.wall() - run.committed_at) / 1e9)
        until = loop.time() + max(0.0, run.limit - age)
        try:
            async with self._bell() as bell:
                while self._waits(run, live) and not await self._over(run, loop.time() >= until):
                    await _rung(bell)
        finally:
            self._ledger.followed.discard(run.number)
        given_up = live is not None and live.given_up
        if run.phase is Phase.IN_DOUBT and not given_up and not self._ledger.fenced:
            self._lost(run)

    def _waits(self, run: Run, live: Live | None) -> bool:
        given_up = live is not None and live.given_up
        return run.phase is Phase.COMMITTING and not given_up and not self._ledger.fenced

    async def _over(self, run: Run, late: bool) -> bool:
        """Look once; whether its process is gone is asked before its last words are read."""
        try:
            dead = await self._ledger.journal.bury(run.process)
            await catch_up(self._w)
        except (StoreError, r.UnknownRecord):
            dead = False
        if run.phase is not Phase.COMMITTING:
            return True
        if dead or late:
            why = "its process died" if dead else f"no outcome from process {run.process} within its limit"
            self._ledger.write(r.Lost(run=run.number, attempt=max(run.attempt, 1), why=why), durable=True)
            return True
        return False

    @asynccontextmanager
    async def _bell(self) -> AsyncGenerator[asyncio.Event]:
        """An event that is set soon after somebody has written something."""
        loop, journal, bell = asyncio.get_running_loop(), self._ledger.journal, asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(bell.set)

        stop: Callable[[], None] = bell.clear
        with suppress(StoreError):
            stop = await journal.ask(lambda store: store.listen(wake))
        try:
            yield bell
        finally:
            stop()


async def _rung(bell: asyncio.Event) -> None:
    await asyncio.sleep(BREATH)
    with suppress(TimeoutError):
        await asyncio.wait_for(bell.wait(), POLL)
    bell.clear()
