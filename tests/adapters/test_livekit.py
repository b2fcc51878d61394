"""A real LiveKit session, guarded: a barge-in stops or releases a write, and keeps no caller waiting."""

import asyncio

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit.agents import function_tool
from livekit_kit import ENDPOINTING, line, now, until, wall_follows_loop
from livekit_world import World, at_gate, booking, charging, form, guarded, running, seating

from toolguard import Phase

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with wall_follows_loop():
        yield


async def test_a_correction_stops_the_write_at_its_gate_and_the_model_reads_that():
    world = World()
    async with guarded(booking, world) as (on, conversation):
        await on.ears.speaks("book Monday")
        await until(running(conversation))
        barge_in = asyncio.create_task(on.ears.speaks("no, make it Tuesday", seconds=1.5))
        await until(at_gate(conversation))
        assert world.booked == []
        ended = await barge_in
        await until(lambda: on.said)

        asked = on.request("no, make it Tuesday")
        assert form(asked.outputs["book-Monday"]) == "cancelled"
        assert asked.at - ended == pytest.approx(ENDPOINTING, abs=0.02)
        assert world.booked == ["Tuesday"]
        assert conversation.state.runs[1].phase is Phase.CANCELLED
        assert on.said == ["Answer: booked Tuesday"]
        assert [one.said for one in on.model.requests] == ["book Monday", *2 * ["no, make it Tuesday"]]


async def test_livekit_alone_does_what_the_caller_took_back():
    booked = []

    @function_tool
    async def book(day: str) -> str:
        """Book a day."""
        await asyncio.sleep(1.0)
        booked.append(day)
        return f"booked {day}"

    on = line(booking)
    await on.start([book])
    await on.ears.speaks("book Monday")
    await asyncio.sleep(ENDPOINTING + 0.1)
    await on.ears.speaks("no, make it Tuesday", seconds=1.5)
    await until(lambda: on.said)
    await on.hangs_up()
    assert booked == ["Monday", "Tuesday"]


async def test_over_a_preamble_the_words_still_come_before_the_answer():
    def with_preamble(request):
        parts = booking(request)
        return (
            ["I am booking that for you right now, it takes a moment. ", *parts] if len(request.outputs) == 0 else parts
        )

    world = World()
    async with guarded(with_preamble, world) as (on, conversation):
        await on.ears.speaks("book Monday")
        await until(running(conversation))
        await on.ears.speaks("no, make it Tuesday", seconds=0.5)
        await until(lambda: "booked Tuesday" in "".join(on.said))
        assert form(on.request("no, make it Tuesday").outputs["book-Monday"]) == "cancelled"
        assert world.booked == ["Tuesday"]


@pytest.mark.parametrize("after", [0.0, 3.0], ids=["at_once", "later"])
async def test_a_backchannel_opens_the_gate_and_the_result_is_spoken_once(after):
    world = World(after=after)
    async with guarded(charging, world) as (on, conversation):
        await on.ears.speaks("charge it")
        await until(running(conversation))
        barge_in = asyncio.create_task(on.ears.speaks("mm-hm", seconds=1.5))
        await until(at_gate(conversation))
        assert world.charged == []
        await barge_in
        await until(lambda: "Your charge is ch_1." in on.said)
        await asyncio.sleep(10)
        assert world.charged == ["o-7"]
        assert on.said.count("Your charge is ch_1.") == 1
        assert conversation.state.runs[1].phase is Phase.DONE


async def test_a_wish_during_a_slow_read_is_answered_at_once_and_the_result_is_spoken_once():
    world = World(looking=6.0)
    async with guarded(seating, world) as (on, conversation):
        await on.ears.speaks("find me seats")
        await until(running(conversation))
        ended = await on.ears.speaks("and also a window seat please")
        await until(lambda: on.said)
        asked = on.request("and also a window seat please")
        assert asked.at - ended == pytest.approx(ENDPOINTING, abs=0.02)
        assert form(asked.outputs["c1"]) == "still_running"
        assert conversation.state.runs[1].phase.open
        await until(lambda: len(on.said) == 2)
        await asyncio.sleep(10)
        assert on.said == ["Noted: and also a window seat please.", "You have 4A and 4B."]
        told = [item.output for item in on.session.history.items if item.type == "function_call_output"]
        assert [form(output) for output in told] == ["still_running", "done"]
        assert world.looked == 1


async def test_livekit_alone_keeps_the_caller_waiting_for_the_tool():
    @function_tool
    async def seats() -> str:
        """Look for seats."""
        await asyncio.sleep(4.0)
        return "seats 4A and 4B"

    on = line(seating)
    await on.start([seats])
    await on.ears.speaks("find me seats")
    await asyncio.sleep(ENDPOINTING + 0.1)
    ended = await on.ears.speaks("and also a window seat please")
    await until(lambda: on.said)
    await on.hangs_up()
    assert on.request("and also a window seat please").at - ended > 3


async def test_a_noise_without_words_holds_the_write_for_a_moment_only():
    world = World()
    async with guarded(charging, world) as (on, conversation):
        await on.ears.speaks("charge it")
        await until(running(conversation))
        ended = await on.ears.speaks("", seconds=1.2)
        assert world.charged == []
        await until(lambda: world.charged)
        assert now() - ended == pytest.approx(1.5, abs=0.1)
        await until(lambda: on.said)
        assert on.said == ["Your charge is ch_1."]


async def test_who_hangs_up_while_speaking_is_not_charged():
    world = World()
    async with guarded(charging, world) as (on, conversation):
        await on.ears.speaks("charge it")
        await until(running(conversation))
        leaving = asyncio.create_task(on.ears.speaks("wait", seconds=60))
        await until(at_gate(conversation))
        began = now()
        await on.hangs_up()
        leaving.cancel()
        assert now() - began < 6.5
    assert world.charged == []
    assert conversation.state.runs[1].phase is Phase.CANCELLED
