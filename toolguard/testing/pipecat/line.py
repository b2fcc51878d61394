"""A conversation over a real Pipecat pipeline, set up and run for a test."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipecat.frames.frames import EndFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.turns.user_start import TranscriptionUserTurnStartStrategy, VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from toolguard.testing.pipecat.caller import ScriptedCaller
from toolguard.testing.pipecat.model import ScriptedModel
from toolguard.testing.pipecat.voice import ScriptedVoice

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from pipecat.processors.frame_processor import FrameProcessor

    from toolguard.testing.pipecat.model import Script

ENDPOINTING = 0.2
"""Seconds of silence after which the caller's turn counts as ended."""
_STARTS_WITHIN = 30.0
_BEGIN = (VADUserTurnStartStrategy, TranscriptionUserTurnStartStrategy)


@dataclass
class Line:
    """A pipeline with everything at its ends."""

    worker: PipelineWorker
    context: LLMContext
    model: ScriptedModel
    voice: ScriptedVoice
    caller: ScriptedCaller
    aggregators: LLMContextAggregatorPair
    running: asyncio.Event

    @asynccontextmanager
    async def runs(self, *, ends: bool = True) -> AsyncGenerator[None]:
        """Run the pipeline around a block of code, and end it in good order behind it (unless not ``ends``)."""
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        run = asyncio.create_task(runner.run(), name="pipeline")
        try:
            async with asyncio.timeout(_STARTS_WITHIN):
                await self.running.wait()
            yield
            if ends:
                await self.worker.queue_frame(EndFrame())
                await run
        finally:
            if not run.done():
                await self.worker.cancel()
                await run


def pipecat_line(
    script: Script,
    *,
    tools: Sequence[Any] = (),
    context: LLMContext | None = None,
    voice: ScriptedVoice | None = None,
    model: ScriptedModel | None = None,
    behind: Sequence[FrameProcessor] = (),
    user: LLMUserAggregatorParams | None = None,
    endpointing: float = ENDPOINTING,
    recovers: bool = True,
    interrupts: bool = True,
    **options: Any,
) -> Line:
    """Set a line up.

    Args:
        script: What the model does when it is asked.
        tools: The context's tools.
        context: The context, where it is not a new one.
        voice: The voice, where it is not one that takes so long for every letter.
        model: The model, where the script is not enough.
        behind: More processors right behind the model.
        user: Parameters of the user aggregator: by default a voice or a transcript begins a turn, silence ends it.
        endpointing: Seconds of that silence.
        recovers: Whether Pipecat asks its model about turns of the caller that have no words, as it does by default.
        interrupts: Whether the caller's voice stops the agent's.
        **options: Options of the model.
    """
    shown = context or LLMContext(messages=[], tools=list(tools)) if tools else context or LLMContext(messages=[])
    asked = model or ScriptedModel(script, **options)
    spoken = voice or ScriptedVoice()
    pair = LLMContextAggregatorPair(shown, user_params=user or _turns(endpointing, recovers, interrupts))
    worker = PipelineWorker(
        Pipeline([pair.user(), asked, *behind, spoken, pair.assistant()]),
        cancel_on_idle_timeout=False,
        enable_rtvi=False,
    )
    running = asyncio.Event()

    async def started(_worker: PipelineWorker, _frame: object) -> None:
        running.set()

    worker.add_event_handler("on_pipeline_started", started)
    return Line(worker, shown, asked, spoken, ScriptedCaller(worker), pair, running)


def _turns(endpointing: float, recovers: bool, interrupts: bool) -> LLMUserAggregatorParams:
    params = LLMUserAggregatorParams(
        user_turn_strategies=UserTurnStrategies(
            start=[begins(enable_interruptions=interrupts) for begins in _BEGIN],
            stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=endpointing)],
        )
    )
    if not recovers and hasattr(params, "empty_user_turn"):  # older versions leave such turns alone
        params.empty_user_turn = None
    return params
