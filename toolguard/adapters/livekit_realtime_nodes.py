"""Around an agent whose provider keeps its tools: they are ours before it begins, and it leaves in good order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_nodes import Nodes
from toolguard.adapters.livekit_realtime_context import at_once, running
from toolguard.adapters.livekit_realtime_moves import RealtimeMoves

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolguard.adapters.livekit_features import agents


class RealtimeNodes(Nodes):
    """The nodes of the agents of one session; each agent's own, overridden or not, go on working inside."""

    _taking: asyncio.Task[None] | None = None

    def put_on(self, agent: agents.Agent) -> None:
        """This agent has the conversation now."""
        if agent is self._on:
            return
        super().put_on(agent)
        self._take_tools(agent)
        if isinstance(self._moves, RealtimeMoves):
            self._ours["on_exit"] = self._exit(agent, agent.on_exit, self._moves)
        vars(agent).update(self._ours)

    def _take_tools(self, agent: agents.Agent) -> None:
        """Its function tools that have a guarded one inside give way to ours: the provider is told of them once."""
        tools: list[Any] = list(agent.tools)
        self._toolbox.adapt(tools)
        if all(new is old for new, old in zip(tools, agent.tools, strict=True)):
            return
        if running(agent):
            self._taking = asyncio.create_task(agent.update_tools(tools), name="toolguard:livekit-tools")
        else:
            at_once(agent.update_tools(tools))

    @staticmethod
    def _exit(agent: agents.Agent, inner: Callable[[], Awaitable[None]], moves: RealtimeMoves) -> Callable[..., Any]:
        async def on_exit() -> None:
            await moves.leaves(agent)
            await inner()

        return on_exit
