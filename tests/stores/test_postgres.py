"""The PostgreSQL store keeps every rule of the contract, on a real server, and says clearly what it cannot do."""

import os
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from contract import StoreContract, append, draft, payloads
from hypothesis import given
from hypothesis import strategies as st
from postgres_kit import Line, Sql, start
from server_trouble import PostgresTrouble

from toolguard.core.chain import verify
from toolguard.core.frame import Draft
from toolguard.errors import (
    ClaimLost,
    FeatureMissing,
    Fenced,
    StoreDamaged,
    StoreError,
    StoreForeign,
    StoreReadOnly,
    StoreUnavailable,
)
from toolguard.stores import postgres_tables
from toolguard.stores.base import Append, Mark, Receipt, Snapshot, Swap
from toolguard.stores.memory import MemoryStore
from toolguard.stores.postgres import PostgresStore
from toolguard.stores.postgres_text import KEY_LIMIT, unwritten, written


@pytest.fixture
def store(postgres_handles: Any) -> Iterator[Any]:
    store = postgres_handles()
    store.open("p1")
    yield store
    store.close()


@pytest.fixture
def sql(postgres_place: Any) -> Iterator[Any]:
    with Sql(postgres_place) as sql:
        yield sql


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def place(self, postgres_place: Any) -> Any:
        return postgres_place

    @pytest.fixture
    def line(self, postgres_place: Any) -> Iterator[Any]:
        with Line(postgres_place) as line:
            yield line

    @pytest.fixture
    def handles(self, line: Any) -> Any:
        return lambda: PostgresStore(line.place, wait=30.0)

    @pytest.fixture
    def trouble(self, line: Any) -> Any:
        return PostgresTrouble(line)


# -- texts ----------------------------------------------------------------------------------------------------------


def test_a_text_with_nul_is_kept_as_it_is(store: Any) -> None:
    name, odd = "conv\0\1", "\1\0x"
    store.enter(name, odd, at=1)
    mark = Mark(name, 1, odd, odd, odd, 5)
    store.commit([append(name, 1, b"a", swaps=(Swap(odd, 0, b"v"),), marks=(mark,)), append("b\0", None, b"b")])
    store.note(odd, b"n")
    assert store.session(name)[:4] == (name, odd, 1, "p1")
    assert [row.session for row in store.sessions(after="b\0")] == [name]
    assert store.open_calls(session=name, phase=odd, tenant=odd) == [mark]
    assert (store.claim(odd), store.notes("\1"), store.notes("\0")) == ((1, b"v"), {odd: b"n"}, {})
    assert [(session, frame.payload) for _, session, frame in store.tail(after=0)] == [(name, b"a"), ("b\0", b"b")]


@given(st.lists(st.text(alphabet="\0\1\2a\uffff\U00010000"), min_size=2, max_size=2))
def test_what_is_written_keeps_every_text_apart_and_in_order(texts: Any) -> None:
    first, second = texts
    assert unwritten(written(first)) == first
    assert "\0" not in written(first)
    assert (written(first) < written(second)) == (first < second)
    assert written(second).startswith(written(first)) == second.startswith(first)


def test_a_key_that_is_too_long_fails_its_append_alone(store: Any) -> None:
    long = "x" * (KEY_LIMIT + 1)
    whole = "é" * (KEY_LIMIT // 2)
    answers = store.commit(
        [
            append(long, None, b"a"),
            append("c", None, b"a", swaps=(Swap(long, 0, b""),)),
            append("c", None, b"a", marks=(Mark(long, 1, "", "", "planned", 1),)),
            append(whole, None, b"a", swaps=(Swap(whole, 0, b""),), marks=(Mark(whole, 1, "", long, "planned", 1),)),
        ]
    )
    assert [type(answer) for answer in answers] == [StoreError, StoreError, StoreError, Receipt]
    for refused in (
        lambda: store.enter(long, "t", at=1),
        lambda: store.note(long, b""),
        lambda: store.bury(long),
        lambda: store.enter("a\ud800", "t", at=1),
    ):
        with pytest.raises(StoreError, match="cannot be stored"):
            refused()


def test_a_value_that_cannot_be_looked_up_says_so(store: Any) -> None:
    for asked in (
        lambda: store.session("a\ud800"),
        lambda: store.read("a", after=2**80),
        lambda: store.claim("\udfff"),
    ):
        with pytest.raises(StoreError):
            asked()
    assert store.sessions() == []


# -- batches --------------------------------------------------------------------------------------------------------


def test_numbers_that_no_server_holds_are_refused_like_any_other_wrong_one(store: Any) -> None:
    store.enter("a", "t", at=1)
    answers = store.commit(
        [
            append("a", 2**40, b"x"),
            append("a", 1, b"x", swaps=(Swap("k", 2**70, b""),)),
            append("a", 1, b"x", swaps=(Swap("k", 0, "text"),)),
            append("a", 1, b"y"),
        ]
    )
    assert [type(answer) for answer in answers] == [Fenced, ClaimLost, StoreError, Receipt]
    assert [type(answer) for answer in store.commit([append("a", -5, b"x")])] == [Fenced]
    assert payloads(store, "a") == [b"y"]


def test_what_follows_a_refused_append_of_its_session_lands_in_order(store: Any, postgres_handles: Any) -> None:
    """The frames behind it were packed for a place that it did not take."""
    other = postgres_handles()
    other.open("p2")
    other.commit([append("x", None, swaps=(Swap("taken", 0, b"v"),))])
    batch = [
        append("a", None, b"1"),
        append("a", None, b"no", swaps=(Swap("taken", 0, b"w"),)),
        append("a", None, b"2"),
        append("b", None, b"3", swaps=(Swap("taken", 1, b"w"),)),
        append("a", None, b"4", b"5"),
    ]
    answers = store.commit(batch)
    assert [answer if isinstance(answer, Receipt) else type(answer) for answer in answers] == [
        *(Receipt(1, 0), ClaimLost, Receipt(2, 0), Receipt(1, 0), Receipt(3, 0))
    ]
    assert payloads(store, "a") == [b"1", b"2", b"4", b"5"]
    assert other.commit([append("a", None, b"6")]) == [Receipt(5, 0)]
    row = store.session("a")
    assert verify(store.raw("a"), anchor=(row.seq, row.chain)).ok
    other.close()


@pytest.mark.parametrize("_turn", range(3))
def test_any_stream_of_batches_leaves_what_it_leaves_in_memory(_turn: int, postgres_handles: Any) -> None:
    """Lone appends and batches, two handles in turn, claims and marks and old epochs, against the memory store."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    memory = MemoryStore()
    pairs = [(postgres_handles(), memory), (postgres_handles(), memory.twin())]
    for number, pair in enumerate(pairs):
        for store in pair:
            store.open(f"p{number}")
    for _ in range(120):
        pair = chance.choice(pairs)
        if chance.random() < 0.15:
            name, at = chance.choice("abc"), chance.randrange(100)
            assert pair[0].enter(name, "t", at=at) == pair[1].enter(name, "t", at=at)
            continue
        batch = [_any_append(chance) for _ in range(chance.choice([1, 1, 1, 2, 5]))]
        said = [[_plain(answer) for answer in store.commit(batch)] for store in pair]
        assert said[0] == said[1], f"seed {seed}: {batch}"
    ours, theirs = pairs[0]
    assert ours.sessions() == theirs.sessions()
    assert ours.open_calls() == theirs.open_calls()
    assert [ours.claim(key) for key in "klm"] == [theirs.claim(key) for key in "klm"]
    assert [ours.raw(name) for name in "abc"] == [theirs.raw(name) for name in "abc"]
    assert [row[1:] for row in ours.tail(after=0, limit=9999)] == [row[1:] for row in theirs.tail(after=0, limit=9999)]
    for pair in pairs:
        for store in pair:
            store.close()


def _any_append(chance: random.Random) -> Append:
    name = chance.choice("abc")
    swaps = tuple(
        Swap(chance.choice("klm"), chance.choice([0, 0, 1, 2, 3]), bytes([chance.randrange(256)]))
        for _ in range(chance.choice([0, 0, 0, 1, 2]))
    )
    marks = tuple(
        Mark(chance.choice("abc"), chance.randrange(2), "t", "tool", chance.choice(["", "planned", "in_doubt"]), 7)
        for _ in range(chance.choice([0, 0, 1, 2]))
    )
    drafts = tuple(
        Draft(1, 1, 0, chance.randrange(1, 1000), bytes([chance.randrange(256)])) for _ in range(chance.randrange(3))
    )
    return Append(name, chance.choice([None, None, 1, 2, 3]), drafts, chance.random() < 0.3, swaps, marks)


def _plain(answer: Any) -> Any:
    return answer if isinstance(answer, Receipt) else (type(answer), answer.ref)


def test_a_claim_of_an_append_that_is_refused_is_free_for_the_next_one_of_its_batch(store: Any) -> None:
    store.commit([append("a", None, swaps=(Swap("taken", 0, b"v"),))])
    answers = store.commit(
        [
            append("a", None, b"x", swaps=(Swap("free", 0, b"1"), Swap("free", 1, b"2"), Swap("taken", 0, b"1"))),
            append("b", None, b"y", swaps=(Swap("free", 0, b"2"),)),
        ]
    )
    assert [type(answer) for answer in answers] == [ClaimLost, Receipt]
    assert store.claim("free") == (1, b"2")


# -- leases, snapshots, retention -----------------------------------------------------------------------------------


def test_an_append_that_needs_more_of_the_lease_than_is_left_is_refused_alone(store: Any) -> None:
    """T4: the server's clock judges, inside the transaction."""
    assert 29 < store.renew(30) <= 30
    for batch in ([append("a", None, b"x", lease=31)], [append("a", None, b"x", lease=31), append("b", None, b"y")]):
        answers = store.commit(batch)
        assert answers[0].code == "lease_lost"
        assert answers[0].ref == "a"
        assert answers[1:] in ([], [Receipt(1, 0)])
    assert store.commit([append("a", None, b"x", lease=20)]) == [Receipt(1, 0)]
    assert store.commit([append("a", None, b"x", lease=20), append("b", None, b"y", lease=20)]) == [
        *(Receipt(2, 0), Receipt(2, 0))
    ]


def test_a_process_whose_lease_is_over_lives_on_until_it_is_buried(store: Any, postgres_handles: Any) -> None:
    other = postgres_handles()
    other.open("p2")
    other.enter("a", "t", at=1)
    assert not store.bury("p2")
    assert store.stale() == []
    assert other.renew(0) <= 0
    assert not store.alive("p2")
    assert [row.session for row in store.stale()] == ["a"]
    assert 8 < other.renew(9) <= 9
    assert store.alive("p2")
    assert store.stale() == []
    other.renew(0)
    assert store.bury("p2")
    assert store.bury("p2")
    with pytest.raises(StoreError) as caught:
        other.renew(9)
    assert caught.value.code == "lease_lost"
    zombie = other.commit([append("a", 1, b"effect", lease=0.001), append("a", None, b"evidence")])
    assert [type(answer).__name__ for answer in zombie] == ["LeaseLost", "Receipt"]
    [lone] = other.commit([append("a", 1, b"effect", lease=0.001)])
    assert lone.code == "lease_lost"
    other.close()
    again = postgres_handles()
    with pytest.raises(StoreError, match="lease of p2"):
        again.open("p2")


def test_a_process_that_nobody_knows_can_be_buried_and_never_begins(store: Any, postgres_handles: Any) -> None:
    assert store.bury("ghost")
    with pytest.raises(StoreError, match="ghost"):
        postgres_handles().open("ghost")


def test_the_servers_clock_is_what_processes_share(store: Any, sql: Any) -> None:
    before = sql("SELECT (extract(epoch FROM clock_timestamp())::numeric * 1000000000)::bigint")[0][0]
    now = store.now()
    after = sql("SELECT (extract(epoch FROM clock_timestamp())::numeric * 1000000000)::bigint")[0][0]
    assert before <= now <= after


def test_of_two_who_expect_the_same_epoch_one_gets_the_session(store: Any, postgres_handles: Any) -> None:
    other = postgres_handles()
    other.open("p2")
    store.enter("old", "t", at=1)
    for name, expects in (("new", 0), ("old", 1)):
        with ThreadPoolExecutor() as pool:
            tries = [pool.submit(_try_to_enter, handle, name, expects) for handle in (store, other)]
        assert sorted(str(tried.result()) for tried in tries) == [str(expects + 1), "Fenced"]
        assert store.session(name).epoch == expects + 1
    with pytest.raises(Fenced, match="stands at epoch 0"):
        store.enter("nobody", "t", at=1, expects=4)
    assert store.session("nobody") is None
    other.close()


def _try_to_enter(handle: Any, name: str, expects: int) -> Any:
    try:
        return handle.enter(name, "t", at=2, expects=expects).epoch
    except Fenced:
        return "Fenced"


def test_snapshots_replace_older_ones_and_write_only_new_parts(store: Any, postgres_handles: Any) -> None:
    assert not store.keep(Snapshot("nobody", 1, b"h"), known=0)
    store.commit([append("a", None, b"x")])
    assert store.snapshot("a") is None
    assert not store.keep(Snapshot("a", 1, b"h", (b"1",)), known=1)
    assert store.keep(Snapshot("a", 1, b"h1", (b"1",)), known=0)
    assert not store.keep(Snapshot("a", 1, b"h1", (b"1",)), known=1)
    assert not store.keep(Snapshot("a", 2, b"h2", (b"1", b"2")), known=0)
    assert store.keep(Snapshot("a", 2, b"h2", (b"never read again", b"2", b"3")), known=1)
    assert store.snapshot("a") == Snapshot("a", 2, b"h2", (b"1", b"2", b"3"))
    other = postgres_handles()
    other.open("p2")
    assert other.keep(Snapshot("a", 5, b"h5", (b"", b"", b"")), known=3)
    assert store.snapshot("a") == Snapshot("a", 5, b"h5", (b"1", b"2", b"3"))
    other.close()


def test_retention_takes_old_closed_sessions_and_leaves_claims_and_open_calls(
    store: Any, postgres_handles: Any
) -> None:
    other = postgres_handles()
    other.open("p2")
    mark = Mark("doubtful", 1, "t", "book", "in_doubt", 1)
    for name, marks in (("old", ()), ("doubtful", (mark,)), ("open", ()), ("young", ())):
        store.enter(name, "t", at=1)
        at = 900 if name == "young" else 10
        record = Append(name, 1, (draft(b"x", at),), swaps=(Swap(name, 0, b"v"),), marks=marks)
        assert store.commit([record]) == [Receipt(1, 1)]
        store.keep(Snapshot(name, 1, b"h", (b"p",)), known=0)
        other.commit([append(name, 1, b"seen by another")] if name == "old" else [])
        if name != "open":
            store.leave(name, "closed")
    position = store.position()
    assert store.prune(500) == []
    assert store.prune(1_001, limit=0) == []
    assert store.prune(1_001, limit=1) == ["old"], "one with a call in doubt takes nobody's place"
    assert store.prune(1_001) == ["young"]
    assert [row.session for row in store.sessions()] == ["doubtful", "open"]
    assert (store.raw("old"), store.snapshot("old"), store.claim("old")) == ([], None, (1, b"v"))
    assert [session for _, session, _ in store.tail(after=0)] == ["doubtful", "open"]
    assert store.position() == position
    assert other.commit([append("old", None, b"begun anew"), append("young", None, b"x")]) == [Receipt(1, 0)] * 2
    assert verify(store.raw("old")).ok
    other.close()


# -- the schema -----------------------------------------------------------------------------------------------------


def test_the_format_is_written_down_and_a_newer_one_is_refused(store: Any, sql: Any, postgres_handles: Any) -> None:
    assert sql("SELECT value FROM {s}.meta WHERE key = 'format'") == [(str(postgres_tables.FORMAT),)]
    sql("UPDATE {s}.meta SET value = '99' WHERE key = 'format'")
    with pytest.raises(StoreForeign, match="format 99") as caught:
        postgres_handles().open("p2")
    assert "newer version" in caught.value.advice


def test_an_older_format_is_brought_forward_step_by_step(
    store: Any, sql: Any, postgres_handles: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {
        2: "CREATE TABLE {s}.second (n int)",
        3: "ALTER TABLE {s}.second ADD COLUMN m int; INSERT INTO {s}.second VALUES (1, 2)",
    }
    for module in (postgres_tables, sys.modules["toolguard.stores.postgres_schema"]):
        monkeypatch.setattr(module, "STEPS", steps)
        monkeypatch.setattr(module, "FORMAT", 3)
    other = postgres_handles()
    other.open("p2")
    other.close()
    assert sql("SELECT n, m FROM {s}.second") == [(1, 2)]
    assert sql("SELECT value FROM {s}.meta WHERE key = 'format'") == [("3",)]
    other.open("p2")
    other.close()


def test_a_journal_keeps_the_key_of_its_chains(postgres_handles: Any) -> None:
    store = postgres_handles(chain_key=b"secret")
    store.open("p1")
    store.commit([append("a", None, b"x", b"y")])
    assert verify(store.raw("a"), key=b"secret").ok
    assert not verify(store.raw("a")).ok
    store.close()
    for key in (None, b"other"):
        with pytest.raises(StoreForeign, match="another key"):
            postgres_handles(chain_key=key).open("p2")


def test_a_schema_of_somebody_else_is_left_alone(sql: Any, postgres_handles: Any) -> None:
    sql.script("CREATE SCHEMA {s}; CREATE TABLE {s}.journal (n int)")
    with pytest.raises(StoreForeign, match="something else"):
        postgres_handles().open("p1")
    sql.script("CREATE TABLE {s}.meta (n int)")
    with pytest.raises(StoreForeign, match="something else"):
        postgres_handles().open("p1")
    assert sql("SELECT count(*) FROM pg_class WHERE relnamespace = '{s}'::regnamespace") == [(2,)]


def test_a_role_that_may_not_make_the_schema_is_told_what_to_run(sql: Any, postgres_place: Any) -> None:
    role = f"r{sql.schema}"
    sql(f"CREATE ROLE {role} LOGIN")
    place = postgres_place.replace("//postgres@", f"//{role}@")
    store = PostgresStore(place, wait=20.0)
    with pytest.raises(StoreReadOnly) as caught:
        store.open("p1")
    said = f'CREATE SCHEMA "{sql.schema}" AUTHORIZATION "{role}";'
    assert said in caught.value.advice
    sql(f"CREATE SCHEMA {sql.schema}")
    with pytest.raises(StoreReadOnly) as caught:
        store.open("p1")
    sql.script(caught.value.advice.partition("run: ")[2])
    store.open("p1")
    assert store.commit([append("a", None, b"x")]) == [Receipt(1, 0)]
    store.close()


def test_a_role_without_rights_on_the_tables_is_told_so(store: Any, sql: Any, postgres_place: Any) -> None:
    role = f"r{sql.schema}"
    sql.script(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {{s}} TO {role}")
    with pytest.raises(StoreReadOnly, match="may not use") as caught:
        PostgresStore(postgres_place.replace("//postgres@", f"//{role}@"), wait=20.0).open("p2")
    assert "grant" in caught.value.advice


def test_processes_that_open_at_once_set_one_schema_up(postgres_place: Any, postgres_handles: Any) -> None:
    script = """
        sys.stdin.readline()
        store.open(sys.argv[2])
        print(store.commit([append("shared", None, sys.argv[2].encode())])[0].seq, flush=True)
        store.close()
    """
    children = [start(script, postgres_place, f"c{number}") for number in range(4)]
    said = [child.communicate(timeout=100)[0].strip() for child in children]
    assert sorted(said) == ["1", "2", "3", "4"]
    store = postgres_handles()
    store.open("p1")
    assert verify(store.raw("shared")).ok
    store.close()


def test_a_database_of_another_encoding_is_refused(sql: Any, postgres_place: Any) -> None:
    name = f"d{sql.schema}"
    sql(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    with pytest.raises(StoreForeign, match="SQL_ASCII"):
        PostgresStore(postgres_place.replace("/postgres?", f"/{name}?"), wait=20.0).open("p1")
    sql(f"DROP DATABASE {name}")


def test_a_role_whose_transactions_are_read_only_is_refused(sql: Any, postgres_place: Any) -> None:
    role = f"r{sql.schema}"
    sql.script(f"CREATE ROLE {role} LOGIN SUPERUSER; ALTER ROLE {role} SET default_transaction_read_only = on")
    with pytest.raises(StoreReadOnly, match="takes no writes"):
        PostgresStore(postgres_place.replace("//postgres@", f"//{role}@"), wait=20.0).open("p1")


def test_every_batch_is_durable_whatever_the_roles_default_is(sql: Any, postgres_place: Any) -> None:
    role = f"r{sql.schema}"
    sql.script(f"CREATE ROLE {role} LOGIN SUPERUSER; ALTER ROLE {role} SET synchronous_commit = off")
    store = PostgresStore(postgres_place.replace("//postgres@", f"//{role}@"), wait=20.0)
    store.open("p1")
    assert store._opened().ask("SHOW synchronous_commit") == [("on",)]
    assert store.weak() == []
    sql.script("""
        CREATE FUNCTION {s}.seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO {s}.notes VALUES ('sync' || NEW.seq, current_setting('synchronous_commit')::bytea); RETURN NEW;
        END $$;
        CREATE TRIGGER seen AFTER INSERT ON {s}.journal FOR EACH ROW EXECUTE FUNCTION {s}.seen()
    """)
    store.commit([append("a", None, b"x", durable=True)])
    store.commit([append("a", None, b"x")])
    store.commit([append("a", None, b"x", durable=True), append("a", None, b"x")])
    store.commit([append("a", None, b"x"), append("a", None, b"x")])
    assert list(store.notes().values()) == [b"on"] * 6
    store.close()


# -- addresses and errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2#x@db/agents",
        "postgresql://u:hunter2@x@db/agents",
        "postgresql://u:hunter2/x@db/agents",
        "postgresql://u:hunter2?x@db/agents",
        "postgresql://db:hunter2/agents",
        "postgresql://db:/agents?password=hunter2",
        "mysql://u:hunter2@db/agents",
        "postgresql://u:hunter2@db/agents?schema=a-b",
        "postgresql://u:hunter2@[::1/agents",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StoreForeign) as caught:
        PostgresStore(url)
    assert "hunter2" not in f"{caught.value!s}{caught.value.__cause__}"
    assert caught.value.advice


def test_the_password_is_never_shown(tmp_path: Any) -> None:
    for url in (
        f"postgresql://app:hunter2@/agents?host={tmp_path}",
        f"postgresql://app@/agents?host={tmp_path}&password=hunter2",
        "postgresql://app:hunter2@127.0.0.1:1/agents",
        f"postgresql://app:hunter2@/agents?host={tmp_path}&sslmode=nonsense",
    ):
        store = PostgresStore(url, wait=0.3)
        assert "hunter2" not in store.name
        assert "app@" in store.name
        with pytest.raises(StoreError) as caught:
            store.open("p1")
        error: BaseException | None = caught.value
        assert store.name in str(error)
        assert caught.value.advice
        while error is not None:
            assert "hunter2" not in str(error)
            error = error.__cause__


def test_a_database_that_is_not_there_is_named(postgres_place: Any) -> None:
    with pytest.raises(StoreUnavailable, match=r"lets nobody in.*nowhere"):
        PostgresStore(postgres_place.replace("/postgres?", "/nowhere?"), wait=20.0).open("p1")


def test_without_its_client_the_store_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(FeatureMissing, match="asyncpg") as caught:
        PostgresStore("postgresql://localhost/db")
    assert "pip install" in caught.value.advice


def test_a_changed_record_is_not_read(store: Any, sql: Any) -> None:
    store.commit([append("a", None, b"x")])
    sql("UPDATE {s}.journal SET frame = 'nonsense'")
    for read in (lambda: store.read("a"), lambda: store.tail(after=0)):
        with pytest.raises(StoreDamaged, match="record 1") as caught:
            read()
        assert caught.value.ref == "a"


def test_a_schema_that_is_taken_away_is_missed(store: Any, sql: Any) -> None:
    sql("DROP SCHEMA {s} CASCADE")
    with pytest.raises(StoreForeign, match="gone"):
        store.commit([append("a", None, b"x")])


def test_a_forked_child_is_refused_and_leaves_the_parent_alone(store: Any) -> None:
    store.commit([append("a", None, b"x")])
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        said = b"used it"
        try:
            store.commit([append("a", None, b"child")])
        except StoreUnavailable as error:
            said = str(error).encode()
        store.close()
        os.write(writer, said)
        os._exit(0)
    os.waitpid(child, 0)
    assert b"before this process was forked" in os.read(reader, 4096)
    os.close(reader)
    os.close(writer)
    assert store.commit([append("a", None, b"y")]) == [Receipt(2, 0)]
    assert store.alive("p1")
