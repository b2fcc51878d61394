"""Verification of a real store names the first record that somebody changed, removed, swapped, inserted or cut off."""

import pytest
from audit_house import TOOLS, everything, look, made, make, opened, sql, written

from toolguard import Guard
from toolguard.audit.anchor import Anchor, AnchorError, AnchorFile, read_anchors
from toolguard.audit.verify import PAGE, Verifier
from toolguard.core import records as r
from toolguard.core.frame import pack
from toolguard.engine.journal import Journal
from toolguard.errors import UnknownRef
from toolguard.stores.disk import DiskStore
from toolguard.stores.memory import MemoryStore

SESSIONS = ("conv-1", "conv-2")
RECORDS = 10  # opened, called, returned, called, commit_began, returned, called, commit_began, lost, closed
MOVE = "UPDATE journal SET seq = -seq WHERE session = 1 AND seq {which}"
BACK = "UPDATE journal SET seq = -seq {step} WHERE session = 1 AND seq < 0"


@pytest.fixture
def home(tmp_path):
    return made(tmp_path / "journal", sessions=SESSIONS)


async def checked(home, *, key=None, anchors=None):
    journal = Journal(DiskStore(home, readonly=True), "reader")
    await journal.open()
    try:
        return {one.session: one async for one in Verifier(journal.ask, key=key, anchors=anchors).store()}
    finally:
        await journal.close()


async def anchors_of(home):
    found = await checked(home)
    return {name: Anchor(session=name, records=one.records, chain=one.head) for name, one in found.items()}


async def test_an_untouched_store_is_right_and_says_how_far_it_goes(home):
    found = await checked(home)
    assert [(one.ok, one.records, one.damage, one.seq) for one in found.values()] == [(True, RECORDS, None, 0)] * 2


async def test_looking_leaves_no_trace_in_the_store(home):
    before = {path.name: path.stat().st_mtime_ns for path in home.iterdir() if path.name == "journal.sqlite3"}
    await checked(home)
    assert {path.name: path.stat().st_mtime_ns for path in home.iterdir() if path.name in before} == before


async def damage(home, *statements, **values):
    sql(home, *statements, **values)
    found = await checked(home)
    assert found["conv-2"].ok
    assert not found["conv-1"].ok
    return found["conv-1"]


async def test_a_changed_record_is_named(home):
    found = await damage(
        home, "UPDATE journal SET frame = CAST(replace(frame, 'ana', 'eve') AS BLOB) WHERE session = 1 AND seq = 4"
    )
    assert (found.damage, found.seq, found.records) == ("changed", 4, 3)
    assert "record 4" in found.sentence


async def test_a_removed_record_is_named(home):
    found = await damage(home, "DELETE FROM journal WHERE session = 1 AND seq = 5")
    assert (found.damage, found.seq) == ("removed", 5)
    assert found.sentence == "record 5 is missing"


async def test_a_removed_record_is_named_although_the_rest_was_renumbered(home):
    found = await damage(
        home, "DELETE FROM journal WHERE session = 1 AND seq = 5", MOVE.format(which="> 5"), BACK.format(step="- 1")
    )
    assert (found.damage, found.seq) == ("removed", 5)


async def test_swapped_records_are_named(home):
    found = await damage(
        home,
        MOVE.format(which="IN (4, 7)"),
        "UPDATE journal SET seq = 11 + seq WHERE session = 1 AND seq < 0",
    )
    assert (found.damage, found.seq) == ("swapped", 4)
    assert "records 4 and 7" in found.sentence


async def test_an_inserted_record_is_named(home):
    found = await damage(
        home,
        MOVE.format(which="> 5"),
        BACK.format(step="+ 1"),
        "INSERT INTO journal (pos, session, seq, frame) SELECT 900, 1, 6, frame FROM journal WHERE session = 1 AND seq = 3",
    )
    assert (found.damage, found.seq) == ("inserted", 6)


async def test_records_behind_the_end_are_named_as_inserted(home):
    draft = r.encode(r.Noticed(code="forged"), 1)
    forged, _ = pack(draft, epoch=1, seq=RECORDS + 1, previous=await head_at(home, RECORDS))
    found = await damage(
        home, "INSERT INTO journal (pos, session, seq, frame) VALUES (900, 1, 11, :forged)", forged=forged
    )
    assert (found.damage, found.seq, found.records) == ("inserted", RECORDS + 1, RECORDS)


async def test_a_cut_end_is_named_by_the_stores_own_index(home):
    found = await damage(home, "DELETE FROM journal WHERE session = 1 AND seq > 7")
    assert (found.damage, found.seq, found.records) == ("cut", 8, 7)
    assert found.sentence == "the end was cut off: records 8 to 10 are missing"


CUT = (
    "DELETE FROM journal WHERE session = 1 AND seq > 7",
    "UPDATE sessions SET seq = 7, chain = (SELECT substr(frame, -32) FROM journal WHERE session = 1 AND seq = 7) WHERE id = 1",
)


async def test_an_end_that_was_cut_with_the_index_is_named_by_the_anchor_alone(home):
    anchors = await anchors_of(home)
    sql(home, *CUT)
    assert (await checked(home))["conv-1"].ok
    found = (await checked(home, anchors=anchors))["conv-1"]
    assert (found.damage, found.seq, found.sentence) == ("cut", 8, "the end was cut off: records 8 to 10 are missing")


async def test_with_an_old_anchor_the_index_still_notices_a_cut_behind_it(home):
    anchors = {"conv-1": Anchor(session="conv-1", records=3, chain=(await head_at(home, 3)).hex())}
    sql(home, "DELETE FROM journal WHERE session = 1 AND seq > 7")
    found = (await checked(home, anchors=anchors))["conv-1"]
    assert (found.damage, found.seq) == ("cut", 8)


async def head_at(home, seq):
    journal = Journal(DiskStore(home, readonly=True), "reader")
    await journal.open()
    rows = await journal.ask(lambda store: store.raw("conv-1", after=seq - 1, limit=1))
    await journal.close()
    return rows[0][1][-32:]


async def test_a_journal_that_has_grown_since_its_anchor_is_right(home):
    anchors = await anchors_of(home)
    async with Guard(home, tools=TOOLS) as guard, guard.session("conv-1", tenant="clinic-7"):
        await look("Delhi")
    found = (await checked(home, anchors=anchors))["conv-1"]
    assert found.ok
    assert found.records > RECORDS


async def test_a_rewritten_journal_does_not_fit_its_anchor(home, tmp_path):
    anchors = await anchors_of(home)
    await make(tmp_path / "other", SESSIONS)
    found = (await checked(tmp_path / "other", anchors=anchors))["conv-1"]
    assert (found.damage, found.seq) == ("changed", RECORDS)


async def test_a_session_that_is_gone_is_missed_by_its_anchor(home):
    anchors = await anchors_of(home)
    sql(home, "DELETE FROM journal WHERE session = 1", "DELETE FROM sessions WHERE id = 1")
    found = await checked(home, anchors=anchors)
    assert (found["conv-1"].damage, found["conv-1"].seq) == ("removed", 1)
    assert "the session is gone: records 1 to 10 are missing" in found["conv-1"].sentence
    journal = Journal(DiskStore(home, readonly=True), "reader")
    await journal.open()
    assert (await Verifier(journal.ask, anchors=anchors).session("conv-1")).damage == "removed"
    with pytest.raises(UnknownRef):
        await Verifier(journal.ask).session("conv-1")
    await journal.close()


@pytest.mark.parametrize("threaded", [True, False])
async def test_a_session_of_many_pages_is_walked_to_its_end(tmp_path, threaded):
    store = DiskStore(tmp_path / "journal") if threaded else MemoryStore()
    written("conv-1", *[r.Noticed(code=str(n)) for n in range(2 * PAGE + 7)], store=store)
    async with opened(store) as trail:
        found = await Verifier(trail._ask).session("conv-1")
        assert (found.ok, found.records) == (True, 2 * PAGE + 7)
    if threaded:
        sql(tmp_path / "journal", "DELETE FROM journal WHERE session = 1 AND seq = 600")
        assert (await checked(tmp_path / "journal"))["conv-1"].seq == 600


async def test_a_live_session_may_grow_while_it_is_verified():
    store = MemoryStore()
    async with Guard(store, tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        await look("Pune")

        async def ask(question):
            answer = question(store)
            conversation.noticed("grown", "while it was looked at")
            return answer

        assert (await Verifier(ask).session("conv-1")).ok


async def test_a_journal_chained_with_a_key_needs_it(tmp_path):
    written("conv-1", r.Noticed(code="a"), store=DiskStore(tmp_path / "journal", chain_key=b"k"))
    assert (await checked(tmp_path / "journal", key=b"k"))["conv-1"].ok
    assert (await checked(tmp_path / "journal"))["conv-1"].damage == "changed"


def test_anchors_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "anchors"
    anchor = Anchor(session="conv\n1", records=3, chain="ab" * 32)
    with AnchorFile(path, "disk:x") as file:
        file.add(anchor)
    assert read_anchors(path) == {"conv\n1": anchor}
    with pytest.raises(RuntimeError), AnchorFile(path, "disk:x"):
        raise RuntimeError("broken off")
    with AnchorFile(path, "disk:x") as file:
        file.discard()
    assert read_anchors(path) == {"conv\n1": anchor}
    assert [one.name for one in tmp_path.iterdir()] == ["anchors"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"nonsense", b'{"toolguard_anchors":1,"store":"x"}\n{"session":"a","records":1,"chain":"zz"}',
     b'{"toolguard_anchors":1,"store":"x"}\n{"session":"a","records":1,"chain":"ab"}',
     b'{"toolguard_anchors":9,"store":"x"}'],
)  # fmt: skip
def test_what_is_no_anchor_file_is_refused(tmp_path, content):
    path = tmp_path / "anchors"
    path.write_bytes(content)
    with pytest.raises(AnchorError):
        read_anchors(path)


def test_an_anchor_file_that_is_not_there_or_cannot_be_written_is_named(tmp_path):
    with pytest.raises(AnchorError, match="cannot be read"):
        read_anchors(tmp_path / "nowhere")
    with pytest.raises(AnchorError, match="cannot be written"), AnchorFile(tmp_path / "no" / "anchors", "x"):
        pass


async def test_an_empty_store_is_right():
    async with opened(MemoryStore()) as trail:
        assert await everything(Verifier(trail._ask).store()) == []
