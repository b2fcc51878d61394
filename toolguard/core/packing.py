"""Makes a handoff packet of a session's state: the newest truth, each call with what its model is to read (O11)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from toolguard.core.carried import CarriedCall, PacketItem, Promise
from toolguard.core.cue import cue_for
from toolguard.core.envelope import envelope
from toolguard.core.law import Phase
from toolguard.core.outbox import answer_anew, interim
from toolguard.core.packet import HandoffPacket
from toolguard.core.redact import clear, hiding, redacted, redacted_text

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping
    from datetime import datetime

    from toolguard.core.carried import Standing
    from toolguard.core.conversation import Item
    from toolguard.core.redact import Redact
    from toolguard.core.slots import Run, Slot
    from toolguard.core.state import State

_STATES: dict[Phase, Standing] = {
    Phase.DONE: "done",
    Phase.IN_DOUBT: "in_doubt",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "cancelled",
}
_LEFT_OUT = frozenset({"incomplete", "withdrawn"})
"""Forms of calls that were never whole, or that the provider has taken back: no pair of them can be shown (O10)."""


_NONE: Mapping[str, Redact] = MappingProxyType({})


class Ticket(NamedTuple):
    """What makes a packet this one and no other: who hands over to whom, when, until when, in which call (its run)."""

    id: str
    frm: str
    to: str
    made_at: datetime
    expires_at: datetime
    run: int = 0


def packet_of(
    state: State,
    ticket: Ticket,
    redact: Redact | None = None,
    landing: Container[int] = frozenset(),
    marked: Callable[[str], frozenset[str]] = lambda _tool: frozenset(),
) -> HandoffPacket:
    """Make the packet, not signed yet.

    Args:
        state: The session.
        ticket: The hand-off; ``run`` is that of the hand-off tool, whose call counts as done (H3).
        redact: What of a field may be handed on.
        landing: Runs whose outcome is not on disk yet: they count as running (W3).
        marked: Names a tool's secret parameters: they are hidden wherever the tool's call is told.
    """
    rules = {tool: hiding(names, redact) for tool in _tools(state) if (names := marked(tool))}
    calls = tuple(
        _carried(state, run, ticket, rules.get(run.tool, redact), landing)
        for run in state.runs.values()
        if not run.parent
    )
    items = tuple(items_of(state, redact, landing, rules, handing_over=ticket.run))
    promises = tuple(_promises(state, ticket.run, landing))
    pending = pending_of(items)
    return HandoffPacket(
        id=ticket.id,
        session=state.session,
        tenant=state.tenant,
        frm=ticket.frm,
        to=ticket.to,
        made_at=ticket.made_at,
        expires_at=ticket.expires_at,
        items=items,
        calls=calls,
        facts=clear(state.facts, redact) if redact is not None else dict(state.facts),
        pending=pending,
        promises=promises,
        cue=cue_for(ticket.frm, ticket.to, pending, promises),
    )


def items_of(
    state: State,
    redact: Redact | None = None,
    landing: Container[int] = frozenset(),
    rules: Mapping[str, Redact] = _NONE,
    *,
    handing_over: int = 0,
) -> Iterator[PacketItem]:
    """The conversation as a model is to see it anew: words as heard, whole calls with their outputs, no notes (O11).

    A result stands where its call is; a note that told of it later has gone into it.
    """
    shown: set[int] = set()
    for item in state.conversation.items:
        if item.kind in {"caller", "agent"}:
            if item.text.strip():
                yield _words(item)
        elif item.kind == "call":
            slot = state.slots[item.call]
            if slot.sent_form not in _LEFT_OUT and (slot.answer is None or slot.answer.form not in _LEFT_OUT):
                yield _call(state, slot, shown, rules.get(slot.tool, redact), landing, handing_over)


def _tools(state: State) -> set[str]:
    return {slot.tool for slot in state.slots.values()}


def pending_of(items: tuple[PacketItem, ...]) -> tuple[str, ...]:
    """The caller's words behind the last words of an agent."""
    words: list[str] = []
    for item in reversed(items):
        if item.kind == "agent":
            break
        if item.kind == "caller":
            words.append(item.text)
    return tuple(reversed(words))


def final_runs(state: State, landing: Container[int] = frozenset()) -> tuple[int, ...]:
    """Runs whose last word a rendering of the state shows: what a new context has seen from its beginning (O3)."""
    return tuple(
        run.number
        for run in state.runs.values()
        if (run.phase.final or run.contradicted or run.abandoned) and run.number not in landing
    )


def _words(item: Item) -> PacketItem:
    kind: Literal["caller", "agent"] = "caller" if item.kind == "caller" else "agent"
    return PacketItem(kind=kind, text=item.text)


def _call(
    state: State, slot: Slot, shown: set[int], redact: Redact | None, landing: Container[int], handing_over: int
) -> PacketItem:
    run = state.runs.get(slot.run)
    if run is not None and run.number == handing_over and (not run.phase.final or run.number in landing):
        text = envelope("handed_off", ref=state.ref(slot.number), tool=slot.tool)
    elif slot.run in landing:
        text = interim(state, slot).text
    else:
        answer = answer_anew(state, slot, shown) or interim(state, slot)
        text = answer.text
    return PacketItem(
        kind="call",
        text=redacted_text(text, redact),
        ref=state.ref(slot.number),
        tool=slot.tool,
        call_id=slot.call_id,
        arguments=redacted(slot.arguments, redact),
        effect=slot.effect,
        state=_standing(run, handing_over, landing) if run is not None else "",
    )


def _standing(run: Run, handing_over: int, landing: Container[int]) -> Standing:
    if run.contradicted or (run.number == handing_over and run.phase.open):
        return "done"
    if run.number in landing:
        return "running"
    return _STATES.get(run.phase, "running")


def _carried(state: State, run: Run, ticket: Ticket, redact: Redact | None, landing: Container[int]) -> CarriedCall:
    first = state.slots.get(run.calls[0]) if run.calls else None
    progress = msgspec.json.encode(run.progress) if run.progress else b"{}"
    return CarriedCall(
        ref=state.run_ref(run),
        tool=run.tool,
        effect=run.effect,
        state=_standing(run, ticket.run, landing),
        agent=first.agent if first is not None else "",
        arguments=redacted(run.arguments, redact),
        result=redacted(run.result if run.number not in landing else b"null", redact),
        why=run.warning if run.happened else run.message if run.settled else "",
        progress=redacted(progress, redact),
        told=_told(state, run),
    )


def _told(state: State, run: Run) -> bool:
    return any(state.slots[call].acknowledged for call in run.calls)


def _promises(state: State, handing_over: int, landing: Container[int]) -> Iterator[Promise]:
    for run in state.runs.values():
        if run.parent or run.number == handing_over or run.filed:
            continue
        ref, tool = state.run_ref(run), run.tool
        if (run.phase.open and not run.abandoned) or run.number in landing:
            yield Promise(ref=ref, tool=tool, what="running")
        elif run.phase is Phase.IN_DOUBT:
            yield Promise(ref=ref, tool=tool, what="in_doubt")
        elif not _told(state, run) and not _withheld(state, run):
            yield Promise(ref=ref, tool=tool, what="not_told")


def _withheld(state: State, run: Run) -> bool:
    """Whether nobody is to be told: a read that nobody wants any more, a silent one, one that was stopped."""
    slots = [state.slots[call] for call in run.calls]
    unwanted = bool(slots) and all(slot.filed or (slot.detached and not run.effect.writes) for slot in slots)
    return unwanted or run.announce == "silent" or run.terminal
