"""Writes the journal of fixtures/format-1, with the code of the release that it shows: ``write_format_1.py FOLDER``.

It was run once with the code of the last version whose journals had format 1 (the one before snapshots came), and is
kept to show what the fixture holds. Newer versions write a newer format with it.
"""

import json
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.interrupt import BargeIn
from toolguard.core.state import State
from toolguard.stores.base import Append, Mark, Swap
from toolguard.stores.disk import DiskStore

SECOND = 1_000_000_000
DAWN = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def call(number, tool, effect, **more):
    occurrence = {"intent": f"intent-{number}", "occurrence": 1} if effect is not Effect.READ else {}
    return r.Called(
        call=number, call_id=f"call_{number}", tool=tool, verdict="run", effect=effect, run=number, context=1,
        generation="resp_1", batch=1, index=number, arguments=msgspec.Raw(b'{"who":"ana"}'), fingerprint=f"f{number}",
        version="1", **occurrence, **more,
    )  # fmt: skip


def opened(agent="front"):
    return r.Opened(tenant="clinic", agent=agent, process="worker-1", adapter="openai_realtime", evidence="heard")


def barge_in():
    settled = BargeIn(stage="settled", at=NOON, kind="cancellation", said="no, stop", onset="o1")
    decided = r.Decided(run=5, calls=(5,), choice="stop", reason="the caller cancelled it", concerned=True)
    return r.Interrupted(id="i1", interrupt=settled, policy="by_effect", decisions=(decided,))


def every_kind():
    """A session that has been handed off, recovered and closed, with every kind of record in it."""
    write, read, again = Effect.MUTATION, Effect.READ, Effect.IDEMPOTENT_WRITE
    return [
        opened(), r.ContextOpened(context=1, agent="front", cause="opened"), r.Switched(tool="fax", paused=True, by="ana"),
        call(1, "look", read), r.Began(run=1), r.Returned(run=1, result=msgspec.Raw(b'{"temp":31}')),
        r.Answered(call=1, form="result", text='{"temp":31}'), r.Sent(item="item_1", context=1, calls=(1,), run=1),
        r.Delivered(items=("item_1",)), r.BatchClosed(batch=1, generation="resp_1"),
        r.ReplyAsked(context=1, version=1, calls=(1,)), r.Spoke(generation="resp_2", what="began"),
        r.Said(text="It is 31 degrees.", generation="resp_2"), r.Heard(turn=1, text="book it, please", kind="answer"),
        r.Acknowledged(calls=(1,), turn=1),
        call(2, "book", write), r.Began(run=2), r.AtGate(run=2, held_by=("o1",)),
        r.Checkpointed(run=2, progress=msgspec.Raw(b'{"done":"half"}')),
        r.StepKept(run=2, name="quote", nth=1, fingerprint="q", result=msgspec.Raw(b"7")),
        r.CommitBegan(run=2, key="key-2", limit=120.0),
        r.Returned(
            run=2, result=msgspec.Raw(b'"bk_7"'),
            undo=r.UndoOffer(tool="cancel", fingerprint="u", arguments=msgspec.Raw(b'{"id":"bk_7"}')),
        ),
        r.Noted(run=2, calls=(2,), text="booked as bk_7"),
        call(3, "charge", write), r.Began(run=3), r.Failed(run=3, code="refused", message="no card", refused=True),
        r.Contradicted(run=3, result=msgspec.Raw(b'"ch_3"')),
        call(4, "charge", write), r.Began(run=4), r.CommitBegan(run=4, key="key-4"), r.Lost(run=4, why="raised"),
        call(5, "set_note", again), r.Began(run=5), barge_in(), r.Stopped(run=5, reason="cancelled", interrupt="i1"),
        call(6, "send", write), r.Began(run=6), r.NeverCommitted(run=6, result=msgspec.Raw(b"1")),
        call(7, "look", read), r.Began(run=7), r.Lost(run=7, why="the process died"),
        r.Replanned(run=7, new=8, occurrence=2),
        r.HandOffRecord(to="billing", frm="front", packet="pk_1", carried=(4, 6)),
        r.Recovered(cause="the process died", gap_ms=120.0, in_doubt=(4, 6)),
        r.Noticed(code="recording_delayed", text="the disk was slow", data={"ms": 1200}),
        r.Closed(why="hang_up", unfinished=(4, 6)),
    ]  # fmt: skip


SESSIONS = {
    "conv-every": every_kind(),
    "conv-done": [
        opened(), call(1, "charge", Effect.MUTATION), r.Began(run=1), r.CommitBegan(run=1, key="key-d"),
        r.Returned(run=1, result=msgspec.Raw(b'"ch_1"')), r.Answered(call=1, form="result", text='"ch_1"'),
    ],
    "conv-doubt": [
        opened(), call(1, "charge", Effect.MUTATION), r.Began(run=1), r.CommitBegan(run=1, key="key-e"),
        r.Lost(run=1, why="the process died"),
    ],
    "conv-open": [opened(), call(1, "charge", Effect.MUTATION), r.Began(run=1), r.CommitBegan(run=1, key="key-o")],
    "conv-held": [opened(), call(1, "book", Effect.MUTATION), r.Began(run=1), r.AtGate(run=1, held_by=("o9",))],
    "conv-bare": [opened()],
}  # fmt: skip
CLOSED = {"conv-every", "conv-done"}
MARKS = {"conv-doubt": "in_doubt", "conv-open": "committing", "conv-held": "at_gate"}


def folded(session, records):
    state = State(session)
    for number, record in enumerate(records):
        state.apply(record, DAWN + number * SECOND)
    return {str(number): run.phase.value for number, run in state.runs.items()}


def main(folder):
    store = DiskStore(folder, chain_key=None)
    store.open("worker-1")
    expected = {}
    for session, records in SESSIONS.items():
        epoch = store.enter(session, "clinic", at=DAWN).epoch
        drafts = tuple(r.encode(record, DAWN + number * SECOND) for number, record in enumerate(records))
        swaps = (Swap(f"claim/{session}", 0, b'{"run":1}'),)
        marks = (Mark(session, 1, "clinic", "charge", MARKS[session], DAWN),) if session in MARKS else ()
        [receipt] = store.commit([Append(session, epoch, drafts, durable=True, swaps=swaps, marks=marks)])
        assert receipt.seq == 1, receipt
        if session in CLOSED:
            store.leave(session, "closed")
        row = store.session(session)
        expected[session] = {
            "phases": folded(session, records), "seq": row.seq, "chain": row.chain.hex(), "state": row.state,
            "epoch": row.epoch,
        }  # fmt: skip
    store.note("paused/fax", b'{"by":"ana"}')
    store.close()
    conn = sqlite3.connect(Path(folder) / "journal.sqlite3", isolation_level=None)
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    conn.execute("VACUUM")
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    conn.close()
    (Path(folder).parent / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
