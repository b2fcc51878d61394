"""Ordered delivery, pure: which answers may leave now, which news is due, what each of them says (rules O1-O8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.core.envelope import envelope, plain
from toolguard.core.law import Phase
from toolguard.core.slots import Answer
from toolguard.core.state import INTERIM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from toolguard.core.records import Form
    from toolguard.core.slots import Run, Slot
    from toolguard.core.state import State


_TOO_LATE = "The caller asked to change or cancel this when it could no longer be stopped: say so truthfully."


def answer_of(state: State, slot: Slot) -> Answer | None:
    """The answer of a slot as things stand, or None while it has none.

    A decided answer stands; otherwise the run that the slot is attached to answers: with its result, with a pointer
    where this context has seen the result already (O3), or with what is known instead.
    """
    return _answer(state, slot, lambda run: run.shown == state.context)


def answer_anew(state: State, slot: Slot, shown: set[int]) -> Answer | None:
    """The answer of a slot in a context that begins now; ``shown`` collects the runs whose result it has seen (O11)."""
    answer = _answer(state, slot, lambda run: run.number in shown)
    if answer is not None and answer.form in {"result", "replayed"}:
        shown.add(slot.run)
    return answer


def _answer(state: State, slot: Slot, seen: Callable[[Run], bool]) -> Answer | None:
    run = state.runs.get(slot.run)
    if slot.answer is not None and not (slot.answer.interim and run is not None and run.phase.final):
        return slot.answer
    if run is None or not (run.settled or run.abandoned):
        return slot.answer
    return _of_run(state, slot, run, seen=seen(run))


def stored(state: State, slot: Slot) -> Answer | None:
    """The answer of a slot as it has left already: who asks again is told the same (I04, O4)."""
    return _answer(state, slot, lambda run: slot.sent_form != "result" and run.shown == state.context)


def _of_run(state: State, slot: Slot, run: Run, *, seen: bool) -> Answer:
    ref, first = state.ref(slot.number), state.run_ref(run)
    own = bool(run.calls) and run.calls[0] == slot.number and slot.verdict in {"run", "wait"}
    reply = run.announce != "silent" and not slot.filed and not slot.terminal
    if slot.verdict == "differs" and run.phase is not Phase.CANCELLED and run.phase is not Phase.FAILED:
        known = run.result if run.happened else None
        text = envelope("differs", ref=ref, tool=slot.tool, first=first, result=known)
        return Answer("differs", text, reply=True, interim=False)
    if run.happened:
        if slot.detached and not run.effect.writes:
            return Answer("superseded", envelope("superseded", ref=ref, tool=slot.tool), reply=False, interim=False)
        joined = not slot.terminal and slot.verdict == "join"  # a repeated ending is told that it is one
        if (own or joined) and not seen and not run.concerned and not run.warning:
            return Answer("result", plain(run.result), reply, interim=False)
        return _with_facts(state, slot, run, reply=reply, seen=seen)
    if run.phase is Phase.CANCELLED:
        ended: Form = "superseded" if slot.detached else "cancelled"
        text = envelope(ended, ref=ref, tool=slot.tool, why=run.message)
        return Answer(ended, text, reply and not slot.detached, interim=False)
    if run.phase is Phase.IN_DOUBT:
        return Answer("in_doubt", envelope("in_doubt", ref=ref, tool=slot.tool, first=first), reply, interim=True)
    form: Form = "unavailable" if run.code in _UNAVAILABLE else "refused" if run.refused else "error"
    text = envelope(form, ref=ref, tool=slot.tool, why=run.message or run.code, more={"code": run.code})
    return Answer(form, text, reply, interim=False)


_UNAVAILABLE = frozenset({"commit_not_recorded", "store_unavailable", "lease_short"})
"""Codes of runs that the store kept from beginning."""


def _with_facts(state: State, slot: Slot, run: Run, *, reply: bool, seen: bool) -> Answer:
    """A result that needs words beside it: a replay, a change of mind after the commit, a warning."""
    first = state.run_ref(run)
    own = bool(run.calls) and run.calls[0] == slot.number
    why: dict[str, object] = {}
    if run.concerned:
        why["note"] = _TOO_LATE
        why["undo"] = _undo(run)
    if run.warning:
        why["warning"] = run.warning
    if own and not seen:
        text = envelope("done", ref=state.ref(slot.number), tool=slot.tool, result=run.result, more=why)
        return Answer("result", text, reply, interim=False)
    text = envelope("replayed", ref=state.ref(slot.number), tool=slot.tool, first=first, result=run.result, more=why)
    return Answer("replayed", text, reply, interim=False)


def _undo(run: Run) -> object:
    """What the model is told about taking it back: only what the tool declares, only while it stands (S2)."""
    if not run.offer_undo or run.undo is None or run.undone:
        return None
    return {"offer": "ask the caller whether to undo it", "tool": run.undo.tool, "arguments": run.undo.arguments}


def leavable(state: State) -> Iterator[tuple[Slot, Answer]]:
    """Answers that may leave now: in call order, none overtaking an earlier call that has no answer yet (O1).

    Each is made when it is asked for, after those before it were sent: the second answer of a joined run points to
    the first (O3).
    """
    for slot in sorted((state.slots[n] for n in state.unsent), key=lambda s: s.order):
        if slot.context != state.context:
            continue
        answer = answer_of(state, slot)
        if answer is None:
            return
        yield slot, answer


def unanswered(state: State) -> list[Slot]:
    """Slots of the current context that have no answer yet, in call order."""
    slots = sorted((state.slots[n] for n in state.unsent), key=lambda s: s.order)
    return [slot for slot in slots if slot.context == state.context and answer_of(state, slot) is None]


def news(state: State) -> list[tuple[Run, Answer]]:
    """Notes that are due: runs that ended after their slots had got an interim answer (O3, L4)."""
    due: list[tuple[Run, Answer]] = []
    for run in (state.runs[number] for number in sorted(state.owed)):
        if not (run.phase.final or run.contradicted or run.abandoned):
            continue
        if run.shown == state.context or run.filed or run.parent:
            continue
        slots = [state.slots[number] for number in run.calls]
        told = [slot for slot in slots if (slot.sent or slot.context != state.context) and not slot.filed]
        waiting = any(not slot.sent and slot.context == state.context for slot in slots)
        wrong = run.contradicted or run.misreported
        stale = [slot for slot in told if slot.sent_interim or wrong or slot.context != state.context]
        if not stale or waiting or (slots[0].detached and not run.effect.writes):
            continue
        due.append((run, _note(state, run)))
    return due


def _note(state: State, run: Run) -> Answer:
    refs = ", ".join(state.ref(number) for number in run.calls)
    reply = run.announce != "silent"
    more = _origin(state, run)
    if run.happened:
        words = "done_after_all" if run.contradicted else "done"
        more |= {"undo": _undo(run), "warning": run.warning}
        if run.concerned:
            more["note"] = _TOO_LATE
        return Answer(
            "result", envelope(words, ref=refs, tool=run.tool, result=run.result, more=more), reply, interim=False
        )
    form: Form = "cancelled" if run.phase is Phase.CANCELLED else "refused" if run.refused else "error"
    text = envelope(form, ref=refs, tool=run.tool, why=run.message or run.code, more=more)
    return Answer(form, text, reply, interim=False)


def _origin(state: State, run: Run) -> dict[str, object]:
    """Where news comes from whose call another agent has made: its hand-off (H2, I19)."""
    issued = state.slots[run.calls[0]].agent
    if state.handed is None or issued == state.agent:
        return {}
    return {"issued_by": issued, "hand_off": state.handed.packet}


def asking(state: State, run: Run, question: str) -> Answer:
    """What tells the model to put a question to the caller while a run waits for the answer.

    On record it is a placeholder like any other; only its text is another one.
    """
    text = envelope("needs_approval", ref=state.run_ref(run), tool=run.tool, why=question, more={"ask": question})
    return Answer("still_running", text, reply=True, interim=True)


def interim(state: State, slot: Slot, form: str = "still_running", *, question: str = "") -> Answer:
    """A placeholder for a slot whose run goes on: never the result (I03)."""
    assert form in INTERIM  # noqa: S101 - a mistake of ours, not of a user
    if question and slot.run in state.runs:
        return asking(state, state.runs[slot.run], question)
    run = state.runs.get(slot.run)
    extra: dict[str, object] = {"progress": run.progress} if run is not None and run.progress else {}
    text = envelope(form, ref=state.ref(slot.number), tool=slot.tool, more=extra)
    return Answer("still_running" if form == "still_running" else "not_known_yet", text, reply=False, interim=True)
