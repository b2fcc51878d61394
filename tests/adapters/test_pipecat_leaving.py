"""What a Pipecat conversation leaves behind, and how another pipeline goes on with it."""

import asyncio
import copy
import json

import pytest

pytest.importorskip("pipecat", reason="needs the extra: pip install 'toolguard-voice[pipecat]'")

from pipecat.frames.frames import LLMMessagesUpdateFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat_kit import World, form, guarded, now, until

from toolguard import Guard, Phase
from toolguard.adapters.pipecat import protect
from toolguard.testing.pipecat import Called, pipecat_line

pytestmark = pytest.mark.virtual_time


def booking(asked):
    if not any(one.get("tool_calls") for one in asked.messages) and not asked.news:
        return [Called("book", "a", {"day": "Monday"})]
    return ["All right."]


def outputs(context):
    return {one["tool_call_id"]: one["content"] for one in context.get_messages() if one.get("role") == "tool"}


async def test_the_end_of_a_pipeline_waits_for_what_is_committing_and_the_saved_context_has_it():
    world, saved = World(takes=0.2, after=3.0), []
    async with guarded(booking, world.book()) as (on, conversation):
        on.worker.add_event_handler(
            "on_pipeline_finished", lambda *_: saved.append(copy.deepcopy(on.context.get_messages()))
        )
        await on.caller.speaks("book Monday")
        await until(lambda: world.booked)
    assert conversation.state.runs[1].phase is Phase.DONE
    assert [one["content"] for one in saved[0] if one.get("role") == "tool"] == ['{"booked": "Monday"}']


async def test_the_end_of_a_pipeline_stops_what_has_not_committed():
    world = World(takes=30)
    async with guarded(booking, world.book()) as (on, conversation):
        await on.caller.speaks("book Monday")
        await until(lambda: conversation.state.runs)
        await asyncio.sleep(0.5)
    assert world.booked == []
    assert conversation.state.runs[1].phase is Phase.CANCELLED
    assert form(outputs(on.context)["a"]) == "cancelled"


async def test_a_cancelled_pipeline_leaves_no_call_in_progress():
    world = World(takes=0.2, after=3.0)
    async with guarded(booking, world.book(), ends=False) as (on, conversation):
        await on.caller.speaks("book Monday")
        await until(lambda: world.booked)
        began = now()
        await on.worker.cancel()
        await asyncio.sleep(0.01)
        assert now() - began < 0.5
        assert form(outputs(on.context)["a"]) == "still_running"
    assert conversation.state.runs[1].phase is Phase.DONE
    assert conversation.state.slots[1].sent


@pytest.mark.parametrize("left", ["IN_PROGRESS", "CANCELLED", "running"])
@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
async def test_a_saved_context_tells_the_truth_before_the_first_request_of_another_pipeline(left, done):
    world = World(takes=0.2 if done else 60)
    book = world.book()
    async with Guard("memory:", tools=[book]) as guard:
        async with guarded(booking, book, guard=guard, ends=False) as (on, conversation):
            await on.caller.speaks("book Monday")
            await until(lambda: conversation.state.runs and conversation.state.runs[1].phase is not Phase.PLANNED)
            await asyncio.sleep(1.0)
        running = {"type": "async_tool", "status": "running", "tool_call_id": "a", "description": "..."}
        messages = shown(json.dumps(running) if left == "running" else left)
        again = pipecat_line(booking, tools=[book], context=LLMContext(messages=messages))
        async with protect(again.worker, guard, id="conv", caller="ana"), again.runs():
            await again.caller.speaks("hello?")
            await until(lambda: again.model.requests)
            told = again.model.requests[0].outputs["a"]
            assert told == '{"booked": "Monday"}' if done else form(told) == "cancelled"
            assert len(world.booked) == (1 if done else 0)


def shown(content, *more):
    """A context that has been saved, with this where the call's output stands."""
    called = {"id": "a", "type": "function", "function": {"name": "book", "arguments": '{"day": "Monday"}'}}
    return [
        {"role": "user", "content": "book Monday"},
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "a", "content": content},
        *more,
    ]


async def test_a_context_that_is_loaded_later_is_set_right_before_its_first_request():
    world = World(takes=0.2)
    book = world.book()
    async with Guard("memory:", tools=[book]) as guard:
        async with guarded(booking, book, guard=guard) as (on, _):
            await on.caller.speaks("book Monday")
            await until(lambda: "right." in on.voice.heard)
        again = pipecat_line(booking, tools=[book])
        async with protect(again.worker, guard, id="conv", caller="ana"), again.runs():
            await again.worker.queue_frame(LLMMessagesUpdateFrame(messages=shown("IN_PROGRESS"), run_llm=True))
            await until(lambda: again.model.requests)
            assert json.loads(again.model.requests[0].outputs["a"]) == {"booked": "Monday"}


async def test_the_result_stands_in_the_place_of_its_placeholder_and_its_news_is_dropped():
    world = World(takes=2.0)
    book = world.book()

    def asking(asked):
        return ["All right."] if asked.outputs else [Called("book", "a", {"day": "Monday"})]

    async with Guard("memory:", tools=[book]) as guard:
        async with guarded(asking, book, guard=guard) as (on, _):
            await on.caller.speaks("book Monday")
            await asyncio.sleep(0.8)
            await on.caller.speaks("and what about parking")
            await asyncio.sleep(10)
            assert [form(text) for text in on.model.requests[-1].news] == ["done"]
        again = pipecat_line(
            asking, tools=[book], context=LLMContext(messages=copy.deepcopy(on.context.get_messages()))
        )
        async with protect(again.worker, guard, id="conv", caller="ana"), again.runs():
            await again.caller.speaks("hello?")
            await until(lambda: again.model.requests)
            first = again.model.requests[0]
            assert json.loads(first.outputs["a"]) == {"booked": "Monday"}
            assert first.news == []


async def test_a_result_reaches_the_model_though_the_context_was_replaced_meanwhile():
    world = World(takes=2.0)
    async with guarded(booking, world.book()) as (on, _):
        await on.caller.speaks("book Monday")
        await asyncio.sleep(0.5)
        await on.worker.queue_frame(
            LLMMessagesUpdateFrame(messages=[{"role": "system", "content": "You are the second node."}], run_llm=False)
        )
        await until(lambda: world.booked)
        await until(lambda: len(on.model.requests) > 1)
        assert [json.loads(text) for text in on.model.requests[-1].news] == [{"booked": "Monday"}]
        await asyncio.sleep(10)
        assert len(on.model.requests) == 2


async def test_a_call_whose_place_is_gone_is_told_of_as_running_and_its_result_once():
    world = World(takes=2.0)
    async with guarded(booking, world.book()) as (on, _):
        await on.caller.speaks("book Monday")
        await asyncio.sleep(0.5)
        await on.worker.queue_frame(
            LLMMessagesUpdateFrame(messages=[{"role": "system", "content": "You are the second node."}], run_llm=True)
        )
        await asyncio.sleep(10)
        assert [form(text) for text in on.model.requests[1].news] == ["still_running"]
        assert [form(text) for text in on.model.requests[-1].news] == ["still_running", "done"]
        assert len(on.model.requests) == 3


async def test_another_agent_goes_on_with_a_packet_in_a_pipeline_of_its_own():
    world = World(takes=0.2)
    book = world.book()
    async with Guard("memory:", tools=[book]) as guard:
        async with guarded(booking, book, guard=guard) as (on, conversation):
            await on.caller.speaks("book Monday")
            await until(lambda: "right." in on.voice.heard)
            packet = await conversation.hand_off(to="billing")
        again = pipecat_line(lambda _asked: ["Billing here."], tools=[book])
        async with protect(again.worker, guard, packet=packet) as conversation, again.runs():
            await until(lambda: "here." in again.voice.heard)
            assert conversation.agent == "billing"
            assert json.loads(again.model.requests[0].outputs["a"]) == {"booked": "Monday"}
            assert again.model.requests[0].said == "book Monday"
            assert len(again.model.requests) == 1
