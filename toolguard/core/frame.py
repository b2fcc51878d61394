"""The stored form of one record: a checked header, the payload, and a link of the session's hash chain."""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import NamedTuple
from zlib import crc32

FORMAT = 1
"""Version of the header itself; a record kind's own version stands beside its kind."""

SEALED = 0x0001
"""Flag: the payload is encrypted; CRC and chain cover the stored bytes, so a sealed journal stays verifiable."""

_HEADER = struct.Struct(">BBBxHxxIQqII")  # format kind version flags epoch seq at length crc
HEADER_SIZE = _HEADER.size
CHAIN_SIZE = 32
GENESIS = bytes(CHAIN_SIZE)


class Draft(NamedTuple):
    """A record encoded by its author, before the writer gives it its place.

    ``at`` is wall-clock time in nanoseconds since the epoch, shown to people and never compared.
    """

    kind: int
    version: int
    flags: int
    at: int
    payload: bytes


class Frame(NamedTuple):
    """A record at its place: its session's ``seq`` counts from 1 without gaps; ``chain`` covers all before it."""

    kind: int
    version: int
    flags: int
    epoch: int
    seq: int
    at: int
    payload: bytes
    chain: bytes


class FrameError(ValueError):
    """Stored bytes are not a whole frame of a known format; the message says what is wrong."""


def link(previous: bytes, body: bytes, key: bytes | None = None) -> bytes:
    """The next link of the chain: SHA-256, or HMAC-SHA-256 with ``key``, over the previous link and the stored body."""
    if key is None:
        return hashlib.sha256(previous + body).digest()
    return hmac.digest(key, previous + body, "sha256")


def pack(draft: Draft, *, epoch: int, seq: int, previous: bytes, key: bytes | None = None) -> tuple[bytes, bytes]:
    """Give a draft its place.

    Returns:
        The bytes to store (header, payload, chain link) and the new chain head.
    """
    payload = draft.payload
    body = (
        _HEADER.pack(FORMAT, draft.kind, draft.version, draft.flags, epoch, seq, draft.at, len(payload), crc32(payload))
        + payload
    )
    head = link(previous, body, key)
    return body + head, head


def unpack(stored: bytes) -> Frame:
    """Read a frame back.

    Raises:
        FrameError: The bytes are cut short, of another format, or fail their CRC.
    """
    if len(stored) < HEADER_SIZE + CHAIN_SIZE:
        raise FrameError(f"{len(stored)} bytes are too short for a record")
    form, kind, version, flags, epoch, seq, at, length, crc = _HEADER.unpack_from(stored)
    if form != FORMAT:
        raise FrameError(f"the record has format {form}; this version reads format {FORMAT}")
    if len(stored) != HEADER_SIZE + length + CHAIN_SIZE:
        raise FrameError(f"the record says {length} bytes of payload and has {len(stored) - HEADER_SIZE - CHAIN_SIZE}")
    payload = stored[HEADER_SIZE : HEADER_SIZE + length]
    if crc32(payload) != crc:
        raise FrameError("the record's payload fails its checksum")
    return Frame(kind, version, flags, epoch, seq, at, payload, stored[-CHAIN_SIZE:])


def linked(stored: bytes, previous: bytes, key: bytes | None = None) -> bool:
    """Whether ``stored`` carries the link that follows ``previous``."""
    return hmac.compare_digest(link(previous, stored[:-CHAIN_SIZE], key), stored[-CHAIN_SIZE:])
