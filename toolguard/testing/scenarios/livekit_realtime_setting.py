"""What a play over a LiveKit session with a speech-to-speech model takes place in."""

from __future__ import annotations

import asyncio
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from livekit.agents import Agent, AgentSession
from livekit.agents.llm import FunctionCallOutput

from toolguard.testing.livekit import Loudspeaker, Microphone, one_clock
from toolguard.testing.livekit_realtime import ScriptedRealtimeModel
from toolguard.testing.scenarios.evidence import EPOCH, problems_of
from toolguard.testing.scenarios.ground import Ground
from toolguard.testing.scenarios.ledger import acts_in
from toolguard.testing.scenarios.livekit_realtime_stage import LiveKitRealtimeStage, RealtimeSide, items_of
from toolguard.testing.scenarios.played import Cut, Played, Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from livekit.agents.llm import Tool

    from toolguard.testing.livekit_realtime import ScriptedServer
    from toolguard.testing.scenarios.kit import Room, Script

OURS = "tg_"
"""How the call ids of pairs begin by which late results are told."""
ROUND_TRIP = 0.02
THINKS = 0.02
_YOU_ARE = re.compile(r"You are (\w+)")
_LEAVES_WITHIN = 30.0


class Setting(Ground[LiveKitRealtimeStage]):
    """Model, server and stage of one play, or, with ``since``, of the part that a second process plays.

    Attributes:
        model: The scripted model.
        room: The ``AgentSession``.
        onsets: When LiveKit heard the caller begin to speak.
    """

    room: AgentSession[None]

    def __init__(self, script: Script, room: Room, faults: list[str], since: float | None = None) -> None:
        super().__init__(script, room, faults, since)
        self._stack = ExitStack()
        self.onsets: list[float] = []

    async def __aenter__(self) -> Self:
        self._stack.enter_context(one_clock(EPOCH.timestamp() + self.loop.time()))
        self.model = ScriptedRealtimeModel(lambda _asked: None, round_trip=ROUND_TRIP, thinks=THINKS)
        self.side = RealtimeSide(self.model)
        part = self.begins()
        self.opens(LiveKitRealtimeStage(part, self.side, self.base, self.model))
        if self.since is not None:
            await self.stage.until(self.since)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage.stop()
        self._stack.close()

    def connect(self) -> AgentSession[None]:
        """Another LiveKit session, not started yet, with LiveKit's own settings for a realtime model."""
        room: AgentSession[None] = AgentSession(
            llm=self.model, vad=None, aec_warmup_duration=None, turn_handling={"turn_detection": "realtime_llm"}
        )
        room.input.audio, room.output.audio = Microphone(), Loudspeaker()
        self.room = self.side.room = room
        listening: Callable[..., Any] = room.on
        listening("user_state_changed", self._heard)
        return room

    def _heard(self, event: Any) -> None:
        if event.new_state == "speaking":
            self.onsets.append(self.stage.now())

    async def leave(self) -> None:
        """LiveKit's session ends."""
        async with asyncio.timeout(_LEAVES_WITHIN):
            await self.room.aclose()

    def agent(self, name: str, tools: Sequence[Tool]) -> Agent:
        """An agent of this name."""
        return Agent(id=name, instructions=f"You are {name}.", tools=list(tools))

    # -- what is left of it -------------------------------------------------------------------------------------

    def played(self, adapter: str, *, guarded: bool) -> Played:
        """What is left of the play but the journal."""
        stage, servers = self.stage, [session.server for session in self.model.sessions]
        given = [one for line, server in enumerate(servers) for one in self._given(server, line)]
        taken = [(sent, call) for sent, call, why in given if not why]
        items = items_of(servers[-1].items)
        return Played(
            script=self.script,
            adapter=adapter,
            guarded=guarded,
            requests=sorted([*stage.requests, *stage.refused()], key=lambda one: one.at),
            responses=stage.responses,
            outputs=[sent for sent, call in taken if not call.startswith(OURS)],
            notes=[sent for sent, call in taken if call.startswith(OURS)],
            items=items,
            problems=problems_of(items),
            errors=[(why, sent.item) for sent, _, why in given if why],
            given=[sent for sent, call, _ in given if not call.startswith(OURS)],
            cuts=[self._cut(one) for server in servers for one in server.truncated],
            floors=[one for server in servers for one in self._floors(server)],
            onsets=tuple(self.onsets),
            turn_ms=(THINKS + ROUND_TRIP) * 1000,
            acts=acts_in(self.ledger),
            faults=tuple(self.faults),
            lag=stage.lag,
            app=self.app,
        )

    def _ms(self, at: float) -> float:
        return round((at - self.base) * 1000, 3)

    def _given(self, server: ScriptedServer, line: int) -> list[tuple[Sent, str, str]]:
        return [
            (Sent(self._ms(at), item.output, item.id, item.call_id, line), item.call_id, why)
            for at, item, why in server.given
            if isinstance(item, FunctionCallOutput)
        ]

    def _cut(self, one: tuple[float, str, int]) -> Cut:
        at, text, heard = one
        return Cut(self._ms(at), text, heard)

    def _floors(self, server: ScriptedServer) -> list[tuple[float, str]]:
        """When another agent was given the floor, and which: LiveKit says so in the instructions."""
        named = [(self._ms(at), found[1]) for at, words in server.told if (found := _YOU_ARE.search(words))]
        return [one for one in named if one[1] != FIRST]


FIRST = "A"
"""The agent that a conversation begins with."""
