"""Barge-in: five hundred callers at once, and one caller who interrupts a hundred calls in flight."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import toolguard
from toolguard.stores.memory import MemoryStore

from .floor import Floor
from .subjects import durable, entered, guarding, ledger_of, left, slow_charge, slow_look
from .table import Row
from .timing import spread, ticking

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from .timing import Case, Figures, Rounds, Scale

_onsets = count(1)


class Storm:
    """Every session of a process is interrupted in one tick of its loop, with one write in flight in each."""

    name = "barge-in storm"
    rounds = 1.0

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """As many bare records through the floor, the storm itself, and the loop left alone for as long."""
        sessions = self._sessions = scale.pick(500, 100)
        async with guarding(scale.scratch / "storm") as guard:
            floor = Floor(scale.scratch / "storm.floor")
            inside = [await entered(guard) for _ in range(sessions)]
            calls = [asyncio.ensure_future(one.run(slow_charge, "ana")) for one in inside]
            await asyncio.sleep(1)

            async def floor_storm() -> Figures:
                async with ticking(0.005) as lag:
                    await asyncio.sleep(0.05)
                    began = time.perf_counter_ns()
                    await asyncio.gather(*(floor.append() for _ in range(sessions)))
                    took = time.perf_counter_ns() - began
                return {"took": took / 1e6, "lag": max(lag.late) / 1e6, "n": 1}

            yield {
                "floor": floor_storm,
                "ours": lambda: _storm(inside),
                "idle": _idle,
            }
            for call in calls:
                call.cancel()
            await left(inside)
            await asyncio.gather(*calls, return_exceptions=True)
            floor.close()

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Until all is on the disk; what the loop felt; how much was written."""
        n, sessions = seen.n("ours"), self._sessions
        mine, its = seen.median("ours", "took"), seen.median("floor", "took")
        yield Row(
            self.name, f"{sessions} sessions in one tick: all durable, over the floor's storm",
            seen.ratio("ours", "floor", "took"), 2.0, n=n,
            beside=f"{mine:.1f} ms against {its:.1f} ms; deciding and writing takes {seen.median('ours', 'sync'):.1f} ms "
            f"of the loop, {seen.best('ours', 'sync'):.1f} ms in the best round",
        )  # fmt: skip
        lag, idle = seen.median("ours", "lag"), seen.median("idle", "lag")
        yield Row(
            self.name, "loop lag, max, beyond the idle loop's", seen.added("ours", "idle", "lag"), 5.0, "ms", n=n,
            beside=f"{lag:.1f} ms against {idle:.1f} ms idle and {seen.median('floor', 'lag'):.1f} ms of the floor",
        )  # fmt: skip
        yield Row(self.name, "records for an interrupt", seen.worst("ours", "records"), 1.0, "", n=n)


async def _idle() -> Figures:
    async with ticking(0.005) as lag:
        await asyncio.sleep(0.1)
    return {"lag": max(lag.late) / 1e6, "n": 1}


async def _storm(sessions: list[toolguard.Session]) -> Figures:
    """The storm; one durable record behind it says when all of it is on the disk, for a log is synced in order."""
    journal = ledger_of(sessions[0]).journal
    onset = f"o{next(_onsets)}"
    before = await journal.ask(lambda store: store.position())
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    spent = 0

    def one(session: toolguard.Session) -> None:
        nonlocal spent
        began = time.perf_counter_ns()
        session.caller_started(onset)
        spent += time.perf_counter_ns() - began

    async with ticking(0.005) as lag:
        await asyncio.sleep(0.05)
        began = time.perf_counter_ns()
        for session in sessions:
            loop.call_soon(one, session)
        loop.call_soon(done.set)
        await done.wait()
        await durable(sessions[-1])
        took = time.perf_counter_ns() - began
    late = max(lag.late)
    after = await journal.ask(lambda store: store.position())
    for session in sessions:
        session.caller_retracted(onset)
    await journal.ask(lambda _store: None)
    records = (after - before - 1) / len(sessions)
    return {"took": took / 1e6, "lag": late / 1e6, "sync": spent / 1e6, "records": records, "n": 1}


def patient(call: toolguard.ToolCall, interrupt: toolguard.Interrupt) -> toolguard.Decision | None:
    """A policy of a user."""
    if call.is_(slow_charge) and isinstance(interrupt, toolguard.BargeIn) and interrupt.stage == "onset":
        return toolguard.Decision.hold("caller is speaking")
    return None


class WatchedStore(MemoryStore):
    """Counts the records that reach it, and whether the thread that decides ever waits for it."""

    threaded = True

    def __init__(self) -> None:
        super().__init__()
        self.touched_by_loop = 0
        self.loop_thread = threading.get_ident()

    def __getattribute__(self, name: str) -> Any:
        if name in {"commit", "claim", "read", "notes", "session"} and threading.get_ident() == self.loop_thread:
            self.touched_by_loop += 1
        return super().__getattribute__(name)


class Onset:
    """From the caller's first sound to a decision about each of a hundred calls in flight."""

    name = "barge-in to decision"
    rounds = 1.0
    calls = 100

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """With the default policy and with a user's; half of the calls are reads, half uncommitted writes."""
        n = scale.pick(100, 50)
        store = self._store = WatchedStore()
        theirs = WatchedStore()
        async with toolguard.Guard(store) as plain, toolguard.Guard(theirs, policy=patient) as own:
            busy = [await _busy(guard, self.calls) for guard in (plain, own)]
            yield {
                "default": lambda: _onsets_of(busy[0][0], n),
                "user": lambda: _onsets_of(busy[1][0], n),
            }
            self._touched = store.touched_by_loop + theirs.touched_by_loop
            for session, calls in busy:
                for call in calls:
                    call.cancel()
                await left([session])
                await asyncio.gather(*calls, return_exceptions=True)

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """The time from onset to decision, and that no store was asked."""
        for case, whose in (("default", "the default policy"), ("user", "a user's policy")):
            yield Row(
                self.name, f"{self.calls} calls in flight, {whose}, p99", seen.median(case, "p99") / 1e3, 1.0, "ms",
                n=seen.n(case), beside=f"p50 {seen.median(case, 'p50') / 1e3:.2f} ms, max {seen.worst(case, 'max') / 1e3:.2f} ms",
            )  # fmt: skip
        yield Row(self.name, "store accesses on the path", float(self._touched), 0.0, "", n=seen.n("default"))


async def _busy(guard: toolguard.Guard, calls: int) -> tuple[toolguard.Session, list[asyncio.Future[Any]]]:
    session = await entered(guard)
    going: list[asyncio.Future[Any]] = []
    for number in range(calls // 2):
        going.append(asyncio.ensure_future(session.run(slow_look, f"city {number}")))
        going.append(asyncio.ensure_future(session.run(slow_charge, f"caller {number}")))
    await asyncio.sleep(0.2)
    return session, going


async def _onsets_of(session: toolguard.Session, n: int) -> Figures:
    taken: list[int] = []
    clock = time.perf_counter_ns
    for step in range(n + 5):
        onset = f"o{next(_onsets)}"
        began = clock()
        session.caller_started(onset)
        took = clock() - began
        if step >= 5:
            taken.append(took)
        session.caller_retracted(onset)
        await asyncio.sleep(0.002)
    return spread(taken)
