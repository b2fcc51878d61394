"""Keys that the caller presses reach the conversation over a Pipecat pipeline."""

import pytest
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import InputDTMFFrame
from pipecat_kit import World, guarded, records, until

from toolguard import Approval, Guard, Phase
from toolguard.core import records as r
from toolguard.testing.pipecat import Called

pytestmark = pytest.mark.virtual_time


def booking(asked):
    """Books once, and says what it is told."""
    return [Called("book", "a", {"day": "Monday"})] if "a" not in asked.outputs else ["Press one to book."]


@pytest.mark.parametrize(("key", "booked"), [(KeypadEntry.ONE, ["Monday"]), (KeypadEntry.TWO, [])])
async def test_a_key_answers_for_the_caller(key, booked):
    world = World()
    tool = world.book(needs=Approval("Shall I book {day}?"))
    guard = Guard("memory:", tools=[tool])
    async with guarded(booking, tool, guard=guard) as (on, held):
        await on.caller.speaks("book Monday")
        await until(lambda: any("needs_approval" in one.outputs.get("a", "") for one in on.model.requests))
        await until(lambda: held.state.runs[1].phase is Phase.STARTED and not held.responding)
        await until(lambda: not held.caller_has_floor and not held.wiring.delivery.floor.playing)
        await on.worker.queue_frame(InputDTMFFrame(button=key))
        await until(lambda: not held.state.runs[1].phase.open)
        assert world.booked == booked
        assert [one.text for one in records(guard, r.Heard)][1:] == ["[key]"]
