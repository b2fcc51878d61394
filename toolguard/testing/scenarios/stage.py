"""Plays a timeline: every step at its time, the caller's and the application's; what the model does is left to it.

A response that the timeline names is begun by the first accepted request for a reply after the caller last began to
speak (or the application last asked) before its first step. Requests that no named response is waiting for get a reply
of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from toolguard.testing.scenarios.data import Step
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Request
    from toolguard.testing.scenarios.slow_store import SlowStore

Act = Callable[[Any, "Step"], Awaitable[None] | None]
"""How a stage plays a step of one verb."""
MODEL = frozenset({"model.says", "model.calls", "model.opens_call", "model.adds_arguments", "model.stops"})
_MARKERS = frozenset({"tool", "guard"})
ALL_RIGHT, ALL_RIGHT_SECONDS = "All right.", 1.0
"""What the model says where the timeline has nothing for it."""


class Application(Protocol):
    """What a stage asks of the application."""

    def keep(self, facts: Mapping[str, Any]) -> None:
        """Keep facts."""
        ...

    def compact(self, keep_last: int) -> None:
        """Shorten the history."""
        ...

    def change_provider(self) -> None:
        """Give the shortened history to other providers."""
        ...


@dataclass
class Named:
    """A response that the timeline names.

    Attributes:
        name: The timeline's name of it.
        steps: All its steps.
        asked_from: From when on a request for a reply is the one for it, in milliseconds.
        begun: Whether it has begun.
        own: The steps that the model itself does in it.
    """

    name: str
    steps: list[Step]
    asked_from: float
    begun: bool = False
    own: list[Step] = field(default_factory=list["Step"])


class Stage:
    """One play.

    Args:
        script: What to play.
        base: Loop time of the timeline's zero.
        acts: How the steps are played, by verb, besides those of the model and those that every stage plays.
    """

    def __init__(self, script: Script, base: float, acts: Mapping[str, Act]) -> None:
        self.script = script
        self.base = base
        self._acts = acts
        self._loop = asyncio.get_running_loop()
        self.requests: list[Request] = []
        self.left = asyncio.Event()
        self.lag = 0.0
        self.store: SlowStore | None = None
        self.named = _named(script.steps)
        self._tasks: set[asyncio.Task[None]] = set()
        self.restart: Callable[[], Awaitable[None]] = nobody
        self.application: Application | None = None

    @property
    def open(self) -> bool:
        """Whether the other side is there."""
        return True

    def now(self) -> float:
        """Milliseconds on the timeline's clock."""
        return (self._loop.time() - self.base) * 1000

    async def until(self, at: float) -> None:
        """Wait for a time of the timeline, in milliseconds."""
        await asyncio.sleep(max(0.0, (at - self.now()) / 1000))

    async def play(self) -> None:
        """Play every step at its time, then let the conversation rest."""
        for named in self.named:
            if named.own and not any(step.does == "is_asked" for step in named.steps):
                self.spawn(self.begin_in_time(named))
        for step in self.script.steps:
            if step.who in _MARKERS or step.who == "model":
                continue
            await self.until(step.at)
            if not self.open and step.verb != "provider.opens":
                return
            done = self._acts[step.verb](self, step)
            if done is not None:
                await done
            if self.left.is_set():
                return
        last = max((step.at for step in self.script.steps), default=0.0)
        await self.until(max(last, self.now()) + self.script.rest * 1000)

    async def begin_in_time(self, named: Named) -> None:
        """Begin a response that nobody has asked for when its first step is due."""
        raise NotImplementedError

    def claim(self) -> Named | None:
        """The named response that a request for a reply begins now; None if none is waiting for it."""
        now = self.now()
        named = next((one for one in self.named if not one.begun and now >= one.asked_from), None)
        if named is not None:
            named.begun = True
        return named

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the timeline until the play ends."""
        task = asyncio.create_task(work, name="stage")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """End what still runs."""
        for task in self._tasks:
            task.cancel()

    # -- steps that every stage plays ---------------------------------------------------------------------------

    def leaves(self, _step: Step) -> None:
        """The caller hangs up, and the application ends the conversation."""
        self.left.set()

    async def restarts(self, _step: Step) -> None:
        """The application's process ends in good order and a new one goes on over the same store."""
        await self.restart()

    def keeps(self, step: Step) -> None:
        """The application keeps facts."""
        if self.application is not None and isinstance(step.args, dict):
            self.application.keep(step.args)

    def compacts(self, step: Step) -> None:
        """The application shortens its history to the last items."""
        if self.application is not None:
            self.application.compact(int(step.ms))

    def changes_provider(self, _step: Step) -> None:
        """The application goes on with other providers."""
        if self.application is not None:
            self.application.change_provider()

    def ticks(self, step: Step) -> None:
        """From here on a ticker measures by how much the loop is late."""
        self.spawn(self._tick(step.ms / 1000))

    async def _tick(self, period: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + period
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.lag = max(self.lag, (loop.time() - due) * 1000)
            due += period


ACTS: dict[str, Act] = {
    "caller.leaves": Stage.leaves,
    "process.restarts": Stage.restarts,
    "app.keeps": Stage.keeps,
    "app.compacts": Stage.compacts,
    "app.changes_provider": Stage.changes_provider,
    "loop.ticks": Stage.ticks,
}
"""Steps that every stage plays in the same way; :mod:`~.troubles` has more."""


async def nobody() -> None:
    """Stands where a driver has not said how.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError("nobody restarts the application of this play")


def _named(steps: tuple[Step, ...]) -> list[Named]:
    found: dict[str, Named] = {}
    asked_from = float("-inf")
    for step in steps:
        if step.verb in {"caller.starts", "app.asks"}:
            asked_from = step.at - 1
        if step.who == "model" and step.generation:
            named = found.setdefault(step.generation, Named(step.generation, [], asked_from))
            named.steps.append(step)
    for named in found.values():
        named.own = [step for step in named.steps if step.verb in MODEL]
    return list(found.values())
