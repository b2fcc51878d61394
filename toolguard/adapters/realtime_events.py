"""What an OpenAI Realtime connection carries, translated into what a session understands."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from toolguard.adapters.playback import Playback

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.adapters.realtime_port import RealtimePort
    from toolguard.engine.session import Session

CONTINUES_WITHIN = 0.7
"""Seconds after the end of a turn within which new speech counts as the same turn going on (G6)."""
_PCM_BYTES_PER_MS = 48
_G711_BYTES_PER_MS = 8


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
        self._ours: dict[str, bool] = {}
        self._transcribed: set[str] = set()
        self._turn_item = ""
        self._bytes_per_ms = _PCM_BYTES_PER_MS
        self.on_configured: Callable[[], None] = lambda: None
        """Called when the server has taken what the application says about the session; an adapter may set it."""
        self._gone = self._worded = False
        self.words: dict[tuple[str, str], list[str]] = {}
        """Ids of the messages of this conversation, by role and text."""
        session.on_settling = self._settling
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
        elif frame.get("type") == "response.create":
            asked: dict[str, Any] = frame.get("response") or {}
            if asked.get("conversation") != "none":
                self.session.reply_coming()

    def gone(self) -> None:
        """The socket is closed: a drop of the provider, told once."""
        if not self._gone:
            self._gone = True
            self.session.dropped("provider")

    def lost(self) -> None:
        """The connection is gone, and what it was saying will not be said: it counts up to where it was heard."""
        self.gone()
        for last in self._playback.cut():
            self._spoke(last.generation, last.heard, unheard=last.unheard, cut=not last.whole, item=last.item)

    def moved(self, session: Any, here: set[str]) -> None:
        """A new connection has taken over, with these items; nothing of the old one is waited for."""
        self._gone = False
        self._kept = set(here)
        self._quiet.clear()
        self._continues.clear()
        self._since_stop = self._turn_item = ""
        self._session(session)

    def knows(self, item: str) -> bool:
        """Whether the connection has confirmed that it has this item."""
        return item in self._kept

    def _spoke(self, generation: str, text: str, *, unheard: str = "", cut: bool = False, item: str = "") -> None:
        if item:
            self.words.setdefault(("assistant", text), []).append(item)
        self.session.agent_spoke(generation, text, unheard=unheard, cut=cut, item=item)

    def stop(self) -> None:
        """The application leaves."""
        self._playback.stop()

    # -- responses ----------------------------------------------------------------------------------------------

    def _session(self, event: Any) -> None:
        audio = getattr(event.session, "audio", None)
        listening = getattr(audio, "input", None)
        self._port.transcribes = getattr(listening, "transcription", None) is not None or self._worded
        detection = getattr(listening, "turn_detection", None)
        self._port.configured(detection.model_dump(exclude_none=True) if detection is not None else None)
        speaking = getattr(audio, "output", None)
        kind = getattr(getattr(speaking, "format", None), "type", "audio/pcm")
        self._bytes_per_ms = _PCM_BYTES_PER_MS if kind in {"audio/pcm", None} else _G711_BYTES_PER_MS
        if event.type == "session.updated":
            self.on_configured()

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
        if item.type != "function_call" or event.response_id in self._quiet:
            return
        whole = item.status == "completed" and _whole(item.arguments)
        if self._watching:
            if not whole:
                text = f"{item.name} broke off before it was complete: it would not have been run"
                self.session.noticed("would_not_run", text, call_id=item.call_id)
        elif whole:
            self.session.receive(
                item.call_id,
                item.name,
                item.arguments or "{}",
                generation=event.response_id,
                index=event.output_index,
                item=item.id or "",
            )
        else:
            kept = item.id in self._kept and item.status == "completed"
            self.session.incomplete(
                item.call_id,
                item.name,
                generation=event.response_id,
                item=item.id or "",
                kept=kept,
                reply=kept,
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
            self.session.playing(self._playback.generation)

    def _text_done(self, event: Any) -> None:
        if event.response_id not in self._quiet:
            self._spoke(event.response_id, event.text, item=event.item_id)

    def finished(self, generation: str, item: str, text: str) -> None:
        """An answer was heard to its end; the next one may be playing already."""
        self._spoke(generation, text, item=item)
        if self._playback.generation:
            self.session.playing(self._playback.generation)

    # -- what the caller says -----------------------------------------------------------------------------------

    def _speech_started(self, event: Any) -> None:
        onset = event.item_id or "speech"
        now = asyncio.get_running_loop().time()
        if self._since_stop and now - self._stopped_at <= CONTINUES_WITHIN:
            self._continues[onset] = self._since_stop
        self.session.caller_started(onset)
        if not self._port.interrupts:
            return
        for cut in self._playback.cut():
            if cut.heard_ms > 0 and cut.unheard and not self._watching:
                self._port.truncate(cut.item, cut.heard_ms)
            self._spoke(cut.generation, cut.heard, unheard=cut.unheard, cut=not cut.whole, item=cut.item)

    def _speech_stopped(self, event: Any) -> None:
        self._stopped_at = asyncio.get_running_loop().time()
        self._since_stop = ""
        self._ours[event.item_id or "speech"] = self._port.managed
        self.session.caller_stopped(event.item_id or "speech")

    def _committed(self, event: Any) -> None:
        self._turn_item = event.item_id

    def _partial(self, event: Any) -> None:
        if event.delta:
            self._port.transcribes = self._worded = True
            self.session.caller_said(event.delta, onset=event.item_id, final=False, item=event.item_id)

    def _transcript(self, event: Any) -> None:
        self._turn_item = event.item_id
        self._transcribed.add(event.item_id)
        self._port.transcribes = self._worded = True
        self.words.setdefault(("user", event.transcript), []).append(event.item_id)
        self.session.caller_said(event.transcript, onset=event.item_id, item=event.item_id)

    def _untranscribed(self, event: Any) -> None:
        self.session.noticed("transcription_failed", str(getattr(event.error, "message", "")))

    def _settling(self, kind: str, onset: str) -> None:
        """The turn goes on that a response had answered too early: the response counts as discarded (G6)."""
        generation = self._continues.pop(onset, "")
        if generation and kind not in {"noise", "backchannel"} and not self._watching:
            self.session.discarded(generation)

    def _turn(self, kind: str, onset: str) -> None:
        """A turn of the caller has settled: it is no turn at all, or wants a reply.

        Who starts the reply was settled when the caller stopped speaking, whatever has ended or begun since (O5).
        """
        no_turn = kind in {"noise", "backchannel"}
        if no_turn and onset not in self._transcribed:
            return  # nothing of it was understood: should its words come after all, it is a turn
        self._transcribed.discard(onset)
        ours = self._ours.pop(onset, self._port.managed)
        if self._watching:
            return
        if no_turn:
            if ours and self._turn_item in self._kept:
                self._port.delete(self._turn_item)
            return
        if ours:
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
