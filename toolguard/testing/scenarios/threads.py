"""Threads that live on the virtual clock: sync bodies and stores wait on it, and it stands while they work."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from toolguard.testing.virtual import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Generator


class Threads:
    """Counts the threads that do something which takes no time on the loop's clock.

    Attributes:
        at_work: How many there are.
    """

    def __init__(self) -> None:
        self.at_work = 0

    @contextmanager
    def working(self) -> Generator[None]:
        """This thread is at work."""
        self.at_work += 1
        try:
            yield
        finally:
            self.at_work -= 1

    @contextmanager
    def idle(self) -> Generator[None]:
        """A thread at work waits for something that the loop does."""
        self.at_work -= 1
        try:
            yield
        finally:
            self.at_work += 1

    def wait(self, loop: asyncio.AbstractEventLoop, seconds: float, until: asyncio.Event | None = None) -> None:
        """Let a thread at work wait for virtual seconds, after something has happened.

        On the loop's own thread nothing else runs meanwhile.
        """
        if not on_loop():
            asyncio.run_coroutine_threadsafe(self._pass(seconds, until), loop).result()
        elif isinstance(loop, VirtualLoop):
            loop.pass_time(max(0.0, seconds))

    async def _pass(self, seconds: float, until: asyncio.Event | None) -> None:
        self.at_work -= 1
        try:
            if until is not None:
                await until.wait()
            await asyncio.sleep(max(0.0, seconds))
        finally:
            self.at_work += 1


def on_loop() -> bool:
    """Whether a loop runs on this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
