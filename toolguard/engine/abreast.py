"""Keeping a visited session's state abreast of what other processes append to its journal (T2)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from toolguard.core import records as r
from toolguard.core.law import Phase
from toolguard.engine.background import Background
from toolguard.engine.claims import AGAIN, Claims
from toolguard.engine.folding import PAGE
from toolguard.engine.ledger import numbering
from toolguard.engine.live import Live
from toolguard.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.frame import Frame
    from toolguard.core.slots import Run
    from toolguard.engine.execution import Execution
    from toolguard.engine.ledger import ClaimRow
    from toolguard.engine.lookout import Lookout
    from toolguard.engine.takeover import Takeover
    from toolguard.stores.base import Store
    from toolguard.tools.tool import Tool


class Abreast:
    """Folds what others have written, and follows the runs of other processes that calls here wait for.

    Args:
        execution: The session's execution.
        claims: Its claims.
        takeover: Takes over what a dead process had.
        lookout: Looks at the store for everybody.
        tools: Finds a tool by name.

    Attributes:
        closed: Called when another process has ended the conversation.
    """

    def __init__(
        self,
        execution: Execution,
        claims: Claims,
        takeover: Takeover,
        lookout: Lookout,
        tools: Callable[[str], Tool[Any, Any] | None],
    ) -> None:
        self._execution = execution
        self._ledger = execution.ledger
        self._claims = claims
        self._takeover = takeover
        self._lookout = lookout
        self._tools = tools
        self._lock = asyncio.Lock()
        self._followed: dict[int, Live] = {}
        self._beside = Background()
        self._following = False
        self.closed: Callable[[], None] = lambda: None

    async def sync(self, intent: str = "") -> ClaimRow | None:
        """Fold everything that has landed by now.

        Returns:
            The claim on ``intent`` as it stood before: what has been written since refuses a swap that builds on it.

        Raises:
            StoreError: The journal cannot be read.
        """
        ledger, row = self._ledger, None
        async with self._lock:
            while True:
                look = await ledger.journal.ask(partial(_look, ledger.state.session, ledger.seen, intent))
                row = self._claims.noted(intent, look.claim) if intent else None
                ledger.opened = look.opened
                self._fold(look.frames)
                if len(look.frames) < PAGE:
                    return row

    def _fold(self, frames: list[Frame]) -> None:
        """Fold the records of others; own ones were folded when they were written."""
        ledger, own = self._ledger, self._ledger.written()
        touched: set[int] = set()
        closed = False
        for frame in frames:
            ledger.seen = frame.seq
            if frame.seq in own:
                continue
            record = r.decode(frame.kind, frame.version, frame.payload)
            ledger.state.apply(record, frame.at)
            if isinstance(record, r.Called):
                ledger.calls = max(ledger.calls, record.call)
                if record.verdict in {"run", "wait"}:
                    ledger.state.runs[record.run].writes_seen -= ledger.ahead(frame.seq)
            if isinstance(record, (r.RunRecord, r.Contradicted)):
                touched.add(record.run)
            closed = isinstance(record, r.Closed) or (closed and not isinstance(record, r.Opened))
        ledger.forget()
        for number in touched:
            run = ledger.state.runs.get(number)
            if run is not None:
                self._touched(run)
        if closed:
            self.closed()
        if frames:
            self._execution.told()

    def _touched(self, run: Run) -> None:
        """Somebody else has said something about a run."""
        live = self._execution.live.get(run.number)
        if live is None:
            return
        if live.task is not None and not run.settled and run.process != self._ledger.journal.process:
            self._overtaken(live)
        elif run.settled and not (live.task is not None and not live.task.done()):
            self._followed.pop(run.number, None)
            self._execution.live.pop(run.number, None)
            self._execution.gate.forget(run.number)
            self._execution.finish(live)

    def _overtaken(self, live: Live) -> None:
        """Others have found this process dead and go on with its run: it decides nothing any more (T3)."""
        self._ledger.fence()
        live.given_up = True
        live.error = self._ledger.overtaken()
        live.tell()
        self._execution.told()

    async def attend(self, run: Run) -> bool:
        """See to it that somebody is at a run: its process, or, where that is dead, this one.

        Returns:
            Whether it was taken over: look at everything again.

        Raises:
            StoreError: The store did not answer.
        """
        if run.number in self._execution.live or run.phase.final:
            return False
        holder = run.process
        if run.phase is Phase.IN_DOUBT and run.effect.writes and run.intent:
            row = await self._claims.look(run.intent)
            holder = row.process if row is not None and row.session == self._ledger.state.session else holder
        if not holder or not await self._ledger.journal.ask(lambda store: store.alive(holder)):
            await self._takeover.take(run, holder)
            return True
        self._follow(run)
        return False

    def _follow(self, run: Run) -> None:
        """Wait for what the process of a run writes about it."""
        tool = self._tools(run.tool)
        if not run.phase.open or run.number in self._execution.live or tool is None:
            return
        arguments = tool.rebind_arguments(run.arguments)
        live = Live(run, tool, arguments, injected={}, planned=None)
        self._execution.live[run.number] = live
        self._keep_following(live)

    def _keep_following(self, live: Live) -> None:
        self._followed[live.run.number] = live
        self.watch()

    def watch(self) -> None:
        """Look for what others write while somebody here waits for it, or has a write that they may stop."""
        if not self._following:
            self._following = True
            self._beside.run(self._watch(), "toolguard:abreast")

    async def _watch(self) -> None:
        session = self._ledger.state.session
        try:
            while (self._followed or self._stoppable()) and not self._ledger.fenced:
                holders = tuple({live.run.process for live in self._followed.values()})
                question = partial(_news, session, holders)
                try:
                    newest, dead = await self._lookout.next(("news", session, holders), question)
                    if newest > self._ledger.seen:
                        await self.sync()
                except StoreError:
                    await asyncio.sleep(AGAIN)
                    continue
                for number, live in list(self._followed.items()):
                    if live.run.process in dead:
                        del self._followed[number]
                        self._beside.run(self._succeed(live), "toolguard:takeover")
        finally:
            self._following = False
            if self._ledger.fenced:
                self._give_up()

    def _stoppable(self) -> bool:
        lives = self._execution.live.values()
        return any(live.task is not None and live.run.effect.writes and live.stoppable for live in lives)

    async def _succeed(self, live: Live) -> None:
        """The process of a followed run has died: take it over, or follow whoever was faster."""
        try:
            await self._takeover.take(live.run, live.run.process)
        except StoreError:
            await asyncio.sleep(AGAIN)
        if self._execution.live.get(live.run.number) is live and not live.run.settled and not self._ledger.fenced:
            self._keep_following(live)

    def _give_up(self) -> None:
        """This process may not decide any more: who waits here is told so."""
        for live in self._followed.values():
            live.error = self._ledger.overtaken()
        self.stop()
        self._execution.told()

    def stop(self) -> None:
        """Nobody waits for other processes any more."""
        for live in self._followed.values():
            self._execution.live.pop(live.run.number, None)
            live.tell()
        self._followed.clear()


class _Look(NamedTuple):
    """What is read at once, in this order: what is written in between makes a swap fail, not pass."""

    opened: int
    claim: tuple[int, bytes] | None
    frames: list[Frame]


def _look(session: str, after: int, intent: str, store: Store) -> _Look:
    opened = store.claim(numbering(session))
    claim = store.claim(intent) if intent else None
    return _Look(opened[0] if opened is not None else 0, claim, store.read(session, after=after, limit=PAGE))


def _news(session: str, processes: tuple[str, ...], store: Store) -> tuple[int, set[str]]:
    """How far the journal goes, and which of the processes are dead."""
    row = store.session(session)
    dead = {process for process in processes if not process or not store.alive(process)}
    return row.seq if row is not None else 0, dead
