"""Plays scenarios over the real ``openai`` client and the scripted Realtime server, guarded and naive."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import warnings
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, cast

from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed

from toolguard.adapters.openai_realtime import protect, realtime_tools
from toolguard.engine.clock import LoopClock
from toolguard.engine.guard import Guard
from toolguard.stores.locate import store_from
from toolguard.testing.realtime import RealtimeServer
from toolguard.testing.scenarios.ledger import SideEffects
from toolguard.testing.scenarios.realtime_evidence import EPOCH, collect, journal_of
from toolguard.testing.scenarios.realtime_stage import RealtimeStage
from toolguard.testing.scenarios.workshop import Workshop
from toolguard.testing.virtual import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from types import TracebackType

    from toolguard.stores.base import Store
    from toolguard.testing.scenarios.kit import Room, Script
    from toolguard.testing.scenarios.played import Played

SESSION = "call-1"
_BEFORE = 0.5
"""Seconds between the connection and the first step."""


class OpenAIRealtime:
    """The guarded application: it reads its connection, plays the audio, and leaves the tools to toolguard."""

    name = "openai_realtime"
    guarded = True
    hooks: frozenset[str] = frozenset()
    verbs = RealtimeStage.verbs

    def play(self, script: Script, room: Room) -> Played:
        """Play a script to its end."""
        store = store_from("memory" if room.store == "memory" else room.folder / "journal")
        with _virtual() as (runner, faults):
            setting = runner.run(self._play(script, room, store, faults))
        played = setting.played(self.name, guarded=True)
        entries, open_calls = journal_of(store, setting.base)
        return replace(played, entries=entries, open_calls=open_calls)

    async def _play(self, script: Script, room: Room, store: Store, faults: list[str]) -> _Setting:
        async with _Setting(script, room, faults) as setting:
            tools = setting.workshop.guarded()
            options: dict[str, Any] = {"policy": script.policy, "limits": script.limits, **script.guard}
            guard = Guard(store, tools=tools, clock=LoopClock(EPOCH), **options)
            loop = cast("VirtualLoop", asyncio.get_running_loop())
            loop.busy_while(lambda: guard.journal.busy or guard.journal.waiting)
            async with guard, protect(setting.connection, guard, id=SESSION) as session:
                setting.app["session"] = session
                await setting.go(realtime_tools(tools), _listen(setting.connection))
            setting.app["unheard"] = guard.unheard(SESSION)
            await _settle(faults)
        return setting


class NaiveRealtime:
    """The application of the reports: a task for each call, its result and a request for speech sent at once."""

    name = "openai_realtime"
    guarded = False
    hooks: frozenset[str] = frozenset()
    verbs = RealtimeStage.verbs

    def play(self, script: Script, room: Room) -> Played:
        """Play a script to its end."""
        with _virtual() as (runner, faults):
            setting = runner.run(self._play(script, room, faults))
        return setting.played(self.name, guarded=False)

    async def _play(self, script: Script, room: Room, faults: list[str]) -> _Setting:
        async with _Setting(script, room, faults) as setting:
            app = _NaiveApp(setting.connection, setting.workshop.naive())
            await setting.go(setting.workshop.schemas(), app.listen())
            await app.hang_up()
        return setting


class _NaiveApp:
    def __init__(self, connection: Any, tools: dict[str, Callable[..., Any]]) -> None:
        self._connection = connection
        self._tools = tools
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
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

    async def hang_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Setting:
    """Server, client and stage of one play."""

    def __init__(self, script: Script, room: Room, faults: list[str]) -> None:
        self.script = script
        self.base = 0.0
        self.app: dict[str, Any] = {}
        self._room = room
        self._faults = faults
        self._stack = AsyncExitStack()
        self._connecting = True
        self._listening = False
        self._sent = self._received = 0

    async def __aenter__(self) -> Self:
        script, loop = self.script, cast("VirtualLoop", asyncio.get_running_loop())
        loop.busy_while(self._in_flight)
        loop.set_exception_handler(lambda _loop, context: self._faults.append(_fault(context)))
        self._server = await self._stack.enter_async_context(RealtimeServer(session_seconds=None))
        client = await self._stack.enter_async_context(AsyncOpenAI(api_key="any", websocket_base_url=self._server.url))
        connecting = client.realtime.connect(model="gpt-realtime-2")
        self.connection: Any = await self._stack.enter_async_context(connecting)
        line = await self._server.caller()
        self._count_frames()
        self._connecting = False
        first = min((step.at for step in script.steps), default=0.0)
        self.base = loop.time() + _BEFORE + max(0.0, -first / 1000)
        self.stage = RealtimeStage(script, line, self.connection, self.base)
        self._ledger = self._room.folder / "effects.jsonl"
        self.workshop = Workshop(script, SideEffects(self._ledger, self.stage.now))
        for prepare in script.prepare:
            prepare(line)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage.stop()
        await self._stack.__aexit__(kind, error, trace)

    def _count_frames(self) -> None:
        """Count what goes over the socket, so that the clock stands while a frame is on its way."""
        send, recv = self.connection.send, self.connection.recv

        async def counted_send(event: Any) -> None:
            self._sent += 1
            await send(event)

        async def counted_recv() -> Any:
            event = await recv()
            self._received += 1
            return event

        self.connection.send, self.connection.recv = counted_send, counted_recv

    def _in_flight(self) -> bool:
        if self._connecting or not self._listening:
            return self._connecting
        line = self.stage.line
        arrived = len(line.received) + len(self._server.violations)
        return line.open and (self._received < len(line.sent) or arrived < self._sent)

    async def go(self, tools: list[dict[str, Any]], listen: Awaitable[None]) -> None:
        """Configure the session, and play while the application listens."""
        listening = asyncio.ensure_future(listen)
        self._listening = True
        try:
            await self.connection.session.update(session={"type": "realtime", "tools": tools, **self.script.session})
            await self.stage.until(min((step.at for step in self.script.steps), default=0.0))
            await self.stage.play()
        finally:
            self._listening = False
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
            ledger=self._ledger,
            faults=self._faults,
            app=self.app,
        )


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


def _fault(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context['message']}: {type(error).__name__}: {error}" if error is not None else str(context["message"])


@contextmanager
def _virtual() -> Generator[tuple[asyncio.Runner, list[str]]]:
    """A virtual loop, and a list of what goes wrong on it without anybody noticing."""
    faults: list[str] = []
    gc.freeze()  # what was there before is not looked through again
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with asyncio.Runner(loop_factory=VirtualLoop) as runner:
                yield runner, faults
                gc.collect()
    finally:
        gc.unfreeze()
    faults.extend(str(one.message) for one in warned if "never awaited" in str(one.message))
