"""Connections that are cut, held up or gone: an answer that was lost is fetched, nothing is carried out twice."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract import append, payloads
from redis_house import WAIT, handles, server
from redis_proxy import Proxy

from toolguard.core.chain import verify
from toolguard.errors import StoreError, StoreUnavailable
from toolguard.stores.base import Receipt, Swap
from toolguard.stores.redis import RedisStore
from toolguard.stores.redis_commit_lua import SETTLE
from toolguard.testing.stores.valkey import valkey

__all__ = ["handles", "server"]


@pytest.fixture
def proxy(server: Any) -> Iterator[Any]:
    proxy = Proxy(server.url)
    yield proxy
    proxy.close()


@pytest.fixture
def store(handles: Any, proxy: Any, server: Any) -> Iterator[Any]:
    """A handle whose connection goes over the proxy."""
    direct = handles()
    store = RedisStore(proxy.url, prefix=direct._where.prefix.strip("{}"), wait=WAIT)
    store.open("p1")
    yield store
    store.close()


def swapped(turn: int) -> Any:
    return append("conv-1", None, b"%d" % turn, swaps=(Swap("k", turn - 1, b"%d" % turn),))


def impatient(store: Any) -> None:
    store._link._loop.wait = store._link._wait = 0.5


def patient(store: Any) -> None:
    store._link._loop.wait = store._link._wait = WAIT


class TestUnknownOutcome:
    def test_an_answer_that_was_lost_is_looked_up_and_the_batch_is_there_once(self, store: Any, proxy: Any) -> None:
        store.commit([swapped(1)])
        proxy.cut_answers = True
        assert store.commit([swapped(2), append("conv-2", None, b"x", b"y")]) == [Receipt(2, 0), Receipt(1, 0)]
        assert proxy.dropped.acquire(timeout=WAIT), "the batch had landed before its answer was thrown away"
        assert payloads(store, "conv-1") == [b"1", b"2"]
        assert payloads(store, "conv-2") == [b"x", b"y"]
        assert store.claim("k") == (2, b"2")
        assert store.commit([swapped(3)]) == [Receipt(3, 0)]
        assert verify(store.raw("conv-1")).ok

    def test_a_refusal_whose_answer_was_lost_is_told_as_it_was(self, store: Any, proxy: Any) -> None:
        store.commit([swapped(1)])
        proxy.cut_answers = True
        refused, landed = store.commit([swapped(1), append("conv-2", None, b"x")])
        assert proxy.dropped.acquire(timeout=WAIT)
        assert (refused.code, landed) == ("claim_lost", Receipt(1, 0))

    def test_a_session_is_entered_once_although_the_answer_was_lost(self, store: Any, proxy: Any) -> None:
        proxy.cut_answers = True
        assert store.enter("conv-1", "t", at=1, expects=0).epoch == 1
        assert proxy.dropped.acquire(timeout=WAIT)
        assert store.session("conv-1").epoch == 1

    def test_if_it_cannot_be_looked_up_nobody_knows(self, store: Any, proxy: Any) -> None:
        store.commit([swapped(1)])
        impatient(store)
        proxy.cut_answers = proxy.down = True
        with pytest.raises(StoreUnavailable, match="nobody knows") as caught:
            store.commit([swapped(2)])
        assert "Read the sessions again" in caught.value.advice
        proxy.down = False
        patient(store)
        assert payloads(store, "conv-1") == [b"1", b"2"]
        assert store.commit([swapped(3)]) == [Receipt(3, 0)]
        assert verify(store.raw("conv-1")).ok

    @pytest.mark.parametrize("between", ["nothing", "entering", "failing"])
    def test_what_had_landed_is_not_written_again_when_its_writer_tries_again(
        self, store: Any, proxy: Any, between: str
    ) -> None:
        store.commit([swapped(1)])
        late, other = swapped(2), append("conv-2", None, b"x", b"y")
        impatient(store)
        proxy.cut_answers = proxy.down = True
        with pytest.raises(StoreUnavailable, match="nobody knows"):
            store.commit([late, other])
        if between == "failing":
            with pytest.raises(StoreUnavailable):
                store.commit([late, other])
        proxy.down = False
        patient(store)
        if between == "entering":
            store.enter("conv-3", "t", at=1)
        joined = late._replace(drafts=(*late.drafts, *swapped(3).drafts), swaps=(*late.swaps, *swapped(3).swaps))
        assert store.commit([joined, append("conv-2", None, b"z")]) == [Receipt(2, 0), Receipt(3, 0)]
        assert store.commit([other, append("conv-1", None, b"4")]) == [Receipt(1, 0), Receipt(4, 0)]
        assert payloads(store, "conv-1") == [b"1", b"2", b"3", b"4"]
        assert payloads(store, "conv-2") == [b"x", b"y", b"z"]
        assert store.claim("k") == (3, b"3")
        assert verify(store.raw("conv-1")).ok

    def test_a_fate_is_found_out_although_the_first_answer_about_it_was_lost_too(
        self, store: Any, proxy: Any, handles: Any
    ) -> None:
        looker = handles()
        looker.open("p2")
        looker._link.ask("SCRIPT", "LOAD", SETTLE)
        store.commit([swapped(1)])
        late = swapped(2)
        impatient(store)
        for why in ("nobody knows", "cannot be reached"):
            proxy.trap, proxy.down = b"EVALSHA", False
            with pytest.raises(StoreUnavailable, match=why):
                store.commit([late])
            assert proxy.dropped.acquire(timeout=WAIT)
        proxy.down = False
        patient(store)
        assert store.commit([late]) == [Receipt(2, 0)]
        assert payloads(store, "conv-1") == [b"1", b"2"]

    def test_what_had_not_landed_is_written_when_its_writer_tries_again_and_only_then(
        self, store: Any, proxy: Any
    ) -> None:
        store.commit([append("conv-1", None, b"1")])
        late = append("conv-1", None, b"2")
        impatient(store)
        proxy.hold = True
        with pytest.raises(StoreUnavailable, match="nobody knows"):
            store.commit([late])
        held, proxy.held, proxy.hold = proxy.held, [], False
        proxy.cut()
        patient(store)
        assert store.commit([late]) == [Receipt(2, 0)]
        for _, data in held:
            with contextlib.suppress(OSError), socket.create_connection(proxy._server) as line:
                line.sendall(data)
        assert payloads(store, "conv-1") == [b"1", b"2"]

    def test_a_request_that_never_left_is_certain_not_to_have_happened(self, store: Any, proxy: Any) -> None:
        store.commit([swapped(1)])
        store._link._loop.run(store._link._drop())
        proxy.down = True
        impatient(store)
        with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
            store.commit([swapped(2)])
        assert "nobody knows" not in str(caught.value)

    def test_a_request_held_up_on_its_way_is_not_carried_out_behind_a_later_one(self, store: Any, proxy: Any) -> None:
        store.commit([append("conv-1", None, b"1")])
        impatient(store)
        proxy.hold = True
        with pytest.raises(StoreUnavailable, match="nobody knows"):
            store.commit([append("conv-2", None, b"held")])
        held, proxy.held, proxy.hold = proxy.held, [], False
        patient(store)
        proxy.cut()
        assert store.commit([append("conv-1", None, b"2")]) == [Receipt(2, 0)]
        [frames] = [data for _, data in held if b"EVALSHA" in data][:1]
        with socket.create_connection(proxy._server) as late:
            late.sendall(frames)
            late.settimeout(WAIT)
            assert b"late" in late.recv(4096)
        assert store.session("conv-2") is None
        assert store.position() == 2


class TestConnection:
    def test_a_connection_that_was_cut_is_made_anew(self, store: Any, proxy: Any) -> None:
        store.commit([swapped(1)])
        proxy.cut()
        assert payloads(store, "conv-1") == [b"1"]
        proxy.cut()
        assert store.commit([swapped(2)]) == [Receipt(2, 0)]

    def test_a_client_that_the_server_throws_out_comes_back(self, store: Any, handles: Any) -> None:
        other = handles()
        other.open("p2")
        assert store._link.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") >= 1
        assert other.commit([swapped(1)]) == [Receipt(1, 0)]

    def test_scripts_that_the_server_has_forgotten_are_told_again(self, store: Any) -> None:
        store.commit([swapped(1)])
        store._link.ask("SCRIPT", "FLUSH")
        assert store.commit([swapped(2)]) == [Receipt(2, 0)]
        store._link.ask("SCRIPT", "FLUSH")
        assert store.enter("conv-1", "t", at=1).seq == 2
        assert [seq for _, _, frame in store.tail(after=0) for seq in [frame.seq]] == [1, 2]

    def test_a_forked_child_is_refused_and_leaves_the_parents_connection_alone(self, store: Any) -> None:
        store.commit([swapped(1)])
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                store.commit([swapped(2)])
            except StoreUnavailable as error:
                store.close()
                os.write(writer, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        assert b"forked" in os.read(reader, 1000)
        os.close(reader)
        assert store.alive("p1")
        assert store.commit([swapped(2)]) == [Receipt(2, 0)]

    async def test_it_is_not_called_on_an_event_loop(self, handles: Any) -> None:
        with pytest.raises(StoreError, match="running event loop"):
            handles().open("p1")


class TestServer:
    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[Any]:
        with valkey(tmp_path / "v") as server:
            yield server

    def test_one_that_is_down_is_waited_for_and_then_named(self, own: Any) -> None:
        store = RedisStore(own.url, wait=WAIT)
        store.open("p1")
        store.commit([swapped(1)])
        own.stop()
        impatient(store)
        for ask in (lambda: store.commit([swapped(2)]), lambda: store.read("conv-1"), lambda: store.renew(5)):
            with pytest.raises(StoreUnavailable) as caught:
                ask()
            assert f"127.0.0.1:{own.port}" in str(caught.value)
            assert caught.value.advice
        own.start()
        patient(store)
        assert payloads(store, "conv-1") == [b"1"]
        assert store.commit([swapped(2)]) == [Receipt(2, 0)]
        store.close()

    def test_one_that_comes_back_within_the_wait_costs_a_delay_alone(self, own: Any) -> None:
        store = RedisStore(own.url, wait=WAIT)
        store.open("p1")
        store.commit([swapped(1)])
        own.stop()
        later = threading.Timer(0.3, own.start)
        later.start()
        try:
            assert store.commit([swapped(2)]) == [Receipt(2, 0)]
        finally:
            later.join()  # whatever happens: what starts behind the fixture's end is ended by nobody
            store.close()

    def test_one_that_hangs_is_given_up_and_carries_the_batch_out_once(self, own: Any) -> None:
        store = RedisStore(own.url, wait=WAIT)
        store.open("p1")
        store.commit([append("conv-1", None, b"1")])
        impatient(store)
        os.kill(own.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable, match="nobody knows"):
                store.commit([append("conv-1", None, b"2")])
        finally:
            os.kill(own.pid, signal.SIGCONT)
        store.close()
        reader = RedisStore(own.url, wait=WAIT)
        reader.open("p2")
        assert payloads(reader, "conv-1") in ([b"1"], [b"1", b"2"])
        [receipt] = reader.commit([append("conv-1", None, b"3")])
        assert payloads(reader, "conv-1")[receipt.seq - 1 :] == [b"3"]
        assert verify(reader.raw("conv-1")).ok
        reader.close()

    def test_closing_gives_up_one_that_is_gone(self, own: Any) -> None:
        store = RedisStore(own.url, wait=WAIT)
        store.open("p1")
        impatient(store)
        own.stop()
        store.close()
        with pytest.raises(StoreUnavailable, match="not open"):
            store.session("conv-1")
        store.close()


class TestListening:
    def test_it_wakes_for_records_of_other_handles(self, store: Any, handles: Any) -> None:
        other = handles()
        other.open("p2")
        woken = threading.Semaphore(0)
        end = store.listen(woken.release)
        assert woken.acquire(timeout=WAIT), "what landed before the subscription was not heard"
        other.commit([swapped(1)])
        assert woken.acquire(timeout=WAIT)
        other.commit([append("conv-1", 9, b"refused")])
        other.enter("conv-1", "t", at=1)
        assert not woken.acquire(timeout=0.2), "nothing has landed"
        end()
        end()

    def test_it_wakes_again_after_its_connection_was_lost(self, store: Any, handles: Any, proxy: Any) -> None:
        other = handles()
        other.open("p2")
        woken = threading.Semaphore(0)
        store.listen(woken.release)
        assert woken.acquire(timeout=WAIT)
        proxy.cut()
        assert woken.acquire(timeout=WAIT), "what landed meanwhile may not have been heard"
        while woken.acquire(blocking=False):
            pass
        other.commit([swapped(1)])
        assert woken.acquire(timeout=WAIT)

    @pytest.mark.parametrize("how", ["ended", "closed"])
    def test_its_thread_and_its_connection_are_gone_afterwards(self, store: Any, handles: Any, how: str) -> None:
        looker = handles()
        looker.open("p2")
        heard = threading.Event()
        end = store.listen(heard.set)
        assert heard.wait(WAIT)
        assert looker._link.ask("CLIENT", "LIST", "TYPE", "pubsub")
        end() if how == "ended" else store.close()
        until = time.monotonic() + WAIT
        while looker._link.ask("CLIENT", "LIST", "TYPE", "pubsub") or any(
            thread.name == "toolguard-listener" for thread in threading.enumerate()
        ):
            assert time.monotonic() < until
