"""How records are kept: whole, in order, at dense places, as one chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from toolguard.core.chain import verify
from toolguard.core.frame import CHAIN_SIZE, GENESIS
from toolguard.errors import Fenced, StoreError, StoreUnavailable
from toolguard.stores.base import Append, Mark, Receipt, Swap
from toolguard.testing.stores.making import append, draft, payloads, row_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Store


class RecordRules:
    """How records are kept: whole, in order, at dense places, as one chain."""

    def test_records_come_back_in_order_at_dense_sequence_numbers(self, store: Store) -> None:
        row = store.enter("conv-1", "clinic", at=5)
        assert (row.epoch, row.owner, row.state, row.seq, row.chain) == (1, "p1", "open", 0, GENESIS)
        assert store.commit([append("conv-1", 1, b"a", b"b")]) == [Receipt(1, 1)]
        assert store.commit([append("conv-1", 1, b"c"), append("conv-1", 1, b"d")]) == [Receipt(3, 1), Receipt(4, 1)]
        frames = store.read("conv-1")
        assert [(frame.seq, frame.epoch) for frame in frames] == [(1, 1), (2, 1), (3, 1), (4, 1)]
        assert [frame.payload for frame in frames] == [b"a", b"b", b"c", b"d"]
        row = row_of(store, "conv-1")
        assert (row.seq, row.chain, row.opened_at, row.last_at) == (4, frames[-1].chain, 5, 1_000)

    def test_reading_starts_behind_a_record_and_stops_at_a_limit(self, store: Store) -> None:
        store.commit([append("conv-1", None, *(bytes([i]) for i in range(10)))])
        assert payloads(store, "conv-1", after=3, limit=2) == [b"\x03", b"\x04"]
        assert payloads(store, "conv-1", after=10) == []
        assert payloads(store, "conv-1", limit=0) == []
        assert payloads(store, "nobody") == []

    def test_the_stored_bytes_verify_as_one_chain_across_batches_and_owners(
        self, store: Store, other: Store, chain_key: bytes | None
    ) -> None:
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a", b"b"), append("conv-2", None, b"x")])
        other.enter("conv-1", "t", at=2)
        other.commit([append("conv-1", 2, b"c")])
        store.commit([append("conv-1", None, b"late evidence")])
        rows = store.raw("conv-1")
        row = row_of(store, "conv-1")
        assert [seq for seq, _ in rows] == [1, 2, 3, 4]
        assert verify(rows, key=chain_key, anchor=(row.seq, row.chain)).ok
        assert rows[-1][1][-CHAIN_SIZE:] == row.chain

    def test_a_refused_append_fails_alone(self, store: Store, other: Store) -> None:
        store.enter("mine", "t", at=1)
        store.enter("lost", "t", at=1)
        other.enter("lost", "t", at=2)
        answers = store.commit(
            [append("mine", 1, b"a"), append("lost", 1, b"no"), append("mine", 1, b"b"), append("lost", None, b"yes")]
        )
        assert [type(answer) for answer in answers] == [Receipt, Fenced, Receipt, Receipt]
        assert payloads(store, "mine") == [b"a", b"b"]
        assert payloads(store, "lost") == [b"yes"]

    def test_a_batch_of_nothing_but_refusals_leaves_no_trace(self, store: Store) -> None:
        position = store.position()
        [refusal] = store.commit([append("nobody", 3, b"a", marks=(Mark("nobody", 1, "t", "x", "planned", 1),))])
        assert isinstance(refusal, Fenced)
        assert (store.session("nobody"), store.position(), store.open_calls()) == (None, position, [])
        assert store.commit([]) == []

    def test_a_value_that_cannot_be_stored_fails_its_append_alone(self, store: Store) -> None:
        bad = [
            append("conv-\ud800", None, b"a"),
            Append("conv-1", None, (draft(kind=256),)),
            Append("conv-1", None, (draft(at=2**63),)),
            append("conv-1", None, b"a", marks=(Mark("conv-1", 2**63, "t", "x", "planned", 1),)),
            append("conv-1", None, b"a", marks=(Mark("conv-1", 1, "t\udfff", "x", "planned", 1),)),
            append("conv-1", None, b"a", swaps=(Swap("k\ud800", 0, b"v"),)),
        ]
        *refusals, good = store.commit([*bad, append("conv-2", None, b"fine")])
        assert [type(refusal) for refusal in refusals] == [StoreError] * len(bad)
        assert good == Receipt(1, 0)
        assert store.session("conv-1") is None

    def test_the_tail_gives_every_record_once_in_the_order_it_landed(self, store: Store, other: Store) -> None:
        assert store.position() == 0
        store.commit([append("a", None, b"1"), append("b", None, b"2", b"3")])
        other.commit([append("a", None, b"4")])
        store.commit([append("c", None, b"5")])
        seen: list[tuple[str, int, bytes]] = []
        after = 0
        while rows := other.tail(after=after, limit=2):
            seen += [(session, frame.seq, frame.payload) for _, session, frame in rows]
            after = rows[-1][0]
        assert seen == [("a", 1, b"1"), ("b", 1, b"2"), ("b", 2, b"3"), ("a", 2, b"4"), ("c", 1, b"5")]
        assert after == store.position() == other.position()

    def test_everything_is_there_after_closing_and_opening_again(self, handles: Callable[[], Store]) -> None:
        store = handles()
        store.open("p1")
        store.enter("conv-1", "t", at=1)
        mark = Mark("conv-1", 1, "t", "book", "in_doubt", 1)
        store.commit([append("conv-1", 1, b"a", durable=True, swaps=(Swap("k", 0, b"v"),), marks=(mark,))])
        store.note("n", b"v")
        before = (store.session("conv-1"), store.raw("conv-1"), store.position())
        store.close()
        store.open("p1-again")
        assert (store.session("conv-1"), store.raw("conv-1"), store.position()) == before
        assert (store.claim("k"), store.open_calls(), store.notes()) == ((1, b"v"), [mark], {"n": b"v"})
        assert store.commit([append("conv-1", 1, b"b")]) == [Receipt(2, 1)]
        store.idle()
        store.close()
        store.close()

    def test_a_closed_store_says_so(self, handles: Callable[[], Store]) -> None:
        store = handles()
        with pytest.raises(StoreUnavailable, match="not open"):
            store.commit([append("conv-1", None, b"a")])
        with pytest.raises(StoreUnavailable, match="not open"):
            store.sessions()

    def test_a_store_opens_once(self, store: Store) -> None:
        with pytest.raises(StoreError, match="open already"):
            store.open("p3")
