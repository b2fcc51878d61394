"""What the plugins for LiveKit share: a guard for each test, and every ``AgentSession`` protected as long as it lasts.

The adapter's own ``protect`` is around each session from its start to its close.
"""

from __future__ import annotations

import functools
import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest
from guarded_calls import Watchers
from livekit.agents import AgentSession

from toolguard.adapters.livekit import protect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from toolguard.engine.session import Session

watchers = Watchers()
protected: WeakKeyDictionary[Any, tuple[AsyncExitStack, Session]] = WeakKeyDictionary()


@pytest.fixture(autouse=True)
async def _observed() -> AsyncIterator[None]:
    """A guard for each test's loop, opened before the test's own fixtures and closed behind them."""
    await watchers.open()
    yield
    await watchers.close()


def pytest_sessionfinish() -> None:
    """Say what went through the guard."""
    watchers.write(os.environ["TOOLGUARD_TALLY"])


def _protect_sessions() -> None:
    start, close = AgentSession.start, AgentSession._aclose_impl

    @functools.wraps(start)
    async def started(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self not in protected:
            guard, _ = await watchers.open()
            stack = AsyncExitStack()
            session = await stack.enter_async_context(protect(self, guard, id=f"conv-{id(self)}-{len(guard.sessions)}"))
            watchers.conversation(session)
            protected[self] = stack, session
        return await start(self, *args, **kwargs)

    @functools.wraps(close)
    async def closed(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await close(self, *args, **kwargs)
        finally:
            entry = protected.pop(self, None)
            if entry is not None:
                await entry[0].aclose()

    AgentSession.start, AgentSession._aclose_impl = started, closed


_protect_sessions()
