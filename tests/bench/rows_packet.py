"""The handoff packet: made, signed and written, for a short conversation and a long one."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from toolguard.core import records as r

from .subjects import WORDS, entered, guarding, ledger_of, left, look
from .table import Row
from .timing import spread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    import toolguard

    from .timing import Case, Figures, Rounds, Scale

SIZES = (10, 1_000)


class Packets:
    """Conversations of words and calls, one in four items a call with its result."""

    name = "handoff packet"
    rounds = 1.0

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """One session of each size, whose packet is made again and again."""
        n = scale.pick(30, 10)
        async with guarding("memory") as guard:
            sessions = {size: await _talked(guard, size) for size in SIZES}

            async def made(session: toolguard.Session) -> Figures:
                transfer, at = session._w.transfer, ledger_of(session).clock.wall()
                record = r.HandOffRecord(to="billing", frm="frontdesk", packet="0" * 32, made_at=at, expires_at=at)
                taken: list[int] = []
                cpu = 0
                for _ in range(n):
                    began, before = time.perf_counter_ns(), time.thread_time_ns()
                    packet = await transfer.packet(record)
                    cpu += time.thread_time_ns() - before
                    packet.to_json()
                    taken.append(time.perf_counter_ns() - began)
                return {**spread(taken), "loop": cpu / n / 1e3, "items": len(packet.items)}

            yield {str(size): lambda session=session: made(session) for size, session in sessions.items()}
            await left(list(sessions.values()))

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Milliseconds for each size, and how they grow."""
        for size, target in zip(SIZES, (0.5, 20.0), strict=True):
            case = str(size)
            yield Row(
                self.name, f"{size:,} items, made, signed and written, p50", seen.median(case, "p50") / 1e3, target,
                "ms", n=seen.n(case), beside=f"of it on the loop {seen.median(case, 'loop') / 1e3:.2f} ms",
            )  # fmt: skip
        small, large = (seen.median(str(size), "p50") / size for size in SIZES)
        yield Row(
            self.name, f"an item of {SIZES[1]:,} over an item of {SIZES[0]}", large / small, 1.0, n=seen.n("1000")
        )


async def _talked(guard: toolguard.Guard, size: int) -> toolguard.Session:
    session = await entered(guard)
    ledger = ledger_of(session)
    for number in range(size):
        if number % 4 == 1:
            await session.run(look, f"city {number}")
        elif number % 2:
            ledger.write(r.Said(text=WORDS, generation=f"resp_{number}"))
        else:
            ledger.write(r.Heard(turn=number, text="And on Tuesday?", kind="other_topic"))
    return session
