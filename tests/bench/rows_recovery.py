"""Coming back: folding a session's journal, entering it again, and opening a large store cold."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.engine.folding import fold
from toolguard.stores.base import Append
from toolguard.stores.disk import DiskStore

from .subjects import entered, guarding, ledger_of, left, spoken
from .table import Row
from .timing import each, quantile, spread, tell

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
    from pathlib import Path

    import toolguard

    from .timing import Case, Figures, Rounds, Scale


class Folding:
    """Folding a session's journal into its state, from its newest snapshot on."""

    name = "recovery"
    rounds = 0.6

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """Sessions of 100 records, and very long ones: of words, and of calls."""
        long = self._long = scale.pick(100_000, 10_000)
        async with guarding(scale.scratch / "folding") as guard:
            short, words, calls = [await entered(guard) for _ in range(3)]
            await _fill_up(short, _words(100))
            await _fill_up(words, _words(long))
            await _fill_up(calls, _calls(long))
            journal = guard.journal
            for session in (words, calls):
                tell(f"recovery: snapshots of {long:,} records")
                await fold(journal, session.id)
                await _fill_up(session, _words(TAIL))

            yield {
                "short": lambda: each(lambda _: fold(journal, short.id), 50, warm=5),
                "long": lambda: each(lambda _: fold(journal, words.id), 5, warm=1),
                "calls": lambda: each(lambda _: fold(journal, calls.id), 5, warm=1),
                "enter": lambda: _again(guard, short.id),
            }
            await left([short, words, calls])

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Milliseconds for each."""
        yield Row(
            self.name, "a session of 100 records, read and folded", seen.median("short", "p50") / 1e3, 2.0, "ms",
            n=seen.n("short"), beside=f"p99 {seen.median('short', 'p99') / 1e3:.2f} ms",
        )  # fmt: skip
        yield Row(
            self.name, "the same, entered under a new epoch", seen.median("enter", "p50") / 1e3, None, "ms",
            n=seen.n("enter"),
        )  # fmt: skip
        for case, what, target in (("calls", "calls and words", 15.0), ("long", "nothing but words", 15.0)):
            yield Row(
                self.name, f"a session of {self._long:,} records of {what}", seen.median(case, "p50") / 1e3, target, "ms",
                n=seen.n(case), beside=f"max {seen.worst(case, 'max') / 1e3:.1f} ms, {TAIL} of them not in the snapshot",
            )  # fmt: skip


class Takeover:
    """Taking over the sessions of a process that died, all at once."""

    name = "takeover"
    rounds = 0.4

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """Many sessions of some dozen records, a read and a write in each of them done."""
        many = self._many = scale.pick(500, 100)
        async with guarding(scale.scratch / "takeover") as guard:
            sessions = [await entered(guard) for _ in range(many)]
            for session in sessions:
                await _fill_up(session, _calls(40))

            yield {"all": lambda: _taken_over(guard, [session.id for session in sessions])}
            await left(list(guard.sessions.values()))

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Milliseconds until the last one goes on, and how long the loop was held meanwhile."""
        yield Row(
            self.name, f"{self._many} sessions of 40 records go on", seen.median("all", "taken"), 400.0, "ms",
            n=seen.n("all"), beside=f"{seen.median('all', 'busy'):.0f} ms of CPU, {AT_ONCE} at a time",
        )  # fmt: skip
        yield Row(
            self.name, "CPU of the loop's longest turn meanwhile", seen.median("all", "turn"), 2.0, "ms",
            n=seen.n("all"), beside=f"p99 {seen.median('all', 'p99'):.2f} ms, worst of all rounds {seen.worst('all', 'turn'):.1f} ms",
        )  # fmt: skip


SYLLABLES = [
    "an",
    "be",
    "cor",
    "di",
    "el",
    "for",
    "go",
    "hi",
    "in",
    "jo",
    "ka",
    "li",
    "mo",
    "na",
    "o",
    "per",
    "qui",
    "ra",
    "so",
    "ta",
    "un",
    "ver",
    "wa",
    "xi",
    "ya",
    "zu",
]
AT_ONCE = 4
"""Sessions that are taken over at a time, so that the loop is not held by all of them together."""
TAIL = 250
"""Records behind the snapshot of a long session: with more, whoever folds them makes a new one."""


def _words(size: int) -> Iterator[r.Record]:
    draw = random.Random(size)
    for number in range(1, size):
        yield _said(draw, number)


def _said(draw: random.Random, number: int) -> r.Record:
    """A turn of the caller, then one of the agent, which is three times as long."""
    words = 60 if number % 2 else 20
    text = " ".join(f"{draw.choice(SYLLABLES)}{draw.choice(SYLLABLES)}" for _ in range(words))
    return r.Said(text=text) if number % 2 else r.Heard(turn=number, text=text, kind="addition")


def _calls(size: int) -> Iterator[r.Record]:
    draw = random.Random(size)
    for call in range(1, size // 8 + 1):
        yield _said(draw, 2 * call)
        yield _said(draw, 2 * call + 1)
        yield r.Called(
            call=call, call_id=f"call_{call:024}", tool="charge", verdict="run", effect=Effect.MUTATION, run=call,
            arguments=msgspec.Raw(b'{"who":"ana","cents":500}'), fingerprint=f"{call:064x}", intent=f"{call:064x}",
            generation=f"resp_{call}", batch=call, context=0, version="1", scope="session",
        )  # fmt: skip
        yield r.CommitBegan(run=call, key=f"{call:032x}", limit=30.0)
        yield r.Returned(run=call, result=msgspec.Raw(b'"ch_500"'))
        yield r.Sent(item=f"item_{call}", context=0, calls=(call,), run=call)
        yield r.BatchClosed(batch=call, generation=f"resp_{call}")
        yield r.Acknowledged(calls=(call,), turn=call)


async def _fill_up(session: toolguard.Session, records: Iterable[r.Record]) -> None:
    """Put records into a session's journal alone, as if somebody else had written them."""
    ledger = ledger_of(session)
    ledger.grown = None
    for number, record in enumerate(records):
        ledger.append(record)
        if number % 5000 == 0:
            await ledger.journal.ask(lambda _store: None)
    await ledger.journal.ask(lambda _store: None)


async def _taken_over(guard: toolguard.Guard, sessions: list[str]) -> Figures:
    """Enter all sessions again, some at a time, and take the CPU time of every turn of the loop."""
    for session in sessions:
        await guard.journal.ask(lambda store, session=session: store.leave(session, "open"))
        guard.sessions[session]._w.stop()
    turns: list[int] = []
    clock, cpu = time.perf_counter_ns, time.thread_time_ns
    loop = asyncio.get_running_loop()
    left_behind, over = list(sessions), False

    def turn(began: int) -> None:
        turns.append(cpu() - began)
        if not over:
            loop.call_soon(turn, cpu())

    async def some() -> None:
        while left_behind:
            await guard.enter(left_behind.pop(), agent="frontdesk", tenant="clinic-7")

    loop.call_soon(turn, cpu())
    busy, began = time.process_time_ns(), clock()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    taken, busy = clock() - began, time.process_time_ns() - busy
    over = True
    await asyncio.sleep(0)
    turns.sort()
    return {
        "taken": taken / 1e6,
        "busy": busy / 1e6,
        "turn": turns[-1] / 1e6,
        "p99": quantile(turns, 0.99) / 1e6,
        "n": len(sessions),
    }


async def _again(guard: toolguard.Guard, session: str) -> Figures:
    """Enter a session that another process is thought to have left."""
    taken: list[int] = []
    for _ in range(5):
        await guard.journal.ask(lambda store: store.leave(session, "open"))
        began = time.perf_counter_ns()
        again = await guard.enter(session, agent="frontdesk", tenant="clinic-7")
        taken.append(time.perf_counter_ns() - began)
        again._w.stop()
    return spread(taken)


class ColdOpen:
    """Opening a store, small and large, as a process does that starts."""

    name = "opening a store"
    rounds = 1.0

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """An empty journal, and one of very many records."""
        many = self._many = scale.pick(500_000, 50_000)
        _fill(scale.scratch / "large", many)
        _fill(scale.scratch / "small", 100)
        yield {
            "small": lambda: _opening(scale.scratch / "small"),
            "large": lambda: _opening(scale.scratch / "large"),
        }

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Milliseconds until it can be written."""
        for case, size, target in (("small", 100, None), ("large", self._many, 50.0)):
            yield Row(
                self.name, f"{size:,} records", seen.median(case, "p50") / 1e3, target, "ms", n=seen.n(case),
                beside=f"max {seen.worst(case, 'max') / 1e3:.1f} ms",
            )  # fmt: skip


def _fill(directory: Path, records: int) -> None:
    store = DiskStore(directory)
    store.open("filler")
    draft = r.encode(spoken(), time.time_ns())
    for step in range(0, records, 100):
        if step % 20_000 == 0:
            tell(f"opening a store: filling it, {step:,}/{records:,}")
        store.commit([Append(f"conv-{step // 100}", None, (draft,) * 100)])
        if step % 5_000 == 0:
            store.idle()
    store.close()


async def _opening(directory: Path) -> Figures:
    taken: list[int] = []
    for step in range(3):
        store = DiskStore(directory)
        began = time.perf_counter_ns()
        store.open(f"bench-{step}")
        taken.append(time.perf_counter_ns() - began)
        store.close()
    return spread(taken)
