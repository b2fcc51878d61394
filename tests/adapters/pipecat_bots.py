"""Real Pipecat pipelines with a scripted model and a caller: the worlds in which flows, workers and speech are tested."""

import asyncio
import contextlib
import copy
import json
import wave
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger
from pipecat.frames.frames import (
    EndFrame,
    FunctionCallFromLLM,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

logger.disable("pipecat")
SPEECH = Path(__file__).resolve().parents[2] / "examples" / "speech"
RATE = 16_000
SLICE = 0.02
"""Seconds of sound in one frame."""


def now():
    return asyncio.get_running_loop().time()


async def until(condition, *, within=30.0):
    """Wait for something to become true; the bound is in the loop's time."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


@dataclass
class Call:
    """A tool call that the model makes."""

    name: str
    call_id: str
    arguments: dict = field(default_factory=dict)


class ScriptedLLM(LLMService):
    """``script(messages)`` gives what the model says and calls, in order; what it was shown is kept, and when."""

    def __init__(self, script, **options):
        unset = dict.fromkeys(
            (
                "system_instruction",
                "temperature",
                "max_tokens",
                "top_p",
                "top_k",
                "frequency_penalty",
                "presence_penalty",
                "seed",
                "filter_incomplete_user_turns",
                "user_turn_completion_config",
            )
        )
        super().__init__(settings=LLMSettings(model="scripted", **unset), **options)
        self.script = script
        self.seen = []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        shown = copy.deepcopy(frame.context.get_messages())
        self.seen.append((now(), shown))
        await self.push_frame(LLMFullResponseStartFrame())
        calls = []
        for part in self.script(shown):
            if isinstance(part, Call):
                calls.append(part)
            else:
                await self.push_frame(LLMTextFrame(part))
        if calls:
            await self.run_function_calls(
                [
                    FunctionCallFromLLM(
                        function_name=one.name,
                        tool_call_id=one.call_id,
                        arguments=one.arguments,
                        context=frame.context,
                    )
                    for one in calls
                ]
            )
        await self.push_frame(LLMFullResponseEndFrame())


def said(messages):
    """The caller's last words in what a model is shown."""
    return next((one["content"] for one in reversed(messages) if one["role"] == "user"), "")


def tool_texts(messages):
    """What the model reads of its calls, by call id."""
    return {one["tool_call_id"]: one["content"] for one in messages if one["role"] == "tool"}


def form(text):
    """The form of one of our envelopes; empty for a plain result."""
    try:
        return json.loads(text).get("toolguard", "")
    except (json.JSONDecodeError, AttributeError):
        return ""


def turns(**timing):
    """A caller's turn begins with a voice, and ends a moment after it."""
    return UserTurnStrategies(
        start=[VADUserTurnStartStrategy()],
        stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=timing.get("timeout", 0.05))],
    )


@dataclass
class Bot:
    """A pipeline in a worker: user aggregator, ``llm``, assistant aggregator.

    Attributes:
        llm: The scripted model, or whatever stands in its place.
        tools: What the context advertises.
        vad: A voice detector at the microphone; without one the caller is scripted by frames.
        after: Processors behind the model.
        workers: More workers on the same runner.
        bus: What they talk over.
    """

    llm: object
    tools: list = field(default_factory=list)
    vad: object = None
    after: tuple = ()
    workers: tuple = ()
    bus: object = None

    def __post_init__(self):
        self.context = LLMContext(messages=[], **({"tools": list(self.tools)} if self.tools else {}))
        params = LLMUserAggregatorParams(vad_analyzer=self.vad, user_turn_strategies=turns())
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
        return tool_texts(self.messages)

    @contextlib.asynccontextmanager
    async def running(self):
        """The bot on a runner of its own, until the caller hangs up."""
        runner = WorkerRunner(handle_sigint=False, bus=self.bus)
        await runner.add_workers(*self.workers, self.worker)
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


def recording(name):
    """The sound of a recorded sentence, in slices."""
    with wave.open(str(SPEECH / f"{name}.wav")) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 1, 2)
        pcm = sound.readframes(sound.getnframes())
    step = int(RATE * SLICE) * 2
    return [pcm[at : at + step].ljust(step, b"\0") for at in range(0, len(pcm), step)]


class Microphone:
    """Gives the bot a slice of sound every 20 ms: silence, or what :meth:`plays` puts in its place."""

    def __init__(self, bot):
        self._bot = bot
        self._waiting = []
        self._task = asyncio.create_task(self._record())

    async def _record(self):
        silence = bytes(int(RATE * SLICE) * 2)
        begun, slices = now(), 0
        while True:
            pcm = self._waiting.pop(0) if self._waiting else silence
            await self._bot.worker.queue_frame(InputAudioRawFrame(audio=pcm, sample_rate=RATE, num_channels=1))
            slices += 1
            await asyncio.sleep(begun + slices * SLICE - now())

    async def sounds(self, name):
        """The caller speaks a recorded sentence."""
        self._waiting += recording(name)
        await until(lambda: not self._waiting)

    async def plays(self, name, words):
        """The caller speaks a recorded sentence; its words arrive when it has been spoken."""
        await self.sounds(name)
        await self._bot.transcribed(words)

    def stop(self):
        self._task.cancel()
