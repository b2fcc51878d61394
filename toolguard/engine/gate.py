"""The one gate that every write passes right before its commit record (rules G1-G4)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from toolguard.core.slots import Run
    from toolguard.engine.ledger import Ledger


@dataclass(slots=True)
class _Waiting:
    """One run's side of the gate: what holds it, and who waits."""

    holds: set[str] = field(default_factory=set[str])
    stopped: str = ""
    opened: asyncio.Future[None] | None = None


class Gate:
    """Holds of one session, by run.

    A hold is a set of open onsets (G2) or other named reasons (``caller_away``, ``farewell``); the gate of a run is
    open when its set is empty.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._runs: dict[int, _Waiting] = {}

    def _of(self, run: int) -> _Waiting:
        waiting = self._runs.get(run)
        if waiting is None:
            waiting = self._runs[run] = _Waiting()
        return waiting

    def hold(self, run: int, reason: str) -> None:
        """Shut the gate of a run for one more reason."""
        self._of(run).holds.add(reason)

    def release(self, reason: str, runs: Iterable[int] | None = None) -> None:
        """Take one reason away, from all runs or from these."""
        for number in list(self._runs) if runs is None else runs:
            waiting = self._runs.get(number)
            if waiting is None:
                continue
            waiting.holds.discard(reason)
            if not waiting.holds and waiting.opened is not None and not waiting.opened.done():
                waiting.opened.set_result(None)

    def stop(self, run: int, reason: str) -> None:
        """Shut the gate of a run for good: whoever waits there, or comes, is refused."""
        waiting = self._of(run)
        waiting.stopped = waiting.stopped or reason
        if waiting.opened is not None and not waiting.opened.done():
            waiting.opened.set_exception(self._refusal(run, reason))

    def holds(self, run: int) -> frozenset[str]:
        """What holds a run at the moment."""
        waiting = self._runs.get(run)
        return frozenset(waiting.holds) if waiting is not None else frozenset()

    def waits(self, run: int) -> bool:
        """Whether a run stands at its gate."""
        waiting = self._runs.get(run)
        return waiting is not None and waiting.opened is not None and not waiting.opened.done()

    async def passing(self, run: Run, attempt: int) -> None:
        """Wait until the gate of ``run`` is open.

        Raises:
            Refused: The run was stopped; nothing happened.
        """
        waiting = self._runs.get(run.number)
        if waiting is None:
            return
        while waiting.holds or waiting.stopped:
            if waiting.stopped:
                raise self._refusal(run.number, waiting.stopped)
            waiting.opened = asyncio.get_running_loop().create_future()
            self._ledger.write(r.AtGate(run=run.number, attempt=attempt, held_by=tuple(sorted(waiting.holds))))
            try:
                await waiting.opened
            finally:
                waiting.opened = None

    def forget(self, run: int) -> None:
        """The run has ended."""
        self._runs.pop(run, None)

    def _refusal(self, number: int, reason: str) -> Refused:
        run = self._ledger.state.runs.get(number)
        ref = self._ledger.state.run_ref(run) if run is not None else self._ledger.state.session
        return Refused(f"stopped before its effect: {reason}", ref=ref, advice="Nothing happened; end the body.")
