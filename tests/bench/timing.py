"""Measuring: slices of work that run interleaved, in a new random order each round, and what is made of them."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import sys
import time
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from .table import Row

Figures: TypeAlias = dict[str, float]
"""What one slice gave, by name; times in microseconds where the name does not say otherwise."""
Case: TypeAlias = "Callable[[], Awaitable[Figures]]"
"""One slice of work, warmed up and measured."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure.

    Attributes:
        rounds: Times that every case runs.
        quick: Smaller numbers of sessions, processes and records; for a look, not for a judgement.
        scratch: A directory on the disk that is measured.
        peers: The interpreter that the peers are installed for.
        postgres: Address of a PostgreSQL server for peers that want one; empty: one is started for them.
    """

    rounds: int
    quick: bool
    scratch: Path
    peers: str
    postgres: str = ""

    def pick(self, full: int, quick: int) -> int:
        """One of two sizes."""
        return quick if self.quick else full


class Experiment(Protocol):
    """Cases that are compared with one another."""

    name: str
    rounds: float
    """Times the rounds that were asked for: cheap experiments run more, dear ones fewer."""

    def cases(self, scale: Scale) -> AbstractAsyncContextManager[Mapping[str, Case]]:
        """Set everything up and give the cases by name."""
        ...

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """What came out."""
        ...


class Rounds:
    """The figures of all rounds: what each case gave in each."""

    def __init__(self) -> None:
        self._figures: dict[str, list[Figures]] = {}

    def add(self, case: str, figures: Figures) -> None:
        """Keep the figures of one slice."""
        self._figures.setdefault(case, []).append(figures)

    def __contains__(self, case: object) -> bool:
        return case in self._figures

    def median(self, case: str, name: str) -> float:
        """The median over rounds."""
        return statistics.median(figures[name] for figures in self._figures[case])

    def worst(self, case: str, name: str) -> float:
        """The largest of all rounds."""
        return max(figures[name] for figures in self._figures[case])

    def best(self, case: str, name: str) -> float:
        """The smallest of all rounds: what the code can do where nothing disturbs it."""
        return min(figures[name] for figures in self._figures[case])

    def total(self, case: str, name: str) -> float:
        """The sum over rounds."""
        return sum(figures[name] for figures in self._figures[case])

    def ratio(self, case: str, floor: str, name: str) -> float:
        """The median over rounds of the ratio within a round."""
        pairs = zip(self._figures[case], self._figures[floor], strict=True)
        return statistics.median(mine[name] / max(its[name], 1e-9) for mine, its in pairs)

    def added(self, case: str, floor: str, name: str) -> float:
        """The median over rounds of the difference within a round."""
        pairs = zip(self._figures[case], self._figures[floor], strict=True)
        return statistics.median(mine[name] - its[name] for mine, its in pairs)

    def n(self, case: str) -> int:
        """How many measurements all rounds have made."""
        return int(sum(figures.get("n", 1) for figures in self._figures[case]))


async def play(experiment: Experiment, scale: Scale) -> list[Row]:
    """Run an experiment: all cases once unseen, then round by round in random order."""
    rounds = max(2, round(scale.rounds * experiment.rounds))
    seen = Rounds()
    async with experiment.cases(scale) as cases:
        names = list(cases)
        for step in range(-1, rounds):
            random.shuffle(names)
            if not sys.stderr.isatty() and step in {-1, rounds // 2}:
                sys.stderr.write(f"{experiment.name}: round {step + 1} of {rounds}, {len(names)} cases\n")
            for at, name in enumerate(names):
                tell(f"{experiment.name}: round {max(step + 1, 0)}/{rounds}, {at + 1}/{len(names)} {name}")
                gc.collect()
                figures = await cases[name]()
                if step >= 0:
                    seen.add(name, figures)
    tell("")
    return list(experiment.rows(seen))


def tell(text: str) -> None:
    """Say on one line of the terminal what is going on; elsewhere :func:`play` says where it has come to."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text[:110]}")
        sys.stderr.flush()


def quantile(sorted_values: Sequence[float], share: float) -> float:
    """A quantile of sorted values."""
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def spread(nanoseconds: Iterable[int]) -> Figures:
    """Median, 99th percentile and largest of some durations, in microseconds."""
    values = sorted(one / 1e3 for one in nanoseconds)
    return {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99), "max": values[-1], "n": len(values)}


async def each(work: Callable[[int], Awaitable[Any]], n: int, *, warm: int = 0) -> Figures:
    """Await ``work(i)`` one after another; ``cpu`` is the loop thread's CPU time for one."""
    for i in range(warm):
        await work(-1 - i)
    taken = [0] * n
    clock = time.perf_counter_ns
    cpu = time.thread_time_ns()
    for i in range(n):
        began = clock()
        await work(i)
        taken[i] = clock() - began
    cpu = time.thread_time_ns() - cpu
    return {**spread(taken), "cpu": cpu / n / 1e3}


class Lag:
    """How late a ticker on the loop woke, in nanoseconds."""

    def __init__(self) -> None:
        self.late: list[int] = []


@asynccontextmanager
async def ticking(every: float) -> AsyncGenerator[Lag]:
    """Watch the loop with a ticker for the length of a block."""
    lag = Lag()

    async def tick() -> None:
        clock, step = time.perf_counter_ns, int(every * 1e9)
        while True:
            due = clock() + step
            await asyncio.sleep(every)
            lag.late.append(max(0, clock() - due))

    task = asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        yield lag
    finally:
        await asyncio.sleep(every)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def many(work: Callable[[int, int], Awaitable[Any]], sessions: int, calls: int) -> Figures:
    """Await ``work(session, call)`` back to back in every session, all sessions at once."""
    taken: list[int] = []
    clock = time.perf_counter_ns

    async def one(session: int) -> None:
        for call in range(calls):
            start = clock()
            await work(session, call)
            taken.append(clock() - start)

    cpu, began = time.thread_time_ns(), clock()
    await asyncio.gather(*(one(session) for session in range(sessions)))
    seconds = (clock() - began) / 1e9
    cpu = time.thread_time_ns() - cpu
    return {**spread(taken), "rate": len(taken) / seconds, "cpu": cpu / len(taken) / 1e3}
