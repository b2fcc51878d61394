"""Short sentences for interrupts and verdicts, as the trail and the timeline show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from toolguard.audit.plain import quoted
from toolguard.core.interrupt import BargeIn, Discarded, Dropped, Ended, HandedOff

if TYPE_CHECKING:
    from toolguard.core.interrupt import Interrupt
    from toolguard.core.records import Verdict

_VERDICTS: dict[Verdict, str] = {
    "run": "planned",
    "wait": "planned, runs after {first}",
    "join": "joins {first}",
    "replay": "answered with the result of {first}",
    "differs": "not run: {first} stands with other details",
    "confirm": "not run: {first} has done this, to be confirmed",
    "refuse": "not run: {first} has done this",
    "in_doubt": "not run: {first} is in doubt",
    "breaker": "not run: called too often",
    "invalid": "not run: its arguments do not fit",
    "unknown_tool": "not run: there is no such tool",
    "conflict": "not run: its call id was used with other arguments",
    "paused": "not run: the tool is paused",
    "not_run": "not run: something it requires is not done",
    "incomplete": "not run: the call broke off",
    "discarded": "not run: its response was discarded",
    "unavailable": "not run: its record cannot be written",
    "stored": "answered with what is stored",
}


def taken(verdict: Verdict, first: str) -> str:
    """How a call was taken."""
    return _VERDICTS[verdict].format(first=first or "an earlier call")


def interrupted(interrupt: Interrupt) -> str:
    """What happened, for people."""
    match interrupt:
        case BargeIn():
            return _barge_in(interrupt)
        case Discarded():
            return f"response {interrupt.generation} was discarded".replace("  ", " ")
        case HandedOff():
            where = "in this process" if interrupt.same_process else "to another process"
            return f"handed off to {interrupt.to} ({where})"
        case Dropped():
            return f"the {interrupt.who}'s line dropped"
        case Ended():
            return "the conversation ended" if interrupt.why == "hang_up" else "the process went down"
        case _:
            assert_never(interrupt)


def _barge_in(interrupt: BargeIn) -> str:
    onset = f" (onset {interrupt.onset})" if interrupt.onset else ""
    if interrupt.stage == "onset":
        return f"the caller began to speak{onset}"
    if interrupt.stage == "retracted":
        return f"it was no speech after all{onset}"
    words = f"the caller said {quoted(interrupt.said)}" if interrupt.said else "the caller's speech settled"
    kind = interrupt.kind or "unknown"
    sure = "" if interrupt.sure or kind == "unknown" else f", confidence {interrupt.confidence:g}"
    about = f", about {', '.join(sorted(interrupt.concerns))}" if interrupt.concerns else ""
    return f"{words}: {kind}{sure}{about}{onset}"
