"""Several real processes on one content: they interleave, they race, their clocks disagree."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from toolguard.stores.base import Receipt
from toolguard.testing.stores.abilities import cannot
from toolguard.testing.stores.child import Child
from toolguard.testing.stores.making import append, is_whole, payloads, row_of, until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from toolguard.stores.base import Store

HOUR = 3600.0


@contextmanager
def children(place: str | None, *tasks: tuple[Any, ...], skew: float = 0.0) -> Generator[list[Child]]:
    """Processes that are open on the content; none of them is left behind."""
    if place is None:
        cannot("start other processes on this content")
    started = [Child(place, *task, skew=skew) for task in tasks]
    try:
        yield started
    finally:
        for child in started:
            child.kill()


class ProcessRules:
    """Several real processes on one content: they interleave, they race, their clocks disagree."""

    def test_two_writers_interleave_in_one_session_without_gap_or_fork(
        self, store: Store, place: str | None, chain_key: bytes | None
    ) -> None:
        turns = 40
        with children(place, ("a", "write", "shared", turns), ("b", "write", "shared", turns)) as both:
            assert [child.hear() for child in both] == ["open", "open"]
            for child in both:
                child.go()
            said = [child.finish() for child in both]
        places = sorted(answers[0][0] for answers in (*said[0], *said[1]))
        assert places == list(range(1, 2 * turns + 1))
        assert is_whole(store, "shared", chain_key)
        shared = payloads(store, "shared")
        for name in ("a", "b"):
            own = [f"{name} {turn}".encode() for turn in range(turns)]
            assert [text for text in shared if text.startswith(name.encode())] == own
            assert payloads(store, name) == own
        tail = store.tail(after=0, limit=1_000)
        assert len(tail) == 4 * turns
        assert [position for position, _, _ in tail] == sorted({position for position, _, _ in tail})
        for session in ("shared", "a", "b"):
            seqs = [frame.seq for _, name, frame in tail if name == session]
            assert seqs == list(range(1, len(seqs) + 1))

    def test_of_two_claimants_of_one_claim_one_gets_it(self, store: Store, place: str | None) -> None:
        keys = 40
        with children(place, ("a", "claim", keys), ("b", "claim", keys)) as both:
            assert [child.hear() for child in both] == ["open", "open"]
            for child in both:
                child.go()
            said = {child.process: child.finish() for child in both}
        for number in range(keys):
            winners = [process for process, answers in said.items() if answers[number] == [1, 0]]
            losers = [process for process, answers in said.items() if answers[number] == "ClaimLost"]
            assert (len(winners), len(losers)) == (1, 1)
            assert store.claim(f"claim/{number}") == (1, winners[0].encode())
            assert payloads(store, f"session/{number}") == [winners[0].encode()], "the loser's record did not land"

    def test_of_two_claimants_of_one_session_one_gets_it(self, store: Store, place: str | None) -> None:
        sessions = 40
        with children(place, ("a", "enter", sessions), ("b", "enter", sessions)) as both:
            assert [child.hear() for child in both] == ["open", "open"]
            for child in both:
                child.go()
            said = {child.process: child.finish() for child in both}
        for number in range(sessions):
            winners = [process for process, answers in said.items() if answers[number] == 1]
            losers = [process for process, answers in said.items() if answers[number] == "Fenced"]
            assert (len(winners), len(losers)) == (1, 1)
            row = row_of(store, f"session/{number}")
            assert (row.epoch, row.owner) == (1, winners[0])

    def test_a_process_that_was_stopped_and_wakes_decides_nothing(self, store: Store, place: str | None) -> None:
        """SIGSTOP, a successor, SIGCONT (T4): what it decides is refused, what it has seen is kept."""
        with children(place, ("zombie", "hold", "conv-1")) as [zombie]:
            assert zombie.hear()[:2] == [1, True]
            os.kill(zombie.pid, signal.SIGSTOP)
            assert store.enter("conv-1", "t", at=2).epoch == 2
            assert store.commit([append("conv-1", 2, b"successor")]) == [Receipt(1, 2)]
            zombie.go()
            os.kill(zombie.pid, signal.SIGCONT)
            assert zombie.hear() == ["Fenced", [2, 2]]
            assert payloads(store, "conv-1") == [b"successor", b"evidence"]
            zombie.go()
            zombie.finish()

    def test_a_wall_clock_that_is_an_hour_slow_or_fast_changes_nothing(
        self, store: Store, place: str | None, chain_key: bytes | None
    ) -> None:
        """Leases, takeovers, the order of records and retention do not hang on anybody's wall clock (T5)."""
        for name, skew in (("slow", -HOUR), ("fast", HOUR)):
            session = f"conv-{name}"
            store.commit([append(session, None, b"before")])
            with children(place, (name, "hold", session), skew=skew) as [child]:
                epoch, alive, wall, _ = child.hear()
                assert (epoch, alive) == (1, True)
                assert abs(wall - store.now()) > HOUR * 0.9 * 1e9, "its clock is off"
                assert store.alive(name)
                assert store.bury(name) is False
                assert [row.session for row in store.stale()] == []
                child.go()
                assert child.hear() == [[2, 1], [3, 1]]
                assert store.enter(session, "t", at=1, expects=1).epoch == 2
                assert store.commit([append(session, 2, b"after")]) == [Receipt(4, 2)]
                child.go()
                child.finish()
            assert not store.alive(name)
            assert store.bury(name) is True
            assert payloads(store, session) == [b"before", b"decision", b"evidence", b"after"]
            assert is_whole(store, session, chain_key)
        assert [session for _, session, _ in store.tail(after=0)] == ["conv-slow"] * 4 + ["conv-fast"] * 4

    def test_a_killed_process_loses_nothing_that_was_acknowledged(
        self, store: Store, place: str | None, chain_key: bytes | None
    ) -> None:
        for number, kill_after in enumerate((1, 4)):
            process, session = f"victim-{number}", f"conv-{number}"
            with children(place, (process, "doomed", session)) as [child]:
                said = [child.hear() for _ in range(kill_after)]
                said += child.kill()
            acked = said[-1]
            assert row_of(store, session).owner == process
            own = f"{session}/{process}"
            assert row_of(store, own).seq >= acked[1][0]
            assert is_whole(store, session, chain_key)
            assert is_whole(store, own, chain_key)
            records, claim = payloads(store, session), store.claim(session)
            assert len(records) >= acked[0][0] + 1
            assert records == [b"x", b"y"] * (len(records) // 2), "an append lands whole or not at all"
            assert claim == (len(records) // 2, b"v"), "claims land with their records"
            heir = store.enter(session, "t", at=2)
            assert heir.epoch == 2
            assert store.commit([append(session, 2, b"heir")]) == [Receipt(len(records) + 1, 2)]

    def test_a_dead_owners_sessions_are_stale_when_its_lease_is_over(
        self, store: Store, place: str | None, handles: Callable[[], Store]
    ) -> None:
        with children(place, ("victim", "hold", "conv-1")) as [child]:
            child.hear()
            assert store.stale() == []
            child.kill()
        if not until(lambda: not store.alive("victim"), within=2.0):
            # where leases run out by themselves this one has ten minutes left: nobody may take it for dead
            assert store.bury("victim") is False
            assert store.stale() == []
            return
        assert [row.session for row in store.stale()] == ["conv-1"]
        other = handles()
        other.open("p2")
        assert other.bury("victim") is True
        assert [row.session for row in other.stale()] == ["conv-1"]
        assert other.enter("conv-1", "t", at=2, expects=1).epoch == 2
        assert store.stale() == []
        other.close()
