"""What LiveKit with a realtime model lacks, so that some checks do not apply: each fails on the day it has it."""

import asyncio
import typing

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit.agents import Agent, function_tool, llm
from livekit.agents.llm import realtime
from livekit_kit import one_clock, until
from livekit_realtime_kit import line

from toolguard.testing.livekit_realtime import Call, Say
from toolguard.testing.scenarios.livekit_realtime_driver import LiveKitRealtime

pytestmark = pytest.mark.virtual_time
TESTED = {
    "cancel_frame",
    "http_calls",
    "frame_order",
    "half_calls",
    "refused_replies",
    "second_line",
    "repeated_ids",
}


@pytest.fixture(autouse=True)
async def _one_clock():
    with one_clock():
        yield


def test_every_hook_that_is_lacked_has_its_test():
    assert set(LiveKitRealtime.lacks) == TESTED


def test_half_calls_frame_order_http_calls_a_call_comes_as_a_whole_from_the_models_stream():
    fields = {"id", "type", "call_id", "arguments", "name", "created_at", "extra", "group_id"}
    assert set(llm.FunctionCall.model_fields) == fields
    stream = typing.get_type_hints(llm.GenerationCreatedEvent)["function_stream"]
    assert typing.get_args(stream) == (llm.FunctionCall,)


def test_cancel_frame_second_line_a_realtime_session_tells_of_no_cancelled_call_and_takes_no_reconnect():
    assert set(typing.get_args(realtime.EventTypes)) == {
        "input_speech_started",
        "input_speech_stopped",
        "input_audio_transcription_completed",
        "generation_created",
        "session_reconnected",
        "metrics_collected",
        "remote_item_added",
        "error",
    }
    assert not [name for name in dir(llm.RealtimeSession) if "connect" in name and not name.startswith("_")]


async def test_refused_replies_a_reply_beside_an_active_one_is_queued():
    on = line(lambda _asked: [Say("One moment, I am looking that up for you.", 2.0)])
    await on.session.start(Agent(instructions="x"))
    on.session.generate_reply()
    await asyncio.sleep(0.5)
    on.session.generate_reply()
    await until(lambda: len(on.said) == 2)
    assert all(one.accepted for one in on.model.asked)
    await on.session.aclose()


async def test_repeated_ids_livekit_refuses_a_call_whose_id_is_running():
    ran = []

    @function_tool
    async def book() -> str:
        """Book."""
        ran.append(1)
        await asyncio.sleep(2)
        return "booked"

    on = line(lambda asked: [] if asked.by == "client" else [Call("book", "c1")])
    await on.session.start(Agent(instructions="x", tools=[book]))
    told = []
    on.session.on(
        "function_tools_executed", lambda event: told.extend(one.output for one in event.function_call_outputs)
    )
    on.server.respond("platform")
    await asyncio.sleep(0.5)
    on.server.respond("platform")
    await asyncio.sleep(5)
    assert ran == [1]
    assert told == ["An internal error occurred", "booked"]
    await on.session.aclose()
