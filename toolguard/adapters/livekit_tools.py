"""Guarded tools as LiveKit's function tools, and LiveKit's function tools that have a guarded one inside."""

from __future__ import annotations

import contextvars
import functools
import inspect
import typing
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from toolguard.adapters.livekit_features import agents
from toolguard.errors import DeclarationError, NoSession
from toolguard.tools.ambient import BENCH, DESK
from toolguard.tools.tool import Tool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from toolguard.engine.session import Session

    Serve = Callable[[Tool[..., Any], agents.RunContext[Any]], Awaitable[Any]]
    FunctionTool = agents.llm.FunctionTool[..., Any] | agents.llm.RawFunctionTool[..., Any]

CONTEXT = "livekit.RunContext"
"""Under this name a body's injected values hold LiveKit's context, whether the tool asks for it or not."""
SERVING: WeakKeyDictionary[agents.AgentSession[Any], Serve] = WeakKeyDictionary()
"""Who serves the calls of a protected ``AgentSession``."""
_made: WeakKeyDictionary[Any, Tool[..., Any]] = WeakKeyDictionary()


def function_tool_of(tool: Tool[..., Any]) -> agents.llm.RawFunctionTool[..., Any]:
    """A guarded tool as LiveKit wants it: the schema is the tool's own, the call ends at the protected session."""

    async def call(raw_arguments: dict[str, object], context: agents.RunContext[Any]) -> Any:
        serve = SERVING.get(context.session)
        if serve is None:
            raise NoSession(
                f"{tool.name} is guarded, and its LiveKit session is not.",
                advice="Start the session inside `async with protect(agent_session, guard, id=...)`.",
            )
        _ = raw_arguments  # what the model sent stands in the call itself
        return await serve(tool, context)

    described = tool.schema("realtime")
    schema: dict[str, Any] = {key: described[key] for key in ("name", "description", "parameters") if key in described}
    made = agents.function_tool(call, raw_schema=schema)
    _made[made] = tool
    return made


def guarded_in(tool: Any) -> Tool[..., Any] | None:
    """The guarded tool inside one of LiveKit's, bound as that is; None where there is none."""
    made = _made.get(tool) if isinstance(tool, agents.llm.RawFunctionTool) else None
    if made is not None:
        return made
    if not isinstance(tool, agents.llm.FunctionTool | agents.llm.RawFunctionTool):
        return None
    found = _inside(tool)
    if found is None:
        return None
    instance = _instance(tool) if found.instance is None else None  # pyright: ignore[reportUnknownArgumentType]
    return found if instance is None else found.__get__(instance)


def _inside(tool: Any) -> Tool[..., Any] | None:
    while tool is not None:
        if isinstance(tool, Tool):
            return tool  # pyright: ignore[reportUnknownVariableType]
        tool = getattr(tool, "__wrapped__", None)
    return None


class _Asking:
    """A desk that wants to know one thing: on what a tool is called."""

    instance: Any = None

    def take(self, _tool: Any, _instance: Any, args: tuple[Any, ...], _kwargs: Any) -> Any:
        self.instance = args[0] if args else None


def _instance(tool: FunctionTool) -> Any:
    """What LiveKit has bound a function tool to: it does not tell, but calls the tool with it."""
    asking = _Asking()
    desk: Any = asking

    def ask() -> None:
        BENCH.set(None)
        DESK.set(desk)
        called = tool()
        if inspect.iscoroutine(called):  # LiveKit has put a function of its own around the tool
            try:
                called.send(None)
            except StopIteration:
                return
            finally:
                called.close()

    contextvars.copy_context().run(ask)
    return asking.instance


class Toolbox:
    """The guarded tools that the agents of one session bring along.

    Args:
        session: The guarded session.
        watching: It only watches: the model sees LiveKit's own description of a tool.
    """

    def __init__(self, session: Session, *, watching: bool) -> None:
        self._session = session
        self._watching = watching
        self._ours: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self.names: set[str] = set()
        """The names of all guarded tools that have been seen."""

    def adapt(self, tools: list[agents.llm.Tool]) -> None:
        """Put our own function tools where LiveKit's have a guarded one inside; their calls come to the session.

        Raises:
            DeclarationError: Two tools have one name, or a tool has two names.
        """
        for place, tool in enumerate(tools):
            ours = self._ours.get(tool)
            if ours is None:
                guarded = guarded_in(tool)
                if guarded is None:
                    continue
                ours = self._ours[tool] = self._taken(tool, guarded)
                self._ours[ours] = ours
            if ours is not tool:
                tools[place] = ours

    def bring(self, tools: Iterable[Any]) -> None:
        """Make the guarded tools inside these the session's own."""
        for tool in tools:
            if isinstance(tool, agents.llm.Toolset):
                self.bring(tool.tools)
            else:
                self.adapt([tool])

    def _taken(self, tool: Any, guarded: Tool[..., Any]) -> Any:
        self._session.bring(guarded)
        self.names.add(guarded.name)
        if tool in _made:
            return tool
        if tool.info.name != guarded.name:
            raise DeclarationError(
                f"LiveKit calls the tool {tool.info.name}, and toolguard {guarded.name}",
                advice=f'Give the name once, to toolguard: @toolguard.{guarded.effect.value}(name="{tool.info.name}").',
            )
        return self._watched(tool, guarded) if self._watching else function_tool_of(guarded)

    def _watched(self, tool: Any, guarded: Tool[..., Any]) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._session.take(guarded, guarded.instance, args, kwargs)

        info = tool.info
        return agents.function_tool(
            functools.update_wrapper(call, guarded.unguarded),
            name=info.name,
            description=info.description,
            flags=info.flags,
            on_duplicate=info.on_duplicate,
            duplicate_scope=info.duplicate_scope,
        )


def contexts_for(tool: Tool[..., Any], context: agents.RunContext[Any]) -> dict[str, Any]:
    """LiveKit's context for the parameters that ask for it."""
    return {name: context for name, wanted in tool.shape.injected.items() if _wants_context(wanted)}


def _wants_context(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return "RunContext" in annotation
    kind = typing.get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, agents.RunContext):
        return True
    return any(_wants_context(part) for part in typing.get_args(annotation))
