"""What attempts, bodies and outcomes need of the execution that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolguard.core.call import ToolCall
    from toolguard.core.law import Phase, Ruling
    from toolguard.core.run_records import RunRecord
    from toolguard.core.slots import Run
    from toolguard.engine.fresh import FreshReads
    from toolguard.engine.ledger import Ledger
    from toolguard.engine.limits import Limits
    from toolguard.engine.live import Live
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool


class Motion(Protocol):
    """The runs in motion of one session; :class:`toolguard.engine.execution.Execution` is it."""

    ledger: Ledger
    limits: Limits
    live: dict[int, Live]
    unrecorded: set[int]
    landing: set[int]
    fresh: FreshReads | None
    scope_of: Callable[[str], str]
    on_settled: Callable[[Live], None]
    on_ending: Callable[[Run], None]
    on_value: Callable[[Live, Any], Awaitable[Any]] | None

    async def commit(self, live: Live, number: int) -> str:
        """Pass the gate, write the commit record, hand out the key (W1, W2)."""
        ...

    async def child(self, live: Live, tool: Tool[Any, Any], arguments: Arguments) -> Any:
        """A guarded tool called by a running body (W8)."""
        ...

    def finish(self, live: Live) -> None:
        """There is something to tell about a run."""
        ...

    def overdue(self, live: Live) -> None:
        """A run's time limit is over (G7)."""
        ...

    def give_up(self, live: Live, why: str = "") -> None:
        """Let a run go."""
        ...

    def disarm(self, live: Live, *, keep: bool = False) -> None:
        """Stop a run's time limit."""
        ...

    def notice(self, code: str, text: str, *, call: int = 0, run: int = 0, **data: Any) -> None:
        """Put something abnormal into the trail (I24)."""
        ...

    def admits(self, record: RunRecord) -> Ruling:
        """What the law says about a record."""
        ...

    def view(self, run: Run, *, phase: Phase | None = None) -> ToolCall:
        """A run as policies and bodies see it."""
        ...
