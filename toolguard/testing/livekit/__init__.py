"""A real LiveKit ``AgentSession`` in virtual time, without a room: scripted model, ears, voice and loudspeaker."""

from __future__ import annotations

from toolguard.testing.livekit.clock import one_clock
from toolguard.testing.livekit.ears import ScriptedDetector, ScriptedEars
from toolguard.testing.livekit.line import ENDPOINTING, Line, line, until
from toolguard.testing.livekit.model import Call, Request, ScriptedModel
from toolguard.testing.livekit.sound import Loudspeaker, Microphone, QuietVoice

__all__ = [
    "ENDPOINTING",
    "Call",
    "Line",
    "Loudspeaker",
    "Microphone",
    "QuietVoice",
    "Request",
    "ScriptedDetector",
    "ScriptedEars",
    "ScriptedModel",
    "line",
    "one_clock",
    "until",
]
