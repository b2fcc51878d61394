"""LiveKit's own OpenAI plugin over real sockets, guarded: the adapter's words are ones that a server takes."""

import asyncio
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

import aiohttp
from livekit.agents import Agent, AgentSession

# livekit-plugins-openai shows this class as openai.realtime.RealtimeModel; livekit-agents has its code
from livekit.agents.llm._realtime.openai import RealtimeModel
from livekit_kit import one_clock, until
from livekit_world import World, form

from toolguard import Guard
from toolguard.adapters.livekit import function_tools, protect
from toolguard.testing.livekit import Loudspeaker, Microphone
from toolguard.testing.realtime import Call, RealtimeServer, Reply

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with one_clock():
        yield


def outputs(line):
    return [form(item["output"]) or item["output"] for item in line.conversation if "output" in item]


def seating(line, _request):
    made = [item for item in line.conversation if item["type"] == "function_call"]
    if not made:
        return Reply(calls=[Call("c1", "seats", "{}")])
    return Reply(text="You have 4A and 4B." if any("4A" in one for one in map(str, line.conversation)) else "Noted.")


async def says(line, words):
    detection = line.setting("audio", "input", "turn_detection")
    await line.caller_says(words, seconds=0.4, reply=bool(detection.get("create_response", True)))


@asynccontextmanager
async def talking(world):
    async with RealtimeServer(session_seconds=None) as server, aiohttp.ClientSession() as http:
        model = RealtimeModel(base_url=server.url, api_key="any", http_session=http)
        room = AgentSession(
            llm=model, vad=None, aec_warmup_duration=None, turn_handling={"turn_detection": "realtime_llm"}
        )
        room.input.audio, room.output.audio = Microphone(), Loudspeaker()
        said = []
        room.on(
            "conversation_item_added",
            lambda event: getattr(event.item, "role", "") == "assistant" and said.append(event.item.text_content),
        )
        async with Guard("memory", tools=world.tools) as guard, protect(room, guard, id="c") as conversation:
            await room.start(Agent(instructions="You work at a front desk.", tools=function_tools(world.tools)))
            line = await server.caller()
            line.on_response_create(seating)
            await asyncio.sleep(0.5)
            try:
                yield server, line, said, conversation
            finally:
                await room.aclose()


async def test_a_barge_in_on_a_silent_call_over_the_real_plugin():
    world = World(looking=4.0)
    async with talking(world) as (server, line, said, conversation):
        await says(line, "find me seats")
        await until(lambda: conversation.state.slots)
        assert line.setting("audio", "input", "turn_detection")["type"] == "semantic_vad"
        await until(lambda: not line.setting("audio", "input", "turn_detection")["create_response"])
        await asyncio.sleep(1)
        await says(line, "and also a window seat please")
        await until(lambda: len(said) == 2)
        await asyncio.sleep(5)
        assert said == ["Noted.", "You have 4A and 4B."]
        assert outputs(line) == ["still_running", "done"]
        assert line.setting("audio", "input", "turn_detection")["create_response"]
        assert line.errors == []
        assert server.violations == []
        assert line.conversation_problems() == []
        assert world.looked == 1


async def test_an_output_stands_right_behind_its_call_though_the_caller_spoke_meanwhile():
    world = World(looking=3.0)
    async with talking(world) as (server, line, said, conversation):
        await says(line, "find me seats")
        await until(lambda: conversation.state.slots)
        await asyncio.sleep(1)
        await says(line, "mm-hm")
        await until(lambda: said)
        await asyncio.sleep(5)
        assert said == ["You have 4A and 4B."]
        assert [item["type"] for item in line.conversation][:3] == ["message", "function_call", "function_call_output"]
        assert outputs(line) == ["seats 4A and 4B"]
        assert line.errors == []
        assert server.violations == []


async def test_a_connection_that_breaks_while_a_call_runs_over_the_real_plugin():
    world = World(looking=3.0)
    async with talking(world) as (server, line, said, conversation):
        await says(line, "find me seats")
        await until(lambda: conversation.state.slots)
        await asyncio.sleep(0.5)
        await line.close(1001)
        second = await server.caller()
        second.on_response_create(seating)
        await until(lambda: said)
        await asyncio.sleep(5)
        assert said == ["You have 4A and 4B."]
        assert outputs(second) == ["seats 4A and 4B"]
        assert second.conversation_problems() == []
        assert second.errors == []
        assert world.looked == 1
