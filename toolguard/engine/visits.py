"""The sessions that this process visits, kept between requests (T2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from toolguard.core.state import State
from toolguard.engine.folding import fold
from toolguard.engine.ledger import Ledger
from toolguard.engine.toolbox import check_scopes
from toolguard.engine.visit import Visit
from toolguard.engine.visiting import open_visit, seat
from toolguard.errors import DeclarationError

if TYPE_CHECKING:
    from toolguard.engine.entrance import Entrance
    from toolguard.tools.tool import Tool

KEPT = 1024
"""Visited sessions whose state is kept between requests."""


class Visits:
    """The way into visited sessions.

    Args:
        entrance: What the sessions of the guard have in common.
    """

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._doorways: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def visit(
        self,
        id: str,  # noqa: A002
        known: dict[str, Tool[Any, Any]],
        *,
        agent: str,
        tenant: str,
        caller: str | None,
        known_only: bool = False,
    ) -> Visit:
        """Bring a session up to date that no process owns, or begin it; other processes may be at it as well (T2).

        Raises:
            StillOwned: A living process owns it.
            UnknownRef: With ``known_only``, there is no such session.
            DeclarationError: A tool needs a caller and the session has none, or the guard only observes.
            StoreError: The session cannot be journaled, or belongs to another tenant or caller.
        """
        e = self._entrance
        if e.watching:
            raise DeclarationError("a guard in observe mode visits no session", advice="Use guard.session(...).")
        async with self._doorways.setdefault(id, asyncio.Lock()):
            epoch, seq = await seat(e.journal, id, tenant, at=e.clock.wall(), known_only=known_only)
            visit = e.sessions.pop(id, None)
            if not isinstance(visit, Visit) or not visit.usable or visit.wiring.ledger.epoch != epoch:
                state = (await fold(e.journal, id, until=seq, size=seq))[0] if seq else State(id, tenant=tenant)
                ledger = Ledger(state, e.journal, e.clock, epoch, visiting=True)
                ledger.seen = seq
                visit = Visit(e.wire(ledger, known, None), known)
                visit.wiring.execution.lease = e.owner.lease
                ledger.on_fenced = visit.wiring.delivery.pump
            visit.known.update(known)
            await visit.wiring.abreast.sync()
            check_scopes(known, id, caller or visit.state.caller or None)
            self._make_room()
            e.sessions[id] = visit
            if not known_only:
                await open_visit(visit, e.opening(known, tenant), agent=agent, caller=caller)
            return visit

    def _make_room(self) -> None:
        """Forget visited sessions that nothing here is at, the longest unvisited first; the journal knows them."""
        e = self._entrance
        visits = [(id_, one) for id_, one in e.sessions.items() if isinstance(one, Visit)]
        for id_, one in visits[: max(0, len(visits) - KEPT)]:
            if not one.busy:
                one.wiring.stop()
                del e.sessions[id_]
