"""A LiveKit session on a scripted speech-to-speech model in real time, that has talked for ten turns, guarded or not."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

from livekit.agents import Agent, AgentSession, RunContext, function_tool

import toolguard
from toolguard.adapters.livekit import protect
from toolguard.testing.livekit import Loudspeaker, Microphone
from toolguard.testing.livekit_realtime import Asked, Call, Part, Say, ScriptedRealtimeModel

TURNS = 10
BILLING = "You are the billing desk."
_calls = count(1)


def front_desk(asked: Asked) -> list[Part]:
    """What the model says: a word for every turn, the transfer when it is asked for, and the billing desk's greeting."""
    if BILLING in asked.instructions:
        return [Say("Billing.", seconds=0.02)]
    if asked.said == "billing please" and not asked.calls:
        return [Call("to_billing", f"call_{next(_calls)}")]
    return [Say(f"Yes, {asked.said}.", seconds=0.02)]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a hand-off took, in seconds.

    Attributes:
        ready: From the hand-off's begin, where LiveKit changes the agent, until the next agent is ready.
        reply: From there to its first sound.
        returned: From the return of the transfer's body to that sound: the journal, and the output's way to the provider.
        called: From the model's call of the transfer to that sound.
    """

    ready: float
    reply: float
    returned: float
    called: float


class Session(AgentSession[Any]):
    """Notes when a hand-off begins."""

    changed = 0.0

    def update_agent(self, agent: Agent) -> None:
        """The hand-off begins."""
        self.changed = time.perf_counter()
        super().update_agent(agent)


class Billing(Agent):
    """The agent that is handed the conversation, and greets.

    Attributes:
        made: When the transfer's body made it, on the performance counter.
        entered: When LiveKit had made it ready.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(instructions=BILLING, **options)
        self.made = time.perf_counter()
        self.entered = 0.0

    async def on_enter(self) -> None:
        """Greet."""
        self.entered = time.perf_counter()
        self.session.generate_reply()


async def to_billing(context: RunContext[Phone]) -> Agent:
    """Hand the caller over to the billing desk."""
    return context.userdata.next_agent()


alone = function_tool(to_billing)
guarded = function_tool(toolguard.mutation(identity=(), repeat="allow")(to_billing))


class Phone:
    """One conversation.

    Args:
        guard: What guards it; None for LiveKit alone.
        reused: Whether the next agent has the same realtime model, so that LiveKit keeps its session.
        copied: Whether the next agent gets the conversation.
        round_trip: Seconds that a message to the provider and its confirmation need.
    """

    def __init__(self, guard: toolguard.Guard | None, *, reused: bool, copied: bool, round_trip: float) -> None:
        self._guard = guard
        self._copied = copied
        self._round_trip = round_trip
        self._stack = AsyncExitStack()
        self._heard = asyncio.Event()
        self._sounds: list[float] = []
        self._asked: list[float] = []
        self.model = self._model()
        self.next_model = self.model if reused else self._model()
        turns: Any = {"turn_detection": "realtime_llm"}
        self.session = Session(llm=self.model, vad=None, aec_warmup_duration=None, turn_handling=turns, userdata=self)
        speaker = Loudspeaker()
        self.session.input.audio, self.session.output.audio = Microphone(), speaker
        speaker.on("playback_started", lambda _event: self._sounds.append(time.perf_counter()))
        speaker.on("playback_finished", lambda _event: self._heard.set())
        self.billing: Billing | None = None

    def _model(self) -> ScriptedRealtimeModel:
        def script(asked: Asked) -> list[Part]:
            self._asked.append(time.perf_counter())
            return front_desk(asked)

        return ScriptedRealtimeModel(
            script, round_trip=0.0, thinks=0.0, transcribes=0.0, capabilities={"mutable_instructions": True}
        )

    async def answer(self) -> None:
        """Answer."""
        if self._guard is not None:
            await self._stack.enter_async_context(
                protect(self.session, self._guard, id=f"conv-{id(self)}-{next(_calls)}")
            )
        await self.session.start(
            Agent(instructions="You work at a front desk.", tools=[alone if self._guard is None else guarded])
        )

    async def talk(self) -> None:
        """Talk for ten turns; from then on the line is as slow as it is set."""
        for number in range(TURNS):
            await self._turn(f"question {number}")
        self.model.behaviour.round_trip = self.next_model.behaviour.round_trip = self._round_trip

    async def hang_up(self) -> None:
        """Hang up."""
        await self.session.aclose()
        await self._stack.aclose()

    async def _turn(self, words: str) -> None:
        self._heard.clear()
        await self.model.speaks(words, seconds=0.0)
        async with asyncio.timeout(10):
            await self._heard.wait()
        await asyncio.sleep(0.002)  # what LiveKit does behind the end of a speech

    def next_agent(self) -> Billing:
        """Make the billing desk."""
        more: dict[str, Any] = {"chat_ctx": self.session.history.copy()} if self._copied else {}
        self.billing = Billing(llm=self.next_model, **more)
        return self.billing

    async def handed_over(self) -> Timing:
        """Ask for the billing desk, and wait until it has greeted."""
        self._heard.clear()
        before = len(self._asked)
        await self.model.speaks("billing please", seconds=0.0)
        async with asyncio.timeout(20):
            await self._heard.wait()
        sound, billing = self._sounds[-1], self.billing
        assert billing is not None
        begin = self.session.changed
        return Timing(billing.entered - begin, sound - begin, sound - billing.made, sound - self._asked[before])
