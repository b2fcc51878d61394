"""How a guarded Realtime connection is left, and what its session says of itself."""

from __future__ import annotations

import asyncio

import pytest
from openai import AsyncOpenAI
from rebuild_kit import UNREAD, World, app, tools_of

from toolguard import Guard
from toolguard.adapters.openai_realtime import protect
from toolguard.core import records as r
from toolguard.engine.clock import LoopClock
from toolguard.stores.memory import MemoryStore
from toolguard.testing.realtime import Call, RealtimeServer

pytestmark = pytest.mark.virtual_time


def closed(store):
    found = [r.decode(one.kind, one.version, one.payload) for one in store.read("conv-1", after=0, limit=1000)]
    return [one.why for one in found if isinstance(one, r.Closed)]


async def left(how):
    """Why the session was closed, by its journal, when the body of ``protect`` ended so."""
    store = MemoryStore()
    async with RealtimeServer() as server:
        client = AsyncOpenAI(api_key="x", websocket_base_url=server.url)
        guard = Guard(store, tools=tools_of(World()), clock=LoopClock())
        async with guard, client.realtime.connect(model="m", websocket_connection_options=UNREAD) as connection:
            entered = asyncio.Event()

            async def work():
                async with protect(connection, guard, id="conv-1"):
                    entered.set()
                    await how()

            task = asyncio.create_task(work())
            await entered.wait()
            await asyncio.sleep(0)
            if how is forever:
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return closed(store)


async def forever():
    await asyncio.sleep(3600)


async def at_once():
    return


async def test_cancelled_application_shuts_down_and_does_not_hang_up():
    assert await left(forever) == ["shutdown"]


async def test_application_that_leaves_hangs_up():
    assert await left(at_once) == ["hang_up"]


async def test_conversation_whose_line_was_lost_for_good_goes_on_under_the_same_id(tmp_path):
    place = str(tmp_path / "journal")
    async with app(store=place, within=3.0) as one:
        one.line.respond(calls=[Call("c1", "lookup")])
        await asyncio.sleep(0.5)
        one.server.refuse_for(1000.0)
        one.line.drop()
        await asyncio.wait({one.reading}, timeout=20.0)
        assert "line_lost" in str(one.errors[0])
    async with app(store=place) as one:
        await one.line.caller_says("hello?", seconds=0.5)
        await asyncio.sleep(6.0)
        told = [frame for frame in one.line.received if '"free"' in str(frame.event)]
        assert len(told) == 1


async def test_words_are_expected_only_where_the_session_transcribes():
    async with RealtimeServer() as server:
        client = AsyncOpenAI(api_key="x", websocket_base_url=server.url)
        guard = Guard(MemoryStore(), tools=tools_of(World()), clock=LoopClock())
        async with guard, client.realtime.connect(model="m", websocket_connection_options=UNREAD) as connection:
            line = await server.caller()
            async with protect(connection, guard, id="conv-1") as session:
                while (await connection.recv()).type != "session.created":
                    pass
                assert not session.wiring.traits.transcribes
                audio = {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}
                await connection.session.update(session={"type": "realtime", "audio": audio})
                await line.wait_sent("session.updated")
                while (await connection.recv()).type != "session.updated":
                    pass
                assert session.wiring.traits.transcribes


async def test_words_that_come_prove_that_there_is_a_transcription():
    async with RealtimeServer() as server:
        client = AsyncOpenAI(api_key="x", websocket_base_url=server.url)
        guard = Guard(MemoryStore(), tools=tools_of(World()), clock=LoopClock())
        async with guard, client.realtime.connect(model="m", websocket_connection_options=UNREAD) as connection:
            line = await server.caller()
            async with protect(connection, guard, id="conv-1") as session:
                await line.caller_says("hello", seconds=0.5)
                while (await connection.recv()).type != "conversation.item.input_audio_transcription.completed":
                    pass
                assert session.wiring.traits.transcribes
