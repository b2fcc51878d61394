"""Who starts the reply to a turn of the caller: the provider, or we, while calls are in flight (O5)."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.adapters.livekit_features import agents

SERVER_EVENT = "openai_server_event_received"
"""The event of a realtime session that shows what OpenAI's server sends; LiveKit's plugin documents it."""


class Turns:
    """Takes the start of replies over while calls are in flight, where the provider's plugin has a way to say so.

    A provider that answers turns by itself answers before the words are known: every call in flight needs an answer at
    the first sound of the caller, and a listening noise starts a reply. With OpenAI's plugin the session can be told
    (``RealtimeSession.update_options(turn_detection=...)``) that turns are detected as before, and not answered.

    Args:
        changed: Called when it was taken over, or given back.

    Attributes:
        managed: Whether we start the replies now.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.managed = False
        self._changed = changed
        self._line: Any = None
        self._detection: dict[str, Any] | None = None
        self._calls = 0

    def met(self, line: agents.llm.RealtimeSession[Any]) -> None:
        """A realtime session has begun, with turns as the application has configured them."""
        able = "turn_detection" in inspect.signature(line.update_options).parameters
        self._line, self._detection = line if able else None, None
        if self.managed:
            self.managed = False
            self._changed()

    def saw(self, event: Any) -> None:
        """An event of the provider's, as it came: it tells how turns are detected."""
        if not isinstance(event, dict):
            return
        sent = cast("dict[str, Any]", event)
        if sent.get("type") not in {"session.created", "session.updated"}:
            return
        session: dict[str, dict[str, Any]] = sent.get("session") or {}
        heard: dict[str, Any] = session.get("audio") or {}
        listening: dict[str, Any] = heard.get("input") or {}
        if not self.managed and "turn_detection" in listening:
            self._detection = listening["turn_detection"]
            self._settle()

    def in_flight(self, calls: int) -> None:
        """How many calls are in flight."""
        self._calls = calls
        self._settle()

    def _settle(self) -> None:
        detection = self._detection
        if self._line is None or not detection or not detection.get("create_response", True):
            return
        if self.managed is not bool(self._calls):
            self.managed = bool(self._calls)
            self._line.update_options(turn_detection=_typed({**detection, "create_response": not self.managed}))
            self._changed()


def _typed(detection: dict[str, Any]) -> Any:
    """The setting as the plugin takes it."""
    typed = _detections()
    try:
        return typed.validate_python(detection) if typed is not None else detection
    except ValidationError:
        return detection


@functools.cache
def _detections() -> TypeAdapter[Any] | None:
    """The plugin's own type; it is made once, for that takes the loop most of a millisecond."""
    try:
        from openai.types.realtime.realtime_audio_input_turn_detection import (  # noqa: PLC0415 - the plugin has it
            RealtimeAudioInputTurnDetection,
        )
    except ImportError:
        return None
    return TypeAdapter[Any](RealtimeAudioInputTurnDetection)
