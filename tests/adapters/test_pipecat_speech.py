"""Recorded speech goes through the voice detector that Pipecat ships, interrupts, and the policy decides."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.services.llm_service import FunctionCallParams
from pipecat_bots import Bot, form, now, until

import toolguard
from toolguard import Guard, Phase
from toolguard.adapters.pipecat import protect
from toolguard.testing.pipecat import Called, Microphone, ScriptedModel

pytestmark = pytest.mark.virtual_time
SPEECH = Path(__file__).resolve().parents[2] / "examples" / "speech"
BOOKING = ("booking.wav", "Monday at ten please")
MM_HM, CORRECTION = ("mm_hm.wav", "mm-hmm"), ("correction.wav", "no wait, make it Tuesday")
QUIET = None
RESULT = '{"booked":"Mon 10:00"}'
LOOKS = 0.7
"""Seconds that the tool takes before its point of no return: the caller is speaking by then."""


def booking(asked):
    if not asked.outputs:
        return ["One moment.", Called("book", "c1", {"slot": "Mon 10:00"})]
    return [f"Yes: {asked.said}."]


class World:
    """The calendar."""

    def __init__(self):
        self.booked = []

    def tool(self):
        @toolguard.mutation(identity="slot", commits="inside")
        async def book(params: FunctionCallParams, slot: str) -> None:
            """Book an appointment."""
            await asyncio.sleep(LOOKS)
            async with toolguard.committing():
                self.booked.append(slot)
            await params.result_callback({"booked": slot})

        return book


@contextlib.asynccontextmanager
async def on_the_phone(bot):
    """The caller has asked for an appointment, and the tool is at work."""
    async with bot.running():
        microphone = Microphone(bot.worker)
        await microphone.plays(SPEECH / BOOKING[0])
        await bot.transcribed(BOOKING[1])
        await until(lambda: "c1" in bot.texts)
        yield microphone
        await asyncio.sleep(6)
        microphone.stop()


async def guarded(sentence):
    """What became of the booking when the caller spoke on its way: at the end of their speech, and then."""
    world, meanwhile = World(), None
    book = world.tool()
    async with Guard("memory", tools=[book]) as guard:
        bot = Bot(ScriptedModel(booking), tools=[book], vad=SileroVADAnalyzer(), endpointing=0.3)
        async with protect(bot.worker, guard, id="conv-42") as conversation:
            async with on_the_phone(bot) as microphone:
                if sentence is not QUIET:
                    await microphone.plays(SPEECH / sentence[0])
                    meanwhile = list(world.booked)
                    await bot.transcribed(sentence[1])
                    bot.said_at = now()
            return meanwhile, world.booked, conversation.state.runs[1], bot


async def test_a_correction_that_the_detector_hears_stops_the_booking_before_its_effect():
    _, booked, run, bot = await guarded(CORRECTION)
    assert booked == []
    assert run.phase is Phase.CANCELLED
    assert bot.llm.requests[-1].said == CORRECTION[1]
    assert form(bot.llm.requests[-1].outputs["c1"]) == "cancelled"


async def test_a_backchannel_that_the_detector_hears_holds_the_booking_and_lets_it_go_on():
    meanwhile, booked, run, bot = await guarded(MM_HM)
    assert (meanwhile, booked) == ([], ["Mon 10:00"])
    assert run.phase is Phase.DONE
    shown = bot.llm.requests[-1].messages
    assert any(RESULT in str(one.get("content")).replace(": ", ":") for one in shown), shown
    assert "not recognized" not in str(bot.messages), "nobody is to be asked to repeat an mm-hmm"
    assert bot.llm.requests[-1].at - bot.said_at < 2.5, "Pipecat waits for five seconds where a turn has no words"


async def test_a_silent_caller_interrupts_nothing():
    _, booked, run, bot = await guarded(QUIET)
    assert (booked, run.phase) == (["Mon 10:00"], Phase.DONE)
    assert [asked.said for asked in bot.llm.requests] == [BOOKING[1]] * 2


async def alone(sentence):
    """The same without toolguard: what became of the tool, and what the model was told."""
    became = []

    async def book(params):
        try:
            await asyncio.sleep(LOOKS)
            became.append("booked")
            await params.result_callback({"booked": "Mon 10:00"})
        except asyncio.CancelledError:
            became.append("cancelled")
            raise

    llm = ScriptedModel(booking)
    llm.register_function("book", book)
    bot = Bot(llm, vad=SileroVADAnalyzer(), endpointing=0.3)
    async with on_the_phone(bot) as microphone:
        if sentence is not QUIET:
            await microphone.plays(SPEECH / sentence[0])
            await bot.transcribed(sentence[1])
    return became, bot.texts["c1"]


@pytest.mark.parametrize("sentence", [MM_HM, CORRECTION])
async def test_pipecat_alone_cancels_a_booking_whatever_was_said(sentence):
    assert await alone(sentence) == (["cancelled"], "CANCELLED")
