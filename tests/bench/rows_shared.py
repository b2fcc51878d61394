"""Several processes on one directory: what an awaited record costs beside others, and what the lock costs alone."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.table import Row
from tests.bench.timing import spread, tell
from toolguard.stores.disk_lock import DirectoryLock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from tests.bench.timing import Case, Figures, Rounds, Scale

WORKER = Path(__file__).with_name("shared_worker.py")


class Shared:
    """Processes with one session each, which journal an awaited power-durable record five times a second."""

    name = "one directory"
    rounds = 0.4

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """One process, eight, and LiveKit's shape of fifty; all are up all the time."""
        most = self._most = scale.pick(50, 12)
        seconds = scale.pick(6, 3)
        directory = scale.scratch / "shared"
        running: list[asyncio.subprocess.Process] = []
        try:
            for number in range(most):
                tell(f"{self.name}: starting process {number + 1}/{most}")
                process = await asyncio.create_subprocess_exec(
                    sys.executable, str(WORKER), str(directory),
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                running.append(process)
                if number % 4 == 3:  # so many interpreters at once do not start any faster
                    await asyncio.gather(*(_answer(one) for one in running[-4:]))
            await asyncio.gather(*(_answer(one) for one in running[most - most % 4 :]))
            yield {
                "1": lambda: _together(running[:1], seconds),
                "8": lambda: _together(running[:8], seconds),
                "many": lambda: _together(running, seconds),
            }
        finally:
            for process in running:
                if process.stdin is not None:
                    process.stdin.close()
            await asyncio.gather(*(process.wait() for process in running))

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """The p99 of an awaited record against that of a process alone."""
        for case, count, target in (("8", 8, 2.0), ("many", self._most, 3.0)):
            mine, alone = seen.median(case, "p99"), seen.median("1", "p99")
            busy = int(seen.worst(case, "busy"))
            yield Row(
                self.name, f"{count} processes: p99 of an awaited record over one process",
                seen.ratio(case, "1", "p99"), target, n=seen.n(case),
                beside=f"p99 {mine:.0f} us against {alone:.0f} us; p50 {seen.median(case, 'p50'):.0f} against "
                f"{seen.median('1', 'p50'):.0f} us; refused as busy: {busy}",
            )  # fmt: skip


async def _answer(process: asyncio.subprocess.Process) -> dict[str, list[int]]:
    if process.stdout is None:
        raise RuntimeError("the worker has no output")
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a worker ended")
    answer: dict[str, list[int]] = json.loads(line)
    return answer


async def _together(processes: list[asyncio.subprocess.Process], seconds: float) -> Figures:
    seconds = seconds * 3 if len(processes) == 1 else seconds
    for process in processes:
        if process.stdin is not None:
            process.stdin.write(json.dumps({"seconds": seconds}).encode() + b"\n")
    answers = await asyncio.gather(*(_answer(process) for process in processes))
    figures = spread(one for answer in answers for one in answer["taken"])
    return {**figures, "busy": sum(len(answer["busy"]) for answer in answers)}


class Lock:
    """The directory's lock where nobody else wants it."""

    name = "the lock alone"
    rounds = 1.0

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """Take it and give it back."""
        from tests.bench.timing import each

        lock = DirectoryLock(scale.scratch / "lock", "bench")

        async def once(_: int) -> None:
            lock.acquire()
            lock.release()

        async def nothing(_: int) -> None:
            return

        yield {"lock": lambda: each(once, 500, warm=50), "nothing": lambda: each(nothing, 500, warm=50)}
        lock.close()

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """Its price for a transaction."""
        yield Row(self.name, "a transaction's lock", seen.added("lock", "nothing", "p50"), 5.0, "us", n=seen.n("lock"))
