"""A server that stops, is killed, or comes back with less than it had acknowledged."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract import append, payloads
from redis_house import WAIT

from toolguard.core.chain import verify
from toolguard.errors import Fenced, StoreError, StoreReadOnly
from toolguard.stores.base import Mark, Receipt, Swap
from toolguard.stores.redis import RedisStore
from toolguard.stores.redis_address import address
from toolguard.stores.redis_link import Link
from toolguard.testing.stores.valkey import valkey


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    with valkey(tmp_path / "v") as server:
        yield server


@pytest.fixture
def handles(server: Any) -> Iterator[Any]:
    made: list[RedisStore] = []

    def make(process: str, **more: Any) -> RedisStore:
        made.append(RedisStore(server.url, **{"wait": WAIT, **more}))
        made[-1].open(process)
        return made[-1]

    yield make
    for store in made:
        store.close()


def log_file(server: Any) -> Path:
    [found] = (server.folder / "appendonlydir").glob("*.incr.aof")
    return found


def lose_behind(server: Any, size: int) -> None:
    """Kill the server and take away what it wrote behind ``size``, as a crash of its machine does."""
    server.kill()
    os.truncate(log_file(server), size)
    server.start()


def test_a_restart_that_waits_for_the_disk_loses_nothing_acknowledged(server: Any, handles: Any) -> None:
    store = handles("p1")
    store.enter("conv-1", "t", at=1)
    mark = Mark("conv-1", 1, "t", "book", "planned", 1)
    store.commit([append("conv-1", 1, b"a", b"b", swaps=(Swap("k", 0, b"v"),), marks=(mark,))])
    for again in (server.restart, lambda: (server.kill(), server.start())):
        before = (store.session("conv-1"), store.raw("conv-1"), store.claim("k"), store.open_calls(), store.position())
        again()
        after = (store.session("conv-1"), store.raw("conv-1"), store.claim("k"), store.open_calls(), store.position())
        assert after == before
        assert not store.enter("conv-1", "t", at=2).doubtful
        epoch = store.session("conv-1").epoch
        [receipt] = store.commit([append("conv-1", epoch, b"c")])
        assert receipt.epoch == epoch
    assert payloads(store, "conv-1") == [b"a", b"b", b"c", b"c"]
    assert verify(store.raw("conv-1")).ok


@pytest.mark.parametrize("after", [5, 40, 150])
def test_a_server_killed_in_the_middle_of_commits_has_batches_whole_or_not_at_all(
    server: Any, handles: Any, after: int
) -> None:
    store = handles("p1", wait=5.0)
    acknowledged: list[int] = []
    enough, over = threading.Event(), threading.Event()

    def write() -> None:
        for turn in range(100_000):
            text = b"%d" % turn
            swap = (Swap("k", turn, text),)
            try:
                answers = store.commit([append("a", None, text, text, swaps=swap), append("b", None, text)])
            except StoreError:
                break
            assert [type(answer) for answer in answers] == [Receipt, Receipt]
            acknowledged.append(turn)
            if len(acknowledged) == after:
                enough.set()
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(60)
    server.kill()
    assert over.wait(60)
    writer.join(60)
    server.start()
    reader = handles("p2")
    b = payloads(reader, "b", limit=100_000)
    assert b == [b"%d" % turn for turn in range(len(b))]
    assert len(acknowledged) <= len(b) <= len(acknowledged) + 1
    assert payloads(reader, "a", limit=100_000) == [text for text in b for _ in range(2)]
    assert reader.claim("k") == (len(b), b[-1])
    assert reader.position() == 3 * len(b)
    assert all(verify(reader.raw(name, limit=100_000)).ok for name in "ab")


class TestDoubt:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Any]:
        with valkey(tmp_path / "v", "everysec") as server:
            yield server

    def test_a_session_is_doubtful_once_a_server_that_may_forget_was_killed(self, server: Any, handles: Any) -> None:
        store = handles("p1")
        assert not store.enter("conv-1", "t", at=1).doubtful
        store.commit([append("conv-1", 1, b"a")])
        assert not store.enter("conv-1", "t", at=2).doubtful
        server.kill()
        server.start()
        new = handles("p2")
        assert new.enter("fresh", "t", at=3).doubtful is False
        assert new.enter("conv-1", "t", at=3).doubtful
        assert new.enter("conv-1", "t", at=4).doubtful, "until its owner has written"
        assert new.commit([append("conv-1", 4, b"b")]) == [Receipt(2, 4)]
        assert not new.enter("conv-1", "t", at=5).doubtful

    def test_evidence_from_elsewhere_does_not_end_the_doubt(self, server: Any, handles: Any) -> None:
        store = handles("p1")
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a")])
        server.kill()
        server.start()
        other = handles("p2")
        assert other.commit([append("conv-1", None, b"evidence")]) == [Receipt(2, 1)]
        assert other.enter("conv-1", "t", at=2).doubtful
        assert other.commit([append("conv-1", 2, b"owner")]) == [Receipt(3, 2)]
        assert not other.session("conv-1").doubtful

    def test_a_replica_that_took_over_makes_sessions_doubtful_whatever_its_log(
        self, server: Any, handles: Any, tmp_path: Path
    ) -> None:
        store = handles("p1")
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a")])
        with valkey(tmp_path / "replica", replicaof=f"127.0.0.1 {server.port}") as replica:
            with pytest.raises(StoreReadOnly, match="replica"):
                RedisStore(replica.url, wait=3.0).open("p2")
            line = Link(address(replica.url, "x"), "looker", wait=WAIT)
            until = time.monotonic() + WAIT
            while b"master_link_status:up" not in line.ask("INFO", "replication"):
                assert time.monotonic() < until
            line.ask("REPLICAOF", "NO", "ONE")
            line.close()
            second = RedisStore(replica.url, wait=WAIT)
            second.open("p2")
            assert second.weak() == []
            assert payloads(second, "conv-1") == [b"a"]
            assert second.enter("conv-1", "t", at=2).doubtful
            second.close()


class TestLostRecords:
    def test_a_living_process_is_told_how_much_the_server_has_lost(self, server: Any, handles: Any) -> None:
        store, other = handles("p1"), handles("p2")
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a"), append("conv-2", None, b"x")])
        size = log_file(server).stat().st_size
        store.commit([append("conv-1", 1, b"b", b"c")])
        lose_behind(server, size)
        lost, fine = store.commit([append("conv-1", 1, b"d"), append("conv-2", None, b"y")])
        assert isinstance(lost, Fenced)
        assert "lost 2 acknowledged records" in str(lost)
        assert "Recover the session" in lost.advice
        assert fine == Receipt(2, 0)
        [again] = store.commit([append("conv-1", None, b"evidence")])
        assert isinstance(again, Fenced), "behind what is missing nothing is added"
        assert payloads(other, "conv-1") == [b"a"]
        row = store.enter("conv-1", "t", at=2)
        assert (row.epoch, row.seq) == (2, 1)
        assert store.commit([append("conv-1", 2, b"recovered")]) == [Receipt(2, 2)]
        assert verify(store.raw("conv-1")).ok

    def test_it_is_told_also_where_others_have_written_in_place_of_what_is_missing(
        self, server: Any, handles: Any
    ) -> None:
        store, other = handles("p1"), handles("p2")
        store.enter("conv-1", "t", at=1)
        store.commit([append("conv-1", 1, b"a")])
        size = log_file(server).stat().st_size
        store.commit([append("conv-1", 1, b"b")])
        lose_behind(server, size)
        assert other.commit([append("conv-1", None, b"x", b"y", b"z")]) == [Receipt(2, 1)]
        [lost] = store.commit([append("conv-1", 1, b"c")])
        assert isinstance(lost, Fenced)
        assert "lost acknowledged records" in str(lost)
        assert payloads(store, "conv-1") == [b"a", b"x", b"y", b"z"]

    def test_evidence_is_taken_again_once_somebody_has_recovered_the_session(self, server: Any, handles: Any) -> None:
        store, other = handles("p1"), handles("p2")
        store.commit([append("conv-1", None, b"a")])
        size = log_file(server).stat().st_size
        store.commit([append("conv-1", None, b"b")])
        lose_behind(server, size)
        assert isinstance(store.commit([append("conv-1", None, b"c")])[0], Fenced)
        other.enter("conv-1", "t", at=2)
        assert store.commit([append("conv-1", None, b"c")]) == [Receipt(2, 1)]
        assert verify(store.raw("conv-1")).ok

    def test_a_server_that_lost_everything_is_noticed_too(self, server: Any, handles: Any) -> None:
        store = handles("p1")
        store.commit([append("conv-1", None, b"a", b"b")])
        lose_behind(server, 0)
        [lost] = store.commit([append("conv-1", None, b"c")])
        assert "lost 2 acknowledged records" in str(lost)
