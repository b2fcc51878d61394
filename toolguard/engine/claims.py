"""Claims on occurrences: compare-and-set rows that outlive journals and are shared by processes (T3, D1)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from toolguard.core.law import Phase
from toolguard.engine.ledger import ClaimRow
from toolguard.errors import ClaimLost, StoreError
from toolguard.stores.base import Swap

if TYPE_CHECKING:
    from toolguard.core.slots import Run
    from toolguard.engine.ledger import Ledger
    from toolguard.stores.base import Store

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(ClaimRow).decode
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
        self._tasks: set[asyncio.Task[None]] = set()

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

    def settle(self, run: Run) -> None:
        """Write down how an occurrence ended; failure here costs a later look, never the outcome."""
        if not run.effect.writes or not run.intent:
            return
        task = asyncio.create_task(self._settle(run), name="toolguard:claim")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, run: Run) -> None:
        row = self.row(run, self.state_of(run))
        entry = self._ledger.claim(self.swap(run.intent, row))
        try:
            await self._ledger.journal.fate(entry)
        except ClaimLost:
            seen = await self.look(run.intent)
            if seen is not None and seen.session == row.session and seen.run <= row.run:
                self._ledger.claim(self.swap(run.intent, row))
        except StoreError:
            self._versions.pop(run.intent, None)

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
            row = await self.look(intent)
            if row is None or row.state != "running":
                return row
            holder = row.process
            if not await journal.ask(partial(_alive, holder)):
                return None
            await asyncio.sleep(POLL)


def _alive(process: str, store: Store) -> bool:
    return store.alive(process)
