"""The default policy as data: what becomes of a run, by interrupt; the README's table is printed from here."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from toolguard.core.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.policies.columns import Column, Row


class Cell(NamedTuple):
    """One cell: what the policy decides, and how people read it.

    Attributes:
        decision: What the policy answers.
        shown: The cell's text in the printed table; where the law does more than the decision, it says what.
    """

    decision: Decision
    shown: str


Table: TypeAlias = "Mapping[tuple[Row, Column], Cell]"
"""Every cell of a policy."""

_go, _hold, _stop = Decision.go_on, Decision.hold, Decision.stop

_READ: dict[Column, Cell] = {
    "onset": Cell(_go("a read goes on while the caller speaks"), "go on"),
    "hold_on": Cell(_go("a read goes on while the caller thinks"), "go on"),
    "noise": Cell(_go("it was no speech"), "go on"),
    "backchannel": Cell(_go("the caller only showed that they listen"), "go on"),
    "addition": Cell(_go("the caller added something", announce="when_idle"), "go on, announce when idle"),
    "other_topic": Cell(_go("the caller spoke of something else", announce="when_idle"), "go on, announce when idle"),
    "answer": Cell(_go("the caller answered", announce="when_idle"), "go on, announce when idle"),
    "correction": Cell(_stop("the caller corrected what was looked up"), "stop, say so"),
    "cancellation": Cell(_stop("the caller does not want it any more"), "stop, say so"),
    "discarded": Cell(
        _go("the response that asked for it was replaced; the result is kept", announce="silent"),
        "go on, keep, do not announce",
    ),
    "hand_off": Cell(_go("the read goes along to the next agent"), "carry"),
    "provider_drop": Cell(_go("the provider's line is gone; the output waits for the next one"), "go on, outputs wait"),
    "caller_drop": Cell(_go("the caller's line is gone; a read goes on"), "go on"),
    "hang_up": Cell(
        _go("the conversation is over; the result is filed", announce="silent"), "finish in the drain window, file"
    ),
    "shutdown": Cell(_go("this process is going down; whoever resumes reads again"), "lost (resumable)"),
}

_UNCOMMITTED: dict[Column, Cell] = {
    "onset": Cell(_hold("the caller is speaking"), "hold"),
    "hold_on": Cell(_hold("the caller asked to wait"), "hold"),
    "noise": Cell(_go("it was no speech"), "release"),
    "backchannel": Cell(_go("the caller only showed that they listen"), "release"),
    "addition": Cell(_go("the caller added something that leaves it as it is"), "release"),
    "other_topic": Cell(_go("the caller spoke of something else"), "release"),
    "answer": Cell(_go("the caller answered"), "release"),
    "correction": Cell(_stop("the caller corrected it, or may have, before its effect"), "stop: no effect"),
    "cancellation": Cell(_stop("the caller cancelled it before its effect"), "stop: no effect"),
    "discarded": Cell(_stop("the response that asked for it was replaced before its effect"), "stop: no effect"),
    "hand_off": Cell(_go("the write goes along to the next agent, with its hold"), "carry with its hold"),
    "provider_drop": Cell(_go("the provider's line is gone; the write goes on to its gate"), "go on to the gate"),
    "caller_drop": Cell(
        _hold("the caller's line is gone; nothing is done until they are back"),
        "gate shut until back or resume window (60 s) ends, then stop",
    ),
    "hang_up": Cell(_stop("the conversation was over before its effect"), "stop: no effect"),
    "shutdown": Cell(_hold("this process is going down; whoever resumes takes it up"), "lost (resumable)"),
}

_PAST = "its effect can no longer be stopped"
_TRUTH = "go on; tell the truth, offer undo"
_COMMITTING: dict[Column, Cell] = {
    "onset": Cell(_go(_PAST), "go on"),
    "hold_on": Cell(_go(_PAST), "go on"),
    "noise": Cell(_go("it was no speech"), "go on"),
    "backchannel": Cell(_go("the caller only showed that they listen"), "go on"),
    "addition": Cell(_go("the caller added something that leaves it as it is"), "go on"),
    "other_topic": Cell(_go("the caller spoke of something else"), "go on"),
    "answer": Cell(_go("the caller answered"), "go on"),
    "correction": Cell(_go("the caller corrected it too late to stop it", offer_undo=True), _TRUTH),
    "cancellation": Cell(_go("the caller cancelled it too late to stop it", offer_undo=True), _TRUTH),
    "discarded": Cell(_go(f"the response that asked for it was replaced; {_PAST}"), "go on; told"),
    "hand_off": Cell(
        _go(f"{_PAST}; its outcome reaches the next agent"), "same process: carry; other: finish, evidence follows"
    ),
    "provider_drop": Cell(_go(f"the provider's line is gone; {_PAST}"), "go on"),
    "caller_drop": Cell(_go(f"the caller's line is gone; {_PAST}"), "go on"),
    "hang_up": Cell(_go(f"the conversation is over; {_PAST}"), "finish in the drain window, else lost"),
    "shutdown": Cell(_go(f"this process is going down; {_PAST}"), "finish in the drain window, else lost"),
}

_OVER = Cell(_go("it has already ended without effect"), "go on")
_ROWS: dict[Row, dict[Column, Cell]] = {
    "read": _READ,
    "uncommitted_write": _UNCOMMITTED,
    "committing": _COMMITTING,
    "ended": dict.fromkeys(_READ, _OVER),
}

TABLE: Table = MappingProxyType({(row, column): cell for row, cells in _ROWS.items() for column, cell in cells.items()})
"""The default table: every row and column has its cell."""

_SHOWN_ROWS: dict[Row, str] = {
    "read": "read",
    "uncommitted_write": "write, not committed",
    "committing": "committing",
}
_HEADINGS: dict[str, tuple[Column, ...]] = {
    "onset, hold on": ("onset", "hold_on"),
    "noise, backchannel": ("noise", "backchannel"),
    "addition, other topic, answer": ("addition", "other_topic", "answer"),
    "correction or cancellation that concerns it": ("correction", "cancellation"),
    "discarded generation": ("discarded",),
    "hand-off": ("hand_off",),
    "provider drop": ("provider_drop",),
    "caller drop": ("caller_drop",),
    "hang-up": ("hang_up",),
    "shutdown": ("shutdown",),
}


def as_markdown(table: Table = TABLE) -> str:
    """Print a table for people, in Markdown; columns that are always decided alike share a heading.

    Args:
        table: The cells; the default table if none is given.

    Returns:
        The table, its lines separated by newlines, without one at the end.
    """
    lines = [["", *_HEADINGS], ["---"] * (len(_HEADINGS) + 1)]
    for row, label in _SHOWN_ROWS.items():
        groups = ([table[row, column].shown for column in columns] for columns in _HEADINGS.values())
        lines.append([label, *("; ".join(dict.fromkeys(group)) for group in groups)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
