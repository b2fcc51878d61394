"""Plays scenarios over the real ``openai`` client and the scripted Realtime server, guarded and naive."""

from __future__ import annotations

import asyncio
import inspect
import json
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, cast

from websockets.exceptions import ConnectionClosed

from toolguard.adapters.openai_realtime import protect, realtime_tools
from toolguard.engine.clock import LoopClock
from toolguard.engine.guard import Guard
from toolguard.stores.locate import store_from
from toolguard.testing.scenarios.realtime_evidence import EPOCH, journal_of
from toolguard.testing.scenarios.realtime_setting import Conversation, Setting, virtual
from toolguard.testing.scenarios.realtime_stage import RealtimeStage
from toolguard.testing.scenarios.realtime_troubles import torn_down

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Room, Script
    from toolguard.testing.scenarios.played import Played
    from toolguard.testing.virtual import VirtualLoop

SESSION = "call-1"


class OpenAIRealtime:
    """The guarded application: it reads its connection, plays the audio, and leaves the tools to toolguard."""

    name = "openai_realtime"
    guarded = True
    hooks: frozenset[str] = frozenset()
    verbs = RealtimeStage.verbs

    def play(self, script: Script, room: Room) -> Played:
        """Play a script to its end."""
        with virtual() as (runner, faults):
            setting = runner.run(self._play(script, room, faults))
        played = setting.played(self.name, guarded=True)
        entries, open_calls, sessions = journal_of(setting.app["store"], setting.base)
        return replace(played, entries=entries, open_calls=open_calls, sessions=sessions)

    async def _play(self, script: Script, room: Room, faults: list[str]) -> Setting:
        async with Setting(script, room, faults) as setting:
            process = _Process(setting)
            await process.begin()
            with torn_down():
                try:
                    await setting.go(process.again)
                    setting.app["unheard"] = process.guard.unheard(SESSION)
                finally:
                    await process.end()
            await _settle(faults)
        return setting


class _Process:
    """The guarded application's process: a guard, and a session over the connection that it reads."""

    guard: Guard

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._stack = AsyncExitStack()

    async def begin(self) -> None:
        setting, script = self._setting, self._setting.script
        tools = setting.workshop.guarded()
        options: dict[str, Any] = {"policy": script.policy, "limits": script.limits, **script.guard}
        store = setting.app["store"] = store_from(setting.place)
        guard = self.guard = Guard(setting.troubled(store), tools=tools, clock=LoopClock(EPOCH), **options)
        loop = cast("VirtualLoop", asyncio.get_running_loop())
        loop.busy_while(lambda: setting.at_work(guard))
        await self._stack.enter_async_context(guard)
        for beside in script.beside:
            self._stack.enter_context(beside(guard, setting.app))
        session = await self._stack.enter_async_context(protect(setting.connection, guard, id=SESSION))
        setting.app["session"], setting.app["opened_at"] = session, EPOCH.timestamp() + loop.time()
        setting.workshop.conversation = Conversation(setting.connection, session)
        await setting.listen(realtime_tools(tools), _listen(setting.connection))

    async def end(self) -> None:
        await self._setting.deafen()
        if self._setting.stage.store is not None:
            self._setting.stage.store.live()
        await self._stack.aclose()

    async def again(self) -> None:
        """As a supervisor restarts it: in good order, on a new connection, over the same store."""
        await self.guard.close()
        await self.end()
        await self._setting.connect()
        await self.begin()


class NaiveRealtime:
    """The application of the reports: a task for each call, its result and a request for speech sent at once."""

    name = "openai_realtime"
    guarded = False
    hooks: frozenset[str] = frozenset()
    verbs = RealtimeStage.verbs

    def play(self, script: Script, room: Room) -> Played:
        """Play a script to its end."""
        with virtual() as (runner, faults):
            setting = runner.run(self._play(script, room, faults))
        return setting.played(self.name, guarded=False)

    async def _play(self, script: Script, room: Room, faults: list[str]) -> Setting:
        async with Setting(script, room, faults) as setting:
            app = await _NaiveApp.begin(setting)

            async def again() -> None:
                nonlocal app
                await app.end()
                await setting.connect()
                app = await _NaiveApp.begin(setting)

            with torn_down():
                try:
                    await setting.go(again)
                finally:
                    await app.end()
        return setting


class _NaiveApp:
    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._connection = setting.connection
        self._tools = setting.workshop.naive()
        setting.workshop.conversation = Conversation(setting.connection)
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def begin(cls, setting: Setting) -> Self:
        app = cls(setting)
        await setting.listen(setting.workshop.schemas(), app._listen())
        return app

    async def _listen(self) -> None:
        with suppress(ConnectionClosed):
            async for event in self._connection:
                if event.type == "response.function_call_arguments.done":
                    task = asyncio.create_task(self._call(event.call_id, event.name, event.arguments), name="naive")
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _call(self, call_id: str, name: str, arguments: str) -> None:
        result = self._tools[name](**json.loads(arguments))
        if inspect.isawaitable(result):
            result = await result
        item = {"type": "function_call_output", "call_id": call_id, "output": json.dumps(result)}
        with suppress(ConnectionClosed):
            await self._connection.conversation.item.create(item=item)
            await self._connection.response.create()

    async def end(self) -> None:
        await self._setting.deafen()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _listen(connection: Any) -> None:
    with suppress(ConnectionClosed):
        async for _ in connection:
            pass


async def _settle(faults: list[str]) -> None:
    """Nothing of toolguard may be left on the loop when its guard is closed."""
    for _ in range(3):
        await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if task.get_name().startswith("toolguard")]
    faults.extend(f"the task {task.get_name()} was left over" for task in left)
