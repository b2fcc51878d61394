"""The guard's doors for handoff packets: accept one, read one, sign one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from toolguard.engine.accept import Reception
from toolguard.engine.session import held
from toolguard.engine.toolbox import by_name

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.clock import Clock
    from toolguard.engine.entrance import Entrance
    from toolguard.engine.journal import Journal
    from toolguard.engine.port import Port
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool


class Accepting:
    """The half of a guard that takes conversations over from other agents."""

    _entrance: Entrance
    _tools: dict[str, Tool[Any, Any]]
    journal: Journal
    clock: Clock

    async def open(self) -> None:
        """Open the store."""
        raise NotImplementedError

    @asynccontextmanager
    async def accept(
        self,
        packet: HandoffPacket | bytes | str,
        *,
        agent: str = "",
        tools: Sequence[Tool[..., Any]] | None = None,
        port: Port | None = None,
        id: str = "",  # noqa: A002 - the word that every framework uses
        tenant: str = "",
    ) -> AsyncGenerator[Session]:
        """Go on with a conversation that another agent has handed over, in this process or another one (H1).

        Where its session lives in this process, it goes on as it is, with its running calls and their holds, and the
        earlier agent's connection is heard for late words alone. Else the session is taken over from its process:
        what has not committed there is resumed here, and what has is followed until its evidence comes.

        ``conversation.packet`` is what the new agent's model has to see, late words and results included; render it
        right before the first request (:mod:`toolguard.render`).

        Args:
            packet: The packet, or its JSON.
            agent: Who takes over; by default whom the packet names.
            tools: Tools of this agent only, beside the guard's.
            port: The framework's door; adapters pass it.
            id: The conversation that is expected, if one is.
            tenant: The tenant that is expected, if one is.

        Raises:
            PacketRefused: It is not accepted; the subclass says why, and the conversation stays as it is.
            StoreError: The session cannot be journaled; the packet may be tried again.
        """
        await self.open()
        reception = Reception(self._entrance, self.journal, self.clock)
        read = reception.read(packet)
        reception.expected(read, id, tenant)
        known = {**self._tools, **by_name(tools or ())}
        session = await reception.accept(read, known, agent=agent or read.to, port=port)
        async with held(session):
            yield session

    async def read_packet(self, packet: HandoffPacket | bytes | str) -> HandoffPacket:
        """Read a packet and check that it is whole, signed with this guard's key, and in time; nothing is accepted.

        Raises:
            PacketRefused: The subclass says what is wrong with it.
        """
        await self.open()
        return Reception(self._entrance, self.journal, self.clock).read(packet)

    async def sign(self, packet: HandoffPacket) -> HandoffPacket:
        """Sign a packet that the application has changed, for example made smaller with ``within``."""
        await self.open()
        return packet.signed(self._entrance.sealing.key)
