"""A conversation in progress, and what became of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from livekit.agents import Agent, AgentSession

from toolguard.testing.livekit.ears import ScriptedDetector, ScriptedEars
from toolguard.testing.livekit.model import Request, Script, ScriptedModel
from toolguard.testing.livekit.sound import Loudspeaker, Microphone, QuietVoice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from livekit.agents import ConversationItemAddedEvent, FunctionToolsExecutedEvent

ENDPOINTING = 0.2
"""Seconds of silence after which LiveKit takes the caller's turn as ended."""


@dataclass(frozen=True)
class Utterance:
    """What the agent said: when it ended, as far as it was heard, and whether it was cut off."""

    at: float
    text: str
    cut: bool


@dataclass
class Line:
    """One conversation.

    Attributes:
        session: LiveKit's session.
        model: Its model.
        ears: Its ears.
        voice: Its voice.
        speaker: Where the agent is heard.
        spoken: What the agent said.
        executed: What LiveKit told of tools.
    """

    session: AgentSession[Any]
    model: ScriptedModel
    ears: ScriptedEars
    voice: QuietVoice
    speaker: Loudspeaker
    spoken: list[Utterance] = field(default_factory=list["Utterance"])
    executed: list[FunctionToolsExecutedEvent] = field(default_factory=list["FunctionToolsExecutedEvent"])

    @property
    def said(self) -> list[str]:
        """What the caller heard to its end."""
        return [one.text for one in self.spoken if not one.cut]

    def request(self, words: str) -> Request:
        """The first request of the model after the caller's ``words``.

        Raises:
            LookupError: There was none.
        """
        found = self.asked(words)
        if not found:
            raise LookupError(f"the model was never asked after {words!r}")
        return found[0]

    def asked(self, words: str) -> list[Request]:
        """All requests of the model in which these are the caller's last words."""
        return [one for one in self.model.requests if one.said == words]

    async def start(self, tools: Iterable[Any] = (), *, agent: Agent | None = None) -> None:
        """Answer the phone."""
        session: Any = self.session
        await session.start(agent or Agent(instructions="You work at a front desk.", tools=list(tools)))

    async def hangs_up(self) -> None:
        """The conversation is over."""
        await self.session.aclose()


def line(
    script: Script,
    *,
    seconds: Callable[[str], float] | None = None,
    endpointing: float = ENDPOINTING,
    ahead: bool = False,
    **options: Any,
) -> Line:
    """A session that is ready to start.

    Args:
        script: What its model says.
        seconds: How long its voice takes for a text; by default for so many letters.
        endpointing: Seconds of silence after which the caller's turn has ended.
        ahead: Whether a detector of voices listens as well, and LiveKit asks the model before the turn has ended.
        **options: More of LiveKit's options for the session.
    """
    detector = ScriptedDetector() if ahead else None
    model, ears, speaker = ScriptedModel(script), ScriptedEars(detector), Loudspeaker()
    voice = QuietVoice(seconds) if seconds is not None else QuietVoice()
    turns: Any = {
        "turn_detection": "vad" if ahead else "stt",
        "endpointing": {"min_delay": endpointing, "max_delay": endpointing},
        "interruption": {"mode": "vad", "resume_false_interruption": False, "min_duration": 0.0},
        "preemptive_generation": {"enabled": ahead},
    }
    settings: dict[str, Any] = {"vad": detector, "aec_warmup_duration": None, "turn_handling": turns, **options}
    session: AgentSession[Any] = AgentSession(llm=model, stt=ears, tts=voice, **settings)
    session.input.audio, session.output.audio = Microphone(), speaker
    made = Line(session, model, ears, voice, speaker)

    def added(event: ConversationItemAddedEvent) -> None:
        item = event.item
        if item.type == "message" and item.role == "assistant":
            made.spoken.append(Utterance(_now(), item.text_content or "", item.interrupted))

    emitter = cast("Any", session)
    emitter.on("conversation_item_added", added)
    emitter.on("function_tools_executed", made.executed.append)
    return made


async def until(condition: Callable[[], object], *, within: float = 20.0) -> None:
    """Wait for something to become true; the bound is in the loop's time.

    Raises:
        TimeoutError: It did not.
    """
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


def _now() -> float:
    return asyncio.get_running_loop().time()
