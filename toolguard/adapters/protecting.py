"""A conversation that is about to be protected: for a block of code, or until the framework's session ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from toolguard.errors import SessionClosed
from toolguard.tools.ambient import DESK

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from toolguard.engine.session import Session

_held: set[asyncio.Task[None]] = set()


class Protecting:
    """What ``protect`` of an adapter gives: enter it, or wait for it.

    ``async with`` protects the block inside. ``await`` begins at once and ends with the framework's session, whose last
    moment the framework then waits for where it can; the conversation is what both yield.

    Args:
        entering: The conversation, to be entered once.
        until: Calls what it is given when the framework's session is over. It may return something to wait with: called
            with the task that ends the conversation.
    """

    def __init__(
        self,
        entering: AbstractAsyncContextManager[Session],
        until: Callable[[Callable[[], None]], Callable[[asyncio.Task[None]], None] | None],
    ) -> None:
        self._entering = entering
        self._until = until
        self._used = False

    def _once(self) -> None:
        if self._used:
            raise SessionClosed("this protection was entered before", advice="Call protect again for another session.")
        self._used = True

    async def __aenter__(self) -> Session:
        self._once()
        return await self._entering.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._entering.__aexit__(kind, error, trace)

    def __await__(self) -> Generator[object, None, Session]:
        return self._begin().__await__()

    async def _begin(self) -> Session:
        self._once()
        taken: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        over = asyncio.Event()
        waits = self._until(over.set)
        task = asyncio.create_task(self._hold(taken, over), name="toolguard:protecting")
        _held.add(task)
        task.add_done_callback(_held.discard)
        if waits is not None:
            waits(task)
        try:
            session = await asyncio.shield(taken)
        except asyncio.CancelledError:
            task.cancel()
            raise
        DESK.set(session)  # what the caller starts from here on finds the conversation
        return session

    async def _hold(self, taken: asyncio.Future[Session], over: asyncio.Event) -> None:
        try:
            async with self._entering as session:
                taken.set_result(session)
                await over.wait()
        except Exception as error:
            if taken.done():
                raise
            taken.set_exception(error)
        finally:
            taken.cancel()
