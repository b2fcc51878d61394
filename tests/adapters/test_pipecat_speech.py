"""Recorded speech goes through the voice detector that Pipecat ships, interrupts, and the policy decides."""

import asyncio
import contextlib

import pytest
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.services.llm_service import FunctionCallParams
from pipecat_bots import Bot, Call, Microphone, ScriptedLLM, form, said, tool_texts, until

import toolguard
from toolguard import Guard, Phase
from toolguard.adapters.pipecat import protect

pytestmark = pytest.mark.virtual_time
BOOKING = ("booking", "Monday at ten please")
MM_HM, CORRECTION = ("mm_hm", "mm-hmm"), ("correction", "no wait, make it Tuesday")
QUIET = None
RESULT = '{"booked":"Mon 10:00"}'
LOOKS = 0.7
"""Seconds that the tool takes before its point of no return: the caller is speaking by then."""


def booking(messages):
    if not any(one.get("tool_calls") for one in messages):
        return ["One moment.", Call("book", "c1", {"slot": "Mon 10:00"})]
    return [f"Yes: {said(messages)}."]


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
        microphone = Microphone(bot)
        await microphone.plays(*BOOKING)
        await until(lambda: "c1" in bot.texts)
        yield microphone
        await asyncio.sleep(6)
        microphone.stop()


async def guarded(sentence):
    """What became of the booking when the caller spoke on its way: at the end of their speech, and then."""
    world, meanwhile = World(), None
    book = world.tool()
    async with Guard("memory", tools=[book]) as guard:
        bot = Bot(ScriptedLLM(booking), tools=[book], vad=SileroVADAnalyzer())
        async with protect(bot.worker, guard, id="conv-42") as conversation:
            async with on_the_phone(bot) as microphone:
                if sentence is not QUIET:
                    await microphone.sounds(sentence[0])
                    meanwhile = list(world.booked)
                    await bot.transcribed(sentence[1])
            return meanwhile, world.booked, conversation.state.runs[1], bot


async def test_a_correction_that_the_detector_hears_stops_the_booking_before_its_effect():
    _, booked, run, bot = await guarded(CORRECTION)
    assert booked == []
    assert run.phase is Phase.CANCELLED
    _, shown = bot.llm.seen[-1]
    assert said(shown) == CORRECTION[1]
    assert form(tool_texts(shown)["c1"]) == "cancelled"


async def test_a_backchannel_that_the_detector_hears_holds_the_booking_and_lets_it_go_on():
    meanwhile, booked, run, bot = await guarded(MM_HM)
    assert (meanwhile, booked) == ([], ["Mon 10:00"])
    assert run.phase is Phase.DONE
    _, shown = bot.llm.seen[-1]
    assert any(RESULT in str(one.get("content")).replace(": ", ":") for one in shown)


async def test_a_silent_caller_interrupts_nothing():
    _, booked, run, bot = await guarded(QUIET)
    assert (booked, run.phase) == (["Mon 10:00"], Phase.DONE)
    assert [said(shown) for _, shown in bot.llm.seen] == [BOOKING[1]] * 2


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

    llm = ScriptedLLM(booking)
    llm.register_function("book", book)
    bot = Bot(llm, vad=SileroVADAnalyzer())
    async with on_the_phone(bot) as microphone:
        if sentence is not QUIET:
            await microphone.plays(*sentence)
    return became, bot.texts["c1"]


@pytest.mark.parametrize("sentence", [MM_HM, CORRECTION])
async def test_pipecat_alone_cancels_a_booking_whatever_was_said(sentence):
    assert await alone(sentence) == (["cancelled"], "CANCELLED")
