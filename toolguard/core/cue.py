"""What the next agent is told to begin with: who it is, what is open, what not to repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.core.carried import Promise


def cue_for(frm: str, to: str, pending: Sequence[str], promises: Sequence[Promise]) -> str:
    """The cue: some plain sentences; an agent that goes on with its own conversation after a break is told so."""
    if frm == to:
        said = ["The line to you broke for a moment. The conversation so far stands here: go on with it."]
    else:
        said = [f"You are {to}. You take this conversation over from {frm} in its middle; all of it stands here."]
    said.append("The caller has heard what is said here: do not greet again, and do not repeat or ask it again.")
    if pending:
        said.append("The caller's last words are not answered yet: answer them first.")
    for what, words in _OPEN:
        refs = [f"{one.tool} ({one.ref})" for one in promises if one.what == what]
        if refs:
            said.append(words.format(", ".join(refs)))
    return " ".join(said)


_OPEN = (
    ("running", "Still running, so do not call them again, their results will follow: {}."),
    ("in_doubt", "Not known whether they took effect, so do not call them again and do not say they failed: {}."),
    ("not_told", "Ended, and the caller has not heard of it yet: {}."),
)
