"""A guarded agent on a real LiveKit session: what its tools do, and what its model says to it."""

import asyncio
import json
from contextlib import asynccontextmanager

from livekit.agents import RunContext
from livekit_kit import Call, line

import toolguard
from toolguard import Guard
from toolguard.adapters.livekit import function_tools, protect


class World:
    """What the tools do, and how long they take."""

    def __init__(self, *, before=1.0, after=0.0, looking=6.0):
        self.booked, self.charged, self.looked = [], [], 0
        self.contexts, self.tasks = [], []
        before_commit, after_commit = before, after

        @toolguard.mutation(identity="day", commits="inside")
        async def book(day: str, ctx: RunContext) -> str:
            """Book a day."""
            self.contexts.append(ctx)
            self.tasks.append(asyncio.current_task().get_name())
            await asyncio.sleep(before_commit)
            async with toolguard.committing():
                self.booked.append(day)
                await asyncio.sleep(after_commit)
            return f"booked {day}"

        @toolguard.mutation(identity="order", commits="inside")
        async def charge(order: str) -> dict[str, str]:
            """Charge an order."""
            await asyncio.sleep(before_commit)
            async with toolguard.committing():
                self.charged.append(order)
                await asyncio.sleep(after_commit)
            return {"charge": "ch_1"}

        @toolguard.read
        async def seats(row: int = 1) -> str:
            """Look for seats."""
            self.looked += 1
            await asyncio.sleep(looking)
            return "seats 4A and 4B"

        self.tools = [book, charge, seats]


@asynccontextmanager
async def guarded(script, world, *, strict=True, ahead=False, **options):
    """A line with a guarded agent on it, and its conversation."""
    on = line(script, ahead=ahead)
    async with Guard("memory", tools=world.tools, **options) as guard, protect(on.session, guard, id="conv-1") as held:
        await on.start(function_tools(world.tools))
        try:
            yield on, held
        finally:
            await on.hangs_up()
            for request in on.model.requests if strict else ():
                request.check()


def form(output):
    """The form of one of our envelopes; empty for a plain result."""
    try:
        return json.loads(output).get("toolguard", "")
    except (json.JSONDecodeError, AttributeError):
        return ""


def at_gate(conversation, run=1):
    return lambda: conversation._w.gate.waits(run)


def running(conversation, call=1):
    return lambda: call in conversation.state.slots and conversation.state.slots[call].run


def booking(request):
    """Books what the caller asks for, unless that day's call is in the context already."""
    day = "Tuesday" if "Tuesday" in request.said else "Monday"
    call_id = f"book-{day}"
    if call_id in request.outputs:
        return [f"Answer: {request.outputs[call_id]}"]
    return [Call("book", call_id, json.dumps({"day": day}))]


def charging(request):
    """Charges once; tells the charge when it is known, and says that it works on it until then."""
    if not request.outputs:
        return [Call("charge", "c1", '{"order": "o-7"}')]
    known = [text for text in request.outputs.values() if "ch_1" in text]
    return ["Your charge is ch_1."] if known else ["I am still at it."]


def seating(request):
    """Looks for seats; answers wishes meanwhile; tells the seats when it has them."""
    if not request.outputs:
        return [Call("seats", "c1")]
    if any("4A" in text for text in request.outputs.values()):
        return ["You have 4A and 4B."]
    return [f"Noted: {request.said}."]
