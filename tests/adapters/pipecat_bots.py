"""Real Pipecat pipelines with a scripted model and a caller: the worlds in which flows, workers and speech are tested."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field

from loguru import logger
from pipecat.frames.frames import (
    EndFrame,
    InterruptionFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

logger.disable("pipecat")


def now():
    return asyncio.get_running_loop().time()


async def until(condition, *, within=30.0):
    """Wait for something to become true; the bound is in the loop's time."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


def form(text):
    """The form of one of our envelopes; empty for a plain result."""
    try:
        return json.loads(text).get("toolguard", "")
    except (json.JSONDecodeError, AttributeError):
        return ""


def calling(*calls):
    """The model makes these calls when it is first spoken to."""

    def script(asked):
        called = any(one.get("tool_calls") for one in asked.messages)
        return ["Noted."] if called or not asked.said else [list(calls)]

    return script


class Watch(FrameProcessor):
    """Keeps when an interruption came by, and what was to be said."""

    def __init__(self):
        super().__init__()
        self.interrupted, self.spoken = [], []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self.interrupted.append(now())
        elif isinstance(frame, TTSSpeakFrame):
            self.spoken.append(frame.text)
        await self.push_frame(frame, direction)


@dataclass
class Bot:
    """A pipeline in a worker: user aggregator, ``llm``, assistant aggregator.

    Attributes:
        llm: The scripted model, or whatever stands in its place.
        tools: What the context advertises.
        vad: A voice detector at the microphone; without one the caller is scripted by frames.
        endpointing: Seconds of silence after which a turn has ended.
        after: Processors behind the model.
        workers: More workers on the same runner.
        bus: What they talk over.
    """

    llm: object
    tools: list = field(default_factory=list)
    vad: object = None
    endpointing: float = 0.05
    after: tuple = ()
    workers: tuple = ()
    bus: object = None

    def __post_init__(self):
        self.context = LLMContext(messages=[], **({"tools": list(self.tools)} if self.tools else {}))
        turns = UserTurnStrategies(
            start=[VADUserTurnStartStrategy()],
            stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=self.endpointing)],
        )
        params = LLMUserAggregatorParams(vad_analyzer=self.vad, user_turn_strategies=turns)
        self.pair = LLMContextAggregatorPair(self.context, user_params=params)
        parts = [self.pair.user(), self.llm, *self.after, self.pair.assistant()]
        self.worker = PipelineWorker(Pipeline(parts), name="main", cancel_on_idle_timeout=False, enable_rtvi=False)
        self._started = asyncio.Event()
        self.worker.add_event_handler("on_pipeline_started", self._has_started)

    async def _has_started(self, _worker, _frame):
        self._started.set()

    @property
    def messages(self):
        return self.context.get_messages()

    @property
    def texts(self):
        """What the context shows of the calls, by id."""
        return {one["tool_call_id"]: one["content"] for one in self.messages if one["role"] == "tool"}

    @contextlib.asynccontextmanager
    async def running(self):
        """The bot on a runner of its own, until the caller hangs up."""
        runner = WorkerRunner(handle_sigint=False, bus=self.bus)
        await runner.add_workers(*self.workers, *(() if self.worker in self.workers else (self.worker,)))
        running = asyncio.create_task(runner.run())
        await asyncio.wait_for(self._started.wait(), 30)
        try:
            yield self
        finally:
            await self.worker.queue_frame(EndFrame())
            await asyncio.wait([asyncio.create_task(self.worker.wait())], timeout=30)
            await runner.end()
            await asyncio.wait_for(running, 30)

    async def starts_speaking(self):
        await self.worker.queue_frame(VADUserStartedSpeakingFrame())
        await asyncio.sleep(0.05)

    async def has_said(self, words):
        await self.transcribed(words)
        await asyncio.sleep(0.02)
        await self.worker.queue_frame(VADUserStoppedSpeakingFrame())
        await asyncio.sleep(0.25)

    async def says(self, words):
        """A turn of the caller, from its first sound to its end."""
        await self.starts_speaking()
        await self.has_said(words)

    async def transcribed(self, words):
        """What a speech-to-text service would have made of the caller's voice."""
        await self.worker.queue_frame(TranscriptionFrame(words, "caller", time_now_iso8601(), finalized=True))
