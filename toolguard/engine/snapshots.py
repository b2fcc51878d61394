"""Snapshots of living sessions, made beside them: on the writer's thread, in small slices, while it has nothing to do.

A snapshot is always the fold of what the journal says, never the memory of the session: others may have written too.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from loguru import logger

from toolguard.engine.background import Background
from toolguard.engine.folding import Folding

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.snapshot import Base
    from toolguard.engine.journal import Journal
    from toolguard.engine.ledger import Ledger
    from toolguard.stores.base import Snapshot, Store

T = TypeVar("T")
SLICE = 64
"""Records that are folded at a time: well below two milliseconds."""
PAUSE = 0.01
"""Seconds between two slices."""
PATIENCE = 200
"""Pauses for which a slice waits for a writer that is busy; then it is done nevertheless."""


class Snapshots:
    """Makes snapshots of sessions that have grown, one session after the other.

    Args:
        journal: The process's writer.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._beside = Background()
        self._due: dict[str, None] = {}
        self._kept: dict[str, tuple[Snapshot, Base]] = {}
        self._working = False
        self._open = True

    def watch(self, ledger: Ledger) -> None:
        """Make a snapshot of a session whenever it has grown by many records."""
        ledger.grown = partial(self.due, ledger.state.session)

    def due(self, session: str) -> None:
        """Make a snapshot of a session soon."""
        self._due[session] = None
        if not self._working and self._open:
            self._working = True
            self._beside.run(self._work(), "toolguard:snapshots")

    def forget(self, session: str) -> None:
        """A session has left this process."""
        self._due.pop(session, None)
        self._kept.pop(session, None)

    def close(self) -> None:
        """Make no more."""
        self._open = False
        self._due.clear()
        self._kept.clear()

    async def _work(self) -> None:
        try:
            while self._due:
                session = next(iter(self._due))
                del self._due[session]
                try:
                    await self._make(session)
                except Exception as error:  # noqa: BLE001 - the journal has everything; it is made when it is due again
                    self._kept.pop(session, None)
                    logger.warning("toolguard: {}: a snapshot could not be made: {!r}", session, error)
        finally:
            self._working = False

    async def _make(self, session: str) -> None:
        folding = Folding(session, kept=self._kept.get(session))
        while await self._slice(lambda store: _fold_some(folding, store)):
            pass
        folding.report()
        if not folding.tail or folding.newer:
            return
        sealing = folding.sealing()
        while await self._slice(lambda _store: sealing.step()):
            pass
        kept = await self._slice(lambda store: folding.keep(store, sealing))
        if kept is not None and self._open:
            folding.base.library.forget()
            self._kept[session] = kept, folding.base
        else:
            self._kept.pop(session, None)

    async def _slice(self, work: Callable[[Store], T]) -> T | None:
        """Do a bit of work on the writer's side; nothing any more when the process is about to end."""
        for _ in range(PATIENCE):
            await asyncio.sleep(PAUSE)
            if not self._journal.waiting:
                break
        return await self._journal.ask(work) if self._open else None


def _fold_some(folding: Folding, store: Store) -> bool:
    """Fold some records; whether there are more."""
    folding.take(folding.read(store, SLICE))
    return not folding.ended
