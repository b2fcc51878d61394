"""From agent to agent and from process to process: what the next model has to see before it is asked (H2, O11)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.adapters.livekit_features import agents
from toolguard.errors import ToolguardError
from toolguard.render.livekit import context as rendered
from toolguard.render.livekit import pair
from toolguard.render.parts import opening, short, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from toolguard.adapters.livekit_caller import Caller
    from toolguard.adapters.livekit_port import LiveKitPort
    from toolguard.core.carried import PacketItem
    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.session import Session

ARRIVES_WITHIN = 5.0
"""Seconds that the new agent's first request may wait for what it has to see (H6)."""


class Moves:
    """Brings each new agent of a session up to date.

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
        session: The guarded session.
        port: Its way out.
        caller: The caller's side.
    """

    def __init__(
        self, agent_session: agents.AgentSession[Any], session: Session, port: LiveKitPort, caller: Caller
    ) -> None:
        self._room = agent_session
        self._session = session
        self._port = port
        self._caller = caller
        self._goes_on = bool(session.state.conversation.items)
        self._arriving: asyncio.Task[None] | None = None
        self._here: agents.Agent | None = None
        self._brought: set[str] = set()
        self.takes_over = False
        """The conversation was accepted from another agent, whose caller waits for this one to speak."""

    def arrives(self, agent: agents.Agent, *, before: bool) -> None:
        """An agent has the conversation from here on; ``before`` says whether another one had it until now."""
        if agent is self._here or not (before or self._goes_on):
            self._here = agent
            return
        self._here = agent
        words, self._caller.unplaced = self._caller.unplaced, []
        self._caller.moved()
        work = self._move(agent, words) if before else self._go_on(agent)
        self._arriving = asyncio.create_task(self._safely(work), name="toolguard:livekit-move")

    async def ready(self, chat_ctx: agents.llm.ChatContext) -> None:
        """The model is about to be asked: what it has to see is in its context, and in this request."""
        arriving = self._arriving
        if arriving is None:
            return
        await asyncio.wait({arriving}, timeout=ARRIVES_WITHIN)
        here = self._here
        if here is not None:
            there = {item.id for item in chat_ctx.items}
            now = {item.id: item for item in here.chat_ctx.items}
            chat_ctx.items[:] = [now.get(item.id, item) for item in chat_ctx.items if self._stands(item, now)]
            chat_ctx.insert([item for item in now.values() if item.id in self._brought and item.id not in there])
        if arriving.done():
            self._arriving = None

    def _stands(self, item: agents.llm.ChatItem, now: Mapping[str, object]) -> bool:
        """Whether an item of the request is still in the agent's context, or was never one of our notes."""
        return item.id in now or getattr(item, "call_id", "") not in self._port.noted

    def stop(self) -> None:
        """The session ends."""
        if self._arriving is not None:
            self._arriving.cancel()

    async def _safely(self, work: Any) -> None:
        try:
            await work
        except ToolguardError as error:
            self._session.noticed("hand_off_not_recorded", str(error))

    # -- another agent ------------------------------------------------------------------------------------------

    async def _move(self, agent: agents.Agent, words: list[agents.ChatMessage]) -> None:
        session = self._session
        if session.agent != agent.id:
            try:
                await session.hand_off(to=agent.id, in_place=True)
            except ToolguardError as error:
                session.noticed("hand_off_not_recorded", str(error))
        session.on_amended = self._amend
        await self._bring(agent)
        session.shows("hand-off")
        if words:
            self._brought.update(one.id for one in words)
            await self._port.put(words, agent)
            session.wants_reply()

    async def _bring(self, agent: agents.Agent) -> None:
        """Put what the new agent's context lacks of the calls into it."""
        renewed = self._renewed(agent)
        if renewed is not None:
            await self._port.replace(agent, renewed)
        await self._port.put(self._lacking(agent), agent)

    def _lacking(self, agent: agents.Agent) -> list[agents.llm.ChatItem]:
        """What an agent's context lacks of the calls: as pairs, or as text where the agent lacks the tool."""
        packet = self._session.packet
        names = tool_names([*self._room.tools, *agent.tools])
        there = {item.call_id for item in agent.chat_ctx.items if item.type == "function_call_output"}
        calls = [one for one in packet.items if one.kind == "call" and one.call_id not in there]
        items: list[agents.llm.ChatItem] = [item for one in calls for item in self._shown(packet, one, names)]
        if packet.facts:
            items.append(
                agents.ChatMessage(
                    id=short(packet.session, "facts", packet.id), role="system", content=[opening(packet)]
                )
            )
        self._brought.update(item.id for item in items)
        return items

    def _renewed(self, agent: agents.Agent) -> list[agents.llm.ChatItem] | None:
        """The agent's context with results in the place of placeholders, without notes that told of them (O11).

        Returns:
            None where it is as it should be.
        """
        state, packet = self._session.state, self._session.packet
        newest = {one.call_id: one.text for one in packet.items if one.kind == "call" and one.call_id}
        stale = {
            item.call_id
            for item in agent.chat_ctx.items
            if item.type == "function_call_output" and newest.get(item.call_id, item.output) != item.output
        }
        gone = {
            name
            for name, calls in self._port.noted.items()
            if all(state.slots[call].call_id in newest for call in calls)
        }
        items = [one for one in agent.chat_ctx.items if getattr(one, "call_id", "") not in gone]
        if not stale and len(items) == len(agent.chat_ctx.items):
            return None
        for at, item in enumerate(items):
            if item.type == "function_call_output" and item.call_id in stale:
                items[at] = item.model_copy(update={"output": newest[item.call_id], "is_error": False})
                self._port.given.pop(item.call_id, None)
        return items

    def _shown(self, packet: HandoffPacket, one: PacketItem, names: set[str]) -> list[agents.llm.ChatItem]:
        at = self._port.made.get(one.call_id, agents.ChatMessage(role="system", content=[]).created_at)
        if one.tool in names:
            return list(pair(packet, one, at))
        return [
            agents.ChatMessage(id=short(packet.session, one.ref), role="system", content=[told(one)], created_at=at)
        ]

    def _amend(self) -> None:
        """Something came that belongs further up: no request has used the context yet (H2)."""
        agent = self._here
        if agent is not None:
            self._arriving = asyncio.create_task(self._safely(self._bring(agent)), name="toolguard:livekit-move")
            self._session.shows("amended")
            self._session.not_told(())

    # -- another process ----------------------------------------------------------------------------------------

    async def _go_on(self, agent: agents.Agent) -> None:
        """The conversation goes on after its process died: it is put in front of what the agent has."""
        items = self._before(agent)
        await self._port.put(items, agent)
        self._went_on(len(items))

    def _before(self, agent: agents.Agent) -> list[agents.llm.ChatItem]:
        """What was said and done before the process died, as far as the agent's context lacks it."""
        packet = self._session.packet
        names = tool_names([*self._room.tools, *agent.tools])
        there = {item.call_id for item in agent.chat_ctx.items if item.type == "function_call_output"}
        items: list[agents.llm.ChatItem] = [
            item
            for item in rendered(packet, tools=names).items
            if item.type not in {"function_call", "function_call_output"} or item.call_id not in there
        ]
        now = agents.ChatMessage(role="system", content=[]).created_at
        for back, item in enumerate(reversed(items), 1):
            item.created_at = now - back * 1e-3
        self._brought.update(item.id for item in items)
        return items

    def _went_on(self, replayed: int) -> None:
        """The agent has it: what the caller waits for is told."""
        session, self._goes_on = self._session, False
        session.shows("a new process")
        if session.recovery is not None:
            session.recovery = msgspec.structs.replace(session.recovery, context_replayed=replayed)
        packet = session.packet
        if self.takes_over or packet.pending or any(one.what == "not_told" for one in packet.promises):
            session.begin()


def tool_names(tools: Iterable[Any]) -> set[str]:
    """The names of function tools, also of those in toolsets."""
    found: set[str] = set()
    for tool in tools:
        if isinstance(tool, agents.llm.Toolset):
            found |= tool_names(tool.tools)
        elif isinstance(tool, agents.llm.FunctionTool | agents.llm.RawFunctionTool):
            found.add(tool.info.name)
    return found
