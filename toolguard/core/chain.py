"""Verifies a session's hash chain and names the first record that was changed, removed, swapped, inserted or cut."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from toolguard.core.frame import CHAIN_SIZE, GENESIS, Draft, Frame, FrameError, linked, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

Damage: TypeAlias = Literal["changed", "removed", "swapped", "inserted", "cut"]


class Verdict(NamedTuple):
    """What verification found.

    Attributes:
        ok: True where every record is the one that was written, and none is missing.
        records: How many records from the first on are right.
        head: The chain's link of the last right record; with ``records`` it makes an anchor to keep elsewhere.
        damage: What was done to the first wrong record, None where nothing is wrong. ``cut`` is a removal at the end.
        seq: The sequence number of that record, 0 where nothing is wrong.
        sentence: The same for people.
    """

    ok: bool
    records: int
    head: bytes
    damage: Damage | None
    seq: int
    sentence: str


class _Found(NamedTuple):
    damage: Damage
    seq: int
    sentence: str


class _Row(NamedTuple):
    """A stored row; ``frame`` is None where its bytes cannot be read."""

    seq: int
    stored: bytes
    frame: Frame | None
    complaint: str


class _Walk:
    """The right records so far: their number, the newest link, the one before it, and the newest record's bytes."""

    def __init__(self, key: bytes | None, known: int) -> None:
        self.key = key
        self.known = known  # how many records there are at least, says the anchor
        self.records = 0
        self.head = GENESIS
        self.before = GENESIS
        self.stored = b""

    def follows(self, row: _Row) -> bool:
        """Whether the row's record is the next one."""
        return row.frame is not None and row.frame.seq == self.records + 1 and linked(row.stored, self.head, self.key)

    def step(self, row: _Row) -> None:
        self.records += 1
        self.before, self.head = self.head, row.stored[-CHAIN_SIZE:]
        self.stored = row.stored


def verify(
    rows: Iterable[tuple[int, bytes]], *, key: bytes | None = None, anchor: tuple[int, bytes] | None = None
) -> Verdict:
    """Verify a whole session.

    Without ``key`` (HMAC) or an ``anchor`` kept elsewhere, whoever can write the journal can also recompute every link
    behind a change, and can cut the end off.

    Args:
        rows: The rows from the first on, as (sequence number of the row, stored bytes), in the rows' order.
        key: The key that the journal was chained with, or None.
        anchor: A sequence number and the chain's link at it, as they were known before.

    Returns:
        The verdict on the first wrong record.
    """
    walk = _Walk(key, anchor[0] if anchor is not None else -1)
    source = iter(rows)
    for seq, stored in source:
        row = _row(seq, stored)
        if seq != walk.records + 1 or not walk.follows(row):
            found = _classify(walk, [row, *(_row(*other) for other in source)])
            return _verdict(walk, found)
        walk.step(row)
        if anchor is not None and anchor[0] == seq and not hmac.compare_digest(anchor[1], walk.head):
            sentence = f"record {seq} or one before it was rewritten: it is not the one that the anchor was taken of"
            return _verdict(walk, _Found("changed", seq, sentence))
    if anchor is not None and walk.records < anchor[0]:
        cut = walk.records + 1
        sentence = f"the end was cut off: records {cut} to {anchor[0]} are missing"
        return _verdict(walk, _Found("cut", cut, sentence))
    return _verdict(walk, None)


def _row(seq: int, stored: bytes) -> _Row:
    try:
        return _Row(seq, stored, unpack(stored), "")
    except FrameError as error:
        return _Row(seq, stored, None, str(error))


def _verdict(walk: _Walk, found: _Found | None) -> Verdict:
    if found is None:
        return Verdict(
            ok=True,
            records=walk.records,
            head=walk.head,
            damage=None,
            seq=0,
            sentence=f"{walk.records} records, all right",
        )
    right = min(walk.records, found.seq - 1)
    head = walk.head if right == walk.records else walk.before
    return Verdict(ok=False, records=right, head=head, damage=found.damage, seq=found.seq, sentence=found.sentence)


def _classify(walk: _Walk, rest: list[_Row]) -> _Found:
    """Say what was done to the first row of ``rest``, which is not the right next one."""
    genuine = next((place for place, row in enumerate(rest) if walk.follows(row)), None)
    return _missing(walk, rest) if genuine is None else _displaced(walk, rest, genuine)


def _displaced(walk: _Walk, rest: list[_Row], genuine: int) -> _Found:
    """The right next record is there, at place ``genuine``; something is wrong with its place."""
    due, first = walk.records + 1, rest[0]
    if genuine == 0:
        return _Found("changed", due, f"record {due} was renumbered: its row says {first.seq}")
    says = first.frame.seq if first.frame else 0
    extra = any(row.frame is not None and row.frame.seq == says for row in rest[1:])
    if due < says < due + len(rest) and not extra:
        return _Found("swapped", due, f"records {due} and {says} do not stand in their order")
    return _Found("inserted", first.seq, f"record {first.seq} was inserted: it stands before the real record {due}")


def _missing(walk: _Walk, rest: list[_Row]) -> _Found:
    """The right next record is nowhere."""
    due, first = walk.records + 1, rest[0]
    if first.seq > due:
        last = f" to {first.seq - 1}" if first.seq - 1 > due else ""
        return _Found("removed", due, f"record {due}{last} is missing")
    if first.frame is None:
        return _Found("changed", due, f"record {due} was changed: {first.complaint}")
    says = first.frame.seq
    if first.stored == walk.stored and (first.seq < due or 0 <= walk.known < due):
        return _Found("inserted", first.seq, f"record {first.seq} was inserted: it is a copy of record {says}")
    if says == due - 1 and first.stored != walk.stored and linked(first.stored, walk.before, walk.key):
        return _Found("inserted", says, f"there are two records {says}, and both follow from the one before")
    if says > due and not _renamed(first.frame, walk):
        twice = any(row.frame is not None and row.frame.seq == says for row in rest[1:])
        if not twice:
            last = f" to {says - 1}" if says - 1 > due else ""
            return _Found("removed", due, f"record {due}{last} is missing; the rows behind it were renumbered")
    return _Found("changed", due, f"record {due} was changed: it does not follow from the record before it")


def _renamed(frame: Frame, walk: _Walk) -> bool:
    """Whether the record is the right next one but for the sequence number that it says."""
    draft = Draft(frame.kind, frame.version, frame.flags, frame.at, frame.payload)
    _, link = pack(draft, epoch=frame.epoch, seq=walk.records + 1, previous=walk.head, key=walk.key)
    return hmac.compare_digest(link, frame.chain)
