"""From agent to agent where the provider keeps the conversation: it has to be there when the next agent begins (H2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.adapters.livekit_moves import Moves
from toolguard.adapters.livekit_realtime_context import running
from toolguard.adapters.livekit_realtime_port import LiveKitRealtimePort

if TYPE_CHECKING:
    from toolguard.adapters.livekit_features import agents
    from toolguard.core.packet import HandoffPacket


class RealtimeMoves(Moves):
    """Brings each new agent of a session up to date.

    LiveKit gives the provider the new agent's context as it is when the agent begins. So it is completed before that,
    without waiting for anything, and the provider is told once.
    """

    def arrives(self, agent: agents.Agent, *, before: bool) -> None:
        """An agent has the conversation from here on; ``before`` says whether another one had it until now."""
        port, session = self._port, self._session
        known = session.agent == agent.id or not before
        if agent is self._here or running(agent) or not known or not isinstance(port, LiveKitRealtimePort):
            super().arrives(agent, before=before)
            return
        if not (before or self._goes_on):
            self._here = agent
            return
        self._here = agent
        words, self._caller.unplaced = self._caller.unplaced, []
        if not before:
            super().arrives(agent, before=before)
            return
        port.lay([*self._items(agent), *words], agent)
        session.on_amended = self._amend
        session.shows("hand-off")
        if words:
            session.wants_reply()
