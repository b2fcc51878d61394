"""Outcomes that the caller never heard (O8)."""

from __future__ import annotations

import msgspec

from toolguard.core.state import State


class Unheard(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome that the caller never heard.

    Attributes:
        ref: The call.
        tool: The tool's name.
        phase: ``done``, ``in_doubt``, ``failed`` or ``cancelled``.
        arguments: Its arguments as JSON.
        result: Its result as JSON.
        offer_undo: Whether the caller asked to take it back after it was done.
    """

    ref: str
    tool: str
    phase: str
    arguments: msgspec.Raw
    result: msgspec.Raw
    offer_undo: bool = False


def unheard_of(state: State) -> list[Unheard]:
    """Writes of a session whose outcome no caller has acknowledged."""
    out: list[Unheard] = []
    for run in state.runs.values():
        if not run.effect.writes or run.parent or not run.settled:
            continue
        if any(state.slots[call].acknowledged for call in run.calls):
            continue
        out.append(
            Unheard(
                ref=state.run_ref(run),
                tool=run.tool,
                phase=run.phase.value,
                arguments=msgspec.Raw(run.arguments),
                result=msgspec.Raw(run.result),
                offer_undo=run.offer_undo,
            )
        )
    return out
