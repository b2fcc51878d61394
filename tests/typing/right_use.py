# pyright: strict

"""Uses of tools that every type checker has to accept; never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import assert_type

from pydantic import BaseModel

from toolguard import (
    Approval,
    Attempt,
    BargeIn,
    Decision,
    DidNotHappen,
    Effect,
    Finding,
    Guard,
    Happened,
    Injected,
    Interrupt,
    Invocation,
    StillUnknown,
    Tool,
    ToolCall,
    by_effect,
    checkpoint,
    committing,
    current_call,
    first_of,
    idempotent_write,
    mutation,
    read,
    step,
    wrap,
)
from toolguard.tools.declare import from_mcp_annotations
from toolguard.tools.spec import Retry


class Slot(BaseModel):
    id: str


class Booking(BaseModel):
    id: str


class Emr:
    async def slots(self, day: date) -> list[Slot]:
        return [Slot(id=day.isoformat())]

    async def hold(self, slot_id: str) -> Slot:
        return Slot(id=slot_id)

    async def book(self, hold: Slot, patient_id: str, *, idempotency_key: str) -> Booking:
        return Booking(id=hold.id + patient_id + idempotency_key)


emr = Emr()


@read
async def bare(day: date) -> list[Slot]:
    return await emr.slots(day)


@read(fresh_for=30, filler="Let me look.", scope="caller", retry=2)
async def find_slots(day: date) -> list[Slot]:
    return await step("slots", emr.slots, day)


@idempotent_write(identity="patient_id", durability="process", retry=Retry(attempts=4))
async def note_allergy(patient_id: str, note: str) -> None:
    print(patient_id, note)


@mutation(identity="booking_id", announce="when_idle", did_not_happen=ConnectionRefusedError)
async def cancel_booking(booking_id: str) -> None:
    print(booking_id)


def charges_wait(call: ToolCall, interrupt: Interrupt) -> Decision | None:
    if call.is_(charge) and isinstance(interrupt, BargeIn):
        return Decision.hold("caller is speaking", at_most=8.0)
    return None


@mutation(
    identity=("slot_id", "patient_id"),
    commits="inside",
    scope="caller",
    repeat="confirm",
    repeat_window=timedelta(minutes=10),
    policy=charges_wait,
    needs=Approval("Book it?"),
    requires=[find_slots, "bare"],
)
async def book(slot_id: str, patient_id: str, reason: str = "") -> Booking:
    hold = await step("hold", emr.hold, slot_id)
    await checkpoint(hold_id=hold.id)
    async with committing() as key:
        return await emr.book(hold, patient_id, idempotency_key=key)


@book.probe
async def find_booking(attempt: Attempt, slot_id: str, patient_id: str, reason: str = "") -> Finding[Booking]:
    if attempt.key:
        return Happened(Booking(id=slot_id))
    return StillUnknown() if attempt.progress else DidNotHappen()


@book.undo
def unbook(made: Booking) -> Invocation[None]:
    return cancel_booking.bind(booking_id=made.id)


def same_charge(card: str, cents: int) -> tuple[str, int]:
    return card.casefold(), cents


@mutation(identity=same_charge, terminal=False)
def charge(card: str, cents: int) -> str:
    with committing() as key:
        return key + current_call().ref + card + str(cents)


class Desk:
    @mutation(identity="slot_id")
    async def hold(self, slot_id: str, minutes: int = 5) -> str:
        return slot_id * minutes

    @staticmethod
    @read
    def closing(day: date) -> str:
        return day.isoformat()


@read
async def with_database(day: date, db: Injected[Emr]) -> list[Slot]:
    return await db.slots(day)


async def plain(x: int) -> str:
    return str(x)


mine = wrap(plain, effect="read", fresh_for=5)
theirs = wrap(plain, effect=Effect.MUTATION, identity="x")
raw = wrap({"name": "raw", "parameters": {}}, print, effect=from_mcp_annotations(None), identity=())


guard = Guard(
    "journal", tools=[find_slots, note_allergy, book, charge, raw], policy=first_of(charges_wait, by_effect())
)


async def use() -> None:
    assert_type(await find_slots(date.min), list[Slot])
    assert_type(await bare(day=date.min), list[Slot])
    assert_type(await book("s", patient_id="p"), Booking)
    assert_type(await charge("tok", 5), str)
    assert_type(await Desk().hold("s", minutes=3), str)
    assert_type(Desk().hold.bind("s"), Invocation[str])
    assert_type(await Desk.closing(date.min), str)
    assert_type(await book.unguarded("s", "p"), Booking)
    assert_type(await mine(3), str)
    assert_type(await theirs(3), str)
    assert_type(book.bind("s", "p"), Invocation[Booking])
    assert_type(book.load_result(b"{}"), Booking)
    assert_type(await with_database(date.min, emr), list[Slot])
    assert_type(await step("again", find_slots, date.min), list[Slot])
    as_function: Callable[[str, str], Awaitable[Booking]] = book
    tools: list[Tool[..., object]] = [wider(find_slots)]
    print(as_function, tools, raw, note_allergy)


def wider(tool: Tool[[date], list[Slot]]) -> Tool[..., object]:
    assert_type(tool.effect, Effect)
    return wrap(tool.unguarded, effect="read")
