"""Hands what a LiveKit session with a speech-to-speech model tells on to those whom it concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_events import LiveKitEvents
from toolguard.adapters.livekit_features import agents
from toolguard.adapters.livekit_realtime_caller import RealtimeCaller
from toolguard.adapters.livekit_realtime_calls import RealtimeCalls
from toolguard.adapters.livekit_realtime_line import Line
from toolguard.adapters.livekit_realtime_moves import RealtimeMoves
from toolguard.adapters.livekit_realtime_nodes import RealtimeNodes
from toolguard.adapters.livekit_realtime_port import LiveKitRealtimePort
from toolguard.adapters.livekit_realtime_responses import RealtimeResponses
from toolguard.adapters.livekit_responses import generation_of

if TYPE_CHECKING:
    from toolguard.adapters.livekit_port import LiveKitPort
    from toolguard.engine.session import Session


class LiveKitRealtimeEvents(LiveKitEvents):
    """The ears at one ``AgentSession`` with a realtime model.

    The provider hears the caller, and answers turns by itself, before the words are known: whatever is open is answered
    as soon as the caller is heard (O2).

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
        session: The guarded session.
        port: Its way out; None where it only watches.
    """

    def _furnish(self, session: Session, port: LiveKitPort | None) -> None:
        self.way_out = port if isinstance(port, LiveKitRealtimePort) else None
        out = self.way_out
        self.replies = RealtimeResponses(session, out, self.toolbox.names) if out is not None else None
        self.heard = RealtimeCaller(session, self.replies, out)
        self.responses, self.caller = self.replies, self.heard
        calls = RealtimeCalls(self._room, session, port, self.caller, self.responses)
        self.calls = calls
        if out is not None:
            out.is_cut_off, out.is_handing_over = calls.is_cut_off, calls.is_handing_over
        self.moves = RealtimeMoves(self._room, session, out, self.caller) if out is not None else None
        self.nodes = RealtimeNodes(self.toolbox, self.caller, port, self.responses, self.moves)
        self._followed = Line(self._room, self)
        if self.replies is not None:
            self.replies.on_over = self._calmed

    def listen(self) -> None:
        """Follow the events of the LiveKit session, and of the realtime session of whichever agent."""
        super().listen()
        self._followed.follow()

    def stop(self) -> None:
        """Follow them no more."""
        self._followed.leave()
        if self.replies is not None:
            self.replies.lost()
        super().stop()

    def _arrived(self, agent: agents.Agent, *, before: bool) -> None:
        super()._arrived(agent, before=before)
        self._followed.follow()

    # -- responses ----------------------------------------------------------------------------------------------

    def created(self, handle: agents.voice.SpeechHandle | None, *, asked: bool) -> None:
        """The provider has begun a response, which LiveKit will speak."""
        if self.replies is None or handle is None or (self.way_out is not None and handle.id in self.way_out.fillers):
            return
        self.heard.answered()
        self.replies.created(handle)
        if asked and self.way_out is not None:
            self.way_out.look()

    def named(self, response: str) -> None:
        """The provider's name of the response that has begun last."""
        if self.replies is not None:
            self.replies.named(response)

    def coming(self, call: agents.FunctionCall) -> None:
        """A call of the response that has begun last is about to be made."""
        if self.replies is not None and call.name in self.toolbox.names:
            self.replies.coming(call.call_id)

    def finished(self, response: str, *, cancelled: bool) -> None:
        """All of a response has come, or will not come."""
        if self.replies is not None:
            self.replies.finished(response, cancelled=cancelled)

    def _speech_created(self, event: agents.SpeechCreatedEvent) -> None:
        if event.source == "say" or self.replies is None:
            return
        event.speech_handle.add_done_callback(self._speech_done)
        if not event.user_initiated:
            self._followed.scheduled()
            self.created(event.speech_handle, asked=False)

    def _speech_done(self, handle: agents.voice.SpeechHandle) -> None:
        if self.replies is not None:
            self.replies.done(handle)
        self._calmed()

    def _calmed(self) -> None:
        silent = self._room.agent_state != "speaking" and (self.replies is None or self.replies.calm)
        if self.way_out is not None and silent:
            self.way_out.calm.set()

    def _executed(self, event: agents.FunctionToolsExecutedEvent) -> None:
        """LiveKit has the outputs of a response, gives them to the provider and asks it to reply (O5)."""
        if self.replies is None or self.way_out is None:
            return
        self.replies.forget({call.call_id for call in event.function_calls})
        owed = self.way_out.replying & {call.call_id for call in event.function_calls}
        self.way_out.executed(event)
        handle = self.calls.executed(event)
        if handle is not None:
            replies = event.has_tool_reply and not handle.interrupted
            self.replies.executed(handle, frozenset(owed), replies=replies)

    def _agent_state(self, event: agents.AgentStateChangedEvent) -> None:
        """A response that is heard is no longer awaited, nor is one of which only the tools are."""
        self._followed.follow()
        speech = self._room.current_speech
        if speech is not None and event.old_state == "speaking":
            self._silence(speech)
        super()._agent_state(event)
        if self.way_out is None or self.replies is None:
            return
        if event.new_state == "speaking":
            self.replies.heard(speech)
            self.way_out.calm.clear()
        elif event.new_state == "thinking":
            self.replies.complete(speech)
        if event.old_state == "speaking":
            self._calmed()

    def _silence(self, speech: agents.voice.SpeechHandle) -> None:
        """A speech that the application has cut off while it was heard is not to be answered by itself (O5)."""
        if speech.interrupted and not self.caller.speaking and self.caller.settled.is_set():
            self.session.interrupted(generation_of(speech))

    def _item_added(self, event: agents.ConversationItemAddedEvent) -> None:
        """LiveKit adds what the agent said when it was played, shortened to what was heard."""
        item, speech = event.item, self._room.current_speech
        if isinstance(item, agents.ChatMessage) and item.role == "user":
            return  # its words are told by themselves
        if speech is not None and self.way_out is not None and speech.id in self.way_out.fillers:
            return
        if not isinstance(item, agents.ChatMessage) or item.role != "assistant" or not item.interrupted:
            super()._item_added(event)
        elif speech is not None:
            heard = item.text_content or ""
            unheard = self._followed.words(item.id).removeprefix(heard).strip()
            self.session.agent_spoke(generation_of(speech), heard, unheard=unheard, cut=True, item=item.id)

    # -- the line -----------------------------------------------------------------------------------------------

    def met(self, line: agents.llm.RealtimeSession[Any]) -> None:
        """An agent has begun, with this realtime session."""
        if self.way_out is not None:
            self.way_out.met(line)

    def saw(self, event: object) -> None:
        """The provider has sent something that LiveKit's plugin shows as it is."""
        if self.way_out is not None:
            self.way_out.turns.saw(event)

    def reconnected(self) -> None:
        """The provider's connection was replaced: LiveKit has put there again what was confirmed (O11)."""
        what = "the provider's connection was replaced, what it had confirmed was put there again"
        if self.way_out is None or self.replies is None:
            self.session.noticed("line_rebuilt", what)
            return
        unanswered = self.heard.unanswered
        self.heard.answered()
        self.session.dropped("provider")
        self.replies.lost()
        self._calmed()
        self.way_out.rebuilt()
        self.session.noticed("line_rebuilt", what)
        if self.replies.coming_back:
            self.session.reply_coming()
        self.session.back()
        if unanswered:
            self.session.wants_reply()
