"""Plays scenarios over a real LiveKit session with scripted model, ears and voice, guarded."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit import function_tools, protect
from toolguard.testing.scenarios.agents import apart, cuts_of, forms_of
from toolguard.testing.scenarios.evidence import EPOCH, journal_of
from toolguard.testing.scenarios.ground import virtual
from toolguard.testing.scenarios.livekit_naive import OverLiveKit
from toolguard.testing.scenarios.livekit_setting import FIRST
from toolguard.testing.scenarios.second_process import contend, play_first
from toolguard.testing.scenarios.troubles import torn_down

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.engine.guard import Guard
    from toolguard.engine.session import Session
    from toolguard.testing.scenarios.kit import Room, Script
    from toolguard.testing.scenarios.livekit_setting import Setting
    from toolguard.testing.scenarios.played import Played

SESSION = "call-1"


class LiveKit(OverLiveKit):
    """The guarded application: LiveKit's own session, inside ``protect``."""

    guarded = True

    def play(self, script: Script, room: Room) -> Played:
        """Play a script to its end."""
        since = play_first(script, room, adapter=self.name, guarded=True)
        with virtual() as (runner, faults):
            setting = runner.run(self._play(script, room, faults, since))
        played = setting.played(self.name, guarded=True)
        entries, open_calls, sessions = journal_of(setting.app["store"], setting.base)
        return replace(played, entries=entries, open_calls=open_calls, sessions=sessions)

    async def _play(self, script: Script, room: Room, faults: list[str], since: float | None = None) -> Setting:
        async with self.place(script, room, faults, since) as setting:
            process = _Process(setting)
            if any(step.verb == "process.rival" for step in script.steps) and since is not None:
                setting.app["rivals"] = await contend(setting, SESSION)
            await process.begin()
            with torn_down():
                try:
                    await setting.go(process.again)
                    setting.app["unheard"] = process.guard.unheard(SESSION)
                finally:
                    await process.end()
            await setting.settle()
        return setting


class _Process:
    """The guarded application's process: a guard, and LiveKit's session inside ``protect``."""

    guard: Guard
    session: Session

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
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

    def keep(self, facts: Mapping[str, Any]) -> None:
        """Keep facts."""
        self.session.facts.keep(**facts)

    def compact(self, keep_last: int) -> None:
        """Shorten the history."""
        app, packet = self._setting.app, self.session.packet
        app["cuts"], app["rendered"], app["packet"] = cuts_of(packet), forms_of(packet, keep_last), packet

    def change_provider(self) -> None:
        """Give the shortened history to other providers."""
        self._setting.app["changed"] = self._setting.app["rendered"]

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
