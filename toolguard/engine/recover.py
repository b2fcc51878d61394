"""Going on where a dead process stopped: fold the journal, then treat every open run by what it does (H4, D2, D3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.law import Phase
from toolguard.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.slots import Run
    from toolguard.engine.execution import Execution
    from toolguard.tools.tool import Tool

_STOPPING = frozenset({"correction", "cancellation", "stop", "hold_on", "unknown"})
"""Words after which an uncommitted write does not go on (G4)."""


class Recovery:
    """Resumes what an earlier owner of a session left open.

    Args:
        execution: The session's execution.
        tools: Finds a tool by name.
        window: Seconds after which uncommitted writes are stopped instead of resumed (H5).
    """

    def __init__(self, execution: Execution, tools: Callable[[str], Tool[Any, Any] | None], window: float) -> None:
        self._execution = execution
        self._ledger = execution.ledger
        self._tools = tools
        self._window = window

    def resume(self, last: int) -> r.Recovered | None:
        """Treat every open run; ``last`` is the wall time of the journal's last record."""
        state = self._ledger.state
        runs = [run for run in state.runs.values() if run.phase.open or run.phase is Phase.IN_DOUBT]
        gap = max(0.0, (self._ledger.clock.wall() - last) / 1e6)
        done: dict[str, list[int]] = {"resumed": [], "in_doubt": [], "stopped": []}
        for run in runs:
            done[self._one(run, late=gap / 1e3 > self._window)].append(run.number)
        if not runs:
            return None
        record = r.Recovered(
            cause="a new owner",
            gap_ms=gap,
            resumed=tuple(done["resumed"]),
            in_doubt=tuple(done["in_doubt"]),
            stopped=tuple(done["stopped"]),
        )
        self._ledger.write(record)
        return record

    def _one(self, run: Run, *, late: bool) -> str:
        ledger, tool = self._ledger, self._tools(run.tool)
        if run.phase.open:
            attempt = max(run.attempt, 1)
            ledger.write(r.Lost(run=run.number, attempt=attempt, why="its process is gone"), durable=run.effect.writes)
        if tool is None or run.parent:
            if run.phase is Phase.IN_DOUBT:
                return "in_doubt"
            return self._stop(run, f"there is no tool named {run.tool} in this process")
        try:
            arguments = tool.rebind_arguments(run.arguments)
        except InvalidArguments as error:
            return (
                "in_doubt"
                if run.phase is Phase.IN_DOUBT
                else self._stop(run, f"its arguments no longer fit: {error.what}")
            )
        if run.phase is Phase.IN_DOUBT and not self._repeatable(run):
            live = self._execution.adopt(run, tool, arguments)
            self._execution.outcomes.look_into(live)
            return "in_doubt"
        if run.effect.writes and run.phase is Phase.PLANNED:
            if run.stopping or ledger.state.undecided in _STOPPING:
                return self._stop(run, run.stopping or "the caller changed course")
            if late:
                return self._stop(run, "the resume window is over")
        if run.version and run.version != tool.spec.version:
            run.memos.clear()
            run.progress = {}
            self._execution.notice("tool_changed", "the tool's code changed; it starts over", run=run.number)
        self._execution.start(run, tool, arguments, injected={}, planned=None)
        return "resumed"

    def _repeatable(self, run: Run) -> bool:
        """An idempotent write in doubt may run again if nothing newer has begun and nobody took it back (D2)."""
        newest = self._ledger.state.newest.get(run.intent) == run.number
        return run.effect is Effect.IDEMPOTENT_WRITE and newest and not run.concerned

    def _stop(self, run: Run, reason: str) -> str:
        self._ledger.write(
            r.Stopped(run=run.number, attempt=max(run.attempt, 1), reason=reason), durable=run.effect.writes
        )
        return "stopped"
