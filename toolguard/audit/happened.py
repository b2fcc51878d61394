"""Every kind of record in words: who did what, for the timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

from toolguard.audit.plain import cut, quoted
from toolguard.audit.story import Unreadable
from toolguard.audit.words import interrupted, taken
from toolguard.core import records as r
from toolguard.core.interrupt import BargeIn

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.state import State

Said: TypeAlias = "list[tuple[str, str]]"
"""Pairs of who and what."""


class Teller:
    """Puts records into words.

    Args:
        state: The session's state, which the timeline folds as it goes.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._onsets: set[str] = set()

    def before(self, record: r.Record) -> int:
        """What has to be known of the time before a record is folded: when its run's commit, or body, began."""
        run = self._state.runs.get(record.run) if isinstance(record, r.RunRecord) else None
        return run.began_at or run.planned_at if run is not None else 0

    def tell(self, record: r.Record, began: int = 0) -> Said:
        """What a record says, after it was folded."""
        if isinstance(record, (r.Returned, r.Failed)):
            return self._outcome(record, began)
        words = _WORDS.get(type(record))
        return words(self, record) if words is not None else []

    # -- names ----------------------------------------------------------------------------------------------------

    def run(self, number: int) -> str:
        """A run as people know it."""
        run = self._state.runs.get(number)
        return f"{run.tool} {self._state.run_ref(run)}" if run is not None else f"run {number}"

    def call(self, number: int) -> str:
        """A call as people know it."""
        slot = self._state.slots.get(number)
        return f"{slot.tool} {self._state.ref(number)}" if slot is not None else self._state.ref(number)

    def calls(self, numbers: tuple[int, ...]) -> str:
        """Several calls."""
        return ", ".join(self.call(number) for number in numbers)

    # -- the conversation -----------------------------------------------------------------------------------------

    def opened(self, rec: r.Opened) -> Said:
        """A process entered the session."""
        verb = "taken over" if rec.recovered else "opened"
        caller = f", caller {rec.caller}" if rec.caller else ""
        mode = "" if rec.mode == "enforce" else ", only observed"
        return [
            (
                "session",
                f"{verb} by process {rec.process} for agent {rec.agent}{caller} ({rec.adapter}, {rec.policy}{mode})",
            )
        ]

    def context_opened(self, rec: r.ContextOpened) -> Said:
        """A model sees the conversation anew."""
        return [("session", f"context {rec.context} begins for agent {rec.agent}{_why(rec.cause)}")]

    def interrupted(self, rec: r.Interrupted) -> Said:
        """An interrupt and what was decided about each run."""
        who = "caller" if isinstance(rec.interrupt, BargeIn) else "session"
        would = " (only observed)" if rec.would else ""
        lines: Said = [(who, self._what(rec) + would)]
        for one in rec.decisions:
            choice = f"would {one.choice}" if rec.would else one.choice
            asked = f" (the policy said {one.asked.run}, the law does not let it)" if one.asked is not None else ""
            undo = ", undo offered" if one.offer_undo else ""
            about = ", concerned" if one.concerned else ""
            why = f" {quoted(one.reason)}" if one.reason else ""
            lines.append(("policy", f"{rec.policy}: {choice} {self.run(one.run)}{why}{about}{undo}{asked}"))
        if rec.filed:
            lines.append(("policy", f"{rec.policy}: filed without telling: {self.calls(rec.filed)}"))
        return lines

    def _what(self, rec: r.Interrupted) -> str:
        """The interrupt; a call planned while somebody speaks repeats the onset that is known already."""
        happened = rec.interrupt
        if isinstance(happened, BargeIn) and happened.stage == "onset" and happened.onset:
            if happened.onset in self._onsets:
                return f"is still speaking (onset {happened.onset})"
            self._onsets.add(happened.onset)
        return interrupted(happened)

    def heard(self, rec: r.Heard) -> Said:
        """Words of the caller."""
        late = ", transcribed late" if rec.late else ""
        return [("caller", f"{quoted(rec.text, 400)} ({rec.kind or 'not classified'}{late})")]

    def said(self, rec: r.Said) -> Said:
        """Words of the agent."""
        unheard = f" [not heard: {quoted(rec.unheard, 400)}]" if rec.unheard else ""
        return [("agent", f"{quoted(rec.text, 400)}{unheard}")]

    def spoke(self, rec: r.Spoke) -> Said:
        """The agent's audio."""
        words = {"began": "begins to speak", "ended": "stops speaking", "filler": "speaks a filler"}
        return [("agent", words[rec.what])]

    def handed_off(self, rec: r.HandOffRecord) -> Said:
        """The conversation goes on with another agent."""
        carried = f", carrying {', '.join(self.run(n) for n in rec.carried)}" if rec.carried else ""
        where = "" if rec.same_process else " in another process"
        return [("session", f"handed off from {rec.frm} to {rec.to}{where}{carried}")]

    def accepted(self, rec: r.Accepted) -> Said:
        """The next agent has taken over."""
        where = "" if rec.same_process else f" in process {rec.process}"
        return [("session", f"{rec.agent} takes over from {rec.frm}{where}")]

    def fact_kept(self, rec: r.FactKept) -> Said:
        """Facts were established or taken back."""
        kept = [f"{name} is {_json(r.encoded(value))}" for name, value in rec.facts.items()]
        return [("fact", ", ".join([*kept, *(f"{name} is forgotten" for name in rec.forgotten)]))]

    def recovered(self, rec: r.Recovered) -> Said:
        """A new owner went on."""
        parts = [
            f"{name}: {', '.join(self.run(n) for n in runs)}"
            for name, runs in (("resumed", rec.resumed), ("in doubt", rec.in_doubt), ("stopped", rec.stopped))
            if runs
        ]
        told = "; ".join(parts) or "nothing was open"
        return [("session", f"recovered after {rec.gap_ms / 1000:.1f} s{_why(rec.cause)}: {told}")]

    def rebuilt(self, rec: r.Rebuilt) -> Said:
        """The model's connection was replaced."""
        kept = f", {rec.items_kept} were there" if rec.items_kept else ""
        carried = f"; carried: {', '.join(self.run(n) for n in rec.calls_carried)}" if rec.calls_carried else ""
        shown = f"{rec.items_replayed} items shown again{kept}{carried}"
        return [("session", f"connection rebuilt after {rec.gap_ms / 1000:.1f} s{_why(rec.cause)}: {shown}")]

    def closed(self, rec: r.Closed) -> Said:
        """The session ended."""
        left = f", unanswered: {self.calls(rec.unfinished)}" if rec.unfinished else ""
        return [("session", f"closed: {rec.why}{left}")]

    def noticed(self, rec: r.Noticed) -> Said:
        """Something abnormal."""
        about = f" {self.call(rec.call)}" if rec.call else f" {self.run(rec.run)}" if rec.run else ""
        return [("notice", f"{rec.code}{about}{': ' + cut(rec.text) if rec.text else ''}")]

    def switched(self, rec: r.Switched) -> Said:
        """A person paused or resumed a tool."""
        return [("person", f"{rec.by} {'paused' if rec.paused else 'resumed'} {rec.tool}{_why(rec.reason)}")]

    def unreadable(self, rec: Unreadable) -> Said:
        """A record that nobody can read here."""
        return [("journal", f"a record cannot be read: {rec.why}")]

    # -- calls and runs -------------------------------------------------------------------------------------------

    def called(self, rec: r.Called) -> Said:
        """A call came in."""
        would = f" (enforce would have: {rec.would})" if rec.would and rec.would != rec.verdict else ""
        inside = f", inside {self._state.ref(rec.parent)}" if rec.parent else ""
        arguments = cut(bytes(rec.arguments).decode("utf-8", "replace"))
        how = taken(rec.verdict, rec.points_to)
        return [("agent", f"calls {self.call(rec.call)} {arguments}{inside}: {how}{would}")]

    def began(self, rec: r.Began) -> Said:
        """A body began."""
        again = f", attempt {rec.attempt}" if rec.attempt > 1 else ""
        return [("run", f"{self.run(rec.run)} began{again}")]

    def at_gate(self, rec: r.AtGate) -> Said:
        """A run waits at its gate."""
        return [("gate", f"{self.run(rec.run)} waits, held by {', '.join(rec.held_by) or 'nothing'}")]

    def checkpointed(self, rec: r.Checkpointed) -> Said:
        """Progress."""
        return [("run", f"{self.run(rec.run)} kept {cut(bytes(rec.progress).decode('utf-8', 'replace'))}")]

    def step_kept(self, rec: r.StepKept) -> Said:
        """A step's result."""
        return [("run", f"{self.run(rec.run)} kept step {rec.name}")]

    def commit_began(self, rec: r.CommitBegan) -> Said:
        """The point of no return."""
        again = f", attempt {rec.attempt}" if rec.attempt > 1 else ""
        return [("commit", f"{self.run(rec.run)} passes the point of no return, key {rec.key}{again}")]

    def stopped(self, rec: r.Stopped) -> Said:
        """Stopped before its effect."""
        return [("run", f"{self.run(rec.run)} stopped before its effect: {cut(rec.reason)}")]

    def lost(self, rec: r.Lost) -> Said:
        """Let go."""
        run = self._state.runs.get(rec.run)
        stands = run.phase.value.replace("_", " ") if run is not None else "unknown"
        return [("run", f"{self.run(rec.run)} was let go, it is {stands}: {cut(rec.why)}")]

    def never_committed(self, rec: r.NeverCommitted) -> Said:
        """Returned without committing."""
        return [("run", f"{self.run(rec.run)} returned without committing, it is in doubt")]

    def replanned(self, rec: r.Replanned) -> Said:
        """A retry with a new key."""
        return [("run", f"{self.run(rec.new)} is tried again as occurrence {rec.occurrence}")]

    def contradicted(self, rec: r.Contradicted) -> Said:
        """Late evidence."""
        return [("run", f"{self.run(rec.run)} did happen after all, says its {rec.source}: {_json(rec.result)}")]

    # -- delivery -------------------------------------------------------------------------------------------------

    def answered(self, rec: r.Answered) -> Said:
        """An answer was decided."""
        kind = "placeholder" if rec.interim else "answer"
        return [("answer", f"{kind} for {self.call(rec.call)}: {rec.form}")]

    def noted(self, rec: r.Noted) -> Said:
        """News after the output."""
        return [("answer", f"note about {self.calls(rec.calls)}: {rec.form}")]

    def sent(self, rec: r.Sent) -> Said:
        """Given to the provider."""
        what = "note" if rec.note else "output"
        again = " again" if rec.again else ""
        return [("sent", f"{what} for {self.calls(rec.calls)}: {rec.form}, context {rec.context}{again}")]

    def delivered(self, rec: r.Delivered) -> Said:
        """Confirmed by the provider."""
        items = self._state.items
        names = [self.call(items[item]) if item in items else item for item in rec.items]
        return [("delivered", ", ".join(names))]

    def acknowledged(self, rec: r.Acknowledged) -> Said:
        """Heard by the caller."""
        return [("caller", f"heard the outcome of {self.calls(rec.calls)} and went on")]

    def reply_asked(self, rec: r.ReplyAsked) -> Said:
        """The model was asked to speak."""
        about = f" about {self.calls(rec.calls)}" if rec.calls else ""
        return [("answer", f"the agent is asked to speak{about}")]

    def _outcome(self, rec: r.Returned | r.Failed, began: int) -> Said:
        run = self._state.runs.get(rec.run)
        took = f" after {(run.ended_at - began) / 1e9:.3f} s" if run is not None and run.ended_at >= began > 0 else ""
        who = "run" if rec.source == "body" else rec.source
        seen = f", {rec.by} saw it: {cut(rec.evidence)}" if rec.by else ""
        seen = seen or (f", seen: {cut(rec.evidence)}" if rec.evidence else "")
        if isinstance(rec, r.Failed):
            why = f"{rec.code}: {cut(rec.message)}" if rec.message else rec.code
            return [(who, f"{self.run(rec.run)} failed{took}, nothing happened ({why}){seen}")]
        warning = f" [{cut(rec.warning)}]" if rec.warning else ""
        return [(who, f"{self.run(rec.run)} done{took}: {_json(rec.result)}{warning}{seen}")]


def _why(text: str) -> str:
    return f" ({cut(text)})" if text else ""


def _json(raw: bytes) -> str:
    return cut(bytes(raw).decode("utf-8", "replace"))


_WORDS = cast(
    "dict[type[r.Record], Callable[[Teller, Any], Said]]",
    {
        r.Opened: Teller.opened, r.ContextOpened: Teller.context_opened, r.Called: Teller.called,
        r.Began: Teller.began, r.AtGate: Teller.at_gate, r.Checkpointed: Teller.checkpointed,
        r.StepKept: Teller.step_kept, r.CommitBegan: Teller.commit_began, r.Stopped: Teller.stopped,
        r.Lost: Teller.lost, r.NeverCommitted: Teller.never_committed, r.Replanned: Teller.replanned,
        r.Contradicted: Teller.contradicted, r.Interrupted: Teller.interrupted, r.Heard: Teller.heard,
        r.Said: Teller.said, r.Spoke: Teller.spoke, r.Answered: Teller.answered, r.Noted: Teller.noted,
        r.Sent: Teller.sent, r.Delivered: Teller.delivered, r.Acknowledged: Teller.acknowledged,
        r.ReplyAsked: Teller.reply_asked, r.HandOffRecord: Teller.handed_off, r.Accepted: Teller.accepted,
        r.FactKept: Teller.fact_kept, r.Recovered: Teller.recovered, r.Rebuilt: Teller.rebuilt,
        r.Noticed: Teller.noticed, r.Switched: Teller.switched, r.Closed: Teller.closed,
        Unreadable: Teller.unreadable,
    },
)  # fmt: skip
