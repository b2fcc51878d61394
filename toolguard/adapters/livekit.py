"""LiveKit Agents: guards the tool calls of an ``AgentSession``.

LiveKit owns the loop: it starts the replies, runs the tools and keeps the chat context. Its tools are guarded by one
line under ``@function_tool``, and :func:`protect` follows the session; nothing of LiveKit is patched, and only its
public interface is used::

    class Receptionist(Agent):
        @function_tool
        @toolguard.mutation(identity="day")
        async def book(self, context: RunContext, day: str) -> str: ...

    session = AgentSession(stt=..., llm=..., tts=...)
    await protect(session, Guard("journal/"), id="conv-42", caller="+15550100")
    await session.start(Receptionist(instructions="..."), room=ctx.room)

Awaited, it lasts until the session closes, and a job's shutdown waits for it; ``async with`` lasts for its block.

Guarded tools work wherever LiveKit's function tools do, among others that are not guarded. While a tool runs and the
caller says something else, LiveKit alone waits for the tool, up to five seconds, before it answers. A guarded call is
let go at that moment instead: it is answered with what became of it by the caller's words, or with a placeholder, and
its result follows in the chat context and is spoken once. Another agent of the same session gets what it has to know of
the calls, and words that LiveKit drops while it changes agents.

With a speech-to-speech model (a ``RealtimeModel`` as the session's llm) it is the same for the application. There the
provider hears the caller and answers turns by itself, before the words are known: a call that is in flight is answered
with a placeholder at the first sound of the caller, and what became of it follows.

The guard needs tools of its own (``Guard(tools=...)``) only for going on after a crash. Not covered: ``AgentTask``
inside a guarded body, which runs in a task that is not LiveKit's.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_events import LiveKitEvents
from toolguard.adapters.livekit_features import agents, require
from toolguard.adapters.livekit_port import LiveKitPort
from toolguard.adapters.livekit_realtime_events import LiveKitRealtimeEvents
from toolguard.adapters.livekit_realtime_port import LiveKitRealtimePort
from toolguard.adapters.livekit_tools import function_tool_of, guarded_in
from toolguard.adapters.protecting import Protecting
from toolguard.errors import DeclarationError
from toolguard.tools.tool import Tool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.guard import Guard
    from toolguard.engine.session import Session

    _Entering = Callable[..., AbstractAsyncContextManager[Session]]

__all__ = ["function_tools", "protect"]

_ENDS_WITHIN = 15.0
"""Seconds that a job's shutdown waits for the conversation to end: the drain window and the last records."""


def function_tools(tools: Iterable[Tool[..., Any]]) -> list[agents.llm.RawFunctionTool[..., Any]]:
    """Guarded tools as LiveKit wants them, for ``Agent(tools=...)`` or ``AgentSession(tools=...)``.

    It is for tools that have no ``@function_tool`` above their guard. The model sees the tool's own schema. A parameter
    that is annotated with LiveKit's ``RunContext`` gets it. LiveKit's ``on_duplicate`` and ``ToolFlag.CANCELLABLE``
    stay off: what they are for is the guard's business.

    Args:
        tools: Guarded tools.

    Raises:
        FeatureMissing: The installed LiveKit lacks what is needed.
        DeclarationError: A parameter has a type that models cannot fill, or two tools have one name.
    """
    require()
    made: dict[str, agents.llm.RawFunctionTool[..., Any]] = {}
    for tool in tools:
        if tool.name in made:
            raise DeclarationError(f"two tools are named {tool.name}", advice="Give each tool once, under one name.")
        made[tool.name] = function_tool_of(tool)
    return list(made.values())


def protect(
    agent_session: agents.AgentSession[Any],
    guard: Guard,
    *,
    id: str = "",  # noqa: A002 - the word that every framework uses
    packet: HandoffPacket | bytes | str | None = None,
    tenant: str = "",
    caller: str | None = None,
    agent: str = "",
    tools: Sequence[Any] | None = None,
) -> Protecting:
    """Guard the tool calls of a LiveKit session: ``await`` it, or stay inside for as long as the conversation lasts.

    Args:
        agent_session: The ``AgentSession``, started or not.
        guard: The guard.
        id: The session's id, stable over reconnects: a conversation that was broken off goes on under it, and the
            agent's chat context gets what was said and done. A packet names it by itself.
        packet: A handoff packet: the conversation is accepted, put into the agent's chat context, and the agent speaks.
        tenant: Who runs the agent, ``default`` by default.
        caller: Who is on the line.
        agent: The agent that has the conversation; by default whom the packet names.
        tools: Tools of this session only, guarded ones or LiveKit's with a guarded one inside. Those of the agents
            are found by themselves; for going on after a crash they have to be here or in the guard.

    Raises:
        FeatureMissing: The installed LiveKit lacks what is needed.
        DeclarationError: There is neither an id nor a packet, a tool needs a caller and the session has none, or
            something is no guarded tool.
        PacketRefused: The packet is not accepted; the subclass says why.
        StoreError: The session cannot be journaled.
    """
    require()
    if not id and packet is None:
        raise DeclarationError("protect has neither an id nor a packet", advice="Pass id=..., or a handoff packet.")
    own = None if tools is None else [_guarded(tool) for tool in tools]
    entering: _Entering
    if packet is None:
        who, where = agent or "agent", tenant or "default"
        entering = partial(guard.session, id, agent=who, tenant=where, caller=caller, tools=own)
    else:
        entering = partial(guard.accept, packet, agent=agent, tools=own, id=id, tenant=tenant)
    protected = _protected(agent_session, guard, entering, taken=packet is not None)
    return Protecting(protected, partial(_until_closed, agent_session))


def _until_closed(
    agent_session: agents.AgentSession[Any], tell: Callable[[], None]
) -> Callable[[asyncio.Task[None]], None]:
    """LiveKit's session tells of its end once; the job's process waits for ours before it goes."""
    emitter: Any = agent_session  # its callbacks have no type

    def closed(_event: Any) -> None:
        tell()

    emitter.once("close", closed)

    def waits(ending: asyncio.Task[None]) -> None:
        job = agents.get_job_context(required=False)

        async def conversation_ended() -> None:
            await asyncio.wait({ending}, timeout=_ENDS_WITHIN)

        if job is not None:
            job.add_shutdown_callback(conversation_ended)

    return waits


@asynccontextmanager
async def _protected(
    agent_session: agents.AgentSession[Any], guard: Guard, entering: _Entering, *, taken: bool
) -> AsyncGenerator[Session]:
    able = _realtime(agent_session)
    port = None
    if guard.mode != "observe":
        port = LiveKitPort(agent_session) if able is None else LiveKitRealtimePort(agent_session, able)
    try:
        async with entering(port=port) as session:
            if port is not None:
                port.session = session
            events = (LiveKitEvents if able is None else LiveKitRealtimeEvents)(agent_session, session, port)
            if events.moves is not None:
                events.moves.takes_over = taken
            events.listen()
            try:
                yield session
            finally:
                events.stop()
    finally:
        if port is not None:
            port.stop()


def _realtime(agent_session: agents.AgentSession[Any]) -> agents.llm.RealtimeCapabilities | None:
    """What the session's model can do, or that of the agent that has it already, if it is a speech-to-speech model."""
    room: Any = agent_session
    models: list[Any] = [room.llm]
    with suppress(RuntimeError):  # it has not started
        models.append(room.current_agent.llm)
    found = next((model for model in models if isinstance(model, agents.llm.RealtimeModel)), None)
    return found.capabilities if found is not None else None


def _guarded(tool: Any) -> Tool[..., Any]:
    if isinstance(tool, Tool):
        known: Tool[..., Any] = tool  # pyright: ignore[reportUnknownVariableType]
        return known
    guarded = guarded_in(tool)
    if guarded is None:
        raise DeclarationError(
            f"{tool!r} is not a guarded tool", advice="Put @toolguard.read, ... under its @function_tool."
        )
    return guarded
