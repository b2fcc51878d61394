"""Translates what passes through a Pipecat pipeline into what the guarded session understands."""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from typing import TYPE_CHECKING, Any, TypeVar

from toolguard.adapters.pipecat_caller import Caller
from toolguard.adapters.pipecat_features import (
    FrameProcessor,
    LLMAssistantAggregator,
    LLMService,
    LLMUserAggregator,
    frames,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from toolguard.adapters.pipecat_calls import PipecatCalls
    from toolguard.adapters.pipecat_features import FunctionCallParams, PipelineWorker
    from toolguard.adapters.pipecat_port import PipecatPort
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

K = TypeVar("K")
V = TypeVar("V")
_ALL_COME_WITHIN = 0.1
"""Seconds within which the calls of a response that has ended reach their handlers."""
_HELD_AT_MOST = 8.0
"""Seconds that a reply waits at most; the tools' patience ends the waiting earlier."""
_REMEMBERED = 64
"""Announced calls and begun responses that are remembered, for those that never come or are never heard."""
_PARALLEL = 2
"""Turns of the loop in which the handlers of one response begin, where Pipecat runs them side by side."""


class PipecatEvents:
    """The ears at the processors of one conversation: every hook is one that Pipecat awaits before it acts.

    Args:
        session: The guarded session.
        port: Its way out; None where it only watches.
        calls: What serves the calls.
    """

    def __init__(self, session: Session, port: PipecatPort | None, calls: PipecatCalls) -> None:
        self.session = session
        self.port = port
        self.calls = calls
        calls.outside = contextvars.copy_context()
        self._here = secrets.token_hex(3)  # a conversation has several pipelines, and each counts for itself
        self.caller = Caller(session, port, self._here)
        self.llms: list[LLMService[Any]] = []
        self._hooks: list[tuple[FrameProcessor, str, Callable[..., Any]]] = []
        self._responses = 0
        self._generation = ""
        self._streaming = False
        self._coming: set[str] = set()
        self._announced: dict[str, tuple[str, int]] = {}
        self._issued = 0
        self._said: dict[str, str] = {}
        self._over = ""
        self._timer: asyncio.TimerHandle | None = None
        self._serving: set[int] = set()
        self._alone: set[str] = set()
        self._last = 0
        self._telling: dict[int, str] = {}
        self._aggregating = ""

    # -- hooks --------------------------------------------------------------------------------------------------

    def listen(self, worker: PipelineWorker, *, ends: bool = False) -> None:
        """Follow every processor of a worker's pipeline that is of interest; where it ``ends``, so does the session."""
        for processor in processors(worker.pipeline):
            if isinstance(processor, LLMService):
                self.hook(processor)
                if ends:
                    self._add(processor, "on_before_process_frame", self._ending)
            elif isinstance(processor, LLMUserAggregator):
                self._on(processor, "on_before_process_frame", self.caller.hears)
                self._on(processor, "on_after_process_frame", self.caller.heard)
                self._on(processor, "on_before_push_frame", self.caller.tells)
            elif isinstance(processor, LLMAssistantAggregator):
                self._on(processor, "on_before_process_frame", self._at_assistant)
                self._on(processor, "on_after_process_frame", self._after_assistant)
                self._on(processor, "on_assistant_turn_stopped", self._told)

    def hook(self, llm: LLMService[Any]) -> None:
        """Follow one more model of the conversation."""
        if llm in self.llms:
            return
        self.llms.append(llm)
        self._add(llm, "on_before_process_frame", self._held)
        self._on(llm, "on_before_process_frame", self._before)
        self._on(llm, "on_after_process_frame", self._after)
        self._on(llm, "on_before_push_frame", self._pushing)
        self._on(llm, "on_error", self._failed)

    def stop(self) -> None:
        """Follow nothing more."""
        for processor, event, handler in self._hooks:
            processor.remove_event_handler(event, handler)
        self._hooks.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _on(self, processor: FrameProcessor, event: str, translate: Callable[..., None]) -> None:
        def safe(*given: Any) -> None:
            try:
                translate(*given[1:])
            except Exception as error:  # noqa: BLE001 - never a traceback into Pipecat's tasks
                self.session.noticed("bad_event", f"{event}: {type(error).__name__}: {error}")

        self._add(processor, event, safe)

    def _add(self, processor: FrameProcessor, event: str, handler: Callable[..., Any]) -> None:
        processor.add_event_handler(event, handler)
        self._hooks.append((processor, event, handler))

    # -- the model ----------------------------------------------------------------------------------------------

    def _before(self, frame: frames.Frame) -> None:
        """A frame has reached the model, which has not acted on it yet."""
        if isinstance(frame, frames.LLMContextFrame):
            self._request(frame)
        elif isinstance(frame, frames.InterruptionFrame):
            self._interrupted()
        elif isinstance(frame, frames.BotStartedSpeakingFrame):
            self.session.playing(self._aggregating or self._generation or "speech")
        elif isinstance(frame, frames.BotStoppedSpeakingFrame):
            self.session.playing("")
        else:
            self.caller.passes(frame)

    async def _held(self, _llm: FrameProcessor, frame: frames.Frame) -> None:
        """A reply to words that take calls back waits for what became of them, and for nothing else (G8)."""
        if isinstance(frame, frames.LLMContextFrame) and self.port is not None:
            awaited, self.caller.awaited = self.caller.awaited, ()
            if awaited:
                await self.port.answered(awaited, _HELD_AT_MOST)

    def _request(self, frame: frames.LLMContextFrame) -> None:
        """The model is asked: every open call has an answer first (O2), and reads it in this very context."""
        self._close()
        self.session.answering()
        if self.port is not None:
            self.port.asking(frame.context)
        self._responses += 1
        self._generation, self._streaming = f"response-{self._here}-{self._responses}", False
        _keep(self._said, self._generation, "")
        self._issued = 0
        self.caller.answered(self._generation)
        self.session.generation_began(self._generation)

    def _pushing(self, frame: frames.Frame) -> None:
        """The model is about to send a frame."""
        if isinstance(frame, frames.LLMTextFrame):
            self._said[self._generation] = self._said.get(self._generation, "") + frame.text
        elif isinstance(frame, frames.LLMFullResponseStartFrame):
            self._streaming = True
            _keep(self._telling, frame.id, self._generation)
        elif isinstance(frame, frames.LLMFullResponseEndFrame):
            self._streaming = False
            self._end("completed")
        elif isinstance(frame, frames.FunctionCallsStartedFrame):
            self._announce(frame)
        elif isinstance(frame, frames.FunctionCallInProgressFrame) and not self._serving and self._last:
            self._alone.add(frame.tool_call_id)

    def _announce(self, frame: frames.FunctionCallsStartedFrame) -> None:
        """Calls of the response, in their order; the same announcement goes up and down the pipeline."""
        self._alone.clear()
        self._last = 0
        for call in frame.function_calls:
            if call.tool_call_id not in self._announced:
                _keep(self._announced, call.tool_call_id, (self._generation, self._issued))
                self._issued += 1
                if call.function_name in self.calls.tools:
                    self._coming.add(call.tool_call_id)

    def _after(self, frame: frames.Frame) -> None:
        """The model is done with a frame; one that never began to answer has answered nothing."""
        if isinstance(frame, frames.LLMContextFrame) and not self._streaming:
            self._end("completed")

    def _failed(self, _error: frames.ErrorFrame) -> None:
        self._end("failed")

    def _interrupted(self) -> None:
        """Pipecat stops what is being said: for the caller, or because the application wants it."""
        if not self.caller.has_floor:
            self.session.interrupted(self._generation)
        if self._generation and self.session.responding == self._generation:
            self._streaming = False
            self._end("cancelled")

    def _end(self, status: str) -> None:
        """A response has ended; its calls reach their handlers within a moment (O9)."""
        if not self._generation or self.session.responding != self._generation:
            return
        self._over = status
        if self._coming and status == "completed":
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_ALL_COME_WITHIN, self._close)
        else:
            self._close()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._over:
            status, self._over = self._over, ""
            self._coming.clear()
            self.session.generation_ended(self._generation, status)

    async def _ending(self, _llm: FrameProcessor, frame: frames.Frame) -> None:
        """The pipeline ends: what runs is decided before anybody saves the context, or is told of as it stands."""
        port = self.port
        if port is None:
            return
        if isinstance(frame, frames.EndFrame):
            await self.session.close("hang_up")
            await port.flush()
        elif isinstance(frame, frames.CancelFrame):
            port.leaving()

    # -- calls --------------------------------------------------------------------------------------------------

    async def serve(self, tool: Tool[..., Any], params: FunctionCallParams) -> Any:
        """Take one call; Pipecat's own task for it ends here, so that nothing of Pipecat can cancel the body."""
        if self.port is None:
            return await self.calls.watch(tool, params)
        call_id = params.tool_call_id
        generation, index = self._announced.pop(call_id, (self._generation, 0))
        self._coming.discard(call_id)
        behind = self._last if call_id in self._alone else 0
        self._last = self.calls.receive(tool, params, generation, index, behind)
        if self._over and not self._coming:
            self._close()
        ticket = self._last
        self._serving.add(ticket)
        try:
            for _ in range(_PARALLEL):
                await asyncio.sleep(0)
        finally:
            self._serving.discard(ticket)
        return None

    # -- what was heard -----------------------------------------------------------------------------------------

    def _at_assistant(self, frame: frames.Frame) -> None:
        if isinstance(frame, frames.LLMFullResponseStartFrame):
            self._aggregating = self._telling.pop(frame.id, self._generation)

    def _after_assistant(self, frame: frames.Frame) -> None:
        if isinstance(frame, frames.FunctionCallInProgressFrame) and self.port is not None:
            self.port.arrives(frame.tool_call_id)

    def _told(self, message: Any) -> None:
        """The aggregator has written what the caller heard of the agent's turn."""
        generation, self._aggregating = self._aggregating or self._generation, ""
        heard, said = str(message.content or ""), self._said.pop(generation, "").strip()
        cut = bool(message.interrupted)
        if heard or (cut and said):
            self.session.agent_spoke(generation, heard, unheard=_rest(said, heard) if cut else "", cut=cut)


def _keep(kept: dict[K, V], key: K, value: V) -> None:
    """Remember something for a while: what nobody asks for any more makes room."""
    kept[key] = value
    if len(kept) > _REMEMBERED:
        del kept[next(iter(kept))]


def _rest(said: str, heard: str) -> str:
    """What of a text was not heard; empty where that cannot be told, because it was spoken in other words."""
    words, there = said.split(), heard.split()
    return " ".join(words[len(there) :]) if words[: len(there)] == there else ""


def processors(processor: FrameProcessor) -> Iterator[FrameProcessor]:
    """A processor and everything in it."""
    yield processor
    for inner in processor.processors:
        yield from processors(inner)
