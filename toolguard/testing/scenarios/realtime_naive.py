"""The application of the reports, over the real ``openai`` client: no toolguard, and what it then loses."""

from __future__ import annotations

import asyncio
import inspect
import json
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from websockets.exceptions import ConnectionClosed

from toolguard.testing.scenarios.agents import LINGERS, apart, naive_forms
from toolguard.testing.scenarios.ground import virtual
from toolguard.testing.scenarios.hooks import HOOKS
from toolguard.testing.scenarios.realtime_setting import Conversation, Setting
from toolguard.testing.scenarios.realtime_stage import RealtimeStage
from toolguard.testing.scenarios.second_process import play_first
from toolguard.testing.scenarios.troubles import torn_down

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.core.packet import HandoffPacket
    from toolguard.testing.scenarios.kit import Room, Script
    from toolguard.testing.scenarios.played import Played


class OverRealtime:
    """What both drivers over the Realtime server have; their process can be made to die in the middle of a play."""

    name = "openai_realtime"
    hooks: frozenset[str] = frozenset(HOOKS) - {"cancel_frame", "silent_output", "http_calls"}
    lacks: Mapping[str, str] = MappingProxyType({})
    verbs = RealtimeStage.verbs

    async def _play(self, script: Script, room: Room, faults: list[str], since: float | None = None) -> Setting:
        raise NotImplementedError

    def play_until_death(self, script: Script, room: Room) -> None:
        """Play in a process that kills itself on the way."""
        with virtual() as (runner, faults):
            runner.run(self._play(script, room, faults))


class NaiveRealtime(OverRealtime):
    """The application of the reports: a task for each call, its result and a request for speech sent at once."""

    guarded = False

    def play(self, script: Script, room: Room) -> Played:
        """Play a script to its end."""
        since = play_first(script, room, adapter=self.name, guarded=False)
        with virtual() as (runner, faults):
            setting = runner.run(self._play(script, room, faults, since))
        return setting.played(self.name, guarded=False)

    async def _play(self, script: Script, room: Room, faults: list[str], since: float | None = None) -> Setting:
        async with Setting(script, room, faults, since) as setting:
            app = await _NaiveApp.begin(setting)

            async def again() -> None:
                nonlocal app
                await app.end()
                await setting.connect()
                app = await _NaiveApp.begin(setting)

            with torn_down():
                try:
                    setting.stage.reopen = app.reopen
                    await setting.go(again)
                finally:
                    await app.end()
        return setting


class _NaiveApp:
    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._tools = setting.workshop.naive()
        move = self._move if apart(setting.script) else None
        setting.workshop.conversation = Conversation(setting.connection, None, move)
        setting.stage.application = self
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def begin(cls, setting: Setting) -> Self:
        app = cls(setting)
        await setting.listen(setting.workshop.schemas(), app._listen(setting.connection))
        return app

    def keep(self, facts: Mapping[str, Any]) -> None:
        """It keeps what was said, and nothing else."""

    def compact(self, keep_last: int) -> None:
        """Shorten the history to its last items, whatever they are."""
        app, items = self._setting.app, self._setting.stage.line.conversation
        app["cuts"] = {keep: items[len(items) - keep :] for keep in range(len(items) + 1)}
        app["rendered"] = naive_forms(app["cuts"][min(keep_last, len(items))])

    def change_provider(self) -> None:
        """Give the shortened history to other providers."""
        self._setting.app["changed"] = self._setting.app["rendered"]

    def _move(self, to: str, _packet: HandoffPacket | None) -> None:
        task = asyncio.create_task(self._moved(to), name="moving")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _moved(self, to: str) -> None:
        """The next agent begins on a connection of its own and is told who it is."""
        setting = self._setting
        left = await setting.connect_beside()
        setting.app.setdefault("moved", []).append(setting.stage.now())
        setting.workshop.conversation = Conversation(setting.connection, None, self._move)
        listening = self._listen(setting.connection)
        await setting.listen(setting.workshop.schemas(), listening, instructions=f"You are {to}.")
        await setting.connection.response.create()
        await asyncio.sleep(LINGERS)
        await setting.leave(left)

    async def _listen(self, connection: Any) -> None:
        with suppress(ConnectionClosed):
            async for event in connection:
                if event.type == "response.function_call_arguments.done":
                    calling = self._call(connection, event.call_id, event.name, event.arguments)
                    task = asyncio.create_task(calling, name="naive")
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _call(self, connection: Any, call_id: str, name: str, arguments: str) -> None:
        result = self._tools[name](**json.loads(arguments))
        if inspect.isawaitable(result):
            result = await result
        item = {"type": "function_call_output", "call_id": call_id, "output": json.dumps(result)}
        with suppress(ConnectionClosed):
            await connection.conversation.item.create(item=item)
            await connection.response.create()

    async def reopen(self) -> None:
        """It connects again, and takes the new connection for the old one."""
        await self._setting.deafen()
        await self._setting.connect()
        await self._setting.listen(self._setting.workshop.schemas(), self._listen(self._setting.connection))

    async def end(self) -> None:
        await self._setting.deafen()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
