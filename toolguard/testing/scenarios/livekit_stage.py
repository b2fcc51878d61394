"""Plays a timeline over a LiveKit pipeline: its ears hear the caller, its model says what the timeline has for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.agents.llm import ChatMessage, FunctionCall, FunctionCallOutput

from toolguard.testing.livekit import Call, ScriptedDetector, ScriptedEars
from toolguard.testing.scenarios.context_stage import ContextStage
from toolguard.testing.scenarios.played import Item
from toolguard.testing.scenarios.realtime_network import arguments_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from livekit.agents import AgentSession
    from livekit.agents.llm import ChatItem

    from toolguard.testing.livekit import Request
    from toolguard.testing.scenarios.context_stage import By


class PipelineSide:
    """The framework's side of a play: the caller is heard by the detector and the ears.

    Attributes:
        room: The ``AgentSession`` that has the conversation.
        open: Whether the conversation goes on.
        speaking: Whether the caller is speaking.
        asked_by: Who has asked for the reply that the model is asked for next, where it is not LiveKit itself.
    """

    room: AgentSession[None]

    def __init__(self) -> None:
        self.renew()
        self.open = True
        self.speaking = False
        self.asked_by: By | None = None

    def renew(self) -> None:
        """Another session listens with ears of its own."""
        self.detector = ScriptedDetector()
        self.ears = ScriptedEars(self.detector)

    def caller_starts(self) -> None:
        """The caller begins to speak."""
        self.speaking = True
        self.ears.starts()

    def caller_stops(self) -> None:
        """The caller stops."""
        self.speaking = False
        self.ears.stops()

    def caller_partly(self, text: str) -> None:
        """Some of the words are understood."""
        self.ears.partly(text)

    def caller_said(self, text: str) -> None:
        """The words are understood."""
        self.ears.said(text)

    def asks(self, by: By) -> None:
        """The application asks for a reply, or the platform."""
        self.asked_by = by
        self.room.generate_reply()

    def interrupts(self) -> None:
        """The application stops the agent's speech."""
        self.room.interrupt()


class LiveKitStage(ContextStage):
    """One play; :meth:`answers` is the script of its model."""

    side: PipelineSide
    line = 0
    """The how-manieth agent, or session, of the play has the conversation."""
    _seen: frozenset[str] = frozenset()

    async def answers(self, request: Request) -> AsyncGenerator[str | Call]:
        """What the model says and calls."""
        items = request.ctx.items
        users = {item.id for item in items if isinstance(item, ChatMessage) and item.role == "user"}
        by, self.side.asked_by = self.side.asked_by or ("platform" if users - self._seen else "client"), None
        self._seen |= users
        turn = self.asked(items_of(items), by=by, line=self.line, speaking=self.side.speaking)
        status = "cancelled"
        try:
            async for step in turn:
                if step.does == "says":
                    yield step.text
                else:
                    yield Call(step.tool, step.call, arguments_of(step))
            status = "completed"
        finally:
            turn.ended(status)


LiveKitStage.verbs = ContextStage.verbs


def items_of(items: Iterable[ChatItem]) -> tuple[Item, ...]:
    """LiveKit's items as every judge reads them, but for the agent's own instructions.

    LiveKit gives the model each output behind its call, wherever it stands in the context
    (``livekit/agents/llm/_provider_format/utils.py``, ``group_tool_calls``).
    """
    made = [one for item in items if (one := _item(item)) is not None]
    calls = {one.call for one in made if one.kind == "call"}
    order: list[Item] = []
    for one in made:
        if one.kind != "output" or one.call not in calls:
            order.append(one)
        if one.kind == "call":
            order += [answer for answer in made if answer.kind == "output" and answer.call == one.call]
    return tuple(order)


def _item(item: ChatItem) -> Item | None:
    if isinstance(item, FunctionCall):
        return Item(kind="call", id=item.id, text=f"{item.name} {item.arguments}", call=item.call_id)
    if isinstance(item, FunctionCallOutput):
        return Item(kind="output", id=item.id, text=item.output, call=item.call_id)
    if isinstance(item, ChatMessage) and not item.id.startswith("lk."):
        return Item(kind="message", id=item.id, text=item.text_content or "", role=item.role)
    return None
