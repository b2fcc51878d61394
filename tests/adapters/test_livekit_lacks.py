"""What LiveKit's pipeline lacks, so that some checks of the scenarios do not apply: each fails when it has it."""

import asyncio

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit.agents import function_tool, llm
from livekit_kit import Call, line, until, wall_follows_loop

from toolguard.testing.scenarios.livekit_driver import LiveKit

pytestmark = pytest.mark.virtual_time
TESTED = {
    "cancel_frame",
    "http_calls",
    "frame_order",
    "half_calls",
    "refused_replies",
    "replaced_responses",
    "second_line",
    "fixed_speech",
}


@pytest.fixture(autouse=True)
async def _one_clock():
    with wall_follows_loop():
        yield


def test_every_hook_that_is_lacked_has_its_test():
    assert set(LiveKit.lacks) == TESTED


def test_half_calls_frame_order_cancel_frame_http_calls_a_call_comes_as_a_whole_from_the_models_stream():
    assert set(llm.FunctionToolCall.model_fields) == {"type", "name", "arguments", "call_id", "extra"}
    assert set(llm.ChoiceDelta.model_fields) == {"role", "content", "tool_calls", "extra"}
    assert set(llm.ChatChunk.model_fields) == {"id", "delta", "usage"}


def test_second_line_a_model_has_no_connection_that_could_break():
    assert not [name for name in dir(llm.LLM) if "connect" in name or "session" in name]


async def test_refused_replies_a_reply_beside_an_active_one_is_queued():
    on = line(lambda _request: ["One moment, I am looking that up for you."])
    await on.start()
    on.session.generate_reply()
    on.session.generate_reply()
    await until(lambda: len(on.said) == 2)
    await on.hangs_up()


async def test_replaced_responses_words_that_go_on_are_a_turn_of_their_own():
    done = []

    @function_tool
    async def note(text: str) -> str:
        """Keep a note."""
        done.append(text)
        return "kept"

    def script(request):
        if not request.outputs:
            return [Call("note", "c1", '{"text": "first"}')]
        return ["Noted."]

    on = line(script)
    await on.start([note])
    await on.ears.speaks("keep a note", seconds=0.3)
    await until(lambda: on.model.requests)
    await on.ears.speaks("and one more thing")
    await until(lambda: on.asked("and one more thing"))
    assert done == ["first"]
    assert {"keep a note", "and one more thing"} <= set(on.request("and one more thing").texts)
    await on.hangs_up()


async def test_fixed_speech_a_speech_that_is_not_to_be_interrupted_drops_the_callers_turn():
    on = line(lambda _request: ["This message is played to its end, whatever you say. " * 3])
    await on.start()
    on.session.generate_reply(allow_interruptions=False)
    await until(lambda: on.session.agent_state == "speaking")
    await on.ears.speaks("what do you mean?")
    await asyncio.sleep(10)
    assert on.asked("what do you mean?") == []
    await on.hangs_up()
