"""The process's one lease: renewed in time, measured by the monotonic clock, judged by the store (T4)."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from toolguard.engine.background import Background
from toolguard.errors import LeaseLost, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolguard.engine.journal import Journal


class Lease:
    """Keeps the lease of one process.

    Args:
        journal: The process's way into its store.
        seconds: How long the lease lasts.
        margin: Seconds that have to be left of it when a mutation begins.

    Attributes:
        lost: Awaited when somebody has found this process dead.
    """

    def __init__(self, journal: Journal, *, seconds: float, margin: float) -> None:
        self._journal = journal
        self._seconds = seconds
        self.margin = margin
        self._until = 0.0
        self._keeper: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[float] | None = None
        self._beside = Background()
        self._looking = False
        self.lost: Callable[[LeaseLost], Awaitable[None]] | None = None

    @property
    def left(self) -> float:
        """Seconds that are surely left, as far as this process can know."""
        return self._until - asyncio.get_running_loop().time()

    @property
    def short(self) -> bool:
        """Whether too little is left for a mutation to begin."""
        return self.left < self.margin

    async def begin(self) -> None:
        """Take the lease; one that can run out is renewed from now on, at a third of its length.

        Raises:
            StoreError: The store does not give it.
        """
        try:
            await self._renew()
        except TimeoutError as error:
            raise StoreUnavailable("it did not give this process its lease in time") from error
        if self._until != math.inf and self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="toolguard:lease")

    async def end(self) -> None:
        """Renew no more."""
        for task in (self._keeper, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._keeper = self._asking = None

    def look(self) -> None:
        """The store refused something for the lease: find out whether it is lost for good."""
        if not self._looking:
            self._looking = True
            self._beside.run(self._look(), "toolguard:lease")

    async def _look(self) -> None:
        try:
            await self._try()
        finally:
            self._looking = False

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 3 if not self.short else self._seconds / 10)
            await self._try()

    async def _try(self) -> None:
        try:
            await self._renew()
        except LeaseLost as error:
            self._until = 0.0
            if self.lost is not None:
                await self.lost(error)
        except (StoreError, TimeoutError):
            return  # what is left of it runs on; the next try comes soon

    async def _renew(self) -> None:
        """Ask the store, one question at a time; the time counts from before it was asked."""
        loop = asyncio.get_running_loop()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(loop.time()))
            self._asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._until = await asyncio.wait_for(asyncio.shield(self._asking), self._seconds / 3)

    async def _ask(self, began: float) -> float:
        return began + await self._journal.ask(lambda store: store.renew(self._seconds))
