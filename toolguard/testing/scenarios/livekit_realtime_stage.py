"""Plays a timeline over the scripted speech-to-speech model: its server hears the caller and says what it is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livekit.agents.llm import ChatMessage, FunctionCall, FunctionCallOutput

from toolguard.testing.livekit_realtime import Call
from toolguard.testing.scenarios.context_stage import ContextStage
from toolguard.testing.scenarios.played import Item, Request
from toolguard.testing.scenarios.realtime_network import arguments_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livekit.agents import AgentSession
    from livekit.agents.llm import ChatItem

    from toolguard.testing.livekit_realtime import Asked, Response, ScriptedRealtimeModel, ScriptedServer
    from toolguard.testing.scenarios.context_stage import By, Turn
    from toolguard.testing.scenarios.data import Step
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.stage import Named


class RealtimeSide:
    """The framework's side of a play: the caller is heard by the model's server.

    Args:
        model: The model.

    Attributes:
        room: The ``AgentSession`` that has the conversation.
    """

    room: AgentSession[None]

    def __init__(self, model: ScriptedRealtimeModel) -> None:
        self._model = model
        self.open = True

    @property
    def server(self) -> ScriptedServer:
        """The server of the newest session."""
        return self._model.live.server

    def caller_starts(self) -> None:
        """The caller begins to speak."""
        self.server.caller_starts()

    def caller_stops(self, words: str = "") -> None:
        """The caller stops: a turn, which the server answers."""
        self.server.caller_stops(words, transcribed=False, turn=True)

    def caller_partly(self, text: str) -> None:
        """Some of the words are understood."""
        self.server.caller_partly(text)

    def caller_said(self, text: str) -> None:
        """The words are understood."""
        self.server.caller_said(text)

    def asks(self, by: By) -> None:
        """The application asks for a reply, or the server makes one by itself."""
        if by == "client":
            self.room.generate_reply()
        else:
            self.server.respond("platform", at_once=True)

    def interrupts(self) -> None:
        """The application stops the agent's speech."""
        self.room.interrupt()


class LiveKitRealtimeStage(ContextStage):
    """One play.

    Args:
        script: What to play.
        side: The framework's side.
        base: Loop time of the timeline's zero.
    """

    side: RealtimeSide

    def __init__(self, script: Script, side: RealtimeSide, base: float, model: ScriptedRealtimeModel) -> None:
        super().__init__(script, side, base, {"caller.stops": LiveKitRealtimeStage.hushes})
        self._model = model
        self._turns: dict[Response, Turn] = {}
        model.behaviour.script = self.answers

    def hushes(self, step: Step) -> None:
        """The caller stops; the model has heard the words, whenever they are transcribed."""
        later = [one for one in self.script.steps if one.at >= step.at and one.verb in {"caller.said", "caller.starts"}]
        said = later[0].text if later and later[0].does == "said" else ""
        self.side.caller_stops(said)

    async def begin_in_time(self, named: Named) -> None:
        """The server begins it by itself, as soon as no other response is active."""
        await self.until(named.own[0].at)
        while self.side.server.active is not None and not named.begun and self.open:  # noqa: ASYNC110 - no bell
            await asyncio.sleep(0.01)
        if not named.begun and self.open:
            self.side.asks("platform")

    # -- the model ----------------------------------------------------------------------------------------------

    def answers(self, asked: Asked) -> None:
        """The server's model has been asked: the response is made by the timeline."""
        servers = [session.server for session in self._model.sessions]
        line = next(at for at, server in enumerate(servers) if server.asked and server.asked[-1] is asked)
        response = servers[line].responses[-1]
        turn = self.asked(items_of(asked.context.items), by=asked.by, line=line, speaking=asked.speaking)
        response.on_ended = lambda status: self._ended(turn, status)
        self.spawn(self._make(response, turn))

    def _ended(self, turn: Turn, status: str) -> None:
        turn.ended(status)

    @staticmethod
    async def _make(response: Response, turn: Turn) -> None:
        async for step in turn:
            if not response.active:
                return
            if step.does == "says":
                response.say(step.text, step.ms / 1000)
            else:
                response.call(Call(step.tool, step.call, arguments_of(step)))
        response.finish()

    def refused(self) -> list[Request]:
        """Requests that the server refused because a response was active."""
        return [
            Request((one.at - self.base) * 1000, one.by, accepted=False, speaking=one.speaking, line=line)
            for line, session in enumerate(self._model.sessions)
            for one in session.server.asked
            if not one.accepted
        ]


LiveKitRealtimeStage.verbs = ContextStage.verbs


def items_of(items: Sequence[ChatItem]) -> tuple[Item, ...]:
    """LiveKit's items as every judge reads them."""
    return tuple(made for item in items if (made := _item(item)) is not None)


def _item(item: ChatItem) -> Item | None:
    if isinstance(item, FunctionCall):
        return Item(kind="call", id=item.id, text=f"{item.name} {item.arguments}", call=item.call_id)
    if isinstance(item, FunctionCallOutput):
        return Item(kind="output", id=item.id, text=item.output, call=item.call_id)
    if isinstance(item, ChatMessage):
        return Item(kind="message", id=item.id, text=item.text_content or "", role=item.role)
    return None
