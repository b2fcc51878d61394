"""Snapshots: a state that is packed, opened and folded on is the state that the whole journal gives."""

import base64
import itertools
import json
import random
from dataclasses import asdict, fields
from pathlib import Path

import msgspec
import pytest
from record_streams import folded, stream

from toolguard.core import records as r
from toolguard.core import sealing, snapshot
from toolguard.core.lazy import Shelf, Shelved, own, shelves
from toolguard.core.rows import ITEMS, RUNS, SLOTS
from toolguard.core.sealing import Sealing
from toolguard.core.snapshot import Base, SnapshotUnfit, opened
from toolguard.core.state import State

FIXTURE = Path(__file__).with_name("snapshot_v1.json")


@pytest.fixture
def small(monkeypatch):
    """Pieces of a few rows, so that short histories have many."""
    monkeypatch.setattr(sealing, "PIECE", 4)
    monkeypatch.setattr(sealing, "WARM", 2)


def seal(state, base=None, *, seq=1, at=1, mark=b"m"):
    work = Sealing(state, base or Base.none(), seq=seq, at=at, mark=mark)
    while work.step():
        pass
    return work


def deep(state):
    """All of a state, down to the last value."""
    told = {field.name: getattr(state, field.name) for field in fields(state) if field.name != "conversation"}
    told["slots"] = {number: asdict(slot) for number, slot in state.slots.items()}
    told["runs"] = {number: asdict(run) for number, run in state.runs.items()}
    told["handed"] = state.handed and msgspec.json.encode(state.handed).decode()
    for run in told["runs"].values():
        run["undo"] = run["undo"] and msgspec.json.encode(run["undo"]).decode()
    told["said"] = [asdict(item) for item in state.conversation.items]
    told["rank"] = state.conversation.rank
    return told


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.usefixtures("small")
def test_a_snapshot_at_any_cut_and_the_tail_give_the_same_state(seed):
    records = list(stream(seed, 240))
    whole = deep(folded(records))
    before = State("conv-1")
    for cut, (record, at) in enumerate(records, 1):
        before.apply(record, at)
        made = seal(before, seq=cut)
        state = opened("conv-1", cut, made.head, made.parts).state
        assert deep(folded(records[cut:], state)) == whole, f"cut at {cut}"
    assert deep(before) == whole, "making snapshots changed the state"


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.usefixtures("small")
def test_generations_of_snapshots_give_the_same_state(seed, remembered):
    """Each made from the one before and what came after it, opened again by the same process or by others."""
    records = list(stream(100 + seed, 600))
    cuts = sorted(random.Random(seed).sample(range(1, 600), 12))
    base, state, parts = Base.none(), State("conv-1"), ()
    for start, cut in itertools.pairwise([0, *cuts]):
        folded(records[start:cut], state)
        made = seal(state, base, seq=cut)
        assert tuple(made.parts[: len(parts)]) == parts, "a piece was written anew"
        parts = tuple(made.parts)
        base.library.forget()
        state, _, base = opened("conv-1", cut, made.head, made.parts, base if remembered else None)
    assert len(parts) > 20
    assert deep(folded(records[cuts[-1] :], state)) == deep(folded(records))


@pytest.mark.usefixtures("small")
def test_what_is_read_of_a_long_session_is_unpacked_and_nothing_else():
    state = folded(stream(7, 900))
    made = seal(state)
    again = opened("conv-1", 1, made.head, made.parts).state
    oldest = min(state.runs.keys() - own(again.runs).keys())
    assert again.runs[oldest] == state.runs[oldest]
    assert oldest in own(again.runs)
    assert 0 < sum(not shelf.packed for shelf in shelves(again.runs)) < len(shelves(again.runs)) / 2
    assert all(shelf.packed for shelf in shelves(again.slots))


@pytest.mark.usefixtures("small")
def test_a_head_does_not_grow_with_history():
    state, base, heads = State("conv-1"), Base.none(), []
    for start in range(1, 4000, 400):
        quiet = [(r.Heard(turn=n, text="Hm.", kind="addition"), n) for n in range(start, start + 400)]
        made = seal(folded(quiet, state), base, seq=start)
        heads.append(len(made.head) - 20 * len(made.parts))
        state, _, base = opened("conv-1", start, made.head, made.parts)
    assert heads[-1] < heads[0] * 2


@pytest.mark.usefixtures("small")
def test_every_byte_of_a_snapshot_is_checked():
    made = seal(folded(stream(3, 200)))
    for which, raw in enumerate([made.head, *made.parts]):
        for place in random.Random(which).sample(range(len(raw)), 12):
            spoiled = bytearray(raw)
            spoiled[place] ^= 0x40
            pieces = [made.head, *made.parts]
            pieces[which] = bytes(spoiled)
            with pytest.raises(SnapshotUnfit):
                opened("conv-1", 1, pieces[0], pieces[1:])


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda _head, parts: (b"", parts), "its head is none"),
        (lambda head, parts: (head, parts[:-1]), "parts instead of"),
        (lambda head, _parts: (head, []), "0 parts instead of"),
        (lambda head, parts: (head, [*parts, parts[0]]), "parts instead of"),
        (lambda head, parts: (head, [parts[1], parts[0], *parts[2:]]), "a part of another snapshot"),
        (lambda head, parts: (head, [b"", *parts[1:]]), "its part is none"),
        (lambda _head, parts: (parts[0], parts), "damaged"),
        (lambda _head, parts: (snapshot.stamped(b"\xc1"), parts), "damaged"),
    ],
)
@pytest.mark.usefixtures("small")
def test_a_snapshot_that_is_not_whole_says_so(spoil, why):
    made = seal(folded(stream(3, 200)))
    head, parts = spoil(made.head, made.parts)
    with pytest.raises(SnapshotUnfit, match=why) as unfit:
        opened("conv-1", 1, head, parts)
    assert not unfit.value.newer


def test_a_snapshot_of_another_session_or_record_is_not_taken():
    made = seal(folded(stream(3, 50)), seq=50)
    with pytest.raises(SnapshotUnfit, match="one of conv-1 at record 50"):
        opened("conv-2", 50, made.head, made.parts)
    with pytest.raises(SnapshotUnfit, match="one of conv-1 at record 50"):
        opened("conv-1", 51, made.head, made.parts)


def test_a_snapshot_of_a_newer_version_is_told_from_a_damaged_one(monkeypatch):
    monkeypatch.setattr(snapshot, "VERSION", snapshot.VERSION + 1)
    made = seal(folded(stream(3, 50)))
    monkeypatch.undo()
    with pytest.raises(SnapshotUnfit, match="newer version") as unfit:
        opened("conv-1", 1, made.head, made.parts)
    assert unfit.value.newer


def test_every_field_of_a_state_is_in_its_snapshot():
    packed = [*snapshot.VALUES, *snapshot.SETS, *snapshot.MORE, *snapshot.TABLES, "session", "conversation"]
    assert sorted(packed) == sorted(field.name for field in fields(State))
    state = State("conv-1")
    for field in fields(State):
        if field.name in snapshot.VALUES:
            setattr(state, field.name, "odd" if isinstance(getattr(state, field.name), str) else 77)
        elif field.name in snapshot.SETS:
            getattr(state, field.name).update({3, 4, 9})
    made = seal(state)
    assert deep(opened("conv-1", 1, made.head, made.parts).state) == deep(state)


def test_rows_keep_the_order_of_their_fields():
    """The order is a format: a new field goes to the end of its class, with a default."""
    known = json.loads(FIXTURE.read_text())["fields"]
    for name, packing in (("slots", SLOTS), ("runs", RUNS), ("items", ITEMS)):
        assert list(packing.names[: len(known[name])]) == known[name]
        added = [field for field in fields(packing.kind) if field.name not in known[name]]
        assert all(repr(field.default) != repr(field.default_factory) for field in added), "give it a default"


def test_a_snapshot_of_version_1_stays_readable():
    kept = json.loads(FIXTURE.read_text())
    parts = [base64.b64decode(part) for part in kept["parts"]]
    state, head, _ = opened("conv-1", 240, base64.b64decode(kept["head"]), parts)
    assert head.mark == b"mark"
    told = plain(deep(state))
    for name, value in kept["state"].items():
        assert _within(value, told[name]), name


def _within(old, new):
    """Whether everything old is in the new; what has been added since may stand beside it."""
    if isinstance(old, dict):
        return all(key in new and _within(value, new[key]) for key, value in old.items())
    if isinstance(old, list):
        return len(old) == len(new) and all(map(_within, old, new))
    return old == new


def plain(value):
    """As JSON would have it."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value if type(value) in {int, float, str, bool, type(None)} else repr(value)


def fixture():
    """What ``snapshot_v1.json`` was made with; never make it anew for a change of the code."""
    sealing.PIECE, sealing.WARM = 4, 2
    state = folded(stream(0, 240))
    made = seal(state, seq=240, mark=b"mark")
    names = {"slots": SLOTS.names, "runs": RUNS.names, "items": ITEMS.names}
    packed = [base64.b64encode(part).decode() for part in (made.head, *made.parts)]
    kept = {"fields": names, "head": packed[0], "parts": packed[1:], "state": plain(deep(state))}
    FIXTURE.write_text(json.dumps(kept, separators=(",", ":")) + "\n")


KINDS_OF_1 = frozenset(
    {1, 2, 3, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 30, 31, 32, 33, 34, 40, 41, 42, 43, 44, 45, 50, 51, 52, 53,
     60, 61, 70}
)  # fmt: skip


def test_a_snapshot_version_stands_for_certain_record_kinds():
    """Else an older release would take a snapshot into which records are folded that it does not understand."""
    assert snapshot.VERSION == 1
    assert {(code, version) for code, (_, version) in r.KINDS.items()} == {(code, 1) for code in KINDS_OF_1}, (
        "raise toolguard.core.snapshot.VERSION with the new record kind, and write the kinds of that version here"
    )


def test_a_field_that_older_rows_do_not_have_gets_its_default():
    raw = RUNS.pack([folded(stream(1, 60)).runs[1]])
    rows = msgspec.msgpack.decode(raw)
    shorter = msgspec.msgpack.encode([row[:-2] for row in rows])
    (run,) = RUNS.unpack(shorter)
    assert (run.shown, run.process) == (-1, "")


@pytest.mark.parametrize("seed", range(60))
def test_a_table_with_shelves_answers_like_a_dict(seed):
    rng = random.Random(seed)
    rows = [{rng.randint(1, 30): rng.randint(1, 99) for _ in range(5)} for _ in range(6)]
    mine = {k: v for one in rows for k, v in one.items()}
    table = Shelved(rows[-1], lambda: [_shelf(one) for one in rows[:-1]])
    for _ in range(40):
        key = rng.randint(1, 32)
        act = rng.choice(ACTS)
        assert _outcome(act, table, key) == _outcome(act, mine, key), act
        if rng.random() < 0.05:
            act = rng.choice(WHOLE)
            assert act(table) == act(mine)
    assert table == mine
    assert mine == table
    assert {**table} == mine
    assert dict(table) == mine
    assert sorted(table) == sorted(mine)


def _shelf(rows):
    return Shelf(lambda: dict(rows))


ACTS = (
    lambda d, k: d[k],
    lambda d, k: d.get(k),
    lambda d, k: d.get(k, "none"),
    lambda d, k: k in d,
    lambda d, k: d.setdefault(k, 5),
    lambda d, k: d.pop(k),
    lambda d, k: d.pop(k, None),
    lambda d, k: d.update({k: 7}),
    lambda d, k: d.__setitem__(k, 8),
    lambda d, k: d.__delitem__(k),
)
WHOLE = (
    len, bool, sorted, lambda d: sorted(d.values()), lambda d: sorted(d.items()), lambda d: d != {},
    lambda d: sorted(d.keys()), lambda d: len(list(reversed(d))), lambda d: d.copy(), max,
)  # fmt: skip


def _outcome(act, table, key):
    try:
        return act(table, key)
    except KeyError as error:
        return repr(error)


if __name__ == "__main__":
    fixture()
