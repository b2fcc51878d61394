"""The stored form of a record: what goes in comes out, and anything else is refused."""

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolguard.core.frame import CHAIN_SIZE, GENESIS, HEADER_SIZE, SEALED, Draft, FrameError, link, linked, pack, unpack

drafts = st.builds(
    Draft,
    kind=st.integers(0, 255),
    version=st.integers(0, 255),
    flags=st.integers(0, 0xFFFF),
    at=st.integers(-(2**63), 2**63 - 1),
    payload=st.binary(max_size=200),
)
places = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))


@given(drafts, places, st.binary(min_size=32, max_size=32), st.none() | st.binary(min_size=1, max_size=64))
def test_a_record_comes_back_as_it_was_packed(draft: Draft, place: Any, previous: bytes, key: bytes | None) -> None:
    epoch, seq = place
    stored, head = pack(draft, epoch=epoch, seq=seq, previous=previous, key=key)
    frame = unpack(stored)
    assert (frame.kind, frame.version, frame.flags, frame.at, frame.payload) == tuple(draft)
    assert (frame.epoch, frame.seq, frame.chain) == (epoch, seq, head)
    assert linked(stored, previous, key)


@given(drafts, st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_noticed(draft: Draft, at: int, flip: int) -> None:
    """Either the frame refuses to be read, or its link does not fit any more."""
    stored, _ = pack(draft, epoch=1, seq=1, previous=GENESIS)
    spoilt = bytearray(stored)
    spoilt[at % len(spoilt)] ^= flip
    try:
        unpack(bytes(spoilt))
    except FrameError:
        return
    assert not linked(bytes(spoilt), GENESIS)


@given(drafts, st.data())
def test_a_cut_record_is_refused(draft: Draft, data: st.DataObject) -> None:
    stored, _ = pack(draft, epoch=1, seq=1, previous=GENESIS)
    kept = data.draw(st.integers(0, len(stored) - 1))
    with pytest.raises(FrameError):
        unpack(stored[:kept])


def test_a_record_of_another_format_says_so() -> None:
    stored, _ = pack(Draft(1, 1, 0, 0, b"x"), epoch=1, seq=1, previous=GENESIS)
    with pytest.raises(FrameError, match="format 9"):
        unpack(b"\x09" + stored[1:])


def test_a_spoilt_payload_fails_its_checksum_and_says_so() -> None:
    stored, _ = pack(Draft(1, 1, 0, 0, b"payload"), epoch=1, seq=1, previous=GENESIS)
    spoilt = stored[:HEADER_SIZE] + b"Payload" + stored[-CHAIN_SIZE:]
    with pytest.raises(FrameError, match="checksum"):
        unpack(spoilt)


def test_the_link_is_sha256_or_hmac_over_the_previous_link_and_the_stored_body() -> None:
    """The trail's promise to outsiders: these two lines verify a journal without this package."""
    assert link(GENESIS, b"body") == hashlib.sha256(GENESIS + b"body").digest()
    assert link(GENESIS, b"body", b"key") == hmac.digest(b"key", GENESIS + b"body", "sha256")


def test_a_chain_with_a_key_cannot_be_forged_without_it() -> None:
    stored, _ = pack(Draft(1, 1, 0, 0, b"x"), epoch=1, seq=1, previous=GENESIS, key=b"secret")
    assert not linked(stored, GENESIS)
    assert not linked(stored, GENESIS, b"other")


def test_the_stored_bytes_of_a_record_never_change() -> None:
    """Journals outlive versions: this record was written by the first format."""
    stored, _ = pack(Draft(7, 2, SEALED, 1_700_000_000_000_000_001, b"hello"), epoch=3, seq=42, previous=GENESIS)
    assert stored[:HEADER_SIZE].hex() == "010702000001000000000003000000000000002a17979cfe362a0001000000053610a686"
    assert stored[HEADER_SIZE:-CHAIN_SIZE] == b"hello"
