"""Taking a conversation over with a packet: looked at, claimed once, then gone on with here (H1, H2)."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.core import records as r
from toolguard.core.law import Phase
from toolguard.core.packet import HandoffPacket, NewerVersion, key_name
from toolguard.engine.clock import moment
from toolguard.engine.offers import HandOffRow, claim_of
from toolguard.errors import (
    ClaimLost,
    PacketAccepted,
    PacketExpired,
    PacketForeign,
    PacketMisdirected,
    PacketOutdated,
    PacketTampered,
    PacketTooNew,
    PacketUnreadable,
    StoreError,
)
from toolguard.stores.base import Append, Swap

if TYPE_CHECKING:
    from toolguard.engine.clock import Clock
    from toolguard.engine.entrance import Entrance
    from toolguard.engine.journal import Journal
    from toolguard.engine.ledger import Ledger
    from toolguard.engine.port import Port
    from toolguard.engine.session import Session
    from toolguard.stores.base import SessionRow, Store
    from toolguard.tools.tool import Tool

_AGAIN = "Let the agent that has the conversation hand it over again."


class Reception:
    """Takes packets in for one guard.

    Args:
        entrance: The way into sessions.
        journal: The process's writer.
        clock: Wall time.
    """

    def __init__(self, entrance: Entrance, journal: Journal, clock: Clock) -> None:
        self._entrance = entrance
        self._journal = journal
        self._clock = clock

    def read(self, packet: HandoffPacket | bytes | str) -> HandoffPacket:
        """Read a packet and check that it is whole, ours and in time; nothing is changed by it.

        Raises:
            PacketRefused: It is none, of a newer release, tampered with, signed elsewhere, or too old.
        """
        made = packet if isinstance(packet, HandoffPacket) else _parsed(packet)
        key = self._entrance.sealing.key
        if made.signed_by != key_name(key):
            what = "it is not signed" if not made.signature else "another store's key has signed it"
            raise PacketForeign(
                f"the packet cannot be trusted here: {what}",
                ref=made.session,
                advice="Open both guards on one store, or give both the same packet_key; sign with guard.sign(packet).",
            )
        if not made.signed_with(key):
            raise PacketTampered(
                "the packet is not as it was signed",
                ref=made.session,
                advice="Pass on the bytes of packet.to_json() as they are; sign a changed one with guard.sign(packet).",
            )
        if self._clock.wall() > made.expires_at.timestamp() * 1e9:
            at = moment(self._clock.wall())
            raise PacketExpired(
                f"the packet was good until {made.expires_at}, and it is {at}", ref=made.session, advice=_AGAIN
            )
        return made

    @staticmethod
    def expected(packet: HandoffPacket, session: str, tenant: str) -> None:
        """Check that the packet is for the conversation and tenant that the application expects, where it says so.

        Raises:
            PacketMisdirected: It is for another one.
        """
        for what, wanted, there in (("conversation", session, packet.session), ("tenant", tenant, packet.tenant)):
            if wanted and wanted != there:
                raise PacketMisdirected(
                    f"the packet is for the {what} {there!r}, and {wanted!r} was expected",
                    ref=packet.session,
                    advice="Pass each packet to the conversation that it was made in.",
                )

    async def accept(
        self,
        packet: HandoffPacket,
        known: dict[str, Tool[Any, Any]],
        *,
        agent: str,
        port: Port | None,
    ) -> Session:
        """Take the conversation of a packet that was read.

        Raises:
            PacketRefused: The packet does not fit the store, or was accepted before.
            StoreError: The store could not be asked, or the session not be entered; the packet counts as before.
        """
        version, row = await self._looked_up(packet)
        taken = msgspec.structs.replace(
            row, state="taken", agent=agent, process=self._journal.process, at=self._clock.wall()
        )
        await self._swap(packet, version, taken)
        try:
            return await self._take(packet, known, agent=agent, port=port, caller=row.caller)
        except BaseException:
            with suppress(StoreError):  # where even that is impossible, the first error is the one to tell
                await self._swap(packet, version + 1, row)
            raise

    async def _take(
        self, packet: HandoffPacket, known: dict[str, Tool[Any, Any]], *, agent: str, port: Port | None, caller: str
    ) -> Session:
        record = r.Accepted(packet=packet.id, agent=agent, frm=packet.frm, process=self._journal.process)
        living = self._entrance.sessions.get(packet.session)
        if living is not None and living.ended is not None:
            await living.ended
            living = None
        if living is not None and not living.wiring.ledger.fenced:
            session = living.passed_on(known, port)
            self._entrance.sessions[packet.session] = session
            session.wiring.ledger.write(record)
        else:
            away = msgspec.structs.replace(record, same_process=False)
            session = await self._entrance.enter(
                packet.session,
                known,
                agent=agent,
                tenant=packet.tenant,
                caller=caller or None,
                port=port,
                begin=partial(_arrive, away),
            )
        session.shows("hand-off")
        return session

    async def _looked_up(self, packet: HandoffPacket) -> tuple[int, HandOffRow]:
        row, claim = await self._journal.ask(partial(_rows, packet.session))
        if row is None or claim is None:
            raise PacketForeign(
                "this store has no such conversation, or it was never handed over",
                ref=packet.session,
                advice="Open the guard on the store of the agent that handed over; without it the packet can only be "
                "read (guard.read_packet) and rendered.",
            )
        if row.tenant != packet.tenant:
            raise PacketMisdirected(
                f"the packet is of tenant {packet.tenant!r}, the conversation of {row.tenant!r}",
                ref=packet.session,
                advice="Every packet stays inside its tenant.",
            )
        version, stands = claim[0], HandOffRow.read(claim[1])
        self._check(packet, stands)
        return version, stands

    def _check(self, packet: HandoffPacket, stands: HandOffRow) -> None:
        if stands.packet != packet.id:
            raise PacketOutdated(
                "the conversation was handed over again since this packet was made", ref=packet.session, advice=_AGAIN
            )
        if stands.state == "taken":
            raise PacketAccepted(
                f"{stands.agent} has accepted this packet at {moment(stands.at)} in process {stands.process}",
                ref=packet.session,
                advice="A packet counts once. If that process is gone, guard.recover(id) takes the conversation over.",
            )

    async def _swap(self, packet: HandoffPacket, version: int, row: HandOffRow) -> None:
        swap = Swap(claim_of(packet.session), version, row.encoded())
        entry = self._journal.put(Append(packet.session, None, (), swaps=(swap,)), wait=True)
        try:
            await self._journal.fate(entry)
        except ClaimLost:
            await self._looked_up(packet)  # raises: somebody was faster
            raise


def _parsed(raw: bytes | str) -> HandoffPacket:
    try:
        return HandoffPacket.from_json(raw)
    except NewerVersion as error:
        raise PacketTooNew(str(error), advice="Update toolguard-voice in this process.") from error
    except ValueError as error:
        raise PacketUnreadable(str(error), advice="Pass on the bytes of packet.to_json() as they are.") from error


def _rows(session: str, store: Store) -> tuple[SessionRow | None, tuple[int, bytes] | None]:
    return store.session(session), store.claim(claim_of(session))


def _arrive(record: r.Accepted, ledger: Ledger) -> None:
    """In another process: the tool that handed over has done what it does, whether its process could say so or not."""
    state = ledger.state
    handed = state.handed
    run = state.runs.get(handed.run) if handed is not None else None
    ledger.write(record)
    if run is not None and run.phase in {Phase.COMMITTING, Phase.IN_DOUBT}:
        ledger.write(
            r.Returned(run=run.number, attempt=max(run.attempt, 1), evidence=f"{record.agent} has accepted"),
            durable=True,
        )
