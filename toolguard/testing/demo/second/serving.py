"""Two ways to serve the call: guarded, with the packet and the journal, and naive, with the words that were said."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from toolguard.adapters.openai_realtime import protect, realtime_tools
from toolguard.engine.guard import Guard
from toolguard.testing.demo.apps import Naive
from toolguard.testing.demo.second.model import BILLING, FRONTDESK
from toolguard.testing.demo.second.tools import guarded_tools, plain_tools

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from openai import AsyncOpenAI
    from openai.resources.realtime.realtime import AsyncRealtimeConnection

    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.session import Session
    from toolguard.testing.demo.second.office import Office

_LINGERS = 0.3
"""Seconds that the line of the agent that handed over stays open."""


class GuardedCall:
    """Serves the call with toolguard.

    Args:
        client: The way to the model.
        office: The world.
        store: The guard's store.
        session: The conversation's id.
        report: Tells the play what people may want to see.
        hung_up: Waits until the caller hangs up.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        office: Office,
        store: str,
        session: str,
        *,
        report: Callable[[str, Any], None],
        hung_up: Callable[[], Awaitable[Any]],
    ) -> None:
        self._client = client
        self._session = session
        self._report = report
        self._hung_up = hung_up
        self._packets: asyncio.Queue[HandoffPacket] = asyncio.Queue()
        self._talks: Session | None = None
        self._guard = Guard(store, tools=guarded_tools(office, self._move))

    async def serve(self, *, again: bool) -> None:
        """Serve from the beginning, or go on with what a worker has left behind."""
        async with self._guard:
            if again:
                await self._goes_on()
            else:
                await self._begins()

    async def _begins(self) -> None:
        async with AsyncExitStack() as left:
            first = await left.enter_async_context(connecting(self._client, FRONTDESK))
            entering = protect(first, self._guard, id=self._session, agent=FRONTDESK, tenant="clinic")
            self._talks = await left.enter_async_context(entering)
            await self._configure(first, FRONTDESK)
            listening = asyncio.create_task(_listen(first))
            packet = await self._packets.get()
            self._report("packet", packet.as_text())
            async with connecting(self._client, BILLING) as second, protect(second, self._guard, packet=packet):
                await self._configure(second, BILLING)
                await asyncio.sleep(_LINGERS)
                listening.cancel()
                await left.aclose()
                await self._serve(second)

    async def _goes_on(self) -> None:
        """Enter the session over a new line, and serve: the guard sees to what was left, and what the line shows."""
        plan = await self._guard.recover(self._session).plan()
        self._report("plan", [f"{step.ref} {step.tool}: {step.act}, {step.why}" for step in plan.steps])
        async with (
            connecting(self._client, BILLING) as connection,
            protect(connection, self._guard, id=self._session, agent=BILLING, tenant="clinic"),
        ):
            await self._configure(connection, BILLING)
            self._report("ready", True)
            await self._serve(connection)

    async def _serve(self, connection: AsyncRealtimeConnection) -> None:
        """Read the line until the caller hangs up; a line that the provider closes is no end."""
        listening = asyncio.create_task(_listen(connection))
        await self._hung_up()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    async def _configure(self, connection: AsyncRealtimeConnection, agent: str) -> None:
        tools = realtime_tools(list(self._guard.tools.values()))
        await connection.session.update(
            session={"type": "realtime", "tools": tools, "instructions": f"You are {agent}."}
        )

    async def _move(self, to: str) -> None:
        if self._talks is not None:
            self._packets.put_nowait(await self._talks.hand_off(to=to))


class NaiveCall:
    """Serves the call as many do: a task for each call, and a transcript for when the line is gone.

    Args:
        client: The way to the model.
        office: The world.
        transcript: The file in which the words are kept.
    """

    def __init__(self, client: AsyncOpenAI, office: Office, transcript: Path) -> None:
        self._client = client
        self._transcript = transcript
        self._moves: asyncio.Queue[str] = asyncio.Queue()
        self._tools = plain_tools(office, self._moves.put)

    async def serve(self, *, again: bool) -> None:
        """Serve from the beginning, or from the transcript."""
        if not again:
            async with connecting(self._client, FRONTDESK) as first:
                await first.session.update(session={"type": "realtime", "instructions": f"You are {FRONTDESK}."})
                app = Naive(first, self._tools)
                listening = asyncio.create_task(self._listen(first, app))
                await self._moves.get()
                await asyncio.sleep(_LINGERS)
                listening.cancel()
                await app.close()
        async with connecting(self._client, BILLING) as second:
            await second.session.update(session={"type": "realtime", "instructions": f"You are {BILLING}."})
            for role, text in self._words():
                content = [{"type": "input_text" if role == "user" else "output_text", "text": text}]
                item: Any = {"type": "message", "role": role, "content": content}
                await second.conversation.item.create(item=item)
            if not again:
                await second.response.create()
            await self._listen(second, Naive(second, self._tools))

    async def _listen(self, connection: AsyncRealtimeConnection, app: Naive) -> None:
        plain = connection.recv

        async def recv() -> Any:
            event = await plain()
            if event.type == "conversation.item.input_audio_transcription.completed":
                self._keep("user", event.transcript)
            elif event.type == "response.output_audio_transcript.done":
                self._keep("assistant", event.transcript)
            return event

        connection.recv = recv  # type: ignore[method-assign]
        try:
            await app.serve()
        finally:
            await app.close()

    def _keep(self, role: str, text: str) -> None:
        with self._transcript.open("a") as kept:
            kept.write(json.dumps([role, text]) + "\n")

    def _words(self) -> list[tuple[str, str]]:
        if not self._transcript.exists():
            return []
        return [tuple(json.loads(line)) for line in self._transcript.read_text().splitlines()]


@asynccontextmanager
async def connecting(client: AsyncOpenAI, agent: str) -> AsyncGenerator[AsyncRealtimeConnection]:
    """A line to the model."""
    async with client.realtime.connect(model="gpt-realtime-2", extra_query={"agent": agent}) as connection:
        yield connection


async def _listen(connection: AsyncRealtimeConnection) -> None:
    """Read the line until it ends; inside ``protect`` that is all."""
    async for _event in connection:
        pass
