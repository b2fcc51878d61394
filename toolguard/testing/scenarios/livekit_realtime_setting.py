"""What a play over a LiveKit session with a speech-to-speech model takes place in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from livekit.agents import AgentSession
from livekit.agents.llm import FunctionCallOutput

from toolguard.testing.livekit import Loudspeaker, Microphone, QuietVoice, one_clock
from toolguard.testing.livekit_realtime import ScriptedRealtimeModel
from toolguard.testing.scenarios.evidence import EPOCH, problems_of
from toolguard.testing.scenarios.ledger import acts_in
from toolguard.testing.scenarios.livekit_realtime_stage import LiveKitRealtimeStage, RealtimeSide
from toolguard.testing.scenarios.livekit_setting import OURS, Setting
from toolguard.testing.scenarios.livekit_stage import items_of
from toolguard.testing.scenarios.played import Cut, Played, Sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.testing.livekit_realtime import ScriptedServer


_SHOWN_AGAIN = ("_o", "_r")
"""How the ids of outputs end that the next agent's context shows."""


class RealtimeSetting(Setting):
    """Model, server and stage of one play, or, with ``since``, of the part that a second process plays.

    Attributes:
        model: The scripted model; without a delay, as the client of the Realtime scenarios has none.
    """

    side: RealtimeSide
    stage: LiveKitRealtimeStage  # pyright: ignore[reportIncompatibleVariableOverride] - this one alone is set

    async def __aenter__(self) -> Self:
        self._stack.enter_context(one_clock(EPOCH.timestamp()))
        self.model = ScriptedRealtimeModel(lambda _asked: None, round_trip=0.0, thinks=0.0)
        self.side = RealtimeSide(self.model)
        part = self.begins()
        self.opens(LiveKitRealtimeStage(part, self.side, self.base, self.model))
        if self.since is not None:
            await self.stage.until(self.since)
        return self

    def connect(self) -> AgentSession[None]:
        """Another LiveKit session, not started yet, with LiveKit's own settings for a realtime model."""
        room: AgentSession[None] = AgentSession(
            llm=self.model, vad=None, aec_warmup_duration=None, turn_handling={"turn_detection": "realtime_llm"}
        )
        self.stage.voice = QuietVoice()
        self._speaker = Loudspeaker(self.stage.voice)
        room.input.audio, room.output.audio = Microphone(), self._speaker
        self.room = self.side.room = room
        ears: Any = room
        listening: Callable[..., Any] = ears.on
        listening("user_state_changed", self._heard)
        listening("conversation_item_added", self._added)
        return room

    # -- what is left of it -------------------------------------------------------------------------------------

    def played(self, adapter: str, *, guarded: bool) -> Played:
        """What is left of the play but the journal."""
        stage, servers = self.stage, [session.server for session in self.model.sessions]
        given = [one for server in servers for one in self._given(server)]
        taken = [(sent, call) for sent, call, why in given if not why]
        items = items_of(servers[-1].items if servers else ())
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
            floors=self._floors,
            onsets=self._onsets,
            acts=acts_in(self.ledger),
            faults=tuple(self.faults),
            lag=stage.lag,
            app=self.app,
        )

    def _ms(self, at: float) -> float:
        return round((at - self.base) * 1000, 3)

    def _given(self, server: ScriptedServer) -> list[tuple[Sent, str, str]]:
        """Outputs that the client gave; what is shown to another agent, as it was or anew, is no other output."""
        found: dict[str, tuple[Sent, str, str]] = {}
        for when, item, why in server.given:
            if isinstance(item, FunctionCallOutput) and not item.id.endswith(_SHOWN_AGAIN):
                at = self._ms(when)
                line = sum(at >= moved for moved, _ in self._floors)
                sent = Sent(at, item.output, item.id, item.call_id, line)
                found.setdefault(f"{item.id}{why}", (sent, item.call_id, why))
        return list(found.values())

    def _cut(self, one: tuple[float, str, int]) -> Cut:
        at, text, heard = one
        return Cut(self._ms(at), text, heard)
