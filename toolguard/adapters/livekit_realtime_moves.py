"""From agent to agent where the provider keeps the conversation: it has to be there when the next agent begins (H2)."""

from __future__ import annotations

from toolguard.adapters.livekit_features import agents
from toolguard.adapters.livekit_moves import Moves
from toolguard.adapters.livekit_realtime_caller import RealtimeCaller
from toolguard.adapters.livekit_realtime_context import at_once, running
from toolguard.adapters.livekit_realtime_port import LiveKitRealtimePort
from toolguard.errors import ToolguardError


class RealtimeMoves(Moves):
    """Brings each new agent of a session up to date.

    LiveKit gives the provider the new agent's context as it is when the agent begins. So it is completed before that,
    without waiting for anything, and the provider is told once.
    """

    def arrives(self, agent: agents.Agent, *, before: bool) -> None:
        """An agent has the conversation from here on; ``before`` says whether another one had it until now."""
        port, session = self._port, self._session
        at_once = isinstance(port, LiveKitRealtimePort) and not running(agent) and agent is not self._here
        if not isinstance(port, LiveKitRealtimePort) or not at_once or (before and session.agent != agent.id):
            super().arrives(agent, before=before)
            return
        self._here = agent
        if before:
            self._hand(agent, port)
        elif self._goes_on:
            items = self._before(agent)
            port.lay(items, agent)
            self._went_on(len(items))

    def _hand(self, agent: agents.Agent, port: LiveKitRealtimePort) -> None:
        words, self._caller.unplaced = self._caller.unplaced, []
        renewed = self._renewed(agent)
        if renewed is not None:
            before = {item.id: item for item in agent.chat_ctx.items}
            once = {item.id: item for item in renewed}.values()
            items = [item if item == before.get(item.id) else _anew(item) for item in once]
            at_once(agent.update_chat_ctx(agents.ChatContext(items), exclude_invalid_function_calls=False))
        port.lay([*port.as_known(self._lacking(agent), agent), *words], agent)
        if isinstance(self._caller, RealtimeCaller):
            self._caller.handed_over = True
        self._session.on_amended = lambda: None  # the provider has it: what ends from here on is news
        self._session.shows("hand-off")
        asked = port.take_back()
        if asked or words:
            self._session.begin()
        if asked:
            self._session.not_told(())  # by the agent that has left; the next one replies

    async def leaves(self, agent: agents.Agent) -> None:
        """An agent is about to go: LiveKit waits for all its calls, so they are answered now (H6)."""
        after = self._room.current_agent
        if after is agent:  # the conversation ends
            self._session.answering()
        if after is agent or self._session.agent == after.id:
            return
        try:
            await self._session.hand_off(to=after.id, in_place=True)
        except ToolguardError as error:
            self._session.noticed("hand_off_not_recorded", str(error))
            self._session.answering()


def _anew(item: agents.llm.ChatItem) -> agents.llm.ChatItem:
    """An item that has changed, as another one: LiveKit's plugins look at ids, and would leave the old one there."""
    return item.model_copy(update={"id": f"{item.id[:30]}_r"})
