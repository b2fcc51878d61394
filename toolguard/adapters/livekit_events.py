"""Translates what a LiveKit session tells into what the guarded session understands, and answers its tool calls."""

from __future__ import annotations

import asyncio
import typing
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_features import agents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.adapters.livekit_port import LiveKitPort
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

QUIET = 0.1
"""Seconds after its last call at which a response counts as complete: LiveKit does not tell."""
LET_GO_WITHIN = 4.0
"""Seconds that an interrupted call may wait for the caller's words; LiveKit gives up after five."""
_ANSWER_WITHIN = 1.0


class LiveKitEvents:
    """The ears at one ``AgentSession``.

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
        session: The guarded session.
        port: Its way out; None where it only watches.
    """

    def __init__(self, agent_session: agents.AgentSession[Any], session: Session, port: LiveKitPort | None) -> None:
        self._room = agent_session
        self._emitter: Any = agent_session  # its callbacks have no type
        self.session = session
        self._port = port
        self._onsets = 0
        self._speaking = False
        self._words = ""
        self._settled = asyncio.Event()
        self._settled.set()
        self._calls: dict[str, tuple[agents.voice.SpeechHandle, str]] = {}
        self._issued: dict[str, int] = {}
        self._complete: dict[str, asyncio.TimerHandle] = {}
        self._open: set[str] = set()
        session.on_turn = self._turned
        self._known: dict[str, Callable[[Any], None]] = {
            "user_state_changed": self._user_state,
            "user_input_transcribed": self._transcribed,
            "agent_state_changed": self._agent_state,
            "conversation_item_added": self._item_added,
            "speech_created": self._speech_created,
            "function_tools_executed": self._executed,
        }
        self._safe = {name: self._guarded(name, translate) for name, translate in self._known.items()}

    def listen(self) -> None:
        """Follow the events of the LiveKit session."""
        for name, translate in self._safe.items():
            self._emitter.on(name, translate)

    def stop(self) -> None:
        """Follow them no more."""
        for name, translate in self._safe.items():
            self._emitter.off(name, translate)
        for timer in self._complete.values():
            timer.cancel()

    def _guarded(self, name: str, translate: Callable[[Any], None]) -> Callable[[Any], None]:
        def safe(event: Any) -> None:
            try:
                translate(event)
            except Exception as error:  # noqa: BLE001 - never a traceback into LiveKit's loop
                self.session.noticed("bad_event", f"{name}: {type(error).__name__}: {error}")

        return safe

    # -- calls --------------------------------------------------------------------------------------------------

    async def call(self, tool: Tool[..., Any], context: agents.RunContext[Any], raw: Mapping[str, Any]) -> Any:
        """Serve one call of LiveKit's model: the body runs in a task of the session's, here is only the wait for it."""
        port = self._port
        if port is None:
            arguments = tool.validated(raw)
            return await self.session.take(tool, tool.instance, (), {**arguments.values, **_contexts(tool, context)})
        call, handle = context.function_call, context.speech_handle
        generation = generation_of(handle)
        self._calls[call.call_id] = handle, generation
        answer = port.expect(call.call_id)
        self._went_on(generation)
        number = self.session.receive(
            call.call_id,
            call.name,
            raw,
            generation=generation,
            index=self._issued[generation],
            item=call.id,
            injected=_contexts(tool, context),
        )
        slot = self.session.state.slots.get(number)
        if slot is None or slot.sent:
            port.repeat(call.call_id)
        return await self._answered(call, handle, answer)

    async def _answered(
        self, call: agents.FunctionCall, handle: agents.voice.SpeechHandle, answer: asyncio.Future[Any]
    ) -> Any:
        """Wait for a call's answer, for as long as LiveKit lets it."""
        try:
            await handle.wait_if_not_interrupted([answer])
            if not answer.done():
                await self._let_go(answer)
        except asyncio.CancelledError:
            self.session.cancelled(call.call_id)
            raise
        if not answer.done() or answer.cancelled():
            raise agents.ToolError(f"The outcome of {call.name} is not known. Do not call it again.")
        return answer.result()

    def _went_on(self, generation: str) -> None:
        """Another call of a response: it is complete when none follows for a moment (O9)."""
        self._issued[generation] = self._issued.get(generation, -1) + 1
        timer = self._complete.pop(generation, None)
        if timer is not None:
            timer.cancel()
        self._open.add(generation)
        self._complete[generation] = asyncio.get_running_loop().call_later(QUIET, self._ended, generation)

    async def _let_go(self, answer: asyncio.Future[Any]) -> None:
        """The speech of a call is interrupted, so LiveKit waits for us: nobody may wait for the tool now (O2).

        The caller's words come first, where they are still to come: they may stop the call, and the model should read
        that and not a placeholder.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + LET_GO_WITHIN
        settled = asyncio.ensure_future(self._settled.wait())
        await asyncio.wait({answer, settled}, timeout=LET_GO_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        settled.cancel()
        if not answer.done():
            self.session.answering()
            await asyncio.wait({answer}, timeout=max(0.0, min(_ANSWER_WITHIN, until - loop.time())))

    # -- responses ----------------------------------------------------------------------------------------------

    def _began(self, generation: str) -> None:
        self._open.add(generation)
        if self._port is not None:
            self._port.responses += 1
        self.session.generation_began(generation)

    def _ended(self, generation: str, status: str = "completed") -> None:
        timer = self._complete.pop(generation, None)
        if timer is not None:
            timer.cancel()
        if generation in self._open or status == "cancelled":
            self._open.discard(generation)
            self.session.generation_ended(generation, status)

    def _speech_created(self, event: agents.SpeechCreatedEvent) -> None:
        if event.source == "say":
            return
        self._began(generation_of(event.speech_handle))
        event.speech_handle.add_done_callback(self._speech_done)

    def _speech_done(self, handle: agents.voice.SpeechHandle) -> None:
        self._ended(generation_of(handle), "cancelled" if handle.interrupted else "completed")

    def _executed(self, event: agents.FunctionToolsExecutedEvent) -> None:
        """LiveKit has the outputs of a response; now it replies to them, or says nothing (O5)."""
        port = self._port
        ids = {call.call_id for call in event.function_calls}
        ours = [self._calls.pop(call_id) for call_id in ids if call_id in self._calls]
        if port is None or not ours:
            return
        handle = ours[0][0]
        for generation in {generation for _, generation in ours}:
            self._ended(generation)
            self._issued.pop(generation, None)
        replies = event.has_tool_reply and not handle.interrupted
        owed = bool(port.replying & ids)
        port.replying -= ids
        if replies:
            self._began(generation_of(handle))
        elif owed:
            self.session.reply_refused("the agent's speech was interrupted before it could answer")

    def _agent_state(self, event: agents.AgentStateChangedEvent) -> None:
        """A response that is heard is no longer awaited: news may enter the context while it is played."""
        speech = self._room.current_speech
        if event.new_state == "speaking":
            generation = generation_of(speech) if speech is not None else "speech"
            self.session.playing(generation)
            self._ended(generation)
        elif event.old_state == "speaking":
            self.session.playing("")

    def _item_added(self, event: agents.ConversationItemAddedEvent) -> None:
        """LiveKit adds what the agent said when it was played, shortened to what was heard."""
        item = event.item
        speech = self._room.current_speech
        if isinstance(item, agents.ChatMessage) and item.role == "assistant" and speech is not None:
            self.session.agent_spoke(generation_of(speech), item.text_content or "", cut=item.interrupted, item=item.id)

    # -- the caller ---------------------------------------------------------------------------------------------

    @property
    def _onset(self) -> str:
        return f"onset-{self._onsets}"

    def _user_state(self, event: agents.UserStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self._onsets += 1
            self._speaking, self._words = True, ""
            self._settled.clear()
            self.session.caller_started(self._onset)
        elif self._speaking:
            self._speaking = False
            self.session.caller_stopped(self._onset)
            if self._words:
                self.session.caller_said(self._words, onset=self._onset)

    def _transcribed(self, event: agents.UserInputTranscribedEvent) -> None:
        """Words of the caller: LiveKit's final transcripts are pieces of a turn while the caller still speaks."""
        text = event.transcript.strip()
        if not text:
            return
        words = f"{self._words} {text}".strip()
        if self._speaking:
            if event.is_final:
                self._words = words
            self.session.caller_said(words, onset=self._onset, final=False)
        elif event.is_final:
            self.session.caller_said(text, onset=self._onset if self._onsets else "", item=event.item_id or "")

    def _turned(self, _kind: str, onset: str) -> None:
        if not onset or onset == self._onset:
            self._settled.set()


def generation_of(handle: agents.voice.SpeechHandle) -> str:
    """One response of the model: a speech of LiveKit's has several, one for each step."""
    return f"{handle.id}/{handle.num_steps}"


def _contexts(tool: Tool[..., Any], context: agents.RunContext[Any]) -> dict[str, Any]:
    """LiveKit's context for the parameters that ask for it."""
    return {name: context for name, wanted in tool.shape.injected.items() if _wants_context(wanted)}


def _wants_context(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return "RunContext" in annotation
    kind = typing.get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, agents.RunContext):
        return True
    return any(_wants_context(part) for part in typing.get_args(annotation))
