"""Calls of a visited session: each is judged by all that has landed, and its slot opened by compare-and-set (T2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.core.law import Phase
from toolguard.engine.background import Background
from toolguard.engine.intake import Intake
from toolguard.engine.ledger import Ledger
from toolguard.engine.slotting import Arrival
from toolguard.engine.visit_delivery import VisitDelivery
from toolguard.errors import ClaimLost, InvalidArguments, StoreBusy, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.core.slots import Run, Slot
    from toolguard.engine.batch import Entry
    from toolguard.engine.ledger import ClaimRow
    from toolguard.engine.live import Live
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool

    Decide = Callable[[Arrival, ClaimRow | None], None]

TRIES = 200
"""How often a call is judged anew because another process was faster; each time somebody's call was opened."""


class VisitIntake(Intake):
    """Takes the calls of one visited session in this process, one after another.

    ``receive`` gives a ticket, below zero: a call has its number only when its slot has landed.
    """

    _tickets = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turn = asyncio.Lock()
        self._afterwards: list[Callable[[], None]] = []
        self._landed: dict[int, int | StoreError] = {}
        self._beside = Background()

    def receive(self, arrival: Arrival, raw: str | bytes | Mapping[str, Any], injected: Mapping[str, Any]) -> int:
        """Take a call; it is answered through the door of its visit.

        Returns:
            A ticket for :meth:`number`.
        """
        self._tickets -= 1
        self._later_on(self._tickets, self._take(self._tickets, arrival, raw, injected))
        return self._tickets

    async def number(self, ticket: int) -> int:
        """The number that a call has been given.

        Raises:
            StoreError: Its slot could not be opened; nothing runs.
        """
        task = self.looking.get(ticket)
        if task is not None:
            await asyncio.wait({task})
        landed = self._landed.get(ticket, ticket)
        if isinstance(landed, StoreError):
            raise landed
        return landed

    async def admit(
        self,
        tool: Tool[Any, Any],
        arguments: Arguments,
        *,
        injected: Mapping[str, Any],
        parent: Live | None = None,
    ) -> int:
        """Take a call made in Python, from outside a tool or (with ``parent``) from inside one.

        Raises:
            StoreError: Its slot could not be opened; nothing runs.
        """
        within = parent.run if parent is not None else None
        intent = self._judge.intent(tool.spec, arguments, within)
        arrival = Arrival(name=tool.name, parent=within.calls[0] if within is not None else 0)
        return await self._land(arrival, self._judged(tool, arguments, intent, injected, parent), tool, intent)

    async def _take(self, ticket: int, arrival: Arrival, raw: Any, injected: Mapping[str, Any]) -> None:
        try:
            self._landed[ticket] = await self._received(arrival, raw, injected)
        except StoreError as error:
            self._landed[ticket] = error
            self._doors.unavailable(arrival, str(error))

    async def _received(self, arrival: Arrival, raw: Any, injected: Mapping[str, Any]) -> int:
        tool = self.tools(arrival.name)
        if tool is None:
            why = "Use one of the tools that are declared."
            return await self._land(arrival, lambda one, _row: self._useless(one, None, "unknown_tool", why), None)
        try:
            arguments = tool.validated(raw)
        except InvalidArguments as error:
            why = f"{error.what} {error.advice}".strip()
            return await self._land(arrival, lambda one, _row: self._useless(one, tool, "invalid", why), tool)
        intent = self._judge.intent(tool.spec, arguments)
        decide = self._judged(tool, arguments, intent, injected, None)
        return await self._land(arrival, decide, tool, intent, arguments.fingerprint)

    def _judged(
        self,
        tool: Tool[Any, Any],
        arguments: Arguments,
        intent: str,
        injected: Mapping[str, Any],
        parent: Live | None,
    ) -> Decide:
        def decide(arrival: Arrival, row: ClaimRow | None) -> None:
            if injected:
                self.injected[arrival.number] = injected
            self._admit(arrival, tool, arguments, intent, row, parent=parent)

        return decide

    async def _anew(
        self,
        arrival: Arrival,
        tool: Tool[Any, Any],
        arguments: Arguments,
        intent: str,
        claim: ClaimRow,  # noqa: ARG002 - it is read again with everything else
    ) -> None:
        await self._land(arrival, self._judged(tool, arguments, intent, {}, None), tool, intent)

    # -- one call after another ---------------------------------------------------------------------------------

    async def _land(
        self, arrival: Arrival, decide: Decide, tool: Tool[Any, Any] | None, intent: str = "", print_: str = ""
    ) -> int:
        """Judge a call by what stands and open its slot; again, whenever somebody else was faster."""
        writes = intent if tool is not None and tool.spec.effect.writes else ""
        seen: set[tuple[int, str, str]] = set()
        for _ in range(TRIES):
            async with self._turn:
                row = await self.abreast.sync(writes)
                self._ledger.check_owner()
                run, slot = None, self._same(arrival)
                if slot is not None and (slot.tool, slot.fingerprint) == (arrival.name, print_):
                    number = slot.number
                elif (run := self._unattended(intent, row, seen)) is not None:
                    number = 0
                else:
                    number = await self._open(arrival, self._conflicting if slot is not None else decide, row)
            if run is not None:
                await self._see_to(run)
            elif number and await self._answerable(number, arrival, tool):
                return number
        raise StoreBusy("other processes open calls all the time", ref=self._ledger.state.session, advice="Try again.")

    def _same(self, arrival: Arrival) -> Slot | None:
        """The slot of the same call id, taken before, here or elsewhere (I04); one that is judged anew is not it."""
        state = self._ledger.state
        number = state.by_call_id.get((state.context, arrival.call_id), 0) if arrival.call_id else 0
        return state.slots.get(number) if number != arrival.number else None

    def _conflicting(self, arrival: Arrival, _row: ClaimRow | None) -> None:
        self._answers.at_once(arrival, None, None, "conflict")

    def _unattended(self, intent: str, row: ClaimRow | None, seen: set[tuple[int, str, str]]) -> Run | None:
        """The newest occurrence, where it is not certain that somebody is at it, or that its claim knows its end."""
        state = self._ledger.state
        run = state.runs.get(state.newest.get(intent, 0))
        if run is None or run.number in self._execution.live:
            return None
        if run.phase.final:
            return run if row is not None and self._behind(row, run) else None
        stands = (run.number, run.phase.value, run.process)
        if stands in seen:
            return None
        seen.add(stands)
        return run

    def _behind(self, row: ClaimRow, run: Run) -> bool:
        """Whether another process has yet to write down that a run has ended."""
        own = (row.session, row.run) == (self._ledger.state.session, run.number)
        return own and row.state == "running" and row.process != self._ledger.journal.process

    async def _see_to(self, run: Run) -> None:
        if not run.phase.final:
            await self.abreast.attend(run)
            return
        _, alive = await self._claims.outcome(run.intent, later=True)  # its process is about to say so, or has died
        if not alive:
            self._claims.mind(run)
            self._claims.settle(run)

    async def _answerable(self, number: int, arrival: Arrival, tool: Tool[Any, Any] | None) -> bool:
        """See to it that an open slot will be answered: by a run somewhere, or by what it waits for."""
        state = self._ledger.state
        slot = state.slots.get(number)
        run = state.runs.get(slot.run) if slot is not None else None
        if run is not None and await self.abreast.attend(run):
            return False
        if slot is not None and run is None and slot.answer is None and number not in self.looking and tool is not None:
            arguments = tool.rebind_arguments(slot.arguments)
            again = arrival._replace(number=number, process=self._ledger.journal.process)
            self._later_on(number, self._elsewhere.answer(again, tool, arguments, slot.intent, slot.points_to))
        if not arrival.number:  # one that is judged anew has its door, or was answered through it
            self._doors.landed(number)
        return True

    async def _open(self, arrival: Arrival, decide: Decide, row: ClaimRow | None) -> int:
        """Open a slot; 0 where another process was faster."""
        ledger = self._ledger
        number = arrival.number or ledger.next_call()
        before = ledger.state.slots.get(number)
        self._afterwards.clear()
        decide(arrival._replace(number=number, process=ledger.journal.process), row)
        entry = ledger.opening()
        try:
            await ledger.journal.fate(entry, within=self._execution.limits.commit)
        except ClaimLost:
            self._take_back(number, before)
            return 0
        except TimeoutError as error:
            ledger.fence()
            self._beside.run(self._never(entry, number), "toolguard:opening")
            raise StoreUnavailable("the store did not answer in time", ref=ledger.state.ref(number)) from error
        except StoreError:
            ledger.fence()  # what was folded did not land: the next visit reads everything anew
            raise
        for work in tuple(self._afterwards):
            work()
        return number

    def _then(self, work: Callable[[], None]) -> None:
        """Nothing is set in motion before the slot is open."""
        self._afterwards.append(work)

    def _set_going(self, arrival: Arrival, live: Live) -> None:
        super()._set_going(arrival, live)
        if live.run.effect.writes:
            self.abreast.watch()

    def _take_back(self, number: int, before: Slot | None) -> None:
        ledger = self._ledger
        ledger.state.retract(number)
        self.injected.pop(number, None)
        if before is None:
            ledger.calls = number - 1
        else:
            ledger.state.restore(before)

    async def _never(self, entry: Entry, number: int) -> None:
        """A slot that the store has taken too long to open does not run when it lands after all."""
        ledger = self._ledger
        try:
            await ledger.journal.fate(entry)
        except StoreError:
            return
        slot = ledger.state.slots.get(number)
        run = ledger.state.runs.get(slot.run) if slot is not None else None
        if run is not None and run.phase is Phase.PLANNED:
            book = Ledger(ledger.state, ledger.journal, ledger.clock, ledger.epoch, visiting=True)  # not fenced
            book.write(r.Stopped(run=run.number, attempt=1, reason="the store took too long to open the call"))
            self._claims.settle(run)

    @property
    def _doors(self) -> VisitDelivery:
        assert isinstance(self._delivery, VisitDelivery)  # noqa: S101 - the wiring makes them together
        return self._delivery

    def refused(self, live: Live, error: StoreError) -> None:
        """This process may not decide any more: whoever waits is told so."""
        self._ledger.fence()
        live.error = error
        live.tell()
