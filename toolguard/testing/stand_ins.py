"""Stand-ins for ``step``, ``checkpoint`` and ``committing``: test a body as a plain function, without a guard."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from toolguard.core.call import ToolCall
from toolguard.core.effect import Effect
from toolguard.core.law import Phase
from toolguard.errors import Refused
from toolguard.tools.ambient import BENCH

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

KEY = "0123456789abcdef0123456789abcdef"
"""The key that a stand-in hands out unless another is given."""


@dataclass(slots=True)
class StandIns:
    """What a body did with its bench.

    Attributes:
        key: The key that ``committing()`` hands out.
        ref: The ref of the call that ``current_call()`` shows.
        steps: Names of the steps, in order.
        progress: What was checkpointed.
        committed: ``committing()`` was entered: the effect may have happened.
        left: It was left normally: the effect happened.
    """

    key: str = KEY
    ref: str = "test/1"
    steps: list[str] = field(default_factory=list[str])
    progress: dict[str, Any] = field(default_factory=dict[str, Any])
    committed: bool = False
    left: bool = False

    def view(self) -> ToolCall:
        """The call that the body serves."""
        return ToolCall(
            ref=self.ref,
            tool="test",
            effect=Effect.MUTATION,
            phase=Phase.COMMITTING if self.committed else Phase.STARTED,
            arguments={},
            progress=dict(self.progress),
            key=self.key,
            began_at=datetime.now(UTC),
        )

    async def step(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run it; nothing is kept."""
        self.steps.append(name)
        value = fn(*args, **kwargs)
        return await value if inspect.isawaitable(value) else value

    async def checkpoint(self, progress: Mapping[str, Any]) -> None:
        """Keep progress in memory."""
        self.progress.update(progress)

    async def begin_commit(self) -> str:
        """Hand out the key, once."""
        return self.begin_commit_blocking()

    def end_commit(self, error: BaseException | None) -> None:
        """Note how the block was left."""
        self.left = error is None

    def begin_commit_blocking(self) -> str:
        """The same from a thread."""
        if self.committed:
            raise Refused("committing() was entered a second time", ref=self.ref, advice="Commit once a run (W6).")
        self.committed = True
        return self.key

    def checkpoint_blocking(self, progress: Mapping[str, Any]) -> None:
        """The same from a thread."""
        self.progress.update(progress)

    async def child(self, tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A guarded tool inside the body is its plain function."""
        bound = tool if instance is None or tool.instance is not None else tool.__get__(instance)
        return await bound.unguarded(*args, **kwargs)


@contextmanager
def stand_ins(*, key: str = KEY, ref: str = "test/1") -> Generator[StandIns]:
    """Stand in for a session, so that ``await book.unguarded(...)`` runs as a plain function.

    Args:
        key: The idempotency key that ``committing()`` hands out.
        ref: The ref that ``current_call()`` shows.

    Yields:
        What the body did: its steps, its progress, whether it committed.
    """
    bench = StandIns(key=key, ref=ref)
    token = BENCH.set(bench)
    try:
        yield bench
    finally:
        BENCH.reset(token)
