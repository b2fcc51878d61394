"""One worker process: a guard on the shared store, one connection a session, told what to do over its standard input.

Orders are JSON lines: ``open``, ``close``, ``hand_off``, ``accept``, ``quit``. It answers in JSON lines.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import Any

from loguru import logger
from openai import AsyncOpenAI

from toolguard import Guard, ToolguardError
from toolguard.adapters.openai_realtime import Rebuild, protect, realtime_tools

from .world import HOME, TOOLS


def say(**what: Any) -> None:
    """One line to the controller."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Worker:
    """Serves sessions until it is told to quit, or dies.

    Args:
        guard: The guard on the shared store.
        client: The provider's client.
    """

    def __init__(self, guard: Guard, client: AsyncOpenAI) -> None:
        self._guard = guard
        self._client = client
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._live: dict[str, Any] = {}

    def open(self, session: str, packet: str | None = None) -> None:
        """Serve a session from here on."""
        old = self._serving.pop(session, None)
        if old is not None:
            old.cancel()
        self._serving[session] = asyncio.create_task(self._serve(session, packet))

    async def _serve(self, session: str, packet: str | None) -> None:
        why = "over"
        try:
            await self._connected(session, packet)
        except asyncio.CancelledError:
            why = "cancelled"
            raise
        except ToolguardError as error:
            why = f"{error.code}: {error}"
        except Exception as error:  # noqa: BLE001 - the controller hears of whatever ends a line
            why = f"{type(error).__name__}: {error}"
        finally:
            self._live.pop(session, None)
            if self._serving.get(session) is asyncio.current_task():
                del self._serving[session]
            say(left=session, why=why)

    async def _connected(self, session: str, packet: str | None) -> None:
        def connect() -> Any:
            return self._client.realtime.connect(model="gpt-realtime-2", extra_query={"call": session})

        config: dict[str, Any] = {"type": "realtime", "tools": realtime_tools(TOOLS)}
        more: dict[str, Any] = {"packet": packet.encode()} if packet else {}
        async with connect() as connection:
            rebuild = Rebuild(connect=connect)
            async with protect(connection, self._guard, id=session, rebuild=rebuild, **more) as conversation:
                self._live[session] = conversation
                await connection.session.update(session=config)
                say(opened=session, epoch=conversation.wiring.ledger.epoch)
                async for _event in connection:
                    pass

    async def close(self, session: str) -> None:
        """The caller has hung up."""
        conversation = self._live.get(session)
        if conversation is not None:
            await conversation.close("hang_up")
        task = self._serving.get(session)
        if task is not None:
            task.cancel()

    async def hand_off(self, session: str, to: str, *, away: bool) -> None:
        """Hand a conversation to another agent; ``away``: in another process."""
        conversation = self._live.get(session)
        if conversation is None:
            say(packet=None, session=session, why="it is not here")
            return
        try:
            packet = await conversation.hand_off(to=to, in_place=not away)
        except ToolguardError as error:
            say(packet=None, session=session, why=str(error))
            return
        say(packet=packet.to_json().decode() if away else "", session=session)

    async def quit(self) -> None:
        """Stop in good order."""
        for task in list(self._serving.values()):
            task.cancel()
        await asyncio.gather(*self._serving.values(), return_exceptions=True)


async def note_landed(guard: Guard) -> None:
    """Write down which decisive records the store has acknowledged, so that a judge can ask for them."""
    with (HOME / f"landed.{os.getpid()}").open("a") as file:
        async for event in guard.events(kinds={"commit_began", "returned", "failed", "stopped"}, room=65536):
            file.write(json.dumps([event.session, event.seq, event.kind]) + "\n")
            file.flush()


async def work(store: str, url: str) -> None:
    """Serve until standard input ends."""
    client = AsyncOpenAI(api_key="any", websocket_base_url=url)
    async with Guard(store, tools=TOOLS) as guard:
        notes = asyncio.create_task(note_landed(guard))
        worker = Worker(guard, client)
        say(ready=os.getpid())
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=2**24)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        beside: set[asyncio.Task[None]] = set()
        while line := await reader.readline():
            order = json.loads(line)
            what = order.pop("do")
            if what == "quit":
                break
            if what == "open":
                worker.open(order["session"])
            elif what == "accept":
                worker.open(order["session"], order["packet"])
            else:
                made = worker.close(**order) if what == "close" else worker.hand_off(**order)
                task = asyncio.create_task(made)
                beside.add(task)
                task.add_done_callback(beside.discard)
        await worker.quit()
        notes.cancel()
        await asyncio.gather(notes, return_exceptions=True)


if __name__ == "__main__":
    logger.remove()
    with suppress(KeyboardInterrupt):
        asyncio.run(work(*sys.argv[1:3]))
