"""An event loop of a store's own, run by whichever thread calls, so that an async client serves a sync face."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, TypeVar

from toolguard.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_CARRIED: list[object] = []
"""What belongs to a parent process: a forked child neither uses nor closes it, because the selector is shared."""


class PrivateLoop:
    """Runs one coroutine after another, each with a time limit.

    The loop begins with the first coroutine and is good for any thread, one at a time; connections made on it are
    good between two coroutines, but nothing moves meanwhile.

    Args:
        where: For messages: which place is worked with; no password in it.
        wait: Seconds that a coroutine may take unless its caller says otherwise.
    """

    def __init__(self, where: str, *, wait: float) -> None:
        self.where = where
        self.wait = wait
        self._pid = os.getpid()
        self._runner: asyncio.Runner | None = None

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process that made the loop."""
        return self._pid != os.getpid()

    @staticmethod
    def carry(*belongings: object) -> None:
        """In a forked child: keep what is the parent's from being closed when nothing refers to it any more."""
        _CARRIED.extend(belongings)

    def run(self, work: Coroutine[Any, Any, T], *, within: float | None = None) -> T:
        """Run a coroutine to its end.

        Args:
            work: What to run; cancelled when its time is over, and closed unrun where it cannot run here.
            within: Seconds that it may take; without it ``wait``.

        Raises:
            StoreUnavailable: It took too long, the network failed, or the store was opened before a fork.
            StoreError: The calling thread runs an event loop, which must not be blocked.
        """
        limit = self.wait if within is None else within
        try:
            self.check()
            if self._runner is None:
                self._runner = asyncio.Runner()
            return self._runner.run(_bounded(work, limit))
        except TimeoutError as error:
            raise StoreUnavailable(
                f"{self.where} has not answered within {limit:g} s",
                advice="Look whether the server is up and can be reached; try again when it is.",
            ) from error
        except OSError as error:
            raise StoreUnavailable(
                f"{self.where} cannot be reached: {error}",
                advice="Look whether the server is up and can be reached; try again when it is.",
            ) from error
        finally:
            work.close()

    def check(self) -> None:
        """Refuse to work in a forked child, or on a thread whose event loop would stand still.

        Raises:
            StoreUnavailable: The store was opened by another process.
            StoreError: An event loop runs on this thread.
        """
        if self.forked:
            raise StoreUnavailable(
                f"the store on {self.where} was opened before this process was forked",
                advice="Make and open a store of its own in every process, after the fork.",
            )
        if _loop_runs():
            raise StoreError(
                f"the store on {self.where} was called on a running event loop, which would stand still",
                advice="Call it from a thread: asyncio.to_thread, or the guard's own writer.",
            )

    def close(self) -> None:
        """End the loop; it begins anew with the next coroutine. In a forked child the parent's loop is left alone."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        if self.forked:
            self.carry(runner)
            return
        runner.close()


async def _bounded(work: Coroutine[Any, Any, T], limit: float) -> T:
    async with asyncio.timeout(limit):
        return await work


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
