"""Plays scenarios over the real ``openai`` client and the scripted Realtime server, guarded."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed

from toolguard.adapters.openai_realtime import Rebuild, protect, realtime_tools
from toolguard.testing.scenarios.agents import LINGERS, apart
from toolguard.testing.scenarios.driving import SESSION, Guarded
from toolguard.testing.scenarios.evidence import EPOCH
from toolguard.testing.scenarios.realtime_naive import OverRealtime
from toolguard.testing.scenarios.realtime_setting import Conversation, Setting

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.session import Session
    from toolguard.testing.scenarios.driving import Process


class OpenAIRealtime(OverRealtime):
    """The guarded application: it reads its connection, plays the audio, and leaves the tools to toolguard."""

    guarded = True

    def process(self, setting: Setting) -> Process:
        """The application's process."""
        return _Process(setting)


class _Process(Guarded[Setting]):
    """The guarded application's process: a guard, and a session over the connection that it reads."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        setting.stage.reopen = setting.moved
        self._stack = AsyncExitStack()
        self._floor: _Floor | None = None
        self._moves: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        setting, script = self._setting, self._setting.script
        tools = setting.workshop.guarded()
        guard = self.guard = setting.guard(tools)
        await self._stack.enter_async_context(guard)
        for beside in script.beside:
            self._stack.enter_context(beside(guard, setting.app))
        setting.app["opened_at"] = EPOCH.timestamp() + setting.loop.time()
        rebuild = Rebuild(connect=setting.another, **script.rebuild) if script.reconnects else None
        if apart(script):
            self._floor = await self._given(protect(setting.connection, guard, id=SESSION, agent="A"))
        else:
            protected = protect(setting.connection, guard, id=SESSION, rebuild=rebuild)
            self._serves(await self._stack.enter_async_context(protected))
        await setting.listen(realtime_tools(tools), _listen(setting.connection))

    def _serves(self, session: Session) -> None:
        """An agent has the conversation, on the newest connection."""
        setting = self._setting
        self.session = setting.app["session"] = session
        setting.stage.application = self
        move = self._move if apart(setting.script) else None
        setting.workshop.conversation = Conversation(setting.connection, session, move)

    async def _given(self, protecting: AbstractAsyncContextManager[Session]) -> _Floor:
        """An agent gets the floor, in a task of its own."""
        floor = _Floor(protecting)
        self._serves(await floor.taken)
        return floor

    # -- what the application does ------------------------------------------------------------------------------

    def _move(self, to: str, packet: HandoffPacket | None) -> None:
        if packet is None:
            return
        self._setting.app.setdefault("packets", []).append(packet)
        self._moves.append(asyncio.create_task(self._moved(to, packet.to_json()), name="moving"))

    async def _moved(self, to: str, packet: bytes) -> None:
        """The next agent has a connection of its own; the one before it is left a little later."""
        setting, before = self._setting, self._floor
        left = await setting.connect_beside()
        tools = setting.workshop.guarded()
        self._floor = await self._given(protect(setting.connection, self.guard, packet=packet, agent=to, tools=tools))
        setting.app.setdefault("moved", []).append(setting.stage.now())
        await setting.listen(realtime_tools(tools), _listen(setting.connection), instructions=f"You are {to}.")
        await asyncio.sleep(LINGERS)
        if before is not None:
            await before.left()
        await setting.leave(left)

    async def end(self) -> None:
        for move in self._moves:
            move.cancel()
            with suppress(asyncio.CancelledError):
                await move
        await self._setting.deafen()
        if self._setting.stage.store is not None:
            self._setting.stage.store.live()
        if self._floor is not None:
            await self._floor.left()
        await self._stack.aclose()

    async def again(self) -> None:
        """As a supervisor restarts it: in good order, on a new connection, over the same store."""
        await self.guard.close()
        await self.end()
        await self._setting.connect()
        await self.begin()


class _Floor:
    """One agent's turn at the conversation: a task that is inside ``protect`` until it is told to leave."""

    def __init__(self, protecting: AbstractAsyncContextManager[Session]) -> None:
        self.taken: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._task = asyncio.create_task(self._hold(protecting), name="agent")

    async def _hold(self, protecting: AbstractAsyncContextManager[Session]) -> None:
        try:
            async with protecting as session:
                self.taken.set_result(session)
                await self._leave.wait()
        except Exception as error:
            if self.taken.done():
                raise
            self.taken.set_exception(error)

    async def left(self) -> None:
        """Leave."""
        self._leave.set()
        await self._task


async def _listen(connection: Any) -> None:
    with suppress(ConnectionClosed):
        async for _ in connection:
            pass
