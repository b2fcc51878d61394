"""Who owns a session, and who may not write to it any more (T1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from toolguard.errors import Fenced
from toolguard.stores.base import Mark, Receipt
from toolguard.testing.stores.making import append, payloads, row_of

if TYPE_CHECKING:
    from toolguard.stores.base import Store


class OwnerRules:
    """Who owns a session, and who may not write to it any more (T1)."""

    def test_entering_fences_the_owner_before(self, store: Store, other: Store) -> None:
        store.enter("conv-1", "t", at=1)
        row = other.enter("conv-1", "t", at=2)
        assert (row.epoch, row.owner) == (2, "p2")
        [refusal] = store.commit([append("conv-1", 1, b"zombie")])
        assert isinstance(refusal, Fenced)
        assert (refusal.ref, bool(refusal.advice)) == ("conv-1", True)
        assert store.read("conv-1") == []
        assert other.commit([append("conv-1", 2, b"owner")]) == [Receipt(1, 2)]

    def test_entering_again_from_the_same_process_fences_its_older_epoch(self, store: Store) -> None:
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a")])
        assert store.enter("conv-1", "t", at=2).epoch == 2
        [refusal] = store.commit([append("conv-1", 1, b"b")])
        assert isinstance(refusal, Fenced)

    def test_an_epoch_from_the_future_is_refused_too(self, store: Store) -> None:
        store.enter("conv-1", "t", at=1)
        [refusal] = store.commit([append("conv-1", 7, b"a")])
        assert isinstance(refusal, Fenced)

    def test_evidence_is_never_refused_and_takes_the_epoch_it_finds(self, store: Store, other: Store) -> None:
        store.enter("conv-1", "t", at=1)
        other.enter("conv-1", "t", at=2)
        assert store.commit([append("conv-1", None, b"returned")]) == [Receipt(1, 2)]
        assert store.read("conv-1")[0].epoch == 2

    def test_a_session_that_nobody_entered_takes_records(self, store: Store) -> None:
        """Webhook workers append without owning; the tenant is that of the call they mark."""
        mark = Mark("conv-1", 1, "clinic", "book", "planned", 5)
        assert store.commit([append("conv-1", None, b"a", marks=(mark,))]) == [Receipt(1, 0)]
        row = row_of(store, "conv-1")
        assert (row.epoch, row.owner, row.tenant, row.state) == (0, "", "clinic", "open")
        assert store.enter("conv-1", "clinic", at=9).seq == 1

    def test_a_session_of_another_tenant_cannot_be_entered(self, store: Store) -> None:
        store.enter("conv-1", "clinic", at=1)
        with pytest.raises(Fenced) as caught:
            store.enter("conv-1", "garage", at=2)
        assert "clinic" not in str(caught.value)
        assert row_of(store, "conv-1").epoch == 1

    def test_sessions_are_listed_in_order_of_their_ids(self, store: Store) -> None:
        for name in ("b", "a", "é", "Z", "c\U0001f600", "c\uffff"):
            store.enter(name, "clinic" if name < "b" else "garage", at=1)
        store.leave("b", "closed")
        names = sorted(("b", "a", "é", "Z", "c\U0001f600", "c\uffff"))
        assert [row.session for row in store.sessions()] == names
        assert [row.session for row in store.sessions(after="a", limit=2)] == [n for n in names if n > "a"][:2]
        assert [row.session for row in store.sessions(tenant="clinic")] == ["Z", "a"]
        assert [row.session for row in store.sessions(state="closed")] == ["b"]
        assert [row.session for row in store.sessions(state="open")] == [n for n in names if n != "b"]
        assert store.sessions(tenant="clinic", state="closed") == []

    def test_leaving_ends_the_ownership_and_keeps_the_epoch(self, store: Store) -> None:
        store.enter("conv-1", "t", at=1)
        store.leave("conv-1", "closed")
        assert row_of(store, "conv-1")[2:5] == (1, "", "closed")
        assert store.enter("conv-1", "t", at=2)[2:5] == (2, "p1", "open")
        store.leave("nobody", "closed")
        assert store.session("nobody") is None

    def test_an_old_owner_cannot_close_the_session_of_its_successor(self, store: Store, other: Store) -> None:
        store.enter("conv-1", "t", at=1)
        other.enter("conv-1", "t", at=2)
        with pytest.raises(Fenced):
            store.leave("conv-1", "closed")
        assert row_of(store, "conv-1").owner == "p2"

    def test_entering_takes_a_session_only_where_it_stands_as_expected(self, store: Store, other: Store) -> None:
        with pytest.raises(Fenced):
            store.enter("conv-1", "t", at=1, expects=1)
        assert store.session("conv-1") is None
        assert store.enter("conv-1", "t", at=1, expects=0).epoch == 1
        with pytest.raises(Fenced) as caught:
            other.enter("conv-1", "t", at=2, expects=0)
        assert caught.value.ref == "conv-1"
        assert (row_of(store, "conv-1").epoch, row_of(store, "conv-1").owner) == (1, "p1")
        assert other.enter("conv-1", "t", at=2, expects=1).epoch == 2
        with pytest.raises(Fenced):
            store.enter("conv-1", "t", at=3, expects=1)
        assert row_of(store, "conv-1").owner == "p2"

    def test_a_session_known_by_evidence_alone_is_entered_at_epoch_zero(self, store: Store) -> None:
        store.commit([append("conv-1", None, b"a")])
        assert store.enter("conv-1", "t", at=1, expects=0)[1:7] == (
            "t",
            1,
            "p1",
            "open",
            1,
            store.read("conv-1")[0].chain,
        )

    def test_an_owner_that_was_fenced_in_the_middle_of_its_batches_stays_out(self, store: Store, other: Store) -> None:
        """What a store remembers of a session between its batches is not trusted after somebody else has written."""
        store.enter("conv-1", "t", at=1)
        for turn in range(3):
            assert store.commit([append("conv-1", 1, b"a")]) == [Receipt(turn + 1, 1)]
        other.enter("conv-1", "t", at=2)
        other.commit([append("conv-1", 2, b"b")])
        answers = store.commit([append("conv-1", 1, b"zombie"), append("conv-1", None, b"evidence")])
        assert isinstance(answers[0], Fenced)
        assert answers[1] == Receipt(5, 2)
        assert payloads(other, "conv-1") == [b"a", b"a", b"a", b"b", b"evidence"]

    def test_the_wall_clock_of_whoever_enters_never_turns_time_back(self, store: Store, other: Store) -> None:
        assert store.enter("conv-1", "t", at=5_000).last_at == 5_000
        row = other.enter("conv-1", "t", at=10)
        assert (row.opened_at, row.last_at) == (5_000, 5_000)
        other.commit([append("conv-1", 2, b"a", at=20)])
        assert row_of(store, "conv-1").last_at == 5_000
