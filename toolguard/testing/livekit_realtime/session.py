"""The client's end of the line: a ``RealtimeSession`` of LiveKit's, as a provider's plugin makes one."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any, Literal, cast

from livekit.agents.llm import (
    ChatContext,
    FunctionCall,
    GenerationCreatedEvent,
    InputSpeechStartedEvent,
    InputSpeechStoppedEvent,
    InputTranscriptionCompleted,
    RealtimeError,
    RealtimeSession,
    RealtimeSessionReconnectedEvent,
    RemoteItemAddedEvent,
    ToolContext,
)
from livekit.agents.metrics import RealtimeModelMetrics
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.utils import is_given

from toolguard.testing.livekit_realtime.generation import Incoming
from toolguard.testing.livekit_realtime.mirror import Mirror, Trouble
from toolguard.testing.livekit_realtime.server import ScriptedServer
from toolguard.testing.livekit_realtime.wire import Wire

if TYPE_CHECKING:
    from livekit import rtc
    from livekit.agents.llm import ChatItem, Tool, ToolChoice

    from toolguard.testing.livekit_realtime.model import ScriptedRealtimeModel


class ScriptedSession(RealtimeSession[str]):
    """One connection of the scripted model, made by LiveKit through ``RealtimeModel.session``.

    Attributes:
        server: The other end.
        troubles: How the next updates of the chat context fail, in order.
        updates: Every update of the chat context: when it was asked for, and how it ended.
        closed: Whether LiveKit has left it.
    """

    def __init__(self, model: ScriptedRealtimeModel) -> None:
        super().__init__(model)
        self.server = ScriptedServer(model.behaviour, self._told)
        self.troubles: list[Trouble] = []
        self.updates: list[tuple[float, str]] = []
        self.closed = False
        self._up = Wire(lambda: model.behaviour.round_trip / 2)
        self._up.hold()
        asyncio.get_running_loop().call_later(model.behaviour.connects, self._up.go_on)
        self._mirror = Mirror(self.server, self._up)
        self._tools = ToolContext.empty()
        self._numbers = itertools.count(1)
        self._asking: dict[str, asyncio.Future[GenerationCreatedEvent]] = {}
        self._given_up: set[str] = set()
        self._updating = asyncio.Lock()
        self._now: Incoming | None = None
        self._told_by = {name: getattr(self, f"_{name}") for name in _TOLD}

    def _told(self, event: str, *about: Any) -> None:
        if not self.closed:
            self._told_by[event](*about)

    # -- what LiveKit reads -------------------------------------------------------------------------------------

    @property
    def chat_ctx(self) -> ChatContext:
        """The conversation as far as the server has confirmed it."""
        return ChatContext(list(self._mirror.known))

    @property
    def tools(self) -> ToolContext:
        """The tools that the model has."""
        return self._tools

    # -- what LiveKit does --------------------------------------------------------------------------------------

    async def update_instructions(self, instructions: str) -> None:
        """Send the session's instructions."""
        self._up.send(lambda: self.server.instruct(instructions))

    async def update_tools(self, tools: list[Tool]) -> None:
        """Send the tools."""
        self._tools = ToolContext(list(tools))
        known: Any = self._tools
        names = tuple(sorted(known.function_tools))
        self._up.send(lambda: setattr(self.server, "tools", names))

    async def update_chat_ctx(self, chat_ctx: ChatContext) -> None:
        """Send what the server lacks, take out what it has too much, and wait until it has confirmed both.

        Raises:
            RealtimeError: It has not.
        """
        async with self._updating:
            at = asyncio.get_running_loop().time()
            trouble = self.troubles.pop(0) if self.troubles else None
            try:
                await self._mirror.update(chat_ctx, trouble)
            except RealtimeError as error:
                self.updates.append((at, str(error)))
                raise
            self.updates.append((at, ""))

    def update_options(
        self,
        *,
        tool_choice: NotGivenOr[ToolChoice | None] = NOT_GIVEN,
        turn_detection: NotGivenOr[Any] = NOT_GIVEN,
    ) -> None:
        """Send the tool choice, or, as OpenAI's plugin takes it, how turns are to be detected."""
        if is_given(tool_choice):
            self._up.send(lambda: self.server.note("tool_choice", str(tool_choice)))
        if is_given(turn_detection):
            given: Any = turn_detection
            detection: dict[str, Any] = cast("Any", given) if isinstance(given, dict) else given.model_dump()
            self._up.send(lambda: self.server.detect(detection))

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        """Nobody listens: the test says what the caller says."""

    def push_video(self, frame: rtc.VideoFrame) -> None:
        """Nobody looks."""

    def generate_reply(
        self,
        *,
        instructions: NotGivenOr[str] = NOT_GIVEN,
        tool_choice: NotGivenOr[ToolChoice] = NOT_GIVEN,
        tools: NotGivenOr[list[Tool]] = NOT_GIVEN,  # noqa: ARG002 - LiveKit's signature
    ) -> asyncio.Future[GenerationCreatedEvent]:
        """Ask for a response."""
        event = f"event_{next(self._numbers)}"
        asking: asyncio.Future[GenerationCreatedEvent] = asyncio.get_running_loop().create_future()
        self._asking[event] = asking
        extra = instructions if is_given(instructions) else ""
        choice = tool_choice if is_given(tool_choice) else None
        self._up.send(lambda: self.server.respond("client", event=event, extra=extra, tool_choice=choice))

        def done(future: asyncio.Future[GenerationCreatedEvent]) -> None:
            if future.cancelled() and self._asking.pop(event, None) is not None:
                self._given_up.add(event)
                self._up.send(self.server.cancel)

        asking.add_done_callback(done)
        return asking

    def commit_audio(self) -> None:
        """The caller's turn is ended by the client."""
        self._up.send(lambda: self.server.note("commit_audio"))

    def clear_audio(self) -> None:
        """What the caller has said so far is not to be a turn."""
        self._up.send(lambda: self.server.note("clear_audio"))

    def interrupt(self) -> None:
        """Cancel the response in progress, if there is one."""
        if self._now is not None or self._asking:
            self._up.send(self.server.cancel)

    def truncate(
        self,
        *,
        message_id: str,
        modalities: list[Literal["text", "audio"]],  # noqa: ARG002 - LiveKit's signature
        audio_end_ms: int,
        audio_transcript: NotGivenOr[str] = NOT_GIVEN,
    ) -> None:
        """Say how much of a message the caller heard."""
        heard = audio_transcript if is_given(audio_transcript) else ""
        self._up.send(lambda: self.server.truncate(message_id, heard, audio_end_ms))

    async def aclose(self) -> None:
        """LiveKit leaves the session."""
        self.closed = True
        if self.server.active is not None:
            self.server.active.finish("cancelled")
        self._end_generation()

    # -- what the server tells ----------------------------------------------------------------------------------

    def _item_added(self, before: str | None, item: ChatItem, event: int = 0) -> None:
        if self._mirror.added(before, item, event):
            self.emit("remote_item_added", RemoteItemAddedEvent(previous_item_id=before, item=item))

    def _item_deleted(self, item: str, event: int) -> None:
        self._mirror.deleted(item, event)

    def _item_refused(self, event: int, _why: str) -> None:
        self._mirror.settle(event)  # LiveKit's plugins warn of it

    def _session_updated(self, event: dict[str, Any]) -> None:
        self.emit("openai_server_event_received", event)

    def _response_created(self, response: str, event: str) -> None:
        if event in self._given_up:
            self._up.send(self.server.cancel)
            return
        asking = self._asking.pop(event, None)
        self._now = Incoming()
        created = self._now.created(response, by_client=asking is not None)
        if asking is not None and not asking.done():
            asking.set_result(created)
        self.emit("generation_created", created)

    def _response_refused(self, event: str, code: str) -> None:
        asking = self._asking.pop(event, None)
        if asking is not None and not asking.done():
            asking.set_exception(RealtimeError("the server has an active response", code=code))

    def _message_opened(self, item: str) -> None:
        if self._now is not None:
            self._now.open(item)

    def _message_piece(self, _item: str, text: str, seconds: float) -> None:
        if self._now is not None:
            self._now.piece(text, seconds)

    def _message_closed(self, item: str, text: str) -> None:
        self._mirror.worded(item, text)
        if self._now is not None:
            self._now.close()

    def _called(self, call: FunctionCall) -> None:
        if self._now is not None:
            self._now.calls.send_nowait(call.model_copy())

    def _response_done(self, response: str, status: str) -> None:
        self._end_generation()
        self.emit(
            "metrics_collected",
            RealtimeModelMetrics(
                request_id=response,
                timestamp=time.time(),
                cancelled=status == "cancelled",
                input_token_details=RealtimeModelMetrics.InputTokenDetails(),
                output_token_details=RealtimeModelMetrics.OutputTokenDetails(),
            ),
        )

    def _end_generation(self) -> None:
        if self._now is not None:
            self._now.end()
            self._now = None

    def _speech_started(self) -> None:
        self.emit("input_speech_started", InputSpeechStartedEvent())

    def _speech_stopped(self) -> None:
        self.emit("input_speech_stopped", InputSpeechStoppedEvent(user_transcription_enabled=True))

    def _transcript(self, item: str, words: str, final: bool, began: float | None = None) -> None:
        if not self.capabilities.user_transcription:
            return
        if final:
            self._mirror.worded(item, words)
        self.emit(
            "input_audio_transcription_completed",
            InputTranscriptionCompleted(item_id=item, transcript=words, is_final=final, turn_started_at=began),
        )

    # -- the line -----------------------------------------------------------------------------------------------

    async def drops(self, gap: float = 0.5, *, forgets: int = 0) -> None:
        """The provider's connection is lost, and a new one made after ``gap`` seconds, as LiveKit's plugins make it.

        What the server had confirmed is put there again (but for the last ``forgets`` items); what was under way is
        sent again; a reply that was asked for fails; the generation in progress ends.
        """
        self._up.hold()
        self._up.lose()
        self.server.lost()
        await asyncio.sleep(gap)
        self._mirror.replay(forgets)
        self._up.go_on()
        for asking in self._asking.values():
            if not asking.done():
                asking.set_exception(RealtimeError("pending response discarded due to session reconnection"))
        self._asking.clear()
        self._end_generation()
        self.emit("session_reconnected", RealtimeSessionReconnectedEvent())


class PlainSession(ScriptedSession):
    """A session of a provider that answers turns whatever the client wants, and shows nothing of what it sends."""

    def update_options(self, *, tool_choice: NotGivenOr[ToolChoice | None] = NOT_GIVEN) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Send the tool choice."""
        super().update_options(tool_choice=tool_choice)

    def _session_updated(self, event: dict[str, Any]) -> None:
        pass


_TOLD = (
    "item_added",
    "item_deleted",
    "item_refused",
    "session_updated",
    "response_created",
    "response_refused",
    "message_opened",
    "message_piece",
    "message_closed",
    "called",
    "response_done",
    "speech_started",
    "speech_stopped",
    "transcript",
)
