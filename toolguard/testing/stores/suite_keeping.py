"""What a store keeps beside records: notes, snapshots, a clock, a wake-up call."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from toolguard.stores.base import Receipt, Snapshot
from toolguard.testing.stores.making import append, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Store


class KeepingRules:
    """What a store keeps beside records: notes, snapshots, a clock, a wake-up call."""

    def test_notes_are_set_listed_by_prefix_and_removed(self, store: Store, other: Store) -> None:
        store.note("pause/book", b"ana")
        store.note("pause/charge", b"")
        store.note("pausf", b"x")
        assert other.notes("pause/") == {"pause/book": b"ana", "pause/charge": b""}
        store.note("pause/book", b"bob")
        other.note("pause/charge", None)
        other.note("never there", None)
        assert store.notes() == {"pause/book": b"bob", "pausf": b"x"}

    def test_a_note_that_is_kept_is_the_first_ones(self, store: Store, other: Store) -> None:
        store.note("secret", b"first", keep=True)
        other.note("secret", b"second", keep=True)
        assert store.notes() == other.notes() == {"secret": b"first"}
        other.note("secret", b"third")
        assert store.notes() == {"secret": b"third"}

    def test_a_snapshot_is_kept_in_place_of_an_older_one(self, store: Store, other: Store) -> None:
        store.enter("conv-1", "t", at=1)
        assert store.snapshot("conv-1") is None
        first = Snapshot("conv-1", 3, b"head 3", (b"part 1", b""))
        assert store.keep(first, known=0) is True
        assert other.snapshot("conv-1") == first
        assert other.keep(Snapshot("conv-1", 7, b"", (b"part 1", b"", b"part 3")), known=2) is True
        assert store.snapshot("conv-1") == Snapshot("conv-1", 7, b"", (b"part 1", b"", b"part 3"))

    def test_the_parts_that_are_known_are_not_written_again(self, store: Store) -> None:
        store.enter("conv-1", "t", at=1)
        store.keep(Snapshot("conv-1", 1, b"h", (b"one", b"two")), known=0)
        assert store.keep(Snapshot("conv-1", 2, b"i", (b"", b"", b"three")), known=2) is True
        assert store.snapshot("conv-1") == Snapshot("conv-1", 2, b"i", (b"one", b"two", b"three"))

    def test_a_snapshot_that_does_not_fit_is_refused_and_changes_nothing(self, store: Store) -> None:
        assert store.keep(Snapshot("nobody", 1, b"h"), known=0) is False
        assert store.snapshot("nobody") is None
        assert store.session("nobody") is None
        store.enter("conv-1", "t", at=1)
        assert store.keep(Snapshot("conv-1", 5, b"h", (b"one",)), known=1) is False
        assert store.snapshot("conv-1") is None
        kept = Snapshot("conv-1", 5, b"h", (b"one",))
        assert store.keep(kept, known=0) is True
        for seq, known in ((4, 1), (5, 1), (6, 0), (6, 2)):
            assert store.keep(Snapshot("conv-1", seq, b"no", (b"x", b"y", b"z")), known=known) is False
        assert store.snapshot("conv-1") == kept

    def test_a_snapshot_belongs_to_its_session_alone(self, store: Store) -> None:
        for session in ("a", "b"):
            store.enter(session, "t", at=1)
            store.keep(Snapshot(session, 1, session.encode(), (session.encode() * 2,)), known=0)
        assert store.snapshot("a") == Snapshot("a", 1, b"a", (b"aa",))
        assert store.snapshot("b") == Snapshot("b", 1, b"b", (b"bb",))

    def test_a_large_snapshot_comes_back_byte_for_byte(self, store: Store) -> None:
        store.enter("conv-1", "t", at=1)
        large = Snapshot("conv-1", 1, bytes(range(256)) * 800, tuple(bytes([i]) * 3000 for i in range(100)))
        store.keep(large, known=0)
        assert store.snapshot("conv-1") == large

    def test_a_snapshot_is_there_after_closing_and_opening_again(self, handles: Callable[[], Store]) -> None:
        store = handles()
        store.open("p1")
        store.enter("conv-1", "t", at=1)
        store.keep(Snapshot("conv-1", 1, b"h", (b"one",)), known=0)
        store.close()
        store.open("p1-again")
        assert store.snapshot("conv-1") == Snapshot("conv-1", 1, b"h", (b"one",))
        store.close()

    def test_everybody_who_listens_is_woken_by_anybodys_records(self, store: Store, other: Store) -> None:
        mine, theirs = threading.Event(), threading.Event()
        ends = [store.listen(mine.set), other.listen(theirs.set)]
        try:
            # a listener of another process may need a moment until it hears: what counts is that it does
            assert until(lambda: other.commit([append("conv-1", None, b"a")]) and mine.wait(0.2))
            assert until(lambda: store.commit([append("conv-1", None, b"b")]) and theirs.wait(0.2))
        finally:
            for end in ends:
                end()

    def test_a_listener_that_ended_is_not_called_and_its_store_goes_on(self, store: Store, other: Store) -> None:
        called: list[str] = []
        store.listen(lambda: called.append("ended"))()
        heard = threading.Event()
        end = store.listen(heard.set)
        assert until(lambda: other.commit([append("conv-1", None, b"a")]) and heard.wait(0.2))
        end()
        end()
        assert called == []

    def test_a_listener_that_fails_costs_nobody_a_record(self, store: Store, other: Store) -> None:
        tries: list[int] = []

        def wake() -> None:
            tries.append(1)
            raise RuntimeError("the loop is closed")

        end = store.listen(wake)
        assert until(lambda: other.commit([append("conv-1", None, b"a")]) and len(tries) > 1)
        seq = len(store.read("conv-1"))
        assert store.commit([append("conv-1", None, b"b")]) == [Receipt(seq + 1, 0)]
        end()

    def test_the_stores_clock_runs(self, store: Store, other: Store) -> None:
        before = store.now()
        assert until(lambda: other.now() > before)
        day = 24 * 3600 * 10**9
        assert abs(store.now() - time.time_ns()) < day

    def test_what_weakens_the_promise_is_said_in_sentences(self, store: Store) -> None:
        assert all(sentence and "\n" not in sentence for sentence in store.weak())
