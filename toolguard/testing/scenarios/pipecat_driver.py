"""Plays scenarios over a real Pipecat pipeline with scripted ends, guarded."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

from toolguard.adapters.pipecat import function_schemas, protect
from toolguard.testing.scenarios.agents import LINGERS, apart
from toolguard.testing.scenarios.driving import SESSION, Guarded
from toolguard.testing.scenarios.evidence import EPOCH
from toolguard.testing.scenarios.pipecat_naive import OverPipecat
from toolguard.testing.scenarios.pipecat_setting import PipecatSetting

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.session import Session
    from toolguard.testing.pipecat import Line
    from toolguard.testing.scenarios.driving import Process


class Pipecat(OverPipecat):
    """The guarded application: it runs its pipeline inside ``protect``, and leaves the tools to toolguard."""

    guarded = True

    def process(self, setting: PipecatSetting) -> Process:
        """The application's process."""
        return _Process(setting)


class _Process(Guarded[PipecatSetting]):
    """The guarded application's process: a guard, and sessions over its pipelines."""

    def __init__(self, setting: PipecatSetting) -> None:
        super().__init__(setting)
        self._stack = AsyncExitStack()
        self._agents: list[_Agent] = []
        self._moves: list[asyncio.Task[None]] = []

    async def begin(self, messages: list[Any] | None = None) -> None:
        setting, script = self._setting, self._setting.script
        tools = setting.workshop.guarded()
        guard = self.guard = setting.guard(tools)
        await self._stack.enter_async_context(guard)
        for beside in script.beside:
            self._stack.enter_context(beside(guard, setting.app))
        setting.app["opened_at"] = EPOCH.timestamp() + setting.loop.time()
        line = setting.line(function_schemas(tools), messages or (), recovers=False)
        await self._talks(line, protect(line.worker, guard, id=SESSION, agent="A" if apart(script) else "agent"))

    async def _talks(self, line: Line, protecting: AbstractAsyncContextManager[Session]) -> None:
        """An agent has the conversation, on its own pipeline."""
        setting, agent = self._setting, _Agent(line, protecting)
        self._agents.append(agent)
        self._stack.push_async_callback(agent.left)
        self.session = setting.app["session"] = await agent.talking
        setting.side.line, setting.stage.application = line, self
        move = self._move if apart(setting.script) else None
        setting.workshop.conversation = _Conversation(setting, self.session, move)

    # -- what the application does ------------------------------------------------------------------------------

    def _move(self, to: str, packet: HandoffPacket) -> None:
        self._setting.app.setdefault("packets", []).append(packet)
        self._moves.append(asyncio.create_task(self._moved(to, packet.to_json()), name="moving"))

    async def _moved(self, to: str, packet: bytes) -> None:
        """The next agent has a pipeline of its own; the one before it is left a little later."""
        setting, before = self._setting, self._agents[-1]
        tools = setting.workshop.guarded()
        line = setting.line(function_schemas(tools), recovers=False)
        await self._talks(line, protect(line.worker, self.guard, packet=packet, agent=to, tools=tools))
        setting.app.setdefault("moved", []).append(setting.stage.now())
        setting.floors.append((setting.stage.now(), to))
        await asyncio.sleep(LINGERS)
        self._agents.remove(before)
        await before.left()

    async def end(self) -> None:
        """Leave, whatever cancels it: what was entered is left, in the order of a stack."""
        for move in self._moves:
            move.cancel()
            with suppress(asyncio.CancelledError):
                await move
        if self._setting.stage.store is not None:
            self._setting.stage.store.live()
        await self._stack.aclose()
        self._agents.clear()

    async def again(self) -> None:
        """As a supervisor restarts it: in good order, with the context that it has kept, over the same store."""
        await self.guard.close()
        kept = list(self._setting.lines[-1].context.get_messages())
        await self.end()
        await self.begin(kept)


class _Agent:
    """One agent's turn at the conversation: a task that runs its pipeline inside ``protect``, until it is left."""

    def __init__(self, line: Line, protecting: AbstractAsyncContextManager[Session]) -> None:
        self.talking: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._task = asyncio.create_task(self._talk(line, protecting), name="agent")

    async def _talk(self, line: Line, protecting: AbstractAsyncContextManager[Session]) -> None:
        try:
            async with protecting as session, line.runs(ends=False):
                self.talking.set_result(session)
                await self._leave.wait()
        except Exception as error:
            if self.talking.done():
                raise
            self.talking.set_exception(error)

    async def left(self) -> None:
        """Leave; who is cancelled while leaving takes the agent's task along."""
        self._leave.set()
        while not self._task.done():
            try:
                await asyncio.wait({self._task})
            except asyncio.CancelledError:
                self._task.cancel()
        if not self._task.cancelled():
            self._task.result()


class _Conversation:
    """What a hand-off tool of the application does: hand over, and say who speaks from now on."""

    def __init__(self, setting: PipecatSetting, session: Session, move: Any) -> None:
        self._setting = setting
        self._session = session
        self._move = move

    async def hand_off(self, *, to: str) -> None:
        """Hand over."""
        packet = await self._session.hand_off(to=to, in_place=self._move is None)
        if self._move is not None:
            self._move(to, packet)
            return
        self._setting.floors.append((self._setting.stage.now(), to))
