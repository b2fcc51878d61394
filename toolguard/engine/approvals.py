"""Writes that need a yes: the gate stays shut until somebody approves, and no longer than the tool allows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from toolguard.errors import AlreadySettled

if TYPE_CHECKING:
    from toolguard.core.slots import Run
    from toolguard.engine.execution import Execution
    from toolguard.tools.spec import Approval

_REASON = "approval"


class Approvals:
    """Holds runs of tools with ``needs=Approval(...)`` at the gate."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def expect(self, run: Run, approval: Approval) -> None:
        """A run was planned that needs a yes; without one in time it is stopped before its effect."""
        self._execution.gate.hold(run.number, _REASON)
        question = approval.ask.format_map(_Fields(self._execution.view(run).arguments))
        self._execution.notice("approval_needed", question, run=run.number, call=run.calls[0])
        loop = asyncio.get_running_loop()
        self._timers[run.number] = loop.call_later(approval.within, self._silent, run.number)

    def _silent(self, number: int) -> None:
        self._timers.pop(number, None)
        self._execution.stop(number, "nobody approved it in time")

    def answer(self, call: int, *, yes: bool, by: str) -> None:
        """Approve or refuse the run of a call.

        Raises:
            AlreadySettled: It does not wait for an approval (any more).
        """
        state = self._execution.ledger.state
        slot = state.slots.get(call)
        timer = self._timers.pop(slot.run, None) if slot is not None else None
        if slot is None or timer is None:
            raise AlreadySettled(
                "it waits for no approval", ref=state.ref(call), advice="See `toolguard audit` for what became of it."
            )
        timer.cancel()
        self._execution.notice("approved" if yes else "not_approved", f"by {by}", run=slot.run, call=call)
        if yes:
            self._execution.gate.release(_REASON, [slot.run])
        else:
            self._execution.stop(slot.run, f"{by} did not approve it")

    def stop(self) -> None:
        """The session ends."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()


class _Fields(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "{" + key + "}"
