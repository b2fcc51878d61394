"""Plays the call once: the real client, the scripted server, and one of the three applications."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from openai import AsyncOpenAI

from toolguard.adapters.openai_realtime import protect, realtime_tools
from toolguard.engine.clock import LoopClock, SystemClock
from toolguard.engine.guard import Guard
from toolguard.testing.demo.apps import Guarded, Naive
from toolguard.testing.demo.caller import Caller
from toolguard.testing.demo.judge import Findings, judge
from toolguard.testing.demo.model import Model
from toolguard.testing.demo.tools import guarded_tools, plain_tools
from toolguard.testing.demo.world import World
from toolguard.testing.realtime import RealtimeServer
from toolguard.testing.virtual import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from openai.resources.realtime.realtime import AsyncRealtimeConnection

    from toolguard.engine.feed import Event
    from toolguard.testing.realtime import Line

How = Literal["naive", "observed", "enforced"]
RUNS: tuple[How, ...] = ("naive", "observed", "enforced")


@dataclass(slots=True)
class Played:
    """One run.

    Attributes:
        how: Which application.
        findings: What came of it.
        session: The session in the journal, empty for the naive run.
        events: The records of its journal, in order.
    """

    how: How
    findings: Findings
    session: str = ""
    events: list[Event] = field(default_factory=list["Event"])


async def play(how: How, home: Path, *, live: Callable[[Line], Any] | None = None) -> Played:
    """Play the call once.

    Args:
        how: Which application answers it.
        home: The directory of the journal and the ledgers.
        live: Called with the line when it is open, to show what happens on it.
    """
    words: dict[str, str] = {}
    model, world = Model(words), World(home / f"ledger-{how}.jsonl")
    async with RealtimeServer(model=model, session_seconds=None) as server:
        client = AsyncOpenAI(api_key="none is needed", websocket_base_url=server.url)
        async with client.realtime.connect(model="gpt-realtime-2") as connection:
            line = await server.caller()
            if live is not None:
                live(line)
            async with _answering(how, connection, world, home) as played:
                await Caller(line, words).call()
                await line.close()
        played.findings = judge(line, world.effects, model.problems, server.violations)
    return played


@asynccontextmanager
async def _answering(how: How, connection: AsyncRealtimeConnection, world: World, home: Path) -> AsyncGenerator[Played]:
    """The application at work, with its guard if it has one."""
    played = Played(how, Findings(0, [], [], [], [], 0, 0, 0.0, 0.0))
    if how == "naive":
        async with _serving(Naive(connection, plain_tools(world))):
            yield played
        return
    tools = guarded_tools(world)
    virtual = isinstance(asyncio.get_running_loop(), VirtualLoop)
    clock = LoopClock(datetime.now(UTC)) if virtual else SystemClock()
    guard = Guard(home / "journal", tools=tools, mode="observe" if how == "observed" else "enforce", clock=clock)
    async with _clock_waits_for(guard), guard:
        played.session = await _free_id(guard, f"demo-{how}")
        async with (
            _recording(guard, played),
            protect(connection, guard, id=played.session, agent="frontdesk", tenant="clinic"),
        ):
            await connection.session.update(session={"type": "realtime", "tools": realtime_tools(tools)})
            named = {tool.name: tool for tool in tools}
            async with _serving(Naive(connection, named) if how == "observed" else Guarded(connection)):
                yield played


@asynccontextmanager
async def _serving(app: Naive | Guarded) -> AsyncGenerator[None]:
    task = asyncio.create_task(app.serve())
    try:
        yield
        await task
    finally:
        await app.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _recording(guard: Guard, played: Played) -> AsyncGenerator[None]:
    """Keep the session's records as they land."""

    async def keep() -> None:
        async for event in guard.events(session=played.session):
            played.events.append(event)

    task = asyncio.create_task(keep())
    await asyncio.sleep(0)
    try:
        yield
        await guard.journal.ask(lambda store: store.position())
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _clock_waits_for(guard: Guard) -> AsyncGenerator[None]:
    """On a virtual loop the clock stands while the store is at work."""
    loop = asyncio.get_running_loop()
    forget = loop.busy_while(lambda: guard.journal.busy) if isinstance(loop, VirtualLoop) else lambda: None
    try:
        yield
    finally:
        forget()


async def _free_id(guard: Guard, wanted: str) -> str:
    """A session id that the store does not have yet: a directory can be played into many times."""
    name, count = wanted, 1
    while True:
        taken = name
        if await guard.journal.ask(lambda store: store.session(taken)) is None:  # noqa: B023 - asked before it changes
            return name
        count += 1
        name = f"{wanted}-{count}"
