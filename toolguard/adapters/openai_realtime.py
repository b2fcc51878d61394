"""OpenAI Realtime: guards the tool calls of an ``AsyncOpenAI().realtime.connect(...)`` connection.

The application keeps its connection and its loop over the events. Inside ``protect`` the connection's own ``recv``
and ``send`` pass what they carry by the session, and the session answers the model's calls. With a :class:`Rebuild`
they carry on over a new connection when the first one is lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from toolguard.adapters.realtime_events import RealtimeEvents
from toolguard.adapters.realtime_line import RealtimeLine
from toolguard.adapters.realtime_port import RealtimePort
from toolguard.adapters.realtime_prefill import Prefill
from toolguard.adapters.realtime_rebuild import Link, Rebuild
from toolguard.errors import DeclarationError, LineLost

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Sequence

    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.guard import Guard
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

__all__ = ["Rebuild", "Turns", "protect", "realtime_tools"]

Turns = Literal["while_calls_run", "server"]


def realtime_tools(tools: Sequence[Tool[..., Any]]) -> list[Any]:
    """The tools as ``session.update`` wants them."""
    return [tool.schema("realtime") for tool in tools]


@asynccontextmanager
async def protect(
    connection: Any,
    guard: Guard,
    *,
    id: str = "",  # noqa: A002 - the word that every framework uses
    packet: HandoffPacket | bytes | str | None = None,
    agent: str = "",
    tenant: str = "",
    caller: str | None = None,
    tools: Sequence[Tool[..., Any]] | None = None,
    turns: Turns = "while_calls_run",
    played_ms: Callable[[str], float] | None = None,
    rebuild: Rebuild | None = None,
    fresh: bool = True,
) -> AsyncGenerator[Session]:
    """Guard the tool calls of a Realtime connection.

    The application goes on reading the connection (``async for event in connection``); it no longer dispatches
    tools, sends their outputs or asks for replies to them.

    Args:
        connection: An ``AsyncRealtimeConnection``.
        guard: The guard.
        id: The session's id, stable over reconnects; a packet names it by itself.
        packet: A handoff packet: the conversation is accepted, put on this connection before the model is asked, and
            the model is asked to speak as soon as the application has configured the session.
        agent: The agent that has the conversation; by default whom the packet names.
        tenant: Who runs the agent, ``default`` by default.
        caller: Who is on the line.
        tools: Tools of this session only.
        turns: ``while_calls_run`` takes over the start of replies while calls are in flight, so that a backchannel
            starts none; ``server`` leaves turns to the server altogether.
        played_ms: Milliseconds of an item that the application has played; by default audio counts as played in
            real time from its first piece on.
        rebuild: How a connection is replaced that is lost or comes to the provider's limit; the application's loop goes
            on over the new one, which is shown the conversation. Without it, and in observe mode, the loop ends.
        fresh: Whether the provider's session is a new one: a conversation that goes on is put on it. False where the
            provider still has the conversation, as behind a connection beside a call that goes on.

    Raises:
        DeclarationError: There is neither an id nor a packet.
        PacketRefused: The packet is not accepted; the subclass says why.
        StoreError: The session cannot be journaled.
    """
    if not id and packet is None:
        raise DeclarationError("protect has neither an id nor a packet", advice="Pass id=..., or a handoff packet.")
    own = Link(connection.recv, connection.send, connection.close, asyncio.get_running_loop().time())
    port = RealtimePort(own.send, manage_turns=turns == "while_calls_run")
    watching = guard.mode == "observe"
    if packet is None:
        who = agent or "agent"
        entering = guard.session(id, agent=who, tenant=tenant or "default", caller=caller, tools=tools, port=port)
    else:
        entering = guard.accept(packet, agent=agent, tools=tools, port=port, id=id, tenant=tenant)
    async with entering as session:
        port.session = session
        ears = RealtimeEvents(session, port, played_ms, watching=watching)
        model = tools or tuple(guard.tools.values())
        prefill = _prefilled(session, port, ears, model, taken=packet is not None, fresh=fresh and not watching)
        line = RealtimeLine(own, session, ears, port, rebuild) if rebuild is not None and not watching else None
        with _hooked(connection, ears, line):
            if line is not None:
                port.send_through(line.send_own)
            async with _left_well(session, port, line, own):
                try:
                    yield session
                finally:
                    ears.stop()
                    if prefill is not None:
                        prefill.stop()


@asynccontextmanager
async def _left_well(
    session: Session, port: RealtimePort, line: RealtimeLine | None, own: Link
) -> AsyncGenerator[None]:
    """End the session: a shutdown where the application is cancelled or its line is lost, else the caller hung up."""
    why: Literal["hang_up", "shutdown"] = "hang_up"
    try:
        yield
    except (asyncio.CancelledError, LineLost):
        why = "shutdown"
        raise
    finally:
        if line is not None:
            line.hold()
            why = "shutdown" if line.failed else why
        await asyncio.shield(_leave(session, port, why, line, own))


def _prefilled(
    session: Session,
    port: RealtimePort,
    ears: RealtimeEvents,
    tools: Sequence[Tool[..., Any]],
    *,
    taken: bool,
    fresh: bool,
) -> Prefill | None:
    """Put a conversation that was ``taken`` over, or that goes on after its process died, on a ``fresh`` connection."""
    if not taken:
        if not fresh or not session.state.conversation.items:
            return None
        session.shows("a new connection")
    prefill = Prefill(session, port, tools, speaks=taken)
    prefill.place()
    ears.on_configured = prefill.configured
    return prefill


@contextmanager
def _hooked(connection: Any, ears: RealtimeEvents, line: RealtimeLine | None) -> Generator[None]:
    recv, send, close = connection.recv, connection.send, connection.close
    if line is None:
        connection.recv, connection.send = _hooked_recv(recv, ears), _hooked_send(send, ears)
    else:
        connection.recv, connection.send, connection.close = line.recv, line.send, line.close
    try:
        yield
    finally:
        connection.recv, connection.send, connection.close = recv, send, close


async def _leave(
    session: Session, port: RealtimePort, why: Literal["hang_up", "shutdown"], line: RealtimeLine | None, own: Link
) -> None:
    await session.close(why)
    await port.flush()
    if line is not None:
        await line.leave(own)


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
