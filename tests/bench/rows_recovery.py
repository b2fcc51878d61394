"""Coming back: folding a session's journal, entering it again, and opening a large store cold."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.engine.folding import fold
from toolguard.stores.base import Append
from toolguard.stores.disk import DiskStore

from .subjects import entered, guarding, ledger_of, left, spoken
from .table import Row
from .timing import each, spread, tell

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping
    from pathlib import Path

    import toolguard

    from .timing import Case, Figures, Rounds, Scale


class Folding:
    """Reading a session's journal and folding it into its state."""

    name = "recovery"
    rounds = 0.6

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """Sessions of 100 records, and a very long one."""
        long = self._long = scale.pick(100_000, 10_000)
        async with guarding(scale.scratch / "folding") as guard:
            sessions = {size: await _filled(guard, size) for size in (100, long)}
            journal = guard.journal

            yield {
                "short": lambda: each(lambda _: fold(journal, sessions[100].id), 50, warm=5),
                "long": lambda: each(lambda _: fold(journal, sessions[long].id), 1),
                "enter": lambda: _again(guard, sessions[100].id),
            }
            await left(list(sessions.values()))

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
        yield Row(
            self.name, f"a session of {self._long:,} records", seen.median("long", "p50") / 1e3, 15.0, "ms",
            n=seen.n("long"), beside="meant for snapshots, which are not there yet: all records are read",
        )  # fmt: skip


async def _filled(guard: toolguard.Guard, size: int) -> toolguard.Session:
    session = await entered(guard)
    ledger = ledger_of(session)
    for number in range(1, size):
        if number % 4 == 1:
            ledger.append(r.Heard(turn=number, text="And on Tuesday?", kind="other_topic"))
        else:
            ledger.append(spoken())
        if number % 5000 == 0:
            await ledger.journal.ask(lambda _store: None)
    await ledger.journal.ask(lambda _store: None)
    return session


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
