"""Plays scenarios over a real LiveKit session with a scripted speech-to-speech model, guarded and naive."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from toolguard.testing.scenarios.hooks import HOOKS
from toolguard.testing.scenarios.livekit_driver import LiveKit
from toolguard.testing.scenarios.livekit_naive import NaiveLiveKit
from toolguard.testing.scenarios.livekit_realtime_setting import RealtimeSetting
from toolguard.testing.scenarios.livekit_realtime_stage import LiveKitRealtimeStage

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "livekit_realtime"
LACKS: Mapping[str, str] = MappingProxyType(
    {
        "cancel_frame": "livekit/agents/llm/realtime.py, RealtimeSession: no event cancels a call by its id",
        "http_calls": "livekit/agents/voice/generation.py, perform_tool_executions: calls come from the model alone",
        "frame_order": "livekit/agents/llm/realtime.py, GenerationCreatedEvent.function_stream: calls come as wholes",
        "refused_replies": "livekit/agents/voice/agent_activity.py, AgentActivity._schedule_speech: replies queue up",
        "second_line": "livekit/agents/llm/realtime.py, RealtimeSession: a plugin replaces its connection by itself",
        "repeated_ids": "livekit/agents/voice/tool_executor.py, _ToolExecutor.execute: it refuses a running id",
        "half_calls": "livekit/agents/llm/realtime.py, GenerationCreatedEvent.function_stream: calls come as wholes",
    }
)
HAS = frozenset(HOOKS) - set(LACKS)
VERBS = LiveKitRealtimeStage.verbs - {"model.opens_call", "model.adds_arguments"}


class LiveKitRealtime(LiveKit):
    """The guarded application: the same as over a pipeline, with another kind of model."""

    name = NAME
    hooks = HAS
    lacks = LACKS
    verbs = VERBS
    place = RealtimeSetting


class NaiveLiveKitRealtime(NaiveLiveKit):
    """The application of the reports, with another kind of model."""

    name = NAME
    hooks = HAS
    lacks = LACKS
    verbs = VERBS
    place = RealtimeSetting
