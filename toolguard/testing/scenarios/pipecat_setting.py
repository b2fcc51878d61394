"""What a play over Pipecat takes place in: pipelines with scripted ends, the stage, and the side that it plays on."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, Self, cast

import loguru
from pipecat.frames.frames import (
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMRunFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.utils.time import time_now_iso8601

from toolguard.testing.pipecat import Called, ScriptedModel, ScriptedVoice, pipecat_line
from toolguard.testing.scenarios.context_stage import ContextStage
from toolguard.testing.scenarios.ground import Ground
from toolguard.testing.scenarios.pipecat_evidence import Watch, collect, items_of
from toolguard.testing.scenarios.played import Request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from types import TracebackType

    from pipecat.frames.frames import Frame

    from toolguard.testing.pipecat import Asked, Line
    from toolguard.testing.pipecat.model import Part
    from toolguard.testing.scenarios.context_stage import By
    from toolguard.testing.scenarios.data import Step
    from toolguard.testing.scenarios.kit import Room, Script
    from toolguard.testing.scenarios.played import Played

ENDPOINTING = 0.03
"""Seconds of silence after which Pipecat takes the caller's turn as ended: its request is due 50 ms after the words."""


class PipecatSide:
    """Pipecat's side of a play: what the stage wants reaches the newest pipeline as frames.

    Attributes:
        open: Whether the conversation goes on.
        speaking: Whether the caller is speaking.
        onsets: When the model's pipeline heard the caller begin, in milliseconds.
        asked: Who asked for the replies that are still to come, besides the framework and toolguard.
    """

    def __init__(self) -> None:
        self.open = True
        self.speaking = False
        self.onsets: list[float] = []
        self.asked: deque[By] = deque()
        self.line: Line | None = None
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()

    async def carry(self) -> None:
        """Carry frames into the pipeline, in order."""
        while True:
            frame = await self._frames.get()
            if self.line is not None and self.open:
                await self.line.worker.queue_frame(frame)

    def caller_starts(self) -> None:
        """A voice is noticed."""
        self.speaking = True
        self._frames.put_nowait(VADUserStartedSpeakingFrame())

    def caller_stops(self) -> None:
        """The voice is silent."""
        self.speaking = False
        self._frames.put_nowait(VADUserStoppedSpeakingFrame(stop_secs=0.2))

    def caller_partly(self, text: str) -> None:
        """An interim transcript comes."""
        self._frames.put_nowait(InterimTranscriptionFrame(text, "caller", time_now_iso8601()))

    def caller_said(self, text: str) -> None:
        """A final transcript comes."""
        self._frames.put_nowait(TranscriptionFrame(text, "caller", time_now_iso8601(), finalized=True))

    def asks(self, by: By) -> None:
        """A reply that nobody in the pipeline has asked for."""
        self.asked.append(by)
        self._frames.put_nowait(LLMRunFrame())

    def interrupts(self) -> None:
        """The application stops the agent's speech."""
        self._frames.put_nowait(InterruptionFrame())


class StageModel(ScriptedModel):
    """The model of one pipeline: it does what the stage says.

    Args:
        stage: The stage.
        side: The side.
        number: Which of the play's pipelines it is in.
    """

    def __init__(self, stage: ContextStage, side: PipecatSide, number: int) -> None:
        super().__init__(self._plays)
        self._stage = stage
        self._side = side
        self._number = number
        self._by_pipeline = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note which way a request came, and when the caller was heard."""
        if isinstance(frame, LLMContextFrame):
            self._by_pipeline = direction is FrameDirection.UPSTREAM
        elif isinstance(frame, VADUserStartedSpeakingFrame):
            self._side.onsets.append(self._stage.now())
        await super().process_frame(frame, direction)

    async def _plays(self, asked: Asked) -> AsyncGenerator[Part, None]:
        side = self._side
        by: By = "client" if self._by_pipeline else side.asked.popleft() if side.asked else "platform"
        turn = self._stage.asked(items_of(asked.messages), by=by, line=self._number, speaking=side.speaking)
        status, calls = "cancelled", list[Called]()
        try:
            async with aclosing(cast("AsyncGenerator[Step, None]", turn.__aiter__())) as steps:
                async for step in steps:
                    if step.does == "says":
                        yield f"{step.text} "
                        continue
                    calls.append(_called(step))
                    if len(calls) == self._at_once(step):
                        yield calls
                        calls = []
            status = "completed"
        finally:
            turn.ended(status)

    def _at_once(self, step: Step) -> int:
        """How many calls come together: a response's calls of one moment are one batch."""
        steps = self._stage.script.steps
        same = [one for one in steps if one.verb == step.verb and one.generation == step.generation]
        return max(1, sum(one.at == step.at for one in same if one.does == "calls"))


def _called(step: Step) -> Called:
    arguments = step.args if isinstance(step.args, dict) else {}
    return Called(step.tool, step.call, arguments)


class PipecatSetting(Ground[ContextStage]):
    """Pipelines and stage of one play, or, with ``since``, of the part that a second process plays."""

    def __init__(self, script: Script, room: Room, faults: list[str], since: float | None = None) -> None:
        super().__init__(script, room, faults, since)
        loguru.logger.disable("pipecat")
        self.side = PipecatSide()
        self.lines: list[Line] = []
        self.floors: list[tuple[float, str]] = []
        self.watch = Watch(self)

    async def __aenter__(self) -> Self:
        part = self.begins()
        self.opens(ContextStage(part, self.side, self.base))
        self.stage.spawn(self.side.carry())
        self.loop.busy_while(self.watch.idle)
        if self.since is not None:
            await self.stage.until(self.since)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage.stop()
        await asyncio.sleep(0)

    def line(self, tools: Sequence[Any], messages: Sequence[Any] = (), *, recovers: bool = True) -> Line:
        """Another pipeline, which the play goes on over; whether it ``recovers`` turns without words, as by default."""
        stage = self.stage
        line = pipecat_line(
            lambda _asked: [],
            context=LLMContext(messages=list(messages), tools=list(tools)),
            model=StageModel(stage, self.side, len(self.lines)),
            voice=ScriptedVoice(lambda text: stage.milliseconds(text) / 1000),
            endpointing=ENDPOINTING,
            recovers=recovers,
            interrupts="'interrupt_response': False" not in str(self.script.session),
        )
        if self.script.session.get("tool_choice") == "none":
            line.context.set_tool_choice("none")
        line.voice.on_filler = self._filler
        self.lines.append(line)
        return line

    def _filler(self, text: str) -> None:
        """Speech beside the conversation was asked for."""
        now, said = self.stage.now(), {"instructions": text}
        self.stage.requests.append(Request(at=now, by="client", accepted=True, aside=True, fields=said))

    async def run(self, line: Line) -> AsyncExitStack:
        """Run a pipeline until its stack is closed; the caller and the application are at it from now on."""
        stack = AsyncExitStack()
        await stack.enter_async_context(line.runs(ends=False))
        self.side.line = line
        return stack

    def played(self, adapter: str, *, guarded: bool) -> Played:
        """What is left of the play."""
        return collect(self, adapter, guarded=guarded)
