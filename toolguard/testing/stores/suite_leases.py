"""One lease a process (T4): how it ends, and what it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from toolguard.errors import LeaseLost
from toolguard.stores.base import Receipt
from toolguard.testing.stores.making import append, payloads, row_of, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Store


class LeaseRules:
    """One lease a process (T4): how it ends, and what it is asked for."""

    def test_a_process_is_alive_until_it_closes(self, store: Store, handles: Callable[[], Store]) -> None:
        assert store.alive("p1")
        assert not store.alive("p2")
        other = handles()
        other.open("p2")
        assert store.alive("p2")
        other.close()
        assert not store.alive("p2")

    def test_renewing_gives_the_seconds_that_are_left(self, store: Store) -> None:
        assert 0 < store.renew(60) <= 60 or store.renew(60) == float("inf")
        assert store.alive("p1")

    def test_an_append_that_asks_for_a_lease_lands_while_it_lasts(self, store: Store, other: Store) -> None:
        store.enter("conv-1", "t", at=1)
        store.renew(600)
        assert store.commit([append("conv-1", 1, b"a", lease=2.0)]) == [Receipt(1, 1)]
        assert payloads(other, "conv-1") == [b"a"]

    def test_a_lease_that_ran_out_refuses_only_what_asks_for_it(
        self, store: Store, other: Store, expire: Callable[[Store], None]
    ) -> None:
        store.enter("conv-1", "t", at=1)
        expire(store)
        assert until(lambda: not other.alive("p1"))
        answers = store.commit(
            [
                append("conv-1", 1, b"mutation", lease=2.0),
                append("conv-1", 1, b"read"),
                append("conv-2", None, b"evidence"),
            ]
        )
        assert isinstance(answers[0], LeaseLost)
        assert (answers[0].ref, bool(answers[0].advice)) == ("conv-1", True)
        assert answers[1:] == [Receipt(1, 1), Receipt(1, 0)]
        assert payloads(other, "conv-1") == [b"read"]

    def test_a_lease_with_less_left_than_asked_for_refuses_too(
        self, store: Store, expire: Callable[[Store], None]
    ) -> None:
        expire(store)
        left = store.renew(30)
        asked = 1_000.0
        [answer] = store.commit([append("conv-1", None, b"a", lease=asked)])
        assert isinstance(answer, LeaseLost) is (left < asked)
        assert store.commit([append("conv-1", None, b"b", lease=1.0)]) == [Receipt(1 + (left >= asked), 0)]

    def test_a_lease_that_ran_out_is_good_again_when_it_is_renewed(
        self, store: Store, other: Store, expire: Callable[[Store], None]
    ) -> None:
        expire(store)
        assert until(lambda: not other.alive("p1"))
        assert store.renew(600) > 0
        assert other.alive("p1")
        assert store.commit([append("conv-1", None, b"a", lease=2.0)]) == [Receipt(1, 0)]

    def test_a_living_process_is_not_buried(self, store: Store, other: Store) -> None:
        assert other.bury("p1") is False
        assert store.renew(60) > 0
        assert other.alive("p1")

    def test_a_process_that_closed_can_be_buried(self, store: Store, handles: Callable[[], Store]) -> None:
        gone = handles()
        gone.open("p9")
        gone.close()
        assert store.bury("p9") is True
        assert store.bury("p9") is True
        assert not store.alive("p9")

    def test_a_buried_process_never_lives_again(
        self, store: Store, other: Store, handles: Callable[[], Store], expire: Callable[[Store], None]
    ) -> None:
        store.enter("conv-1", "t", at=1)
        expire(store)
        assert until(lambda: other.bury("p1"))
        with pytest.raises(LeaseLost):
            store.renew(60)
        assert not other.alive("p1")
        [refusal] = store.commit([append("conv-1", 1, b"mutation", lease=0.001)])
        assert isinstance(refusal, LeaseLost)
        assert store.commit([append("conv-1", None, b"evidence")]) == [Receipt(1, 1)]
        store.close()
        again = handles()
        with pytest.raises(LeaseLost):
            again.open("p1")
        again.open("p1-anew")
        again.close()

    def test_stale_sessions_are_the_open_ones_without_a_living_owner(
        self, store: Store, other: Store, handles: Callable[[], Store]
    ) -> None:
        gone = handles()
        gone.open("p9")
        for session, owner in (("a", gone), ("b", other), ("c", gone), ("d", gone), ("e", store)):
            owner.enter(session, "t", at=1)
        gone.leave("c", "closed")
        gone.leave("d", "open")
        store.commit([append("f", None, b"nobody entered it")])
        assert [row.session for row in store.stale()] == ["d", "f"]
        gone.close()
        assert [row.session for row in store.stale()] == ["a", "d", "f"]
        assert store.stale()[0] == row_of(store, "a")
        assert [row.session for row in store.stale(after="a")] == ["d", "f"]
        assert [row.session for row in store.stale(limit=1)] == ["a"]
        assert store.stale(limit=0) == []
        store.enter("a", "t", at=2)
        assert [row.session for row in store.stale()] == ["d", "f"]

    def test_stale_sessions_are_found_behind_many_living_ones(self, store: Store, handles: Callable[[], Store]) -> None:
        gone = handles()
        gone.open("p9")
        names = [f"s{number:04}" for number in range(620)]
        store.commit([append(name, None, b"a") for name in names])
        for name in names[:560]:
            store.enter(name, "t", at=1)
        for name in names[560:570]:
            gone.enter(name, "t", at=1)
        gone.close()
        assert [row.session for row in store.stale(limit=25)] == names[560:585]
        assert [row.session for row in store.stale(after=names[584], limit=500)] == names[585:]
