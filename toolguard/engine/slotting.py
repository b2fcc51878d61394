"""A call as it came, the record of its slot, and the reasons not to run it that need no judging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.law import Phase

if TYPE_CHECKING:
    from toolguard.core.slots import Slot
    from toolguard.core.state import State
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool

FORMS: dict[str, r.Form] = {
    "differs": "differs", "confirm": "already_done", "refuse": "already_done", "in_doubt": "in_doubt",
    "breaker": "breaker", "invalid": "invalid", "unknown_tool": "unknown_tool", "conflict": "conflict",
    "paused": "paused", "not_run": "not_run", "incomplete": "incomplete", "discarded": "superseded",
    "unavailable": "unavailable", "stored": "already_done",
}  # fmt: skip
"""What a call is answered that is neither run nor attached to a run."""


class Arrival(NamedTuple):
    """A call as it came: the provider's id, the order that it was issued in, where it belongs, and who takes it.

    ``behind`` is a call that has to end first, where the framework makes one call after the other.
    """

    call_id: str = ""
    name: str = ""
    generation: str = ""
    batch: int = 0
    place: int = 0
    item: str = ""
    number: int = 0
    parent: int = 0
    process: str = ""
    behind: int = 0


def arrival_of(slot: Slot) -> Arrival:
    """The call as it came, from its slot."""
    return Arrival(
        slot.call_id, slot.tool, slot.generation, slot.batch, slot.index, slot.item, slot.number, slot.parent
    )


def called(
    state: State,
    arrival: Arrival,
    tool: Tool[Any, Any] | None,
    arguments: Arguments | None,
    verdict: r.Verdict,
    *,
    intent: str = "",
    run: int = 0,
    occurrence: int = 0,
    points_to: str = "",
) -> r.Called:
    """The record that opens a slot."""
    spec = tool.spec if tool is not None else None
    return r.Called(
        call=arrival.number,
        call_id=arrival.call_id,
        tool=arrival.name,
        verdict=verdict,
        effect=spec.effect if spec is not None else Effect.READ,
        agent=state.agent,
        context=state.context,
        generation=arrival.generation,
        batch=arrival.batch,
        index=arrival.place,
        item=arrival.item,
        arguments=msgspec.Raw(arguments.json) if arguments is not None else msgspec.Raw(b"{}"),
        fingerprint=arguments.fingerprint if arguments is not None else "",
        intent=intent,
        occurrence=occurrence,
        run=run,
        points_to=points_to,
        parent=arrival.parent,
        terminal=spec.terminal if spec is not None else False,
        version=spec.version if spec is not None else "",
        scope=spec.scope if spec is not None else "",
        announce=spec.announce if spec is not None else "at_once",
        after_turn=state.turns,
        process=arrival.process,
    )


def barred(
    state: State, tool: Tool[Any, Any], intent: str, now: int, *, paused: str, unrecorded: bool, nested: bool
) -> tuple[r.Verdict, str] | None:
    """Why a call must not run, whatever was done before: paused, no safe record, too often, not its turn (S7, O9)."""
    spec = tool.spec
    if paused:
        return "paused", paused
    if spec.effect is Effect.MUTATION and unrecorded:
        return "unavailable", ""
    if nested:
        return None
    if state.too_often(tool.name, intent, spec.max_calls, now):
        return "breaker", ""
    for name in spec.requires:
        before = [run for run in state.runs.values() if run.tool == name]
        if not before:
            return "not_run", f"{name} has to be done first."
        if before[-1].phase is not Phase.DONE and not before[-1].phase.open:
            return "not_run", f"{name} did not succeed."
    return None
