"""A guarded application over the real openai client and the scripted server, whose connection can be lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI

import toolguard
from toolguard import Guard
from toolguard.adapters.openai_realtime import Rebuild, protect, realtime_tools
from toolguard.core import records as r
from toolguard.engine.clock import LoopClock
from toolguard.stores.memory import MemoryStore
from toolguard.testing.realtime import RealtimeServer
from toolguard.testing.virtual import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from toolguard.engine.session import Session
    from toolguard.testing.realtime import Line

UNREAD = {"max_queue": None}


@dataclass
class World:
    """What the application's tools did."""

    acts: list[tuple[str, float]] = field(default_factory=list)

    def did(self, what: str) -> int:
        return sum(one == what for one, _ in self.acts)

    def note(self, what: str) -> None:
        self.acts.append((what, asyncio.get_running_loop().time()))


def tools_of(world: World) -> list[Any]:
    @toolguard.mutation(identity="x", commits="inside", patience=30.0)
    async def book(x: int) -> dict[str, int]:
        """Book."""
        await asyncio.sleep(0.6)
        async with toolguard.committing():
            world.note("book")
            await asyncio.sleep(1.4)
        return {"order": x}

    @toolguard.read(patience=30.0)
    async def lookup() -> dict[str, int]:
        """Look."""
        await asyncio.sleep(3.0)
        world.note("lookup")
        return {"free": 3}

    return [book, lookup]


@dataclass
class App:
    """One application with its server."""

    server: RealtimeServer
    line: Line
    connection: Any
    guard: Guard
    session: Session
    world: World
    events: list[Any]
    reading: asyncio.Task[None]
    errors: list[BaseException]

    async def next_line(self, within: float = 40.0) -> Line:
        """The connection that replaces the last one, when the application is on it."""
        self.line = await self.server.caller(within)
        return self.line

    async def rebuilt(self, count: int = 1, within: float = 40.0) -> r.Rebuilt:
        """The record of the last rebuild, when there were so many."""
        async with asyncio.timeout(within):
            while len(found := self.records(r.Rebuilt)) < count:
                await asyncio.sleep(0.05)
        return found[-1]

    def records(self, kind: type[Any]) -> list[Any]:
        """The records of the session of one kind."""
        store = self.guard.journal.store
        frames = store.read(self.session.id, after=0, limit=10_000)
        found = [r.decode(one.kind, one.version, one.payload) for one in frames]
        return [one for one in found if isinstance(one, kind)]

    def notices(self, code: str) -> list[r.Noticed]:
        """The notices of one code."""
        return [one for one in self.records(r.Noticed) if one.code == code]


def shown(line: Line) -> list[tuple[str, str]]:
    """The conversation of a connection: kind and words, or call id."""
    found = []
    for item in line.conversation:
        if item["type"] == "message":
            parts = item.get("content") or []
            text = " ".join(str(part.get("transcript") or part.get("text") or "") for part in parts)
            found.append((item["role"], text))
        else:
            found.append((item["type"], item["call_id"]))
    return found


async def collect(connection: Any, events: list[Any]) -> None:
    """The application's loop."""
    async for event in connection:
        events.append(event)  # noqa: PERF401 - as they come


@asynccontextmanager
async def app(
    *,
    mode: str = "enforce",
    store: Any = None,
    server: dict[str, Any] | None = None,
    swallow: bool = True,
    **rebuild: Any,
) -> AsyncGenerator[App]:
    world, events, errors = World(), [], []
    tools = tools_of(world)
    async with RealtimeServer(**(server or {})) as there:
        client = AsyncOpenAI(api_key="x", websocket_base_url=there.url)

        def connect() -> Any:
            return client.realtime.connect(model="gpt-realtime-2", websocket_connection_options=UNREAD)

        guard = Guard(store or MemoryStore(), tools=tools, clock=LoopClock(), mode=mode)
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualLoop):
            loop.busy_while(lambda: bool(guard.journal.busy or guard.journal.waiting))
        async with guard, connect() as connection:
            line = await there.caller()
            settings = Rebuild(connect=connect, **rebuild)
            async with protect(connection, guard, id="conv-1", rebuild=settings) as session:

                async def listen() -> None:
                    try:
                        await collect(connection, events)
                    except Exception as error:
                        errors.append(error)
                        if not swallow:
                            raise

                reading = asyncio.create_task(listen())
                audio = {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}
                update = {
                    "type": "realtime",
                    "tools": realtime_tools(tools),
                    "audio": audio,
                    "instructions": "Be kind.",
                }
                await connection.session.update(session=update)
                await line.wait_sent("session.updated")
                try:
                    yield App(there, line, connection, guard, session, world, events, reading, errors)
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
