"""A caller of a LiveKit pipeline who speaks while a tool runs that says nothing, in real time."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING, Any

from livekit.agents import function_tool

import toolguard
from toolguard.adapters.livekit import protect
from toolguard.testing.livekit import Call, line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from toolguard.testing.livekit import Request

WORDS = "and what does it cost"
_calls = count(1)


def _says(request: Request) -> Iterable[str | Call]:
    if request.said == WORDS:
        return ["Eighty."]
    return ["It is 4A."] if request.outputs else [Call("seats", f"call_{next(_calls)}")]


async def answered(guard: toolguard.Guard | None, seconds: float, *, delay: float = 0.0) -> float:
    """How long the caller waits, from the end of their words to the first sound of the answer.

    Args:
        guard: What guards the tool; None for LiveKit alone.
        seconds: How long the tool takes.
        delay: Seconds to wait before the conversation begins, so that many at once do not wait for one another.
    """

    async def seats() -> str:
        """Look for seats."""
        started.set()
        await asyncio.sleep(seconds)
        return "seat 4A"

    started = asyncio.Event()
    await asyncio.sleep(delay)
    on = line(_says)
    sounds: list[float] = []
    heard = asyncio.Event()

    def sounded(_event: Any) -> None:
        sounds.append(time.perf_counter())
        heard.set()

    on.speaker.on("playback_started", sounded)
    async with AsyncExitStack() as stack:
        if guard is not None:
            await stack.enter_async_context(protect(on.session, guard, id=f"silent-{id(on)}-{next(_calls)}"))
        await on.start([function_tool(seats if guard is None else toolguard.read(seats))])
        try:
            await on.ears.speaks("find me a seat", seconds=0.2)
            await started.wait()
            await asyncio.sleep(1.0)
            heard.clear()
            await on.ears.speaks(WORDS, seconds=0.3)
            ended = time.perf_counter()
            async with asyncio.timeout(seconds + 20):
                await heard.wait()
            return sounds[-1] - ended
        finally:
            await on.hangs_up()
