"""A real LiveKit session, guarded: results that come late are told once, and one wish has one effect."""

import asyncio

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit_kit import Call, until, wall_follows_loop
from livekit_world import World, guarded, running, seating

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with wall_follows_loop():
        yield


async def test_a_result_that_overstays_its_patience_is_told_when_it_comes():
    world = World(looking=9.0)
    async with guarded(seating, world) as (on, _):
        await on.ears.speaks("find me seats")
        await until(lambda: len(on.said) == 2)
        await asyncio.sleep(10)
        assert on.said == ["Noted: find me seats.", "You have 4A and 4B."]


@pytest.mark.parametrize(
    ("after", "pause", "verdict"),
    [(6.0, 0.3, "join"), (0.0, 0.1, "replay"), (0.0, 2.0, "confirm")],
    ids=["running", "reply_cut_off", "heard"],
)
async def test_the_same_wish_under_a_new_call_id_has_one_effect(after, pause, verdict):
    def eager(request):
        known = [call_id for call_id, text in request.outputs.items() if "ch_1" in text]
        if request.said == "charge it" and not request.outputs:
            return [Call("charge", "c1", '{"order": "o-7"}')]
        if request.said == "did it go through?" and "c2" not in request.outputs:
            return [Call("charge", "c2", '{"order": "o-7"}')]
        return [f"As far as I can see it is known, from {known[-1]}." if known else "I am still at it."]

    world = World(before=0.2, after=after)
    async with guarded(eager, world) as (on, conversation):
        await on.ears.speaks("charge it")
        await until(lambda: world.charged)
        await asyncio.sleep(pause)
        await on.ears.speaks("did it go through?")
        await until(lambda: on.asked("did it go through?") and any("known" in text for text in on.said))
        await asyncio.sleep(10)
        assert world.charged == ["o-7"]
        assert [slot.verdict for slot in conversation.state.slots.values()] == ["run", verdict]
        assert len(conversation.state.runs) == 1


async def test_a_call_id_that_comes_again_gets_the_same_answer():
    def forgetful(request):
        if request.said == "charge it" and not request.outputs:
            return [Call("charge", "c1", '{"order": "o-7"}')]
        if request.said == "again" and request.last.type == "message":
            return [Call("charge", "c1", '{"order": "o-7"}')]
        return [f"Answer: {request.last.output}"]

    world = World(before=0.2)
    async with guarded(forgetful, world, strict=False) as (on, conversation):
        await on.ears.speaks("charge it")
        await until(lambda: on.said)
        await on.ears.speaks("again")
        await until(lambda: len(on.said) == 2)
        assert on.said == ['Answer: {"charge":"ch_1"}'] * 2
        assert world.charged == ["o-7"]
        assert len(conversation.state.slots) == 1


async def test_a_result_that_nobody_was_told_is_told_after_all():
    world = World(looking=2.0)
    async with guarded(seating, world) as (on, conversation):
        await on.ears.speaks("find me seats")
        await until(running(conversation))
        on.session.interrupt()
        await until(lambda: on.said)
        await asyncio.sleep(10)
        assert on.said == ["You have 4A and 4B."]


async def test_a_result_whose_reply_livekit_dropped_is_told_after_all():
    def both(request):
        if not request.outputs:
            return [Call("charge", "c1", '{"order": "o-7"}'), Call("seats", "c2")]
        return [" ".join(word for word in ("ch_1", "4A") if word in "".join(request.outputs.values()))]

    world = World(before=0.5, looking=3.9)
    async with guarded(both, world) as (on, conversation):
        await on.ears.speaks("charge it and find seats")
        await until(lambda: conversation.state.slots.get(1) and conversation.state.slots[1].sent)
        await asyncio.sleep(1)
        on.session.interrupt()
        await until(lambda: on.said)
        assert on.said == ["ch_1"]
        await until(lambda: len(on.said) == 2)
        await asyncio.sleep(10)
        assert on.said == ["ch_1", "ch_1 4A"]


async def test_news_that_a_turn_of_the_caller_has_answered_is_not_told_again():
    def talkative(request):
        parts = seating(request)
        return parts if "4A" in str(parts) or not request.outputs else [*parts, " Let me tell you about us." * 8]

    world = World(looking=6.0)
    async with guarded(talkative, world) as (on, conversation):
        await on.ears.speaks("find me seats")
        await until(lambda: on.session.agent_state == "speaking")
        await until(lambda: conversation.state.runs[1].settled)
        await asyncio.sleep(0.2)
        assert on.session.agent_state == "speaking"
        await on.ears.speaks("and do you have them now?")
        await until(lambda: on.said)
        await asyncio.sleep(10)
        assert on.said == ["You have 4A and 4B."]
