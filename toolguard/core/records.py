"""The records of a journal: every fact that toolguard keeps is one of these.

Each kind has a code and a version of its own. Fields may be added with defaults within a version; a changed meaning
takes a new version and a reader for the old one. Payloads are JSON; ``bytes`` fields hold JSON text made elsewhere.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from toolguard.core.decision import Announce, Decision
from toolguard.core.effect import Effect
from toolguard.core.frame import Draft
from toolguard.core.interrupt import Interrupt

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
    attached: bool = False
    terminal: bool = False
    version: str = ""
    scope: str = ""
    announce: Announce = "at_once"
    would: str = ""
    after_turn: int = 0


class RunRecord(Record, frozen=True, kw_only=True):
    """Base of what happens to a run; ``attempt`` counts from 1 (L5)."""

    run: int
    attempt: int = 1


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
    """The run was let go; what it did is not known."""

    why: str


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
    """An interrupt with all its decisions: one record, whatever the number of calls in flight."""

    id: str
    interrupt: Interrupt
    policy: str = ""
    decisions: tuple[Decided, ...] = ()
    filed: tuple[int, ...] = ()
    would: bool = False
    cause: str = ""


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


class Noticed(Record, frozen=True, kw_only=True):
    """Something abnormal, observable (I24): server errors, refused frames, a policy that raised, a tripped breaker."""

    code: str
    text: str = ""
    call: int = 0
    run: int = 0
    data: dict[str, Any] = {}


class Recovered(Record, frozen=True, kw_only=True):
    """A new owner folded the journal and went on."""

    cause: str
    gap_ms: float
    resumed: tuple[int, ...] = ()
    in_doubt: tuple[int, ...] = ()
    stopped: tuple[int, ...] = ()


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


KINDS: dict[int, tuple[type[Record], int]] = {
    1: (Opened, 1), 2: (ContextOpened, 1), 3: (Called, 1),
    10: (Began, 1), 11: (AtGate, 1), 12: (Checkpointed, 1), 13: (StepKept, 1), 14: (CommitBegan, 1),
    15: (Returned, 1), 16: (Failed, 1), 17: (Stopped, 1), 18: (Lost, 1), 19: (NeverCommitted, 1), 20: (Contradicted, 1),
    21: (Replanned, 1),
    30: (Interrupted, 1), 31: (Heard, 1), 32: (Said, 1), 33: (Spoke, 1), 34: (BatchClosed, 1),
    40: (Answered, 1), 41: (Noted, 1), 42: (Sent, 1), 43: (Delivered, 1), 44: (Acknowledged, 1), 45: (ReplyAsked, 1),
    50: (HandOffRecord, 1), 51: (Recovered, 1), 60: (Noticed, 1), 61: (Switched, 1), 70: (Closed, 1),
}  # fmt: skip
"""Code on disk -> (record type, newest version). Codes are never used again for something else."""

CODES: dict[type[Record], int] = {kind: code for code, (kind, _) in KINDS.items()}
NAMES: dict[type[Record], str] = {
    kind: "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_") for kind in CODES
}
"""Record type -> its name in the trail and the public stream (``commit_began``)."""
_ENCODER = msgspec.json.Encoder()
_DECODERS = {code: msgspec.json.Decoder(kind) for code, (kind, _) in KINDS.items()}


class UnknownRecord(ValueError):  # noqa: N818 - named for what was found
    """A record is of a kind or version that this release does not know, or its payload does not fit its kind."""


def plain_arguments(raw: bytes) -> dict[str, Any]:
    """Journaled arguments as JSON types."""
    return msgspec.json.decode(raw or b"{}", type=dict[str, Any])


def raw_field(raw: bytes, name: str) -> bytes:
    """One field of a JSON object, as its own JSON text."""
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return bytes(fields.get(name, msgspec.Raw(b"null")))


def encode(record: Record, at: int) -> Draft:
    """Encode a record once, on its author's side; ``at`` is wall time in nanoseconds."""
    code = CODES[type(record)]
    return Draft(code, KINDS[code][1], 0, at, _ENCODER.encode(record))


def decode(kind: int, version: int, payload: bytes) -> Record:
    """Read a record back.

    Raises:
        UnknownRecord: The kind or version is newer than this release, or the payload does not fit.
    """
    known = KINDS.get(kind)
    if known is None or version > known[1]:
        raise UnknownRecord(f"record kind {kind} version {version} is newer than this release; update toolguard-voice")
    try:
        return _DECODERS[kind].decode(payload)
    except msgspec.MsgspecError as error:
        raise UnknownRecord(f"a {NAMES[known[0]]} record does not fit its kind: {error}") from error
