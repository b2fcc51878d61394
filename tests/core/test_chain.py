"""Verification names the first record that is not what was written, and what was done to it."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolguard.core.chain import verify
from toolguard.core.frame import CHAIN_SIZE, GENESIS, HEADER_SIZE, Draft, pack

KEYS = [None, b"a key"]


def journal(size: int, key: bytes | None = None, payload: Any = "record") -> Any:
    rows, head = [], GENESIS
    for seq in range(1, size + 1):
        draft = Draft(1, 1, 0, 1_000 + seq, f"{payload} {seq}".encode())
        stored, head = pack(draft, epoch=1 + seq // 4, seq=seq, previous=head, key=key)
        rows.append((seq, stored))
    return rows


def renumbered(frames: Iterable[bytes]) -> Any:
    return list(enumerate(frames, 1))


def forged(rows: list[tuple[int, bytes]], seq: int, key: bytes | None = None) -> Any:
    """A well-formed record that its author gave this sequence number and, lacking the key, a link of its own."""
    previous = rows[seq - 2][1][-CHAIN_SIZE:] if seq > 1 else GENESIS
    return pack(Draft(1, 1, 0, 5, b"forged"), epoch=1, seq=seq, previous=previous, key=key)[0]


lengths = st.integers(2, 12)
keys = st.sampled_from(KEYS)


@given(st.integers(0, 12), keys)
def test_an_untouched_journal_is_right(size: int, key: bytes | None) -> None:
    rows = journal(size, key)
    verdict = verify(rows, key=key)
    assert (verdict.ok, verdict.records, verdict.damage, verdict.seq) == (True, size, None, 0)
    assert verdict.head == (rows[-1][1][-CHAIN_SIZE:] if rows else GENESIS)
    assert verify(rows, key=key, anchor=(verdict.records, verdict.head)).ok


@settings(max_examples=300)
@given(lengths, keys, st.data())
def test_a_changed_byte_is_named_at_its_record(size: int, key: bytes | None, data: st.DataObject) -> None:
    rows = journal(size, key)
    seq = data.draw(st.integers(1, size))
    stored = bytearray(rows[seq - 1][1])
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    rows[seq - 1] = (seq, bytes(stored))
    verdict = verify(rows, key=key)
    assert (verdict.ok, verdict.damage, verdict.seq, verdict.records) == (False, "changed", seq, seq - 1)


@given(lengths, keys, st.data())
def test_a_changed_sequence_number_is_a_change_and_no_removal(
    size: int, key: bytes | None, data: st.DataObject
) -> None:
    rows = journal(size, key)
    seq = data.draw(st.integers(1, size))
    says = data.draw(st.integers(0, size + 3).filter(lambda other: other != seq))
    stored = bytearray(rows[seq - 1][1])
    stored[12:20] = says.to_bytes(8, "big")
    rows[seq - 1] = (seq, bytes(stored))
    verdict = verify(rows, key=key)
    assert (verdict.damage, verdict.seq) == ("changed", seq)


@given(lengths, keys, st.data())
def test_a_record_written_over_another_is_a_change(size: int, key: bytes | None, data: st.DataObject) -> None:
    rows = journal(size, key)
    seq = data.draw(st.integers(1, size))
    source = data.draw(st.integers(1, size).filter(lambda other: other != seq))
    rows[seq - 1] = (seq, rows[source - 1][1])
    verdict = verify(rows, key=key)
    assert (verdict.damage, verdict.seq) == ("changed", seq)


@given(lengths, keys, st.booleans(), st.data())
def test_a_removed_record_is_named(size: int, key: bytes | None, renumber: bool, data: st.DataObject) -> None:
    rows = journal(size, key)
    seq = data.draw(st.integers(1, size - 1))
    del rows[seq - 1]
    verdict = verify(renumbered(stored for _, stored in rows) if renumber else rows, key=key)
    assert (verdict.damage, verdict.seq, verdict.records) == ("removed", seq, seq - 1)


@given(st.integers(4, 12), keys, st.booleans(), st.data())
def test_a_removed_stretch_is_named_at_its_first_record(
    size: int, key: bytes | None, renumber: bool, data: st.DataObject
) -> None:
    rows = journal(size, key)
    first = data.draw(st.integers(1, size - 2))
    last = data.draw(st.integers(first, size - 1))
    del rows[first - 1 : last]
    verdict = verify(renumbered(stored for _, stored in rows) if renumber else rows, key=key)
    assert (verdict.damage, verdict.seq) == ("removed", first)
    assert first == last or f"to {last}" in verdict.sentence


@given(lengths, keys, st.booleans(), st.data())
def test_two_swapped_records_are_named_at_the_first(
    size: int, key: bytes | None, with_their_rows: bool, data: st.DataObject
) -> None:
    rows = journal(size, key)
    first = data.draw(st.integers(1, size - 1))
    second = data.draw(st.integers(first + 1, size))
    rows[first - 1], rows[second - 1] = rows[second - 1], rows[first - 1]
    verdict = verify(rows if with_their_rows else renumbered(stored for _, stored in rows), key=key)
    assert (verdict.damage, verdict.seq) == ("swapped", first)


@given(lengths, keys, st.booleans(), st.data())
def test_a_copy_of_a_record_is_an_insertion(size: int, key: bytes | None, renumber: bool, data: st.DataObject) -> None:
    rows = journal(size, key)
    seq = data.draw(st.integers(1, size))
    copied = rows[data.draw(st.integers(1, size)) - 1][1]
    anchor = (size, rows[-1][1][-CHAIN_SIZE:])  # tells a copy at the end from a last record that was written over
    rows.insert(seq - 1, (seq, copied))
    verdict = verify(renumbered(stored for _, stored in rows) if renumber else rows, key=key, anchor=anchor)
    same = copied == rows[seq][1]  # a copy right before its original: the second of the two is the extra one
    assert verdict.damage == "inserted"
    assert verdict.seq == (seq + renumber if same else seq)


@given(lengths, keys, st.booleans(), st.data())
def test_a_forged_record_is_an_insertion(size: int, key: bytes | None, renumber: bool, data: st.DataObject) -> None:
    rows = journal(size, key)
    seq = data.draw(st.integers(1, size))
    rows.insert(seq - 1, (seq, forged(journal(size, payload="other"), seq)))
    if key is None and seq == 1:
        return  # see the next test
    verdict = verify(renumbered(stored for _, stored in rows) if renumber else rows, key=key)
    assert (verdict.damage, verdict.seq) == ("inserted", seq)


@given(lengths, st.booleans(), st.data())
def test_a_forged_record_that_fits_the_chain_is_still_an_insertion(
    size: int, renumber: bool, data: st.DataObject
) -> None:
    """Without a key anybody can link a record; the real one behind it then stands twice at its number."""
    rows = journal(size)
    seq = data.draw(st.integers(1, size))
    rows.insert(seq - 1, (seq, forged(rows, seq)))
    verdict = verify(renumbered(stored for _, stored in rows) if renumber else rows)
    assert (verdict.damage, verdict.seq, verdict.records) == ("inserted", seq, seq - 1)


@given(lengths, keys, st.data())
def test_an_anchor_shows_a_cut_end(size: int, key: bytes | None, data: st.DataObject) -> None:
    rows = journal(size, key)
    anchor = (size, rows[-1][1][-CHAIN_SIZE:])
    kept = data.draw(st.integers(0, size - 1))
    assert verify(rows[:kept], key=key).ok
    verdict = verify(rows[:kept], key=key, anchor=anchor)
    assert (verdict.ok, verdict.damage, verdict.seq, verdict.records) == (False, "cut", kept + 1, kept)


@given(lengths, st.data())
def test_an_anchor_shows_a_rewritten_journal(size: int, data: st.DataObject) -> None:
    rows = journal(size)
    seq = data.draw(st.integers(1, size))
    anchor = (seq, rows[seq - 1][1][-CHAIN_SIZE:])
    other = journal(size, payload="rewritten")
    assert verify(other).ok
    verdict = verify(other, anchor=anchor)
    assert (verdict.damage, verdict.seq) == ("changed", seq)


def test_an_older_anchor_is_enough_for_what_it_covers() -> None:
    rows = journal(9)
    assert verify(rows, anchor=(4, rows[3][1][-CHAIN_SIZE:])).ok


def test_a_row_with_another_number_is_named() -> None:
    rows = journal(3)
    verdict = verify([rows[0], (7, rows[1][1]), rows[2]])
    assert (verdict.damage, verdict.seq) == ("changed", 2)
    assert "its row says 7" in verdict.sentence


def test_the_wrong_key_is_a_change_of_the_first_record() -> None:
    verdict = verify(journal(3, b"right"), key=b"wrong")
    assert (verdict.damage, verdict.seq, verdict.records, verdict.head) == ("changed", 1, 0, GENESIS)


@pytest.mark.parametrize("key", KEYS)
def test_an_unreadable_record_says_why(key: bytes | None) -> None:
    rows = journal(3, key)
    stored = rows[1][1]
    rows[1] = (2, stored[: HEADER_SIZE + 3])
    assert "too short" in verify(rows, key=key).sentence
