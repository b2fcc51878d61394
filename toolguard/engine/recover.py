"""Going on where another process stopped: the plan is carried out, run by run, and reported (H4, D2, D3, H1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.holding import held_runs
from toolguard.core.law import Phase
from toolguard.core.plan import Circumstances, PlannedStep, RecoveryReport, ToolFacts, plan, step_of
from toolguard.engine.following import Following
from toolguard.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.slots import Run
    from toolguard.engine.live import Live
    from toolguard.engine.wiring import Wiring
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool

_LIMIT = 120.0
"""The quarantine of a run whose tool is gone: the default hard limit."""
_GOES_ON = frozenset({"run_again", "resume", "run_again_same_key"})


def facts_from(tools: Callable[[str], Tool[Any, Any] | None]) -> Callable[[Run], ToolFacts | None]:
    """What the tools of this process say about runs of the journal."""

    def facts(run: Run) -> ToolFacts | None:
        tool = tools(run.tool)
        if tool is None:
            return None
        try:
            tool.rebind_arguments(run.arguments)
        except InvalidArguments as error:
            return ToolFacts(tool.spec.version, tool.prober is not None, error.what)
        return ToolFacts(tool.spec.version, tool.prober is not None)

    return facts


class Recovery:
    """Carries out the plan for one session that this process has just entered.

    Args:
        wiring: The session's parts.
        tools: Finds a tool by name.
        given: What the plan depends on.
    """

    def __init__(self, wiring: Wiring, tools: Callable[[str], Tool[Any, Any] | None], given: Circumstances) -> None:
        self._w = wiring
        self._execution = wiring.execution
        self._ledger = wiring.ledger
        self._tools = tools
        self._given = given
        self._following = Following(wiring, self._let_go)

    def carry_out(self, report: RecoveryReport) -> RecoveryReport:
        """Treat every open run and every run in doubt.

        Args:
            report: What is known before: cause, gap, epochs, previous owner.

        Returns:
            The same, with what was done; it is in the journal too.
        """
        state = self._ledger.state
        owed = {*state.unsent, *(call for run in state.owed for call in state.runs[run].calls)}
        held = held_runs(state)
        steps = plan(state, self._given)
        self._w.barge_ins.inherit({step.run: held[step.run] for step in steps if step.held})
        for step in steps:
            self._do(step)
        done: dict[str, Any] = {
            "resumed": tuple(step.run for step in steps if step.act in _GOES_ON),
            "in_doubt": tuple(step.run for step in steps if step.act in {"probe", "in_doubt"}),
            "probed": tuple(step.run for step in steps if step.act == "probe"),
            "stopped": tuple(step.run for step in steps if step.act == "stop"),
            "followed": tuple(step.run for step in steps if step.act == "follow"),
        }
        carried = sum(len(state.runs[step.run].calls) for step in steps if step.act != "stop")
        self._ledger.write(
            r.Recovered(
                cause=report.cause,
                gap_ms=report.gap_ms,
                epoch_before=report.epoch_before,
                previous_owner=report.previous_owner,
                calls_carried=carried,
                owed=tuple(sorted(owed)),
                **done,
            )
        )
        refs = {name: tuple(state.run_ref(state.runs[run]) for run in runs) for name, runs in done.items()}
        return msgspec.structs.replace(
            report, calls_carried=carried, owed=tuple(state.ref(call) for call in sorted(owed)), **refs
        )

    def _do(self, step: PlannedStep) -> None:
        run = self._ledger.state.runs[step.run]
        tool, arguments = self._bound(run)
        if step.act == "follow":
            live = self._execution.adopt(run, tool, arguments, settled=False) if tool and arguments else None
            self._following.follow(run, live)
            return
        if step.presumed:
            self._presume(run, tool)
        elif run.phase.open:
            attempt = max(run.attempt, 1)
            lost = r.Lost(run=run.number, attempt=attempt, why="its process is gone")
            self._ledger.write(lost, durable=run.effect.writes)
        if step.act == "stop":
            stopped = r.Stopped(run=run.number, attempt=max(run.attempt, 1), reason=step.why)
            self._ledger.write(stopped, durable=run.effect.writes)
        elif tool is not None and arguments is not None:
            self._go_on(step, run, tool, arguments)

    def _go_on(self, step: PlannedStep, run: Run, tool: Tool[Any, Any], arguments: Arguments) -> None:
        if step.act not in _GOES_ON:
            live = self._execution.adopt(run, tool, arguments)
            self._execution.outcomes.look_into(live)
            return
        if step.anew:
            run.memos.clear()
            run.progress = {}
            self._execution.notice("tool_changed", "the tool's code changed; it starts over", run=run.number)
        self._execution.start(run, tool, arguments, injected={}, planned=None)
        if tool.spec.needs is not None and step.act == "resume":
            self._w.intake.approvals.expect(run, tool.spec.needs)

    def _presume(self, run: Run, tool: Tool[Any, Any] | None) -> None:
        """Write the commit record that the store may have lost: whether it happened is not known (semantics 10)."""
        attempt = max(run.attempt, run.given_up) + 1
        limit = tool.spec.hard_limit + tool.spec.settles_within if tool is not None else _LIMIT
        self._execution.notice("store_lost_records", "it counts as committed: its record may be lost", run=run.number)
        self._ledger.write(
            r.CommitBegan(run=run.number, attempt=attempt, key=run.key or self._execution.keys(run), limit=limit),
            r.Lost(run=run.number, attempt=attempt, why="the store may have lost its commit record"),
            durable=True,
        )

    def _let_go(self, run: Run) -> None:
        """A followed run has lost its process: treat it like any other in doubt."""
        before = self._execution.live.get(run.number)
        step = step_of(self._ledger.state, run, self._given)
        tool, arguments = self._bound(run)
        if tool is not None and arguments is not None and run.phase is Phase.IN_DOUBT:
            self._go_on(step, run, tool, arguments)
        self._told(run, before)

    def _told(self, run: Run, before: Live | None) -> None:
        """Whoever waited for the followed run looks again: it is in doubt, or runs anew."""
        if before is not None:
            before.tell()
        if run.phase is Phase.IN_DOUBT and run.effect is not Effect.READ:
            self._w.claims.settle(run)
        self._w.delivery.pump()

    def _bound(self, run: Run) -> tuple[Tool[Any, Any] | None, Arguments | None]:
        tool = self._tools(run.tool)
        if tool is None:
            return None, None
        try:
            return tool, tool.rebind_arguments(run.arguments)
        except InvalidArguments:
            return tool, None
