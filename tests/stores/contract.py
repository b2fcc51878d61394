"""The rules that every store keeps, whatever it is made of; each store's own test runs them."""

from collections.abc import Iterator
from typing import Any

import pytest

from toolguard.core.chain import verify
from toolguard.core.frame import CHAIN_SIZE, GENESIS, Draft
from toolguard.errors import ClaimLost, Fenced, StoreError, StoreUnavailable
from toolguard.stores.base import Append, Mark, Receipt, Swap


def draft(payload: Any = b"{}", at: int = 1_000, kind: Any = 1) -> Any:
    return Draft(kind, 1, 0, at, payload)


def append(session: Any, epoch: Any, *payloads: Any, **more: Any) -> Any:
    return Append(session, epoch, tuple(draft(payload) for payload in payloads), **more)


def payloads(store: Any, session: Any, **more: Any) -> Any:
    return [frame.payload for frame in store.read(session, **more)]


class StoreContract:
    """Subclasses give a fixture ``handles``: a function that makes a closed handle on the same content."""

    @pytest.fixture
    def store(self, handles: Any) -> Iterator[Any]:
        store = handles()
        store.open("p1")
        yield store
        store.close()

    @pytest.fixture
    def other(self, handles: Any, store: Any) -> Iterator[Any]:
        """Another process on the same content."""
        other = handles()
        other.open("p2")
        yield other
        other.close()

    def test_records_come_back_in_order_at_dense_sequence_numbers(self, store: Any) -> None:
        row = store.enter("conv-1", "clinic", at=5)
        assert (row.epoch, row.owner, row.state, row.seq, row.chain) == (1, "p1", "open", 0, GENESIS)
        assert store.commit([append("conv-1", 1, b"a", b"b")]) == [Receipt(1, 1)]
        assert store.commit([append("conv-1", 1, b"c"), append("conv-1", 1, b"d")]) == [Receipt(3, 1), Receipt(4, 1)]
        frames = store.read("conv-1")
        assert [(frame.seq, frame.epoch) for frame in frames] == [(1, 1), (2, 1), (3, 1), (4, 1)]
        assert [frame.payload for frame in frames] == [b"a", b"b", b"c", b"d"]
        row = store.session("conv-1")
        assert (row.seq, row.chain, row.opened_at, row.last_at) == (4, frames[-1].chain, 5, 1_000)

    def test_reading_starts_behind_a_record_and_stops_at_a_limit(self, store: Any) -> None:
        store.commit([append("conv-1", None, *(bytes([i]) for i in range(10)))])
        assert payloads(store, "conv-1", after=3, limit=2) == [b"\x03", b"\x04"]
        assert payloads(store, "conv-1", after=10) == []
        assert payloads(store, "conv-1", limit=0) == []
        assert payloads(store, "nobody") == []

    def test_the_stored_bytes_verify_as_one_chain_across_batches_and_owners(self, store: Any, other: Any) -> None:
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a", b"b"), append("conv-2", None, b"x")])
        other.enter("conv-1", "t", at=2)
        other.commit([append("conv-1", 2, b"c")])
        store.commit([append("conv-1", None, b"late evidence")])
        rows = store.raw("conv-1")
        row = store.session("conv-1")
        assert [seq for seq, _ in rows] == [1, 2, 3, 4]
        assert verify(rows, anchor=(row.seq, row.chain)).ok
        assert rows[-1][1][-CHAIN_SIZE:] == row.chain

    def test_entering_fences_the_owner_before(self, store: Any, other: Any) -> None:
        store.enter("conv-1", "t", at=1)
        row = other.enter("conv-1", "t", at=2)
        assert (row.epoch, row.owner) == (2, "p2")
        [refusal] = store.commit([append("conv-1", 1, b"zombie")])
        assert isinstance(refusal, Fenced)
        assert (refusal.ref, bool(refusal.advice)) == ("conv-1", True)
        assert store.read("conv-1") == []
        assert other.commit([append("conv-1", 2, b"owner")]) == [Receipt(1, 2)]

    def test_entering_again_from_the_same_process_fences_its_older_epoch(self, store: Any) -> None:
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a")])
        assert store.enter("conv-1", "t", at=2).epoch == 2
        [refusal] = store.commit([append("conv-1", 1, b"b")])
        assert isinstance(refusal, Fenced)

    def test_an_epoch_from_the_future_is_refused_too(self, store: Any) -> None:
        store.enter("conv-1", "t", at=1)
        [refusal] = store.commit([append("conv-1", 7, b"a")])
        assert isinstance(refusal, Fenced)

    def test_evidence_is_never_refused_and_takes_the_epoch_it_finds(self, store: Any, other: Any) -> None:
        store.enter("conv-1", "t", at=1)
        other.enter("conv-1", "t", at=2)
        assert store.commit([append("conv-1", None, b"returned")]) == [Receipt(1, 2)]
        assert store.read("conv-1")[0].epoch == 2

    def test_a_session_that_nobody_entered_takes_records(self, store: Any) -> None:
        """Webhook workers append without owning; the tenant is that of the call they mark."""
        mark = Mark("conv-1", 1, "clinic", "book", "planned", 5)
        assert store.commit([append("conv-1", None, b"a", marks=(mark,))]) == [Receipt(1, 0)]
        row = store.session("conv-1")
        assert (row.epoch, row.owner, row.tenant, row.state) == (0, "", "clinic", "open")
        assert store.enter("conv-1", "clinic", at=9).seq == 1

    def test_a_session_of_another_tenant_cannot_be_entered(self, store: Any) -> None:
        store.enter("conv-1", "clinic", at=1)
        with pytest.raises(Fenced) as caught:
            store.enter("conv-1", "garage", at=2)
        assert "clinic" not in str(caught.value)
        assert store.session("conv-1").epoch == 1

    def test_a_refused_append_fails_alone(self, store: Any, other: Any) -> None:
        store.enter("mine", "t", at=1)
        store.enter("lost", "t", at=1)
        other.enter("lost", "t", at=2)
        answers = store.commit(
            [append("mine", 1, b"a"), append("lost", 1, b"no"), append("mine", 1, b"b"), append("lost", None, b"yes")]
        )
        assert [type(answer) for answer in answers] == [Receipt, Fenced, Receipt, Receipt]
        assert payloads(store, "mine") == [b"a", b"b"]
        assert payloads(store, "lost") == [b"yes"]

    def test_a_batch_of_nothing_but_refusals_leaves_no_trace(self, store: Any) -> None:
        position = store.position()
        [refusal] = store.commit([append("nobody", 3, b"a", marks=(Mark("nobody", 1, "t", "x", "planned", 1),))])
        assert isinstance(refusal, Fenced)
        assert (store.session("nobody"), store.position(), store.open_calls()) == (None, position, [])
        assert store.commit([]) == []

    def test_a_claim_is_compared_and_set(self, store: Any, other: Any) -> None:
        assert store.commit([append("conv-1", None, b"a", swaps=(Swap("book/1", 0, b"p1"),))]) == [Receipt(1, 0)]
        assert other.claim("book/1") == (1, b"p1")
        [refusal] = other.commit([append("conv-2", None, b"b", swaps=(Swap("book/1", 0, b"p2"),))])
        assert isinstance(refusal, ClaimLost)
        assert refusal.ref == "conv-2"
        assert other.commit([append("conv-2", None, b"b", swaps=(Swap("book/1", 1, b"p2"),))]) == [Receipt(1, 0)]
        assert store.claim("book/1") == (2, b"p2")

    def test_an_append_with_one_lost_claim_lands_nothing(self, store: Any) -> None:
        store.commit([append("conv-1", None, b"a", swaps=(Swap("taken", 0, b"v"),))])
        mark = Mark("conv-1", 1, "t", "book", "planned", 1)
        [refusal] = store.commit(
            [append("conv-1", None, b"b", swaps=(Swap("free", 0, b"v"), Swap("taken", 0, b"w")), marks=(mark,))]
        )
        assert isinstance(refusal, ClaimLost)
        assert (store.claim("free"), store.claim("taken")) == (None, (1, b"v"))
        assert payloads(store, "conv-1") == [b"a"]
        assert store.open_calls() == []

    def test_claims_of_one_batch_see_each_other(self, store: Any) -> None:
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

    def test_one_append_may_move_a_claim_twice(self, store: Any) -> None:
        swaps = (Swap("k", 0, b"1"), Swap("k", 1, b"2"))
        assert store.commit([append("conv-1", None, b"a", swaps=swaps)]) == [Receipt(1, 0)]
        assert store.claim("k") == (2, b"2")
        [refusal] = store.commit([append("conv-1", None, b"a", swaps=(Swap("k", 7, b"8"),))])
        assert isinstance(refusal, ClaimLost)
        [refusal] = store.commit([append("conv-1", None, b"a", swaps=(Swap("k", 2, b"3"), Swap("k", 2, b"4")))])
        assert isinstance(refusal, ClaimLost)
        assert store.claim("k") == (2, b"2")

    def test_an_append_without_records_moves_claims_and_marks(self, store: Any) -> None:
        mark = Mark("conv-1", 1, "t", "book", "planned", 1)
        assert store.commit([append("conv-1", None, swaps=(Swap("k", 0, b"v"),), marks=(mark,))]) == [Receipt(1, 0)]
        assert (store.claim("k"), store.open_calls(), store.read("conv-1")) == ((1, b"v"), [mark], [])
        assert store.commit([append("conv-1", None, b"a")]) == [Receipt(1, 0)]

    def test_the_index_of_open_calls_follows_the_marks(self, store: Any) -> None:
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

    def test_a_mark_set_and_taken_away_in_one_batch_is_gone(self, store: Any) -> None:
        mark = Mark("conv-1", 1, "t", "book", "planned", 1)
        gone = mark._replace(phase="")
        store.commit([append("conv-1", None, b"a", marks=(mark,)), append("conv-1", None, b"b", marks=(gone,))])
        assert store.open_calls() == []
        store.commit([append("conv-1", None, b"a", marks=(gone,)), append("conv-1", None, b"b", marks=(mark,))])
        assert store.open_calls() == [mark]

    def test_a_value_that_cannot_be_stored_fails_its_append_alone(self, store: Any) -> None:
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

    def test_sessions_are_listed_in_order_of_their_ids(self, store: Any) -> None:
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

    def test_leaving_ends_the_ownership_and_keeps_the_epoch(self, store: Any) -> None:
        store.enter("conv-1", "t", at=1)
        store.leave("conv-1", "closed")
        assert store.session("conv-1")[2:5] == (1, "", "closed")
        assert store.enter("conv-1", "t", at=2)[2:5] == (2, "p1", "open")
        store.leave("nobody", "closed")
        assert store.session("nobody") is None

    def test_an_old_owner_cannot_close_the_session_of_its_successor(self, store: Any, other: Any) -> None:
        store.enter("conv-1", "t", at=1)
        other.enter("conv-1", "t", at=2)
        with pytest.raises(Fenced):
            store.leave("conv-1", "closed")
        assert store.session("conv-1").owner == "p2"

    def test_the_tail_gives_every_record_once_in_the_order_it_landed(self, store: Any, other: Any) -> None:
        assert store.position() == 0
        store.commit([append("a", None, b"1"), append("b", None, b"2", b"3")])
        other.commit([append("a", None, b"4")])
        store.commit([append("c", None, b"5")])
        seen, after = [], 0
        while rows := other.tail(after=after, limit=2):
            seen += [(session, frame.seq, frame.payload) for _, session, frame in rows]
            after = rows[-1][0]
        assert seen == [("a", 1, b"1"), ("b", 1, b"2"), ("b", 2, b"3"), ("a", 2, b"4"), ("c", 1, b"5")]
        assert after == store.position() == other.position()

    def test_notes_are_set_listed_by_prefix_and_removed(self, store: Any, other: Any) -> None:
        store.note("pause/book", b"ana")
        store.note("pause/charge", b"")
        store.note("pausf", b"x")
        assert other.notes("pause/") == {"pause/book": b"ana", "pause/charge": b""}
        store.note("pause/book", b"bob")
        other.note("pause/charge", None)
        other.note("never there", None)
        assert store.notes() == {"pause/book": b"bob", "pausf": b"x"}

    def test_a_note_that_is_kept_is_the_first_ones(self, store: Any, other: Any) -> None:
        store.note("secret", b"first", keep=True)
        other.note("secret", b"second", keep=True)
        assert store.notes() == other.notes() == {"secret": b"first"}
        other.note("secret", b"third")
        assert store.notes() == {"secret": b"third"}

    def test_a_process_is_alive_until_it_closes(self, store: Any, handles: Any) -> None:
        assert store.alive("p1")
        assert not store.alive("p2")
        other = handles()
        other.open("p2")
        assert store.alive("p2")
        other.close()
        assert not store.alive("p2")

    def test_everything_is_there_after_closing_and_opening_again(self, handles: Any) -> None:
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

    def test_a_closed_store_says_so(self, handles: Any) -> None:
        store = handles()
        with pytest.raises(StoreUnavailable, match="not open"):
            store.commit([append("conv-1", None, b"a")])
        with pytest.raises(StoreUnavailable, match="not open"):
            store.sessions()

    def test_a_store_opens_once(self, store: Any) -> None:
        with pytest.raises(StoreError, match="open already"):
            store.open("p3")
