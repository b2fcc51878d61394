"""Records of calls and runs: a slot opened, and everything that can happen to the run that serves it."""

from __future__ import annotations

from typing import Literal

import msgspec

from toolguard.core.decision import Announce
from toolguard.core.effect import Effect

Evidence = Literal["heard", "said", "none"]
"""How an adapter knows that a reply reached the caller (S6)."""
Source = Literal["body", "probe", "person"]
Form = Literal[
    "result", "error", "still_running", "cancelled", "in_doubt", "not_known_yet", "refused", "differs", "already_done",
    "replayed", "joined", "superseded", "incomplete", "withdrawn", "invalid", "unknown_tool", "conflict", "paused",
    "breaker", "not_run", "unavailable", "handed_off",
]  # fmt: skip
"""What an answer to a call is; everything but ``result`` uses the envelope of :mod:`toolguard.core.envelope` (O6)."""
Verdict = Literal[
    "run", "join", "replay", "differs", "confirm", "refuse", "in_doubt", "wait", "breaker", "invalid", "unknown_tool",
    "conflict", "paused", "not_run", "incomplete", "discarded", "unavailable", "stored",
]  # fmt: skip
"""How a call was taken: whether it got a run, joined one, or was answered from what is known (semantics 6)."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all records."""


class Called(Record, frozen=True, kw_only=True):
    """A call came in and was judged: the slot is open from here on (I01). With verdict ``run`` its run is planned."""

    call: int
    call_id: str
    tool: str
    verdict: Verdict
    effect: Effect = Effect.READ
    agent: str = ""
    context: int = 0
    generation: str = ""
    batch: int = 0
    index: int = 0
    item: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    fingerprint: str = ""
    intent: str = ""
    occurrence: int = 0
    run: int = 0
    points_to: str = ""
    parent: int = 0
    terminal: bool = False
    version: str = ""
    scope: str = ""
    announce: Announce = "at_once"
    would: str = ""
    after_turn: int = 0
    process: str = ""
    """Who is at it, where no process owns the session (T2)."""


class RunRecord(Record, frozen=True, kw_only=True):
    """Base of what happens to a run; ``attempt`` counts from 1 (L5)."""

    run: int
    attempt: int = 1


class UndoOffer(msgspec.Struct, frozen=True, kw_only=True):
    """The call that takes a result back (S2): the model may be told of it, and it is recognised when it comes."""

    tool: str
    fingerprint: str
    arguments: msgspec.Raw


class Began(RunRecord, frozen=True, kw_only=True):
    """The body began."""


class AtGate(RunRecord, frozen=True, kw_only=True):
    """The run reached its gate and has to wait there."""

    held_by: tuple[str, ...] = ()


class Checkpointed(RunRecord, frozen=True, kw_only=True):
    """The body kept its progress."""

    progress: msgspec.Raw


class StepKept(RunRecord, frozen=True, kw_only=True):
    """A step's result is kept for a resumed run (W7)."""

    name: str
    nth: int
    fingerprint: str
    result: msgspec.Raw


class CommitBegan(RunRecord, frozen=True, kw_only=True):
    """The point of no return: from here on the effect may happen (W1)."""

    key: str
    limit: float = 0.0


class Returned(RunRecord, frozen=True, kw_only=True):
    """The effect is known to have happened (or a read has its value)."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    source: Source = "body"
    evidence: str = ""
    by: str = ""
    warning: str = ""
    cached: bool = False
    undo: UndoOffer | None = None


class Failed(RunRecord, frozen=True, kw_only=True):
    """It is known that nothing happened."""

    code: str
    message: str = ""
    source: Source = "body"
    evidence: str = ""
    by: str = ""
    refused: bool = False


class Stopped(RunRecord, frozen=True, kw_only=True):
    """The run was stopped before its commit: no effect."""

    reason: str
    interrupt: str = ""


class Lost(RunRecord, frozen=True, kw_only=True):
    """The run was let go; what it did is not known.

    Attributes:
        why: What became of its body.
        for_good: Nobody will run it again by itself.
        taken_by: The process that goes on with it or looks into it, where its own one was found dead (T3).
    """

    why: str
    for_good: bool = False
    taken_by: str = ""


class NeverCommitted(RunRecord, frozen=True, kw_only=True):
    """The body returned without entering ``committing()`` although it declared that it commits inside (W6)."""

    result: msgspec.Raw = msgspec.Raw(b"null")


class Replanned(RunRecord, frozen=True, kw_only=True):
    """A retry of a mutation that is known not to have happened: a new occurrence, with a new key (D1)."""

    new: int
    occurrence: int


class Contradicted(RunRecord, frozen=True, kw_only=True):
    """Late evidence says that a run which ended cancelled or failed did happen (L4); its phase stays."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    source: Source = "body"
