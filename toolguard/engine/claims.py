"""Claims on occurrences: compare-and-set rows that outlive journals and are shared by processes (T3, D1)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from toolguard.core.law import Phase
from toolguard.core.lazy import own, shelves
from toolguard.engine.background import Background
from toolguard.engine.ledger import ClaimRow
from toolguard.engine.lookout import Lookout
from toolguard.errors import ClaimLost, StoreError
from toolguard.stores.base import Swap

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.lazy import Shelf
    from toolguard.core.slots import Run
    from toolguard.engine.batch import Entry
    from toolguard.engine.ledger import Ledger
    from toolguard.stores.base import Store

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(ClaimRow).decode
AGAIN = 0.1
"""Seconds before a claim that could not be written is tried again; doubled each time."""


class Claims:
    """The claims that one session has made or seen.

    Args:
        ledger: The session's book.
        lookout: Looks at claims that other processes hold.
    """

    def __init__(self, ledger: Ledger, lookout: Lookout | None = None) -> None:
        self._ledger = ledger
        self._lookout = lookout or Lookout(ledger.journal)
        self._versions: dict[str, int] = {}
        self._beside = Background()
        self._said: dict[int, str] = {}
        self._orphans: set[str] = set()
        self._minded: set[int] = set()
        self.on_known: Callable[[Run, ClaimRow], None] = lambda _run, _row: None
        """Called for a run in doubt whose claim says that it was done; it is to be folded as done."""

    def row(self, run: Run, state: str) -> ClaimRow:
        """What the store keeps of a run's occurrence."""
        ledger = self._ledger
        call = run.calls[0] if run.calls else 0
        return ClaimRow(
            occurrence=run.occurrence,
            state=state,
            session=ledger.state.session,
            call=call,
            run=run.number,
            process=ledger.journal.process,
            fingerprint=run.fingerprint,
            token=max(run.attempt, 1),
            at=run.ended_at or run.planned_at,
            key=run.key,
            result=msgspec.Raw(run.result) if state == "done" else msgspec.Raw(b"null"),
        )

    def swap(self, intent: str, row: ClaimRow) -> Swap:
        """The change that puts ``row`` where this session last saw the claim."""
        version = self._versions.get(intent, 0)
        self._versions[intent] = version + 1
        return Swap(intent, version, _ENCODE(row))

    async def look(self, intent: str) -> ClaimRow | None:
        """Read the claim as it stands in the store."""
        return self.noted(intent, await self._ledger.journal.ask(lambda store: store.claim(intent)))

    async def stands(self, intent: str) -> ClaimRow | None:
        """The same, and take note of whether its process lives."""
        found, alive = await self._ledger.journal.ask(partial(standing, intent))
        (self._orphans.discard if alive else self._orphans.add)(intent)
        return self.noted(intent, found)

    def orphaned(self, intent: str) -> bool:
        """Whether the process that held the claim was dead when it was looked at."""
        return intent in self._orphans

    def noted(self, intent: str, found: tuple[int, bytes] | None) -> ClaimRow | None:
        """Take note of a claim as somebody has just read it."""
        self._versions[intent] = found[0] if found is not None else 0
        return _DECODE(found[1]) if found is not None else None

    def known(self, intent: str) -> bool:
        """Whether this process has made or seen the claim on an intent; after a takeover it has not."""
        return intent in self._versions

    def mind(self, run: Run) -> None:
        """From here on this process says how a run ends whose own process is dead."""
        self._minded.add(run.number)

    def settle(self, run: Run) -> None:
        """Write down how an occurrence ended; failure here costs a later look, never the outcome."""
        if not run.effect.writes or not run.intent or self._said.get(run.number) == self.state_of(run):
            return
        theirs = run.number not in self._minded and run.process not in {"", self._ledger.journal.process}
        if self._ledger.visiting and theirs:
            return  # the process that is at it says so itself; an owner speaks for every run of its session
        self._said[run.number] = self.state_of(run)
        self._beside.run(self._settle(run, self._put(run)), "toolguard:claim")

    def repair(self) -> None:
        """After a takeover: claims of this session that a dead process left behind say how their runs stand now."""
        runs = self._ledger.state.runs
        recent, older = own(runs).values(), [shelf for shelf in shelves(runs) if shelf.wide]
        if older or any(_is_wide(run) for run in recent):
            self._beside.run(self._repair([*recent], older), "toolguard:claim")

    async def _repair(self, recent: list[Run], older: list[Shelf[int, Run]]) -> None:
        await self._repair_some(recent)
        for shelf in reversed(older):
            await asyncio.sleep(0)
            packed = shelf.packed
            await self._repair_some(list(shelf.rows().values()))
            if packed:
                shelf.forget()

    async def _repair_some(self, runs: list[Run]) -> None:
        state = self._ledger.state
        for run in runs:
            if _is_wide(run) and state.newest.get(run.intent) == run.number:
                await self._settle(state.runs[run.number], None)

    def knows(self, row: ClaimRow | None, run: Run) -> bool:
        """Whether the claim says "done" of a run in doubt: its process died between the two records of its outcome."""
        same = row is not None and (row.session, row.run) == (self._ledger.state.session, run.number)
        return same and row is not None and row.state == "done" and run.phase is Phase.IN_DOUBT

    def _put(self, run: Run) -> Entry:
        return self._ledger.claim(self.swap(run.intent, self.row(run, self.state_of(run))))

    async def _settle(self, run: Run, entry: Entry | None) -> None:
        """Write until it is written, or until somebody newer holds the intent."""
        session, pause = self._ledger.state.session, AGAIN
        while True:
            try:
                if entry is None:
                    seen = await self.look(run.intent)
                    if seen is not None and self.knows(seen, run):
                        self.on_known(run, seen)
                    if seen is None or (seen.session, seen.run) != (session, run.number) or self._says(seen, run):
                        return
                    entry = self._put(run)
                await self._ledger.journal.fate(entry)
            except ClaimLost:
                entry = None
            except StoreError:
                entry, pause = None, min(pause * 2, 10.0)
                await asyncio.sleep(pause)
            else:
                return

    def _says(self, row: ClaimRow, run: Run) -> bool:
        """Whether the store's row says already how the run stands, and who is at it; it may even know more."""
        now = self.state_of(run)
        return row.state == now and (now != "running" or row.process == self._ledger.journal.process)

    @staticmethod
    def state_of(run: Run) -> str:
        """The word for how an occurrence stands."""
        if run.happened:
            return "done"
        if run.phase is Phase.IN_DOUBT:
            return "in_doubt"
        if run.phase is Phase.FAILED and run.source in {"probe", "person"}:
            return "undone"
        return "ended" if run.phase.final else "running"

    async def outcome(self, intent: str, *, later: bool = False) -> tuple[ClaimRow | None, bool]:
        """Wait until another process's occurrence is settled, or its process has died (T3).

        Args:
            intent: The occurrence's intent.
            later: The claim was looked at a moment ago: wait before it is looked at again.

        Returns:
            The claim, and whether its process lives.
        """
        question = partial(standing, intent)
        look = self._lookout.next(("claim", intent), question) if later else self._ledger.journal.ask(question)
        while True:
            try:
                found, alive = await look
            except StoreError:
                await asyncio.sleep(AGAIN)
            else:
                row = self.noted(intent, found)
                if row is None or row.state != "running" or not alive:
                    return row, alive
            look = self._lookout.next(("claim", intent), question)


def _is_wide(run: Run) -> bool:
    """Whether the claim may be asked about: other sessions can wish for the same, or it knows what the run does not."""
    wide = run.scope != "session" or run.phase is Phase.IN_DOUBT
    return run.effect.writes and wide and not run.parent


def standing(intent: str, store: Store) -> tuple[tuple[int, bytes] | None, bool]:
    """A claim as it stands, and whether the process that holds it lives."""
    found = store.claim(intent)
    return found, found is not None and store.alive(_DECODE(found[1]).process)
