"""A session's book: its state in memory and the door through which every record goes into its journal."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import msgspec

from toolguard.core import records as r
from toolguard.core.law import Phase
from toolguard.core.lazy import highest
from toolguard.engine.batch import Entry
from toolguard.errors import Fenced
from toolguard.stores.base import Append, Mark, Swap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.core.frame import Draft
    from toolguard.core.slots import Run
    from toolguard.core.state import State
    from toolguard.engine.clock import Clock
    from toolguard.engine.journal import Journal

GROWN = 1024
"""Records after which a session is due for a snapshot."""
_TAKEN = ("another process owns this session now", "Stop serving it here; the new owner goes on.")
PRESENT = 0.05
"""Seconds that must be left of a process's lease where it decides for a session that nobody owns (T2)."""
_EVIDENCE = (r.Returned, r.Failed, r.Lost, r.NeverCommitted, r.Contradicted)


class ClaimRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the store keeps of an intent's newest occurrence, beyond the life of its journal (a tombstone).

    Attributes:
        occurrence: Which time it is, from 1.
        state: ``running``, ``in_doubt``, ``done``, ``ended`` (the next occurrence takes a new key), ``undone``
            (it did not happen: the next one inherits the key, D1) or ``free`` (its process died before the commit:
            whoever wants it next does this same occurrence, T3).
        token: The run token; evidence carries it.
    """

    occurrence: int
    state: str
    session: str
    call: int
    run: int
    process: str
    fingerprint: str
    token: int = 1
    at: int = 0
    key: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")
    acknowledged: bool = False


class Ledger:
    """State plus journal of one session.

    Args:
        state: The folded state.
        journal: The process's writer.
        clock: Wall time for the records.
        epoch: The epoch under which this process owns the session, or visits it.
        visiting: Nobody owns the session: what is decided here carries the process's lease, and the call of each slot
            is opened by compare-and-set (T2).

    Attributes:
        calls: The newest order number.
        opened: How often a slot has been opened in a visited session, when its journal was last read.
    """

    def __init__(self, state: State, journal: Journal, clock: Clock, epoch: int, *, visiting: bool = False) -> None:
        self.state = state
        self.journal = journal
        self.clock = clock
        self.epoch = epoch
        self.claims: dict[str, tuple[int, ClaimRow | None]] = {}
        self.fenced = False
        self._why: tuple[str, str] | None = None
        self.on_fenced: Callable[[], None] = lambda: None
        """Called once when the session is fenced; the flag is up by then."""
        self.followed: set[int] = set()
        """Runs that another living process is committing (H1)."""
        self.denied: set[int] = set()
        """Runs that did not happen, as a probe found: their process may know better when it wakes (L4)."""
        self.seen = 0
        """How far the journal has been looked through for evidence of others."""
        self.calls = highest(state.slots)
        self.runs = highest(state.runs)
        self.grown: Callable[[], None] | None = None
        """Called after every :data:`GROWN` records."""
        self._fresh = 0
        self.visiting = visiting
        self.opened = 0
        self._opening: Entry | None = None
        self._own: list[Entry] = []

    def next_call(self) -> int:
        """The next order number."""
        self.calls += 1
        return self.calls

    def next_run(self, *, call: int = 0, before: int = 0) -> int:
        """The number of a call's first run, or of the one that takes the place of ``before``.

        In a visited session every call has a range of its own, so that two processes never give the same number.
        """
        if self.visiting:
            return before + 1 if before else call << 8
        self.runs += 1
        return self.runs

    def write(
        self,
        *records: r.Record,
        durable: bool = False,
        wait: bool = False,
        swaps: Sequence[Swap] = (),
        after: Entry | None = None,
        lease: float = 0.0,
    ) -> Entry:
        """Fold records into the state at once and queue them as one append.

        From this moment everything in this process sees them; :meth:`journal.fate` tells whether they are kept.
        """
        self.fold(*records)
        return self.append(*records, durable=durable, wait=wait, swaps=swaps, after=after, lease=lease)

    def fold(self, *records: r.Record) -> None:
        """Fold records into the state; :meth:`append` has to follow in the same turn of the loop."""
        at = self.clock.wall()
        for record in records:
            self.state.apply(record, at)

    def append(
        self,
        *records: r.Record,
        durable: bool = False,
        wait: bool = False,
        swaps: Sequence[Swap] = (),
        after: Entry | None = None,
        lease: float = 0.0,
    ) -> Entry:
        """Queue records that the state has folded already; a fenced owner has nothing to say but evidence (T1)."""
        at = self.clock.wall()
        state = self.state
        drafts: list[Draft] = [r.encode(record, at) for record in records]
        self._fresh += len(drafts)
        if self._fresh >= GROWN and self.grown is not None:
            self._fresh = 0
            self.grown()
        opens = self.visiting and isinstance(records[0], r.Called)
        evidence = self._evidence(records[0])
        append = Append(
            state.session,
            None if evidence else self.epoch,
            tuple(drafts),
            durable,
            (*swaps, self.numbering()) if opens else tuple(swaps),
            self._marks(records, at),
            0.0 if evidence else max(lease, PRESENT if self.visiting else 0.0),
        )
        if self.fenced and not evidence:
            entry = Entry(append, records, after, awaited=wait)
            entry.error = self.not_owner()
        else:
            entry = self.journal.put(append, records, wait=wait or opens, after=after)
        if self.visiting:
            self._own.append(entry)
        if opens:
            self._opening = entry
        return entry

    def propose(self, record: r.RunRecord, swap: Swap) -> Entry:
        """Queue a record about a run that counts only if ``swap`` holds: it is to be folded when it has landed."""
        run = self.state.runs[record.run]
        before, run.phase = run.phase, self.state.ruling(record)[1]
        try:
            return self.append(record, durable=run.effect.writes, wait=True, swaps=(swap,))
        finally:
            run.phase = before

    def opening(self) -> Entry:
        """The append that has just opened a slot of a visited session.

        Raises:
            RuntimeError: There is none: a mistake of ours, not of a user.
        """
        entry, self._opening = self._opening, None
        if entry is None:
            raise RuntimeError(f"no slot of {self.state.session} was opened")
        return entry

    def written(self) -> set[int]:
        """Sequence numbers of what this process has written and folded, of what was not read back yet."""
        landed = [(entry.receipt, len(entry.append.drafts)) for entry in self._own if entry.receipt is not None]
        return {number for receipt, many in landed for number in range(receipt.seq, receipt.seq + many)}

    def ahead(self, seq: int) -> int:
        """How many own commits are folded already that do not stand before ``seq`` in the journal (S1)."""
        later = (e for e in self._own if e.error is None and (e.receipt is None or e.receipt.seq > seq))
        return sum(isinstance(record, r.CommitBegan) for entry in later for record in entry.records)

    def forget(self) -> None:
        """What was read back needs not be remembered any more, nor what the store has refused."""
        self._own = [entry for entry in self._own if entry.error is None and _behind(entry) - 1 > self.seen]

    def overtaken(self) -> Fenced:
        """What a call is told that cannot be decided here any more."""
        return Fenced(
            "another process goes on with this conversation",
            ref=self.state.session,
            advice="Visit it again: what has become of the call is in its journal.",
        )

    def numbering(self) -> Swap:
        """Nobody else has opened a slot of the session since its journal was read (T2)."""
        return Swap(numbering(self.state.session), self.opened, b"")

    def _evidence(self, record: r.Record) -> bool:
        """Whether a record says what became of an effect, which nobody's epoch refuses (T1).

        A failure before the commit is none: it says nothing about the world, and a new owner may be at the next
        attempt by now.
        """
        if isinstance(record, r.Failed):
            run = self.state.runs.get(record.run)
            return run is None or bool(run.committed_at)
        return isinstance(record, _EVIDENCE)

    def claim(self, swap: Swap) -> Entry:
        """Queue a change of a claim alone; its refusal concerns nothing else."""
        return self.journal.put(Append(self.state.session, None, (), swaps=(swap,)), wait=True)

    def _marks(self, records: Sequence[r.Record], at: int) -> tuple[Mark, ...]:
        marks: list[Mark] = []
        for record in records:
            if isinstance(record, r.Opened) and self.visiting:  # the first append of a session says whose it is
                marks.append(Mark(self.state.session, 0, record.tenant, "", "", at))
                continue
            if isinstance(record, r.Called):
                number = record.run if record.verdict in {"run", "wait"} else 0
            elif isinstance(record, (r.CommitBegan, r.Returned, r.Failed, r.Stopped, r.Lost, r.NeverCommitted)):
                number = record.run
            else:
                continue
            run = self.state.runs.get(number)
            if run is not None and run.effect.writes:
                marks.append(self._mark(run, at))
        return tuple(marks)

    def _mark(self, run: Run, at: int) -> Mark:
        open_ = run.phase.open or run.phase is Phase.IN_DOUBT
        call = run.calls[0] if run.calls else run.number
        return Mark(self.state.session, call, self.state.tenant, run.tool, run.phase.value if open_ else "", at)

    def check_owner(self) -> None:
        """Refuse to decide for a session that another process has taken over.

        Raises:
            Fenced: Somebody else owns it.
        """
        if self.fenced:
            raise self.not_owner()

    def not_owner(self) -> Fenced:
        """Why this process may not decide for the session any more, and what to do."""
        what, advice = self._why or _TAKEN
        return Fenced(what, ref=self.state.session, advice=advice)

    def fence(self, what: str = "", advice: str = "") -> None:
        """This process owns the session no more: it decides nothing from here on (T1)."""
        if self.fenced:
            return
        self.fenced = True
        self._why = (what, advice) if what else None
        self.on_fenced()


def numbering(session: str) -> str:
    """The key under which a store counts the slots of a visited session."""
    return f"calls/{session}"


def _behind(entry: Entry) -> float:
    """The sequence number behind an append; without end while it has not landed."""
    return entry.receipt.seq + len(entry.append.drafts) if entry.receipt is not None else inf
