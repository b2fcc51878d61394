# pyright: strict

"""Uses of tools that every type checker has to refuse; never run. A block begins at ``wrong:`` and ends at ``end``."""

from __future__ import annotations

from typing import Any

from toolguard import (
    Attempt,
    Decision,
    DidNotHappen,
    Finding,
    Guard,
    Happened,
    Interrupt,
    Invocation,
    StillUnknown,
    ToolCall,
    committing,
    idempotent_write,
    mutation,
    read,
    step,
)


@mutation(identity=("slot_id", "patient_id"), commits="inside")
async def book(slot_id: str, patient_id: str, reason: str = "") -> list[str]:
    return [slot_id, patient_id, reason]


@mutation(identity="booking_id")
async def cancel_booking(booking_id: str) -> None:
    print(booking_id)


class Desk:
    @mutation(identity="slot_id")
    async def hold(self, slot_id: str, minutes: int = 5) -> str:
        return slot_id * minutes


# wrong: a bare mutation
@mutation
async def bare(a: str) -> None:
    print(a)


# end


# wrong: a bare idempotent write
@idempotent_write
async def bare_write(a: str) -> None:
    print(a)


# end


# wrong: a mutation with options but without identity
@mutation(commits="inside")
async def nameless(a: str) -> None:
    print(a)


# end


def two(a: str, b: str) -> str:
    return a + b


# wrong: an identity function with other parameters
@mutation(identity=two)
async def odd(a: str) -> None:
    print(a)


# end


# wrong: an identity function with other types
@idempotent_write(identity=two)
async def typed(a: str, b: int) -> None:
    print(a, b)


# end


# wrong: a probe without all parameters
@book.probe
async def short(attempt: Attempt, slot_id: str) -> Finding[list[str]]:
    return StillUnknown() if slot_id else DidNotHappen()


# end


# wrong: a probe without the attempt
@book.probe
async def headless(slot_id: str, patient_id: str, reason: str = "") -> Finding[list[str]]:
    return StillUnknown()


# end


# wrong: a probe with another result
@book.probe
async def other(attempt: Attempt, slot_id: str, patient_id: str, reason: str = "") -> Finding[str]:
    return Happened(slot_id)


# end


# wrong: an undo of another result
@book.undo
def unbook(made: int) -> Invocation[None]:
    return cancel_booking.bind(str(made))


# end


# wrong: an undo that calls instead of preparing
@book.undo
def unbook_now(made: list[str]) -> Any:
    return cancel_booking.bind(made)


# end


def words(call: ToolCall, interrupt: Interrupt) -> str:
    return call.ref + str(interrupt)


# wrong: not a policy
@mutation(identity="a", policy=words)
async def governed(a: str) -> None:
    print(a)


# end


# wrong: not a policy of a guard
Guard("journal", tools=[book], policy=words)
# end


# wrong: an option of reads on a write
@mutation(identity="a", fresh_for=30)
async def fresh(a: str) -> None:
    print(a)


# end


# wrong: an option of writes on a read
@read(commits="inside")
async def committed(a: str) -> str:
    return a


# end


# wrong: an option with a word that it does not know
@read(scope="planet")
async def far(a: str) -> str:
    return a


# end


async def use() -> None:
    # wrong: an argument of another type
    await book(1, "p")
    # end
    # wrong: a missing argument
    await book("s")
    # end
    # wrong: an unknown argument
    await book("s", "p", when="now")
    # end
    # wrong: a result of another type
    x: str = await book("s", "p")
    # end
    # wrong: a keyword that bind does not know
    cancel_booking.bind(book="x")
    # end
    # wrong: a method's argument of another type
    await Desk().hold("s", minutes="3")
    # end
    # wrong: a method called on its class
    await Desk.hold("s")
    # end
    # wrong: a key is a string
    async with committing() as key:
        n: int = key
    # end
    # wrong: a decision that does not exist
    Decision("explode")
    # end
    # wrong: a step with arguments of another type
    await step("read", cancel_booking.unguarded, 3)
    # end
    # wrong: a misspelt attribute of a tool
    print(book.unguraded)
    # end
    print(x, n)
