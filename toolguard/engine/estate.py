"""What a dead process has left in another session: its occurrence is set free, or looked into (T3, D1)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.core.law import Phase
from toolguard.engine.claims import Claims
from toolguard.engine.execution import Execution
from toolguard.engine.folding import fold
from toolguard.engine.gate import Gate
from toolguard.engine.ledger import Ledger
from toolguard.errors import ClaimLost, Fenced, InvalidArguments, LeaseLost

if TYPE_CHECKING:
    from toolguard.core.slots import Run
    from toolguard.engine.ledger import ClaimRow
    from toolguard.engine.limits import Limits
    from toolguard.engine.live import Live
    from toolguard.stores.base import SessionRow, Store
    from toolguard.tools.tool import Tool


class Estate:
    """Settles occurrences of other sessions for one session that waits for them.

    Args:
        ledger: The waiting session's book.
        limits: Its limits.
    """

    def __init__(self, ledger: Ledger, limits: Limits) -> None:
        self._ledger = ledger
        self._limits = limits
        self._opened: list[Ledger] = []

    async def settle(self, intent: str, row: ClaimRow, tool: Tool[Any, Any]) -> bool:
        """Say in the dead process's session, and in the claim, how its occurrence stands; ask the tool's probe once.

        What had not begun its commit becomes free; what had is in doubt until evidence, a probe or a person settles
        it.

        Returns:
            Whether it was settled from here; where somebody else is at it, the claim is to be looked at again later.

        Raises:
            StoreError: The store failed.
        """
        journal = self._ledger.journal
        if not await journal.bury(row.process):
            return False
        seat = await journal.ask(partial(_seat, row.session))
        if seat is None or (seat[1] and seat[0].owner != row.process):
            return False  # a living owner goes on with it
        ledger = Ledger(self._ledger.state, journal, self._ledger.clock, seat[0].epoch)
        claims = Claims(ledger)
        if await claims.look(intent) != row:
            return False
        ledger.state, _at = await fold(journal, row.session)  # behind the claim: whoever settles it changes the claim
        run = ledger.state.runs.get(row.run)
        if run is None:
            return False
        try:
            await self._write(ledger, claims, intent, run, row)
        except (ClaimLost, Fenced, LeaseLost):
            return False
        if run.phase is Phase.IN_DOUBT:
            claims.mind(run)
            await self._look_into(ledger, claims, run, tool)
        return True

    async def _write(self, ledger: Ledger, claims: Claims, intent: str, run: Run, row: ClaimRow) -> None:
        journal, attempt = ledger.journal, max(run.attempt, 1)
        if run.phase.uncommitted:
            why = f"its process died before the commit; {self._ledger.state.session} goes on with it"
            swap = claims.swap(intent, claims.row(run, "free"))
            await journal.fate(ledger.propose(r.Stopped(run=run.number, attempt=attempt, reason=why), swap))
        elif run.phase is Phase.COMMITTING:
            lost = r.Lost(run=run.number, attempt=attempt, why="its process is dead", taken_by=ledger.journal.process)
            await journal.fate(ledger.propose(lost, claims.swap(intent, claims.row(run, "in_doubt"))))
            ledger.fold(lost)
        elif row.state != claims.state_of(run) or row.process != journal.process:
            await journal.fate(ledger.claim(claims.swap(intent, claims.row(run, claims.state_of(run)))))

    async def _look_into(self, ledger: Ledger, claims: Claims, run: Run, tool: Tool[Any, Any]) -> None:
        """Ask the probe; what it does not know now it is asked again, beside the call."""
        if tool.prober is None:
            return
        try:
            arguments = tool.rebind_arguments(run.arguments)
        except InvalidArguments:
            return
        execution = Execution(ledger, Gate(ledger), self._limits, lambda one: one.key)
        execution.on_ending = claims.settle
        execution.on_settled = partial(_settled, claims)
        live = execution.adopt(run, tool, arguments)
        self._opened.append(ledger)
        execution.outcomes.look_into(live, after=await execution.outcomes.question(live))

    def stop(self) -> None:
        """The waiting session ends: nobody asks any more."""
        for ledger in self._opened:
            ledger.fenced = True
        self._opened.clear()


def _settled(claims: Claims, live: Live) -> None:
    claims.settle(live.run)


def _seat(session: str, store: Store) -> tuple[SessionRow, bool] | None:
    """A session's row, and whether a living process owns it."""
    row = store.session(session)
    return None if row is None else (row, bool(row.owner) and store.alive(row.owner))
