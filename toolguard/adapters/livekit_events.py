"""Hands what a LiveKit session tells on to those whom it concerns: the caller's side, the responses, the calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_caller import Caller
from toolguard.adapters.livekit_calls import Calls
from toolguard.adapters.livekit_features import agents
from toolguard.adapters.livekit_moves import Moves
from toolguard.adapters.livekit_nodes import Nodes
from toolguard.adapters.livekit_responses import Responses, generation_of
from toolguard.adapters.livekit_tools import SERVING, Toolbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.adapters.livekit_port import LiveKitPort
    from toolguard.engine.session import Session


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
        self.toolbox = Toolbox(session, watching=port is None)
        self._furnish(session, port)
        self._phone: Any = None
        self._keys = self._guarded("sip_dtmf_received", self._key)
        self._speeches: dict[str, tuple[agents.voice.SpeechHandle, int]] = {}
        self._known: dict[str, Callable[[Any], None]] = {
            "user_state_changed": self._user_state,
            "user_input_transcribed": self._transcribed,
            "agent_state_changed": self._agent_state,
            "conversation_item_added": self._item_added,
            "speech_created": self._speech_created,
            "function_tools_executed": self._executed,
            "tool_execution_updated": self._tool_updated,
        }
        self._safe = {name: self._guarded(name, translate) for name, translate in self._known.items()}

    def _furnish(self, session: Session, port: LiveKitPort | None) -> None:
        """Whom it hands on to; with another kind of model they are others."""
        self.responses = Responses(session, port, self.toolbox.names) if port is not None else None
        self.caller = Caller(session, self.responses)
        self.calls = Calls(self._room, session, port, self.caller, self.responses)
        self.moves = Moves(self._room, session, port, self.caller) if port is not None else None
        self.nodes = Nodes(self.toolbox, self.caller, port, self.responses, self.moves)

    def listen(self) -> None:
        """Follow the events of the LiveKit session, and serve its calls."""
        SERVING[self._room] = self.calls.serve
        for name, translate in self._safe.items():
            self._emitter.on(name, translate)
        try:
            agent = self._room.current_agent
        except RuntimeError:  # it has not started
            return
        self._arrived(agent, before=False)

    def stop(self) -> None:
        """Follow them no more."""
        SERVING.pop(self._room, None)
        for name, translate in self._safe.items():
            self._emitter.off(name, translate)
        if self._phone is not None:
            self._phone.off("sip_dtmf_received", self._keys)
        self.nodes.take_off()
        self.calls.stop()
        if self.moves is not None:
            self.moves.stop()

    def _guarded(self, name: str, translate: Callable[[Any], None]) -> Callable[[Any], None]:
        def safe(event: Any) -> None:
            try:
                translate(event)
            except Exception as error:  # noqa: BLE001 - never a traceback into LiveKit's loop
                self.session.noticed("bad_event", f"{name}: {type(error).__name__}: {error}")

        return safe

    # -- agents -------------------------------------------------------------------------------------------------

    def _arrived(self, agent: agents.Agent, *, before: bool) -> None:
        self._hear_keys()
        self.nodes.put_on(agent)
        if self.moves is not None:
            self.moves.arrives(agent, before=before)
        self.toolbox.bring([*self._room.tools, *agent.tools])

    def _hear_keys(self) -> None:
        """A session with a room has a telephone line, perhaps, and keys may be pressed on it."""
        if self._phone is not None:
            return
        try:
            self._phone = self._room.room_io.room
        except RuntimeError:  # it has no room
            return
        self._phone.on("sip_dtmf_received", self._keys)

    def _key(self, event: Any) -> None:
        self.session.key_pressed(str(event.digit))

    # -- responses ----------------------------------------------------------------------------------------------

    def _speech_created(self, event: agents.SpeechCreatedEvent) -> None:
        handle, responses = event.speech_handle, self.responses
        if event.source == "say" or responses is None:
            return
        self._speeches[handle.id] = handle, handle.num_steps
        responses.expect(handle)
        handle.add_done_callback(self._speech_done)

    def _speech_done(self, handle: agents.voice.SpeechHandle) -> None:
        self._speeches.pop(handle.id, None)
        if self.responses is not None:
            self.responses.done(handle)

    def _executed(self, event: agents.FunctionToolsExecutedEvent) -> None:
        responses = self.responses
        if responses is None:
            return
        responses.forget({call.call_id for call in event.function_calls})
        handle = self.calls.executed(event) or self._next_step()
        if handle is not None:
            self._speeches[handle.id] = handle, handle.num_steps
            if event.has_tool_reply and not handle.interrupted:
                responses.expect(handle)

    def _next_step(self) -> agents.voice.SpeechHandle | None:
        """The speech that has just gone on to its next step: LiveKit does not say whose calls these were."""
        return next((handle for handle, step in self._speeches.values() if handle.num_steps > step), None)

    def _tool_updated(self, event: agents.ToolExecutionUpdatedEvent) -> None:
        update = event.update
        if update.type == "tool_call_updated":
            self.calls.reported(update.call_id)

    def _agent_state(self, event: agents.AgentStateChangedEvent) -> None:
        speech = self._room.current_speech
        if event.new_state == "speaking":
            self.session.playing(generation_of(speech) if speech is not None else "speech")
        elif event.old_state == "speaking":
            self.session.playing("")

    def _item_added(self, event: agents.ConversationItemAddedEvent) -> None:
        """LiveKit adds what the agent said when it was played, shortened to what was heard."""
        item = event.item
        if isinstance(item, agents.llm.AgentHandoff):
            self._arrived(self._room.current_agent, before=item.old_agent_id is not None)
        elif isinstance(item, agents.ChatMessage) and item.role == "assistant":
            speech = self._room.current_speech
            if speech is not None:
                text = item.text_content or ""
                rest = self.responses.unheard(speech, text) if self.responses is not None and item.interrupted else ""
                self.session.agent_spoke(generation_of(speech), text, unheard=rest, cut=item.interrupted, item=item.id)
        elif isinstance(item, agents.ChatMessage) and item.role == "user" and not self.caller.spoke(item):
            self.caller.types(item.text_content or "", item.id)

    # -- the caller ---------------------------------------------------------------------------------------------

    def _user_state(self, event: agents.UserStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self.caller.starts()
        else:
            self.caller.stops()

    def _transcribed(self, event: agents.UserInputTranscribedEvent) -> None:
        self.caller.hears(event.transcript, final=event.is_final, item=event.item_id or "")
