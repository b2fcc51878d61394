"""Retention: old closed sessions go, and what must never come back does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.errors import ClaimLost
from toolguard.stores.base import Mark, Receipt, Snapshot, Swap
from toolguard.testing.stores.making import append, is_whole, payloads, row_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Store


def file(store: Store, session: str, *payloads: bytes, at: int = 1_000) -> None:
    """Let a session have records, and close it."""
    epoch = store.enter(session, "t", at=1).epoch
    store.commit([append(session, epoch, *payloads, at=at)])
    store.leave(session, "closed")


class RetentionRules:
    """Retention: old closed sessions go, and what must never come back does not."""

    def test_old_closed_sessions_are_taken_away_and_younger_ones_stay(self, store: Store, other: Store) -> None:
        file(store, "old", b"a", b"b", at=1_000)
        file(store, "young", b"c", at=3_000)
        file(store, "border", b"d", at=2_000)
        store.enter("open", "t", at=1)
        store.commit([append("open", 1, b"e", at=1_000)])
        assert other.prune(2_000) == ["old"]
        assert [row.session for row in store.sessions()] == ["border", "open", "young"]
        assert (store.session("old"), store.raw("old"), store.snapshot("old")) == (None, [], None)
        assert [session for _, session, _ in store.tail(after=0)] == ["young", "border", "open"]
        assert store.prune(2_000) == []

    def test_retention_stops_at_its_limit(self, store: Store) -> None:
        for session in ("c", "a", "b"):
            file(store, session, b"x")
        assert store.prune(2_000, limit=0) == []
        gone = store.prune(2_000, limit=2)
        assert len(gone) == 2
        assert sorted([*gone, *store.prune(2_000, limit=2)]) == ["a", "b", "c"]
        assert store.sessions() == []

    def test_claims_outlive_the_journal(self, store: Store) -> None:
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a", swaps=(Swap("charge/1", 0, b"done"),))])
        store.leave("conv-1", "closed")
        assert store.prune(2_000) == ["conv-1"]
        assert store.claim("charge/1") == (1, b"done")
        [refusal] = store.commit([append("conv-2", None, b"again", swaps=(Swap("charge/1", 0, b"x"),))])
        assert isinstance(refusal, ClaimLost)

    def test_a_session_with_an_open_call_stays(self, store: Store) -> None:
        mark = Mark("conv-1", 1, "t", "charge", "in_doubt", 1)
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a", marks=(mark,))])
        store.leave("conv-1", "closed")
        assert store.prune(2_000) == []
        assert (payloads(store, "conv-1"), store.open_calls()) == ([b"a"], [mark])
        store.commit([append("conv-1", None, marks=(mark._replace(phase=""),))])
        assert store.prune(2_000) == ["conv-1"]

    def test_snapshots_go_with_their_session(self, store: Store) -> None:
        file(store, "conv-1", b"a")
        store.keep(Snapshot("conv-1", 9, b"old", (b"one",)), known=0)
        assert store.prune(2_000) == ["conv-1"]
        store.enter("conv-1", "t", at=1)
        assert store.snapshot("conv-1") is None
        fresh = Snapshot("conv-1", 1, b"new", (b"uno", b"due"))
        assert store.keep(fresh, known=0) is True
        assert store.snapshot("conv-1") == fresh

    def test_positions_never_come_back(self, handles: Callable[[], Store]) -> None:
        """Also where the newest records are those that went, and the store is opened again."""
        store = handles()
        store.open("p1")
        store.commit([append("stays", None, b"0")])
        file(store, "conv-1", b"a", b"b")
        position = store.position()
        assert store.prune(2_000) == ["conv-1"]
        assert store.position() >= position
        store.close()
        store.open("p1-again")
        assert store.position() >= position
        store.commit([append("conv-2", None, b"c")])
        assert [(session, frame.payload) for _, session, frame in store.tail(after=position)] == [("conv-2", b"c")]
        assert store.tail(after=position)[0][0] > position
        store.close()

    def test_a_store_that_kept_nothing_opens_again(self, handles: Callable[[], Store]) -> None:
        store = handles()
        store.open("p1")
        file(store, "conv-1", b"a", b"b")
        position = store.position()
        assert store.prune(2_000) == ["conv-1"]
        store.close()
        store.open("p1-again")
        assert (store.sessions(), store.tail(after=0)) == ([], [])
        assert store.position() >= position
        store.close()

    def test_a_session_that_went_begins_anew_and_its_old_places_stay_empty(self, store: Store, other: Store) -> None:
        file(store, "conv-1", b"old 1", b"old 2")
        position = store.position()
        other.position()
        assert store.prune(2_000) == ["conv-1"]
        assert other.commit([append("conv-1", None, b"new")]) == [Receipt(1, 0)]
        assert (row_of(store, "conv-1").seq, payloads(store, "conv-1")) == (1, [b"new"])
        rows = store.tail(after=0)
        assert [(session, frame.seq, frame.payload) for _, session, frame in rows] == [("conv-1", 1, b"new")]
        assert rows[0][0] > position

    def test_other_processes_notice_that_a_session_went(
        self, store: Store, other: Store, chain_key: bytes | None
    ) -> None:
        """What a process remembers of a session's head is not trusted after another one has taken it away."""
        other.enter("conv-1", "t", at=1)
        other.commit([append("conv-1", 1, b"a", b"b")])
        other.leave("conv-1", "closed")
        assert store.prune(2_000) == ["conv-1"]
        assert other.commit([append("conv-1", None, b"late evidence")]) == [Receipt(1, 0)]
        assert is_whole(store, "conv-1", chain_key)
