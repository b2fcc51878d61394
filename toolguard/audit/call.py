"""A call as the trail tells it: what was asked, decided, done and heard, in one row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from toolguard.core.effect import Effect  # noqa: TC001 - msgspec resolves annotations at run time
from toolguard.core.law import Phase  # noqa: TC001 - msgspec resolves annotations at run time
from toolguard.core.records import Form, Verdict  # noqa: TC001 - msgspec resolves annotations at run time
from toolguard.errors import UnknownRef


class TrailCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call with all that the journal knows of it.

    Attributes:
        ref: ``conv-42/7``; every command takes it.
        session: The session's id.
        tenant: Who runs the agent.
        agent: The agent that issued the call.
        tool: The tool's name.
        effect: What the tool does to the world.
        verdict: How the call was taken: ``run``, ``join``, ``replay``, ``differs``, ...
        phase: Where its run stands; None where the call was answered without a run.
        at: When the call came.
        arguments: Its arguments as plain JSON values.
        happened: Whether the effect is known to have happened.
        result: Its result as plain JSON values; None also stands for "none yet", see ``happened``.
        key: The idempotency key that was sent downstream, empty where nothing was.
        decision: What the last interrupt made of it: ``go_on``, ``hold`` or ``stop`` (``would hold`` in observe mode).
        reason: Why, in the policy's words; else why the run ended.
        policy: The policy that decided.
        cause: The interrupt that was decided about.
        points_to: The ref that stands in this call's place, empty where none does.
        replayed_from: The ref whose result answered this call.
        superseded_by: The ref of a later call of the same intent that took this one's place.
        attempts: How often its body was begun.
        answer: The form of its answer, None while it has none.
        sent: Whether the answer was given to the provider.
        delivered: Whether the provider confirmed it.
        acknowledged: Whether the caller heard it and went on.
        duration_ms: From the call to the end of its run, where the run ended after the call.
        warning: What went wrong beside a known outcome.
        contradicted: Late evidence says that it happened although it had ended otherwise.
        source: Who knew the outcome: ``body``, ``probe`` or ``person``; empty where nobody does.
        evidence: Where a probe or a person saw it.
        by: The person.
        code: Why a run failed or was stopped, for machines.
        epochs: The owners' epochs under which records about it were written.
    """

    ref: str
    session: str
    tenant: str
    agent: str
    tool: str
    effect: Effect
    verdict: Verdict
    phase: Phase | None
    at: datetime
    arguments: dict[str, Any]
    happened: bool = False
    result: Any = None
    key: str = ""
    decision: str = ""
    reason: str = ""
    policy: str = ""
    cause: str = ""
    points_to: str = ""
    replayed_from: str = ""
    superseded_by: str = ""
    attempts: int = 0
    answer: Form | None = None
    sent: bool = False
    delivered: bool = False
    acknowledged: bool = False
    duration_ms: float | None = None
    warning: str = ""
    contradicted: bool = False
    source: str = ""
    evidence: str = ""
    by: str = ""
    code: str = ""
    epochs: tuple[int, ...] = ()


class TrailSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session as the store's index knows it.

    Attributes:
        session: The session's id.
        tenant: Who runs the agent.
        state: ``open`` or ``closed``.
        owner: The process that owns it, empty where none does.
        epoch: How many owners it has had.
        records: How many records it has.
        opened_at: When it was first opened.
        last_at: When the newest record was written.
    """

    session: str
    tenant: str
    state: str
    owner: str
    epoch: int
    records: int
    opened_at: datetime
    last_at: datetime


def when(wall_ns: int) -> datetime:
    """Wall nanoseconds as an aware datetime, exact to the microsecond; the epoch's beginning where it is no date."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


def split_ref(ref: str) -> tuple[str, int]:
    """Take a call's ref apart into the session and the order number.

    Raises:
        UnknownRef: It is no ref of a call.
    """
    session, _, number = ref.rpartition("/")
    if not session or not (number.isascii() and number.isdigit()):
        raise UnknownRef(
            "this is no ref of a call",
            ref=ref,
            advice="A call's ref is its session and its number, as conv-42/7; see `toolguard audit`.",
        )
    return session, int(number)
