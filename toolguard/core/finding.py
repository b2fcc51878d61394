"""What a probe, or a person, finds out about a run in doubt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Happened(Generic[R_co]):
    """The effect happened; ``result`` is what the tool would have returned, ``evidence`` where that was seen."""

    result: R_co
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class DidNotHappen:
    """The effect did not happen, and will not any more."""

    evidence: str = ""


@dataclass(frozen=True, slots=True)
class StillUnknown:
    """Nobody can tell yet; ask again after ``ask_again_after`` seconds."""

    ask_again_after: float = 5.0


Finding = Happened[R] | DidNotHappen | StillUnknown
