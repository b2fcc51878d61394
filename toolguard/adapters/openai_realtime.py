"""OpenAI Realtime: guards the tool calls of an ``AsyncOpenAI().realtime.connect(...)`` connection.

The application keeps its connection and its loop over the events. Inside ``protect`` the connection's own ``recv``
and ``send`` pass what they carry by the session, and the session answers the model's calls.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from toolguard.adapters.playback import Playback
from toolguard.adapters.realtime_port import RealtimePort

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from toolguard.engine.guard import Guard
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

Turns = Literal["while_calls_run", "server"]
CONTINUES_WITHIN = 0.7
"""Seconds after the end of a turn within which new speech counts as the same turn going on (G6)."""
_PCM_BYTES_PER_MS = 48
_G711_BYTES_PER_MS = 8


def realtime_tools(tools: Sequence[Tool[..., Any]]) -> list[dict[str, Any]]:
    """The tools as ``session.update`` wants them."""
    return [tool.schema("realtime") for tool in tools]


@asynccontextmanager
async def protect(
    connection: Any,
    guard: Guard,
    *,
    id: str,  # noqa: A002 - the word that every framework uses
    agent: str = "agent",
    tenant: str = "default",
    caller: str | None = None,
    tools: Sequence[Tool[..., Any]] | None = None,
    turns: Turns = "while_calls_run",
    played_ms: Callable[[str], float] | None = None,
) -> AsyncGenerator[Session]:
    """Guard the tool calls of a Realtime connection.

    The application goes on reading the connection (``async for event in connection``); it no longer dispatches
    tools, sends their outputs or asks for replies to them.

    Args:
        connection: An ``AsyncRealtimeConnection``.
        guard: The guard with the tools.
        id: The session's id, stable over reconnects.
        agent: The agent that has the conversation.
        tenant: Who runs the agent.
        caller: Who is on the line.
        tools: Tools of this session only.
        turns: ``while_calls_run`` takes over the start of replies while calls are in flight, so that a backchannel
            starts none; ``server`` leaves turns to the server altogether.
        played_ms: Milliseconds of an item that the application has played; by default audio counts as played in
            real time from its first piece on.
    """
    plain_recv, plain_send = connection.recv, connection.send
    port = RealtimePort(plain_send, manage_turns=turns == "while_calls_run")
    watching = guard.mode == "observe"
    async with guard.session(
        id, agent=agent, tenant=tenant, caller=caller, tools=tools, port=None if watching else port
    ) as session:
        port.session = session
        ears = RealtimeEvents(session, port, played_ms, watching=watching)
        connection.recv = _hooked_recv(plain_recv, ears)
        connection.send = _hooked_send(plain_send, ears)
        try:
            yield session
        finally:
            connection.recv, connection.send = plain_recv, plain_send
            ears.stop()
            await session.close("hang_up")
            await port.flush()


def _hooked_recv(plain: Callable[[], Any], ears: RealtimeEvents) -> Callable[[], Any]:
    async def recv() -> Any:
        while True:
            try:
                event = await plain()
            except json.JSONDecodeError as error:
                ears.session.noticed("bad_frame", f"the server sent a frame that is not JSON: {error}")
                continue
            except asyncio.CancelledError:
                raise
            except Exception:
                ears.gone()
                raise
            ears.see(event)
            return event

    return recv


def _hooked_send(plain: Callable[[Any], Any], ears: RealtimeEvents) -> Callable[[Any], Any]:
    async def send(event: Any) -> None:
        ears.sent(event if isinstance(event, Mapping) else event.model_dump(exclude_unset=True))
        await plain(event)

    return send


class RealtimeEvents:
    """Translates the server's events into what the session understands."""

    def __init__(
        self, session: Session, port: RealtimePort, played_ms: Callable[[str], float] | None, *, watching: bool
    ) -> None:
        self.session = session
        self._port = port
        self._playback = Playback(self.finished, played_ms)
        self._watching = watching
        self._kept: set[str] = set()
        self._quiet: set[str] = set()
        self._stopped_at = -1e9
        self._since_stop = ""
        self._continues: dict[str, str] = {}
        self._turn_item = ""
        self._bytes_per_ms = _PCM_BYTES_PER_MS
        self._gone = False
        session.on_turn = self._turn
        self._known: dict[str, Callable[[Any], None]] = {
            "session.created": self._session,
            "session.updated": self._session,
            "response.created": self._response_created,
            "response.done": self._response_done,
            "response.output_item.done": self._item_done,
            "response.output_audio.delta": self._audio,
            "response.output_audio.done": lambda e: self._playback.complete(e.item_id),
            "response.output_audio_transcript.delta": lambda e: self._playback.words(e.response_id, e.item_id, e.delta),
            "response.output_text.done": self._text_done,
            "conversation.item.added": self._item_added,
            "conversation.item.done": self._item_added,
            "conversation.item.created": self._item_added,
            "input_audio_buffer.speech_started": self._speech_started,
            "input_audio_buffer.speech_stopped": self._speech_stopped,
            "input_audio_buffer.committed": self._committed,
            "conversation.item.input_audio_transcription.delta": self._partial,
            "conversation.item.input_audio_transcription.completed": self._transcript,
            "conversation.item.input_audio_transcription.failed": self._untranscribed,
            "error": self._error,
        }

    def see(self, event: Any) -> None:
        """One event of the server; whatever is wrong with it, the application's loop goes on."""
        translate = self._known.get(getattr(event, "type", ""))
        if translate is None:
            return
        try:
            translate(event)
        except Exception as error:  # noqa: BLE001 - never a traceback into the application's loop
            self.session.noticed("bad_event", f"{event.type}: {type(error).__name__}: {error}")

    def sent(self, frame: Any) -> None:
        """One frame of the application."""
        if frame.get("type") == "response.cancel":
            self.session.interrupted(self._playback.generation or self.session.responding)
        elif frame.get("type") == "response.create" and (frame.get("response") or {}).get("conversation") != "none":
            self.session.reply_coming()

    def gone(self) -> None:
        """The socket is closed: a drop of the provider, told once."""
        if not self._gone:
            self._gone = True
            self.session.dropped("provider")

    def stop(self) -> None:
        """The application leaves."""
        self._playback.stop()

    # -- responses ----------------------------------------------------------------------------------------------

    def _session(self, event: Any) -> None:
        audio = getattr(event.session, "audio", None)
        listening = getattr(audio, "input", None)
        detection = getattr(listening, "turn_detection", None)
        self._port.configured(detection.model_dump(exclude_none=True) if detection is not None else None)
        speaking = getattr(audio, "output", None)
        kind = getattr(getattr(speaking, "format", None), "type", "audio/pcm")
        self._bytes_per_ms = _PCM_BYTES_PER_MS if kind in {"audio/pcm", None} else _G711_BYTES_PER_MS

    @staticmethod
    def _out_of_band(response: Any) -> bool:
        metadata: Any = getattr(response, "metadata", None) or {}
        return bool(metadata.get("toolguard")) or getattr(response, "conversation_id", "") is None

    def _response_created(self, event: Any) -> None:
        response = event.response
        if self._out_of_band(response):
            self._quiet.add(response.id)
            return
        self._since_stop = response.id
        self.session.generation_began(response.id)

    def _response_done(self, event: Any) -> None:
        response = event.response
        if response.id in self._quiet:
            self._quiet.discard(response.id)
            return
        self.session.generation_ended(response.id, response.status or "completed")

    def _item_done(self, event: Any) -> None:
        item = event.item
        if item.type != "function_call" or self._watching or event.response_id in self._quiet:
            return
        if item.status == "completed" and _whole(item.arguments):
            self.session.receive(
                item.call_id,
                item.name,
                item.arguments or "{}",
                generation=event.response_id,
                index=event.output_index,
                item=item.id or "",
            )
        else:
            self.session.incomplete(
                item.call_id,
                item.name,
                generation=event.response_id,
                item=item.id or "",
                kept=item.id in self._kept and item.status == "completed",
            )

    def _item_added(self, event: Any) -> None:
        item = event.item
        if item.id:
            self._kept.add(item.id)
            self._port.confirmed(item.id)

    # -- what the caller hears ----------------------------------------------------------------------------------

    def _audio(self, event: Any) -> None:
        if event.response_id in self._quiet:
            return
        milliseconds = len(event.delta) * 3 / 4 / self._bytes_per_ms
        if self._playback.audio(event.response_id, event.item_id, milliseconds):
            self.session.playing(event.response_id)

    def _text_done(self, event: Any) -> None:
        if event.response_id not in self._quiet:
            self.session.agent_spoke(event.response_id, event.text, item=event.item_id)

    def finished(self, generation: str, item: str, text: str) -> None:
        """An answer was heard to its end."""
        self.session.agent_spoke(generation, text, item=item)

    # -- what the caller says -----------------------------------------------------------------------------------

    def _speech_started(self, event: Any) -> None:
        onset = event.item_id or "speech"
        now = asyncio.get_running_loop().time()
        if self._since_stop and now - self._stopped_at <= CONTINUES_WITHIN:
            self._continues[onset] = self._since_stop
        self.session.caller_started(onset)
        cut = self._playback.cut()
        if cut is not None:
            generation, item, heard, unheard, milliseconds = cut
            if milliseconds > 0 and unheard and not self._watching:
                self._port.truncate(item, milliseconds)
            self.session.agent_spoke(generation, heard, unheard=unheard, item=item)

    def _speech_stopped(self, event: Any) -> None:
        self._stopped_at = asyncio.get_running_loop().time()
        self._since_stop = ""
        self.session.caller_stopped(event.item_id or "speech")

    def _committed(self, event: Any) -> None:
        self._turn_item = event.item_id

    def _partial(self, event: Any) -> None:
        if event.delta:
            self.session.caller_said(event.delta, onset=event.item_id, final=False, item=event.item_id)

    def _transcript(self, event: Any) -> None:
        self._turn_item = event.item_id
        self.session.caller_said(event.transcript, onset=event.item_id, item=event.item_id)

    def _untranscribed(self, event: Any) -> None:
        self.session.noticed("transcription_failed", str(getattr(event.error, "message", "")))

    def _turn(self, kind: str, onset: str) -> None:
        """A turn of the caller has settled: it continues a discarded response, is no turn at all, or wants a reply."""
        if self._watching:
            return
        generation = self._continues.pop(onset, "")
        if kind in {"noise", "backchannel"}:
            if self._port.managed and self._turn_item in self._kept:
                self._port.delete(self._turn_item)
            return
        if generation:
            self.session.discarded(generation)
        if self._port.managed:
            self.session.wants_reply()

    # -- errors -------------------------------------------------------------------------------------------------

    def _error(self, event: Any) -> None:
        error = event.error
        code, event_id = error.code or error.type or "", error.event_id or ""
        if not self._port.failed(code, event_id, error.message):
            self.session.noticed("server_error", f"{code}: {error.message}")


def _whole(arguments: str | None) -> bool:
    """Whether the arguments are complete JSON; a broken item is never repaired (O10)."""
    try:
        json.loads(arguments or "{}")
    except json.JSONDecodeError:
        return False
    return True
