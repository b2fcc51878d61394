"""What a guarded read costs over the bare coroutine, and a guarded mutation over the disk and beside its peers."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from .floor import Floor
from .peers import NAMES, Peers
from .subjects import bare_look, charge, entered, guarding, ledger_of, left, look
from .table import Row
from .timing import each, many, spread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
    from pathlib import Path

    import toolguard

    from .timing import Case, Figures, Rounds, Scale

_fresh = count(1)


class Reads:
    """A read whose body does nothing: all that is measured is the guard."""

    name = "guarded read"
    rounds = 1.5

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """The bare coroutine, and the read over both stores, in sessions of 150 calls."""
        n = scale.pick(100, 100)
        async with guarding("memory") as memory, guarding(scale.scratch / "reads") as disk:

            async def guarded(guard: toolguard.Guard) -> Figures:
                session = await entered(guard)
                try:
                    figures = await each(lambda i: session.run(look, f"city {i}"), n, warm=50)
                    calls = len(session.state.slots)
                    seq = (await _settled(session)) - 1
                    return {**figures, "records": seq / calls}
                finally:
                    await left([session])

            yield {
                "bare": lambda: each(lambda i: bare_look(f"city {i}"), n, warm=50),
                "machine": lambda: _machine(n),
                "memory": lambda: guarded(memory),
                "disk": lambda: guarded(disk),
            }

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Added time over the bare coroutine, and records for each call."""
        noise = f"an idle stretch of 50 us here: p99 {seen.median('machine', 'p99'):.0f} us"
        for store in ("memory", "disk"):
            bare, p50 = seen.median("bare", "p50"), seen.median(store, "p50")
            n = seen.n(store)
            yield Row(
                self.name, f"{store} store: added, median", seen.added(store, "bare", "p50"), 30.0, "us", n=n,
                beside=f"{p50:.1f} us against {bare:.2f} us bare; stretch 15 us; best round {seen.best(store, 'p50'):.1f} us; "
                f"loop CPU {seen.median(store, 'cpu'):.1f} us",
            )  # fmt: skip
            p99 = seen.added(store, "bare", "p99")
            yield Row(self.name, f"{store} store: added, p99", p99, 250.0, "us", n=n, beside=noise)
        yield Row(self.name, "records for each call", seen.worst("disk", "records"), 2.0, "", n=seen.n("disk"))


async def _settled(session: toolguard.Session) -> int:
    """How many records the session has in its store."""
    row = await ledger_of(session).journal.ask(lambda store: store.session(session.id))
    return row.seq if row is not None else 0


async def _machine(n: int) -> Figures:
    """Stretches of plain work of 50 us: what of a p99 is the machine's own."""
    taken: list[int] = []
    clock = time.perf_counter_ns
    for _ in range(n):
        began = clock()
        while clock() - began < 50_000:
            pass
        taken.append(clock() - began)
    return spread(taken)


@contextmanager
def _postgres(scratch: Path) -> Generator[str]:
    """A server for the peers that want one."""
    from toolguard.testing.stores.postgres import postgres

    folder = scratch / "postgres"
    folder.mkdir()
    with postgres(folder) as server:
        yield server.url


class Mutations:
    """A mutation whose body does nothing: fenced, chained, deduplicated, with two awaited power-durable records."""

    name = "guarded mutation"
    rounds = 1.0

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """The floor, ours, and every peer that is installed; alone and in 50 sessions at once."""
        n = scale.pick(40, 20)
        async with AsyncExitStack() as stack:
            guard = await stack.enter_async_context(guarding(scale.scratch / "mutations"))
            url = scale.postgres or stack.enter_context(_postgres(scale.scratch))
            peers = await stack.enter_async_context(Peers(replace(scale, postgres=url)))
            floor = Floor(scale.scratch / "mutations.floor")
            stack.callback(floor.close)

            async def ours(sessions: int, calls: int) -> Figures:
                inside = [await entered(guard) for _ in range(sessions)]
                try:
                    return await many(lambda s, _: inside[s].run(charge, f"caller {next(_fresh)}", 5), sessions, calls)
                finally:
                    await left(inside)

            cases: dict[str, Case] = {
                "floor": lambda: each(lambda _: floor.append(), n, warm=10),
                "ours 1": lambda: ours(1, n),
                "ours 50": lambda: ours(50, scale.pick(10, 4)),
            }
            for name in peers.ready:
                slow = NAMES[name].slow
                cases[f"{name} 1"] = partial(peers.measure, name, 1, n // 2 if slow else n)
                cases[f"{name} 50"] = partial(peers.measure, name, 50, 1 if slow else 4)
            self._absent = peers.absent
            yield cases

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Ratio to the floor; how many times faster than each peer."""
        n = seen.n("ours 1")
        mine, floor = seen.median("ours 1", "p50"), seen.median("floor", "p50")
        yield Row(
            self.name, "whole mutation over the floor, p50", seen.ratio("ours 1", "floor", "p50"), 2.8, n=n,
            beside=f"{mine:.0f} us against {floor:.0f} us; p99 {seen.median('ours 1', 'p99'):.0f} against "
            f"{seen.median('floor', 'p99'):.0f} us; best rounds {seen.best('ours 1', 'p50'):.0f} and {seen.best('floor', 'p50'):.0f} us; "
            f"loop CPU {seen.median('ours 1', 'cpu'):.0f} us",
        )  # fmt: skip
        fifty = seen.median("ours 50", "rate")
        yield Row(self.name, "50 sessions at once", fifty, None, "/s", "more", n=seen.n("ours 50"))
        for name, peer in NAMES.items():
            if name in self._absent:
                why = self._absent[name]
                yield Row(self.name, f"faster than {peer.title}", None, peer.alone, better="more", beside=why)
                continue
            its, rate = seen.median(f"{name} 1", "p50"), seen.median(f"{name} 50", "rate")
            yield Row(
                self.name, f"faster than {peer.title}, alone", seen.ratio(f"{name} 1", "ours 1", "p50"), peer.alone,
                better="more", n=seen.n(f"{name} 1"), beside=f"{its:.0f} us a call; {peer.note}",
            )  # fmt: skip
            yield Row(
                self.name, f"faster than {peer.title}, 50 sessions", seen.ratio("ours 50", f"{name} 50", "rate"),
                peer.together, better="more", n=seen.n(f"{name} 50"), beside=f"{rate:.0f} against {fifty:.0f} calls/s",
            )  # fmt: skip
