"""A session that goes on after its process died: its new Realtime connection is shown the conversation."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from openai import AsyncOpenAI
from rebuild_kit import UNREAD, World, collect, shown, tools_of

from toolguard import Guard
from toolguard.adapters.openai_realtime import protect, realtime_tools
from toolguard.engine.clock import LoopClock
from toolguard.stores.memory import MemoryStore
from toolguard.testing.realtime import Call, RealtimeServer

pytestmark = pytest.mark.virtual_time


@asynccontextmanager
async def worker(server, store, **more):
    """One process of the application on a connection of its own; it is cancelled, and leaves the session open."""
    tools = tools_of(World())
    client = AsyncOpenAI(api_key="x", websocket_base_url=server.url)
    connecting = client.realtime.connect(model="m", websocket_connection_options=UNREAD)
    async with Guard(store, tools=tools, clock=LoopClock()) as guard, connecting as connection:
        line, entered, found = await server.caller(), asyncio.Event(), []

        async def serve():
            async with protect(connection, guard, id="conv-1", **more) as session:
                found.append(session)
                await connection.session.update(session={"type": "realtime", "tools": realtime_tools(tools)})
                entered.set()
                await collect(connection, [])

        task = asyncio.create_task(serve())
        await entered.wait()
        yield line, found[0]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def talked(line):
    await line.caller_says("Please book six.", seconds=0.4)
    line.respond("One moment.", calls=[Call("c1", "book", {"x": 6})])
    await line.until(lambda: line.outputs("c1") or None, "the output", 20)
    await asyncio.sleep(3)


async def test_o11_the_next_process_shows_the_conversation_before_the_model_is_asked():
    store = MemoryStore()
    async with RealtimeServer() as server:
        async with worker(server, store) as (line, _):
            await talked(line)
        async with worker(server, store) as (line, session):
            await asyncio.sleep(0.5)
            kinds = shown(line)
            assert ("user", "Please book six.") in kinds
            assert [kind for kind, _ in kinds if kind.startswith("function")] == [
                "function_call",
                "function_call_output",
            ]
            assert line.conversation_problems() == []
            assert line.outputs("c1")[0].text == '{"order":6}'
            assert [asked.problems for asked in line.response_creates] == [()], "its outcome was not heard yet"
            assert len(kinds) == (session.recovery.context_replayed if session.recovery else len(kinds))
        assert server.violations == []


async def test_o5_the_agent_speaks_at_once_where_the_caller_waits_for_an_answer():
    store = MemoryStore()
    async with RealtimeServer() as server:
        async with worker(server, store) as (line, _):
            await talked(line)
            await line.caller_says("Did it work?", seconds=0.4)
        async with worker(server, store) as (line, _):
            await line.until(lambda: line.response_creates or None, "a request", 10)
            assert len(line.response_creates) == 1
            assert line.response_creates[0].problems == ()


async def test_nothing_is_shown_where_the_provider_still_has_the_conversation():
    store = MemoryStore()
    async with RealtimeServer() as server:
        async with worker(server, store) as (line, _):
            await talked(line)
        async with worker(server, store, fresh=False) as (line, _):
            await asyncio.sleep(0.5)
            assert shown(line) == []
