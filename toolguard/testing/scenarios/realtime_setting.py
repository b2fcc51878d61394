"""What a play over the Realtime server takes place in: the server, the client, the connections, the stage."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from openai import AsyncOpenAI

from toolguard.adapters.realtime_rebuild import merged
from toolguard.testing.realtime import RealtimeServer
from toolguard.testing.scenarios.ground import Ground
from toolguard.testing.scenarios.realtime_evidence import collect
from toolguard.testing.scenarios.realtime_stage import RealtimeStage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from types import TracebackType

    from toolguard.core.packet import HandoffPacket
    from toolguard.testing.realtime import Line
    from toolguard.testing.scenarios.kit import Room, Script
    from toolguard.testing.scenarios.played import Played

_TRANSCRIBED = {"model": "gpt-4o-transcribe"}
_MOVES_WITHIN = 30.0


class Setting(Ground[RealtimeStage]):
    """Server, client and stage of one play, or, with ``since``, of the part that a second process plays."""

    connection: Any

    def __init__(self, script: Script, room: Room, faults: list[str], since: float | None = None) -> None:
        super().__init__(script, room, faults, since)
        self._stack = AsyncExitStack()
        self._connecting = 0
        self._sockets: list[Socket] = []

    async def __aenter__(self) -> Self:
        script = self.script
        self.loop.busy_while(self._in_flight)
        self._server = await self._stack.enter_async_context(RealtimeServer(session_seconds=None))
        client = AsyncOpenAI(api_key="any", websocket_base_url=self._server.url)
        self._client = await self._stack.enter_async_context(client)
        for connects in script.connects:
            self._server.on_connect(connects)
        line = await self._connected()
        part = self.begins()
        self.opens(RealtimeStage(part, self._server, line, self.connection, self.base))
        for prepare in script.prepare:
            prepare(line)
        if self.since is not None:
            await self.stage.until(self.since)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage.stop()
        await self._stack.__aexit__(kind, error, trace)

    async def connect(self) -> None:
        """Leave the connection, and play on over a new one."""
        await self.leave(self._sockets[-1])
        self.stage.move(await self._connected(), self.connection)

    async def connect_beside(self) -> Socket:
        """Open another connection beside the one that there is, and play on over it; the old one is to be left."""
        old, line = self._sockets[-1], await self._connected()
        if self.script.next_line is not None:
            self.script.next_line(line)
        self.stage.move(line, self.connection)
        return old

    async def leave(self, socket: Socket) -> None:
        """Close a connection."""
        await socket.connection.close()
        await socket.line.closed()

    async def _connected(self) -> Line:
        self.connection, line = await self._stack.enter_async_context(self._joined())
        return line

    @asynccontextmanager
    async def another(self) -> AsyncGenerator[Any]:
        """Another connection of the same client, on which the play goes on; the same application reads it."""
        listening = self._sockets[-1].listening
        async with self._joined() as (connection, line):
            self._sockets[-1].listening = listening
            self.stage.move(line, self.connection)
            yield connection

    async def moved(self) -> None:
        """Wait until the application is on another connection."""
        async with asyncio.timeout(_MOVES_WITHIN):
            while not self.stage.line.open:  # noqa: ASYNC110 - the application tells nobody
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def _joined(self) -> AsyncGenerator[tuple[Any, Line]]:
        self._connecting += 1
        try:
            stack = AsyncExitStack()
            connection = await stack.enter_async_context(self._client.realtime.connect(model="gpt-realtime-2"))
            line = await self._server.caller()
            self._sockets.append(Socket(line, connection))
        finally:
            self._connecting -= 1
        async with stack:
            yield connection, line

    def _in_flight(self) -> bool:
        if self._connecting:
            return True
        return any(socket.in_flight(self._server) for socket in self._sockets)

    async def listen(self, tools: list[dict[str, Any]], listening: Awaitable[None], **session: Any) -> None:
        """The application listens, and configures the provider's session."""
        self._sockets[-1].listening = asyncio.ensure_future(listening)
        settings = {"type": "realtime", "tools": tools, "audio": {"input": {"transcription": _TRANSCRIBED}}}
        settings = merged(merged(settings, self.script.session), session)
        await self.connection.session.update(session=settings)

    async def deafen(self) -> None:
        """The application listens no more."""
        for socket in self._sockets:
            listening, socket.listening = socket.listening, None
            if listening is not None:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    def played(self, adapter: str, *, guarded: bool) -> Played:
        """What is left of the play."""
        return collect(
            self.script,
            adapter,
            guarded=guarded,
            server=self._server,
            stage=self.stage,
            ledger=self.ledger,
            faults=self.faults,
            app=self.app,
        )


class Socket:
    """One connection; counts what goes over it, so that the clock stands while a frame is on its way."""

    def __init__(self, line: Line, connection: Any) -> None:
        self.line = line
        self.connection = connection
        self.listening: asyncio.Future[None] | None = None
        self._sent = self._received = 0
        send, recv = connection.send, connection.recv

        async def counted_send(event: Any) -> None:
            self._sent += 1
            await send(event)

        async def counted_recv() -> Any:
            event = await recv()
            self._received += 1
            return event

        connection.send, connection.recv = counted_send, counted_recv

    def in_flight(self, server: RealtimeServer) -> bool:
        """Whether a frame is on its way."""
        if self.listening is None or not self.line.open:
            return False
        arrived = len(self.line.received) + sum(one.line == self.line.number for one in server.violations)
        return self._received < len(self.line.sent) or arrived < self._sent


class Conversation:
    """What a hand-off tool of the application does: hand over, and tell the provider who speaks from now on."""

    def __init__(
        self, connection: Any, session: Any = None, move: Callable[[str, HandoffPacket | None], None] | None = None
    ) -> None:
        self._connection = connection
        self._session = session
        self._move = move

    async def hand_off(self, *, to: str) -> None:
        """Hand over."""
        packet = None
        if self._session is not None:
            packet = await self._session.hand_off(to=to, in_place=self._move is None)
        if self._move is not None:
            self._move(to, packet)
            return
        await self._connection.session.update(session={"type": "realtime", "instructions": f"You are {to}."})
