"""What a LiveKit session with a speech-to-speech model tells, translated into what the guarded session understands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_events import LiveKitEvents, generation_of
from toolguard.adapters.livekit_features import agents
from toolguard.adapters.livekit_realtime_line import Line
from toolguard.adapters.livekit_realtime_port import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.adapters.livekit_realtime_port import LiveKitRealtimePort
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

CONTINUES_WITHIN = 0.7
"""Seconds after the end of a turn within which new speech counts as the same turn going on (G6)."""
_ANSWER_WITHIN = 1.0


class LiveKitRealtimeEvents(LiveKitEvents):
    """The ears at one ``AgentSession`` with a realtime model.

    The provider hears the caller, and answers turns by itself, before the words are known: whatever is open is answered
    as soon as the caller is heard (O2).

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
        session: The guarded session.
        port: Its way out; None where it only watches.
    """

    def __init__(
        self, agent_session: agents.AgentSession[Any], session: Session, port: LiveKitRealtimePort | None
    ) -> None:
        super().__init__(agent_session, session, port)
        self.way_out = port
        self._begun: set[str] = set()
        self._replies: dict[str, frozenset[str]] = {}
        self._stopped_at = -1e9
        self._since_stop = ""
        self._continues: dict[str, str] = {}
        self._turns: dict[str, str] = {}
        self._stopped: list[str] = []
        self._unanswered = False
        self._line = Line(agent_session, self)
        session.on_settling = self._settling

    def listen(self) -> None:
        """Follow the events of the LiveKit session, and of the realtime session of whichever agent."""
        super().listen()
        self._line.follow()

    def stop(self) -> None:
        """Follow them no more."""
        self._line.leave()
        super().stop()

    # -- calls --------------------------------------------------------------------------------------------------

    async def call(self, tool: Tool[..., Any], context: agents.RunContext[Any], raw: Mapping[str, Any]) -> Any:
        """Serve one call; one whose arguments were no JSON before LiveKit mended them is not run (O10)."""
        self._line.follow()
        call = context.function_call
        if self.way_out is not None and not whole(self.way_out.line, call):
            answer = self.way_out.expect(call.call_id)
            generation = generation_of(context.speech_handle)
            self._calls[call.call_id] = context.speech_handle, generation
            self._went_on(generation)
            self.session.incomplete(call.call_id, call.name, generation=generation, item=call.id, reply=True)
            return await self._answered(call, context.speech_handle, answer)
        return await super().call(tool, context, raw)

    async def _let_go(self, answer: asyncio.Future[Any]) -> None:
        """The speech of a call is interrupted: the provider may answer the caller before their words are known (O2)."""
        self.session.answering()
        await asyncio.wait({answer}, timeout=_ANSWER_WITHIN)

    # -- responses ----------------------------------------------------------------------------------------------

    def began(self, handle: agents.voice.SpeechHandle | None, *, asked: bool) -> None:
        """The provider has begun a response."""
        generation = generation_of(handle) if handle is not None else "response"
        if generation in self._begun:
            return
        self._begun.add(generation)
        self._since_stop = generation
        self._unanswered = False
        self._open.add(generation)
        if self.way_out is not None:
            self.way_out.began()
            self.way_out.calm.clear()
            if asked:
                self.way_out.look()
        self.session.generation_began(generation)

    def _speech_created(self, event: agents.SpeechCreatedEvent) -> None:
        if event.source == "say":
            return
        event.speech_handle.add_done_callback(self._speech_done)
        if not event.user_initiated:
            self._line.scheduled()
            self.began(event.speech_handle, asked=False)

    def _speech_done(self, handle: agents.voice.SpeechHandle) -> None:
        generation = generation_of(handle)
        if handle.interrupted and generation in self._begun:
            self.session.cut_off(generation)
        self._ended(generation, "cancelled" if handle.interrupted else "completed")
        self._calmed()
        ids = self._replies.pop(generation, frozenset())
        if ids and generation not in self._begun:
            self.session.not_told(ids)

    def _calmed(self) -> None:
        if self.way_out is not None and not self._open and self._room.agent_state != "speaking":
            self.way_out.calm.set()

    def _executed(self, event: agents.FunctionToolsExecutedEvent) -> None:
        """LiveKit has the outputs of a response, gives them to the provider and asks it to reply (O5)."""
        port = self.way_out
        ids = {call.call_id for call in event.function_calls}
        ours = [self._calls.pop(call_id) for call_id in ids if call_id in self._calls]
        if port is None:
            return
        port.executed(event)
        if not ours:
            return
        handle = ours[0][0]
        for generation in {generation for _, generation in ours}:
            self._ended(generation)
            self._issued.pop(generation, None)
        owed = port.replying & ids
        port.replying -= ids
        if event.has_tool_reply and not handle.interrupted:
            if not port.answers_by_itself:
                self._replies[generation_of(handle)] = frozenset(owed)
            self.session.reply_coming()
        elif owed:
            self.session.not_told(owed)

    def _agent_state(self, event: agents.AgentStateChangedEvent) -> None:
        """A response that is heard is no longer awaited."""
        self._line.follow()
        super()._agent_state(event)
        if event.new_state == "speaking" and self.way_out is not None:
            self.way_out.calm.clear()
        elif event.old_state == "speaking":
            self._calmed()

    def _item_added(self, event: agents.ConversationItemAddedEvent) -> None:
        """LiveKit adds what the agent said when it was played, shortened to what was heard."""
        item, speech = event.item, self._room.current_speech
        if isinstance(item, agents.AgentHandoff):
            self._line.follow()
        if not isinstance(item, agents.ChatMessage) or item.role != "assistant" or speech is None:
            return
        heard, whole_text = item.text_content or "", self._line.words(item.id)
        unheard = whole_text.removeprefix(heard).strip() if item.interrupted else ""
        self.session.agent_spoke(generation_of(speech), heard, unheard=unheard, cut=item.interrupted, item=item.id)

    # -- the caller ---------------------------------------------------------------------------------------------

    def _user_state(self, event: agents.UserStateChangedEvent) -> None:
        now = asyncio.get_running_loop().time()
        if event.new_state == "speaking":
            self._onsets += 1
            self._speaking, self._words = True, ""
            if self._since_stop and now - self._stopped_at <= CONTINUES_WITHIN:
                self._continues[self._onset] = self._since_stop
            self.session.caller_started(self._onset)
        elif self._speaking:
            self._speaking = False
            self._stopped_at, self._since_stop = now, ""
            self._stopped.append(self._onset)
            self._unanswered = True
            self.session.caller_stopped(self._onset)

    def _transcribed(self, event: agents.UserInputTranscribedEvent) -> None:
        text, item = event.transcript.strip(), event.item_id or ""
        if not text:
            return
        if not event.is_final:
            self.session.caller_said(text, onset=self._onset if self._onsets else "", final=False, item=item)
            return
        onset = self._turns.pop(item, "") or (self._stopped[-1] if self._stopped else "")
        self._stopped = [one for one in self._stopped if one != onset]
        self.session.caller_said(text, onset=onset, item=item)

    def turn_item(self, item: str) -> None:
        """The provider has made an item of what the caller has just said."""
        if self._stopped and item not in self._turns:
            self._turns[item] = self._stopped[-1]

    def _settling(self, kind: str, onset: str) -> None:
        """The turn goes on that a response had answered too early: the response counts as discarded (G6)."""
        generation = self._continues.pop(onset, "")
        if generation and kind not in {"noise", "backchannel"} and self.way_out is not None:
            self.session.discarded(generation)

    # -- the line -----------------------------------------------------------------------------------------------

    def reconnected(self) -> None:
        """The provider's connection was replaced: LiveKit has put there again what was confirmed (O11)."""
        if self.way_out is None:
            self.session.noticed("line_rebuilt", "the provider's connection was replaced")
            return
        unanswered, self._unanswered = self._unanswered, False
        self.session.dropped("provider")
        self._open.clear()
        self._calmed()
        self.way_out.rebuilt()
        self.session.noticed("line_rebuilt", "the provider's connection was replaced, the conversation put there again")
        self.session.back()
        if unanswered:
            self.session.wants_reply()
