"""Several processes on one PostgreSQL server: order, fences, claims, and who hears of whom."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from contract import append, payloads
from postgres_kit import Line, Sql, start, until

from toolguard.core.chain import verify
from toolguard.errors import ClaimLost, Fenced, LeaseLost
from toolguard.stores.base import Receipt, Swap
from toolguard.stores.postgres import PostgresStore


@pytest.fixture
def pair(postgres_handles: Any) -> Iterator[Any]:
    """Two handles, as two processes have them."""
    handles = [postgres_handles(), postgres_handles()]
    for number, handle in enumerate(handles, 1):
        handle.open(f"p{number}")
    yield handles
    for handle in handles:
        handle.close()


@pytest.fixture
def sql(postgres_place: Any) -> Iterator[Any]:
    with Sql(postgres_place) as sql:
        yield sql


def both(handles: Any, work: Any) -> list[Any]:
    """Do something with each handle at once."""
    with ThreadPoolExecutor(len(handles)) as pool:
        return [done.result(100) for done in [pool.submit(work, number, h) for number, h in enumerate(handles)]]


def test_two_writers_at_one_session_leave_one_dense_chain(pair: Any) -> None:
    def write(number: int, store: Any) -> list[Any]:
        said: list[Any] = []
        for turn in range(60):
            words = [f"{number} {turn} {part}".encode() for part in range(turn % 3 + 1)]
            said += store.commit([append("shared", None, *words), append("shared", None, b"second")][: turn % 2 + 1])
        return said

    receipts = [receipt.seq for said in both(pair, write) for receipt in said]
    rows = pair[0].raw("shared", limit=10_000)
    row = pair[1].session("shared")
    assert verify(rows, anchor=(row.seq, row.chain)).ok
    assert len(set(receipts)) == len(receipts)
    for number in range(2):
        own = [word for word in payloads(pair[0], "shared", limit=10_000) if word.startswith(f"{number} ".encode())]
        assert own == [f"{number} {turn} {part}".encode() for turn in range(60) for part in range(turn % 3 + 1)]


def test_a_writer_that_is_always_late_lands_all_the_same(pair: Any) -> None:
    """Where others are first again and again, the rows stay locked between two tries."""
    store, other = pair
    plain = store._opened()._polite
    late: list[int] = []

    async def overtaken(conn: Any, plan: Any) -> Any:
        late.append(1)
        batch = [append("a", None, b"first"), append("b", None, b"first")]
        await asyncio.to_thread(other.commit, batch)
        return await plain(conn, plan)

    store.commit([append("a", None, b"0")])
    store._opened()._polite = overtaken
    assert [type(answer) for answer in store.commit([append("a", None, b"x"), append("b", None, b"y")])] == [
        Receipt
    ] * 2
    assert [type(answer) for answer in store.commit([append("a", None, b"z")])] == [Receipt]
    assert len(late) == 4
    assert [word for word in payloads(store, "a") if word != b"first"] == [b"0", b"x", b"z"]
    assert verify(store.raw("a")).ok
    assert verify(store.raw("b")).ok


def test_two_writers_at_the_same_sessions_in_opposite_order_do_not_stand_in_each_others_way(
    pair: Any, sql: Any
) -> None:
    def write(number: int, store: Any) -> list[Any]:
        names = [f"s{spot}" for spot in range(12)][:: 1 if number else -1]
        said: list[Any] = []
        for turn in range(25):
            batch = [
                append(name, None, f"{number} {turn}".encode(), swaps=(Swap(f"{name}/{number}/{turn}", 0, b""),))
                for name in names
            ]
            said += store.commit(batch)
        return said

    before = sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert {type(answer) for said in both(pair, write) for answer in said} == {Receipt}
    sql("SELECT pg_stat_clear_snapshot()")
    assert sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == before
    for spot in range(12):
        assert pair[0].session(f"s{spot}").seq == 50
        assert verify(pair[0].raw(f"s{spot}")).ok


def test_of_two_claimants_at_the_same_moment_one_gets_every_claim(pair: Any) -> None:
    def claim(number: int, store: Any) -> list[Any]:
        answers: list[Any] = []
        for turn in range(0, 60, 2):
            swaps = (Swap(f"k{turn}", 0, b"%d" % number), Swap(f"k{turn + 1}", 0, b"%d" % number))
            answers += store.commit([append(f"own{number}", None, b"x", swaps=swaps if number else swaps[::-1])])
        return answers

    first, second = both(pair, claim)
    for turn, answers in enumerate(zip(first, second, strict=True)):
        kinds = [type(answer) for answer in answers]
        assert sorted(kinds, key=str) == sorted([Receipt, ClaimLost], key=str), f"claim {turn}"
        winner = b"%d" % kinds.index(Receipt)
        assert pair[0].claim(f"k{2 * turn}") == pair[0].claim(f"k{2 * turn + 1}") == (1, winner)


def test_no_reader_ever_sees_a_position_before_a_smaller_one(postgres_place: Any, postgres_handles: Any) -> None:
    """Writers commit in any order; what a reader has passed never gets a predecessor."""
    script = """
        store.open(sys.argv[2])
        for turn in range(150):
            batch = [append(f"{sys.argv[2]}-{turn % 5}", None, b"x" * (turn % 7), b"y", durable=turn % 3 == 0)]
            store.commit(batch * (turn % 4 + 1))
        store.close()
    """
    reader = postgres_handles()
    reader.open("reader")
    children = [start(script, postgres_place, f"w{number}") for number in range(3)]
    seen: list[tuple[int, str, int]] = []
    after = 0
    while True:
        over = all(child.poll() is not None for child in children)
        horizon = reader.position()
        rows = reader.tail(after=after, limit=50)
        for position, session, frame in rows:
            assert position > after
            after = position
            seen.append((position, session, frame.seq))
        assert over or after >= horizon or len(rows) == 50
        if over and not rows:
            break
    for child in children:
        child.communicate(timeout=60)
    told = sorted((session, seq) for _, session, seq in seen)
    assert told == sorted((row.session, seq) for row in reader.sessions() for seq in range(1, row.seq + 1))
    assert [place[0] for place in seen] == sorted(place[0] for place in seen)
    assert reader.position() == after
    reader.close()


def test_a_batch_under_way_holds_back_what_came_after_it_and_nothing_else_does(pair: Any, sql: Any) -> None:
    store, other = pair
    store.commit([append("a", None, b"1")])
    with Sql(_place_of(sql, store)) as foreign:
        foreign.script("BEGIN; CREATE TABLE {s}.anything (n int)")  # a long transaction of somebody else
        sql.script("CREATE FUNCTION {s}.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                   " PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$;"
                   " CREATE TRIGGER slow AFTER INSERT ON {s}.journal FOR EACH ROW WHEN (NEW.frame LIKE '%slow%'::bytea)"
                   " EXECUTE FUNCTION {s}.slow()")  # fmt: skip
        sql("SELECT pg_advisory_lock(4711)")
        with ThreadPoolExecutor() as pool:
            slow = pool.submit(store.commit, [append("slow", None, b"slow", b"slow too")])
            until(lambda: sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"))
            other.commit([append("b", None, b"2"), append("a", None, b"3")])
            assert [session for _, session, _ in other.tail(after=0)] == ["a"]
            assert other.position() == other.tail(after=0)[-1][0]
            sql("SELECT pg_advisory_unlock(4711)")
            assert slow.result(60) == [Receipt(1, 0)]
        assert sorted(session for _, session, _ in other.tail(after=0)) == ["a", "a", "b", "slow", "slow"]
        assert other.position() == other.tail(after=0)[-1][0]


def _place_of(sql: Any, store: Any) -> str:
    return f"{store.place.url}&schema={sql.schema}"


def test_a_zombie_is_fenced_and_its_lease_is_over(postgres_place: Any, postgres_handles: Any, tmp_path: Path) -> None:
    """T1, T4: a worker that is stopped past its lease wakes up after another one has taken over."""
    script = """
        store.open(sys.argv[2])
        store.enter("a", "t", at=1)
        store.renew(0.2)
        say("owns")
        while not os.path.exists(sys.argv[3]):
            time.sleep(0.01)
        effect = store.commit([append("a", 1, b"effect", lease=0.001)])[0]
        evidence = store.commit([append("a", None, b"evidence")])[0]
        say(type(effect).__name__, evidence.seq)
        try:
            store.renew(10)
        except Exception as error:
            say(type(error).__name__)
    """
    wake = tmp_path / "wake"
    with start(script, postgres_place, "zombie", wake) as child:
        assert child.stdout.readline() == "owns\n"
        child.send_signal(signal.SIGSTOP)
        store = postgres_handles()
        store.open("p2")
        until(lambda: store.bury("zombie"))
        assert [row.session for row in store.stale()] == ["a"]
        assert store.enter("a", "t", at=2, expects=1).epoch == 2
        assert store.stale() == []
        assert store.commit([append("a", 2, b"owner")]) == [Receipt(1, 2)]
        wake.touch()
        child.send_signal(signal.SIGCONT)
        assert child.stdout.readline() == "Fenced 2\n"
        assert child.stdout.readline() == "LeaseLost\n"
        child.kill()
    assert payloads(store, "a") == [b"owner", b"evidence"]
    assert verify(store.raw("a")).ok
    store.close()


def test_finding_dead_and_renewing_at_once_has_one_winner(pair: Any) -> None:
    store, other = pair
    for turn in range(15):
        third = type(store)(_place(store), wait=20.0)
        third.open(f"third{turn}")
        third.renew(0)

        def act(number: int, handle: Any, turn: int = turn) -> Any:
            if not number:
                return handle.bury(f"third{turn}")
            try:
                return handle.renew(30) > 0
            except LeaseLost:
                return False

        buried, renewed = both([other, third], act)
        assert buried is not renewed
        assert other.alive(f"third{turn}") is renewed
        third.close()


def _place(store: Any) -> str:
    return f"{store.place.url}&schema={store.place.schema[1:-1]}"


# -- listening ------------------------------------------------------------------------------------------------------


def test_whoever_listens_hears_what_others_have_landed(pair: Any) -> None:
    store, other = pair
    woken = threading.Event()
    end = store.listen(woken.set)
    assert not woken.wait(0.2)
    for batch in (
        [append("a", None, b"x")],
        [append("a", None, b"x", durable=True)],
        [append("a", None, b"x"), append("b", None, b"x")],
        [append("a", None, b"x", durable=True), append("b", None, b"x")],
    ):
        assert [type(answer) for answer in other.commit(batch)] == [Receipt] * len(batch)
        assert woken.wait(60)
        until(lambda: not store._listeners[0]._loop._ready)
        woken.clear()
    store.commit([append("a", None, b"own")])
    assert woken.wait(60)
    end()
    until(lambda: not store._listeners[0].running)
    woken.clear()
    other.commit([append("a", None, b"unheard")])
    assert not woken.wait(0.3)


def test_a_batch_of_refusals_wakes_nobody(pair: Any) -> None:
    store, other = pair
    woken = threading.Event()
    store.listen(woken.set)
    assert [type(answer) for answer in other.commit([append("a", 9, b"x")])] == [Fenced]
    assert not woken.wait(0.3)


def test_a_listener_hears_again_after_its_line_was_cut(postgres_place: Any, pair: Any) -> None:
    other = pair[1]
    with Line(postgres_place) as line:
        store = PostgresStore(line.place, wait=20.0)
        store.open("p3")
        woken = threading.Event()
        store.listen(woken.set)
        line.cut()
        assert woken.wait(60), "what landed meanwhile was not heard, so that it has to wake once"
        until(lambda: _hears(other, woken))
        store.close()
        assert [thread.name for thread in threading.enumerate() if thread.name == "toolguard-listener"] == []


def _hears(other: Any, woken: threading.Event) -> bool:
    woken.clear()
    other.commit([append("a", None, b"x", durable=True)])
    return woken.wait(0.2)


def test_a_listener_whose_hearer_fails_goes_on(pair: Any) -> None:
    store, other = pair
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise RuntimeError("not mine")

    store.listen(fail)
    other.commit([append("a", None, b"x")])
    until(lambda: len(calls) == 1)
    other.commit([append("a", None, b"x")])
    until(lambda: len(calls) == 2)


def test_listening_ends_with_its_store_and_other_stores_listen_on(pair: Any) -> None:
    store, other = pair
    first, second = threading.Event(), threading.Event()
    store.listen(first.set)
    other.listen(second.set)
    store.close()
    other.commit([append("a", None, b"x")])
    assert second.wait(60)
    assert not first.is_set()
    store.open("p1-again")
    end = store.listen(first.set)
    end()
    end()
    until(lambda: not store._listeners[0].running)


def test_nobody_pays_for_listening_where_nobody_listens(pair: Any) -> None:
    store, other = pair
    store.commit([append("a", None, b"x", durable=True)])
    assert store._opened().link._echo is None
    other.listen(lambda: None)
    store.commit([append("a", None, b"x", durable=True)])
    assert store._opened().link._echo is not None
    assert store.session("a").seq == 2
