"""A tool that holds, keeps its progress, and passes its point of no return where it decides to."""

import asyncio
from dataclasses import dataclass, field

import toolguard
from toolguard import Attempt, DidNotHappen, Finding, Guard, Happened, Invocation


@dataclass(frozen=True)
class Booking:
    """An appointment."""

    slot: str
    patient: str


@dataclass
class Records:
    """The clinic's records, outside the agent: bookings by the key that they were made with."""

    holds: int = 0
    booked: dict[str, Booking] = field(default_factory=dict[str, Booking])

    async def hold(self, slot: str) -> str:
        """Keep a slot free for a moment."""
        self.holds += 1
        return f"hold {self.holds} of {slot}"


RECORDS = Records()


@toolguard.mutation(identity="slot")
async def cancel(slot: str) -> None:
    """Take a booking back."""
    RECORDS.booked = {key: made for key, made in RECORDS.booked.items() if made.slot != slot}


@toolguard.mutation(identity=("slot", "patient"), commits="inside")
async def book(slot: str, patient: str) -> Booking:
    """Book an appointment."""
    hold = await toolguard.step("hold", RECORDS.hold, slot)  # kept: a resumed run does not hold twice
    await toolguard.checkpoint(hold=hold)  # kept: read back as current_call().progress
    async with toolguard.committing() as key:  # waits while the caller speaks; past it nothing stops the booking
        made = RECORDS.booked[key] = Booking(slot, patient)
    return made


@book.probe
async def find_booking(attempt: Attempt, slot: str, patient: str) -> Finding[Booking]:
    """Find out what became of an attempt whose process died; both arguments are the tool's own."""
    made = RECORDS.booked.get(attempt.key)
    print(f"looking for {slot} of {patient}: {'there' if made else 'not there'}")
    return Happened(made) if made else DidNotHappen()


@book.undo
def unbook(made: Booking) -> Invocation[None]:
    """What takes a booking back."""
    return cancel.bind(slot=made.slot)


async def main() -> None:
    """Book once; the caller's words at the gate decide about the second."""
    async with Guard("memory", tools=[book, cancel]) as guard, guard.session("conv-42") as conversation:
        made = await conversation.run(book, "Mon 10:00", "Ana")
        print(made)

        conversation.caller_started("onset-1")  # an adapter reports these
        second = asyncio.create_task(conversation.run(book, "Mon 11:30", "Ana"))
        await asyncio.sleep(0.05)
        conversation.caller_said("no, make it Tuesday", onset="onset-1")
        try:
            await second
        except toolguard.ToolguardError as stopped:
            print(stopped)
        print("booked:", list(RECORDS.booked.values()))


if __name__ == "__main__":
    asyncio.run(main())
