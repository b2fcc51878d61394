"""One of several processes on one directory: journals awaited records at random moments, as a caller's session does."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time

from loguru import logger

from toolguard.errors import StoreBusy

from .subjects import durable, guarding, left

logger.remove()  # what the store tells developers would stand between the answers
THINKING = 0.4
"""Longest pause between two records, in seconds."""


async def _serve(directory: str) -> None:
    loop = asyncio.get_running_loop()
    async with guarding(directory) as guard:
        session = await guard.enter(f"conv-{os.getpid()}", agent="frontdesk")
        await durable(session)
        print("{}", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            until = time.perf_counter() + json.loads(line)["seconds"]
            taken: list[int] = []
            busy: list[int] = []
            while time.perf_counter() < until:
                await asyncio.sleep(random.uniform(0, THINKING))
                began = time.perf_counter_ns()
                try:
                    await durable(session)
                except StoreBusy:
                    busy.append(1)
                taken.append(time.perf_counter_ns() - began)
            print(json.dumps({"taken": taken, "busy": busy}), flush=True)
        await left([session])


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
