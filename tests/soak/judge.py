"""Judges a run from outside: the ledger, the provider's frames, and the store's stored bytes."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.core.chain import verify
from toolguard.core.frame import unpack
from toolguard.core.law import Phase
from toolguard.core.state import State
from toolguard.stores.locate import store_from

from .world import MUTATIONS, ledger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from toolguard.stores.base import Store
    from toolguard.testing.realtime import Line

    from .callers import Caller


@dataclass
class Findings:
    """What is left of a run, in numbers, and what is wrong with it."""

    broken: list[str] = field(default_factory=list[str])
    numbers: Counter[str] = field(default_factory=Counter[str])
    doubts: list[str] = field(default_factory=list[str])
    gaps_ms: list[float] = field(default_factory=list[float])


@dataclass
class Book:
    """One session's journal, read back."""

    session: str
    rows: list[tuple[int, bytes]]
    state: State
    keys: set[str]
    kinds: dict[int, str]


def read_books(store: Store) -> dict[str, Book]:
    """Every session of a store; the store is open."""
    books: dict[str, Book] = {}
    after = ""
    while rows := store.sessions(after=after, limit=200):
        for row in rows:
            books[row.session] = _book(store, row.session)
        after = rows[-1].session
    return books


def _book(store: Store, session: str) -> Book:
    stored: list[tuple[int, bytes]] = []
    while page := store.raw(session, after=stored[-1][0] if stored else 0, limit=512):
        stored += page
    state, keys, kinds = State(session), set[str](), dict[int, str]()
    for seq, one in stored:
        frame = unpack(one)
        record = r.decode(frame.kind, frame.version, frame.payload)
        state.apply(record, frame.at)
        kinds[seq] = r.NAMES[type(record)]
        if isinstance(record, r.CommitBegan):
            keys.add(record.key)
    return Book(session, stored, state, keys, kinds)


def judge(home: Path, place: str, callers: Sequence[Caller], lines: Sequence[Line]) -> Findings:
    """Judge a run whose processes are all gone."""
    found = Findings()
    store = store_from(place)
    store.open("judge")
    try:
        books = read_books(store)
        left = [(mark.session, mark.call, mark.tool, mark.phase) for mark in store.open_calls(limit=100_000)]
    finally:
        store.close()
    effects = ledger(home)
    _effects(found, books, effects, home)
    _journals(found, books)
    _landed(found, books, home)
    _lines(found, books, callers, lines)
    for session, call, tool, phase in left:
        if phase == Phase.IN_DOUBT.value:
            found.doubts.append(f"{session}/{call} {tool}")
        else:
            found.broken.append(f"{session}/{call} {tool} is still {phase} after the sweep")
    found.numbers["wishes"] = sum(len(one.wants) for one in callers)
    found.numbers["wishes given up"] = sum(want.outcome == "given up" for one in callers for want in one.wants)
    return found


def _effects(found: Findings, books: dict[str, Book], effects: Sequence[dict[str, Any]], home: Path) -> None:
    """At most one effect a wish and a key; the journal knew each before it happened."""
    wishes = Counter(line["want"] for line in effects if line["tool"] in MUTATIONS)
    keys = Counter(line["key"] for line in effects if line["tool"] in MUTATIONS)
    found.numbers["effects of mutations"] = sum(wishes.values())
    found.numbers["effects of idempotent writes"] = len(effects) - sum(wishes.values())
    found.broken += [f"{want} happened {times} times" for want, times in wishes.items() if times > 1]
    found.broken += [f"key {key} was used {times} times" for key, times in keys.items() if times > 1]
    known = {key for book in books.values() for key in book.keys}
    for line in effects:
        if line["key"] not in known:
            found.broken.append(f"{line['want']}: its effect has no commit record (key {line['key']})")
    per_want = {(line["want"], line["key"]) for line in effects if line["tool"] == "set_note"}
    twice = Counter(want for want, _ in per_want)
    found.broken += [f"{want} was written under {n} keys" for want, n in twice.items() if n > 1]
    done = {line["key"] for line in effects}
    for book in books.values():
        counted = {run.key for run in book.state.runs.values() if run.happened}
        for run in book.state.runs.values():
            _run(found, book, run, acted=run.key in done, elsewhere=run.key in counted and not run.happened)
    refused = home / "refused"
    found.numbers["requests refused by their key"] = len(refused.read_text().splitlines()) if refused.exists() else 0


def _run(found: Findings, book: Book, run: Any, *, acted: bool, elsewhere: bool) -> None:
    """A run says what its key did; where a later occurrence inherited the key (D1), that one answers for it."""
    ref = book.state.run_ref(run)
    found.numbers[f"runs {run.phase.value}"] += 1
    if not run.effect.writes or not run.key:
        return
    if run.phase is Phase.DONE and not acted:
        found.broken.append(f"{ref} {run.tool} counts as done and never happened")
    if run.phase in {Phase.FAILED, Phase.CANCELLED} and acted and not run.happened and not elsewhere:
        found.broken.append(f"{ref} {run.tool} counts as {run.phase.value} and has happened")


def _journals(found: Findings, books: dict[str, Book]) -> None:
    for book in books.values():
        verdict = verify(book.rows)
        if not verdict.ok:
            found.broken.append(f"{book.session}: {verdict.sentence}")
        epochs = [unpack(stored).epoch for _, stored in book.rows]
        if any(later < earlier for earlier, later in itertools.pairwise(epochs)):
            found.broken.append(f"{book.session}: its epochs go back")
        found.numbers["records"] += len(book.rows)
        found.numbers["sessions"] += 1
        found.numbers["owners"] += len(set(epochs))
        for seq, stored in book.rows:
            if book.kinds[seq] == "recovered":
                frame = unpack(stored)
                record = r.decode(frame.kind, frame.version, frame.payload)
                assert isinstance(record, r.Recovered)
                found.gaps_ms.append(record.gap_ms)
        for slot in book.state.slots.values():
            found.numbers[f"calls: {slot.verdict}"] += 1


def _landed(found: Findings, books: dict[str, Book], home: Path) -> None:
    """What the store acknowledged to a worker stands in the journal, at its place."""
    for path in home.glob("landed.*"):
        for text in path.read_text().splitlines():
            try:
                session, seq, kind = json.loads(text)
            except json.JSONDecodeError:
                continue  # its writer was killed in the middle of the line
            found.numbers["acknowledged records looked for"] += 1
            book = books.get(session)
            if book is None or book.kinds.get(seq) != kind:
                found.broken.append(f"{session}: record {seq} ({kind}) was acknowledged and is not there")


def _lines(found: Findings, books: dict[str, Book], callers: Sequence[Caller], lines: Sequence[Line]) -> None:
    """Each call is answered once, behind itself and in call order; on a line that lived to its end, every call is."""
    whole = {id(one.lines[-1]) for one in callers if one.lines and one.done.is_set()}
    for line in lines:
        session = line.query.get("call", "?")
        found.numbers["outputs taken"] += len(line.accepted_outputs)
        for problem in line.conversation_problems():
            if id(line) in whole or "has no output" not in problem:
                found.broken.append(f"{session}: {problem}")
        standing = [(item["type"], item["call_id"]) for item in line.conversation if "call_id" in item]
        calls = [call for kind, call in standing if kind == "function_call"]
        places = [calls.index(call) for kind, call in standing if kind == "function_call_output" and call in calls]
        if places != sorted(places):
            found.broken.append(f"{session}: outputs out of order: {standing}")
        book = books.get(session)
        for output in line.accepted_outputs:
            if '"did"' in output.text and book is not None:
                _known(found, book, str(json.loads(output.text).get("did", "")))


def _known(found: Findings, book: Book, want: str) -> None:
    """A write that was told as done is done by the journal; a read awaits nothing, so its record may be lost (W3)."""
    runs = [run for run in book.state.runs.values() if run.happened and want.encode() in run.result]
    reads = any(run.tool == "look_up" and want.encode() in run.arguments for run in book.state.runs.values())
    if want and not runs and not reads:
        found.broken.append(f"{book.session}: {want} was told as done and the journal does not have it")
