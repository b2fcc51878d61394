"""The stage for frameworks in which the application's own context is what the model is shown (LiveKit, Pipecat).

The driver gives it a :class:`Side`: how the caller is heard by that framework, and how the application asks for speech
or stops it. The framework's scripted model asks the stage with :meth:`ContextStage.asked` what it is to say, and plays
the steps that the :class:`Turn` yields, each at its time::

    turn = stage.asked(items_of(context), by="platform")
    try:
        async for step in turn:      # says (text, for so many ms) or calls
            ...
    finally:
        turn.ended("completed")      # or "cancelled", where the framework broke it off

Nobody asks such a model but the framework: a response that the timeline begins by itself is one that the platform asks
for (:meth:`Side.asks` with ``by="platform"``).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, Protocol

from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.evidence import problems_of
from toolguard.testing.scenarios.played import Request, Responded
from toolguard.testing.scenarios.stage import ACTS, ALL_RIGHT, ALL_RIGHT_SECONDS, MODEL, Act, Named, Stage
from toolguard.testing.scenarios.troubles import TROUBLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Item

By = Literal["client", "platform"]
_ALL_RIGHT = Step(at=0.0, who="model", does="says", text=ALL_RIGHT, ms=ALL_RIGHT_SECONDS * 1000)
_SPOKEN = frozenset({"says", "calls"})


class Side(Protocol):
    """The framework's side of a play. Nothing here waits for an answer."""

    open: bool
    """Whether the conversation goes on."""

    def caller_starts(self) -> None:
        """The caller is heard to begin to speak."""
        ...

    def caller_stops(self) -> None:
        """The caller is heard to stop."""
        ...

    def caller_partly(self, text: str) -> None:
        """Some of the caller's words are understood."""
        ...

    def caller_said(self, text: str) -> None:
        """The caller's words are understood."""
        ...

    def asks(self, by: By) -> None:
        """Somebody other than toolguard asks for a reply: the application, or the platform."""
        ...

    def interrupts(self) -> None:
        """The application stops the agent's speech."""
        ...


class Turn:
    """One response of the model; iterate over it for what the model does, then say how it :meth:`ended`."""

    def __init__(self, stage: ContextStage, name: str, steps: Sequence[Step], *, timed: bool) -> None:
        self._stage = stage
        self.name = name
        self._steps = steps
        self._timed = timed
        self._began = stage.now()
        self._over = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[Step]:
        for step in self._steps:
            if self._timed:
                await self._stage.until(step.at)
            if self._over.is_set() or step.does == "stops":
                return
            if step.does in _SPOKEN:
                yield step
            if step.keep:
                await self._over.wait()

    def ends(self) -> None:
        """It is to end now."""
        self._over.set()

    def ended(self, status: str) -> None:
        """It has ended: ``completed``, or ``cancelled`` where the framework broke it off."""
        self._over.set()
        self._stage.responses.append(Responded(self._began, self._stage.now(), status, self.name))


class ContextStage(Stage):
    """One play.

    Args:
        script: What to play.
        side: The framework's side.
        base: Loop time of the timeline's zero.
        acts: More steps that the driver plays in its own way.

    Attributes:
        responses: The model's responses, as they ended.
    """

    verbs: frozenset[str]

    def __init__(self, script: Script, side: Side, base: float, acts: Mapping[str, Act] | None = None) -> None:
        super().__init__(script, base, {**CONTEXT_ACTS, **(acts or {})})
        self.side = side
        self.responses: list[Responded] = []
        self._queued: list[tuple[str, list[Step]]] = []
        self._opened: dict[str, Turn] = {}
        self._staged = 0

    @property
    def open(self) -> bool:
        """Whether the conversation goes on."""
        return self.side.open

    # -- the model ----------------------------------------------------------------------------------------------

    def asked(self, items: Sequence[Item], *, by: By, line: int = 0, speaking: bool = False) -> Turn:
        """The framework asks its model: what it shows is kept, and what the model does is given.

        Args:
            items: What the model is shown, in order.
            by: Who wants the reply: the platform by itself after the caller's turn (or where the timeline begins a
                response), or the client: the application, toolguard, the framework's own reply to outputs.
            line: Which agent's model it is: the how-manieth of the play, from 0.
            speaking: Whether the caller is speaking.
        """
        queued = self._queued.pop(0) if self._queued else None
        named = self.claim() if queued is None else None
        name = queued[0] if queued is not None else named.name if named is not None else ""
        staged = by == "platform" and self._staged > 0
        self._staged -= staged
        self.requests.append(
            Request(
                at=self.now(),
                by=by,
                accepted=True,
                generation=name,
                speaking=speaking,
                items=tuple(items),
                problems=problems_of(items),
                line=line,
                staged=staged,
            )
        )
        if queued is not None:
            turn = Turn(self, name, queued[1], timed=False)
            self._opened[name] = turn
            return turn
        own = named.own if named is not None else []
        return Turn(self, name, own or [_ALL_RIGHT], timed=bool(own))

    def milliseconds(self, text: str) -> float:
        """How long the voice takes for a piece of what the model says, by the timeline."""
        says = [step for step in (*self.script.steps, _ALL_RIGHT) if step.does == "says" and text.strip() in step.text]
        return says[0].ms * min(1.0, len(text.strip()) / max(1, len(says[0].text))) if says else 0.0

    async def begin_in_time(self, named: Named) -> None:
        """The platform asks for it when its first step is due."""
        await self.until(named.own[0].at)
        if not named.begun and self.open:
            self._begins()

    def _begins(self) -> None:
        """The timeline begins a response by itself."""
        self._staged += 1
        self.side.asks("platform")

    # -- the caller ---------------------------------------------------------------------------------------------

    def starts(self, _step: Step) -> None:
        """The caller begins to speak."""
        self.side.caller_starts()

    def stops(self, _step: Step) -> None:
        """The caller stops."""
        self.side.caller_stops()

    def partly(self, step: Step) -> None:
        """Some of the caller's words are understood."""
        self.side.caller_partly(step.text)

    def said(self, step: Step) -> None:
        """The caller's words are understood."""
        self.side.caller_said(step.text)

    # -- the application and the rest ---------------------------------------------------------------------------

    def interrupts(self, _step: Step) -> None:
        """The application stops the agent's speech by itself."""
        self.side.interrupts()

    def app_asks(self, _step: Step) -> None:
        """The application asks for a reply by itself."""
        self.side.asks("client")

    def sends(self, step: Step) -> None:
        """A call reaches the application: the model makes it (again), under the same id."""
        made = Step(at=step.at, who="model", does="calls", call=step.call, tool=step.tool, args=step.args)
        self._queued.append((step.generation, [made]))
        self._begins()

    def begins_response(self, step: Step) -> None:
        """The platform asks for a response by itself, which stays open until it is ended."""
        held = Step(at=step.at, who="model", does="waits", keep=True)
        self._queued.append((step.generation, [held]))
        self._begins()

    def ends_response(self, step: Step) -> None:
        """The platform's response ends."""
        self._opened[step.generation].ends()

    def loses_answer(self, _step: Step) -> None:
        """The answer is lost on its way to the model: here there is no way on which it could be."""


CONTEXT_ACTS: dict[str, Act] = {
    **ACTS,
    **TROUBLES,
    "caller.starts": ContextStage.starts,
    "caller.stops": ContextStage.stops,
    "caller.partly": ContextStage.partly,
    "caller.said": ContextStage.said,
    "app.interrupts": ContextStage.interrupts,
    "app.asks": ContextStage.app_asks,
    "platform.sends": ContextStage.sends,
    "provider.begins_response": ContextStage.begins_response,
    "provider.ends_response": ContextStage.ends_response,
    "network.loses_answer": ContextStage.loses_answer,
}
"""The steps that this stage plays, besides the model's own; a driver may add its own."""
ContextStage.verbs = frozenset(CONTEXT_ACTS) | MODEL | {"model.is_asked"}
