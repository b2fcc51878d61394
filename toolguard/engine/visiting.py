"""The way into a visited session: nobody alive owns it, and its first record is written once (T2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from toolguard.errors import ClaimLost, Fenced, StillOwned, StoreBusy, StoreError, UnknownRef

if TYPE_CHECKING:
    from toolguard.core import records as r
    from toolguard.engine.journal import Journal
    from toolguard.engine.visit import Visit
    from toolguard.stores.base import SessionRow, Store

_TRIES = 50


async def seat(journal: Journal, id: str, tenant: str, *, at: int, known_only: bool) -> tuple[int, int]:  # noqa: A002
    """The epoch that a visit decides under (whoever owns the session from now on, fences it), and the journal's length.

    A dead owner is found dead for good, and fenced.

    Raises:
        StillOwned: A living process owns the session.
        UnknownRef: With ``known_only``, there is no such session.
        StoreError: It belongs to another tenant, or the store failed.
    """
    for _ in range(_TRIES):
        row, owned = await journal.ask(partial(_row, id))
        if row is None:
            if known_only:
                raise UnknownRef("there is no such session in this store", ref=id, advice="See `toolguard audit`.")
            return 0, 0
        if row.tenant and row.tenant != tenant:
            raise StoreError("it belongs to another tenant", ref=id, advice="Use another id.")
        if owned:
            raise StillOwned(
                "a living connection has the conversation",
                ref=id,
                advice="Serve the request where it is connected, or visit when that has left.",
            )
        if not row.owner:
            return row.epoch, row.seq
        try:
            epoch = await journal.ask(partial(_unseat, row, tenant, at))
        except Fenced:
            continue
        if epoch:
            return epoch, row.seq
    raise StoreBusy("its owners change all the time", ref=id, advice="Try again.")


async def open_visit(visit: Visit, opened: r.Opened, *, agent: str, caller: str | None) -> None:
    """Write who has the conversation, where the journal does not say so yet; of several processes one does.

    Raises:
        StoreError: It cannot be written, or the conversation is another caller's.
    """
    w, state = visit.wiring, visit.state
    ledger = w.ledger
    for _ in range(_TRIES):
        if caller and state.caller and caller != state.caller:
            raise StoreError("it is another caller's conversation", ref=visit.id, advice="Use another id.")
        if ledger.seen and not state.closed and state.agent == agent and (not caller or state.caller == caller):
            return
        record = msgspec.structs.replace(
            opened, process="", agent=agent, caller=caller or state.caller, recovered=bool(ledger.seen)
        )
        try:
            await ledger.journal.fate(ledger.append(record, wait=True, swaps=(ledger.numbering(),)))
        except ClaimLost:
            await w.abreast.sync()
        else:
            ledger.fold(record)
            return
    raise StoreBusy("other processes open the session all the time", ref=visit.id, advice="Try again.")


def _row(session: str, store: Store) -> tuple[SessionRow | None, bool]:
    row = store.session(session)
    return row, row is not None and bool(row.owner) and store.alive(row.owner)


def _unseat(row: SessionRow, tenant: str, at: int, store: Store) -> int:
    """Fence a dead owner: the epoch that stands then, 0 where it lives."""
    if not store.bury(row.owner):
        return 0
    epoch = store.enter(row.session, tenant, at=at, expects=row.epoch).epoch
    store.leave(row.session, "open")
    return epoch
