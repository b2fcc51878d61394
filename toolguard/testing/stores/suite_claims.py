"""Claims on occurrences (T3) and the index of open calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.errors import ClaimLost
from toolguard.stores.base import Mark, Receipt, Swap
from toolguard.testing.stores.making import append, payloads

if TYPE_CHECKING:
    from toolguard.stores.base import Store


class ClaimRules:
    """Claims on occurrences (T3) and the index of open calls."""

    def test_a_claim_is_compared_and_set(self, store: Store, other: Store) -> None:
        assert store.commit([append("conv-1", None, b"a", swaps=(Swap("book/1", 0, b"p1"),))]) == [Receipt(1, 0)]
        assert other.claim("book/1") == (1, b"p1")
        [refusal] = other.commit([append("conv-2", None, b"b", swaps=(Swap("book/1", 0, b"p2"),))])
        assert isinstance(refusal, ClaimLost)
        assert refusal.ref == "conv-2"
        assert other.commit([append("conv-2", None, b"b", swaps=(Swap("book/1", 1, b"p2"),))]) == [Receipt(1, 0)]
        assert store.claim("book/1") == (2, b"p2")

    def test_an_append_with_one_lost_claim_lands_nothing(self, store: Store) -> None:
        store.commit([append("conv-1", None, b"a", swaps=(Swap("taken", 0, b"v"),))])
        mark = Mark("conv-1", 1, "t", "book", "planned", 1)
        [refusal] = store.commit(
            [append("conv-1", None, b"b", swaps=(Swap("free", 0, b"v"), Swap("taken", 0, b"w")), marks=(mark,))]
        )
        assert isinstance(refusal, ClaimLost)
        assert (store.claim("free"), store.claim("taken")) == (None, (1, b"v"))
        assert payloads(store, "conv-1") == [b"a"]
        assert store.open_calls() == []

    def test_claims_of_one_batch_see_each_other(self, store: Store) -> None:
        answers = store.commit(
            [
                append("conv-1", None, b"first", swaps=(Swap("k", 0, b"1"),)),
                append("conv-2", None, b"loser", swaps=(Swap("k", 0, b"2"),)),
                append("conv-3", None, b"next", swaps=(Swap("k", 1, b"3"),)),
            ]
        )
        assert [type(answer) for answer in answers] == [Receipt, ClaimLost, Receipt]
        assert store.claim("k") == (2, b"3")
        assert store.session("conv-2") is None

    def test_one_append_may_move_a_claim_twice(self, store: Store) -> None:
        swaps = (Swap("k", 0, b"1"), Swap("k", 1, b"2"))
        assert store.commit([append("conv-1", None, b"a", swaps=swaps)]) == [Receipt(1, 0)]
        assert store.claim("k") == (2, b"2")
        [refusal] = store.commit([append("conv-1", None, b"a", swaps=(Swap("k", 7, b"8"),))])
        assert isinstance(refusal, ClaimLost)
        [refusal] = store.commit([append("conv-1", None, b"a", swaps=(Swap("k", 2, b"3"), Swap("k", 2, b"4")))])
        assert isinstance(refusal, ClaimLost)
        assert store.claim("k") == (2, b"2")

    def test_an_append_without_records_moves_claims_and_marks(self, store: Store) -> None:
        mark = Mark("conv-1", 1, "t", "book", "planned", 1)
        assert store.commit([append("conv-1", None, swaps=(Swap("k", 0, b"v"),), marks=(mark,))]) == [Receipt(1, 0)]
        assert (store.claim("k"), store.open_calls(), store.read("conv-1")) == ((1, b"v"), [mark], [])
        assert store.commit([append("conv-1", None, b"a")]) == [Receipt(1, 0)]

    def test_the_index_of_open_calls_follows_the_marks(self, store: Store) -> None:
        later = Mark("conv-1", 1, "clinic", "book", "planned", 20)
        sooner = Mark("conv-2", 1, "clinic", "charge", "in_doubt", 10)
        elsewhere = Mark("conv-3", 1, "garage", "book", "planned", 15)
        store.commit([append(mark.session, None, b"a", marks=(mark,)) for mark in (later, sooner, elsewhere)])
        assert store.open_calls() == [sooner, elsewhere, later]
        assert store.open_calls(tenant="clinic") == [sooner, later]
        assert store.open_calls(phase="planned") == [elsewhere, later]
        assert store.open_calls(session="conv-1", tenant="clinic", phase="planned") == [later]
        assert store.open_calls(limit=1) == [sooner]
        doubtful, done = later._replace(phase="in_doubt"), sooner._replace(phase="")
        store.commit([append("conv-1", None, b"b", marks=(doubtful, done))])
        assert store.open_calls() == [elsewhere, doubtful]

    def test_a_mark_set_and_taken_away_in_one_batch_is_gone(self, store: Store) -> None:
        mark = Mark("conv-1", 1, "t", "book", "planned", 1)
        gone = mark._replace(phase="")
        store.commit([append("conv-1", None, b"a", marks=(mark,)), append("conv-1", None, b"b", marks=(gone,))])
        assert store.open_calls() == []
        store.commit([append("conv-1", None, b"a", marks=(gone,)), append("conv-1", None, b"b", marks=(mark,))])
        assert store.open_calls() == [mark]
