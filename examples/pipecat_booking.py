"""A clinic's phone agent on Pipecat, guarded; run as it is, it answers a recorded caller and needs no keys.

The caller is three recordings (``speech/``) that go through the voice detector which Pipecat ships; model and voice are
scripted. To answer real calls, make a ``Phone`` of your transport and services, everything else stays::

    Phone(
        ears=[transport.input(), DeepgramSTTService(api_key=...)],
        model=OpenAILLMService(api_key=...),
        voice=[CartesiaTTSService(api_key=..., voice_id=...), transport.output()],
    )
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import EndFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import FunctionCallParams, LLMService
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

import toolguard
from toolguard import Guard
from toolguard.adapters.pipecat import protect
from toolguard.testing.pipecat import Asked, Called, Microphone, ScriptedCaller, ScriptedModel, ScriptedVoice

SPEECH = Path(__file__).with_name("speech")
BOOKED: dict[str, str] = {}
INSTRUCTIONS = "You answer the phone of a clinic. Book what the caller asks for, and say what you have booked."


@toolguard.read
async def find_slots(params: FunctionCallParams, day: str) -> None:
    """Find the free appointments of a day."""
    await params.result_callback({"Monday": ["Mon 10:00"], "Tuesday": ["Tue 09:00"]}.get(day, []))


@toolguard.mutation(identity="slot", commits="inside")
async def book_slot(params: FunctionCallParams, slot: str) -> None:
    """Book an appointment."""
    await asyncio.sleep(0.8)  # the calendar is slow
    async with toolguard.committing() as key:  # waits while the caller speaks; past it nothing stops the booking
        BOOKED[slot] = key
    await params.result_callback({"booked": slot})


@dataclass
class Phone:
    """What an agent hears with, thinks with and speaks with."""

    ears: Sequence[FrameProcessor]
    model: LLMService[Any]
    voice: Sequence[FrameProcessor] = field(default_factory=list[FrameProcessor])


def agent(phone: Phone) -> PipelineWorker:
    """The agent's pipeline, as it would be without toolguard."""
    context = LLMContext(messages=[{"role": "system", "content": INSTRUCTIONS}], tools=[find_slots, book_slot])
    turns = UserTurnStrategies(
        start=[VADUserTurnStartStrategy()], stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.3)]
    )
    user = LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer(), user_turn_strategies=turns)
    pair = LLMContextAggregatorPair(context, user_params=user)
    return PipelineWorker(Pipeline([*phone.ears, pair.user(), phone.model, *phone.voice, pair.assistant()]))


def script(asked: Asked) -> Iterator[str | Called]:
    """What the scripted model does: it books what the caller said last, and speaks when that is answered."""
    slot = "Tue 09:00" if "Tuesday" in asked.said else "Mon 10:00"
    if slot not in asked.outputs:
        yield Called("book_slot", slot, {"slot": slot})
    else:
        yield f"You have {slot}." if "booked" in asked.outputs[slot] else "It is not booked."


async def caller(worker: PipelineWorker) -> None:
    """The recorded caller: wants Monday, and changes their mind while it is being booked."""
    voice, words = Microphone(worker), ScriptedCaller(worker)
    for recording, said in (
        ("booking.wav", "Monday at ten please"),
        ("correction.wav", "no wait, make it Tuesday"),
        ("mm_hm.wav", "mm-hmm"),
    ):
        await voice.plays(SPEECH / recording)
        await words.said(said)
        await asyncio.sleep(0.2)
        print("caller:", said)
    await asyncio.sleep(3)
    voice.stop()
    await worker.queue_frame(EndFrame())


async def main() -> None:
    """Answer one call, and read what became of it."""
    logger.disable("pipecat")
    phone = Phone(ears=[], model=ScriptedModel(script), voice=[heard := ScriptedVoice()])
    worker = agent(phone)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    async with Guard("memory", tools=[find_slots, book_slot]) as guard:
        async with protect(worker, guard, id="conv-42", caller="+15550100"):
            calling = asyncio.create_task(caller(worker))
            await runner.run()
            await calling
        print("agent:", " ".join(heard.heard))
        async for call in guard.trail.calls():
            print(call.ref, call.tool, call.arguments, call.phase, call.reason)
    print("booked:", list(BOOKED))


if __name__ == "__main__":
    asyncio.run(main())
