"""A silent tool of eight seconds and a caller who goes on talking: no dead air, one effect, the result spoken once."""

import asyncio

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit_kit import ENDPOINTING, Call, now, until, wall_follows_loop
from livekit_world import World, charging, form, guarded, running

from toolguard import Phase

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with wall_follows_loop():
        yield


LIVEKITS_OWN = 0.4
"""Seconds that LiveKit itself may take from the end of the caller's speech to the answer."""


def talkative(request):
    """Charges once; answers meanwhile; tells the charge at length when it is known."""
    if not request.outputs:
        return [Call("charge", "c1", '{"order": "o-7"}')]
    if any("ch_1" in text for text in request.outputs.values()):
        return ["Your charge is ch_1, and you will get a receipt for it by mail."]
    return [f"Noted: {request.said}."]


TOLD = "Your charge is ch_1, and you will get a receipt for it by mail."


@pytest.mark.parametrize("ahead", [False, True], ids=["in_time", "ahead"])
@pytest.mark.parametrize("pause", [0.05, 1.0, 3.0, 6.0])
async def test_the_caller_is_answered_at_once_and_told_the_result_once(pause, ahead):
    world = World(before=0.0, after=8.0)
    async with guarded(talkative, world, ahead=ahead) as (on, conversation):
        await on.ears.speaks("charge it")
        await until(lambda: world.charged)
        await asyncio.sleep(pause)
        ended = await on.ears.speaks("do you also have vouchers?")
        await until(lambda: on.asked("do you also have vouchers?"))
        assert now() - ended <= ENDPOINTING + 0.02
        await asyncio.sleep(15)
        heard_at = next(began for began, _, _ in on.speaker.played if began > ended)
        assert heard_at - ended <= LIVEKITS_OWN
        assert on.said[-2:] == ["Noted: do you also have vouchers?.", TOLD]
        assert world.charged == ["o-7"]
        assert {form(one.outputs["c1"]) for one in on.asked("do you also have vouchers?")} == {"still_running"}
        assert conversation.state.runs[1].phase is Phase.DONE


def with_preamble(request):
    """The same, with some words while the charge is made."""
    parts = talkative(request)
    return ["I am charging you now, that takes a moment. ", *parts] if not request.outputs else parts


async def test_a_second_sound_without_words_keeps_nobody_waiting():
    world = World(before=0.0, after=8.0)
    async with guarded(with_preamble, world) as (on, _):
        await on.ears.speaks("charge it")
        await until(lambda: on.session.agent_state == "speaking")
        on.ears.starts()
        on.ears.partly("do you")
        await asyncio.sleep(0.4)
        on.ears.said("do you also have vouchers?")
        on.ears.stops()
        await asyncio.sleep(0.1)
        ended = await on.ears.speaks("", seconds=0.2)
        await until(lambda: on.asked("do you also have vouchers?"))
        assert now() - ended <= LIVEKITS_OWN


async def test_over_a_preamble_nobody_waits_either():
    world = World(before=0.0, after=8.0)
    async with guarded(with_preamble, world) as (on, _):
        await on.ears.speaks("charge it")
        await until(lambda: world.charged)
        await asyncio.sleep(0.3)
        ended = await on.ears.speaks("do you also have vouchers?")
        await until(lambda: on.asked("do you also have vouchers?"))
        assert now() - ended == pytest.approx(ENDPOINTING, abs=0.02)
        await asyncio.sleep(15)
        assert on.said == ["Noted: do you also have vouchers?.", TOLD]
        assert world.charged == ["o-7"]


@pytest.mark.parametrize("who", ["application", "noise", "caller"])
async def test_a_result_whose_late_reply_is_cut_off_is_told_again_when_the_line_is_idle(who):
    world = World(before=0.0, after=8.0)
    async with guarded(talkative, world) as (on, _):
        await on.ears.speaks("charge it")
        await until(lambda: world.charged)
        await asyncio.sleep(1)
        await on.ears.speaks("do you also have vouchers?")
        await until(lambda: on.said)
        await until(lambda: on.session.agent_state == "speaking")
        await asyncio.sleep(0.5)
        if who == "application":
            on.session.interrupt()
        elif who == "noise":
            await on.ears.speaks("", seconds=0.3)
            on.session.interrupt()
        else:
            await on.ears.speaks("sorry?")
        await asyncio.sleep(15)
        assert on.said == ["Noted: do you also have vouchers?.", TOLD]
        assert world.charged == ["o-7"]


async def test_a_reply_of_livekits_own_that_is_cut_off_is_told_again():
    world = World(before=0.0, after=1.0)
    async with guarded(talkative, world) as (on, _):
        await on.ears.speaks("charge it")
        await until(lambda: on.session.agent_state == "speaking")
        await asyncio.sleep(0.5)
        on.session.interrupt()
        await asyncio.sleep(15)
        assert on.said == [TOLD]


async def test_a_reply_that_says_nothing_is_asked_for_again_and_not_without_end():
    def mute(request):
        return [] if request.outputs else talkative(request)

    world = World(before=0.0, after=1.0)
    async with guarded(mute, world) as (on, _):
        await on.ears.speaks("charge it")
        await asyncio.sleep(30)
        assert 2 <= len(on.model.requests) <= 6
        assert world.charged == ["o-7"]


@pytest.mark.parametrize("ahead", [False, True], ids=["in_time", "ahead"])
async def test_a_listening_noise_makes_no_turn_and_the_tool_does_not_notice(ahead):
    world = World(before=0.0, after=3.0)
    async with guarded(charging, world, ahead=ahead) as (on, conversation):
        await on.ears.speaks("charge it")
        await until(running(conversation))
        await asyncio.sleep(1)
        await on.ears.speaks("mm-hm")
        await asyncio.sleep(20)
        assert on.said == ["Your charge is ch_1."]
        assert ahead or all("mm-hm" not in request.texts for request in on.model.requests)
        told = [item.output for item in on.session.history.items if item.type == "function_call_output"]
        assert told == ['{"charge":"ch_1"}']
        assert [item.text_content for item in on.session.history.items if item.type == "message"] == [
            "charge it",
            "Your charge is ch_1.",
        ]


async def test_the_same_words_are_a_turn_where_nothing_is_in_flight():
    world = World()
    async with guarded(lambda request: [f"You said {request.said}."], world) as (on, _):
        await on.ears.speaks("okay")
        await until(lambda: on.said)
        assert on.said == ["You said okay."]


@pytest.mark.parametrize("ahead", [False, True], ids=["in_time", "ahead"])
async def test_words_decide_before_livekit_ends_the_turn(ahead):
    world = World(before=8.0)
    async with guarded(charging, world, ahead=ahead) as (on, conversation):
        await on.ears.speaks("charge it")
        await until(running(conversation))
        await asyncio.sleep(1)
        ended = await on.ears.speaks("no, cancel that")
        await until(lambda: on.said)
        asked = on.asked("no, cancel that")[-1]
        assert asked.at - ended == pytest.approx(ENDPOINTING, abs=0.02)
        assert form(asked.outputs["c1"]) == "cancelled"
        assert world.charged == []


async def test_typed_words_count_like_spoken_ones():
    world = World(before=8.0)
    async with guarded(charging, world) as (on, conversation):
        await on.ears.speaks("charge it")
        await until(running(conversation))
        on.session.generate_reply(user_input="no, cancel that")
        await until(lambda: conversation.state.runs[1].settled)
        assert conversation.state.runs[1].phase is Phase.CANCELLED
        await asyncio.sleep(10)
        assert world.charged == []
