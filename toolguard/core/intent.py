"""The same thing twice: what becomes of a call whose intent has been seen before (semantics 6)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from toolguard.core.effect import Effect
from toolguard.core.law import Phase

if TYPE_CHECKING:
    from toolguard.core.records import Verdict

Repeat = Literal["allow", "confirm", "refuse"]
Scope = Literal["session", "caller", "tenant"]


class Standing(StrEnum):
    """How the newest occurrence of an intent stands when the intent comes again."""

    RUNNING = "running"
    UNHEARD = "unheard"
    HEARD = "heard"
    OLD = "old"
    DOUBT = "doubt"
    ENDED = "ended"


def standing(
    phase: Phase,
    *,
    acknowledged: bool,
    age: float,
    window: float,
    undone: bool = False,
    undoing: Phase | None = None,
    contradicted: bool = False,
    window_opens: bool = False,
) -> Standing:
    """Classify an occurrence.

    Args:
        phase: The phase of its newest run.
        acknowledged: The caller heard the result and went on (S6).
        age: Seconds since it was done; negative ages count as inside the window (T5).
        window: The tool's ``repeat_window`` in seconds.
        undone: A done undo closed it (S2).
        undoing: The phase of the run that takes it back, if there is one: while that runs or is in doubt, so is this.
        contradicted: It ended cancelled or failed, and late evidence says that it happened (L4).
        window_opens: The adapter has no evidence of hearing: the window alone opens the intent again (S6).
    """
    if undone:
        return Standing.ENDED
    if undoing is not None and not undoing.final:
        return Standing.DOUBT if undoing is Phase.IN_DOUBT else Standing.RUNNING
    if phase is Phase.DONE or contradicted:
        if not acknowledged:
            return Standing.OLD if window_opens and age > window else Standing.UNHEARD
        return Standing.HEARD if age <= window else Standing.OLD
    if phase is Phase.IN_DOUBT:
        return Standing.DOUBT
    return Standing.RUNNING if phase.open else Standing.ENDED


def judge(effect: Effect, stands: Standing | None, *, same: bool, repeat: Repeat, confirmed: bool) -> Verdict:
    """Read the table of semantics 6 for a write.

    Args:
        effect: What the tool does.
        stands: How the newest occurrence stands; None where the intent is new.
        same: The fingerprint (all arguments) is the same too.
        repeat: The tool's ``repeat`` option.
        confirmed: An answer has offered to confirm and the caller has spoken since (S0).
    """
    if stands is None or stands is Standing.OLD or stands is Standing.ENDED:
        return "run"
    if effect is Effect.IDEMPOTENT_WRITE:
        return _repeatable(stands, same=same, repeat=repeat, confirmed=confirmed)
    if stands is Standing.DOUBT:
        return "in_doubt"
    if stands is Standing.RUNNING:
        return "join" if same else ("run" if confirmed else "differs")
    if stands is Standing.UNHEARD:
        return "replay" if same else ("run" if confirmed else "differs")
    return _again(repeat, confirmed=confirmed) if same else "run"


def _repeatable(stands: Standing, *, same: bool, repeat: Repeat, confirmed: bool) -> Verdict:
    if stands is Standing.RUNNING:
        return "join" if same else "wait"
    if stands is Standing.UNHEARD:
        return "replay" if same else "run"
    if stands is Standing.DOUBT:
        return "in_doubt" if same else "wait"
    return _again(repeat, confirmed=confirmed) if same else "run"


def _again(repeat: Repeat, *, confirmed: bool) -> Verdict:
    if repeat == "allow" or (repeat == "confirm" and confirmed):
        return "run"
    return "confirm" if repeat == "confirm" else "refuse"
