"""LiveKit: what the guard adds to a hand-off, and how long a caller waits who speaks while a silent tool runs."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import statistics
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import toolguard

from .table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from .phone import Timing
    from .timing import Case, Figures, Rounds, Scale

ROUND_TRIP = 0.05
CELLS = {
    "reused session, copied context": (True, True),
    "reused session, empty context": (True, False),
    "fresh session, copied context": (False, True),
    "fresh session, empty context": (False, False),
}


@asynccontextmanager
async def _quiet() -> AsyncGenerator[None]:
    """LiveKit warns of what is deliberate here; it is imported only where it is measured."""
    logger = logging.getLogger("livekit")
    before, logger.disabled = logger.disabled, True
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.disabled = before
        logger.setLevel(level)


class HandOff:
    """The benchmark of livekit/agents#5229, guarded and not: ten turns, then another agent, whose first sound counts.

    It counts from the return of the transfer's body, so what the guard writes for the hand-off is in it. From where LiveKit
    changes the agent the guarded one is ahead by a round trip: the provider has the transfer's output by then.

    Both kinds of conversation are set up side by side; then one is handed over after the other, in random order. Opening
    a connection costs nothing here, so the fresh sessions are faster than over a network.
    """

    name = "hand-off on LiveKit (livekit/agents#5229)"
    rounds = 1.0

    def __init__(self) -> None:
        self._pairs: dict[str, list[tuple[Timing, Timing]]] = {cell: [] for cell in CELLS}
        self._warm: set[str] = set()

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """A cell of the table each: reused or fresh realtime session, copied or empty context."""
        many = {True: scale.pick(10, 2), False: scale.pick(5, 1)}
        async with _quiet(), toolguard.Guard(scale.scratch / "handoff") as guard:

            async def cell(name: str) -> Figures:
                reused, copied = CELLS[name]
                warm = name in self._warm
                self._warm.add(name)
                for _ in range(many[reused] if warm else 1):
                    pair = await _pair(guard, reused=reused, copied=copied)
                    if warm:
                        self._pairs[name].append(pair)
                return {"n": many[reused]}

            yield {name: lambda name=name: cell(name) for name in CELLS}

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """What the guard adds, in all where the session is reused, and in every cell."""
        both = [pair for cell, (reused, _) in CELLS.items() if reused for pair in self._pairs[cell]]
        yield _added(self.name, "reused session: reply, with the guard minus without, median", both, 2.0)
        yield _added(self.name, "the same, from the model's call of the transfer", both, None, "called")
        yield _added(self.name, "the same, from where LiveKit changes the agent", both, None, "reply")
        for cell, (reused, _) in CELLS.items():
            yield _added(self.name, cell, self._pairs[cell], 2.0 if reused else None)


def _added(
    group: str, what: str, pairs: Sequence[tuple[Timing, Timing]], target: float | None, of: str = "returned"
) -> Row:
    added = [(getattr(with_, of) - getattr(without, of)) * 1e3 for with_, without in pairs]
    low, high = interval(added)

    def median(which: int, of: str) -> float:
        return statistics.median(getattr(pair[which], of) for pair in pairs) * 1e3

    return Row(
        group, what, statistics.median(added), target, "ms", n=len(pairs),
        beside=f"95 % {low:+.2f} to {high:+.2f} ms; {median(0, of):.1f} against {median(1, of):.1f} ms, "
        f"agent ready {median(0, 'ready'):.1f} against {median(1, 'ready'):.1f} ms",
    )  # fmt: skip


def interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % interval of the median that assumes nothing of its distribution: the sign test's."""
    ordered, n = sorted(values), len(values)
    share, below = 0.0, -1
    while below + 1 < n // 2 and share + math.comb(n, below + 1) / 2**n <= 0.025:
        below += 1
        share += math.comb(n, below) / 2**n
    cut = max(below, 0)
    return ordered[cut], ordered[n - 1 - cut]


async def _pair(guard: toolguard.Guard, *, reused: bool, copied: bool) -> tuple[Timing, Timing]:
    from .phone import Phone

    kind: dict[str, Any] = {"reused": reused, "copied": copied, "round_trip": ROUND_TRIP}
    phones = [Phone(guard, **kind), Phone(None, **kind)]
    for phone in phones:
        await phone.answer()
    try:
        await asyncio.gather(*(phone.talk() for phone in phones))
        order = random.sample(phones, 2)
        timings = {id(phone): await phone.handed_over() for phone in order}
    finally:
        for phone in phones:
            await phone.hang_up()
    return timings[id(phones[0])], timings[id(phones[1])]


class SilentTool:
    """A pipeline (speech to text, model, text to speech): the caller speaks one second into a tool that takes eight."""

    name = "barge-in on a silent tool, LiveKit pipeline"
    rounds = 0.2
    seconds = 8.0

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """Several conversations at once, for all that they do is wait."""
        lines = scale.pick(10, 3)
        seconds = self._tool = self.seconds if not scale.quick else 3.0

        async with _quiet(), toolguard.Guard(scale.scratch / "silent") as guard:
            from .interrupted import answered

            warm: set[bool] = set()

            async def case(own: toolguard.Guard | None) -> Figures:
                kind = own is not None
                long, many = (seconds, lines) if kind in warm else (1.5, 1)
                warm.add(kind)
                waits = await asyncio.gather(*(answered(own, long, delay=0.05 * one) for one in range(many)))
                return {"p50": statistics.median(waits), "max": max(waits), "n": many}

            yield {"guarded": lambda: case(guard), "alone": lambda: case(None)}

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """From the end of the caller's speech to the first sound of the answer."""
        alone = seen.median("alone", "p50")
        yield Row(
            self.name, f"a tool of {self._tool:.0f} s, guarded: end of speech to answer, p50",
            seen.median("guarded", "p50"), 0.5, "s", n=seen.n("guarded"),
            beside=f"max {seen.worst('guarded', 'max'):.2f} s; 0.2 s of it are LiveKit's wait for the end of the turn",
        )  # fmt: skip
        yield Row(
            self.name, "LiveKit alone", alone, None, "s", n=seen.n("alone"),
            beside=f"max {seen.worst('alone', 'max'):.2f} s",
        )  # fmt: skip
