"""A clinic's phone agent on LiveKit, guarded; run as it is, it answers a scripted caller and needs no keys.

To answer real calls, give the session your services and start it in the job's room, everything else stays::

    async def entrypoint(ctx: JobContext) -> None:
        session = AgentSession(stt=deepgram.STT(), llm=openai.LLM(), tts=cartesia.TTS(), vad=silero.VAD.load())
        await protect(session, GUARD, id=ctx.room.name)      # until the session closes
        await session.start(Receptionist(instructions=INSTRUCTIONS), room=ctx.room)
"""

import asyncio
import json
import logging
from collections.abc import Iterator

from livekit.agents import Agent, function_tool

import toolguard
from toolguard import Guard
from toolguard.adapters.livekit import protect
from toolguard.testing.livekit import Call, Request, line, one_clock, until
from toolguard.testing.virtual import VirtualLoop

BOOKED: dict[str, str] = {}
INSTRUCTIONS = "You answer the phone of a clinic. Book what the caller asks for, and say what you have booked."


class Receptionist(Agent):
    """The agent, as it would be without toolguard, but for one line a tool."""

    @function_tool
    @toolguard.read
    async def find_slots(self, day: str) -> list[str]:
        """Find the free appointments of a day."""
        return {"Monday": ["Mon 10:00"], "Tuesday": ["Tue 09:00"]}.get(day, [])

    @function_tool
    @toolguard.mutation(identity="slot", commits="inside")
    async def book_slot(self, slot: str) -> str:
        """Book an appointment."""
        await asyncio.sleep(0.8)  # the calendar is slow
        async with toolguard.committing() as key:  # waits while the caller speaks; past it nothing stops the booking
            BOOKED[slot] = key
        return f"booked: {slot}"


def script(request: Request) -> Iterator[str | Call]:
    """What the scripted model does: it books what the caller said last, and speaks when that is answered."""
    slot = "Tue 09:00" if "Tuesday" in request.said else "Mon 10:00"
    if slot not in request.outputs:
        yield Call("book_slot", slot, json.dumps({"slot": slot}))
    else:
        yield f"You have {slot}." if "booked" in request.outputs[slot] else "It is not booked."


async def main() -> None:
    """Answer one call, and read what became of it."""
    on = line(script)  # an AgentSession with scripted services
    async with Guard("memory") as guard:
        with one_clock():  # LiveKit mixes the loop's time and the wall's
            async with protect(on.session, guard, id="conv-42", caller="+15550100"):
                await on.start(agent=Receptionist(instructions=INSTRUCTIONS))
                await on.ears.speaks("Monday at ten please")
                await asyncio.sleep(0.5)
                await on.ears.speaks("no wait, make it Tuesday", seconds=0.8)  # while it is being booked
                await until(lambda: on.said)
                await on.hangs_up()
        print("agent:", *on.said)
        async for call in guard.trail.calls():
            print(call.ref, call.tool, call.arguments, call.phase, call.reason)
    print("booked:", list(BOOKED))


if __name__ == "__main__":
    logging.disable()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:  # the scripted caller need not be waited for
        runner.run(main())
