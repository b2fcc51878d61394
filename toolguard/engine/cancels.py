"""A framework's cancel is an observation: it sticks to the call id and never undoes a commit (L2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolguard.core.slots import Slot
    from toolguard.engine.execution import Execution


class Cancels:
    """The cancelled call ids of one session."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._ids: set[str] = set()

    def seen(self, call_id: str) -> None:
        """The framework cancelled a call, perhaps before the call itself has come."""
        self._ids.add(call_id)
        state = self._execution.ledger.state
        number = state.by_call_id.get((state.context, call_id))
        self._execution.notice("cancel_seen", "the framework cancelled the call", call=number or 0, call_id=call_id)
        if number is not None:
            self._stop(state.slots[number])

    def planned(self, slot: Slot) -> None:
        """A run was planned for a call: it stops before its effect if the call was cancelled already."""
        if slot.call_id in self._ids:
            self._stop(slot)

    def _stop(self, slot: Slot) -> None:
        run = self._execution.ledger.state.runs.get(slot.run)
        if run is not None and run.effect.writes and run.phase.open and run.calls == [slot.number]:
            self._execution.stop(run.number, "the call was cancelled before its effect")
