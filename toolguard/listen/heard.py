"""What a listener is asked and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from toolguard.core.call import ToolCall  # noqa: TC001 - msgspec resolves annotations at run time
from toolguard.core.interrupt import Kind  # noqa: TC001 - msgspec resolves annotations at run time


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Words of the caller, and the calls that were issued before they were spoken (G4).

    Attributes:
        text: The transcript, as the platform gave it.
        final: Whether the transcript is complete; a partial one can settle to a stop, never to a backchannel (G4).
        language: The platform's guess, as ``en`` or ``en-US``; None where it has none.
        in_flight: The calls that the words can concern.
    """

    text: str
    final: bool = True
    language: str | None = None
    in_flight: tuple[ToolCall, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """What the words mean.

    Attributes:
        kind: The class of the words.
        concerns: Refs of the calls that they are about; empty where they name none.
        confidence: 0.0 to 1.0; below one half the words count as not understood (G4).
        rule: Which rule said so, for the trail.
        agrees: Whether the words say yes, or no, to what was asked; None leaves it to the built-in words.
    """

    kind: Kind
    concerns: frozenset[str] = frozenset()
    confidence: float = 1.0
    rule: str = ""
    agrees: bool | None = None


Listener: TypeAlias = Callable[[Heard], Verdict | Awaitable[Verdict | None] | None]
"""Classifies words; ``None`` means "no opinion" (yet). One that has to wait returns an awaitable."""
