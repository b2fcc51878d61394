"""The records of a journal: every fact that toolguard keeps is one of these.

Each kind has a code and a version of its own. Fields may be added with defaults within a version; a changed meaning
takes a new version and a reader for the old one. Payloads are JSON; ``bytes`` fields hold JSON text made elsewhere.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from toolguard.core.frame import Draft
from toolguard.core.run_records import (
    AtGate,
    Began,
    Called,
    Checkpointed,
    CommitBegan,
    Contradicted,
    Evidence,
    Failed,
    Form,
    Lost,
    NeverCommitted,
    Record,
    Replanned,
    Returned,
    RunRecord,
    Source,
    StepKept,
    Stopped,
    UndoOffer,
    Verdict,
)
from toolguard.core.talk_records import (
    Accepted,
    Acknowledged,
    Answered,
    BatchClosed,
    Closed,
    ContextOpened,
    Decided,
    Delivered,
    FactKept,
    HandOffRecord,
    Heard,
    Interrupted,
    Noted,
    Noticed,
    Opened,
    Rebuilt,
    Recovered,
    ReplyAsked,
    Said,
    Sent,
    Spoke,
    Switched,
)

__all__ = [
    "CODES",
    "KINDS",
    "NAMES",
    "Accepted",
    "Acknowledged",
    "Answered",
    "AtGate",
    "BatchClosed",
    "Began",
    "Called",
    "Checkpointed",
    "Closed",
    "CommitBegan",
    "ContextOpened",
    "Contradicted",
    "Decided",
    "Delivered",
    "Evidence",
    "FactKept",
    "Failed",
    "Form",
    "HandOffRecord",
    "Heard",
    "Interrupted",
    "Lost",
    "NeverCommitted",
    "Noted",
    "Noticed",
    "Opened",
    "Rebuilt",
    "Record",
    "Recovered",
    "Replanned",
    "ReplyAsked",
    "Returned",
    "RunRecord",
    "Said",
    "Sent",
    "Source",
    "Spoke",
    "StepKept",
    "Stopped",
    "Switched",
    "UndoOffer",
    "UnknownRecord",
    "Verdict",
    "decode",
    "encodable",
    "encode",
    "encoded",
    "plain_arguments",
    "raw_field",
]

KINDS: dict[int, tuple[type[Record], int]] = {
    1: (Opened, 1), 2: (ContextOpened, 1), 3: (Called, 1),
    10: (Began, 1), 11: (AtGate, 1), 12: (Checkpointed, 1), 13: (StepKept, 1), 14: (CommitBegan, 1),
    15: (Returned, 1), 16: (Failed, 1), 17: (Stopped, 1), 18: (Lost, 1), 19: (NeverCommitted, 1), 20: (Contradicted, 1),
    21: (Replanned, 1),
    30: (Interrupted, 1), 31: (Heard, 1), 32: (Said, 1), 33: (Spoke, 1), 34: (BatchClosed, 1),
    40: (Answered, 1), 41: (Noted, 1), 42: (Sent, 1), 43: (Delivered, 1), 44: (Acknowledged, 1), 45: (ReplyAsked, 1),
    50: (HandOffRecord, 1), 51: (Recovered, 1), 52: (FactKept, 1), 53: (Accepted, 1), 54: (Rebuilt, 1),
    60: (Noticed, 1), 61: (Switched, 1), 70: (Closed, 1),
}  # fmt: skip
"""Code on disk -> (record type, newest version). Codes are never used again for something else."""

CODES: dict[type[Record], int] = {kind: code for code, (kind, _) in KINDS.items()}
NAMES: dict[type[Record], str] = {
    kind: "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_") for kind in CODES
}
"""Record type -> its name in the trail and the public stream (``commit_began``)."""


def encodable(value: object) -> str:
    """What msgspec does not write by itself: subclasses of ``datetime``, such as those of a held clock.

    Raises:
        NotImplementedError: It is something else.
    """
    if isinstance(value, datetime):
        return value.isoformat()
    raise NotImplementedError(f"a record cannot hold {type(value).__name__}")


_ENCODER = msgspec.json.Encoder(enc_hook=encodable)
_DECODERS = {code: msgspec.json.Decoder(kind) for code, (kind, _) in KINDS.items()}


def encoded(value: Any) -> bytes:
    """A value of JSON types as JSON text."""
    return _ENCODER.encode(value)


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
