"""Plays a timeline on a line of the scripted Realtime server: the caller's side, the model's side, the application's.

Where nobody asks in time for a response that the timeline names, the server begins it by itself, as after a turn,
unless the timeline says that the model ``is_asked``.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

from toolguard.testing.realtime import Call, Line, Reply
from toolguard.testing.scenarios.played import Request
from toolguard.testing.scenarios.realtime_evidence import items_of
from toolguard.testing.scenarios.realtime_network import (
    arguments_of,
    closes,
    lose_answers,
    loses_answer,
    opens,
    sends,
    warns,
)
from toolguard.testing.scenarios.stage import ACTS, ALL_RIGHT, ALL_RIGHT_SECONDS, MODEL, Act, Named, Stage, nobody
from toolguard.testing.scenarios.troubles import TROUBLES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolguard.testing.realtime import Generation, RealtimeServer, ReplyRequest
    from toolguard.testing.scenarios.data import Step
    from toolguard.testing.scenarios.kit import Script

UNSCRIPTED = Reply(text=ALL_RIGHT, seconds=ALL_RIGHT_SECONDS)
"""What the model says where the timeline has nothing for it."""


class RealtimeStage(Stage):
    """One play on one line.

    Args:
        script: What to play.
        server: The server.
        line: The line.
        connection: The application's end, for what the application does by itself.
        base: Loop time of the timeline's zero.
    """

    verbs: frozenset[str]

    def __init__(self, script: Script, server: RealtimeServer, line: Line, connection: Any, base: float) -> None:
        super().__init__(script, base, VERBS)
        self.server = server
        self.line = line
        self.connection = connection
        self.names: dict[str, str] = {}
        self._opened: dict[str, Generation] = {}
        self._lines = [line]
        self._heard_by = line
        self.reopen: Callable[[], Awaitable[None]] = nobody
        lose_answers(line, script.steps)
        line.on_response_create(self._model)

    @property
    def open(self) -> bool:
        """Whether the line stands."""
        return self.line.open

    def move(self, line: Line, connection: Any) -> None:
        """Go on with another line."""
        self.line, self.connection = line, connection
        self._lines.append(line)
        line.on_response_create(self._model)

    # -- the model ----------------------------------------------------------------------------------------------

    def _model(self, line: Line, request: ReplyRequest) -> Reply | Awaitable[Reply | None] | None:
        made = next(one for one in line.responses if one.id == request.response_id)
        now = self.now()
        named = self.claim() if not request.out_of_band else None
        self.requests.append(
            Request(
                at=now,
                by="client" if request.event else "platform",
                accepted=True,
                generation=named.name if named is not None else "",
                speaking=request.caller_speaking,
                items=items_of(copy.deepcopy(line.conversation)),
                problems=request.problems,
                aside=request.out_of_band,
                fields=request.event.get("response") or {},
                line=self._lines.index(line),
            )
        )
        if named is None:
            return UNSCRIPTED
        self.names[made.id] = named.name
        if not named.own:
            return UNSCRIPTED
        return self._perform(named, made)

    async def begin_in_time(self, named: Named) -> None:
        """The server begins it by itself."""
        await self.until(named.own[0].at)
        await self._while(lambda: self.line.active is not None and not named.begun)
        if named.begun or not self.line.open:
            return
        named.begun = True
        made = self.line.start_response()
        self.names[made.id] = named.name
        await self._perform(named, made)
        if made.active and self.line.open:
            made.finish()

    async def _perform(self, named: Named, made: Generation) -> Reply:
        for step in named.own:
            await self.until(step.at)
            if not (made.active and self.line.open):
                break
            self._step(step, made)
            if step.keep:
                await self._while(lambda: made.active)
        return Reply(seconds=0.0)

    async def _while(self, so: Callable[[], bool]) -> None:
        """Wait for as long as something is so and the line stands."""
        while so() and self.line.open:  # noqa: ASYNC110 - the server tells nobody when a response ends
            await asyncio.sleep(0.01)

    @staticmethod
    def _step(step: Step, made: Generation) -> None:
        match step.does:
            case "says":
                made.say(step.text, step.ms)
            case "calls":
                made.call(Call(step.call, step.tool, arguments_of(step)))
            case "opens_call":
                made.open_call(step.call, step.tool)
            case "adds_arguments":
                made.arguments(step.text)
            case _:
                made.finish("cancelled" if step.text == "cancelled" else "incomplete", "turn_detected")

    # -- the caller ---------------------------------------------------------------------------------------------

    def starts(self, _step: Step) -> None:
        """The caller begins to speak; the line that hears it understands the words too."""
        self._heard_by = self.line
        self.line.speech_started()

    def stops(self, _step: Step) -> None:
        """The caller stops; the server asks the model by itself if the session says so."""
        detection = self.line.setting("audio", "input", "turn_detection")
        self.line.speech_stopped(reply=bool(detection.get("create_response", True)) and self.line.active is None)

    def partly(self, step: Step) -> None:
        """Some of the caller's words are understood."""
        self._ear().transcript_delta(step.text)

    def said(self, step: Step) -> None:
        """The caller's words are understood."""
        self._ear().transcript(step.text)

    def _ear(self) -> Line:
        return self._heard_by if self._heard_by.open else self.line

    # -- the application and the rest ---------------------------------------------------------------------------

    async def interrupts(self, _step: Step) -> None:
        """The application stops the agent's speech by itself."""
        await self.connection.response.cancel()

    async def asks(self, _step: Step) -> None:
        """The application asks for a reply by itself."""
        await self.connection.response.create()

    def begins_response(self, step: Step) -> None:
        """The platform begins a response that nobody asked for."""
        self._opened[step.generation] = made = self.line.start_response()
        self.names[made.id] = step.generation

    def ends_response(self, step: Step) -> None:
        """The platform ends the response that it began."""
        made = self._opened.pop(step.generation)
        if made.active:
            made.finish()


VERBS: dict[str, Act] = {
    **ACTS,
    **TROUBLES,
    "caller.starts": RealtimeStage.starts,
    "caller.stops": RealtimeStage.stops,
    "caller.partly": RealtimeStage.partly,
    "caller.said": RealtimeStage.said,
    "app.interrupts": RealtimeStage.interrupts,
    "app.asks": RealtimeStage.asks,
    "provider.begins_response": RealtimeStage.begins_response,
    "provider.ends_response": RealtimeStage.ends_response,
    "platform.sends": sends,
    "provider.closes": closes,
    "provider.opens": opens,
    "provider.warns": warns,
    "network.loses_answer": loses_answer,
}
"""The steps that this stage plays, besides the model's own; more may be added here."""
RealtimeStage.verbs = frozenset(VERBS) | MODEL | {"model.is_asked"}
