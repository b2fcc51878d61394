"""A pytest plugin: every function tool of LiveKit's is guarded where it is called.

It is a test instrument and reaches into LiveKit (``livekit.agents.llm.FunctionTool.__call__``): what tests read of a tool
is the tool that they have made.
"""

from __future__ import annotations

import functools
from typing import Any

from livekit.agents import AgentSession
from livekit.agents.llm import FunctionTool, RawFunctionTool
from livekit.agents.voice.tool_executor import _ToolExecutor
from observed_livekit import _observed, protected, pytest_sessionfinish, watchers  # noqa: F401


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
        return session.take(bound, bound.instance, args, kwargs)

    kind.__call__ = call


def _follow_calls() -> None:
    execute = _ToolExecutor.execute

    @functools.wraps(execute)
    async def executed(self: Any, *, run_ctx: Any, **kwargs: Any) -> Any:
        entry = protected.get(run_ctx.session) if isinstance(run_ctx.session, AgentSession) else None
        token = watchers.current.set(entry[1] if entry is not None else None)
        try:
            return await execute(self, run_ctx=run_ctx, **kwargs)
        finally:
            watchers.current.reset(token)

    _ToolExecutor.execute = executed


for _kind in (FunctionTool, RawFunctionTool):
    _guard_tools(_kind)
_follow_calls()
