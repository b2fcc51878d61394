"""One direction of the line between the scripted server and its client: in order, and only as fast as it is set."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Parcel = tuple[float, "Callable[[], None]"]


class Wire:
    """Carries messages one way.

    Args:
        delay: Tells the seconds that a message needs.
    """

    def __init__(self, delay: Callable[[], float]) -> None:
        self._delay = delay
        self._waiting: deque[Parcel] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._held = False

    def send(self, arrives: Callable[[], None]) -> None:
        """Carry a message: ``arrives`` is called on the other side."""
        self._waiting.append((asyncio.get_running_loop().time() + self._delay(), arrives))
        self._set()

    def hold(self) -> None:
        """The line is down: what is sent waits."""
        self._held = True
        self._set()

    def lose(self) -> None:
        """What is under way never arrives."""
        self._waiting.clear()
        self._set()

    def go_on(self) -> None:
        """The line is there again: what has waited is sent now."""
        self._held = False
        at = asyncio.get_running_loop().time() + self._delay()
        self._waiting = deque((at, arrives) for _, arrives in self._waiting)
        self._set()

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and not self._held:
            self._timer = asyncio.get_running_loop().call_at(self._waiting[0][0], self._arrived)

    def _arrived(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer = None
        while self._waiting and self._waiting[0][0] <= now + 1e-9 and not self._held:
            self._waiting.popleft()[1]()
        self._set()
