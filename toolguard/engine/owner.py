"""What this process owns: its lease, its sessions, and what becomes of them when somebody else takes them (T1, T4)."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import TYPE_CHECKING

from loguru import logger

from toolguard.engine.lease import Lease
from toolguard.errors import LeaseLost, StoreError

if TYPE_CHECKING:
    from toolguard.engine.batch import Entry
    from toolguard.engine.journal import Journal
    from toolguard.engine.limits import Limits
    from toolguard.engine.session import Session
    from toolguard.engine.wiring import Wiring

AGAIN = 1.0
"""Seconds before a process that was found dead tries again to open its store under a new token."""


def new_token() -> str:
    """A token for a process: unique, and telling which process it is."""
    return f"{os.getpid()}-{secrets.token_hex(6)}"


class Owner:
    """The sessions of one process, and its right to them.

    Args:
        journal: The process's writer.
        limits: The lease's length and margin.

    Attributes:
        sessions: The sessions that this process owns, by id.
        fenced: Sessions that it owns no more and whose commits it still finishes.
    """

    def __init__(self, journal: Journal, limits: Limits) -> None:
        self._journal = journal
        self.lease = Lease(journal, seconds=limits.lease, margin=limits.margin)
        self.lease.lost = self._found_dead
        self.sessions: dict[str, Session] = {}
        self.fenced: set[Session] = set()
        journal.refused = self._refused

    def add(self, session: Session) -> None:
        """A session was entered; one of the same id that this process had before is fenced."""
        before = self.sessions.get(session.id)
        self.sessions[session.id] = session
        if before is not None:
            self.fenced.add(before)
            before.wiring.ledger.fence(
                "this process has entered the session anew", "Close this one and use the newer one."
            )

    def drop(self, wiring: Wiring) -> None:
        """A session is over here."""
        self.fenced = {one for one in self.fenced if one.wiring is not wiring}
        session = self.sessions.get(wiring.ledger.state.session)
        if session is not None and session.wiring is wiring:
            del self.sessions[session.id]

    def lost(self, session: Session) -> None:
        """A session is owned by somebody else now: it is no more among those that live here."""
        self.drop(session.wiring)
        self.fenced.add(session)

    def _refused(self, entry: Entry) -> None:
        """A record was refused: another process owns the session, or the lease is over (T1, T4)."""
        session = self.sessions.get(entry.append.session)
        if isinstance(entry.error, LeaseLost):
            self.lease.look()
            begins = entry.append.lease >= self.lease.margin  # a commit: its refusal is told, the run ends (T4)
            if session is None or not session.wiring.ledger.visiting or begins:
                return
        if session is not None and session.wiring.ledger.epoch == entry.append.epoch:
            session.wiring.ledger.fence()

    async def _found_dead(self, error: LeaseLost) -> None:
        """Somebody has found this process dead: it owns nothing any more, and begins anew under a new token."""
        logger.warning("toolguard: {}; its sessions go on elsewhere", error.what)
        for session in list(self.sessions.values()):
            session.wiring.ledger.fence(
                "this process was found dead, because its lease had run out",
                "Stop serving it here; enter it again to go on here.",
            )
        while True:
            try:
                await self._journal.rejoin(new_token())
                await self.lease.begin()
            except StoreError as failure:
                logger.warning("toolguard: the store cannot be entered anew: {}", failure)
                await asyncio.sleep(AGAIN)
            else:
                return
