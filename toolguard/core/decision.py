"""What a policy says about one run under one interrupt."""

from __future__ import annotations

from typing import Literal

import msgspec

Announce = Literal["silent", "when_idle", "at_once"]
RunChoice = Literal["go_on", "hold", "stop"]
_TIGHTNESS: dict[str, int] = {"go_on": 0, "hold": 1, "stop": 2}


class Decision(msgspec.Struct, frozen=True):
    """One decision: what becomes of the run, how its result is announced, whether its undo is offered.

    Made by :meth:`go_on`, :meth:`hold` and :meth:`stop`. ``None`` in a policy's place means "no opinion".

    Attributes:
        run: ``go_on``, ``hold`` (wait at the gate) or ``stop`` (only before the commit; the law keeps it there).
        reason: A phrase for the audit trail and for the model.
        announce: How to announce the result; None keeps the tool's own setting.
        offer_undo: Tell the model that the undo, if declared, is available.
        at_most: Seconds that a hold may last while the caller says nothing; None keeps the session's limit (G3).
    """

    run: RunChoice
    reason: str = ""
    announce: Announce | None = None
    offer_undo: bool = False
    at_most: float | None = None

    def __post_init__(self) -> None:
        """Refuse values that no policy can mean."""
        if self.run not in _TIGHTNESS:
            raise ValueError(f"Decision.run is {self.run!r}; use Decision.go_on, Decision.hold or Decision.stop")
        if self.announce not in {None, "silent", "when_idle", "at_once"}:
            raise ValueError(f"Decision.announce is {self.announce!r}; use 'silent', 'when_idle' or 'at_once'")
        if self.at_most is not None and not self.at_most > 0:
            raise ValueError(f"Decision.at_most is {self.at_most!r}; it is a number of seconds above zero")

    @classmethod
    def go_on(cls, reason: str = "", *, announce: Announce | None = None, offer_undo: bool = False) -> Decision:
        """The run goes on; an open hold of this onset is lifted."""
        return cls("go_on", reason, announce, offer_undo)

    @classmethod
    def hold(cls, reason: str = "", *, at_most: float | None = None) -> Decision:
        """The run waits at its gate until the onset settles (G2), at most ``at_most`` seconds without words (G3)."""
        return cls("hold", reason, at_most=at_most)

    @classmethod
    def stop(cls, reason: str = "", *, announce: Announce | None = None) -> Decision:
        """The run is stopped before its effect; past the commit this means only "do not announce as wanted"."""
        return cls("stop", reason, announce)

    def tighter(self, other: Decision) -> Decision:
        """The stricter of two decisions; decisions only tighten before the commit (G4)."""
        return other if _TIGHTNESS[other.run] > _TIGHTNESS[self.run] else self
