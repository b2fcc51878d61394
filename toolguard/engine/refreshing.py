"""Once a second: what other processes of the store have said meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from toolguard.engine.resolve import catch_up_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.engine.session import Session
    from toolguard.engine.switches import Switches

EVERY = 1.0
"""Seconds between two looks."""


class Refresher:
    """Looks for paused tools and for evidence about runs in doubt."""

    def __init__(self, switches: Switches, sessions: Mapping[str, Session]) -> None:
        self._switches = switches
        self._sessions = sessions
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._look(), name="toolguard:refresh")

    async def end(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            await self._switches.read()
            await catch_up_all(self._sessions)
