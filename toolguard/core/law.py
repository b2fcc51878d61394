"""The law of a run: its phases, its events, and which event may follow which (rules L1-L5)."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from toolguard.core.effect import Effect

if TYPE_CHECKING:
    from collections.abc import Mapping


class Phase(StrEnum):
    """Where a run stands. ``DONE``, ``FAILED`` and ``CANCELLED`` are final."""

    PLANNED = "planned"
    STARTED = "started"
    COMMITTING = "committing"
    IN_DOUBT = "in_doubt"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing can move the run any more."""
        return self in _FINAL

    @property
    def open(self) -> bool:
        """Whether the run has neither ended nor become in doubt."""
        return self in _OPEN

    @property
    def uncommitted(self) -> bool:
        """Whether the point of no return lies ahead."""
        return self is Phase.PLANNED or self is Phase.STARTED


_FINAL = frozenset({Phase.DONE, Phase.FAILED, Phase.CANCELLED})
_OPEN = frozenset({Phase.PLANNED, Phase.STARTED, Phase.COMMITTING})


class RunEvent(StrEnum):
    """What can happen to a run."""

    BEGAN = "began"
    CHECKPOINTED = "checkpointed"
    COMMIT_BEGAN = "commit_began"
    RETURNED = "returned"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"
    NEVER_COMMITTED = "never_committed"


_E, _P = RunEvent, Phase
LAW: Mapping[tuple[Phase, RunEvent], Phase] = MappingProxyType(
    {
        (_P.PLANNED, _E.BEGAN): _P.STARTED,
        (_P.PLANNED, _E.COMMIT_BEGAN): _P.COMMITTING,
        (_P.PLANNED, _E.FAILED): _P.FAILED,
        (_P.PLANNED, _E.STOPPED): _P.CANCELLED,
        (_P.PLANNED, _E.LOST): _P.PLANNED,
        (_P.PLANNED, _E.RETURNED): _P.DONE,
        (_P.STARTED, _E.CHECKPOINTED): _P.STARTED,
        (_P.STARTED, _E.COMMIT_BEGAN): _P.COMMITTING,
        (_P.STARTED, _E.RETURNED): _P.DONE,
        (_P.STARTED, _E.FAILED): _P.FAILED,
        (_P.STARTED, _E.STOPPED): _P.CANCELLED,
        (_P.STARTED, _E.LOST): _P.PLANNED,
        (_P.STARTED, _E.NEVER_COMMITTED): _P.IN_DOUBT,
        (_P.COMMITTING, _E.CHECKPOINTED): _P.COMMITTING,
        (_P.COMMITTING, _E.RETURNED): _P.DONE,
        (_P.COMMITTING, _E.FAILED): _P.FAILED,
        (_P.COMMITTING, _E.LOST): _P.IN_DOUBT,
        (_P.IN_DOUBT, _E.RETURNED): _P.DONE,
        (_P.IN_DOUBT, _E.FAILED): _P.FAILED,
        (_P.IN_DOUBT, _E.COMMIT_BEGAN): _P.COMMITTING,
    }
)
"""The transition table. What is not in it is refused, or, where it is evidence against a final phase, contradicted."""

_ONLY = MappingProxyType(
    {
        (_P.PLANNED, _E.RETURNED): frozenset({Effect.READ}),
        (_P.IN_DOUBT, _E.COMMIT_BEGAN): frozenset({Effect.IDEMPOTENT_WRITE}),
        (_P.STARTED, _E.COMMIT_BEGAN): frozenset({Effect.IDEMPOTENT_WRITE, Effect.MUTATION}),
        (_P.PLANNED, _E.COMMIT_BEGAN): frozenset({Effect.IDEMPOTENT_WRITE, Effect.MUTATION}),
        (_P.STARTED, _E.NEVER_COMMITTED): frozenset({Effect.IDEMPOTENT_WRITE, Effect.MUTATION}),
    }
)

EVIDENCE = frozenset({RunEvent.RETURNED, RunEvent.FAILED, RunEvent.LOST, RunEvent.NEVER_COMMITTED})
"""Events that are never refused for the owner's epoch: whoever acted may say what came of it (T1)."""


class Ruling(StrEnum):
    """What the law says about one event."""

    ADMITTED = "admitted"
    EXCLUDED = "excluded"
    CONTRADICTS = "contradicts"


def rule(phase: Phase, event: RunEvent, effect: Effect) -> tuple[Ruling, Phase]:
    """Say whether ``event`` may happen to a run in ``phase``, and where the run stands afterwards (L1, L3, L4).

    Returns:
        ``ADMITTED`` with the next phase; ``CONTRADICTS`` where late evidence says that a write which ended
        cancelled or failed did happen (the phase stays); ``EXCLUDED`` otherwise (the phase stays).
    """
    nxt = LAW.get((phase, event))
    if nxt is not None and effect in _ONLY.get((phase, event), _EVERY):
        return Ruling.ADMITTED, nxt
    if event is RunEvent.RETURNED and effect.writes and phase in _UNDONE:
        return Ruling.CONTRADICTS, phase
    return Ruling.EXCLUDED, phase


_EVERY = frozenset(Effect)
_UNDONE = frozenset({Phase.FAILED, Phase.CANCELLED})
