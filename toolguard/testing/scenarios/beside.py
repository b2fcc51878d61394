"""What an application listens to beside its conversation: the stream of events, and the log."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from loguru import logger

if TYPE_CHECKING:
    from collections.abc import Generator

    from toolguard.engine.feed import Event
    from toolguard.engine.guard import Guard


@contextmanager
def events(guard: Guard, app: dict[str, Any]) -> Generator[None]:
    """Keep every event of the public stream as ``app["events"]``."""
    heard: list[Event] = []
    app["events"] = heard

    async def listen() -> None:
        async for event in guard.events():
            heard.append(event)  # noqa: PERF401 - the stream has no end

    task = asyncio.create_task(listen(), name="events")
    try:
        yield
    finally:
        task.cancel()


@contextmanager
def log(guard: Guard, app: dict[str, Any]) -> Generator[None]:
    """Keep what is logged as ``app["log"]``, as (level, line)."""
    lines: list[tuple[str, str]] = []
    app["log"] = lines
    sink = logger.add(
        lambda message: lines.append((message.record["level"].name, message.record["message"])),
        level="DEBUG",
        filter="toolguard",
    )
    logger.enable("toolguard")
    guard.log()
    try:
        yield
    finally:
        logger.disable("toolguard")
        logger.remove(sink)
