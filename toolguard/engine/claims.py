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
from toolguard.errors import ClaimLost, StoreError
from toolguard.stores.base import Swap

if TYPE_CHECKING:
    from toolguard.core.lazy import Shelf
    from toolguard.core.slots import Run
    from toolguard.engine.batch import Entry
    from toolguard.engine.ledger import Ledger
    from toolguard.stores.base import Store

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(ClaimRow).decode
AGAIN = 0.1
"""Seconds before a claim that could not be written is tried again; doubled each time."""
POLL = 0.05
"""Seconds between looks at a claim that another process holds."""


class Claims:
    """The claims that one session has made or seen.

    Args:
        ledger: The session's book.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._versions: dict[str, int] = {}
        self._beside = Background()
        self._said: dict[int, str] = {}

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
        found = await self._ledger.journal.ask(lambda store: store.claim(intent))
        if found is None:
            self._versions[intent] = 0
            return None
        self._versions[intent] = found[0]
        return _DECODE(found[1])

    def known(self, intent: str) -> bool:
        """Whether this process has made or seen the claim on an intent; after a takeover it has not."""
        return intent in self._versions

    def settle(self, run: Run) -> None:
        """Write down how an occurrence ended; failure here costs a later look, never the outcome."""
        if not run.effect.writes or not run.intent or self._said.get(run.number) == self.state_of(run):
            return
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

    def _put(self, run: Run) -> Entry:
        return self._ledger.claim(self.swap(run.intent, self.row(run, self.state_of(run))))

    async def _settle(self, run: Run, entry: Entry | None) -> None:
        """Write until it is written, or until somebody newer holds the intent."""
        session, pause = self._ledger.state.session, AGAIN
        while True:
            try:
                if entry is None:
                    seen = await self.look(run.intent)
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
        if row.state == "done" and now == "in_doubt":  # its process died between the two records of one outcome
            return True
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

    async def outcome(self, intent: str) -> ClaimRow | None:
        """Wait until another process's occurrence is settled; None if its process died first."""
        journal = self._ledger.journal
        while True:
            try:
                row = await self.look(intent)
                if row is None or row.state != "running":
                    return row
                if not await journal.ask(partial(_alive, row.process)):
                    return None
            except StoreError:
                await asyncio.sleep(AGAIN)
            await asyncio.sleep(POLL)


def _is_wide(run: Run) -> bool:
    """Whether other sessions can wish for the same."""
    return run.effect.writes and run.scope != "session" and not run.parent


def _alive(process: str, store: Store) -> bool:
    return store.alive(process)
