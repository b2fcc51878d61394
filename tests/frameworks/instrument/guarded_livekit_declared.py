"""A pytest plugin: every function tool of LiveKit's has a guard under its ``@function_tool``, as a developer writes it.

Where :mod:`guarded_livekit` guards a tool when it is called, here it is a guarded tool from the beginning: what LiveKit
reads of it (signature, schema, docstring) is read through the guard, and its calls come to the session by the adapter's own
ways. Only for calls outside of any session, which a developer would not make, the test's session stands in.
"""

from __future__ import annotations

import functools
from typing import Any

from livekit.agents.llm.tool_context import _BaseFunctionTool
from observed_livekit import _observed, pytest_sessionfinish, watchers  # noqa: F401

from toolguard.tools.ambient import BENCH, DESK
from toolguard.tools.tool import Tool


def _guard_declarations() -> None:
    made = _BaseFunctionTool.__init__

    @functools.wraps(made)
    def init(self: Any, func: Any, info: Any, instance: Any = None) -> None:
        guarded = None if isinstance(func, Tool) else watchers.tool(func, info.name)
        bound = getattr(func, "__self__", None)
        if guarded is not None and bound is not None:
            guarded = guarded.__get__(bound)
        made(self, func if guarded is None else guarded, info, instance)

    _BaseFunctionTool.__init__ = init


def _stand_in() -> None:
    call = Tool.__call__

    @functools.wraps(call)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        session = watchers.here() if BENCH.get() is None and DESK.get() is None else None
        if session is None:
            return call(self, *args, **kwargs)
        return session.take(self, self.instance, args, kwargs)

    Tool.__call__ = called


_guard_declarations()
_stand_in()
