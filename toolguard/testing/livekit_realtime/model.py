"""The scripted ``RealtimeModel``: what an ``AgentSession`` is given as its llm."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from livekit.agents.llm import RealtimeCapabilities, RealtimeModel

from toolguard.testing.livekit_realtime.server import Behaviour
from toolguard.testing.livekit_realtime.session import PlainSession, ScriptedSession

if TYPE_CHECKING:
    from toolguard.testing.livekit_realtime.script import Asked, Script

_ABLE: dict[str, bool] = {
    "message_truncation": True,
    "turn_detection": True,
    "user_transcription": True,
    "auto_tool_reply_generation": False,
    "audio_output": True,
    "manual_function_calls": True,
    "mutable_chat_context": True,
    "mutable_instructions": True,
    "mutable_tools": True,
    "per_response_tool_choice": True,
}


class ScriptedRealtimeModel(RealtimeModel):
    """A speech-to-speech model that says what its script says.

    Args:
        script: Gives the parts of the response to a request.
        capabilities: What it can do in another way than OpenAI's; see LiveKit's ``RealtimeCapabilities``.
        plain: Its sessions cannot be told how turns are detected, as those of most providers.
        behaviour: Its :class:`~.server.Behaviour`, by name.

    Attributes:
        behaviour: How its servers behave; may be changed at any time.
        sessions: The sessions that LiveKit has made, in order.
    """

    def __init__(
        self, script: Script, *, capabilities: dict[str, bool] | None = None, plain: bool = False, **behaviour: Any
    ) -> None:
        able = {**_ABLE, **(capabilities or {})}
        super().__init__(capabilities=RealtimeCapabilities(**able))
        behaviour.setdefault("answers_outputs", able["auto_tool_reply_generation"])
        self.behaviour = Behaviour(script, **behaviour)
        self._plain = plain
        self.sessions: list[ScriptedSession] = []

    def session(self, *, turn_detection_disabled: bool = False) -> ScriptedSession:  # noqa: ARG002 - LiveKit's signature
        """Make a session, as LiveKit asks for it."""
        made = PlainSession(self) if self._plain else ScriptedSession(self)
        self.sessions.append(made)
        return made

    async def aclose(self) -> None:
        """Nothing is held."""

    @property
    def live(self) -> ScriptedSession:
        """The newest session."""
        return self.sessions[-1]

    @property
    def asked(self) -> list[Asked]:
        """All requests for a response, of all sessions, in order."""
        return sorted((one for session in self.sessions for one in session.server.asked), key=lambda one: one.at)

    async def speaks(self, words: str, seconds: float = 0.4) -> float:
        """The caller speaks for a while; half of the words are understood on the way.

        Returns:
            When the caller stopped, on the loop's clock.
        """
        server = self.live.server
        server.caller_starts()
        await asyncio.sleep(seconds / 2)
        if words:
            server.caller_partly(words[: len(words) // 2])
        await asyncio.sleep(seconds / 2)
        server.caller_stops(words)
        return asyncio.get_running_loop().time()
