"""How long a caller may hold a write at its gate: by speaking on and on, by "hold on", by being away (G3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from toolguard.core.slots import Run
    from toolguard.engine.execution import Execution
    from toolguard.engine.limits import Limits

_AWAY = "caller_away"
_HOLD_ON = "hold_on"
APPROVAL = "approval"
"""The hold of a run that waits for a yes: it has its own limit, in place of ``gate_max`` (G3)."""
_LOOK_AGAIN = 0.5


class Holds:
    """The bounded holds of one session; what reaches its bound is stopped before its effect.

    Args:
        execution: The runs.
        limits: The session's limits.
        speaking: The onsets whose speech has not ended, as far as anybody can tell.
    """

    def __init__(self, execution: Execution, limits: Limits, speaking: Callable[[], frozenset[str]]) -> None:
        self._execution = execution
        self._gate = execution.gate
        self._limits = limits
        self._speaking = speaking
        self._speech: dict[int, asyncio.TimerHandle] = {}
        self._asked: asyncio.TimerHandle | None = None
        self._window: asyncio.TimerHandle | None = None

    def spoken_over(self, run: int) -> None:
        """A run is held by speech: it may be for ``gate_max`` seconds, over all onsets that follow one another."""
        if run not in self._speech:
            self._speech[run] = asyncio.get_running_loop().call_later(self._limits.gate_max, self._too_long, run)

    def quiet(self, onsets: Iterable[str]) -> None:
        """Some onsets are over; ``onsets`` are still open. Runs that none of them holds begin anew next time."""
        still = frozenset(onsets)
        for run in [run for run in self._speech if not self._gate.holds(run) & still]:
            self._speech.pop(run).cancel()

    def _too_long(self, run: int) -> None:
        del self._speech[run]
        holds = self._gate.holds(run)
        if holds & self._speaking() and APPROVAL not in holds:
            self._execution.stop(run, "not done: you were still speaking")
        else:
            self._speech[run] = asyncio.get_running_loop().call_later(_LOOK_AGAIN, self._too_long, run)

    def asked_to_wait(self, runs: Iterable[int]) -> None:
        """The caller said "hold on": these wait until more is said, each request for ``gate_max`` seconds."""
        for run in runs:
            self._gate.hold(run, _HOLD_ON)
        self._drop_asked()
        self._asked = asyncio.get_running_loop().call_later(self._limits.gate_max, self._said_no_more)

    def went_on(self) -> None:
        """The caller said more: what waited for that goes on."""
        self._drop_asked()
        self._gate.release(_HOLD_ON)

    def _drop_asked(self) -> None:
        if self._asked is not None:
            self._asked.cancel()
            self._asked = None

    def _said_no_more(self) -> None:
        self._asked = None
        self._stop_held(_HOLD_ON, "not done: you asked to wait and did not say more")

    @property
    def away(self) -> bool:
        """Whether the caller's line is gone."""
        return self._window is not None

    def caller_left(self, runs: Iterable[Run]) -> None:
        """The caller's line is gone: the gate stays shut until they are back or the resume window ends."""
        if self._window is None:
            self._window = asyncio.get_running_loop().call_later(self._limits.resume_window, self._stayed_away)
        for run in runs:
            self.planned(run)

    def planned(self, run: Run) -> None:
        """A write waits for a caller who is away, also one that was planned meanwhile."""
        live = self._execution.live.get(run.number)
        if self.away and run.effect.writes and (run.phase.uncommitted or (live is not None and live.window)):
            self._gate.hold(run.number, _AWAY)

    def _stayed_away(self) -> None:
        self._window = None
        self._stop_held(_AWAY, "not done: the caller did not come back")

    def caller_came_back(self) -> None:
        """The caller's line is there again."""
        if self._window is not None:
            self._window.cancel()
            self._window = None
        self._gate.release(_AWAY)

    def _stop_held(self, why: str, reason: str) -> None:
        for number in sorted(self._execution.ledger.state.open_runs):
            holds = self._gate.holds(number)
            if why == _HOLD_ON and {why, APPROVAL} <= holds:
                self._gate.release(why, [number])
            elif why in holds:
                self._execution.stop(number, reason)

    def stop(self) -> None:
        """The session ends: nothing of this fires any more, and nothing is opened."""
        self._drop_asked()
        for timer in (*self._speech.values(), *(() if self._window is None else (self._window,))):
            timer.cancel()
        self._speech.clear()
        self._window = None
