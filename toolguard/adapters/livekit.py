"""LiveKit Agents: guards the tool calls of an ``AgentSession``.

LiveKit owns the loop: it starts the replies, runs the tools and keeps the chat context. The agent gets its guarded
tools from :func:`function_tools`, and :func:`protect` follows the session's events; nothing of LiveKit is patched, and
only its public interface is used::

    session = AgentSession(stt=..., llm=..., tts=...)
    agent = Agent(instructions="...", tools=function_tools([find_slots, book]))
    async with protect(session, guard, id="conv-42", caller="+15550100") as conversation:
        await session.start(agent, room=ctx.room)
        await over.wait()    # an asyncio.Event that the session's "close" event sets

While a tool runs and the caller says something else, LiveKit waits for the tool, up to five seconds, before it answers.
A guarded call is let go at that moment instead: it is answered with what became of it by the caller's words, or with a
placeholder, and its result follows in the chat context and is spoken once.

It is made for pipelines (speech to text, model, text to speech). Not covered yet: speech-to-speech models, tools that
return an ``Agent``, and turns that are typed.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from toolguard.adapters.livekit_events import LiveKitEvents
from toolguard.adapters.livekit_features import agents, require
from toolguard.adapters.livekit_port import LiveKitPort
from toolguard.adapters.livekit_realtime_events import LiveKitRealtimeEvents
from toolguard.adapters.livekit_realtime_port import LiveKitRealtimePort
from toolguard.errors import NoSession

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from toolguard.engine.guard import Guard
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

__all__ = ["function_tools", "protect"]

_protected: WeakKeyDictionary[agents.AgentSession[Any], LiveKitEvents] = WeakKeyDictionary()


def function_tools(tools: Iterable[Tool[..., Any]]) -> list[agents.llm.RawFunctionTool[..., Any]]:
    """Guarded tools as LiveKit wants them, for ``Agent(tools=...)`` or ``AgentSession(tools=...)``.

    The model sees the tool's own schema. A parameter that is annotated with LiveKit's ``RunContext`` gets it. LiveKit's
    ``on_duplicate`` and ``ToolFlag.CANCELLABLE`` stay off: what they are for is the guard's business.

    Args:
        tools: Guarded tools, the same as the guard's or the session's.

    Raises:
        FeatureMissing: The installed LiveKit lacks what is needed.
        DeclarationError: A parameter has a type that models cannot fill.
    """
    require()
    return [_function_tool(tool) for tool in tools]


def _function_tool(tool: Tool[..., Any]) -> agents.llm.RawFunctionTool[..., Any]:
    async def call(raw_arguments: dict[str, object], context: agents.RunContext[Any]) -> Any:
        events = _protected.get(context.session)
        if events is None:
            raise NoSession(
                f"{tool.name} is guarded, and its LiveKit session is not.",
                advice="Start the session inside `async with protect(agent_session, guard, id=...)`.",
            )
        return await events.call(tool, context, raw_arguments)

    described = tool.schema("realtime")
    schema: dict[str, Any] = {key: described[key] for key in ("name", "description", "parameters") if key in described}
    return agents.function_tool(call, raw_schema=schema)


@asynccontextmanager
async def protect(
    agent_session: agents.AgentSession[Any],
    guard: Guard,
    *,
    id: str,  # noqa: A002 - the word that every framework uses
    tenant: str = "default",
    caller: str | None = None,
    agent: str = "agent",
    tools: Sequence[Tool[..., Any]] | None = None,
) -> AsyncGenerator[Session]:
    """Guard the tool calls of a LiveKit session; stay inside for as long as the conversation lasts.

    Args:
        agent_session: The ``AgentSession``, started or not.
        guard: The guard with the tools.
        id: The session's id, stable over reconnects.
        tenant: Who runs the agent.
        caller: Who is on the line.
        agent: The agent that has the conversation.
        tools: Tools of this session only.

    Raises:
        FeatureMissing: The installed LiveKit lacks what is needed.
        DeclarationError: A tool needs a caller and the session has none.
        StoreError: The session cannot be journaled.
    """
    require()
    realtime = isinstance(agent_session.llm, agents.llm.RealtimeModel)
    port = None
    if guard.mode != "observe":
        port = LiveKitRealtimePort(agent_session) if realtime else LiveKitPort(agent_session)
    try:
        async with guard.session(id, agent=agent, tenant=tenant, caller=caller, tools=tools, port=port) as session:
            if port is not None:
                port.session = session
            events = (LiveKitRealtimeEvents if realtime else LiveKitEvents)(agent_session, session, port)
            _protected[agent_session] = events
            events.listen()
            try:
                yield session
            finally:
                events.stop()
                _protected.pop(agent_session, None)
    finally:
        if port is not None:
            port.stop()
