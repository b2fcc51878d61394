"""Answers of a visited session: each leaves through the door of the request that brought its call (T2, O3)."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.core.envelope import envelope
from toolguard.core.outbox import answer_of, interim, news, stored
from toolguard.engine.background import Background
from toolguard.engine.delivery import Delivery
from toolguard.engine.port import Parcel, item_id
from toolguard.errors import StoreError
from toolguard.stores.base import Swap

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.slots import Answer, Run, Slot
    from toolguard.engine.execution import Execution
    from toolguard.engine.ledger import Ledger
    from toolguard.engine.limits import Limits
    from toolguard.engine.port import Port
    from toolguard.engine.slotting import Arrival
    from toolguard.tools.spec import Spec

DOOR: ContextVar[Port | None] = ContextVar("toolguard_door", default=None)
"""The door of the visit that code runs in."""


class VisitDelivery(Delivery):
    """The outbox of a visited session in one process: what other processes were asked they answer themselves."""

    def __init__(self, ledger: Ledger, execution: Execution, limits: Limits, patience: Callable[[str], float]) -> None:
        super().__init__(ledger, execution, None, limits)
        self._patience = patience
        self._beside = Background()
        self._doors: dict[int, list[Port]] = {}

    def opened(self, slot: Slot, spec: Spec | None) -> None:
        """A slot is about to be opened; its answer leaves when it has landed (:meth:`landed`)."""

    def landed(self, number: int) -> None:
        """A slot is open, here or before in another process: it is answered through the door of this request."""
        door = DOOR.get()
        slot = self._ledger.state.slots[number]
        if door is None or not slot.call_id:
            return
        self._beside.run(self._serve(slot, door), "toolguard:door")

    async def _serve(self, slot: Slot, door: Port) -> None:
        """Tell the news first, then the answer: with a patience, behind which a placeholder leaves (O7)."""
        await self._tell_news(door)
        self._doors.setdefault(slot.number, []).append(door)
        if slot.number not in self._timers:
            self._timers.start(slot.number, self._patience(slot.tool), self._impatient, slot.number)
        self.pump()

    def pump(self) -> None:
        """Send what may leave through the doors that wait for it."""
        if self._ledger.fenced:
            self._leave_open()
            return
        state = self._ledger.state
        for number in sorted(self._doors):
            slot = state.slots[number]
            if slot.run in self._execution.landing:
                continue
            answer = stored(state, slot) if slot.sent else answer_of(state, slot)
            if answer is not None:
                self._give(slot, answer, self._doors.pop(number))

    def _leave_open(self) -> None:
        """Another process goes on with the conversation: what is asked here is told later, by whoever knows it."""
        state = self._ledger.state
        doors, self._doors = self._doors, {}
        for number, waiting in sorted(doors.items()):
            slot = state.slots[number]
            answer = interim(state, slot, "not_known_yet")
            item = item_id(state.session, slot.context, number, "out")
            parcel = Parcel(item, answer.text, (number,), slot.call_id, slot.item, form=answer.form, reply=answer.reply)
            for door in waiting:
                door.place(parcel)

    def _give(self, slot: Slot, answer: Answer, doors: list[Port]) -> None:
        state = self._ledger.state
        self._timers.drop(slot.number)
        item = item_id(state.session, slot.context, slot.number, "out")
        run = slot.run if not answer.interim and answer.form in {"result", "replayed"} else 0
        if not slot.sent or slot.sent_interim:
            sent = r.Sent(item=item, context=state.context, calls=(slot.number,), run=run, form=answer.form)
            self._ledger.write(sent)
        for door in doors:
            door.place(
                Parcel(item, answer.text, (slot.number,), slot.call_id, slot.item, form=answer.form, reply=answer.reply)
            )

    async def _tell_news(self, door: Port) -> None:
        """Notes that are due go with the next request that has an open slot; of several processes one tells each."""
        if not door.traits.notes:
            return
        for run, answer in news(self._ledger.state):
            if run.number not in self._execution.landing:
                await self._tell(door, run, answer)

    async def _tell(self, door: Port, run: Run, answer: Answer) -> None:
        state, ledger = self._ledger.state, self._ledger
        calls = tuple(run.calls)
        item = item_id(state.session, state.context, calls[0], f"note{run.number}{answer.form}")
        records = (
            r.Noted(run=run.number, calls=calls, text=answer.text, form=answer.form, reply=answer.reply),
            r.Sent(item=item, context=state.context, calls=calls, run=run.number, form=answer.form, note=True),
        )
        try:
            await ledger.journal.fate(ledger.append(*records, wait=True, swaps=(Swap(f"note/{item}", 0, b""),)))
        except StoreError:
            return  # another process has told it, or it waits for the next request
        ledger.fold(*records)
        door.place(Parcel(item, answer.text, calls, note=True, form=answer.form, reply=answer.reply))

    def unavailable(self, arrival: Arrival, why: str) -> None:
        """Answer a call whose slot the store could not open: nothing runs, and nothing of it is journaled."""
        door, state = DOOR.get(), self._ledger.state
        if door is None or not arrival.call_id:
            return
        text = envelope("unavailable", ref=state.session, tool=arrival.name, why=why)
        item = item_id(state.session, state.context, 0, arrival.call_id)
        door.place(Parcel(item, text, (), arrival.call_id, arrival.item, form="unavailable"))
