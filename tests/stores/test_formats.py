"""Journals of every released format are read as they are, brought forward, and written on."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from toolguard.core import records as r
from toolguard.core.chain import verify
from toolguard.core.state import State
from toolguard.errors import ClaimLost
from toolguard.stores.base import Append, Receipt, Snapshot, Swap
from toolguard.stores.disk import DiskStore
from toolguard.stores.disk_schema import FORMAT

FIXTURE = Path(__file__).parent / "fixtures" / "format-1"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text())
KINDS_THEN = {1, 2, 3, *range(10, 22), *range(30, 35), *range(40, 46), 50, 51, 60, 61, 70}
OPEN = ["conv-bare", "conv-doubt", "conv-held", "conv-open"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "journal"
    home.mkdir(mode=0o700)
    shutil.copy(FIXTURE / "journal.sqlite3", home)
    return home


def form_of(home: Path) -> int:
    conn = sqlite3.connect(home / "journal.sqlite3")
    try:
        return int(conn.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()[0])
    finally:
        conn.close()


def phases(store: Any, session: str) -> dict[str, str]:
    state = State(session)
    for frame in store.read(session):
        state.apply(r.decode(frame.kind, frame.version, frame.payload), frame.at)
    return {str(number): run.phase.value for number, run in state.runs.items()}


def check(store: Any) -> None:
    assert [row.session for row in store.sessions()] == sorted(EXPECTED)
    for session, due in EXPECTED.items():
        row = store.session(session)
        assert (row.tenant, row.state, row.epoch, row.seq) == ("clinic", due["state"], due["epoch"], due["seq"])
        assert row.chain.hex() == due["chain"]
        assert verify(store.raw(session), anchor=(row.seq, row.chain)).ok
        assert phases(store, session) == due["phases"]
    assert {frame.kind for _, _, frame in store.tail(after=0)} == KINDS_THEN
    assert {(mark.session, mark.phase) for mark in store.open_calls()} == {
        ("conv-doubt", "in_doubt"), ("conv-open", "committing"), ("conv-held", "at_gate")
    }  # fmt: skip
    assert store.claim("claim/conv-done") == (1, b'{"run":1}')
    assert store.notes() == {"paused/fax": b'{"by":"ana"}'}
    assert [row.session for row in store.stale()] == OPEN
    assert store.snapshot("conv-done") is None


def test_the_fixture_holds_every_phase() -> None:
    assert form_of(FIXTURE) == 1
    found = {phase for due in EXPECTED.values() for phase in due["phases"].values()}
    assert found == {"planned", "started", "committing", "done", "failed", "cancelled", "in_doubt"}


def test_a_journal_of_format_1_is_read_as_it_is(home: Path) -> None:
    before = (home / "journal.sqlite3").read_bytes()
    store = DiskStore(home, readonly=True)
    store.open("reader")
    check(store)
    store.close()
    assert (home / "journal.sqlite3").read_bytes() == before
    assert form_of(home) == 1


def test_a_journal_of_format_1_is_brought_forward_and_written_on(home: Path) -> None:
    store = DiskStore(home)
    store.open("p1")
    check(store)
    position = store.position()
    due = EXPECTED["conv-open"]
    assert store.enter("conv-open", "clinic", at=1, expects=due["epoch"]).epoch == due["epoch"] + 1
    lost = r.encode(r.Lost(run=1, why="the process died"), 1_000)
    stale, fresh = Swap("claim/conv-open", 0, b"x"), Swap("claim/conv-open", 1, b"y")
    answers = store.commit(
        [
            Append("conv-open", None, (lost,), swaps=(stale,)),
            Append("conv-open", due["epoch"] + 1, (lost,), durable=True, swaps=(fresh,)),
        ]
    )
    assert isinstance(answers[0], ClaimLost)
    assert answers[1] == Receipt(due["seq"] + 1, due["epoch"] + 1)
    assert phases(store, "conv-open") == {"1": "in_doubt"}
    assert verify(store.raw("conv-open")).ok
    assert [name for _, name, _ in store.tail(after=position)] == ["conv-open"]
    assert store.keep(Snapshot("conv-open", 1, b"h", (b"part",)), known=0) is True
    store.close()
    assert form_of(home) == FORMAT
    store.open("p2")
    assert store.snapshot("conv-open") == Snapshot("conv-open", 1, b"h", (b"part",))
    gone = store.prune(2**62)
    assert gone == ["conv-done", "conv-every"]
    store.close()
    store.open("p3")
    assert [row.session for row in store.sessions()] == OPEN
    store.close()
