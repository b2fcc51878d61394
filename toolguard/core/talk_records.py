"""Records of the conversation around the calls: sessions, interrupts, words, answers on their way, hand-offs."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from toolguard.core.decision import Announce, Decision
from toolguard.core.interrupt import Interrupt
from toolguard.core.run_records import Evidence, Form, Record


class Opened(Record, frozen=True, kw_only=True):
    """The session was entered by a process under a new epoch."""

    tenant: str
    agent: str
    process: str
    caller: str = ""
    adapter: str = "direct"
    evidence: Evidence = "none"
    policy: str = ""
    mode: Literal["enforce", "observe"] = "enforce"
    tools: dict[str, str] = {}
    recovered: bool = False


class ContextOpened(Record, frozen=True, kw_only=True):
    """A model sees the conversation on a new connection: a new context begins."""

    context: int
    agent: str
    shows: tuple[int, ...] = ()
    cause: str = ""


class Decided(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run's decision under one interrupt; ``asked`` is what the policy said, ``run`` what the law made of it."""

    run: int
    calls: tuple[int, ...]
    choice: Literal["go_on", "hold", "stop"]
    reason: str = ""
    announce: Announce | None = None
    offer_undo: bool = False
    concerned: bool = False
    asked: Decision | None = None


class Interrupted(Record, frozen=True, kw_only=True):
    """An interrupt with all its decisions: one record, whatever the number of calls in flight.

    ``closes`` are the onsets that it settles, None for its own one.
    """

    id: str
    interrupt: Interrupt
    policy: str = ""
    decisions: tuple[Decided, ...] = ()
    filed: tuple[int, ...] = ()
    would: bool = False
    cause: str = ""
    closes: tuple[str, ...] | None = None


class Heard(Record, frozen=True, kw_only=True):
    """Words of the caller, placed by when they were spoken (O12)."""

    turn: int
    text: str
    onset: str = ""
    item: str = ""
    final: bool = True
    kind: str = ""
    spoken_at: int = 0
    late: bool = False


class Said(Record, frozen=True, kw_only=True):
    """Words of the agent: what the caller heard, and what was cut off (I23)."""

    text: str
    unheard: str = ""
    generation: str = ""
    item: str = ""
    cut: bool = False


class Spoke(Record, frozen=True, kw_only=True):
    """The agent's audio of a generation began or ended, or a filler was asked for."""

    generation: str
    what: Literal["began", "ended", "filler"]


class BatchClosed(Record, frozen=True, kw_only=True):
    """A model response ended; no more calls come from it (O9)."""

    batch: int
    generation: str
    status: str = "completed"


class Answered(Record, frozen=True, kw_only=True):
    """The one answer of a call was decided; it leaves when its turn comes (O1). ``reply``: whether speech is wanted."""

    call: int
    form: Form
    text: str
    reply: bool = True
    interim: bool = False


class Noted(Record, frozen=True, kw_only=True):
    """News after the output is gone: one note per run and context, naming all its calls (O3)."""

    run: int
    calls: tuple[int, ...]
    text: str
    form: Form = "result"
    reply: bool = True


class Sent(Record, frozen=True, kw_only=True):
    """An output or note was given to the provider (O4)."""

    item: str
    context: int
    calls: tuple[int, ...] = ()
    run: int = 0
    form: Form = "result"
    note: bool = False
    again: bool = False


class Delivered(Record, frozen=True, kw_only=True):
    """The provider confirmed the item, or its next request showed it (O4)."""

    items: tuple[str, ...]


class Acknowledged(Record, frozen=True, kw_only=True):
    """The caller heard a reply whose request contained these results, and went on (S6)."""

    calls: tuple[int, ...]
    turn: int


class ReplyAsked(Record, frozen=True, kw_only=True):
    """The model was asked to speak: once per batch and context version (O5)."""

    context: int
    version: int
    calls: tuple[int, ...] = ()


class HandOffRecord(Record, frozen=True, kw_only=True):
    """The conversation goes to another agent, with these calls carried (H1, H2)."""

    to: str
    frm: str
    packet: str = ""
    carried: tuple[int, ...] = ()
    same_process: bool = True
    made_at: int = 0
    expires_at: int = 0
    run: int = 0


class FactKept(Record, frozen=True, kw_only=True):
    """Facts were established, or taken back, apart from the speech that they came up in (I23)."""

    facts: dict[str, Any] = {}
    forgotten: tuple[str, ...] = ()


class Accepted(Record, frozen=True, kw_only=True):
    """An agent has taken the conversation over with a packet: once (H2)."""

    packet: str
    agent: str
    frm: str
    process: str
    same_process: bool = True


class Noticed(Record, frozen=True, kw_only=True):
    """Something abnormal, observable (I24): server errors, refused frames, a policy that raised, a tripped breaker."""

    code: str
    text: str = ""
    call: int = 0
    run: int = 0
    data: dict[str, Any] = {}


class Recovered(Record, frozen=True, kw_only=True):
    """A new owner folded the journal and went on; runs by number, calls by order number.

    ``in_doubt`` holds all that were in doubt then, ``probed`` those of them whose probe is asked.
    """

    cause: str
    gap_ms: float
    resumed: tuple[int, ...] = ()
    in_doubt: tuple[int, ...] = ()
    stopped: tuple[int, ...] = ()
    probed: tuple[int, ...] = ()
    followed: tuple[int, ...] = ()
    epoch_before: int = 0
    previous_owner: str = ""
    calls_carried: int = 0
    context_replayed: int = 0
    owed: tuple[int, ...] = ()


class Rebuilt(Record, frozen=True, kw_only=True):
    """The model's connection was replaced by a new one that was proven to answer (O11).

    Attributes:
        cause: Why: ``closed 1001``, ``limit`` (renewed ahead of it), ``context_lost``, or the application's word.
        gap_ms: For how long there was no connection; 0 where the new one stood before the old one went.
        tries: How many connections were tried.
        items_replayed: Items that were sent to the new connection.
        items_kept: Items that it knew already.
        calls_carried: Runs that went on.
        proof: What the new connection has answered.
    """

    cause: str
    gap_ms: float
    tries: int = 1
    items_replayed: int = 0
    items_kept: int = 0
    calls_carried: tuple[int, ...] = ()
    proof: tuple[str, ...] = ()


class Switched(Record, frozen=True, kw_only=True):
    """A person paused or resumed a tool."""

    tool: str
    paused: bool
    by: str
    reason: str = ""


class Closed(Record, frozen=True, kw_only=True):
    """The session ended; ``unfinished`` are calls that were still open."""

    why: str
    unfinished: tuple[int, ...] = ()
