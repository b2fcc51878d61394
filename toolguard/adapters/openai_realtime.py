"""OpenAI Realtime: guards the tool calls of an ``AsyncOpenAI().realtime.connect(...)`` connection.

The application keeps its connection and its loop over the events. Inside ``protect`` the connection's own ``recv``
and ``send`` pass what they carry by the session, and the session answers the model's calls.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from toolguard.adapters.realtime_events import RealtimeEvents
from toolguard.adapters.realtime_port import RealtimePort

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from toolguard.engine.guard import Guard
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

Turns = Literal["while_calls_run", "server"]


def realtime_tools(tools: Sequence[Tool[..., Any]]) -> list[Any]:
    """The tools as ``session.update`` wants them."""
    return [tool.schema("realtime") for tool in tools]


@asynccontextmanager
async def protect(
    connection: Any,
    guard: Guard,
    *,
    id: str,  # noqa: A002 - the word that every framework uses
    agent: str = "agent",
    tenant: str = "default",
    caller: str | None = None,
    tools: Sequence[Tool[..., Any]] | None = None,
    turns: Turns = "while_calls_run",
    played_ms: Callable[[str], float] | None = None,
) -> AsyncGenerator[Session]:
    """Guard the tool calls of a Realtime connection.

    The application goes on reading the connection (``async for event in connection``); it no longer dispatches
    tools, sends their outputs or asks for replies to them.

    Args:
        connection: An ``AsyncRealtimeConnection``.
        guard: The guard with the tools.
        id: The session's id, stable over reconnects.
        agent: The agent that has the conversation.
        tenant: Who runs the agent.
        caller: Who is on the line.
        tools: Tools of this session only.
        turns: ``while_calls_run`` takes over the start of replies while calls are in flight, so that a backchannel
            starts none; ``server`` leaves turns to the server altogether.
        played_ms: Milliseconds of an item that the application has played; by default audio counts as played in
            real time from its first piece on.
    """
    plain_recv, plain_send = connection.recv, connection.send
    port = RealtimePort(plain_send, manage_turns=turns == "while_calls_run")
    watching = guard.mode == "observe"
    async with guard.session(id, agent=agent, tenant=tenant, caller=caller, tools=tools, port=port) as session:
        port.session = session
        ears = RealtimeEvents(session, port, played_ms, watching=watching)
        connection.recv = _hooked_recv(plain_recv, ears)
        connection.send = _hooked_send(plain_send, ears)
        try:
            yield session
        finally:
            connection.recv, connection.send = plain_recv, plain_send
            ears.stop()
            await asyncio.shield(_leave(session, port))


async def _leave(session: Session, port: RealtimePort) -> None:
    await session.close("hang_up")
    await port.flush()


def _hooked_recv(plain: Callable[[], Any], ears: RealtimeEvents) -> Callable[[], Any]:
    async def recv() -> Any:
        while True:
            try:
                event = await plain()
            except json.JSONDecodeError as error:
                ears.session.noticed("bad_frame", f"the server sent a frame that is not JSON: {error}")
                continue
            except asyncio.CancelledError:
                raise
            except Exception:
                ears.gone()
                raise
            ears.see(event)
            return event

    return recv


def _hooked_send(plain: Callable[[Any], Any], ears: RealtimeEvents) -> Callable[[Any], Any]:
    async def send(event: Any) -> None:
        ears.sent(event if isinstance(event, Mapping) else event.model_dump(exclude_unset=True))
        await plain(event)

    return send
