"""Several processes on one directory: what an awaited record costs beside others, and what the lock costs alone."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from toolguard.stores.disk_lock import DirectoryLock

from .table import Row
from .timing import each, spread, tell

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from .timing import Case, Figures, Rounds, Scale

ROOT = Path(__file__).parents[2]


class Shared:
    """Processes with one session each, which journal an awaited power-durable record five times a second."""

    name = "one directory"
    rounds = 0.4

    def __init__(self) -> None:
        self._taken: dict[str, list[int]] = {}

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
                    sys.executable, "-m", "tests.bench.shared_worker", str(directory), cwd=ROOT,
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                running.append(process)
                if number % 4 == 3:  # so many interpreters at once do not start any faster
                    await asyncio.gather(*(_answer(one) for one in running[-4:]))
            await asyncio.gather(*(_answer(one) for one in running[most - most % 4 :]))
            yield {
                "1": lambda: self._together("1", running[:1], seconds * 3),
                "8": lambda: self._together("8", running[:8], seconds),
                "many": lambda: self._together("many", running, seconds),
            }
        finally:
            for process in running:
                if process.stdin is not None:
                    process.stdin.close()
            await asyncio.gather(*(process.wait() for process in running))

    def rows(self, seen: Rounds) -> Iterable[Row]:
        """The p99 of an awaited record, of all rounds together, against that of a process alone."""
        pooled = {case: spread(taken) for case, taken in self._taken.items()}
        alone = pooled["1"]
        for case, count, target in (("8", 8, 2.0), ("many", self._most, 3.0)):
            mine = pooled[case]
            yield Row(
                self.name, f"{count} processes: p99 of an awaited record over one process",
                mine["p99"] / alone["p99"], target, n=int(mine["n"]),
                beside=f"p99 {mine['p99']:.0f} us against {alone['p99']:.0f} us (n {alone['n']:.0f}); p50 "
                f"{mine['p50']:.0f} against {alone['p50']:.0f} us; refused as busy: {seen.total(case, 'busy'):.0f}",
            )  # fmt: skip

    async def _together(self, case: str, processes: list[asyncio.subprocess.Process], seconds: float) -> Figures:
        for process in processes:
            if process.stdin is not None:
                process.stdin.write(json.dumps({"seconds": seconds}).encode() + b"\n")
        answers = await asyncio.gather(*(_answer(process) for process in processes))
        taken = [one for answer in answers for one in answer["taken"]]
        self._taken.setdefault(case, []).extend(taken)
        return {**spread(taken), "busy": sum(len(answer["busy"]) for answer in answers)}


async def _answer(process: asyncio.subprocess.Process) -> dict[str, list[int]]:
    if process.stdout is None:
        raise RuntimeError("the worker has no output")
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a worker ended")
    answer: dict[str, list[int]] = json.loads(line)
    return answer


class Lock:
    """The directory's lock where nobody else wants it."""

    name = "the lock alone"
    rounds = 1.0

    @asynccontextmanager
    async def cases(self, scale: Scale) -> AsyncGenerator[Mapping[str, Case]]:
        """Take it and give it back."""
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
