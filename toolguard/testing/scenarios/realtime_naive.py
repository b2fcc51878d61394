"""The application of the reports, over the real ``openai`` client: no toolguard, and what it then loses."""

from __future__ import annotations

import asyncio
import inspect
import json
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed

from toolguard.testing.scenarios.agents import LINGERS, apart, naive_forms
from toolguard.testing.scenarios.driving import Driving, Naive
from toolguard.testing.scenarios.hooks import HOOKS
from toolguard.testing.scenarios.realtime_setting import Conversation, Setting
from toolguard.testing.scenarios.realtime_stage import RealtimeStage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.core.packet import HandoffPacket
    from toolguard.testing.scenarios.driving import Process
    from toolguard.testing.scenarios.kit import Room, Script


class OverRealtime(Driving[Setting]):
    """What both drivers over the Realtime server have."""

    name = "openai_realtime"
    hooks: frozenset[str] = frozenset(HOOKS) - {"cancel_frame", "silent_output", "http_calls"}
    lacks: Mapping[str, str] = MappingProxyType({})
    verbs = RealtimeStage.verbs

    def setting(self, script: Script, room: Room, faults: list[str], since: float | None) -> Setting:
        """A Realtime server and its client."""
        return Setting(script, room, faults, since)


class NaiveRealtime(OverRealtime):
    """The application of the reports: a task for each call, its result and a request for speech sent at once."""

    guarded = False

    def process(self, setting: Setting) -> Process:
        """The application's process."""
        return _NaiveApp(setting)


class _NaiveApp(Naive[Setting]):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._tools = setting.workshop.naive()
        self._tasks: set[asyncio.Task[None]] = set()
        setting.stage.application = self
        setting.stage.reopen = self.reopen

    async def begin(self) -> None:
        setting = self._setting
        move = self._move if apart(setting.script) else None
        setting.workshop.conversation = Conversation(setting.connection, None, move)
        await setting.listen(setting.workshop.schemas(), self._listen(setting.connection))

    async def again(self) -> None:
        await self.end()
        await self._setting.connect()
        await self.begin()

    def compact(self, keep_last: int) -> None:
        """Shorten the history to its last items, whatever they are."""
        app, items = self._setting.app, self._setting.stage.line.conversation
        self.shorten(items)
        app["rendered"] = naive_forms(app["cuts"][min(keep_last, len(items))])

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
