"""A test of your own tool: what becomes of it when the caller speaks, the process dies, or the model repeats it."""

import asyncio

import toolguard
from toolguard import Attempt, DidNotHappen, Finding, Happened, Phase
from toolguard.testing import rehearse, virtual_time

BOOKED: dict[str, str] = {}


@toolguard.mutation(identity=("slot", "patient"), commits="inside")
async def book(slot: str, patient: str) -> str:
    """Book an appointment."""
    await asyncio.sleep(2.0)  # a slow look at the calendar: in virtual time it takes the test no time
    async with toolguard.committing() as key:
        BOOKED[key] = slot
    return f"{patient} has {slot}"


@book.probe
async def find_booking(attempt: Attempt, slot: str, patient: str) -> Finding[str]:
    """Find out what became of an attempt."""
    return Happened(f"{patient} has {slot}") if attempt.key in BOOKED else DidNotHappen()


@virtual_time
async def test_a_correction_at_the_gate_books_nothing() -> None:
    ending = await rehearse(book.bind("Mon 10:00", "Ana")).barge_in("no, make it Tuesday", at="at_gate").play()
    assert (ending.phase, ending.effects) == (Phase.CANCELLED, 0)


@virtual_time
async def test_mm_hm_changes_nothing() -> None:
    ending = await rehearse(book.bind("Mon 10:00", "Ana")).barge_in("mm-hm", at="at_gate").play()
    assert (ending.phase, ending.result) == (Phase.DONE, "Ana has Mon 10:00")


@virtual_time
async def test_the_model_asks_again_and_one_booking_is_made() -> None:
    ending = await rehearse(book.bind("Mon 10:00", "Ana")).reissue(at="while_committing").play()
    assert ending.effects == 1
    assert ending.outputs[0] == "Ana has Mon 10:00"


@virtual_time
async def test_after_a_crash_the_probe_finds_the_booking() -> None:
    ending = await rehearse(book.bind("Mon 10:00", "Ana")).crash(at="after_commit").play()
    assert (ending.phase, ending.effects) == (Phase.DONE, 1)
