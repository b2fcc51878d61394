"""A process that enters very many sessions, and says how much memory each of them took."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
import tracemalloc
from pathlib import Path

from .subjects import entered, guarding

TRACED = 500
"""Sessions whose Python objects are counted; counting is slow, so not all are."""


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _measure(directory: str, sessions: int) -> dict[str, float]:
    async with guarding(directory) as guard:
        for _ in range(50):
            await entered(guard)
        gc.collect()
        before = _resident()
        began = time.perf_counter_ns()
        for _ in range(sessions):
            await entered(guard)
        took = time.perf_counter_ns() - began
        await guard.journal.ask(lambda _store: None)
        gc.collect()
        rss = (_resident() - before) / sessions
        tracemalloc.start()
        held = tracemalloc.get_traced_memory()[0]
        for _ in range(TRACED):
            await entered(guard)
        gc.collect()
        traced = (tracemalloc.get_traced_memory()[0] - held) / TRACED
        tracemalloc.stop()
        answer = {"rss": rss, "traced": traced, "enter": took / sessions / 1e3, "n": float(sessions)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        os._exit(0)  # ten thousand sessions that close one by one would take longer than all that is measured


if __name__ == "__main__":
    asyncio.run(_measure(sys.argv[1], int(sys.argv[2])))
