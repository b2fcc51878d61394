"""Reads a session's journal and folds it, from its newest snapshot on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from loguru import logger

from toolguard.core import records as r
from toolguard.core.sealing import Sealing
from toolguard.core.snapshot import Base, SnapshotUnfit, opened
from toolguard.core.state import State
from toolguard.errors import StoreError, StoreForeign
from toolguard.stores.base import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.core.frame import Frame
    from toolguard.engine.journal import Journal
    from toolguard.stores.base import Store

PAGE = 512
"""Records that are read at once."""
SLICE = 128
"""Records that are folded in one go, so that nobody waits long for his turn."""
LONG = 256
"""Records behind the newest snapshot from which on whoever folds them keeps a new one."""


async def fold(
    journal: Journal,
    session: str,
    *,
    until: int | None = None,
    size: int | None = None,
    notice: Callable[[str], None] | None = None,
) -> tuple[State, int]:
    """Fold a session's journal to its end or up to sequence number ``until``; keep a snapshot where the way was long.

    Args:
        journal: The process's writer.
        session: The session's id.
        until: The last record to fold.
        size: How many records there are, where that is known: a short session has no snapshot to look for.
        notice: Told why a snapshot was ignored; the log is told where nobody else is.

    Returns:
        The state and the wall time of its last record in nanoseconds (0 for an empty journal).

    Raises:
        StoreForeign: A record cannot be understood.
        StoreError: The journal cannot be read.
    """
    folding = Folding(session, until=until, short=size is not None and size < LONG)
    while not folding.ended:
        frames = await journal.ask(folding.read)
        for start in range(0, len(frames), SLICE):
            if start:
                await asyncio.sleep(0)
            folding.take(frames[start : start + SLICE])
    folding.report(notice)
    if folding.tail >= LONG and until is None and not folding.newer:
        await _keep(journal, folding)
    return folding.state, folding.at


async def _keep(journal: Journal, folding: Folding) -> None:
    """Keep a snapshot of what has just been folded; where that fails, the journal has it all the same."""
    try:
        sealing = folding.sealing()
        while True:
            if not sealing.step():
                break
            await asyncio.sleep(0)
        await journal.ask(lambda store: folding.keep(store, sealing))
    except Exception as error:  # noqa: BLE001 - see above
        logger.warning("toolguard: {}: a snapshot could not be made: {!r}", folding.session, error)


class Folding:
    """One way through a session's journal, page by page.

    Args:
        session: The session's id.
        until: The last record to fold; None for all.
        short: Whether it is known to have no snapshot.
        kept: The snapshot that this process has kept, and what it was made on.
    """

    def __init__(
        self,
        session: str,
        *,
        until: int | None = None,
        short: bool = False,
        kept: tuple[Snapshot, Base] | None = None,
    ) -> None:
        self.session = session
        self.state = State(session)
        self.base = Base.none()
        self.seq = self.at = self.tail = 0
        self.mark = b""
        self.ended = self.newer = False
        self._until = until
        self._kept = kept
        self._begun = short
        self._ignored = ""

    def read(self, store: Store, limit: int = PAGE) -> list[Frame]:
        """The next page of records, on the store's side."""
        if not self._begun:
            self._begun = True
            self._open(store)
        frames = store.read(self.session, after=self.seq, limit=limit)
        self.ended = len(frames) < limit
        if self._until is not None and frames and frames[-1].seq >= self._until:
            self.ended = True
            frames = [frame for frame in frames if frame.seq <= self._until]
        return frames

    def take(self, frames: Sequence[Frame]) -> None:
        """Fold records in.

        Raises:
            StoreForeign: One of them cannot be understood.
        """
        apply = self.state.apply
        frame = None
        try:
            for frame in frames:
                apply(r.decode(frame.kind, frame.version, frame.payload), frame.at)
        except (r.UnknownRecord, LookupError, TypeError, ValueError) as error:
            why = error if isinstance(error, r.UnknownRecord) else f"it does not fit the records before it ({error!r})"
            raise StoreForeign(
                f"record {frame.seq if frame is not None else 0} cannot be folded: {why}",
                ref=self.session,
                advice="Update toolguard-voice to the newest release that writes to this store; nothing is lost.",
            ) from error
        if frame is not None:
            self.seq, self.at, self.mark = frame.seq, frame.at, frame.chain
            self.tail += len(frames)

    def sealing(self) -> Sealing:
        """The making of the next snapshot, from what has been folded."""
        return Sealing(self.state, self.base, seq=self.seq, at=self.at, mark=self.mark)

    def keep(self, store: Store, sealing: Sealing) -> Snapshot | None:
        """Put the snapshot into the store; None where somebody else has put a newer one there."""
        made = Snapshot(self.session, self.seq, sealing.head, tuple(sealing.parts))
        return made if store.keep(made, known=sealing.known) else None

    def report(self, notice: Callable[[str], None] | None = None) -> None:
        """Say why a snapshot was ignored, if one was."""
        if self._ignored and notice is not None:
            notice(self._ignored)
        elif self._ignored:
            logger.warning("toolguard: {}: {}", self.session, self._ignored)

    def _open(self, store: Store) -> None:
        """Begin with the newest snapshot, if it is whole and the journal has the record that it ends with."""
        kept, known = self._kept or (None, None)
        try:
            kept = kept or store.snapshot(self.session)
            if kept is None or (self._until is not None and kept.seq > self._until):
                return
            state, head, base = opened(self.session, kept.seq, kept.head, kept.parts, known)
            _check(store.read(self.session, after=kept.seq - 1, limit=1), head.mark)
        except (SnapshotUnfit, StoreError) as error:
            self.newer = isinstance(error, SnapshotUnfit) and error.newer
            self._ignored = f"the snapshot is ignored and the journal folded from its first record: {error}"
            parts = kept.parts if kept is not None else ()
            self.base = Base.none(parts)
        else:
            self.state, self.base = state, base
            self.seq, self.at, self.mark = kept.seq, head.at, head.mark


def _check(last: list[Frame], mark: bytes) -> None:
    """Refuse a snapshot that is ahead of the journal, or of another one."""
    if not last or last[0].chain != mark:
        raise SnapshotUnfit("the journal does not have the record that it ends with")
