"""Which row and column of a policy table a call and an interrupt fall into (G4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from toolguard.core.interrupt import BargeIn, Discarded, Dropped, Ended, HandedOff

if TYPE_CHECKING:
    from toolguard.core.call import ToolCall
    from toolguard.core.interrupt import Interrupt

Row: TypeAlias = Literal["read", "uncommitted_write", "committing", "ended"]
"""Which kind of run: ``committing`` is every write past its point of no return, ``ended`` a write without effect."""

Column: TypeAlias = Literal[
    "onset",
    "hold_on",
    "noise",
    "backchannel",
    "addition",
    "other_topic",
    "answer",
    "correction",
    "cancellation",
    "discarded",
    "hand_off",
    "provider_drop",
    "caller_drop",
    "hang_up",
    "shutdown",
]
"""What an interrupt means for one call."""


def row(call: ToolCall) -> Row:
    """The row of a call: a read, a write before its commit, a write past it, or a write that ended without effect."""
    if not call.effect.writes:
        return "read"
    if call.phase.uncommitted:
        return "uncommitted_write"
    return "committing" if call.committed else "ended"


def column(interrupt: Interrupt, call: ToolCall) -> Column:
    """What ``interrupt`` means for ``call`` (G4).

    A correction or cancellation concerns the calls that it names; one that names none concerns every uncommitted
    write. For a call that it does not concern it is an addition. ``stop`` is a cancellation. Words that the
    listener is not sure of count as a correction for an uncommitted write and as an addition for everything else.
    A retracted onset is noise.

    Args:
        interrupt: What happened.
        call: The call that is asked about.

    Returns:
        The name of the column.
    """
    match interrupt:
        case BargeIn():
            return _heard(interrupt, call)
        case Discarded():
            return "discarded"
        case HandedOff():
            return "hand_off"
        case Dropped(who=who):
            return "provider_drop" if who == "provider" else "caller_drop"
        case Ended(why=why):
            return "hang_up" if why == "hang_up" else "shutdown"
        case _:
            assert_never(interrupt)


def _heard(barge_in: BargeIn, call: ToolCall) -> Column:
    if barge_in.stage == "onset":
        return "onset"
    if barge_in.stage == "retracted":
        return "noise"
    uncommitted_write = row(call) == "uncommitted_write"
    kind = barge_in.kind if barge_in.sure else "unknown"
    match kind:
        case None | "unknown":
            return "correction" if uncommitted_write else "addition"
        case "correction" | "cancellation" | "stop":
            if not (call.ref in barge_in.concerns if barge_in.concerns else uncommitted_write):
                return "addition"
            return "correction" if kind == "correction" else "cancellation"
        case _:
            return kind
