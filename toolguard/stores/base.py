"""The Store protocol on one page: what the one writer needs of a place that keeps journals.

Every method is synchronous and is called from the journal's writer thread alone; the event loop never touches a store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.core.frame import Draft, Frame
    from toolguard.errors import StoreError


class Swap(NamedTuple):
    """A compare-and-set on one claim: the row must stand at version ``expects`` (0: no row), then takes ``value``."""

    key: str
    expects: int
    value: bytes


class Mark(NamedTuple):
    """A row of the index of open and in-doubt calls; ``phase`` empty takes the row away. ``at`` in wall nanoseconds."""

    session: str
    call: int
    tenant: str
    tool: str
    phase: str
    at: int


class Append(NamedTuple):
    """Records of one session that land together or not at all.

    Attributes:
        session: The session's id.
        epoch: The owner's epoch, checked inside the transaction; None for evidence, which nobody's epoch refuses (T1).
        drafts: The records, in order.
        durable: True asks for power durability (fsync); False for process durability.
        swaps: Claims that must all succeed, else nothing of this append lands.
        marks: Changes to the index of open calls.
        lease: Seconds that must be left of the writing process's own lease, judged by the store inside the
            transaction (T4); 0 asks for no lease.
    """

    session: str
    epoch: int | None
    drafts: tuple[Draft, ...]
    durable: bool = False
    swaps: tuple[Swap, ...] = ()
    marks: tuple[Mark, ...] = ()
    lease: float = 0.0


class Receipt(NamedTuple):
    """An append that landed: the sequence number of its first record, and the session's epoch it was stored under."""

    seq: int
    epoch: int


class SessionRow(NamedTuple):
    """What a store knows of a session without reading its journal. ``state`` is ``open`` or ``closed``.

    ``doubtful``: acknowledged records of the session may be missing, because the server that kept them restarted or
    failed over without having written them down; its open mutations count as in doubt.
    """

    session: str
    tenant: str
    epoch: int
    owner: str
    state: str
    seq: int
    chain: bytes
    opened_at: int
    last_at: int
    doubtful: bool = False


class Snapshot(NamedTuple):
    """A session's fold as it stood at sequence number ``seq``, so that recovery need not begin at the first record.

    Attributes:
        session: The session's id.
        seq: The last record that is folded into it.
        head: The part that changes, written anew with each snapshot.
        parts: What is over and done, in pieces that are written once, oldest first.
    """

    session: str
    seq: int
    head: bytes
    parts: tuple[bytes, ...] = ()


LEASE = 10.0
"""Seconds that a process's lease lasts unless it is renewed."""


class Store(Protocol):
    """A place that keeps journals.

    All methods raise :class:`toolguard.errors.StoreError` (or a subclass) and nothing else.
    """

    name: str
    """For people: ``memory``, ``disk:/var/lib/agent``."""
    threaded: bool
    """False where every method returns at once and may be called on the event loop (the memory store)."""

    def open(self, process: str) -> None:
        """Open for writing on behalf of ``process`` (a unique token); set up or check the format."""
        ...

    def close(self) -> None:
        """Release everything; the process's lease ends."""
        ...

    def idle(self) -> None:
        """Housekeeping while no work is waiting; called often, so it is cheap where there is none."""
        ...

    def commit(self, batch: Sequence[Append]) -> list[Receipt | StoreError]:
        """Store a batch in one transaction, fsynced if one append of it asks for that.

        An append whose epoch is old (``Fenced``), whose swap fails (``ClaimLost``) or whose process has too little
        of its lease left (``LeaseLost``) is refused alone; its error stands in its place of the answer. A failure of
        the whole transaction raises.
        """
        ...

    def enter(self, session: str, tenant: str, *, at: int, expects: int | None = None) -> SessionRow:
        """Take a session over for this process: its epoch grows by one, the old owner is fenced from here on.

        With ``expects`` only a session that still stands at that epoch (0: there is none) is taken; else ``Fenced``.
        Of two processes that expect the same, one gets it.
        """
        ...

    def leave(self, session: str, state: str) -> None:
        """Record that the session is ``closed`` or ``open`` without an owner."""
        ...

    def session(self, session: str) -> SessionRow | None:
        """One session's row."""
        ...

    def sessions(
        self, *, tenant: str | None = None, state: str | None = None, after: str = "", limit: int = 500
    ) -> list[SessionRow]:
        """Rows of sessions in order of their ids, starting behind ``after``."""
        ...

    def read(self, session: str, *, after: int = 0, limit: int = 512) -> list[Frame]:
        """Records of one session behind sequence number ``after``, in order."""
        ...

    def raw(self, session: str, *, after: int = 0, limit: int = 512) -> list[tuple[int, bytes]]:
        """The same, as (sequence number of the row, stored bytes), for verification."""
        ...

    def tail(self, *, after: int, limit: int = 512) -> list[tuple[int, str, Frame]]:
        """Records of all sessions behind store position ``after``, as (position, session, frame), oldest first."""
        ...

    def position(self) -> int:
        """The newest store position."""
        ...

    def claim(self, key: str) -> tuple[int, bytes] | None:
        """A claim's version and value."""
        ...

    def open_calls(
        self, *, tenant: str | None = None, phase: str | None = None, session: str | None = None, limit: int = 500
    ) -> list[Mark]:
        """Rows of the index of open and in-doubt calls, oldest first."""
        ...

    def snapshot(self, session: str) -> Snapshot | None:
        """The newest snapshot of a session; whether it is whole is for its reader to find out."""
        ...

    def keep(self, snapshot: Snapshot, *, known: int) -> bool:
        """Keep a snapshot in place of an older one.

        The first ``known`` parts are in the store already and are not written again. False where the store has a newer
        snapshot, another number of parts, or no such session: nothing is written then.
        """
        ...

    def prune(self, before: int, *, limit: int = 100) -> list[str]:
        """Take away the journals and snapshots of closed sessions whose last record is older than ``before``.

        ``before`` is wall time in nanoseconds. Claims stay as tombstones, and so do sessions with open calls or calls
        in doubt.

        Returns:
            The ids of the sessions that are gone.
        """
        ...

    def renew(self, seconds: float = LEASE) -> float:
        """Let this process's lease last for ``seconds`` from now, by the store's clock.

        Returns:
            The seconds that are left of it; infinity where it lasts as long as the process lives.

        Raises:
            LeaseLost: Somebody has found the process dead; its token is never alive again.
        """
        ...

    def alive(self, process: str) -> bool:
        """Whether the process still holds its lease, judged by the store."""
        ...

    def bury(self, process: str) -> bool:
        """Find a process dead for good, if its lease is over: it can renew it no more. False while it lives."""
        ...

    def stale(self, *, after: str = "", limit: int = 500) -> list[SessionRow]:
        """Open sessions that no living process owns, in order of their ids, starting behind ``after``."""
        ...

    def now(self) -> int:
        """The store's own clock, in wall nanoseconds: what processes on several machines share (T5)."""
        ...

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake``, on any thread, soon after records of anybody have landed: a hint, never the record itself.

        Returns:
            Ends the listening.
        """
        ...

    def weak(self) -> list[str]:
        """Sentences about settings of the place that weaken the promise; empty where it holds as printed."""
        ...

    def note(self, key: str, value: bytes | None, *, keep: bool = False) -> None:
        """Set (or with None remove) a small store-wide setting, for example a paused tool.

        With ``keep`` one that is there stays as it is: of several processes that set it, the first one does.
        """
        ...

    def notes(self, prefix: str = "") -> dict[str, bytes]:
        """Store-wide settings whose key starts with ``prefix``."""
        ...
