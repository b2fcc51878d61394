"""What reading a journal needs of a store: a narrow, read-only face of it, asked asynchronously."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")


class Row(Protocol):
    """What a store knows of a session without reading its journal."""

    @property
    def session(self) -> str:
        """The session's id."""
        ...

    @property
    def tenant(self) -> str:
        """Who runs the agent."""
        ...

    @property
    def epoch(self) -> int:
        """The newest owner's epoch."""
        ...

    @property
    def owner(self) -> str:
        """The process that owns the session, empty where none does."""
        ...

    @property
    def state(self) -> str:
        """``open`` or ``closed``."""
        ...

    @property
    def seq(self) -> int:
        """How many records the session has."""
        ...

    @property
    def chain(self) -> bytes:
        """The chain's link of the newest record."""
        ...

    @property
    def opened_at(self) -> int:
        """Wall nanoseconds of the first record."""
        ...

    @property
    def last_at(self) -> int:
        """Wall nanoseconds of the newest record."""
        ...


class OpenCall(Protocol):
    """A row of the index of open and in-doubt calls."""

    @property
    def session(self) -> str:
        """The session's id."""
        ...


class Readable(Protocol):
    """The part of a store that the trail reads."""

    def session(self, session: str) -> Row | None:
        """One session's row."""
        ...

    def sessions(
        self, *, tenant: str | None = None, state: str | None = None, after: str = "", limit: int = 500
    ) -> Sequence[Row]:
        """Rows of sessions in order of their ids, starting behind ``after``."""
        ...

    def raw(self, session: str, *, after: int = 0, limit: int = 512) -> list[tuple[int, bytes]]:
        """Records of one session as (sequence number of the row, stored bytes)."""
        ...

    def open_calls(
        self, *, tenant: str | None = None, phase: str | None = None, session: str | None = None, limit: int = 500
    ) -> Sequence[OpenCall]:
        """Rows of the index of open and in-doubt calls, oldest first."""
        ...


class Ask(Protocol):
    """Asks the store something on the store's own thread (the journal's ``ask``)."""

    def __call__(self, question: Callable[[Readable], T], /) -> Awaitable[T]:
        """The store's answer."""
        ...
