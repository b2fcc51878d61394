"""A pytest plugin: every function tool that LiveKit runs goes through observe mode, in a session that is protected.

It is a test instrument and reaches into LiveKit: tools are guarded where they are called
(``livekit.agents.llm.tool_context._BaseFunctionTool``), for a test looks at the tool that it has made; sessions are
protected from their start to their close, by the adapter's own ``protect``.
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
from livekit.agents.llm import FunctionTool, RawFunctionTool
from livekit.agents.voice.tool_executor import _ToolExecutor

from toolguard.adapters.livekit import protect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from toolguard.engine.session import Session

watchers = Watchers()
_protected: WeakKeyDictionary[Any, tuple[AsyncExitStack, Session]] = WeakKeyDictionary()


@pytest.fixture(autouse=True)
async def _observed() -> AsyncIterator[None]:
    """A guard for each test's loop, opened before the test's own fixtures and closed behind them."""
    await watchers.open()
    yield
    await watchers.close()


def pytest_sessionfinish() -> None:
    """Say what went through the guard."""
    watchers.write(os.environ["TOOLGUARD_TALLY"])


def _guard_tools(kind: type[Any]) -> None:
    plain = kind.__call__

    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        session = watchers.here()
        tool = watchers.tool(self._func, self.info.name) if session is not None else None
        if session is None or tool is None:
            return plain(self, *args, **kwargs)
        instance = getattr(self._func, "__self__", None) if self._instance is None else self._instance
        bound = tool if instance is None else tool.__get__(instance)
        return watchers.take(session, bound, args, kwargs)

    kind.__call__ = call


def _protect_sessions() -> None:
    start, close = AgentSession.start, AgentSession._aclose_impl

    @functools.wraps(start)
    async def started(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self not in _protected:
            guard, _ = await watchers.open()
            stack = AsyncExitStack()
            session = await stack.enter_async_context(protect(self, guard, id=f"conv-{id(self)}-{len(guard.sessions)}"))
            watchers.conversation(session)
            _protected[self] = stack, session
        return await start(self, *args, **kwargs)

    @functools.wraps(close)
    async def closed(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await close(self, *args, **kwargs)
        finally:
            entry = _protected.pop(self, None)
            if entry is not None:
                await entry[0].aclose()

    AgentSession.start, AgentSession._aclose_impl = started, closed


def _follow_calls() -> None:
    execute = _ToolExecutor.execute

    @functools.wraps(execute)
    async def executed(self: Any, *, run_ctx: Any, **kwargs: Any) -> Any:
        entry = _protected.get(run_ctx.session) if isinstance(run_ctx.session, AgentSession) else None
        token = watchers.current.set(entry[1] if entry is not None else None)
        try:
            return await execute(self, run_ctx=run_ctx, **kwargs)
        finally:
            watchers.current.reset(token)

    _ToolExecutor.execute = executed


for _kind in (FunctionTool, RawFunctionTool):
    _guard_tools(_kind)
_protect_sessions()
_follow_calls()
