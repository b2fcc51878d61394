"""The PostgreSQL store while things fail: cut lines, killed servers and processes, rows that others hold."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest
from contract import append, payloads
from postgres_kit import Line, Sql, start, until

from toolguard.core.chain import verify
from toolguard.errors import Fenced, StoreBusy, StoreError, StoreReadOnly, StoreUnavailable
from toolguard.stores.base import Mark, Receipt, Swap
from toolguard.stores.postgres import PostgresStore
from toolguard.testing.stores.postgres import postgres


@pytest.fixture
def sql(postgres_place: Any) -> Iterator[Any]:
    with Sql(postgres_place) as sql:
        yield sql


@pytest.fixture
def line(postgres_place: Any) -> Iterator[Any]:
    with Line(postgres_place) as line:
        yield line


@pytest.fixture
def store(line: Any) -> Iterator[Any]:
    """A store whose line can be cut."""
    store = PostgresStore(line.place, wait=20.0)
    store.open("p1")
    for size in (1, 2):  # so that no later answer is only that of preparing a statement
        store.commit([append("warm", None, b"x")] * size)
    store.enter("warm", "t", at=1)
    yield store
    line.held.set()
    store.close()


MARK = Mark("a", 1, "t", "book", "planned", 1)
BATCHES = {
    "lone": [append("a", None, b"x")],
    "claiming": [append("a", None, b"x", swaps=(Swap("k", 0, b"v"),), marks=(MARK,))],
    "many": [append("a", None, b"x"), append("b", None, b"y"), append("a", 7, b"refused"), append("a", None, b"z")],
}


@pytest.mark.parametrize("kind", BATCHES)
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
@pytest.mark.parametrize("fault", ["swallow", "lose"])
def test_a_batch_whose_answer_is_lost_is_looked_up_and_lands_once(
    store: Any, line: Any, kind: str, known: bool, fault: str
) -> None:
    """Whether the answer or the question was lost: the batch is there once, and its receipts are right."""
    if known:
        store.commit([append("a", None, b"before"), append("b", None, b"before")])
    line.fault = fault
    answers = store.commit(BATCHES[kind])
    assert line.cuts == 1
    first = 2 if known else 1
    if kind == "many":
        assert answers[:2] + answers[3:] == [Receipt(first, 0), Receipt(first, 0), Receipt(first + 1, 0)]
        assert type(answers[2]).__name__ == "Fenced"
    else:
        assert answers == [Receipt(first, 0)]
    assert payloads(store, "a", after=first - 1) == ([b"x", b"z"] if kind == "many" else [b"x"])
    if kind == "claiming":
        assert (store.claim("k"), store.open_calls()) == ((1, b"v"), [MARK])
    assert store.commit([append("a", None, b"next")]) == [Receipt(first + (2 if kind == "many" else 1), 0)]
    assert verify(store.raw("a")).ok


def test_a_batch_of_refusals_whose_answer_is_lost_is_refused_all_the_same(store: Any, line: Any) -> None:
    store.commit([append("a", None, b"before", swaps=(Swap("k", 0, b"v"),))])
    line.fault = "swallow"
    [refusal] = store.commit([append("a", None, b"x", swaps=(Swap("k", 0, b"w"),))])
    assert line.cuts == 1
    assert type(refusal).__name__ == "ClaimLost"
    assert payloads(store, "a") == [b"before"]


@contextmanager
def nobody_knows(store: Any, line: Any, fault: str) -> Iterator[None]:
    """The line is cut in the middle of a commit and stays so."""
    patience, store._opened().link.wait = store._opened().link.wait, 0.3
    line.fault, line.down = fault, True
    with pytest.raises(StoreUnavailable, match="nobody knows") as caught:
        yield
    assert "Read the sessions again" in caught.value.advice
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.commit([append("z", None, b"never")])
    line.down = False
    store._opened().link.wait = patience


@pytest.mark.parametrize("fault", ["swallow", "lose"])
@pytest.mark.parametrize("entering", [True, False])
def test_what_landed_while_nobody_could_tell_is_not_written_again(
    store: Any, line: Any, fault: str, entering: bool
) -> None:
    """Whoever tries again does so with the same records, joined to others perhaps; they are there once."""
    store.commit([append("a", None, b"1", swaps=(Swap("k", 0, b"1"),))])
    late = append("a", None, b"2", swaps=(Swap("k", 1, b"2"),))
    other = append("b", None, b"x", b"y")
    with nobody_knows(store, line, fault):
        store.commit([late, other])
    if entering:
        store.enter("c", "t", at=1)
    third = append("a", None, b"3", swaps=(Swap("k", 2, b"3"),))
    joined = late._replace(drafts=(*late.drafts, *third.drafts), swaps=(*late.swaps, *third.swaps))
    assert store.commit([joined, other, append("b", None, b"z")]) == [Receipt(2, 0), Receipt(1, 0), Receipt(3, 0)]
    assert payloads(store, "a") == [b"1", b"2", b"3"]
    assert payloads(store, "b") == [b"x", b"y", b"z"]
    assert (store.claim("k"), store.session("z")) == ((3, b"3"), None)
    assert verify(store.raw("a")).ok
    assert verify(store.raw("b")).ok


def test_a_batch_that_was_given_up_never_lands_later(store: Any, line: Any, sql: Any) -> None:
    """Its question hangs on the line while a second one asks what became of it; then the line moves again."""
    store.commit([append("a", None, b"before")])
    writer = store._opened()
    number = writer._number
    statement = writer._calls["land_one_1"]
    from toolguard.stores.postgres_batch import Plan

    _, values = Plan([append("a", None, b"late")], writer._heads, "p1", None).packed(number + 1)
    assert sql("SELECT landed FROM {s}.settle_1('p1', $1)", number + 1) == [(False,)]
    with pytest.raises(Exception, match="is over"):
        sql(statement, *values)
    assert payloads(store, "a") == [b"before"]


def test_a_session_is_entered_once_though_the_answer_was_lost(store: Any, line: Any) -> None:
    for name, expects in (("new", 0), ("new", 1)):
        line.fault = "swallow"
        row = store.enter(name, "t", at=1, expects=expects)
        assert (row.epoch, row.owner) == (expects + 1, "p1")
        assert store.commit([append(name, row.epoch, b"x")]) == [Receipt(expects + 1, expects + 1)]
    assert line.cuts == 2


@pytest.mark.parametrize("fault", ["swallow", "lose"])
def test_what_is_asked_over_a_line_that_is_cut_is_asked_again(store: Any, line: Any, fault: str) -> None:
    store.commit([append("a", None, b"x")])
    for ask in (
        lambda: payloads(store, "a") == [b"x"],
        lambda: store.renew(20) > 10,
        lambda: store.note("n", b"v") is None,
        lambda: store.leave("a", "closed") is None,
        lambda: store.prune(1) == [],
    ):
        assert ask()
        line.fault = fault
        assert ask()
    assert line.cuts == 5
    assert (store.notes(), store.session("a").state) == ({"n": b"v"}, "closed")


def test_a_backend_that_is_ended_in_the_middle_of_a_commit_leaves_nothing_half(
    store: Any, sql: Any, postgres_place: Any
) -> None:
    """The batch waits for a row that somebody holds; its backend is ended; then it is tried again and lands once."""
    store.commit([append("a", None, b"before"), append("b", None, b"before")])
    with Sql(postgres_place) as holder:
        holder.script("BEGIN; SELECT 1 FROM {s}.sessions WHERE name = 'b' FOR UPDATE")
        with ThreadPoolExecutor() as pool:
            answers = pool.submit(store.commit, [append("a", None, b"x"), append("b", None, b"y")])
            waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{s}%land_1(%'"
            [(pid,)] = until(lambda: sql(waiting))
            sql("SELECT pg_terminate_backend($1)", pid)
            until(lambda: [row for row in sql(waiting) if row[0] != pid])
            holder.script("COMMIT")
        assert answers.result() == [Receipt(2, 0), Receipt(2, 0)]
    assert (payloads(store, "a"), payloads(store, "b")) == ([b"before", b"x"], [b"before", b"y"])


def test_rows_are_locked_in_one_order_whatever_the_batch_says(store: Any, sql: Any, postgres_place: Any) -> None:
    """So that two processes never wait for each other: while the batch waits for ``b`` it holds ``a`` already."""
    store.commit([append("a", None, b"1", swaps=(Swap("k", 0, b""),)), append("b", None, b"1")])
    with Sql(postgres_place) as holder:
        holder.script("BEGIN; SELECT 1 FROM {s}.sessions WHERE name = 'b' FOR UPDATE")
        with ThreadPoolExecutor() as pool:
            landing = pool.submit(store.commit, [append("b", None, b"2"), append("a", None, b"2")])
            until(lambda: sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{s}%'"))
            with pytest.raises(asyncpg.LockNotAvailableError):
                sql("SELECT 1 FROM {s}.sessions WHERE name = 'a' FOR UPDATE NOWAIT")
            holder.script("COMMIT")
        assert landing.result() == [Receipt(2, 0), Receipt(2, 0)]


def test_rows_that_somebody_holds_are_waited_for_a_bounded_time(postgres_place: Any, sql: Any) -> None:
    store = PostgresStore(postgres_place, wait=1.0)
    until(lambda: _opens(store))
    store.commit([append("a", None, b"before")])
    sql.script("BEGIN; SELECT 1 FROM {s}.sessions FOR UPDATE")
    with pytest.raises((StoreBusy, StoreUnavailable), match=r"[Nn]othing (of the batch )?was written"):
        store.commit([append("a", None, b"x")])
    sql.script("ROLLBACK")
    assert until(lambda: _lands(store, append("a", None, b"y"))) == [Receipt(2, 0)]
    assert payloads(store, "a") == [b"before", b"y"]
    store.close()


def _opens(store: Any) -> bool:
    try:
        store.open("p1")
    except StoreUnavailable:
        return False
    return True


def _lands(store: Any, what: Any) -> Any:
    try:
        return store.commit([what])
    except (StoreBusy, StoreUnavailable):
        return None


def test_a_server_that_does_not_answer_costs_a_bounded_time_and_nobody_knows(postgres_place: Any) -> None:
    with Line(postgres_place) as line:
        store = PostgresStore(line.place, wait=0.4)
        until(lambda: _opens(store))
        until(lambda: _lands(store, append("a", None, b"before")))
        known = store.session("a").seq
        line.held.clear()
        for ask in (lambda: store.commit([append("a", None, b"x")]), lambda: store.read("a")):
            with pytest.raises(StoreUnavailable) as caught:
                ask()
            assert store.name in str(caught.value)
            assert caught.value.advice
        line.held.set()
        until(lambda: _lands(store, append("a", None, b"after")))
        assert store.session("a").seq >= known + 1
        assert verify(store.raw("a")).ok
        store.close()


def test_nobody_knows_is_said_where_the_server_is_gone_in_the_middle_of_a_commit(tmp_path: Any) -> None:
    with postgres(tmp_path) as server:
        place = f"{server.url}&schema=toolguard_"
        with Line(place) as line:
            store = PostgresStore(line.place, wait=1.0)
            until(lambda: _opens(store))
            until(lambda: _lands(store, append("a", None, b"before")))
            server.kill()
            with pytest.raises(StoreUnavailable) as caught:
                store.commit([append("a", None, b"x")])
            assert "nobody knows" in str(caught.value)
            assert "Read the sessions again" in caught.value.advice
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                store.commit([append("a", None, b"x")])
            server.start()
            until(lambda: _lands(store, append("a", None, b"y")))
            assert b"y" in payloads(store, "a")
            assert verify(store.raw("a")).ok
            store.close()


def test_no_acknowledged_record_is_lost_and_no_batch_is_half_when_the_server_is_killed(tmp_path: Any) -> None:
    """Every append of a durable batch is there after SIGKILL at any moment, or none is."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    with postgres(tmp_path) as server:
        store = PostgresStore(server.url, wait=60.0)
        store.open("p1")
        said: list[int] = []
        over = threading.Event()

        def write() -> None:
            turn = 0
            while not over.is_set():
                turn += 1
                word = str(turn).encode()
                batch = [append(name, None, word, durable=True) for name in ("a", "b", "a")]
                if all(isinstance(answer, Receipt) for answer in store.commit(batch)):
                    said.append(turn)

        thread = threading.Thread(target=write)
        thread.start()
        for _ in range(6):
            count = len(said)
            until(lambda count=count: len(said) > count + 3)
            time.sleep(chance.random() * 0.02)
            server.kill()
            server.start()
        over.set()
        thread.join(100)
        store.close()
        store.open("reader")
        a, b = _all(store, "a"), _all(store, "b")
        assert b == sorted(set(b)), f"seed {seed}"
        assert a == [turn for turn in b for _ in range(2)], f"seed {seed}"
        assert set(said) <= set(b), f"seed {seed}"
        assert verify(store.raw("a", limit=10**6)).ok
        store.close()


def _all(store: Any, name: str) -> list[int]:
    return [int(payload) for payload in payloads(store, name, limit=10**6)]


def test_a_process_that_is_killed_leaves_whole_batches_and_everything_it_has_said(
    postgres_place: Any, postgres_handles: Any
) -> None:
    script = """
        store.open(sys.argv[2])
        for turn in range(10**6):
            batch = [append(name, None, str(turn).encode()) for name in ("a", "b", "a")]
            store.commit(batch)
            say(turn)
    """
    store = postgres_handles()
    store.open("p1")
    begun = 0
    for life in range(4):
        with start(script, postgres_place, f"life{life}") as child:
            said = [int(child.stdout.readline()) for _ in range(random.randrange(5, 40))][-1]
            child.kill()
            rest = child.stdout.read().split("\n")[:-1]
        said = int(rest[-1]) if rest else said
        until(lambda life=life: not _busy(store, f"life{life}"))
        a, b = _all(store, "a"), _all(store, "b")
        assert a == [turn for turn in b for _ in range(2)]
        assert b[begun:] == list(range(len(b) - begun))
        assert len(b) - begun >= said + 1
        begun = len(b)
        store._opened().ask("UPDATE {s}.processes SET until = clock_timestamp() WHERE process = $1", f"life{life}")
        assert store.bury(f"life{life}")
    assert verify(store.raw("a", limit=10**6)).ok
    store.close()


def _busy(store: Any, process: str) -> bool:
    """Whether a backend of a client that is gone still works."""
    own = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%{s}%land%' AND state = 'active'"
    return store._opened().ask(own + " AND pid <> pg_backend_pid()")[0][0] > 0


def test_a_crash_of_the_server_loses_nothing_that_was_acknowledged(tmp_path: Any) -> None:
    """Also of batches that ask for no power durability: a living process goes on behind its last record."""
    with postgres(tmp_path, wal_writer_delay="10s", wal_writer_flush_after="1GB") as server:
        store = PostgresStore(server.url, wait=60.0)
        store.open("p1")
        for turn in range(100):
            store.commit([append("a", None, str(turn).encode())])
        seen = store.tail(after=0)[-1][0]
        server.kill()
        server.start()
        assert payloads(store, "a") == [str(turn).encode() for turn in range(100)]
        assert store.commit([append("a", None, b"after")]) == [Receipt(101, 0)]
        assert store.tail(after=seen) == [(store.position(), "a", store.read("a", after=100)[0])]
        assert verify(store.raw("a")).ok
        store.close()


def test_a_session_that_the_server_knows_less_of_is_refused_until_it_is_entered(
    sql: Any, postgres_handles: Any
) -> None:
    """As after a failover to a standby that had not got the newest records; other sessions of the batch land."""
    store = postgres_handles()
    store.open("p1")
    store.enter("a", "t", at=1)
    for word in (b"1", b"2", b"3"):
        store.commit([append("a", 1, word), append("b", None, word)])
    sql.script("""
        DELETE FROM {s}.journal j USING {s}.sessions t WHERE t.id = j.session AND t.name = 'a' AND j.seq > 1;
        UPDATE {s}.sessions t SET seq = 1, chain = substring(j.frame FROM length(j.frame) - 31)
            FROM {s}.journal j WHERE t.id = j.session AND t.name = 'a'
    """)
    for _ in range(2):
        lost, fine = store.commit([append("a", 1, b"4"), append("b", None, b"4")])
        assert isinstance(lost, Fenced)
        assert "lost 2 acknowledged records" in str(lost)
        assert isinstance(fine, Receipt)
    assert store.enter("a", "t", at=2).seq == 1
    assert store.commit([append("a", 2, b"after")]) == [Receipt(2, 2)]
    assert verify(store.raw("a")).ok
    store.close()


def test_weak_settings_of_the_server_are_named(tmp_path: Any) -> None:
    with postgres(tmp_path, fsync="off", full_page_writes="off") as server:
        store = PostgresStore(server.url, wait=60.0)
        store.open("p1")
        fsync, pages = store.weak()
        assert "fsync off" in fsync
        assert "full_page_writes off" in pages
        store.close()


def test_a_hot_standby_is_refused_and_an_asynchronous_one_is_named(tmp_path: Any) -> None:
    with postgres(tmp_path / "first") as first:
        store = PostgresStore(first.url, wait=60.0)
        store.open("p1")
        with first.standby(tmp_path / "second") as second:
            with pytest.raises(StoreReadOnly, match="hot standby"):
                PostgresStore(second.url, wait=60.0).open("p2")
            until(store.weak)
            assert "standby servers follow" in store.weak()[0]
        store.close()


def test_closing_a_store_whose_server_is_gone_ends(tmp_path: Any) -> None:
    with postgres(tmp_path) as server:
        store = PostgresStore(server.url, wait=1.0)
        until(lambda: _opens(store))
        server.kill()
        store.close()
        with pytest.raises(StoreError):
            store.open("p2")
