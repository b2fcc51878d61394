"""The caller over a guarded Pipecat pipeline: listening noises, silence, and races that strand Pipecat's own calls."""

import asyncio

import pytest

pytest.importorskip("pipecat", reason="needs the extra: pip install 'toolguard-voice[pipecat]'")

from pipecat.frames.frames import (
    InterruptionFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies
from pipecat_kit import World, form, guarded, now, records, until
from test_pipecat import running

from toolguard import Guard, Phase
from toolguard.core import records as r
from toolguard.testing.pipecat import Called

pytestmark = pytest.mark.virtual_time


def booking(asked):
    if not asked.outputs:
        return [Called("book", "a", {"day": "Monday"})]
    return [f"It is {form(asked.outputs['a'])}."]


async def test_a_backchannel_opens_the_gate_and_makes_no_turn_and_no_reply():
    world = World(takes=1.0)
    async with guarded(booking, world.book()) as (on, conversation):
        await on.caller.speaks("book Monday")
        await until(running(conversation))
        await on.caller.speaks("mm-hm", seconds=1.5)
        await asyncio.sleep(15)
        assert world.booked == ["Monday"]
        assert [one.said for one in on.model.requests] == ["book Monday", "book Monday"]
        assert on.model.requests[-1].outputs == {"a": '{"booked": "Monday"}'}


async def test_the_same_word_is_a_turn_where_no_call_is_open():
    async with guarded(lambda _asked: ["Yes?"]) as (on, _):
        await on.caller.speaks("mm-hm")
        await until(lambda: on.model.requests)
        assert on.model.requests[0].said == "mm-hm"


async def test_a_noise_without_words_holds_the_write_for_a_moment_only():
    world = World()
    async with guarded(booking, world.book()) as (on, conversation):
        await on.caller.speaks("book Monday")
        await until(running(conversation))
        ended = await on.caller.speaks("", seconds=1.2)
        assert world.booked == []
        await until(lambda: world.booked)
        assert now() - ended == pytest.approx(1.5, abs=0.1)
        await until(lambda: on.voice.heard)


async def test_a_result_that_ends_in_a_turn_without_words_is_spoken_when_that_is_known():
    """Pipecat holds every reply until the turn ends, which without words takes five seconds."""

    def looking(asked):
        return ["You have 4A."] if asked.outputs else [Called("find", "a", {"what": "seats"})]

    async with guarded(looking, World(takes=0.5).find(), recovers=False) as (on, conversation):
        await on.caller.speaks("find me seats")
        await until(running(conversation))
        ended = await on.caller.speaks("", seconds=0.3)
        await until(lambda: len(on.model.requests) == 2)
        assert now() - ended == pytest.approx(1.5, abs=0.15)
        await asyncio.sleep(10)
        assert len(on.model.requests) == 2


async def test_a_barge_in_over_the_words_before_a_call_leaves_nothing_in_progress():
    """Pipecat: the cancel overtakes the frame that announces the call, which is in progress for ever (#5779)."""
    world = World(takes=0.5)

    def script(asked):
        if not asked.outputs:
            return ["I am booking that for you now, one moment please. ", Called("book", "a", {"day": "Monday"})]
        return ["All right."]

    async with guarded(script, world.book()) as (on, conversation):
        await on.caller.speaks("book Monday")
        await until(running(conversation))
        await on.caller.speaks("no, cancel that", seconds=0.6)
        await asyncio.sleep(10)
        assert world.booked == []
        assert form(on.model.requests[-1].outputs["a"]) == "cancelled"
        assert not on.aggregators.assistant().has_function_calls_in_progress


async def test_what_the_caller_heard_is_kept_shortened_to_what_was_played():
    guard = Guard("memory:", tools=[])
    words = "one two three four five six seven eight nine ten"
    async with guarded(lambda _asked: [words], guard=guard) as (on, _):
        await on.caller.speaks("count")
        await until(lambda: "three" in on.voice.heard)
        await on.caller.speaks("stop")
        await asyncio.sleep(5)
        said = records(guard, r.Said)
        assert said[0].cut
        assert said[0].text.startswith("one two three")
        assert "ten" not in said[0].text
        assert not said[-1].cut
        assert said[-1].text == words
    await guard.close()


async def test_speech_that_the_application_stops_asks_for_no_reply_to_its_calls():
    world = World(takes=2.0)

    def script(asked):
        return [] if asked.outputs else ["A moment. ", Called("book", "a", {"day": "Monday"})]

    async with guarded(script, world.book()) as (on, conversation):
        await on.caller.speaks("book Monday")
        await until(running(conversation))
        await on.worker.queue_frame(InterruptionFrame())
        await asyncio.sleep(15)
        assert world.booked == ["Monday"]
        assert conversation.state.runs[1].phase is Phase.DONE
        assert len(on.model.requests) == 1


async def test_turns_that_a_service_decides_hold_the_write_as_well():
    """Speech to text that reports turns by itself, with neither voice activity nor a detector of Pipecat's."""
    params = LLMUserAggregatorParams(user_turn_strategies=ExternalUserTurnStrategies())
    world = World(takes=0.5)
    async with guarded(booking, world.book(), user=params) as (on, conversation):

        async def speaks(words):
            await on.worker.queue_frame(ProposedUserStartedSpeakingFrame())
            await asyncio.sleep(1.0)
            await on.caller.said(words)
            await asyncio.sleep(0.02)
            await on.worker.queue_frame(ProposedUserStoppedSpeakingFrame())

        await speaks("book Monday")
        await until(running(conversation))
        await asyncio.sleep(0.1)
        await speaks("no, cancel that")
        await asyncio.sleep(10)
        assert world.booked == []
        assert conversation.state.runs[1].phase is Phase.CANCELLED
        assert form(on.model.requests[-1].outputs["a"]) == "cancelled"


async def test_a_reply_to_words_that_take_a_committed_call_back_waits_for_its_end():
    world = World(takes=0.2, after=2.0)
    async with guarded(booking, world.book()) as (on, _):
        await on.caller.speaks("book Monday")
        await until(lambda: world.booked)
        await asyncio.sleep(0.6)
        ended = await on.caller.speaks("no, cancel that")
        await until(lambda: len(on.model.requests) == 2)
        assert on.model.requests[-1].at - ended > 0.5
        assert "could no longer be stopped" in on.model.requests[-1].outputs["a"]


async def test_a_turn_that_goes_on_discards_what_the_early_answer_was_to_do():
    world = World(takes=1.0)

    def script(asked):
        if "a" not in asked.outputs:
            return [Called("book", "a", {"day": "Monday"})]
        return ["All right."]

    async with guarded(script, world.book()) as (on, _):
        await on.caller.speaks("book Monday")
        await until(lambda: on.model.requests)
        await asyncio.sleep(0.1)
        await on.caller.speaks("and a table at eight", seconds=1.0)
        await asyncio.sleep(10)
        assert world.booked == []
        assert form(on.model.requests[-1].outputs["a"]) == "superseded"
