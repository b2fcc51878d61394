"""What can interrupt a conversation: a union that policies match exhaustively."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Kind = Literal[
    "noise",
    "backchannel",
    "answer",
    "addition",
    "correction",
    "cancellation",
    "stop",
    "other_topic",
    "hold_on",
    "unknown",
]
"""What the caller meant, as far as the listener can tell."""


class BargeIn(msgspec.Struct, frozen=True, kw_only=True, tag="barge_in", tag_field="what"):
    """The caller speaks (or presses a key) while calls are in flight.

    Attributes:
        stage: ``onset`` (somebody speaks; nobody knows what is wanted), ``settled`` (the words are classified)
            or ``retracted`` (it was no speech).
        kind: What the words mean; None before they settle.
        said: The words, empty where none arrived.
        concerns: Refs of the calls that the words are about; empty means that they name none (G4).
        confidence: 0.0 to 1.0, the listener's own estimate.
        onset: The id of the onset that this belongs to.
        at: Wall-clock time of the event, for people to read.
        pressed: The caller pressed a key (DTMF): settled at once, with the kind that ``Guard(keys=...)`` gives it.
    """

    stage: Literal["onset", "settled", "retracted"]
    at: datetime
    kind: Kind | None = None
    said: str = ""
    concerns: frozenset[str] = frozenset()
    confidence: float = 1.0
    onset: str = ""
    pressed: bool = False

    @property
    def sure(self) -> bool:
        """Whether the listener's class may be trusted (at least one half)."""
        return self.kind not in {None, "unknown"} and self.confidence >= 0.5  # noqa: PLR2004 - one half


class Discarded(msgspec.Struct, frozen=True, kw_only=True, tag="discarded", tag_field="what"):
    """The generation that issued the call was thrown away because the caller's turn went on (G6)."""

    at: datetime
    generation: str = ""


class HandedOff(msgspec.Struct, frozen=True, kw_only=True, tag="handed_off", tag_field="what"):
    """The conversation goes to another agent; ``same_process`` says whether its tasks can go along (H1)."""

    at: datetime
    to: str
    same_process: bool = True


class Dropped(msgspec.Struct, frozen=True, kw_only=True, tag="dropped", tag_field="what"):
    """A line is gone: the model provider's or the caller's."""

    at: datetime
    who: Literal["provider", "caller"]


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended", tag_field="what"):
    """The conversation is over (``hang_up``) or this process is going down (``shutdown``)."""

    at: datetime
    why: Literal["hang_up", "shutdown"]


Interrupt = BargeIn | Discarded | HandedOff | Dropped | Ended
