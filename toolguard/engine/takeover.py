"""Runs of a visited session whose process is dead: settled by the claim, looked into, or gone on with (T3, H4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.law import Phase
from toolguard.errors import ClaimLost, InvalidArguments
from toolguard.stores.base import Swap

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.slots import Run
    from toolguard.engine.claims import Claims
    from toolguard.engine.execution import Execution
    from toolguard.engine.ledger import ClaimRow
    from toolguard.engine.live import Live
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool


class Takeover:
    """Takes runs over, one after another; of several processes that try, one does.

    Args:
        execution: The session's execution.
        claims: Its claims.
        tools: Finds a tool by name.
    """

    def __init__(self, execution: Execution, claims: Claims, tools: Callable[[str], Tool[Any, Any] | None]) -> None:
        self._execution = execution
        self._ledger = execution.ledger
        self._claims = claims
        self._tools = tools
        self._taking: dict[int, asyncio.Task[None]] = {}

    async def take(self, run: Run, holder: str) -> None:
        """Take a run over if its ``holder`` is dead; whoever comes second waits for the first.

        Raises:
            StoreError: The store failed; the run stands as before.
        """
        task = self._taking.get(run.number)
        if task is None:
            task = self._taking[run.number] = asyncio.create_task(self._take(run, holder), name="toolguard:takeover")
            task.add_done_callback(lambda _done: self._taking.pop(run.number, None))
        await asyncio.shield(task)

    async def _take(self, run: Run, holder: str) -> None:
        ledger, was = self._ledger, (run.phase, run.process)
        if holder and not await ledger.journal.bury(holder):
            return
        row = await self._claims.look(run.intent) if run.effect.writes and run.intent else None
        if ledger.fenced or (run.phase, run.process) != was:
            return
        mine = row is not None and row.session == ledger.state.session
        if row is not None and mine and row.process != holder and await self._lives(row.process):
            return  # somebody else was faster: its record is to be folded
        if row is not None and mine and row.state == "done" and not run.phase.uncommitted:
            self.learn(run, row)
        elif await self._won(run, row if mine else None):
            await self._go_on(run)

    async def _lives(self, process: str) -> bool:
        return not await self._ledger.journal.bury(process)

    def learn(self, run: Run, row: ClaimRow) -> None:
        """The claim knows the outcome: its process died between the two records of it."""
        record = r.Returned(
            run=run.number, attempt=max(run.attempt, 1), result=row.result, evidence="kept with its claim"
        )
        self._ledger.write(record, durable=True)
        self._tell(run)

    async def _won(self, run: Run, row: ClaimRow | None) -> bool:
        """Write down that this process goes on with it: of several, one can (T3)."""
        ledger, me = self._ledger, self._ledger.journal.process
        swap = self._swap(run, row) if row is not None else None
        try:
            if run.phase is Phase.IN_DOUBT:
                if swap is not None:
                    await ledger.journal.fate(ledger.claim(swap))
                self._claims.mind(run)
                return True
            lost = r.Lost(run=run.number, attempt=max(run.attempt, 1), why="its process is dead", taken_by=me)
            swap = swap or Swap(f"taken/{ledger.state.session}/{run.number}/{lost.attempt}", 0, b"")
            await ledger.journal.fate(ledger.propose(lost, swap))
        except ClaimLost:
            return False
        ledger.fold(lost)
        return run.process == me

    def _swap(self, run: Run, row: ClaimRow) -> Swap:
        """The claim as it stands from here on: the run token is higher than the dead process's."""
        state = "running" if run.phase.uncommitted else "in_doubt"
        token = max(row.token, run.attempt) + 1
        return self._claims.swap(run.intent, msgspec.structs.replace(self._claims.row(run, state), token=token))

    async def _go_on(self, run: Run) -> None:
        waiting = self._execution.live.get(run.number)
        tool = self._tools(run.tool)
        arguments = _arguments(tool, run)
        if tool is None or arguments is None:
            self._cannot(run)
        elif run.phase is Phase.IN_DOUBT and not self._repeatable(run):
            live = self._execution.adopt(run, tool, arguments)
            if tool.prober is not None:
                wait = await self._execution.outcomes.question(live)
                self._execution.outcomes.look_into(live, after=wait)
        elif run.phase.final:
            self._tell(run)
        else:
            if run.version and run.version != tool.spec.version:
                run.memos.clear()
                run.progress = {}
                self._execution.notice("tool_changed", "the tool's code changed; it starts over", run=run.number)
            self._execution.start(run, tool, arguments, injected={}, planned=None)
        if waiting is not None:
            waiting.tell()
        self._execution.told()

    def _repeatable(self, run: Run) -> bool:
        """An idempotent write in doubt may run again if nothing newer has begun and nobody took it back (D2)."""
        return run.effect is Effect.IDEMPOTENT_WRITE and self._execution.outcomes.newest_of(run)

    def _cannot(self, run: Run) -> None:
        """This process cannot go on with it: what had not committed is stopped, anything else stays in doubt."""
        if run.phase.uncommitted:
            reason = f"there is no tool named {run.tool} here that takes its arguments"
            attempt = max(run.attempt, 1)
            self._ledger.write(r.Stopped(run=run.number, attempt=attempt, reason=reason), durable=run.effect.writes)
            self._claims.settle(run)

    def _tell(self, run: Run) -> None:
        live: Live | None = self._execution.live.pop(run.number, None)
        if live is not None:
            self._execution.finish(live)
        else:
            self._claims.settle(run)
            self._execution.told()


def _arguments(tool: Tool[Any, Any] | None, run: Run) -> Arguments | None:
    try:
        return tool.rebind_arguments(run.arguments) if tool is not None else None
    except InvalidArguments:
        return None
