"""Leases by the server's clock, owners found dead, and several handles on one session at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from contract import append, payloads
from redis_house import WAIT, handles, server

from toolguard.core.chain import verify
from toolguard.errors import ClaimLost, Fenced, LeaseLost
from toolguard.stores.base import Mark, Receipt, Snapshot, Swap

__all__ = ["handles", "server"]


@pytest.fixture
def pair(handles: Any) -> Any:
    first, second = handles(), handles()
    first.open("p1")
    second.open("p2")
    return first, second


def expire(store: Any, process: str) -> None:
    """Let a lease run out by the server's own clock, as that of a process that was stopped for too long."""
    store._link.ask("PEXPIRE", f"{store._where.prefix}:l:{process}", 1)
    until = time.monotonic() + WAIT
    while store.alive(process):
        assert time.monotonic() < until


class TestLease:
    def test_it_lasts_for_as_long_as_was_asked_by_the_servers_clock(self, pair: Any) -> None:
        store, other = pair
        key = f"{store._where.prefix}:l:p1"
        assert 0 < other._link.ask("PTTL", key) <= 10_000
        assert store.renew(60) == 60
        assert 10_000 < other._link.ask("PTTL", key) <= 60_000
        store.renew(0.05)
        until = time.monotonic() + WAIT
        while other.alive("p1"):
            assert time.monotonic() < until
        assert store.renew(10) == 10, "nobody has found it dead"
        assert other.alive("p1")

    def test_a_process_found_dead_never_lives_again(self, pair: Any) -> None:
        store, other = pair
        assert not other.bury("p1"), "it lives"
        expire(other, "p1")
        assert other.bury("p1")
        assert other.bury("p1")
        for _ in range(2):
            with pytest.raises(LeaseLost) as caught:
                store.renew(10)
        assert "start it anew" in caught.value.advice
        assert not other.alive("p1")

    def test_a_mutation_does_not_begin_with_too_little_of_the_lease_left(self, pair: Any) -> None:
        store, other = pair
        store.renew(20)
        refused, fine = store.commit(
            [
                append("conv-1", None, b"began", lease=3600.0, swaps=(Swap("k", 0, b"v"),)),
                append("conv-2", None, b"began", lease=0.5, swaps=(Swap("k", 0, b"w"),)),
            ]
        )
        assert isinstance(refused, LeaseLost)
        assert refused.ref == "conv-1"
        assert fine == Receipt(1, 0)
        assert store.claim("k") == (1, b"w")
        expire(other, "p1")
        refused, evidence = store.commit([append("conv-2", None, b"no", lease=0.001), append("conv-2", None, b"yes")])
        assert isinstance(refused, LeaseLost)
        assert evidence == Receipt(2, 0)
        assert payloads(store, "conv-2") == [b"began", b"yes"]

    def test_a_zombie_that_wakes_up_decides_nothing_and_its_evidence_lands(self, pair: Any) -> None:
        store, other = pair
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"planned")])
        expire(other, "p1")
        [found] = other.stale()
        assert (found.session, found.owner) == ("conv-1", "p1")
        assert other.bury("p1")
        assert other.enter("conv-1", "t", at=2, expects=found.epoch).epoch == 2
        with pytest.raises(Fenced, match="another process was first"):
            store.enter("conv-1", "t", at=3, expects=1)
        decided, began, evidence = store.commit(
            [append("conv-1", 1, b"no"), append("conv-1", 1, b"no", lease=1.0), append("conv-1", None, b"returned")]
        )
        assert (type(decided), type(began), evidence) == (Fenced, Fenced, Receipt(2, 2))
        assert other.commit([append("conv-1", 2, b"goes on")]) == [Receipt(3, 2)]
        assert verify(other.raw("conv-1")).ok

    def test_of_two_that_claim_a_stale_session_one_gets_it(self, pair: Any) -> None:
        for turn in range(20):
            name = f"conv-{turn}"
            pair[0].enter(name, "t", at=1)
            barrier = threading.Barrier(2)

            def claim(store: Any, name: str = name, barrier: Any = barrier) -> Any:
                barrier.wait(WAIT)
                try:
                    return store.enter(name, "t", at=2, expects=1).owner
                except Fenced:
                    return None

            with ThreadPoolExecutor(2) as pool:
                owners = list(pool.map(claim, pair))
            assert [owner for owner in owners if owner] == [pair[0].session(name).owner]

    def test_stale_sessions_are_open_and_without_a_living_owner(self, pair: Any, handles: Any) -> None:
        store, other = pair
        third = handles()
        third.open("p3")
        for name in ("a", "b", "c", "d", "e"):
            (third if name in "bde" else store).enter(name, "t", at=1)
        store.leave("c", "open")
        third.leave("d", "closed")
        assert [row.session for row in other.stale()] == ["c"]
        third.close()
        assert [row.session for row in other.stale()] == ["b", "c", "e"]
        assert [row.session for row in other.stale(after="b", limit=1)] == ["c"]
        assert other.stale(limit=0) == []

    def test_now_is_the_servers_clock(self, pair: Any) -> None:
        first, second = pair[0].now(), pair[1].now()
        assert 0 <= second - first < 60 * 10**9
        assert abs(first - time.time_ns()) < 60 * 10**9


class TestSharing:
    def test_handles_that_take_turns_keep_one_dense_chain(self, pair: Any) -> None:
        for turn in range(12):
            store = pair[turn % 2]
            text = b"%d" % turn
            first, second = store.commit([append("conv-1", None, text), append("conv-1", None, text, text)])
            assert (first.seq, second.seq) == (3 * turn + 1, 3 * turn + 2)
        rows = pair[0].raw("conv-1")
        assert [seq for seq, _ in rows] == list(range(1, 37))
        row = pair[1].session("conv-1")
        assert verify(rows, anchor=(row.seq, row.chain)).ok

    def test_handles_that_write_at_once_keep_a_dense_chain_and_their_own_order(self, pair: Any) -> None:
        def write(store: Any) -> Any:
            mine = store._link.process.encode()
            for turn in range(60):
                store.commit([append("conv-1", None, b"%s/%d" % (mine, turn)), append("conv-2", None, mine)])

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(write, pair))
        rows = pair[0].raw("conv-1")
        row = pair[0].session("conv-1")
        assert (row.seq, verify(rows, anchor=(row.seq, row.chain)).ok) == (120, True)
        texts = payloads(pair[0], "conv-1")
        for name in (b"p1", b"p2"):
            assert [text for text in texts if text.startswith(name)] == [b"%s/%d" % (name, turn) for turn in range(60)]
        positions = [position for position, _, _ in pair[0].tail(after=0)]
        assert positions == list(range(1, 241))
        assert pair[0].position() == 240

    def test_of_two_that_claim_one_occurrence_one_gets_it(self, pair: Any) -> None:
        def claim(store: Any) -> Any:
            mine = store._link.process
            swaps = [(Swap(f"k{turn}", 0, mine.encode()),) for turn in range(60)]
            answers = [store.commit([append(mine, None, b"c", swaps=swap)])[0] for swap in swaps]
            assert {type(answer) for answer in answers} <= {Receipt, ClaimLost}
            return [isinstance(answer, Receipt) for answer in answers]

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(claim, pair)
        assert [a != b for a, b in zip(first, second, strict=True)] == [True] * 60
        assert [pair[0].claim(f"k{turn}") for turn in range(60)] == [(1, b"p1" if won else b"p2") for won in first]

    def test_what_follows_a_refused_append_of_its_session_lands_in_its_order(self, pair: Any) -> None:
        store, other = pair
        other.commit([append("conv-1", None, b"theirs", swaps=(Swap("k", 0, b"v"),))])
        answers = store.commit(
            [
                append("conv-1", None, b"1"),
                append("conv-1", None, b"no", b"no", swaps=(Swap("k", 0, b"w"), Swap("free", 0, b"w"))),
                append("conv-1", None, b"2", swaps=(Swap("free", 0, b"x"),)),
                append("conv-1", 7, b"no"),
                append("conv-1", None, b"3", b"4"),
            ]
        )
        assert [type(answer) for answer in answers] == [Receipt, ClaimLost, Receipt, Fenced, Receipt]
        assert [answer.seq for answer in answers if isinstance(answer, Receipt)] == [2, 3, 4]
        assert payloads(store, "conv-1") == [b"theirs", b"1", b"2", b"3", b"4"]
        assert (store.claim("free"), verify(store.raw("conv-1")).ok) == ((1, b"x"), True)

    def test_a_batch_is_one_round_trip(self, pair: Any) -> None:
        store, other = pair
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a")])

        def scripts() -> Any:
            told = other._link.ask("INFO", "commandstats").decode()
            return next(int(line.split("calls=")[1].split(",")[0]) for line in told.splitlines() if "_evalsha:" in line)

        before = scripts()
        store.commit([append("conv-1", 1, b"b", b"c"), append("conv-2", None, b"x"), append("conv-1", 1, b"d")])
        assert scripts() - before == 1


class TestKeeping:
    def test_a_snapshot_takes_the_place_of_an_older_one_and_its_known_parts_stay(self, pair: Any) -> None:
        store, other = pair
        assert not store.keep(Snapshot("conv-1", 1, b"h"), known=0), "there is no such session"
        store.commit([append("conv-1", None, b"a", b"b", b"c")])
        assert store.snapshot("conv-1") is None
        assert store.keep(Snapshot("conv-1", 2, b"h2", (b"p0", b"\x00\xff")), known=0)
        assert other.snapshot("conv-1") == Snapshot("conv-1", 2, b"h2", (b"p0", b"\x00\xff"))
        assert not other.keep(Snapshot("conv-1", 2, b"again", (b"p0", b"\x00\xff")), known=2), "it is not newer"
        assert not other.keep(Snapshot("conv-1", 3, b"h3", (b"p0",)), known=1), "others have kept more parts"
        assert other.keep(Snapshot("conv-1", 3, b"h3", (b"not", b"written", b"p2")), known=2)
        assert store.snapshot("conv-1") == Snapshot("conv-1", 3, b"h3", (b"p0", b"\x00\xff", b"p2"))

    def test_old_closed_sessions_are_taken_away_and_claims_stay(self, pair: Any) -> None:
        store, other = pair
        for name, at in (("busy", 100), ("new", 900), ("old", 100), ("older", 50), ("open", 100)):
            marks = (Mark(name, 1, "t", "book", "in_doubt", 1),) if name == "busy" else ()
            store.enter(name, "t", at=at)
            swaps = (Swap(f"k/{name}", 0, b"v"),)
            store.commit([append(name, 1, marks=marks, swaps=swaps)._replace(drafts=_drafts(at))])
            if name != "open":
                store.leave(name, "closed")
        store.keep(Snapshot("old", 1, b"h", (b"p",)), known=0)
        assert other.prune(500, limit=1) == ["old"]
        assert other.prune(500) == ["older"]
        assert other.prune(500) == []
        assert [row.session for row in store.sessions()] == ["busy", "new", "open"]
        assert (store.read("old"), store.snapshot("old"), store.claim("k/old")) == ([], None, (1, b"v"))
        assert [(position, name) for position, name, _ in store.tail(after=0)] == [
            (1, "busy"), (2, "busy"), (3, "new"), (4, "new"), (9, "open"), (10, "open")
        ]  # fmt: skip
        assert store.position() == 10
        assert store.commit([append("old", None, b"late")]) == [Receipt(1, 0)]
        assert store._link.ask("EXISTS", f"{store._where.prefix}:j:older") == 0


def _drafts(at: int) -> Any:
    from contract import draft

    return (draft(b"a", at), draft(b"b", at))
