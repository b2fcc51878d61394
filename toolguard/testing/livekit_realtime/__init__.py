"""A scripted speech-to-speech model for LiveKit Agents: an ``AgentSession`` without a provider, on the loop's clock.

Give it to the session as its llm, and let the caller speak::

    def script(asked: Asked) -> list[Part]:
        if not asked.outputs:
            return [Say("One moment."), Call("book", "c1", '{"day": "Monday"}')]
        return [Say(f"It is {asked.outputs['c1']}.")]

    model = ScriptedRealtimeModel(script, round_trip=0.1)
    session = AgentSession(
        llm=model, vad=None, aec_warmup_duration=None, turn_handling={"turn_detection": "realtime_llm"}
    )
    session.output.audio = ...      # a loudspeaker on the loop's clock; see tests/adapters/livekit_kit.py
    await session.start(agent)
    await model.speaks("book Monday")

It behaves as OpenAI's does behind LiveKit's plugin: the server hears the caller, cancels its response when they speak
and answers their turns; one response at a time; an update of the chat context goes out as one event for each item and
returns when all are confirmed, ``round_trip`` seconds later (``model.behaviour.round_trip`` may be changed at any
time), or raises after five seconds. ``capabilities`` makes another provider of it: ``auto_tool_reply_generation`` one
that answers outputs by itself, ``mutable_chat_context=False`` one whose session cannot be reused.

- ``model.live.server`` is what the provider holds: ``items``, ``asked`` (what the model was shown, each time),
  ``refused``, ``log`` with times.
- ``model.live.troubles`` lets the next updates of the chat context fail.
- ``await model.live.drops()`` loses the provider's connection; LiveKit's session goes on over another one.

Under a virtual loop ``time.time`` has to follow the loop's clock, for LiveKit reads both.
"""

from toolguard.testing.livekit_realtime.mirror import Trouble
from toolguard.testing.livekit_realtime.model import ScriptedRealtimeModel
from toolguard.testing.livekit_realtime.response import Response
from toolguard.testing.livekit_realtime.script import Asked, Call, Part, Say, Script
from toolguard.testing.livekit_realtime.server import Behaviour, ScriptedServer
from toolguard.testing.livekit_realtime.session import ScriptedSession

__all__ = [
    "Asked",
    "Behaviour",
    "Call",
    "Part",
    "Response",
    "Say",
    "Script",
    "ScriptedRealtimeModel",
    "ScriptedServer",
    "ScriptedSession",
    "Trouble",
]
