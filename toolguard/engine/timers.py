"""Timers by the number of the call that they belong to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Timers:
    """What is to happen for a call, unless it is answered first."""

    def __init__(self) -> None:
        self._running: dict[int, list[asyncio.TimerHandle]] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._running

    def start(self, number: int, seconds: float, then: Callable[..., None], *args: Any) -> None:
        """Call ``then`` after this long."""
        timer = asyncio.get_running_loop().call_later(seconds, then, *args)
        self._running.setdefault(number, []).append(timer)

    def drop(self, number: int) -> None:
        """The call is answered."""
        for timer in self._running.pop(number, ()):
            timer.cancel()

    def stop(self) -> None:
        """The session ends."""
        for number in tuple(self._running):
            self.drop(number)
