"""Plays scenarios over a real LiveKit session with scripted model, ears and voice, guarded."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit import function_tools, protect
from toolguard.testing.scenarios.agents import apart
from toolguard.testing.scenarios.driving import SESSION, Guarded
from toolguard.testing.scenarios.evidence import EPOCH
from toolguard.testing.scenarios.livekit_naive import OverLiveKit
from toolguard.testing.scenarios.livekit_setting import FIRST, Setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.testing.scenarios.driving import Process


class LiveKit(OverLiveKit):
    """The guarded application: LiveKit's own session, inside ``protect``."""

    guarded = True

    def process(self, setting: Setting) -> Process:
        """The application's process."""
        return _Process(setting)


class _Process(Guarded[Setting]):
    """The guarded application's process: a guard, and LiveKit's session inside ``protect``."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._stack = AsyncExitStack()
        self._tools: list[Any] = []

    async def begin(self) -> None:
        setting, script = self._setting, self._setting.script
        tools = setting.workshop.guarded()
        guard = self.guard = setting.guard(tools)
        for beside in script.beside:
            self._stack.enter_context(beside(guard, setting.app))
        await self._stack.enter_async_context(guard)
        setting.app["opened_at"] = EPOCH.timestamp() + setting.loop.time()
        room = setting.connect()
        self._stack.push_async_callback(setting.leave)
        protected = protect(room, guard, id=SESSION, agent=FIRST)
        self.session = setting.app["session"] = await self._stack.enter_async_context(protected)
        setting.stage.application = self
        setting.workshop.conversation = self
        self._tools = function_tools(tools)
        started: Any = room
        await started.start(setting.agent(FIRST, self._tools))

    # -- what the application does ------------------------------------------------------------------------------

    async def hand_off(self, *, to: str) -> Callable[[Any], Any]:
        """What a hand-off tool of the application does; the next agent speaks first where it has a line of its own."""
        setting = self._setting
        packet = await self.session.hand_off(to=to, in_place=True)
        setting.app.setdefault("packets", []).append(packet)
        alone = apart(setting.script)
        agent = setting.agent(to, self._tools, setting.room.current_agent, self.session.begin if alone else None)
        return lambda result: agent if alone else (agent, result)

    async def end(self) -> None:
        if self._setting.stage.store is not None:
            self._setting.stage.store.live()
        self._setting.side.open = False
        await self._stack.aclose()

    async def again(self) -> None:
        """As a supervisor restarts it: in good order, over the same store."""
        await self.guard.close()
        await self.end()
        self._stack = AsyncExitStack()
        self._setting.side.open = True
        await self.begin()
