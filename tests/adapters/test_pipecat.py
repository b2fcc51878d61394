"""A real Pipecat pipeline, guarded: a call outlives a barge-in, is decided by its words, and is told once."""

import asyncio
import json

import pytest

pytest.importorskip("pipecat", reason="needs the extra: pip install 'toolguard-voice[pipecat]'")

from pipecat.frames.frames import InterruptionFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat_kit import World, form, guarded, now, until

import toolguard
from toolguard import Phase
from toolguard.testing.pipecat import Called, pipecat_line

pytestmark = pytest.mark.virtual_time


def booking(asked):
    """Book what the caller names; tell what came of it."""
    day = "Tuesday" if "Tuesday" in asked.said else "Monday"
    if f"book-{day}" not in asked.outputs:
        return [Called("book", f"book-{day}", {"day": day})]
    return [f"Answer: {form(asked.outputs[f'book-{day}'])}"]


def finding(asked):
    if "c1" not in asked.outputs:
        return [Called("find", "c1", {"what": "seats"})]
    if form(asked.outputs["c1"]) == "still_running" and not asked.news:
        return [f"Noted: {asked.said}."]
    return ["You have 4A."]


def running(conversation, number=1):
    return lambda: number in conversation.state.runs and conversation.state.runs[number].phase.open


def heard(on):
    return " ".join(on.voice.heard)


async def test_a_result_leaves_exactly_as_pipecat_would_write_it():
    async with guarded(booking, World().book()) as (on, _):
        await on.caller.speaks("book Monday")
        await until(lambda: "Answer:" in heard(on))
        assert on.model.requests[-1].outputs == {"book-Monday": '{"booked": "Monday"}'}
        assert len(on.model.requests) == 2


async def test_a_correction_stops_the_write_at_its_gate_and_the_model_reads_that():
    world = World()
    async with guarded(booking, world.book()) as (on, conversation):
        await on.caller.speaks("book Monday")
        await until(running(conversation))
        await on.caller.speaks("no, make it Tuesday", seconds=1.5)
        await until(lambda: "Answer:" in heard(on))
        asked = next(one for one in on.model.requests if one.said == "no, make it Tuesday")
        assert form(asked.outputs["book-Monday"]) == "cancelled"
        assert world.booked == ["Tuesday"]
        assert conversation.state.runs[1].phase is Phase.CANCELLED


async def test_pipecat_alone_cancels_what_is_done_and_tells_the_model_nothing_of_it():
    world = World(takes=0.2, after=3.0)

    async def book(params: FunctionCallParams, day: str):
        """Book a day."""
        await asyncio.sleep(0.2)
        world.booked.append(day)
        await asyncio.sleep(3.0)
        await params.result_callback({"booked": day})

    on = pipecat_line(booking, tools=[book])
    async with on.runs():
        await on.caller.speaks("book Monday")
        await until(lambda: world.booked)
        await on.caller.speaks("hello?")
        await asyncio.sleep(1)
        assert on.model.requests[-1].outputs["book-Monday"] == "CANCELLED"


async def test_a_wish_during_a_slow_read_is_answered_at_once_and_the_result_is_told_once():
    world = World(takes=6.0)
    async with guarded(finding, world.find()) as (on, conversation):
        await on.caller.speaks("find me seats")
        await until(running(conversation))
        ended = await on.caller.speaks("and also a window seat please")
        await until(lambda: "Noted" in heard(on))
        asked = next(one for one in on.model.requests if one.said == "and also a window seat please")
        assert asked.at - ended == pytest.approx(0.2, abs=0.05)
        assert form(asked.outputs["c1"]) == "still_running"
        await until(lambda: "4A" in heard(on))
        await asyncio.sleep(10)
        assert heard(on).count("4A") == 1
        told = [text for text in on.model.requests[-1].news if "4A" in text]
        assert len(told) == 1
        assert form(on.model.requests[-1].outputs["c1"]) == "still_running"
        assert world.looked == 1


class Watch(FrameProcessor):
    """Notes when an interruption leaves the model."""

    def __init__(self):
        super().__init__()
        self.at = []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self.at.append(now())
        await self.push_frame(frame, direction)


def slow_to_stop(holds_on):
    """A read whose clean-up takes three seconds, and which may hold on to it when it is cancelled once more."""

    @toolguard.read(time_limit=100.0)
    async def find(params: FunctionCallParams, what: str):
        """Look for something."""
        try:
            await asyncio.sleep(60)
        finally:
            try:
                await asyncio.sleep(3.0)
            except asyncio.CancelledError:
                if not holds_on:
                    raise
                await asyncio.sleep(3.0)

    return find


@pytest.mark.parametrize("holds_on", [False, True], ids=["cleans up", "swallows the second cancellation"])
@pytest.mark.parametrize("guards", [False, True], ids=["pipecat alone", "guarded"])
async def test_a_clean_up_of_three_seconds_delays_a_barge_in_only_where_pipecat_waits_for_it(guards, holds_on):
    watch, tool = Watch(), slow_to_stop(holds_on)

    async def find(params: FunctionCallParams, what: str):
        """Look for something."""
        await tool.unguarded(params, what)

    async def barges_in(on):
        await on.caller.speaks("find me seats")
        await until(lambda: on.model.requests)
        await asyncio.sleep(0.3)
        began = now()
        await on.caller.speaks("never mind")
        await until(lambda: len(watch.at) > 1)
        return watch.at[-1] - began

    if guards:
        async with guarded(finding, tool, behind=[watch]) as (on, conversation):
            delay = await barges_in(on)
            assert conversation.state.runs
    else:
        on = pipecat_line(finding, tools=[find], behind=[watch])
        async with on.runs():
            delay = await barges_in(on)
    waits = 4.0 if holds_on else 1.0  # Pipecat cancels once more after a second, and then waits without a bound
    assert delay == pytest.approx(0.0 if guards else waits, abs=0.05)


async def test_of_two_queued_calls_of_one_tool_the_second_does_not_commit_after_a_correction():
    def two(asked):
        if "a" in asked.outputs or "cancel" in asked.said:
            return ["All right."]
        return [[Called("book", "a", {"day": "Monday"}), Called("book", "b", {"day": "Friday"})]]

    world = World()
    async with guarded(two, world.book(), run_in_parallel=False) as (on, conversation):
        await on.caller.speaks("book both")
        await until(running(conversation))
        await asyncio.sleep(0.2)
        assert conversation.state.runs[2].phase is Phase.PLANNED
        await on.caller.speaks("no, cancel that")
        await asyncio.sleep(10)
        assert world.booked == []
        assert {run.phase for run in conversation.state.runs.values()} == {Phase.CANCELLED}


async def test_calls_of_a_model_that_makes_one_after_the_other_do_not_overlap():
    def two(asked):
        if "a" in asked.outputs:
            return ["All right."]
        return [[Called("book", "a", {"day": "Monday"}), Called("find", "b", {"what": "x"})]]

    world = World()
    async with guarded(two, world.book(), world.find(), run_in_parallel=False) as (on, conversation):
        await on.caller.speaks("book and find")
        await until(running(conversation))
        await asyncio.sleep(0.9)
        assert world.looked == 0
        await until(lambda: world.looked)
        assert world.booked == ["Monday"]


async def test_calls_of_a_model_that_makes_them_side_by_side_overlap():
    def two(asked):
        if "a" in asked.outputs:
            return ["All right."]
        return [[Called("book", "a", {"day": "Monday"}), Called("find", "b", {"what": "x"})]]

    world = World()
    async with guarded(two, world.book(), world.find()) as (on, conversation):
        await on.caller.speaks("book and find")
        await until(running(conversation))
        await asyncio.sleep(0.1)
        assert world.looked == 1
        await until(lambda: "right." in on.voice.heard)
        assert len(on.model.requests) == 2
        assert list(on.model.requests[-1].outputs) == ["a", "b"]
        assert json.loads(on.model.requests[-1].outputs["b"]) == ["x", "4A"]
