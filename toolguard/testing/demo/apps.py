"""Two applications around the same connection: the naive one of many reports, and the guarded one."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from openai.resources.realtime.realtime import AsyncRealtimeConnection


class Naive:
    """Runs a task for each call, and sends each result with a request to speak as soon as it is there.

    It begins on ``response.function_call_arguments.done`` and reads arguments that broke off as far as they go.
    """

    def __init__(self, connection: AsyncRealtimeConnection, tools: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
        self._connection = connection
        self._tools = tools
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Read the connection until it ends."""
        async for event in self._connection:
            if event.type == "response.function_call_arguments.done":
                task = asyncio.create_task(self._answer(event.call_id, event.name, event.arguments))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _answer(self, call_id: str, name: str, text: str) -> None:
        arguments = from_json(text, allow_partial="trailing-strings")
        result = await self._tools[name](**arguments)
        await self._connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": call_id, "output": json.dumps(result)}
        )
        await self._connection.response.create()

    async def close(self) -> None:
        """The line is gone, and with it what still ran."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


class Guarded:
    """Inside ``protect`` there is nothing left to do about tools."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self._connection = connection

    async def serve(self) -> None:
        """Read the connection until it ends."""
        async for _event in self._connection:
            pass

    async def close(self) -> None:
        """Nothing of this application runs beside the connection."""
