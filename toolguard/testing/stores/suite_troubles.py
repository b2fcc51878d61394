"""When the place fails: nothing is written, or nobody is told otherwise, and work goes on when it is back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from toolguard.errors import StoreDamaged, StoreError, StoreFull, StoreReadOnly, StoreUnavailable
from toolguard.stores.base import Mark, Receipt, Snapshot, Swap
from toolguard.testing.stores.making import append, is_whole, payloads

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Append, Store
    from toolguard.testing.stores.abilities import Trouble


def tried(store: Store, one: Append) -> Receipt | StoreError:
    """The answer to one append, the failure of its whole transaction included."""
    try:
        return store.commit([one])[0]
    except StoreError as error:
        return error


class TroubleRules:
    """When the place fails: nothing is written, or nobody is told otherwise, and work goes on when it is back."""

    def test_a_full_disk_writes_nothing_and_ends_when_there_is_room(self, store: Store, trouble: Trouble) -> None:
        store.commit([append("conv-1", None, b"a")])
        with trouble.full(store):
            with pytest.raises(StoreFull) as caught:
                store.commit([append("conv-1", None, b"small"), append("conv-1", None, b"x" * 100_000)])
            assert caught.value.advice
            assert payloads(store, "conv-1") == [b"a"]
        assert store.commit([append("conv-1", None, b"b")]) == [Receipt(2, 0)]

    def test_a_commit_that_landed_although_its_answer_was_lost_is_answered_as_landed(
        self, store: Store, trouble: Trouble, chain_key: bytes | None
    ) -> None:
        swap = Swap("k", 0, b"v")
        with trouble.unanswered(store):
            answers = store.commit([append("conv-1", None, b"a", b"b", swaps=[swap]), append("x", 9, b"no")])
        assert answers[0] == Receipt(1, 0)
        assert isinstance(answers[1], StoreError)
        assert payloads(store, "conv-1") == [b"a", b"b"]
        assert store.claim("k") == (1, b"v")
        assert store.commit([append("conv-1", None, b"c")]) == [Receipt(3, 0)]
        assert is_whole(store, "conv-1", chain_key)

    def test_a_commit_that_failed_is_an_error_and_leaves_nothing_or_is_made_good(
        self, store: Store, trouble: Trouble, chain_key: bytes | None
    ) -> None:
        """Whoever asks again until it has landed may answer as landed; whoever does not says that nothing is there."""
        store.commit([append("conv-1", None, b"a")])
        with trouble.unsent(store):
            told = tried(store, append("conv-1", None, b"b"))
        landed = [b"b"] if isinstance(told, Receipt) else []
        assert told == Receipt(2, 0) or (isinstance(told, StoreUnavailable) and told.advice)
        assert payloads(store, "conv-1") == [b"a", *landed]
        assert store.commit([append("conv-1", None, b"c")]) == [Receipt(2 + len(landed), 0)]
        assert is_whole(store, "conv-1", chain_key)

    def test_an_outcome_that_nobody_can_look_up_is_said_to_be_unknown(
        self, store: Store, trouble: Trouble, chain_key: bytes | None
    ) -> None:
        with trouble.gone(store), pytest.raises(StoreUnavailable, match="nobody knows"):
            store.commit([append("conv-1", None, b"a")])
        seq = len(payloads(store, "conv-1"))
        assert seq in {0, 1}
        assert store.commit([append("conv-1", None, b"b")]) == [Receipt(seq + 1, 0)]
        assert is_whole(store, "conv-1", chain_key)

    def test_a_handle_for_reading_alone_reads_everything_and_writes_nothing(
        self, store: Store, trouble: Trouble
    ) -> None:
        mark = Mark("conv-1", 1, "t", "book", "in_doubt", 1)
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a", swaps=[Swap("k", 0, b"v")], marks=[mark])])
        store.keep(Snapshot("conv-1", 1, b"h", (b"one",)), known=0)
        store.note("n", b"v")
        reader = trouble.readonly()
        reader.open("reader")
        assert reader.session("conv-1") == store.session("conv-1")
        assert (reader.sessions(), reader.raw("conv-1")) == (store.sessions(), store.raw("conv-1"))
        assert (reader.tail(after=0), reader.position()) == (store.tail(after=0), store.position())
        assert (reader.claim("k"), reader.open_calls(), reader.notes()) == ((1, b"v"), [mark], {"n": b"v"})
        assert (reader.snapshot("conv-1"), reader.stale()) == (store.snapshot("conv-1"), [])
        writes: list[Callable[[], object]] = [
            lambda: reader.commit([append("conv-1", None, b"b")]),
            lambda: reader.enter("conv-1", "t", at=2),
            lambda: reader.leave("conv-1", "closed"),
            lambda: reader.keep(Snapshot("conv-1", 2, b"i", (b"one",)), known=1),
            lambda: reader.prune(10**18),
            lambda: reader.note("n", None),
        ]
        for write in writes:
            with pytest.raises(StoreReadOnly):
                write()
        reader.close()
        assert payloads(store, "conv-1") == [b"a"]

    def test_a_damaged_record_at_the_end_is_never_taken_for_a_good_one(
        self, handles: Callable[[], Store], trouble: Trouble
    ) -> None:
        store = handles()
        store.open("p1")
        store.commit([append("conv-1", None, b"a", b"payload"), append("conv-2", None, b"fine")])
        store.close()
        trouble.damage("conv-1")
        with pytest.raises(StoreDamaged):  # a store may refuse to open, or to read
            store.open("p2")
            store.read("conv-1")
        store.close()
