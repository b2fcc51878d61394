"""Recorded speech goes through the voice detector that Pipecat ships, interrupts, and the policy decides."""

import asyncio

import pytest
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat_bots import Bot, Call, Microphone, ScriptedLLM, now, said, until

pytestmark = pytest.mark.virtual_time
MM_HM, CORRECTION = ("mm_hm", "mm-hmm"), ("correction", "no wait, make it Tuesday")


def booking(messages):
    if said(messages) == "Monday at ten please" and not any(one.get("tool_calls") for one in messages):
        return ["One moment.", Call("book", "c1", {"slot": "Mon 10:00"})]
    return ["All right."]


@pytest.mark.parametrize("sentence", [MM_HM, CORRECTION])
async def test_pipecat_alone_cancels_a_booking_whatever_was_said(sentence):
    became = []

    async def book(params):
        try:
            await asyncio.sleep(4)
            became.append("booked")
            await params.result_callback({"booked": "Mon 10:00"})
        except asyncio.CancelledError:
            became.append("cancelled")
            raise

    llm = ScriptedLLM(booking)
    llm.register_function("book", book)
    bot = Bot(llm, vad=SileroVADAnalyzer())
    async with bot.running():
        microphone = Microphone(bot)
        await microphone.plays("booking", "Monday at ten please")
        await until(lambda: "c1" in bot.texts)
        began = now()
        await microphone.plays(*sentence)
        await asyncio.sleep(6)
        microphone.stop()
    print(began, now(), bot.messages)
    assert became == ["cancelled"]
    assert bot.texts == {"c1": "CANCELLED"}
