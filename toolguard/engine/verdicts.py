"""One interrupt, all runs in motion: ask the policies, keep what the law allows, write it as one record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.core.decision import Decision
from toolguard.core.interrupt import BargeIn
from toolguard.core.law import Phase
from toolguard.core.policy import name_of
from toolguard.engine.asking import NoAnswer
from toolguard.policies.columns import column
from toolguard.policies.effects import by_effect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.core.call import ToolCall
    from toolguard.core.interrupt import Interrupt
    from toolguard.core.policy import Policy
    from toolguard.core.slots import Run
    from toolguard.engine.asking import Asker
    from toolguard.engine.execution import Execution

_DEFAULT = by_effect()
_CORRECTIVE = frozenset({"correction", "cancellation", "stop"})


class Verdicts:
    """Decides about runs of one session.

    Args:
        execution: The runs.
        policy: The guard's policy; the default table speaks where it has no opinion.
        asker: Runs user code within bounds.

    Attributes:
        as_if_held: Runs of a watched session that would wait at the gate: they are asked about as uncommitted.
    """

    def __init__(self, execution: Execution, policy: Policy | None, asker: Asker) -> None:
        self._execution = execution
        self._policy = policy
        self._asker = asker
        self.as_if_held: set[int] = set()
        self.name = name_of(policy) if policy is not None else name_of(_DEFAULT)

    def decide(
        self, interrupt: Interrupt, runs: Sequence[Run], *, ignore: frozenset[int] = frozenset()
    ) -> list[r.Decided]:
        """A decision for each run; ``ignore`` names runs that the words cannot concern (G4)."""
        views = [(run, self._view(run)) for run in runs]
        asked = self._ask(interrupt, views)
        decided: list[r.Decided] = []
        for (run, view), said in zip(views, asked, strict=True):
            mine = said if run.number not in ignore else Decision.go_on("the words came before the call")
            decided.append(self._lawful(run, view, interrupt, mine))
        return decided

    def _view(self, run: Run) -> ToolCall:
        """A run as the policy sees it; one whose commit record is on its way can still be stopped (W2)."""
        live = self._execution.live.get(run.number)
        early = (live is not None and live.window) or run.number in self.as_if_held
        return self._execution.view(run, phase=Phase.STARTED if early else None)

    def _ask(self, interrupt: Interrupt, views: Sequence[tuple[Run, ToolCall]]) -> list[Decision]:
        answers: list[Decision | None] = [None] * len(views)
        by_policy: dict[int, tuple[Policy, list[int]]] = {}
        for index, (run, _) in enumerate(views):
            live = self._execution.live.get(run.number)
            own = live.spec.policy if live is not None else None
            for policy in (own, self._policy):
                if policy is not None:
                    by_policy.setdefault(id(policy), (policy, []))[1].append(index)
        for policy, indexes in by_policy.values():
            todo = [index for index in indexes if answers[index] is None]
            for index, said in zip(todo, self._said(policy, interrupt, [views[i][1] for i in todo]), strict=True):
                answers[index] = said
        return [
            answer if answer is not None else self._default(view, interrupt)
            for answer, (_, view) in zip(answers, views, strict=True)
        ]

    def _said(self, policy: Policy, interrupt: Interrupt, views: list[ToolCall]) -> list[Decision | None]:
        def work() -> list[Any]:
            return [_guarded(policy, view, interrupt) for view in views]

        try:
            said = self._asker.ask(policy, work)
        except NoAnswer as error:
            self._execution.notice("policy_failed", f"{name_of(policy)}: {error}; the default table stands in")
            return [None] * len(views)
        out: list[Decision | None] = []
        for answer in said:
            if answer is None or isinstance(answer, Decision):
                out.append(answer)
                continue
            what = (
                f"raised {type(answer.error).__name__}: {answer.error}"
                if isinstance(answer, _Raised)
                else f"answered {answer!r}, which is no Decision"
            )
            self._execution.notice("policy_failed", f"{name_of(policy)} {what}; the default table stands in")
            out.append(None)
        return out

    @staticmethod
    def _default(view: ToolCall, interrupt: Interrupt) -> Decision:
        return _DEFAULT(view, interrupt) or Decision.go_on("no policy has an opinion")

    def _lawful(self, run: Run, view: ToolCall, interrupt: Interrupt, said: Decision) -> r.Decided:
        """What the law makes of it: nothing is stopped past its commit, reads have no gate (I09)."""
        choice = said.run
        if choice == "stop" and not view.phase.uncommitted:
            choice = "go_on"
        if choice == "hold" and (not run.effect.writes or not view.phase.uncommitted):
            choice = "go_on"
        return r.Decided(
            run=run.number,
            calls=tuple(run.calls),
            choice=choice,
            reason=said.reason,
            announce=said.announce,
            offer_undo=said.offer_undo,
            concerned=isinstance(interrupt, BargeIn)
            and interrupt.kind in _CORRECTIVE
            and column(interrupt, view) in _CORRECTIVE,
            asked=said if said.run != choice or said.at_most else None,
        )


class _Raised:
    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def _guarded(policy: Policy, view: ToolCall, interrupt: Interrupt) -> object:
    try:
        return policy(view, interrupt)
    except Exception as error:  # noqa: BLE001 - one bad answer must not spoil the others
        return _Raised(error)
