"""Hand-off within one process: the batch's writes are settled first, open calls answered, runs carried (H1, O9)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import msgspec

from toolguard.core import records as r
from toolguard.core.interrupt import HandedOff
from toolguard.core.law import Phase
from toolguard.core.packet import CarriedCall, HandoffPacket, PacketItem
from toolguard.engine.clock import moment
from toolguard.errors import Refused

if TYPE_CHECKING:
    from toolguard.core.slots import Run
    from toolguard.core.state import State
    from toolguard.engine.barge_in import BargeIns
    from toolguard.engine.delivery import Delivery
    from toolguard.engine.execution import Execution

_STATES: dict[Phase, Literal["done", "running", "in_doubt", "failed", "cancelled"]] = {
    Phase.DONE: "done",
    Phase.IN_DOUBT: "in_doubt",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "cancelled",
}


class Transfer:
    """Hands a session to another agent."""

    def __init__(self, execution: Execution, delivery: Delivery, barge_ins: BargeIns) -> None:
        self._execution = execution
        self._ledger = execution.ledger
        self._delivery = delivery
        self._barge_ins = barge_ins
        self._taken: dict[int, int] = {}

    async def to(self, agent: str, *, own: int = 0, patience: float = 4.0) -> HandoffPacket:
        """Hand over to ``agent``; ``own`` is the run of the hand-off tool itself.

        The writes of the same batch end first (at most ``patience`` seconds), reads get their placeholder at once,
        what still runs goes along with its holds and limits. The hand-off tool's own call is answered by its result,
        which is there when this returns.

        Raises:
            Refused: Another call of the same response has handed over, or is about to (O9).
        """
        self._take(own)
        state, execution = self._ledger.state, self._execution
        frm = state.agent
        await self._settle_writes(own, patience)
        self._delivery.close_open_calls(but=own)
        at = moment(self._ledger.clock.wall())
        runs = [state.runs[n] for n in sorted(state.open_runs) if n != own]
        if runs:
            self._barge_ins.interrupt(HandedOff(at=at, to=agent, same_process=True), runs)
        carried = tuple(run.number for run in runs if run.phase.open)
        packet = packet_of(state, frm=frm, to=agent, at=self._ledger.clock.wall())
        entry = self._ledger.write(r.HandOffRecord(to=agent, frm=frm, carried=carried), wait=True)
        await self._ledger.journal.fate(entry)
        execution.ledger.state.agent = agent
        return packet

    def _take(self, own: int) -> None:
        """One hand-off for each response: whoever calls first."""
        state = self._ledger.state
        run = state.runs.get(own)
        batch = state.slots[run.calls[0]].batch if run is not None and run.calls else 0
        if not batch:
            return
        first = state.runs.get(self._taken.setdefault(batch, own))
        if first is not None and first.number != own and first.phase not in {Phase.FAILED, Phase.CANCELLED}:
            ref = state.run_ref(first)
            raise Refused(f"{ref} of the same response hands the conversation over already", ref=ref)
        self._taken[batch] = own

    async def _settle_writes(self, own: int, patience: float) -> None:
        waiting = [
            live.ending()
            for live in self._execution.live.values()
            if live.run.effect.writes and live.run.number != own and live.run.phase.open and not live.parent
        ]
        if waiting:
            await asyncio.wait(waiting, timeout=patience)


def packet_of(state: State, *, frm: str, to: str, at: int) -> HandoffPacket:
    """Make the packet from the state."""
    calls = tuple(
        CarriedCall(
            ref=state.run_ref(run),
            tool=run.tool,
            effect=run.effect.value,
            state=_STATES.get(run.phase, "running"),
            arguments=msgspec.Raw(run.arguments),
            result=msgspec.Raw(run.result),
            told=_told(state, run),
        )
        for run in state.runs.values()
        if not run.parent
    )
    items = tuple(
        PacketItem(kind=i.kind, text=i.text, unheard=i.unheard, ref=state.ref(i.call) if i.call else "")
        for i in state.conversation.items
    )
    return HandoffPacket(
        session=state.session, tenant=state.tenant, frm=frm, to=to, made_at=moment(at), calls=calls, items=items
    )


def _told(state: State, run: Run) -> bool:
    return any(state.slots[call].acknowledged for call in run.calls)
