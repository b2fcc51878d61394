"""Plays a timeline on a line of the scripted Realtime server: the caller's side, the model's side, the application's.

A response that the timeline names is begun by the first accepted request for a reply after the caller last began to
speak (or the application last asked) before its first step. Where nobody asks in time, the server begins it by itself,
as after a turn, unless the timeline says that the model ``is_asked``. Requests that no named response is waiting for
get a reply of a second.
"""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolguard.testing.realtime import Call, Line, Reply
from toolguard.testing.scenarios.played import Request
from toolguard.testing.scenarios.realtime_agents import changes_provider, compacts, keeps
from toolguard.testing.scenarios.realtime_evidence import items_of
from toolguard.testing.scenarios.realtime_network import (
    arguments_of,
    closes,
    lose_answers,
    loses_answer,
    opens,
    restarts,
    sends,
    warns,
)
from toolguard.testing.scenarios.realtime_troubles import dies, is_cancelled, is_slow
from toolguard.testing.scenarios.second_process import is_killed, stands_by

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from toolguard.testing.realtime import Generation, RealtimeServer, ReplyRequest
    from toolguard.testing.scenarios.data import Step
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.realtime_agents import Application
    from toolguard.testing.scenarios.slow_store import SlowStore

_MARKERS = frozenset({"tool", "guard"})
_MODEL = frozenset({"model.says", "model.calls", "model.opens_call", "model.adds_arguments", "model.stops"})
UNSCRIPTED = Reply(text="All right.", seconds=1.0)
"""What the model says where the timeline has nothing for it."""


@dataclass
class _Named:
    """A response that the timeline names."""

    name: str
    steps: list[Step]
    asked_from: float
    begun: bool = False
    own: list[Step] = field(default_factory=list["Step"])


class RealtimeStage:
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
        self.script = script
        self.server = server
        self.line = line
        self.connection = connection
        self.base = base
        self._loop = asyncio.get_running_loop()
        self.requests: list[Request] = []
        self.names: dict[str, str] = {}
        self.left = asyncio.Event()
        self.lag = 0.0
        self.store: SlowStore | None = None
        self._named = _named(script.steps)
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened: dict[str, Generation] = {}
        self.restart: Callable[[], Awaitable[None]] = _nobody
        self.application: Application | None = None
        self._lines = [line]
        self._heard_by = line
        self.reopen: Callable[[], Awaitable[None]] = _nobody
        lose_answers(line, script.steps)
        line.on_response_create(self._model)

    def move(self, line: Line, connection: Any) -> None:
        """Go on with another line."""
        self.line, self.connection = line, connection
        self._lines.append(line)
        line.on_response_create(self._model)

    def now(self) -> float:
        """Milliseconds on the timeline's clock."""
        return (self._loop.time() - self.base) * 1000

    async def until(self, at: float) -> None:
        """Wait for a time of the timeline, in milliseconds."""
        await asyncio.sleep(max(0.0, (at - self.now()) / 1000))

    async def play(self) -> None:
        """Play every step at its time, then let the conversation rest."""
        for named in self._named:
            if named.own and not any(step.does == "is_asked" for step in named.steps):
                self._spawn(self._begin_in_time(named))
        for step in self.script.steps:
            if step.who in _MARKERS or step.who == "model":
                continue
            await self.until(step.at)
            if not self.line.open and step.verb != "provider.opens":
                return
            done = VERBS[step.verb](self, step)
            if done is not None:
                await done
            if self.left.is_set():
                return
        last = max((step.at for step in self.script.steps), default=0.0)
        await self.until(max(last, self.now()) + self.script.rest * 1000)

    def stop(self) -> None:
        """End what still runs."""
        for task in self._tasks:
            task.cancel()

    # -- the model ----------------------------------------------------------------------------------------------

    def _model(self, line: Line, request: ReplyRequest) -> Reply | Awaitable[Reply | None] | None:
        made = next(one for one in line.responses if one.id == request.response_id)
        now = self.now()
        named = None
        if not request.out_of_band:
            named = next((one for one in self._named if not one.begun and now >= one.asked_from), None)
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
        named.begun = True
        self.names[made.id] = named.name
        if not named.own:
            return UNSCRIPTED
        return self._perform(named, made)

    async def _begin_in_time(self, named: _Named) -> None:
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

    async def _perform(self, named: _Named, made: Generation) -> Reply:
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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="stage")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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

    def leaves(self, _step: Step) -> None:
        """The caller hangs up, and the application ends the conversation."""
        self.left.set()

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

    def ticks(self, step: Step) -> None:
        """From here on a ticker measures by how much the loop is late."""
        self._spawn(self._tick(step.ms / 1000))

    async def _tick(self, period: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + period
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.lag = max(self.lag, (loop.time() - due) * 1000)
            due += period


VERBS: dict[str, Callable[[RealtimeStage, Step], Awaitable[None] | None]] = {
    "caller.starts": RealtimeStage.starts,
    "caller.stops": RealtimeStage.stops,
    "caller.partly": RealtimeStage.partly,
    "caller.said": RealtimeStage.said,
    "caller.leaves": RealtimeStage.leaves,
    "app.interrupts": RealtimeStage.interrupts,
    "app.asks": RealtimeStage.asks,
    "provider.begins_response": RealtimeStage.begins_response,
    "provider.ends_response": RealtimeStage.ends_response,
    "loop.ticks": RealtimeStage.ticks,
    "store.is_slow": is_slow,
    "store.dies": dies,
    "app.is_cancelled": is_cancelled,
    "platform.sends": sends,
    "provider.closes": closes,
    "provider.opens": opens,
    "provider.warns": warns,
    "network.loses_answer": loses_answer,
    "process.restarts": restarts,
    "app.keeps": keeps,
    "app.compacts": compacts,
    "app.changes_provider": changes_provider,
    "process.dies": is_killed,
    "process.starts": stands_by,
    "process.rival": stands_by,
}
"""The steps that this stage plays, besides the model's own; more may be added here."""
RealtimeStage.verbs = frozenset(VERBS) | _MODEL | {"model.is_asked"}


async def _nobody() -> None:
    raise NotImplementedError("nobody restarts the application of this play")


def _named(steps: tuple[Step, ...]) -> list[_Named]:
    found: dict[str, _Named] = {}
    asked_from = float("-inf")
    for step in steps:
        if step.verb in {"caller.starts", "app.asks"}:
            asked_from = step.at - 1
        if step.who == "model" and step.generation:
            named = found.setdefault(step.generation, _Named(step.generation, [], asked_from))
            named.steps.append(step)
    for named in found.values():
        named.own = [step for step in named.steps if step.verb in _MODEL]
    return list(found.values())
