"""One session as the trail tells it: its folded state, and beside it what only people ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from toolguard.audit.call import TrailCall, when
from toolguard.audit.words import interrupted
from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.law import Ruling
from toolguard.core.outbox import answer_of
from toolguard.core.state import State

if TYPE_CHECKING:
    from datetime import datetime

    from toolguard.core.slots import Run, Slot


class Unreadable(r.Record, frozen=True, kw_only=True):
    """A record that cannot be read here: damaged, sealed, or of a newer release."""

    why: str


class Line(NamedTuple):
    """One record of a session as it stands in the journal.

    Attributes:
        seq: Its place, from 1.
        epoch: The owner's epoch under which it was written.
        at: Its wall time.
        kind: Its name (``commit_began``); ``unreadable`` where it cannot be read.
        record: The record itself.
    """

    seq: int
    epoch: int
    at: datetime
    kind: str
    record: r.Record


class _Decision(NamedTuple):
    choice: str
    reason: str
    policy: str
    cause: str


@dataclass(slots=True)
class _Beside:
    """What the trail keeps of a run beside its state."""

    epochs: set[int] = field(default_factory=set[int])
    decision: _Decision | None = None
    evidence: str = ""
    by: str = ""
    source: str = ""
    attempts_before: int = 0


class Story:
    """Folds one session's records for people.

    Attributes:
        state: The fold.
        unreadable: How many records could not be read or did not fit.
    """

    def __init__(self, session: str, tenant: str = "") -> None:
        self.state = State(session, tenant=tenant)
        self.unreadable = 0
        self._runs: dict[int, _Beside] = {}
        self._calls: dict[int, set[int]] = {}

    def add(self, line: Line, wall_ns: int) -> bool:
        """Fold one record in.

        Returns:
            Whether it counts: False for a record that the law excludes, or that cannot be read.
        """
        record = line.record
        counts = not isinstance(record, Unreadable)
        if isinstance(record, r.RunRecord) and not isinstance(record, (r.AtGate, r.Replanned, r.Contradicted)):
            counts = self.state.ruling(record)[0] is Ruling.ADMITTED
        try:
            self.state.apply(record, wall_ns)
        except (LookupError, ValueError, TypeError, msgspec.MsgspecError):
            counts = False  # what it builds on is missing or damaged
        if isinstance(record, Unreadable) or (not counts and not isinstance(record, r.RunRecord)):
            self.unreadable += 1
        else:
            self._note(record, line.epoch, counts=counts)
        return counts

    def call(self, number: int) -> TrailCall:
        """A call as it stands now."""
        state, slot = self.state, self.state.slots[number]
        run = state.runs.get(slot.run)
        beside = self._runs.get(slot.run) or _Beside()
        decision = beside.decision or _Decision("", "", "", "")
        happened = run is not None and run.happened
        answer = answer_of(state, slot)
        return TrailCall(
            ref=state.ref(number),
            session=state.session,
            tenant=state.tenant,
            agent=slot.agent,
            tool=slot.tool,
            effect=slot.effect,
            verdict=slot.verdict,
            phase=run.phase if run is not None else None,
            at=when(slot.at),
            arguments=_object(slot.arguments),
            happened=happened,
            result=_json(run.result) if run is not None and happened else None,
            key=run.key if run is not None else "",
            decision=decision.choice,
            reason=decision.reason or (run.message if run is not None and not happened else ""),
            policy=decision.policy,
            cause=decision.cause,
            points_to=slot.points_to,
            replayed_from=slot.points_to if slot.verdict == "replay" else "",
            superseded_by=self._superseded(slot, run),
            attempts=(run.attempt if run is not None else 0) + beside.attempts_before,
            answer=slot.sent_form or (answer.form if answer is not None else None),
            sent=bool(slot.sent),
            delivered=slot.delivered,
            acknowledged=slot.acknowledged,
            duration_ms=_duration(slot, run),
            warning=run.warning if run is not None else "",
            contradicted=run is not None and run.contradicted,
            source=beside.source,
            evidence=beside.evidence,
            by=beside.by,
            code=run.code if run is not None and not run.happened else "",
            epochs=tuple(sorted(beside.epochs | self._calls.get(number, set()))),
        )

    def _superseded(self, slot: Slot, run: Run | None) -> str:
        """The later call that took a call's place; a mutation that was done stands beside what follows it."""
        if run is None or not run.intent or (run.effect is not Effect.IDEMPOTENT_WRITE and run.happened):
            return ""
        newest = self.state.runs.get(self.state.newest.get(run.intent, 0))
        if newest is None or newest.number <= run.number or slot.number in newest.calls or run.effect is Effect.READ:
            return ""
        return self.state.run_ref(newest)

    def _note(self, record: r.Record, epoch: int, *, counts: bool) -> None:
        for number in _runs_of(record):
            self._beside(number).epochs.add(epoch)
        for number in _calls_of(record):
            self._calls.setdefault(number, set()).add(epoch)
        match record:
            case r.Interrupted():
                self._decided(record)
            case r.Returned() | r.Failed() if counts:
                beside = self._beside(record.run)
                beside.source, beside.evidence, beside.by = record.source, record.evidence, record.by
            case r.Replanned():
                old, new = self._beside(record.run), self._beside(record.new)
                run = self.state.runs.get(record.run)
                new.epochs |= old.epochs
                new.decision = old.decision
                new.attempts_before = old.attempts_before + (run.attempt if run is not None else 0)
            case _:
                pass

    def _decided(self, record: r.Interrupted) -> None:
        cause = interrupted(record.interrupt)
        for one in record.decisions:
            choice = f"would {one.choice}" if record.would else one.choice
            self._beside(one.run).decision = _Decision(choice, one.reason, record.policy, cause)

    def _beside(self, run: int) -> _Beside:
        return self._runs.setdefault(run, _Beside())


def _runs_of(record: r.Record) -> tuple[int, ...]:
    match record:
        case r.RunRecord():
            return (record.run,)
        case r.Interrupted():
            return tuple(one.run for one in record.decisions)
        case _:
            return ()


def _calls_of(record: r.Record) -> tuple[int, ...]:
    match record:
        case r.Called() | r.Answered():
            return (record.call,)
        case r.Sent() | r.Acknowledged() | r.Noted():
            return record.calls
        case _:
            return ()


def _duration(slot: Slot, run: Run | None) -> float | None:
    if run is None or not run.phase.final or run.ended_at < slot.at:
        return None
    return (run.ended_at - slot.at) / 1e6


def _object(raw: bytes) -> dict[str, Any]:
    try:
        return r.plain_arguments(raw)
    except msgspec.MsgspecError:
        return {}


def _json(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return None
