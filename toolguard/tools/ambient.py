"""What code finds around it: the session that a tool is called in, and the run that a body belongs to.

The engine fills both ports; nothing here imports upward.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from toolguard.core.call import ToolCall


class Desk(Protocol):
    """A session, as a tool call finds it: ``await book("s1", "p1")`` ends here."""

    async def take(self, tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Make one call and wait for its result (raises :class:`toolguard.errors.ToolNotDone` subclasses)."""
        ...


class Bench(Protocol):
    """A running body's own place: what ``step``, ``checkpoint``, ``committing`` and ``current_call`` reach.

    The ``*_blocking`` doors are for bodies that run in a thread.
    """

    def view(self) -> ToolCall:
        """The call that this body serves, as it stands now."""
        ...

    async def step(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run a read once and keep its result (W7)."""
        ...

    async def checkpoint(self, progress: Mapping[str, Any]) -> None:
        """Keep progress (W5)."""
        ...

    async def begin_commit(self) -> str:
        """Pass the gate, write the commit record, hand out the key (W1, W2)."""
        ...

    def end_commit(self, error: BaseException | None) -> None:
        """The committing block was left, normally or by ``error`` (W6)."""
        ...

    def begin_commit_blocking(self) -> str:
        """The same as ``begin_commit`` from a thread."""
        ...

    def checkpoint_blocking(self, progress: Mapping[str, Any]) -> None:
        """The same as ``checkpoint`` from a thread."""
        ...

    async def child(self, tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A guarded tool called inside this body (W8)."""
        ...


class Door(Protocol):
    """How a framework's own call of a tool reaches the session that it belongs to."""

    def __call__(self, tool: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Awaitable[Any]:
        """Serve a call that a framework made with an argument of its own."""
        ...


DESK: ContextVar[Desk | None] = ContextVar("toolguard_desk", default=None)
BENCH: ContextVar[Bench | None] = ContextVar("toolguard_bench", default=None)
DOORS: dict[type, Door] = {}
"""Doors by the type of an argument that a framework puts in: it says who calls, wherever the call is made."""
