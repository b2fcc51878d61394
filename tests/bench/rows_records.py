"""What one journaled record costs: on the loop's thread, until it is durable, in a flood, and in its ticker's lag."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .floor import Floor
from .subjects import durable, entered, guarding, ledger_of, left, spoken
from .table import Row
from .timing import each, many, quantile, ticking

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

    import toolguard

    from .timing import Case, Figures, Rounds, Scale

BATCH = 200


class OneRecord:
    """A record of 500 bytes: thrown in, awaited alone, awaited by many at once; each beside the floor."""

    name = "one record"
    rounds = 1.5

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """The same three shapes for the floor and for the journal."""
        n = scale.pick(100, 40)
        async with guarding(scale.scratch / "records") as guard:
            floor = Floor(scale.scratch / "records.floor")
            inside = [await entered(guard) for _ in range(BATCH)]
            session = inside[0]

            async def unawaited() -> Figures:
                ledger = ledger_of(session)
                figures = await _cpu(lambda: ledger.write(spoken()), 500)
                await ledger.journal.ask(lambda _store: None)
                return figures

            yield {
                "floor": lambda: each(lambda _: floor.append(), n, warm=5),
                "floor batch": lambda: many(lambda _s, _c: floor.append(), BATCH, 2),
                "alone": lambda: each(lambda _: durable(session), n, warm=5),
                "batch": lambda: many(lambda s, _c: durable(inside[s]), BATCH, 2),
                "unawaited": unawaited,
            }
            await left(inside)
            floor.close()

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """CPU on the loop's thread, and the way to the disk and back."""
        floor = f"the floor takes {seen.median('floor', 'cpu'):.1f} alone, {seen.median('floor batch', 'cpu'):.1f} in a batch"
        for case, target in (("unawaited", 6.0), ("alone", 40.0), ("batch", 10.0)):
            what = {"alone": "awaited alone", "batch": f"awaited in a batch of {BATCH}"}.get(case, case)
            yield Row(
                self.name, f"loop-thread CPU, {what}", seen.median(case, "cpu"), target, "us", n=seen.n(case),
                beside=floor if case != "unawaited" else "",
            )  # fmt: skip
        mine, its = seen.median("alone", "p50"), seen.median("floor", "p50")
        yield Row(
            self.name, "awaited, power-durable: over the floor, p50", seen.ratio("alone", "floor", "p50"), 1.5,
            n=seen.n("alone"), beside=f"{mine:.0f} us against {its:.0f} us; best rounds {seen.best('alone', 'p50'):.0f} "
            f"and {seen.best('floor', 'p50'):.0f} us",
        )  # fmt: skip
        mine, its = seen.median("alone", "p99"), seen.median("floor", "p99")
        yield Row(
            self.name, "the same, p99", seen.ratio("alone", "floor", "p99"), None, n=seen.n("alone"),
            beside=f"{mine:.0f} us against {its:.0f} us",
        )  # fmt: skip


async def _cpu(work: Callable[[], object], n: int) -> Figures:
    """CPU time of the loop's thread for one call of ``work``, which returns at once."""
    cpu = time.thread_time_ns()
    for _ in range(n):
        work()
    return {"cpu": (time.thread_time_ns() - cpu) / n / 1e3, "n": n}


class Sustained:
    """Many sessions, each waiting for its own power-durable record before it writes the next."""

    name = "sustained"
    rounds = 0.6

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """The floor and the journal, in a closed loop."""
        sessions, calls = scale.pick(500, 100), scale.pick(20, 10)
        async with guarding(scale.scratch / "sustained") as guard:
            floor = Floor(scale.scratch / "sustained.floor")
            inside = [await entered(guard) for _ in range(sessions)]
            self._sessions = sessions
            yield {
                "floor": lambda: many(lambda _s, _c: floor.append(), sessions, calls),
                "ours": lambda: many(lambda s, _c: durable(inside[s]), sessions, calls),
            }
            await left(inside)
            floor.close()

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Records a second against the floor's."""
        mine, its = seen.median("ours", "rate"), seen.median("floor", "rate")
        yield Row(
            self.name, f"{self._sessions} sessions in a closed loop: records/s of the floor's",
            seen.ratio("ours", "floor", "rate"), 0.15, better="more", n=seen.n("ours"),
            beside=f"{mine:,.0f}/s against {its:,.0f}/s",
        )  # fmt: skip


class Steady:
    """Many sessions that together journal 1,000 records a second, one in five power-durable and awaited."""

    name = "steady load"
    rounds = 0.6

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """A ticker on an idle loop, and on the loop of those sessions."""
        seconds = scale.pick(3, 1)
        async with guarding(scale.scratch / "steady") as guard:
            inside = [await entered(guard) for _ in range(500)]
            yield {"idle": lambda: _lag([], seconds), "loaded": lambda: _lag(inside, seconds)}
            await left(inside)

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Lag of a 20 ms ticker beyond the idle loop's."""
        n = seen.n("loaded")
        for name, target in (("p99", 1.0), ("max", 5.0)):
            mine, idle = seen.median("loaded", name), seen.median("idle", name)
            rate = f"; {seen.median('loaded', 'rate'):,.0f} records/s" if name == "p99" else ""
            yield Row(
                self.name, f"500 sessions at 1,000 records/s: added lag of a 20 ms ticker, {name}",
                seen.added("loaded", "idle", name), target, "ms", n=n,
                beside=f"{mine:.2f} ms against {idle:.2f} ms idle{rate}",
            )  # fmt: skip


async def _lag(sessions: list[toolguard.Session], seconds: float) -> Figures:
    written = 0
    until = time.perf_counter() + seconds

    async def one(session: toolguard.Session) -> None:
        nonlocal written
        while True:
            await asyncio.sleep(random.uniform(0, 1))
            if time.perf_counter() >= until:
                return
            written += 1
            if random.random() < 0.2:
                await durable(session)
            else:
                ledger_of(session).write(spoken())

    async with ticking(0.02) as lag:
        await asyncio.gather(asyncio.sleep(seconds), *(one(session) for session in sessions))
    late = sorted(one / 1e6 for one in lag.late)
    return {"p99": quantile(late, 0.99), "max": late[-1], "rate": written / seconds, "n": len(late)}
