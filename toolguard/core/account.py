"""The account of one session: everything that its records add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from toolguard.core import records as r
from toolguard.core.conversation import Conversation
from toolguard.core.law import Phase, Ruling, RunEvent, rule
from toolguard.core.slots import Run, Slot

EVENTS: dict[type[r.Record], RunEvent] = {
    r.Began: RunEvent.BEGAN,
    r.Checkpointed: RunEvent.CHECKPOINTED,
    r.StepKept: RunEvent.CHECKPOINTED,
    r.CommitBegan: RunEvent.COMMIT_BEGAN,
    r.Returned: RunEvent.RETURNED,
    r.Failed: RunEvent.FAILED,
    r.Stopped: RunEvent.STOPPED,
    r.Lost: RunEvent.LOST,
    r.NeverCommitted: RunEvent.NEVER_COMMITTED,
}
"""What each run record means to the law."""
QUIET = 60_000_000_000
"""Nanoseconds after which the breaker begins anew where no words arrive (S7)."""
INTERIM = frozenset({"still_running", "not_known_yet", "in_doubt"})
"""Forms that are not the last word: a result may follow as a note."""
_OF_A_BODY = frozenset({RunEvent.BEGAN, RunEvent.CHECKPOINTED, RunEvent.COMMIT_BEGAN})
"""What only the current attempt of a run may do (L5)."""


@dataclass(slots=True)
class Account:
    """One session, folded.

    Attributes:
        slots: Calls by order number.
        runs: Runs by number.
        newest: The newest run of each intent.
        turns: Caller turns so far that were more than noise or a backchannel.
        writes: How many writes have committed; reads older than one are not shared (S1).
        context: The number of the current context.
        concerned: Runs that the caller took back, or corrected.
        owed: Runs of which some call has only an interim answer, or a wrong one: news is due when they end.
        open_batches: Model responses that have issued calls and have not ended (O9).
        closed_batches: Those of this context that have ended: a call that comes late does not open one again.
        offers: Answers that offered to confirm, by (intent, fingerprint): the caller's turns before the offer, and when
            it was made (S0).
        spoken: When the caller's last turn that may answer an offer began, in wall nanoseconds.
        undos: What each possible undo, by (tool, fingerprint), would take back (S2).
        items: The call that each sent output item answers.
        doubtful: Runs in doubt.
        excluded: Run records that the law refused when they were folded.
        undecided: The kind of the newest words, until an interrupt has decided what they do to the calls.
        process: The process that owns the session, as its newest ``opened`` says.
        onsets: Onsets that nothing has settled, with the runs that they hold at their gate (G2).
        asked_to_wait: Runs that the caller told to hold on.
        facts: What has been established about the caller and the matter, apart from what was said (I23).
        handed: The newest hand-off, empty where there was none.
    """

    session: str
    tenant: str = "default"
    caller: str = ""
    agent: str = ""
    evidence: r.Evidence = "none"
    mode: str = "enforce"
    slots: dict[int, Slot] = field(default_factory=dict[int, Slot])
    runs: dict[int, Run] = field(default_factory=dict[int, Run])
    by_call_id: dict[tuple[int, str], int] = field(default_factory=dict[tuple[int, str], int])
    newest: dict[str, int] = field(default_factory=dict[str, int])
    conversation: Conversation = field(default_factory=Conversation)
    turns: int = 0
    heard: int = 0
    writes: int = 0
    context: int = 0
    open_batches: set[int] = field(default_factory=set[int])
    closed_batches: set[int] = field(default_factory=set[int])
    open_runs: set[int] = field(default_factory=set[int])
    doubtful: set[int] = field(default_factory=set[int])
    unsent: set[int] = field(default_factory=set[int])
    offers: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict[tuple[str, str], tuple[int, int]])
    spoken: int = 0
    undos: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    items: dict[str, int] = field(default_factory=dict[str, int])
    owed: set[int] = field(default_factory=set[int])
    concerned: set[int] = field(default_factory=set[int])
    repeats: dict[str, int] = field(default_factory=dict[str, int])
    repeats_since: int = 0
    closed: str = ""
    excluded: int = 0
    undecided: str = ""
    process: str = ""
    onsets: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    asked_to_wait: set[int] = field(default_factory=set[int])
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    handed: r.HandOffRecord | None = None

    def confirmed(self, intent: str, fingerprint: str) -> bool:
        """Whether an answer offered to confirm this, and the caller has spoken since it was made (S0)."""
        turns, at = self.offers.get((intent, fingerprint), (self.turns, 0))
        return self.turns > turns and self.spoken >= at

    def too_often(self, tool: str, intent: str, limit: int, now: int) -> bool:
        """Whether the breaker trips; a caller's turn resets it, or a minute where no words arrive (S7)."""
        if not self.heard and now - self.repeats_since > QUIET:
            return False
        return self.repeats.get(intent or tool, 0) >= limit or self.repeats.get(f"tool:{tool}", 0) >= 3 * limit

    def ref(self, call: int) -> str:
        """A call's ref, as people and commands write it."""
        return f"{self.session}/{call}"

    def run_ref(self, run: Run) -> str:
        """The ref of the call that a run was made for."""
        return self.ref(run.calls[0] if run.calls else run.number)

    def ruling(self, record: r.RunRecord) -> tuple[Ruling, Phase]:
        """What the law says about a run record before it is written (L3, L4, L5)."""
        run = self.runs.get(record.run)
        if run is None:
            return Ruling.EXCLUDED, Phase.PLANNED
        event = EVENTS[type(record)]
        stale = record.attempt < run.attempt and event is not RunEvent.RETURNED
        if stale or (record.attempt <= run.given_up and event in _OF_A_BODY):
            return Ruling.EXCLUDED, run.phase
        return rule(run.phase, event, run.effect)

    def restore(self, slot: Slot) -> None:
        """Put a slot back that was retracted only to be judged anew."""
        self.slots[slot.number] = slot
        if not slot.sent and not slot.parent:
            self.unsent.add(slot.number)
        if slot.call_id:
            self.by_call_id.setdefault((slot.context, slot.call_id), slot.number)

    def retract(self, call: int) -> None:
        """Take back a call whose record the store refused: it was never written, and nothing depends on it."""
        slot = self.slots.pop(call, None)
        if slot is None:
            return
        self.unsent.discard(call)
        self.by_call_id.pop((slot.context, slot.call_id), None)
        self.conversation.retract(call)
        for key in (slot.intent or slot.tool, f"tool:{slot.tool}"):
            if self.repeats.get(key) and not slot.parent:
                self.repeats[key] -= 1
        run = self.runs.get(slot.run)
        if run is not None and slot.verdict not in {"run", "wait"}:
            run.calls = [number for number in run.calls if number != call]
        elif run is not None:
            del self.runs[slot.run]
            if run.undoes in self.runs:
                self.runs[run.undoes].undone_by = 0
            self.open_runs.discard(run.number)
            self.concerned.discard(run.number)
            earlier = [r.number for r in self.runs.values() if r.intent == run.intent]
            self.newest.pop(run.intent, None)
            if earlier:
                self.newest[run.intent] = max(earlier)
