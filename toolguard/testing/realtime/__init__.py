"""A scripted OpenAI Realtime server on loopback: the real client, the real rules, a model that a test writes."""

from toolguard.testing.realtime.conversation import Conversation, Item
from toolguard.testing.realtime.frames import Event, Frame, ScriptError, Violation
from toolguard.testing.realtime.generation import Generation
from toolguard.testing.realtime.line import Line, Model
from toolguard.testing.realtime.script import Call, Output, Reply, ReplyRequest
from toolguard.testing.realtime.server import RealtimeServer

__all__ = [
    "Call",
    "Conversation",
    "Event",
    "Frame",
    "Generation",
    "Item",
    "Line",
    "Model",
    "Output",
    "RealtimeServer",
    "Reply",
    "ReplyRequest",
    "ScriptError",
    "Violation",
]
