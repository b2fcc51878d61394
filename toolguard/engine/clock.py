"""Time as the engine sees it: wall time to show, loop time to measure (T5)."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where wall time comes from; limits use the event loop's own monotonic time."""

    def wall(self) -> int:
        """Nanoseconds since the epoch, shown to people and never used for limits."""
        ...


class SystemClock:
    """The machine's clock (freezegun can hold it)."""

    def wall(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()


class LoopClock:
    """A wall clock that follows the running loop's time: for virtual-time loops in tests and rehearsals."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = int((start or datetime(2026, 1, 1, tzinfo=UTC)).timestamp() * 1e9)

    def wall(self) -> int:
        """Nanoseconds since the epoch, as far as the loop has come since its zero."""
        return self._start + int(asyncio.get_running_loop().time() * 1e9)


def moment(wall_ns: int) -> datetime:
    """Wall nanoseconds as an aware datetime."""
    return datetime.fromtimestamp(wall_ns / 1e9, UTC)
