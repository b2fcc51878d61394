"""One interrupt becomes one record with all its decisions, and the decisions are carried out (G3-G5, O8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.core.interrupt import BargeIn
from toolguard.core.law import Phase
from toolguard.core.lazy import latest

if TYPE_CHECKING:
    from toolguard.core.interrupt import Interrupt
    from toolguard.core.slots import Run
    from toolguard.engine.delivery import Delivery
    from toolguard.engine.execution import Execution
    from toolguard.engine.verdicts import Verdicts

STOPPING = frozenset({"correction", "cancellation", "stop"})
"""Kinds of words that take something back."""


class Decisions:
    """Decides about the runs of one session and acts on it.

    Attributes:
        watching: Observe mode: decisions are written down and not carried out.
    """

    def __init__(self, execution: Execution, delivery: Delivery, verdicts: Verdicts) -> None:
        self._execution = execution
        self._ledger = execution.ledger
        self._gate = execution.gate
        self._delivery = delivery
        self._verdicts = verdicts
        self._count = 0
        self.watching = False

    def in_motion(self, spoken: int = 0) -> list[Run]:
        """Runs that words can concern: open, in doubt, or done and not yet acknowledged.

        With ``spoken``, the wall time at which the words were out, only those that were issued before (G4).
        """
        state = self._ledger.state
        runs = [state.runs[number] for number in sorted(state.open_runs)]
        recent = (
            run
            for run in latest(state.runs, 16)
            if (run.phase is Phase.IN_DOUBT or run.phase is Phase.DONE)
            and not run.parent
            and not any(state.slots[call].acknowledged for call in run.calls)
        )
        found = {run.number: run for run in (*runs, *recent) if not spoken or self._issued(run) <= spoken}
        return [found[number] for number in sorted(found)]

    def _issued(self, run: Run) -> int:
        """When the response that asked for a run began, or the call came, in wall nanoseconds."""
        slot = self._ledger.state.slots.get(run.calls[0]) if run.calls else None
        if slot is None:
            return run.planned_at
        return self._delivery.began.get(slot.generation, slot.at)

    def make(
        self,
        interrupt: Interrupt,
        runs: list[Run],
        *,
        onset: str = "",
        only_stop: bool = False,
        closes: tuple[str, ...] | None = None,
    ) -> list[r.Decided]:
        """Ask, write one record, act. With ``only_stop`` nothing but a stop counts (a partial transcript, G4).

        ``closes`` are the onsets that the interrupt settles; None for its own.
        """
        decided = self._verdicts.decide(interrupt, runs)
        if only_stop:
            decided = [one for one in decided if one.choice == "stop"]
            if not decided:
                return decided
        self._count += 1
        name = f"i{self._count}"
        filed = self._filed(interrupt, decided)
        self._ledger.write(
            r.Interrupted(
                id=name,
                interrupt=interrupt,
                policy=self._verdicts.name,
                decisions=tuple(decided),
                filed=filed,
                would=self.watching,
                closes=() if only_stop else closes,
            )
        )
        if self.watching:
            self._suppose(interrupt, decided)
            return decided
        for one in decided:
            self._act(one, name, onset)
        return decided

    def _suppose(self, interrupt: Interrupt, decided: list[r.Decided]) -> None:
        """A watched run passes a gate that would have been shut: until the words settle it counts as waiting there."""
        for one in decided:
            if one.choice == "hold":
                self._verdicts.as_if_held.add(one.run)
            elif not (isinstance(interrupt, BargeIn) and interrupt.stage == "onset"):
                self._verdicts.as_if_held.discard(one.run)

    def _act(self, one: r.Decided, name: str, onset: str) -> None:
        if one.choice == "stop":
            self._execution.stop(one.run, one.reason or "the caller changed course", name)
        elif one.choice == "hold" and onset:
            self._gate.hold(one.run, onset)

    def _filed(self, interrupt: Interrupt, decided: list[r.Decided]) -> tuple[int, ...]:
        """Reads that are done and that nobody wants any more are filed silently (O8)."""
        if not isinstance(interrupt, BargeIn) or interrupt.kind not in STOPPING:
            return ()
        state = self._ledger.state
        filed: list[int] = []
        for one in decided:
            run = state.runs[one.run]
            if one.concerned and run.phase is Phase.DONE and not run.effect.writes and run.shown != state.context:
                filed.extend(run.calls)
        return tuple(filed)

    def early(self, run: Run) -> bool:
        """Whether stopping a run now leaves no effect behind."""
        live = self._execution.live.get(run.number)
        waits = run.number in self._verdicts.as_if_held
        return run.phase.uncommitted or waits or (live is not None and live.window)
