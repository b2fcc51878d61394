"""Judging a call before anything runs: new, joined, replayed, differing, to be confirmed, in doubt (semantics 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolguard.core.effect import Effect
from toolguard.core.identity import idempotency_key, intent_key
from toolguard.core.intent import Standing, judge, standing
from toolguard.core.law import Phase
from toolguard.core.records import plain_arguments

if TYPE_CHECKING:
    from toolguard.core.records import Verdict
    from toolguard.core.slots import Run
    from toolguard.engine.execution import Execution
    from toolguard.engine.ledger import ClaimRow, Ledger
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.spec import Spec

_STANDS = frozenset({Phase.COMMITTING, Phase.IN_DOUBT, Phase.DONE})
_SAME = frozenset({"undone", "free"})
"""How a claim stands of whose occurrence nothing has happened: the next one inherits its key (D1, T3)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a call is to be: a new run, attached to a run, or answered at once.

    Attributes:
        verdict: As recorded.
        run: The run in this session that stands, if any.
        first: The ref of what stands, also of another session.
        differs: Names of the arguments that are different.
        remote: The occurrence of another session that stands.
        occurrence: The number that a new occurrence takes.
    """

    verdict: Verdict
    run: Run | None = None
    first: str = ""
    differs: tuple[str, ...] = ()
    remote: ClaimRow | None = None
    occurrence: int = 1


class Judge:
    """Applies semantics 6 to the calls of one session.

    Args:
        ledger: The session's book.
        execution: Its runs in motion.
        secret: The store's secret for intent keys.
    """

    def __init__(self, ledger: Ledger, execution: Execution, secret: bytes) -> None:
        self._ledger = ledger
        self._execution = execution
        self._secret = secret

    def intent(self, spec: Spec, arguments: Arguments, parent: Run | None = None) -> str:
        """The key of the intent; a child's lies under its parent's occurrence (W8)."""
        state = self._ledger.state
        if parent is not None:
            under = f"{parent.intent}/{parent.occurrence}"
            return intent_key(self._secret, state.tenant, "parent", under, spec.name, arguments.identity)
        value = {"session": state.session, "caller": state.caller, "tenant": ""}[spec.scope]
        return intent_key(self._secret, state.tenant, spec.scope, value, spec.name, arguments.identity)

    def scope(self, scope: str) -> str:
        """The name of a caller's or tenant's scope in the cache of reads (S1)."""
        state = self._ledger.state
        value = state.caller if scope == "caller" else ""
        return intent_key(self._secret, state.tenant, scope, value, "", "")

    def key(self, run: Run) -> str:
        """The idempotency key of a run's occurrence; reads have none."""
        return idempotency_key(run.intent, run.occurrence) if run.effect.writes else ""

    @staticmethod
    def key_of(intent: str, occurrence: int) -> str:
        """The key of an occurrence that has no run yet."""
        return idempotency_key(intent, occurrence)

    def read(self, spec: Spec, intent: str) -> Judged:
        """A read joins one that runs, or is answered from one that is still fresh (S1)."""
        state = self._ledger.state
        run = state.runs.get(state.newest.get(intent, 0))
        if run is None or run.writes_seen != state.writes or run.concerned:
            return Judged("run")
        live = self._execution.live.get(run.number)
        if live is not None and run.phase.open and not live.given_up:
            return Judged("join", run, state.run_ref(run))
        age = (self._ledger.clock.wall() - run.planned_at) / 1e9
        if run.phase is Phase.DONE and age <= spec.fresh_for:
            return Judged("replay", run, state.run_ref(run))
        return Judged("run")

    def write(self, spec: Spec, arguments: Arguments, intent: str, claim: ClaimRow | None, *, child: bool) -> Judged:
        """A write is judged by how the newest occurrence of its intent stands."""
        state = self._ledger.state
        run = state.runs.get(state.newest.get(intent, 0))
        confirmed = self._confirmed(intent, arguments.fingerprint)
        if claim is not None and (run is None or claim.session != state.session):
            remote = self._remote(spec, arguments, claim, confirmed=confirmed)
            if run is None or remote.verdict != "run":
                return remote
        number = self._next_occurrence(run, claim)
        if run is None:
            return self._new(spec, arguments, None, number, free=child or confirmed)
        same = run.fingerprint == arguments.fingerprint
        if run.phase.open and not same and confirmed:
            return Judged("run", occurrence=number)
        verdict = judge(spec.effect, self._standing(spec, run), same=same, repeat=spec.repeat, confirmed=confirmed)
        if verdict == "run":
            return self._new(spec, arguments, run, number, free=child or confirmed)
        differs = self._differs(run, arguments) if verdict == "differs" else ()
        return Judged(verdict, run, state.run_ref(run), differs, occurrence=number)

    def _new(self, spec: Spec, arguments: Arguments, run: Run | None, number: int, *, free: bool) -> Judged:
        """A new occurrence, unless one that was corrected too late still stands (S3)."""
        blocking = None if free or spec.effect is not Effect.MUTATION else self._corrected(spec.name)
        if blocking is None or blocking is run:
            return Judged("run", occurrence=number)
        first = self._ledger.state.run_ref(blocking)
        return Judged("differs", blocking, first, self._differs(blocking, arguments), occurrence=number)

    def _standing(self, spec: Spec, run: Run) -> Standing:
        state = self._ledger.state
        acknowledged = any(state.slots[call].acknowledged for call in run.calls)
        delivered = any(state.slots[call].delivered or state.slots[call].sent for call in run.calls)
        age = (self._ledger.clock.wall() - (run.ended_at or run.planned_at)) / 1e9
        undoing = state.runs.get(run.undone_by)
        direct = all(not state.slots[call].call_id for call in run.calls)
        return standing(
            run.phase,
            acknowledged=acknowledged,
            age=age,
            window=spec.repeat_window,
            undone=run.undone,
            undoing=undoing.phase if undoing is not None else None,
            contradicted=run.contradicted,
            window_opens=direct or (state.evidence == "none" and delivered),
        )

    def _confirmed(self, intent: str, fingerprint: str) -> bool:
        """Whether an answer offered to confirm this and the caller has spoken since (S0)."""
        return self._ledger.state.confirmed(intent, fingerprint)

    def _corrected(self, tool: str) -> Run | None:
        """A run of the tool that the caller took back too late and that still stands unheard (S3)."""
        state = self._ledger.state
        for run in (state.runs[number] for number in sorted(state.concerned, reverse=True)):
            if run.tool != tool or run.undone or run.parent:
                continue
            heard = any(state.slots[call].acknowledged for call in run.calls)
            if run.phase in _STANDS and not (run.phase is Phase.DONE and heard):
                return run
        return None

    @staticmethod
    def _next_occurrence(run: Run | None, claim: ClaimRow | None) -> int:
        """The next number; after "did not happen" the same one, so that its key is inherited (D1)."""
        if claim is not None and (run is None or claim.occurrence > run.occurrence):
            return claim.occurrence if claim.state in _SAME else claim.occurrence + 1
        if run is not None:
            inherits = run.phase is Phase.FAILED and run.source in {"probe", "person"}
            return run.occurrence if inherits else run.occurrence + 1
        return 1

    @staticmethod
    def _differs(run: Run, arguments: Arguments) -> tuple[str, ...]:
        first: dict[str, Any] = plain_arguments(run.arguments)
        second = plain_arguments(arguments.json)
        return tuple(sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)))

    def _remote(self, spec: Spec, arguments: Arguments, claim: ClaimRow, *, confirmed: bool) -> Judged:
        """The occurrence of another session of the scope (S8, T3)."""
        ref = f"{claim.session}/{claim.call}"
        same = claim.fingerprint == arguments.fingerprint
        following = self._next_occurrence(None, claim)
        if claim.state == "ended" or claim.state in _SAME:
            return Judged("run", occurrence=following)
        if claim.state == "done":
            age = (self._ledger.clock.wall() - claim.at) / 1e9
            stands = Standing.HEARD if age <= spec.repeat_window else Standing.OLD
        else:
            stands = Standing.RUNNING if claim.state == "running" else Standing.DOUBT
        verdict = judge(spec.effect, stands, same=same, repeat=spec.repeat, confirmed=confirmed)
        if verdict == "run":
            return Judged("run", occurrence=following)
        return Judged("join" if verdict == "wait" else verdict, None, ref, (), claim)
