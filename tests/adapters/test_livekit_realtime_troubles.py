"""A speech-to-speech model behind LiveKit, guarded: updates that fail, connections that drop, calls of nobody."""

import asyncio

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit.agents import Agent, function_tool
from livekit_kit import one_clock, until
from livekit_realtime_kit import charging, forms, guarded, line, seating
from livekit_world import World, running

from toolguard.testing.livekit_realtime import Call, Say

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with one_clock():
        yield


def delivered(conversation):
    return [slot for slot in conversation.state.slots.values() if slot.delivered]


@pytest.mark.parametrize("trouble", ["refused", "lost"])
async def test_an_output_that_the_provider_did_not_take_is_given_again_and_spoken_once(trouble):
    world = World(looking=1.0)
    async with guarded(seating, world, strict=False) as (on, conversation):
        await on.model.speaks("find me seats")
        await until(running(conversation))
        on.model.live.troubles.append(trouble)
        await until(lambda: "You have 4A and 4B." in on.said)
        await asyncio.sleep(20)
        assert on.said.count("You have 4A and 4B.") == 1
        outputs = [item.output for item in on.server.items if item.type == "function_call_output"]
        assert outputs == ["seats 4A and 4B"]
        assert on.server.refused == []
        assert [slot.number for slot in delivered(conversation)] == [1]


async def test_livekit_alone_never_gives_it_again():
    @function_tool
    async def seats() -> str:
        """Look for seats."""
        return "seats 4A and 4B"

    on = line(seating)
    await on.session.start(Agent(instructions="x", tools=[seats]))
    on.model.live.troubles.append("refused")
    await on.model.speaks("find me seats")
    await asyncio.sleep(30)
    assert on.said == ["Noted: find me seats."]
    assert not [item for item in on.server.items if item.type == "function_call_output"]
    await on.session.aclose()


async def test_a_confirmation_that_is_lost_makes_no_second_output():
    world = World(looking=1.0)
    async with guarded(seating, world, strict=False) as (on, conversation):
        await on.model.speaks("find me seats")
        await until(running(conversation))
        on.model.live.troubles.append("unconfirmed")
        await until(lambda: on.said)
        await asyncio.sleep(60)
        assert on.said == ["You have 4A and 4B."]
        assert len([item for item in on.server.items if item.type == "function_call_output"]) == 1


async def test_news_that_the_provider_did_not_take_is_given_again():
    world = World(looking=3.0)
    async with guarded(seating, world) as (on, conversation):
        await on.model.speaks("find me seats")
        await until(running(conversation))
        await asyncio.sleep(0.8)
        await on.model.speaks("and also a window seat please")
        await until(lambda: on.said)
        on.model.live.troubles.append("refused")
        await until(lambda: len(on.said) == 2)
        await asyncio.sleep(20)
        assert on.said == ["Noted: and also a window seat please.", "You have 4A and 4B."]
        assert forms(on.model.asked[-1]) == ["still_running", "done"]


@pytest.mark.parametrize("at", [0.3, 2.2], ids=["while_it_runs", "while_its_output_is_under_way"])
async def test_behind_a_drop_of_the_provider_nothing_is_missing_and_nothing_doubled(at):
    world = World(before=0.1, after=1.9)
    async with guarded(charging, world, round_trip=0.4) as (on, conversation):
        await on.model.speaks("charge it")
        await until(running(conversation))
        await asyncio.sleep(at)
        await on.model.live.drops(gap=1.0)
        await until(lambda: on.said)
        await asyncio.sleep(15)
        assert world.charged == ["o-7"]
        assert on.said == ["Your charge is ch_1."]
        kinds = [item.type for item in on.server.items]
        assert kinds == ["message", "function_call", "function_call_output", "message"]
        assert [slot.number for slot in delivered(conversation)] == [1]


async def test_a_turn_whose_answer_a_drop_has_taken_is_answered():
    world = World()
    async with guarded(lambda asked: [Say(f"About {asked.said}.", 2.0)], world) as (on, _):
        on.model.behaviour.thinks = 1.0
        await on.model.speaks("your prices")
        await asyncio.sleep(0.4)
        await on.model.live.drops(gap=0.5)
        await until(lambda: on.said)
        await asyncio.sleep(10)
        assert on.said == ["About your prices."]


async def test_words_that_the_provider_had_not_kept_when_the_line_dropped_are_put_there_after_all():
    world = World()
    async with guarded(lambda asked: [Say(f"About {asked.said}.", 2.0)], world) as (on, _):
        on.model.behaviour.answers_turns = False
        await on.model.speaks("your prices")
        await asyncio.sleep(0.5)
        await on.model.live.drops(gap=0.5, forgets=1)
        await asyncio.sleep(1)
        assert "your prices" in [item.text_content for item in on.server.items if item.type == "message"]


async def test_a_reply_that_the_provider_refuses_is_asked_for_again():
    world = World(looking=3.0)
    async with guarded(seating, world) as (on, conversation):
        await on.model.speaks("find me seats")
        await until(running(conversation))
        await asyncio.sleep(0.8)
        await on.model.speaks("and also a window seat please")
        await until(lambda: on.said)
        on.server.respond("platform")  # at the very moment at which the result is to be told, another one is active
        on.model.behaviour.script = lambda _asked: None
        await until(lambda: conversation.state.runs[1].settled)
        on.model.behaviour.script = seating
        if on.server.active is not None:
            on.server.active.finish()
        await until(lambda: len(on.said) == 2)
        await asyncio.sleep(15)
        assert on.said == ["Noted: and also a window seat please.", "You have 4A and 4B."]


async def test_a_call_that_was_not_complete_when_the_caller_spoke_is_not_run():
    def slow(asked):
        if asked.said == "charge it":
            return [Call("charge", "c1", '{"order": "o-7"}', after=2.0)]
        return [Say("Very well.")]

    world = World()
    async with guarded(slow, world) as (on, conversation):
        await on.model.speaks("charge it")
        await asyncio.sleep(1)
        await on.model.speaks("wait")
        await until(lambda: on.said)
        await asyncio.sleep(5)
        assert world.charged == []
        assert not conversation.state.slots


async def test_a_model_without_transcripts_is_known_as_such():
    world = World()
    able = {"user_transcription": False}
    async with guarded(charging, world, capabilities=able) as (on, conversation):
        assert conversation._w.traits.transcribes is False
        await on.model.speaks("charge it")
        await until(running(conversation))
        await on.model.speaks("no, stop", seconds=0.5)
        await asyncio.sleep(10)
        # what nobody has understood counts as a correction for a write that has not committed (G4)
        assert world.charged == []


async def test_one_that_answers_outputs_by_itself_speaks_once():
    world = World(looking=1.0)
    able = {"auto_tool_reply_generation": True}
    async with guarded(seating, world, capabilities=able) as (on, _):
        await on.model.speaks("find me seats")
        await until(lambda: on.said)
        await asyncio.sleep(10)
        assert on.said == ["You have 4A and 4B."]
        assert [one.by for one in on.model.asked] == ["platform", "platform"]


async def test_what_was_said_and_cut_off_is_kept_as_heard_and_unheard():
    world = World()
    async with guarded(lambda _asked: [Say("one two three four five six", 3.0)], world) as (on, conversation):
        await on.model.speaks("count")
        await until(lambda: on.session.agent_state == "speaking")
        await asyncio.sleep(1.5)
        await on.model.speaks("stop")
        await asyncio.sleep(0.5)
        said = next(one for one in conversation.state.conversation.items if one.kind == "agent")
        assert said.text
        assert f"{said.text} {said.unheard}".split() == ["one", "two", "three", "four", "five", "six"]
