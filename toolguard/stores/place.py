"""The rules by which every store judges an append and gives its records their places."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from toolguard.core.frame import GENESIS, Frame, FrameError, pack, unpack
from toolguard.errors import ClaimLost, Fenced, LeaseLost, StoreDamaged, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Append

PAYLOAD_LIMIT = 64 * 1024 * 1024
"""Largest payload of one record, in bytes; anything larger belongs beside the journal, by reference."""

_WHOLE = struct.Struct(">qq")


class Head:
    """Where a session stands: the store's own row number, its epoch, newest sequence number and chain link."""

    __slots__ = ("chain", "epoch", "last_at", "row", "seq")

    def __init__(self, row: int = 0, epoch: int = 0, seq: int = 0, chain: bytes = GENESIS, last_at: int = 0) -> None:
        self.row = row
        self.epoch = epoch
        self.seq = seq
        self.chain = chain
        self.last_at = last_at


def judge(append: Append, head: Head, version: Callable[[str], int]) -> None:
    """Check an append's epoch and claims against the store's present state.

    Args:
        append: What is to land.
        head: The session as it stands (a fresh one where the store has none).
        version: Gives a claim's present version, 0 where there is none.

    Raises:
        Fenced: The append carries another epoch than the session stands at.
        ClaimLost: A claim stands at another version than expected.
    """
    if append.epoch is not None and append.epoch != head.epoch:
        raise fenced(append, head.epoch)
    if append.swaps:
        met: dict[str, int] = {}
        for key, expects, _ in append.swaps:
            stands = met[key] if key in met else version(key)
            if stands != expects:
                raise claim_lost(append, stands, expects)
            met[key] = expects + 1


def place(append: Append, head: Head, key: bytes | None) -> tuple[list[bytes], bytes]:
    """Pack an append's drafts behind ``head``, which is left as it is.

    Returns:
        The bytes to store, in order, and the chain's new head.

    Raises:
        StoreError: A value does not fit the stored form; nothing of the append may land.
    """
    seq, chain, epoch = head.seq, head.chain, head.epoch
    rows: list[bytes] = []
    try:
        _check(append)
        for draft in append.drafts:
            seq += 1
            stored, chain = pack(draft, epoch=epoch, seq=seq, previous=chain, key=key)
            rows.append(stored)
    except (struct.error, TypeError, ValueError) as error:
        raise unfit(append.session, error) from error
    return rows, chain


def frame_of(session: str, seq: int, stored: bytes, *, advice: str = "") -> Frame:
    """A stored record, read back; ``advice`` says what helps where this store has lost one.

    Raises:
        StoreDamaged: The record is not what was written.
    """
    try:
        return unpack(stored)
    except FrameError as error:
        raise StoreDamaged(f"record {seq} cannot be read: {error}", ref=session, advice=advice) from error


def storable(session: str, *texts: str) -> None:
    """Check that texts can be written as UTF-8 (a lone surrogate cannot).

    Raises:
        StoreError: One of them cannot; the message names the session.
    """
    try:
        for text in (session, *texts):
            if not text.isascii():
                text.encode()
    except UnicodeError as error:
        raise unfit(session, error) from error


def unfit(session: str, error: Exception) -> StoreError:
    """The refusal of an append whose values no store can hold."""
    shown = session.encode("utf-8", "backslashreplace").decode()
    return StoreError(
        f"the append holds a value that cannot be stored: {error}",
        ref=shown,
        advice="Nothing of it was written; mend the value and append again.",
    )


def _check(append: Append) -> None:
    if not append.session.isascii():
        append.session.encode()
    for draft in append.drafts:
        if len(draft.payload) > PAYLOAD_LIMIT:
            raise ValueError(f"a payload of {len(draft.payload)} bytes is over the limit of {PAYLOAD_LIMIT}")
    for swap in append.swaps:
        if not swap.key.isascii():
            swap.key.encode()
    for mark in append.marks:
        _WHOLE.pack(mark.call, mark.at)
        for text in (mark.session, mark.tenant, mark.tool, mark.phase):
            if not text.isascii():
                text.encode()


def fenced(append: Append, epoch: int) -> Fenced:
    """The refusal of an append whose epoch is not the one that its session stands at."""
    return Fenced(
        f"another owner has taken the session over (epoch {append.epoch} is over, it stands at {epoch})",
        ref=append.session,
        advice="Stop deciding for this session; its new owner goes on.",
    )


def claim_lost(append: Append, stands: int, expects: int) -> ClaimLost:
    """The refusal of an append one of whose claims stands at another version than expected."""
    return ClaimLost(
        f"another process holds the occurrence (its claim stands at version {stands}, not {expects})",
        ref=append.session,
        advice="Read the claim again and wait for its holder.",
    )


def lease_over(process: str, session: str = "") -> LeaseLost:
    """The refusal of what needs the lease of a process that has lost it, or has too little of it left."""
    return LeaseLost(
        f"the lease of {process} has run out, or nearly so",
        ref=session,
        advice="Nothing was begun. Renew the lease; where the process was found dead, start it anew.",
    )


def forgotten(session: str, had: int, has: int) -> Fenced:
    """The refusal of appends to a session of which the server knows less than the process that writes."""
    lost = f"{had - has} acknowledged records" if had > has else "acknowledged records"
    return Fenced(
        f"the server was started anew and has lost {lost} of the session (this process knows {had}, it has {has})",
        ref=session,
        advice="Recover the session: its open mutations count as in doubt.",
    )


def overtaken(session: str, expects: int, epoch: int) -> Fenced:
    """The refusal to enter a session that somebody else has entered meanwhile."""
    return Fenced(
        f"another process was first: the session stands at epoch {epoch}, not {expects}",
        ref=session,
        advice="Leave it to that process, or look at it again.",
    )


def other_tenant(session: str) -> Fenced:
    """The refusal to enter a session that belongs to another tenant (whose name is not told)."""
    return Fenced("the session belongs to another tenant", ref=session, advice="Use a session id of this tenant's own.")


def not_owner(session: str, owner: str) -> Fenced:
    """The refusal to leave a session that another process owns by now."""
    return Fenced(f"the session is owned by {owner} now", ref=session, advice="Leave it to its new owner.")
