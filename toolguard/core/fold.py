"""How each record changes the state: one small function a kind, in one table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from toolguard.core import records as r
from toolguard.core.account import EVENTS, INTERIM, QUIET
from toolguard.core.fold_runs import DETAIL
from toolguard.core.holding import hold, planned
from toolguard.core.interrupt import Discarded
from toolguard.core.law import Phase, Ruling
from toolguard.core.slots import Answer, Run, Slot, run_of, slot_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.account import Account


def _opened(s: Account, rec: r.Opened, _at: int) -> None:
    s.tenant, s.caller, s.agent, s.evidence, s.mode = rec.tenant, rec.caller, rec.agent, rec.evidence, rec.mode
    s.closed, s.process = "", rec.process


def _context_opened(s: Account, rec: r.ContextOpened, _at: int) -> None:
    s.context, s.agent = rec.context, rec.agent
    s.open_batches.clear()
    s.closed_batches.clear()
    s.owed.update(s.slots[call].run for call in s.unsent if s.slots[call].run)
    for run in rec.shows:
        if run in s.runs:
            s.runs[run].shown = rec.context
    s.owed.difference_update(rec.shows)


def _count(s: Account, rec: r.Called, at: int) -> None:
    """Count an answer for the breaker (S7); a child has none."""
    if rec.parent:
        return
    if not s.heard and at - s.repeats_since > QUIET:
        s.repeats.clear()
    if not s.repeats:
        s.repeats_since = at
    for key in (rec.intent or rec.tool, f"tool:{rec.tool}"):
        s.repeats[key] = s.repeats.get(key, 0) + 1


def _called(s: Account, rec: r.Called, at: int) -> None:
    slot, older = slot_of(rec, at), s.slots.get(rec.call)
    s.slots[rec.call] = slot
    if older is not None:
        _judged_anew(s, slot, older)
    else:
        _taken(s, rec, at)
    if rec.verdict in {"run", "wait"} and rec.run not in s.runs:
        s.runs[rec.run] = run_of(rec, at, s.writes)
        s.open_runs.add(rec.run)
        if rec.intent:
            s.newest[rec.intent] = rec.run
        _undoing(s, s.runs[rec.run])
        planned(s, s.runs[rec.run])
    elif rec.verdict in {"confirm", "differs"}:
        s.offers[rec.intent, rec.fingerprint] = (rec.after_turn, at)
    run = s.runs.get(rec.run)
    if run is not None and rec.call not in run.calls:
        run.calls.append(rec.call)
    if rec.batch and rec.batch not in s.closed_batches:
        s.open_batches.add(rec.batch)


def _taken(s: Account, rec: r.Called, at: int) -> None:
    """A call that was not seen before."""
    if not rec.parent:
        s.unsent.add(rec.call)
        s.conversation.add("call", at, call=rec.call)
    if rec.call_id and rec.verdict != "conflict":
        s.by_call_id.setdefault((rec.context, rec.call_id), rec.call)
    _count(s, rec, at)


def _judged_anew(s: Account, slot: Slot, older: Slot) -> None:
    """What the call waited for has become free: it does it itself (T3)."""
    slot.inherit(older)
    if slot.sent_interim and slot.run:
        s.owed.add(slot.run)


def _undoing(s: Account, run: Run) -> None:
    """Recognise the call that takes an earlier one back (S2)."""
    taken = s.undos.get((run.tool, run.fingerprint))
    if taken is not None and not s.runs[taken].undone:
        run.undoes = taken
        s.runs[taken].undone_by = run.number


def _run_event(s: Account, rec: r.RunRecord, at: int) -> None:
    run = s.runs.get(rec.run)
    if run is None:
        s.excluded += 1
        return
    ruling, phase = s.ruling(rec)
    if ruling is not Ruling.ADMITTED:
        s.excluded += 1
        if isinstance(rec, r.Returned) and ruling is Ruling.CONTRADICTS:  # its process had not heard of the end (T1)
            _contradicted(s, r.Contradicted(run=rec.run, attempt=rec.attempt, result=rec.result, source=rec.source), at)
        return
    run.attempt = max(run.attempt, rec.attempt)
    was, run.phase = run.phase, phase
    DETAIL[type(rec)](s, run, rec, at)
    if phase is Phase.IN_DOUBT:
        s.doubtful.add(run.number)
    else:
        s.doubtful.discard(run.number)
    if phase is not was and not phase.open:
        run.ended_at = at
        s.open_runs.discard(run.number)


def _replanned(s: Account, rec: r.Replanned, at: int) -> None:
    old = s.runs.get(rec.run)
    if old is None:
        return
    run = replace(
        old,
        number=rec.new,
        occurrence=rec.occurrence,
        planned_at=at,
        phase=Phase.PLANNED,
        attempt=0,
        given_up=0,
        key="",
        calls=list(old.calls),
        code="",
        message="",
        progress={},
        memos={},
    )
    s.runs[rec.new] = run
    s.open_runs.add(rec.new)
    s.newest[run.intent] = rec.new
    if run.concerned:
        s.concerned.add(rec.new)
    for call in run.calls:
        s.slots[call].run = rec.new


def _contradicted(s: Account, rec: r.Contradicted, _at: int) -> None:
    run = s.runs.get(rec.run)
    if run is not None:
        run.contradicted, run.result, run.shown = True, bytes(rec.result), -1
        s.owed.add(run.number)


def _interrupted(s: Account, rec: r.Interrupted, _at: int) -> None:
    s.undecided = ""
    if rec.would:
        return
    hold(s, rec)
    for decided in rec.decisions:
        run = s.runs.get(decided.run)
        if run is None:
            continue
        run.concerned = run.concerned or decided.concerned
        if decided.choice == "stop":
            run.stopping = run.stopping or decided.reason or "the caller changed course"
        run.offer_undo = run.offer_undo or decided.offer_undo
        run.announce = decided.announce or run.announce
    s.concerned.update(one.run for one in rec.decisions if one.concerned and one.run in s.runs)
    for call in rec.filed:
        if call in s.slots:
            s.slots[call].filed = True
    if isinstance(rec.interrupt, Discarded):
        for slot in (s.slots[call] for call in s.unsent):
            slot.detached = slot.detached or (slot.generation == rec.interrupt.generation and not slot.sent)


def _heard(s: Account, rec: r.Heard, at: int) -> None:
    s.heard, s.undecided = max(s.heard, rec.turn), rec.kind
    if rec.kind in {"noise", "backchannel"}:
        return
    s.conversation.add("caller", rec.spoken_at or at, text=rec.text)
    s.turns += 1
    s.repeats.clear()
    if rec.kind != "other_topic":
        s.spoken = max(s.spoken, rec.spoken_at or at)


def _said(s: Account, rec: r.Said, at: int) -> None:
    s.conversation.add("agent", at, text=rec.text, unheard=rec.unheard)


def _batch_closed(s: Account, rec: r.BatchClosed, _at: int) -> None:
    s.open_batches.discard(rec.batch)
    s.closed_batches.add(rec.batch)


def _answered(s: Account, rec: r.Answered, _at: int) -> None:
    slot = s.slots.get(rec.call)
    if slot is not None and not slot.sent:
        slot.answer = Answer(rec.form, rec.text, rec.reply, rec.interim)


def _sent(s: Account, rec: r.Sent, at: int) -> None:
    for call in rec.calls:
        slot = s.slots.get(call)
        if slot is None:
            continue
        if not rec.note:
            slot.sent, slot.sent_form, slot.sent_interim = rec.item, rec.form, rec.form in INTERIM
            s.unsent.discard(call)
            s.items[rec.item] = call
            if slot.sent_interim and slot.run:
                s.owed.add(slot.run)
            s.conversation.add("output", at, call=call)
    run = s.runs.get(rec.run)
    if run is not None and rec.form not in INTERIM:
        run.shown = rec.context
        s.owed.discard(rec.run)
    if rec.note:
        s.conversation.add("note", at, run=rec.run)


def _delivered(s: Account, rec: r.Delivered, _at: int) -> None:
    for item in rec.items:
        call = s.items.get(item)
        if call is not None:
            s.slots[call].delivered = True


def _acknowledged(s: Account, rec: r.Acknowledged, _at: int) -> None:
    for call in rec.calls:
        if call in s.slots:
            s.slots[call].acknowledged = True


def _handed_off(s: Account, rec: r.HandOffRecord, _at: int) -> None:
    s.agent, s.handed = rec.to, rec


def _accepted(s: Account, rec: r.Accepted, _at: int) -> None:
    s.agent = rec.agent


def _fact_kept(s: Account, rec: r.FactKept, _at: int) -> None:
    s.facts.update(rec.facts)
    for name in rec.forgotten:
        s.facts.pop(name, None)


def _closed(s: Account, rec: r.Closed, _at: int) -> None:
    s.closed = rec.why


APPLY = cast(
    "dict[type[r.Record], Callable[[Account, Any, int], None]]",
    {
        r.Opened: _opened, r.ContextOpened: _context_opened, r.Called: _called, r.Contradicted: _contradicted,
        r.Replanned: _replanned,
        r.Interrupted: _interrupted, r.Heard: _heard, r.Said: _said, r.BatchClosed: _batch_closed,
        r.Answered: _answered, r.Sent: _sent, r.Delivered: _delivered, r.Acknowledged: _acknowledged,
        r.HandOffRecord: _handed_off, r.Accepted: _accepted, r.FactKept: _fact_kept, r.Closed: _closed,
        **dict.fromkeys(EVENTS, _run_event),
    },
)  # fmt: skip
