"""A LiveKit session with a speech-to-speech model, guarded: barge-ins release calls, results are told once."""

import asyncio

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit.agents import Agent, function_tool
from livekit_kit import now, one_clock, until
from livekit_realtime_kit import charging, forms, guarded, line, seating
from livekit_world import World, at_gate, form, running

from toolguard import Phase
from toolguard.testing.livekit_realtime import Call, Say

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with one_clock():
        yield


async def test_a_result_in_time_is_the_output_as_it_is_and_is_spoken():
    world = World(looking=1.0)
    async with guarded(seating, world) as (on, conversation):
        await on.model.speaks("find me seats")
        await until(lambda: on.said)
        assert on.said == ["You have 4A and 4B."]
        assert on.model.asked[-1].outputs == {"c1": "seats 4A and 4B"}
        assert conversation.state.runs[1].phase is Phase.DONE
        assert [item.output for item in on.server.items if item.type == "function_call_output"] == ["seats 4A and 4B"]
        await asyncio.sleep(10)
        assert len(on.model.asked) == 2


@pytest.mark.parametrize("plain", [False, True], ids=["turns_are_ours", "turns_are_the_providers"])
async def test_a_barge_in_on_a_silent_call_lets_it_go_and_its_result_is_spoken_once(plain):
    world = World(looking=6.0)
    async with guarded(seating, world, plain=plain) as (on, conversation):
        await on.model.speaks("find me seats")
        await until(running(conversation))
        await asyncio.sleep(0.8)
        began = now()
        ended = await on.model.speaks("and also a window seat please", seconds=1.0)
        took = [at for at, what, _ in on.server.log if what == "took function_call_output"]
        assert [at - began < 0.2 for at in took] == ([True] if plain else [])
        await until(lambda: on.said)
        asked = on.request("and also a window seat please")
        # the provider answers at once; we as soon as we have the words, which are 0.2 s behind
        assert asked.at - ended == pytest.approx(0.05 if plain else 0.2 + 0.15, abs=0.03)
        assert asked.by == ("platform" if plain else "client")
        assert form(asked.outputs["c1"]) == "still_running"
        await until(lambda: len(on.said) == 2)
        await asyncio.sleep(10)
        assert on.said == ["Noted: and also a window seat please.", "You have 4A and 4B."]
        assert forms(on.model.asked[-1]) == ["still_running", "done"]
        assert world.looked == 1
        own = [item for item in on.session.current_agent.chat_ctx.items if item.type == "function_call_output"]
        assert [form(item.output) for item in own] == ["still_running", "done"]


async def test_livekit_alone_speaks_of_it_only_when_asked():
    @function_tool
    async def seats() -> str:
        """Look for seats."""
        await asyncio.sleep(4.0)
        return "seats 4A and 4B"

    on = line(seating)
    await on.session.start(Agent(instructions="x", tools=[seats]))
    await on.model.speaks("find me seats")
    await asyncio.sleep(0.5)
    await on.model.speaks("and also a window seat please")
    await asyncio.sleep(20)
    assert on.said == ["Noted: and also a window seat please."]
    assert on.request("and also a window seat please").unanswered == ("c1",)
    await on.session.aclose()


async def test_a_correction_stops_the_write_at_its_gate():
    def booking(asked):
        day = "Tuesday" if "Tuesday" in asked.said else "Monday"
        if f"book-{day}" not in asked.calls:
            return [Call("book", f"book-{day}", f'{{"day": "{day}"}}')]
        return [Say(f"Answer: {list(asked.outputs.values())[-1]}")]

    world = World()
    async with guarded(booking, world) as (on, conversation):
        await on.model.speaks("book Monday")
        await until(running(conversation))
        barge_in = asyncio.create_task(on.model.speaks("no, make it Tuesday", seconds=1.5))
        await until(at_gate(conversation))
        assert world.booked == []
        await barge_in
        await until(lambda: any("booked Tuesday" in text for text in on.said))
        await asyncio.sleep(5)
        assert world.booked == ["Tuesday"]
        assert conversation.state.runs[1].phase is Phase.CANCELLED


@pytest.mark.parametrize("after", [0.0, 3.0], ids=["at_once", "later"])
async def test_a_backchannel_opens_the_gate_and_the_result_is_spoken_once(after):
    world = World(after=after)
    async with guarded(charging, world) as (on, conversation):
        await on.model.speaks("charge it")
        await until(running(conversation))
        barge_in = asyncio.create_task(on.model.speaks("mm-hm", seconds=1.5))
        await until(at_gate(conversation))
        assert world.charged == []
        await barge_in
        await until(lambda: "Your charge is ch_1." in on.said)
        await asyncio.sleep(10)
        assert world.charged == ["o-7"]
        assert on.said.count("Your charge is ch_1.") == 1
        assert conversation.state.runs[1].phase is Phase.DONE


async def test_over_a_preamble_the_call_is_released_as_well():
    def talkative(asked):
        parts = seating(asked)
        return [Say("Let me look for good seats. " * 3, 4.0), *parts] if not asked.calls else parts

    world = World(looking=8.0)
    async with guarded(talkative, world) as (on, conversation):
        await on.model.speaks("find me seats")
        await until(running(conversation))
        await asyncio.sleep(0.8)
        await on.model.speaks("and also a window seat please")
        await until(lambda: len(on.said) == 2)
        await asyncio.sleep(10)
        assert on.said == ["Noted: and also a window seat please.", "You have 4A and 4B."]


async def test_a_deferred_reply_that_is_cut_off_by_a_noise_is_spoken_in_full_after_all():
    world = World(looking=1.5)
    async with guarded(seating, world) as (on, conversation):
        await on.model.speaks("find me seats")
        await until(running(conversation))
        on.session.interrupt()
        await until(lambda: on.session.agent_state == "speaking")
        await asyncio.sleep(0.1)
        on.server.caller_starts()
        await asyncio.sleep(0.2)
        on.server.caller_stops("")
        await until(lambda: on.said)
        await asyncio.sleep(10)
        assert on.said == ["You have 4A and 4B."]
        assert world.looked == 1


async def test_the_same_wish_under_a_new_call_id_has_one_effect():
    def eager(asked):
        known = [text for text in asked.outputs.values() if "ch_1" in text]
        if asked.said == "charge it" and not asked.calls:
            return [Call("charge", "c1", '{"order": "o-7"}')]
        if asked.said == "did it go through?" and "c2" not in asked.calls:
            return [Call("charge", "c2", '{"order": "o-7"}')]
        return [Say("It is known." if known else "I am still at it.")]

    world = World(before=0.2, after=6.0)
    async with guarded(eager, world) as (on, conversation):
        await on.model.speaks("charge it")
        await until(running(conversation))
        await asyncio.sleep(0.4)
        await on.model.speaks("did it go through?")
        await until(lambda: "It is known." in on.said)
        await asyncio.sleep(10)
        assert world.charged == ["o-7"]
        assert on.said.count("It is known.") == 1
        assert [slot.verdict for slot in conversation.state.slots.values()] == ["run", "join"]


async def test_a_call_that_came_in_broken_json_is_not_mended_and_not_run():
    def broken(asked):
        if not asked.calls:
            return [Call("charge", "c1", '{"order": "o-7"')]
        return [Say("It did not work.")]

    world = World()
    async with guarded(broken, world) as (on, conversation):
        await on.model.speaks("charge it")
        await until(lambda: on.said)
        assert world.charged == []
        assert form(on.model.asked[-1].outputs["c1"]) == "incomplete"
        assert not conversation.state.runs


async def test_an_unknown_tool_is_answered_and_the_conversation_goes_on():
    def lost(asked):
        return [Say("Sorry.")] if asked.calls else [Call("refund", "c1")]

    world = World()
    async with guarded(lost, world) as (on, _):
        await on.model.speaks("refund me")
        await until(lambda: on.said)
        assert on.said == ["Sorry."]
