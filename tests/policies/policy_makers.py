"""Calls and interrupts for the tests of policies."""

from datetime import UTC, datetime
from itertools import product
from typing import Any, get_args

from toolguard.core.call import ToolCall
from toolguard.core.decision import Decision
from toolguard.core.effect import Effect
from toolguard.core.interrupt import BargeIn, Discarded, Dropped, Ended, HandedOff, Interrupt, Kind
from toolguard.core.law import Phase
from toolguard.core.policy import Policy

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def call(effect: Effect, phase: Phase = Phase.STARTED, *, tool: str = "book", ref: str = "conv-1/1") -> ToolCall:
    return ToolCall(ref=ref, tool=tool, effect=effect, phase=phase, arguments={"day": "monday"}, progress={})


def ask(policy: Policy, call: ToolCall, interrupt: Interrupt) -> Decision:
    made = policy(call, interrupt)
    assert made is not None
    return made


def settled(kind: Kind | None, **rest: Any) -> BargeIn:
    return BargeIn(stage="settled", at=NOW, kind=kind, said="words", **rest)


ONSET = BargeIn(stage="onset", at=NOW)
RETRACTED = BargeIn(stage="retracted", at=NOW)
KINDS: tuple[Kind, ...] = get_args(Kind)
NO_WORDS: tuple[Interrupt, ...] = (
    Discarded(at=NOW),
    HandedOff(at=NOW, to="billing"),
    HandedOff(at=NOW, to="billing", same_process=False),
    Dropped(at=NOW, who="provider"),
    Dropped(at=NOW, who="caller"),
    Ended(at=NOW, why="hang_up"),
    Ended(at=NOW, why="shutdown"),
)
ALL_INTERRUPTS: tuple[Interrupt, ...] = (
    ONSET,
    RETRACTED,
    *(
        settled(kind, concerns=concerns, confidence=confidence)
        for kind, concerns, confidence in product(
            (None, *KINDS), (frozenset[str](), frozenset({"conv-1/1"}), frozenset({"conv-1/9"})), (0.2, 0.5, 1.0)
        )
    ),
    *NO_WORDS,
)
ALL_CALLS = tuple(call(effect, phase) for effect, phase in product(Effect, Phase))
