"""A run in motion: what execution, the gate and the body share about it while its process lives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolguard.core.records import plain_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.core.slots import Run
    from toolguard.engine.batch import Entry
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool

UNSET: Any = object()
"""No value yet (None is a value)."""


class Live:
    """The living side of one run.

    Attributes:
        planned: The append that planned it (with its claim), not yet awaited.
        window: Its commit record is queued but the effect has not begun: it can still be stopped (W2).
        committed: The key has been handed out: the effect may have happened.
        left: ``committing()`` was left normally: the effect happened (W6).
        cached: The value came from the cache of fresh reads.
        value: What the body returned, as the body returned it.
        error: What the body raised.
        told: There is something to tell (final, or in doubt); see :meth:`ending`.
    """

    __slots__ = (
        "_plain", "arguments", "begun", "cached", "children", "committed", "error", "given_up",
        "injected", "left", "parent", "planned", "run", "spec", "stop_reason", "task", "time_left", "timer",
        "timer_due", "told", "tool", "value", "waiters", "waits_for", "window",
    )  # fmt: skip

    def __init__(
        self,
        run: Run,
        tool: Tool[Any, Any],
        arguments: Arguments,
        *,
        injected: Mapping[str, Any],
        planned: Entry | None,
        parent: Live | None = None,
        waits_for: Live | None = None,
    ) -> None:
        self.run = run
        self.tool = tool
        self.spec = tool.spec
        self.arguments = arguments
        self.injected = injected
        self.planned = planned
        self.parent = parent
        self.waits_for = waits_for
        self.children: list[Live] = []
        self.task: asyncio.Task[None] | None = None
        self.told = False
        self.waiters: list[asyncio.Future[None]] = []
        self.window = False
        self.committed = False
        self.left = False
        self.begun = False
        self.cached = False
        self.given_up = False
        self.stop_reason = ""
        self.value: Any = UNSET
        self.error: BaseException | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.timer_due = 0.0
        self._plain: dict[str, Any] | None = None
        self.time_left = 0.0

    @property
    def plain(self) -> dict[str, Any]:
        """The arguments in JSON types, decoded once."""
        if self._plain is None:
            self._plain = plain_arguments(self.arguments.json)
        return self._plain

    @property
    def stoppable(self) -> bool:
        """Whether stopping it now leaves no effect behind."""
        return self.run.phase.uncommitted or self.window

    def tell(self) -> None:
        """There is something to tell about the run."""
        self.told = True
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()

    def ending(self) -> asyncio.Future[None]:
        """A future of the caller's own that resolves when there is something to tell: it may be cancelled freely."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.told:
            waiter.set_result(None)
        else:
            self.waiters.append(waiter)
        return waiter
