"""Snapshots of sessions: recovery begins with the newest one, and nothing is ever lost because of one."""

import asyncio
import itertools
import random
import sqlite3
from dataclasses import asdict, fields

import msgspec
import pytest
from histories import EFFECTS, RELATIONS, TWO, play

import toolguard
from toolguard import Guard
from toolguard.core import records as r
from toolguard.core import sealing, snapshot
from toolguard.core.frame import Draft
from toolguard.core.lazy import Records
from toolguard.core.state import State
from toolguard.engine import folding as folds
from toolguard.engine import ledger as ledgers
from toolguard.engine.folding import LONG, PAGE, fold
from toolguard.errors import StoreForeign, StoreUnavailable
from toolguard.stores.base import Append
from toolguard.stores.disk import DiskStore
from toolguard.stores.memory import MemoryStore
from toolguard.testing.stores.postgres import postgres
from toolguard.testing.stores.valkey import valkey

AT = 1_700_000_000_000_000_000
SOON = 60.0


@toolguard.mutation(identity="who", repeat="allow", max_calls=10_000)
async def charge(who: str) -> str:
    return f"ch_{who}"


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "journal")


@pytest.fixture
def small(monkeypatch):
    """Pieces of a few rows, so that short histories have many."""
    monkeypatch.setattr(sealing, "PIECE", 8)
    monkeypatch.setattr(sealing, "WARM", 4)


def deep(state):
    """All of a state, down to the last value."""
    told = {field.name: getattr(state, field.name) for field in fields(state) if field.name != "conversation"}
    told["slots"] = {number: asdict(slot) for number, slot in state.slots.items()}
    told["runs"] = {number: asdict(run) for number, run in state.runs.items()}
    told["said"] = [asdict(item) for item in state.conversation.items]
    return told


async def grow(guard, calls, session="conv-1", start=1):
    """Some hundred records of calls that are over; the process is gone without a word."""
    await guard.open()
    row = await guard.journal.ask(lambda store: store.enter(session, "default", at=AT))
    records = [r.Opened(tenant="default", agent="frontdesk", process="1-x", caller="ana")] if start == 1 else []
    for number in range(start, start + calls):
        records += [
            r.Heard(turn=number, text="And on Tuesday?", kind="addition"),
            r.Called(
                call=number, call_id=f"c{number}", tool="charge", verdict="run", effect=charge.spec.effect,
                run=number, intent=f"i{number}", fingerprint="f", generation=f"g{number}", batch=number,
            ),
            r.CommitBegan(run=number, key=f"k{number}"),
            r.Returned(run=number, result=msgspec.Raw(b'"ch_1"')),
            r.Sent(item=f"o{number}", context=0, calls=(number,), run=number),
            r.BatchClosed(batch=number, generation=f"g{number}"),
        ]  # fmt: skip
    drafts = [r.encode(record, AT + step) for step, record in enumerate(records)]
    for start_ in range(0, len(drafts), 100):
        append = Append(session, row.epoch, tuple(drafts[start_ : start_ + 100]))
        await guard.journal.fate(guard.journal.put(append, wait=True))


async def from_the_first(guard, session="conv-1"):
    """The state that the journal alone gives."""
    state = State(session)
    for frame in await guard.journal.ask(lambda store: store.read(session, limit=100_000)):
        state.apply(r.decode(frame.kind, frame.version, frame.payload), frame.at)
    return state


async def kept(guard, session="conv-1"):
    return await guard.journal.ask(lambda store: store.snapshot(session))


async def until(holds):
    async with asyncio.timeout(SOON):
        while not await holds():
            await asyncio.sleep(0.01)


def watch_reads(store, monkeypatch):
    """What is read of the journal from here on."""
    reads, read = [], store.read

    def counting(session, *, after=0, limit=PAGE):
        frames = read(session, after=after, limit=limit)
        reads.extend(frame.seq for frame in frames)
        return frames

    monkeypatch.setattr(store, "read", counting)
    return reads


@pytest.mark.usefixtures("small")
async def test_whoever_folds_a_long_tail_keeps_a_snapshot_and_the_next_one_begins_with_it(store, monkeypatch):
    async with Guard(store, tools=[charge]) as guard:
        await grow(guard, 100)
        first, last = await fold(guard.journal, "conv-1")
        snapshot = await kept(guard)
        assert snapshot.seq == 601
        assert len(snapshot.parts) > 5
        reads = watch_reads(store, monkeypatch)
        second, again = await fold(guard.journal, "conv-1")
        assert reads == [601], "only the record that the snapshot ends with is looked at"
        assert isinstance(second.runs, Records)
        assert last == again == AT + 600
        assert deep(first) == deep(second) == deep(await from_the_first(guard))


async def test_a_short_session_gets_no_snapshot(store):
    async with Guard(store, tools=[charge]) as guard:
        await grow(guard, 20)
        await fold(guard.journal, "conv-1")
        assert LONG > 121
        assert await kept(guard) is None


@pytest.mark.usefixtures("small")
async def test_the_fold_up_to_a_record_before_the_snapshot_ignores_it(store):
    async with Guard(store, tools=[charge]) as guard:
        await grow(guard, 100)
        await fold(guard.journal, "conv-1")
        for until_ in (1, 300, 600, 601):
            state, _ = await fold(guard.journal, "conv-1", until=until_)
            expected = State("conv-1")
            for frame in await guard.journal.ask(lambda store, upto=until_: store.read("conv-1", limit=upto)):
                expected.apply(r.decode(frame.kind, frame.version, frame.payload), frame.at)
            assert deep(state) == deep(expected), until_


@pytest.mark.usefixtures("small")
async def test_what_is_written_for_snapshots_grows_with_the_records_and_not_with_their_square(store, monkeypatch):
    written, keep = [], store.keep

    def counting(made, *, known):
        written.append(len(made.head) + sum(map(len, made.parts[known:])))
        return keep(made, known=known)

    monkeypatch.setattr(store, "keep", counting)
    async with Guard(store, tools=[charge]) as guard:
        parts = ()
        for generation in range(12):
            await grow(guard, 50, start=1 + 50 * generation)
            await fold(guard.journal, "conv-1")
            made = await kept(guard)
            assert made.parts[: len(parts)] == parts, "a piece was written anew"
            parts = made.parts
        assert len(written) == 12
        assert written[-1] < 1.5 * written[1]
        state, _ = await fold(guard.journal, "conv-1")
        assert deep(state) == deep(await from_the_first(guard))


def damaged(made, part):
    """A snapshot of which one byte has changed."""

    def spoil(raw):
        return raw[:-1] + bytes((raw[-1] ^ 1,))

    if part is None:
        return made._replace(head=spoil(made.head))
    parts = list(made.parts)
    parts[part] = spoil(parts[part])
    return made._replace(parts=tuple(parts))


SPOILED = {
    "head": lambda made: damaged(made, None),
    "first part": lambda made: damaged(made, 0),
    "last part": lambda made: damaged(made, -1),
    "part missing": lambda made: made._replace(parts=made.parts[1:]),
    "parts missing": lambda made: made._replace(parts=()),
    "empty head": lambda made: made._replace(head=b""),
    "other session": lambda made: made._replace(head=made.head.replace(b"conv-1", b"conv-2")),
    "ahead of the journal": lambda made: made._replace(seq=10_000),
}


@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.usefixtures("small")
async def test_a_snapshot_that_is_not_whole_is_ignored_with_a_notice_and_nothing_is_lost(how, store, monkeypatch):
    async with Guard(store, tools=[charge]) as guard:
        await grow(guard, 100)
        await fold(guard.journal, "conv-1")
        spoiled = SPOILED[how](await kept(guard))
        monkeypatch.setattr(store, "snapshot", lambda _session: spoiled)
        notices = []
        state, _ = await fold(guard.journal, "conv-1", notice=notices.append)
        assert len(notices) == 1
        assert "folded from its first record" in notices[0]
        assert deep(state) == deep(await from_the_first(guard))
        async with guard.session("conv-1", caller="ana") as session:
            assert session.state.runs.keys() == state.runs.keys()
        codes = [
            line.code
            for frame in await guard.journal.ask(lambda store: store.read("conv-1", after=601))
            if isinstance(line := r.decode(frame.kind, frame.version, frame.payload), r.Noticed)
        ]
        assert codes == ["snapshot_ignored"]


@pytest.mark.usefixtures("small")
async def test_a_damaged_snapshot_on_disk_is_replaced_by_a_whole_one(tmp_path, monkeypatch):
    store = DiskStore(tmp_path / "journal")
    async with Guard(store, tools=[charge]) as guard:
        await grow(guard, 100)
        await fold(guard.journal, "conv-1")
    (file,) = (tmp_path / "journal").glob("*.sqlite*")
    with sqlite3.connect(file) as conn:
        conn.execute("UPDATE snapshot_parts SET part = x'00' WHERE number = 1")
    conn.close()
    async with Guard(DiskStore(tmp_path / "journal"), tools=[charge]) as guard:
        notices = []
        await grow(guard, 1, start=101)
        state, _ = await fold(guard.journal, "conv-1", notice=notices.append)
        assert "a part" in notices[0] or "its part" in notices[0]
        reads = watch_reads(guard._store, monkeypatch)
        again, _ = await fold(guard.journal, "conv-1", notice=notices.append)
        assert len(notices) == 1, "the new snapshot is whole"
        assert reads == [607]
        assert deep(again) == deep(state) == deep(await from_the_first(guard))


@pytest.mark.usefixtures("small")
async def test_a_snapshot_of_a_newer_release_is_ignored_and_left_alone(store, monkeypatch):
    async with Guard(store, tools=[charge]) as guard:
        await grow(guard, 100)
        monkeypatch.setattr(snapshot, "VERSION", snapshot.VERSION + 1)
        await fold(guard.journal, "conv-1")
        newer = await kept(guard)
        monkeypatch.undo()
        await grow(guard, 100, start=101)
        notices = []
        state, _ = await fold(guard.journal, "conv-1", notice=notices.append)
        assert "newer version" in notices[0]
        assert await kept(guard) == newer
        assert deep(state) == deep(await from_the_first(guard))


@pytest.mark.usefixtures("small")
async def test_a_snapshot_of_another_journal_is_ignored(tmp_path, monkeypatch):
    """As when a copy of the store was put back and has gone on differently."""
    async with Guard(MemoryStore(), tools=[charge]) as other:
        await grow(other, 100)
        await grow(other, 100, start=101)
        await fold(other.journal, "conv-1")
        foreign = await kept(other)
    store = MemoryStore()
    async with Guard(store, tools=[charge]) as guard:
        await grow(guard, 200)
        await grow(guard, 50, start=201)
        monkeypatch.setattr(store, "snapshot", lambda _session: foreign)
        notices = []
        state, _ = await fold(guard.journal, "conv-1", notice=notices.append)
        assert "does not have the record" in notices[0]
        assert deep(state) == deep(await from_the_first(guard))


@pytest.mark.usefixtures("small")
async def test_a_store_that_cannot_keep_or_give_snapshots_is_folded_all_the_same(store, monkeypatch):
    def gone(*_args, **_more):
        raise StoreUnavailable("no snapshots today")

    monkeypatch.setattr(store, "keep", gone)
    async with Guard(store, tools=[charge]) as guard:
        await grow(guard, 100)
        first, _ = await fold(guard.journal, "conv-1")
        monkeypatch.setattr(store, "snapshot", gone)
        second, _ = await fold(guard.journal, "conv-1")
        assert deep(first) == deep(second) == deep(await from_the_first(guard))


@pytest.mark.parametrize(
    ("draft", "why"),
    [
        (Draft(200, 1, 0, AT, b"{}"), "record kind 200 version 1 is newer than this release"),
        (Draft(r.CODES[r.Called], 9, 0, AT, b"{}"), "record kind 3 version 9 is newer than this release"),
        (Draft(r.CODES[r.Called], 1, 0, AT, b'{"call": "seven"}'), "a called record does not fit its kind"),
        (Draft(r.CODES[r.Called], 1, 0, AT, b"\xff"), "a called record does not fit its kind"),
    ],
)
@pytest.mark.parametrize("calls", [2, 100])
@pytest.mark.usefixtures("small")
async def test_a_record_that_cannot_be_understood_is_named_and_kept(draft, why, calls, store):
    async with Guard(store, tools=[charge]) as guard:
        await grow(guard, calls)
        await fold(guard.journal, "conv-1")
        await guard.journal.fate(guard.journal.put(Append("conv-1", None, (draft,)), wait=True))
        before = await guard.journal.ask(lambda store: store.read("conv-1", limit=10_000))
        with pytest.raises(StoreForeign, match=why) as foreign:
            await fold(guard.journal, "conv-1")
        assert f"record {6 * calls + 2} cannot be folded" in str(foreign.value)
        assert foreign.value.ref == "conv-1"
        assert "Update toolguard-voice" in foreign.value.advice
        with pytest.raises(StoreForeign, match=why):
            async with guard.session("conv-1"):
                pass
        after = await guard.journal.ask(lambda store: store.read("conv-1", limit=10_000))
        assert after == before
        assert after[-1].payload == draft.payload
        state, _ = await fold(guard.journal, "conv-1", until=6 * calls + 1)
        assert len(state.runs) == calls


async def test_a_record_that_does_not_fit_those_before_it_is_named(store, monkeypatch):
    """Such as one that names a call which no record has opened, in a place where there must be one."""
    async with Guard(store, tools=[charge]) as guard:
        await grow(guard, 2)

        def odd(_state, _record, _at):
            raise KeyError(99)

        monkeypatch.setitem(folds_apply(), r.Sent, odd)
        with pytest.raises(StoreForeign, match=r"record 6 cannot be folded.*KeyError\(99\)"):
            await fold(guard.journal, "conv-1")


def folds_apply():
    from toolguard.core.fold import APPLY

    return APPLY


@pytest.mark.usefixtures("small")
async def test_a_living_session_gets_snapshots_of_its_journal_as_it_grows(store, monkeypatch):
    monkeypatch.setattr(ledgers, "GROWN", 25)
    async with Guard(store, tools=[charge]) as guard, guard.session("conv-1", caller="ana") as session:
        seen = 0
        for round_ in range(4):
            for number in range(10):
                await charge(f"who-{round_}-{number}")

            async def newer(seen=seen):
                made = await kept(guard)
                return made is not None and made.seq > seen

            await until(newer)
            seen = (await kept(guard)).seq
        assert len((await kept(guard)).parts) > 2
        state, _ = await fold(guard.journal, "conv-1")
        assert isinstance(state.runs, Records)
        assert deep(state) == deep(await from_the_first(guard))
        assert not isinstance(session.state.runs, Records), "the living session works on its own memory"


@pytest.mark.usefixtures("small")
async def test_a_snapshot_of_a_living_session_has_what_others_wrote(store, monkeypatch):
    """Its own memory may not know of it yet; the journal does."""
    monkeypatch.setattr(ledgers, "GROWN", 25)
    async with Guard(store, tools=[charge]) as guard, guard.session("conv-1", caller="ana") as session:
        await charge("ana")
        late = r.encode(r.Contradicted(run=1, result=msgspec.Raw(b'"late"')), AT)
        await guard.journal.fate(guard.journal.put(Append("conv-1", None, (late,)), wait=True))
        for number in range(20):
            await charge(f"who-{number}")

        async def made():
            return await kept(guard) is not None

        await until(made)
        snapshot = await kept(guard)
        state = snapshot_state(snapshot)
        assert state.runs[1].result == b'"late"'
        assert session.state.runs[1].result == b'"ch_ana"'


def snapshot_state(made):
    return snapshot.opened(made.session, made.seq, made.head, made.parts).state


@pytest.mark.usefixtures("small")
async def test_a_session_that_goes_on_from_a_snapshot_acts_as_one_that_was_folded_whole(store, monkeypatch):
    """The same call id, the same wish, the next number: all of it reaches back behind the snapshot."""
    told = []
    for long in (1, 10_000_000):
        monkeypatch.setattr(folds, "LONG", long)
        name = f"conv-{long}"
        async with Guard(store, tools=[charge]) as guard:
            await grow(guard, 60, session=name)
            await fold(guard.journal, name)
        async with Guard(store, tools=[charge]) as guard, guard.session(name, caller="ana") as session:
            assert isinstance(session.state.runs, Records) == (long == 1)
            ledger = session.wiring.ledger
            told.append((ledger.calls, ledger.runs, session.state.by_call_id[0, "c3"], session.state.newest["i3"]))
            await charge("new")
            told[-1] += (max(session.state.runs), session.state.runs[3].result, len(session.state.conversation.items))
            assert session.state.newest.get("no such intent") is None
            assert (1, "c3") not in session.state.by_call_id
    assert told[0] == told[1]
    assert told[0][:4] == (60, 60, 3, 3)


@pytest.fixture
def server(request, tmp_path):
    """A real server's address."""
    with (valkey if request.param == "valkey" else postgres)(tmp_path / "server") as server:
        yield server.url


@pytest.mark.parametrize("server", ["valkey", "postgres"], indirect=True)
@pytest.mark.usefixtures("small")
async def test_snapshots_on_a_server_are_kept_grow_piece_by_piece_and_are_gone_on_from(server, monkeypatch):
    monkeypatch.setattr(ledgers, "GROWN", 25)
    async with Guard(server, tools=[charge]) as guard:
        parts = ()
        for generation in range(4):
            await grow(guard, 50, start=1 + 50 * generation)
            await fold(guard.journal, "conv-1")
            made = await kept(guard)
            assert made.parts[: len(parts)] == parts
            parts = made.parts
        assert made.seq == 1201
        assert len(parts) > 10
    async with Guard(server, tools=[charge]) as guard, guard.session("conv-1", caller="ana") as session:
        assert isinstance(session.state.runs, Records)
        for number in range(20):
            await charge(f"who-{number}")

        async def newer():
            return (await kept(guard)).seq > 1201

        await until(newer)
        state, _ = await fold(guard.journal, "conv-1")
        assert deep(state) == deep(await from_the_first(guard))


SEED = 20260301


def drawn(chunk, histories):
    rng = random.Random(SEED + chunk)
    print(f"histories drawn with seed {SEED + chunk}")
    for _ in range(histories):
        moves = ["P1", "P2", *(rng.choice(TWO) for _ in range(rng.randint(3, 8)))]
        for _ in range(2):
            moves.insert(rng.randint(1, len(moves)), "K")
        yield tuple(moves), (rng.choice(EFFECTS), rng.choice(EFFECTS)), rng.choice(RELATIONS)


@pytest.mark.parametrize("chunk", range(3))
def test_histories_with_processes_that_die_end_well_where_every_fold_begins_with_a_snapshot(chunk, monkeypatch):
    """Each takeover goes on from a snapshot of tiny pieces; the judge folds the journal from its first record."""
    monkeypatch.setattr(folds, "LONG", 1)
    monkeypatch.setattr(sealing, "PIECE", 1)
    monkeypatch.setattr(sealing, "WARM", 0)
    made, keep = itertools.count(), MemoryStore.keep

    def counting(self, one, *, known):
        next(made)
        return keep(self, one, known=known)

    monkeypatch.setattr(MemoryStore, "keep", counting)
    assert play(drawn(chunk, 120)) == 120
    assert next(made) > 100
