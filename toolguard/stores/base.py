"""The Store protocol on one page: what the one writer needs of a place that keeps journals.

Every method is synchronous and is called from the journal's writer thread alone; the event loop never touches a store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """

    session: str
    epoch: int | None
    drafts: tuple[Draft, ...]
    durable: bool = False
    swaps: tuple[Swap, ...] = ()
    marks: tuple[Mark, ...] = ()


class Receipt(NamedTuple):
    """An append that landed: the sequence number of its first record, and the session's epoch it was stored under."""

    seq: int
    epoch: int


class SessionRow(NamedTuple):
    """What a store knows of a session without reading its journal. ``state`` is ``open`` or ``closed``."""

    session: str
    tenant: str
    epoch: int
    owner: str
    state: str
    seq: int
    chain: bytes
    opened_at: int
    last_at: int


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

        An append whose epoch is old (``Fenced``) or whose swap fails (``ClaimLost``) is refused alone; its error
        stands in its place of the answer. A failure of the whole transaction raises.
        """
        ...

    def enter(self, session: str, tenant: str, *, at: int) -> SessionRow:
        """Take a session over for this process: its epoch grows by one, the old owner is fenced from here on."""
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

    def alive(self, process: str) -> bool:
        """Whether the process still holds its lease, judged by the store."""
        ...

    def note(self, key: str, value: bytes | None, *, keep: bool = False) -> None:
        """Set (or with None remove) a small store-wide setting, for example a paused tool.

        With ``keep`` one that is there stays as it is: of several processes that set it, the first one does.
        """
        ...

    def notes(self, prefix: str = "") -> dict[str, bytes]:
        """Store-wide settings whose key starts with ``prefix``."""
        ...
