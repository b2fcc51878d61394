"""Handing a conversation over: the batch's writes are settled first, open calls answered, runs carried (H1, O9)."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, NamedTuple

from toolguard.core import records as r
from toolguard.core.interrupt import HandedOff
from toolguard.core.law import Phase
from toolguard.core.packing import Ticket, packet_of
from toolguard.engine.clock import moment
from toolguard.engine.offers import HandOffRow, offer
from toolguard.errors import Refused, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.packet import HandoffPacket
    from toolguard.core.redact import Redact
    from toolguard.engine.barge_in import BargeIns
    from toolguard.engine.delivery import Delivery
    from toolguard.engine.execution import Execution

EXPIRES = 600.0
"""Seconds within which a packet has to be accepted."""
_IN_TIME = 0.1
MANY = 100
"""Items from which on a packet is written and signed beside the loop."""


class Sealing(NamedTuple):
    """How the packets of a guard are made: the key that signs them, and what of a field may be handed on."""

    key: bytes
    redact: Redact | None


def ticket_of(record: r.HandOffRecord) -> Ticket:
    """The hand-off as its record tells it."""
    made, expires = moment(record.made_at), moment(record.expires_at)
    return Ticket(record.packet, record.frm, record.to, made, expires, record.run)


class Transfer:
    """Hands a session to another agent."""

    def __init__(self, execution: Execution, delivery: Delivery, barge_ins: BargeIns, sealing: Sealing) -> None:
        self.sealing = sealing
        self._execution = execution
        self._ledger = execution.ledger
        self._delivery = delivery
        self._barge_ins = barge_ins
        self.marked: Callable[[str], frozenset[str]] = lambda _tool: frozenset()
        """Names a tool's parameters that are marked as secret."""
        self._taken: dict[int, int] = {}
        self._asking: dict[int, set[int]] = {}
        self.waiting = ""
        """A packet that is out, until somebody has accepted it or the conversation goes on here without."""

    async def to(
        self,
        agent: str,
        *,
        own: int = 0,
        patience: float = 4.0,
        expires: float = EXPIRES,
        max_bytes: int = 0,
        in_place: bool = False,
    ) -> HandoffPacket:
        """Hand over to ``agent``; ``own`` is the run of the hand-off tool itself.

        The writes of the same batch end first (at most ``patience`` seconds), reads get their placeholder at once,
        what still runs goes along with its holds and limits. The hand-off tool's own call is answered by its result,
        which is there when this returns. Unless the same model goes on, it is not asked to speak about that.

        Raises:
            Refused: Another call of the same response has handed over, or is about to (O9).
        """
        await self._take(own)
        state = self._ledger.state
        frm = state.agent
        await self._settle_writes(own, min(patience, self._left(own)))
        self._delivery.close_open_calls(but=own)
        now = self._ledger.clock.wall()
        runs = [state.runs[n] for n in sorted(state.open_runs) if n != own]
        if runs:
            self._barge_ins.interrupt(HandedOff(at=moment(now), to=agent, same_process=True), runs)
        carried = tuple(run.number for run in runs if run.phase.open)
        record = r.HandOffRecord(
            to=agent,
            frm=frm,
            packet=secrets.token_hex(16),
            carried=carried,
            made_at=now,
            expires_at=now + int(expires * 1e9),
            run=own,
        )
        await self._record(record, in_place=in_place, within=bool(own))
        if not in_place:
            self.waiting = record.packet
            self._say_no_more(own)
        return await self.packet(record, max_bytes=max_bytes)

    async def _record(self, record: r.HandOffRecord, *, in_place: bool, within: bool) -> None:
        """Write the hand-off down; without it nothing has happened. One agent can claim it, unless nobody is to.

        One in place and ``within`` a tool's body lands before the tool's own result, which is waited for in any case.
        """
        ledger, state = self._ledger, self._ledger.state
        before = state.agent, state.handed
        row = HandOffRow(packet=record.packet, state="open", caller=state.caller, at=record.made_at)
        swaps = () if in_place else (await offer(ledger.journal, state.session, row),)
        if in_place and within:
            ledger.write(record)
            return
        entry = ledger.write(record, wait=True, swaps=swaps)
        try:
            await ledger.journal.fate(entry)
        except StoreError:
            state.agent, state.handed = before
            raise

    @property
    def out(self) -> bool:
        """Whether a packet of this session is out that somebody may still accept."""
        handed = self._ledger.state.handed
        return bool(self.waiting) and handed is not None and self._ledger.clock.wall() < handed.expires_at

    def went_on(self) -> None:
        """The model answers here; what the caller has said since the hand-off shows that nobody else will."""
        state = self._ledger.state
        if state.handed is not None and state.spoken > state.handed.made_at:
            self.waiting = ""

    async def packet(self, record: r.HandOffRecord, *, max_bytes: int = 0) -> HandoffPacket:
        """The packet of a hand-off as things stand now, signed."""
        packet = self.unsigned(record)

        def sealed() -> HandoffPacket:
            return (packet.within(max_bytes) if max_bytes else packet).signed(self.sealing.key)

        return await asyncio.to_thread(sealed) if len(packet.items) > MANY else sealed()

    def unsigned(self, record: r.HandOffRecord) -> HandoffPacket:
        """The packet of a hand-off as things stand now."""
        ticket, landing = ticket_of(record), self._execution.landing
        return packet_of(self._ledger.state, ticket, self.sealing.redact, landing, self.marked)

    async def _take(self, own: int) -> None:
        """One hand-off for each response: whoever calls first; of those that call at the same moment, by call order."""
        state = self._ledger.state
        run = state.runs.get(own)
        batch = state.slots[run.calls[0]].batch if run is not None and run.calls else 0
        if not batch:
            return
        asking = self._asking.setdefault(batch, set())
        asking.add(own)
        await asyncio.sleep(0)
        first = state.runs.get(self._taken.setdefault(batch, min(asking, key=self._order)))
        if first is not None and first.number != own and first.phase not in {Phase.FAILED, Phase.CANCELLED}:
            ref = state.run_ref(first)
            raise Refused(f"{ref} of the same response hands the conversation over already", ref=ref)
        self._taken[batch] = own

    def _order(self, run: int) -> tuple[int, int, int]:
        state = self._ledger.state
        return state.slots[state.runs[run].calls[0]].order

    def _say_no_more(self, own: int) -> None:
        """Whoever takes over speaks next; the model that handed over has nothing to add (O5)."""
        run = self._ledger.state.runs.get(own)
        batch = self._ledger.state.slots[run.calls[0]].batch if run is not None and run.calls else 0
        if batch:
            self._delivery.silence(batch)

    def _left(self, own: int) -> float:
        """Seconds that the hand-off tool's own call still has: it is to be answered with what it has done."""
        live, state = self._execution.live.get(own), self._ledger.state
        if live is None or not live.run.calls:
            return float("inf")
        asked = state.slots[live.run.calls[0]].at
        return max(0.0, live.spec.patience - (self._ledger.clock.wall() - asked) / 1e9 - _IN_TIME)

    async def _settle_writes(self, own: int, patience: float) -> None:
        waiting = [
            live.ending()
            for live in self._execution.live.values()
            if live.run.effect.writes and live.run.number != own and live.run.phase.open and not live.parent
        ]
        if waiting:
            await asyncio.wait(waiting, timeout=patience)
