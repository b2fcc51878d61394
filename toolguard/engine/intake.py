"""Every call comes in here: it is judged, journaled as a slot, and set in motion, joined, or answered at once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.envelope import envelope
from toolguard.core.law import Phase
from toolguard.engine.answers import Answers
from toolguard.engine.approvals import Approvals
from toolguard.engine.cancels import Cancels
from toolguard.engine.elsewhere import Elsewhere
from toolguard.engine.slotting import Arrival, arrival_of, barred, called
from toolguard.errors import ClaimLost, InvalidArguments, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from toolguard.core.slots import Slot
    from toolguard.engine.abreast import Abreast
    from toolguard.engine.barge_in import BargeIns
    from toolguard.engine.batch import Entry
    from toolguard.engine.claims import Claims
    from toolguard.engine.delivery import Delivery
    from toolguard.engine.estate import Estate
    from toolguard.engine.execution import Execution
    from toolguard.engine.judging import Judge, Judged
    from toolguard.engine.ledger import ClaimRow
    from toolguard.engine.live import Live
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool

_MAX_CALLS = 8  # of an unknown tool before the breaker trips


class Intake:
    """Takes the calls of one session."""

    abreast: Abreast

    def __init__(
        self,
        execution: Execution,
        delivery: Delivery,
        judge: Judge,
        claims: Claims,
        estate: Estate,
        barge_ins: BargeIns,
        tools: Callable[[str], Tool[Any, Any] | None],
        paused: Callable[[str], str],
    ) -> None:
        self._execution = execution
        self._ledger = execution.ledger
        self._delivery = delivery
        self._judge = judge
        self._claims = claims
        self._barge_ins = barge_ins
        self.tools = tools
        self._paused = paused
        self.cancels = Cancels(execution)
        self.looking: dict[int, asyncio.Task[None]] = {}
        self.on_terminal: Callable[[int], None] = lambda _run: None
        self.injected: dict[int, Mapping[str, Any]] = {}
        execution.on_refused = self.refused
        self.approvals = Approvals(execution, delivery)
        self._answers = Answers(self._ledger, delivery)
        self._elsewhere = Elsewhere(self._ledger, claims, delivery, estate)
        self._elsewhere.anew = self._anew

    def receive(self, arrival: Arrival, raw: str | bytes | Mapping[str, Any], injected: Mapping[str, Any]) -> int:
        """Take a call from a framework; never raises, always opens a slot or finds the one that it repeats.

        Returns:
            The slot's number.
        """
        state = self._ledger.state
        tool = self.tools(arrival.name)
        known = state.by_call_id.get((state.context, arrival.call_id)) if arrival.call_id else None
        if known is not None:
            return self._again(known, arrival, tool, raw)
        arrival = arrival._replace(number=self._ledger.next_call())
        if tool is None:
            self._useless(arrival, None, "unknown_tool", "Use one of the tools that are declared.")
            return arrival.number
        try:
            arguments = tool.validated(raw)
        except InvalidArguments as error:
            self._useless(arrival, tool, "invalid", f"{error.what} {error.advice}".strip())
            return arrival.number
        if injected:
            self.injected[arrival.number] = injected
        intent = self._judge.intent(tool.spec, arguments)
        if self._must_look(tool, intent):
            self._delivery.floor.coming.add(arrival.number)
            self._later_on(arrival.number, self._look_first(arrival, tool, arguments, intent))
        else:
            self._admit(arrival, tool, arguments, intent, None)
        return arrival.number

    def _useless(self, arrival: Arrival, tool: Tool[Any, Any] | None, verdict: r.Verdict, why: str) -> None:
        """A call that cannot be run; the breaker counts it all the same (S7)."""
        limit = tool.spec.max_calls if tool is not None else _MAX_CALLS
        if self._ledger.state.too_often(arrival.name, "", limit, self._ledger.clock.wall()):
            verdict, why = "breaker", ""
        self._answers.at_once(arrival, tool, None, verdict, why=why)

    def _must_look(self, tool: Tool[Any, Any], intent: str) -> bool:
        """Whether others may have claimed the intent: sessions of a wider scope, or this one's earlier owner."""
        seen = intent in self._ledger.state.newest and not self._claims.known(intent)
        return tool.spec.effect.writes and (tool.spec.scope != "session" or seen)

    async def _look_first(
        self, arrival: Arrival, tool: Tool[Any, Any], arguments: Arguments, intent: str, again: Live | None = None
    ) -> None:
        """Judge a call by what the store knows of its intent; ``again`` is the run whose claim was refused."""
        claim: ClaimRow | Exception | None
        try:
            async with asyncio.timeout(self._execution.limits.commit):
                claim = await self._claims.stands(intent)
        except (StoreError, TimeoutError) as error:
            claim = error
        if again is not None:
            self._ledger.state.retract(arrival.number)
            self._execution.live.pop(again.run.number, None)
        if isinstance(claim, Exception):
            self._answers.at_once(arrival, tool, arguments, "unavailable", why=str(claim), intent=intent)
        else:
            self._admit(arrival, tool, arguments, intent, claim, parent=again.parent if again is not None else None)
        if again is not None:
            again.tell()
        self._delivery.floor.coming.discard(arrival.number)
        self._delivery.pump()

    def _again(self, known: int, arrival: Arrival, tool: Tool[Any, Any] | None, raw: Any) -> int:
        """The same call id again: the same answer, or, with other arguments, a conflict (S5, I04)."""
        slot = self._ledger.state.slots[known]
        try:
            print_ = tool.validated(raw).fingerprint if tool is not None else ""
        except InvalidArguments:
            print_ = "invalid"
        if arrival.name == slot.tool and print_ in {slot.fingerprint, "invalid" if not slot.fingerprint else "-"}:
            return known
        arrival = arrival._replace(number=self._ledger.next_call())
        self._answers.at_once(arrival, tool, None, "conflict")
        return arrival.number

    async def admit(
        self,
        tool: Tool[Any, Any],
        arguments: Arguments,
        *,
        injected: Mapping[str, Any],
        parent: Live | None = None,
    ) -> int:
        """Take a call made in Python, from outside a tool or (with ``parent``) from inside one.

        Returns:
            The slot's number.
        """
        within = parent.run if parent is not None else None
        intent = self._judge.intent(tool.spec, arguments, within)
        number = self._ledger.next_call()
        if injected:
            self.injected[number] = injected
        arrival = Arrival(name=tool.name, number=number, parent=within.calls[0] if within is not None else 0)
        if self._must_look(tool, intent) and parent is None:
            await self._look_first(arrival, tool, arguments, intent)
        else:
            self._admit(arrival, tool, arguments, intent, None, parent=parent)
        return number

    def broken(self, arrival: Arrival, *, kept: bool, reply: bool = False) -> int:
        """A call that was never complete: the slot closes ``incomplete`` and nothing runs (O10)."""
        state = self._ledger.state
        known = state.by_call_id.get((state.context, arrival.call_id))
        if known is not None:
            return known
        arrival = arrival._replace(number=self._ledger.next_call())
        form: r.Form = "incomplete" if kept else "withdrawn"
        self._answers.at_once(arrival, self.tools(arrival.name), None, "incomplete", reply=reply, form=form)
        return arrival.number

    def supersede(self, slots: list[Slot]) -> None:
        """Calls of a discarded response are answered silently (G6)."""
        state = self._ledger.state
        for slot in slots:
            run = state.runs.get(slot.run)
            if slot.answer is None and not slot.sent and (run is None or run.phase is not Phase.COMMITTING):
                text = envelope("superseded", ref=state.ref(slot.number), tool=slot.tool)
                self._ledger.write(r.Answered(call=slot.number, form="superseded", text=text, reply=False))
        self._delivery.pump()

    # -- judging ------------------------------------------------------------------------------------------------

    def _admit(
        self,
        arrival: Arrival,
        tool: Tool[Any, Any],
        arguments: Arguments,
        intent: str,
        claim: ClaimRow | None,
        *,
        parent: Live | None = None,
    ) -> None:
        spec = tool.spec
        if self._ledger.fenced:
            why = "another process has the conversation now."
            self._answers.at_once(arrival, tool, arguments, "unavailable", why=why, intent=intent)
            return
        bar = barred(
            self._ledger.state,
            tool,
            intent,
            self._ledger.clock.wall(),
            paused=self._paused(tool.name),
            unrecorded=bool(self._execution.unrecorded),
            nested=parent is not None,
        )
        if bar is not None:
            self._answers.at_once(arrival, tool, arguments, bar[0], why=bar[1], intent=intent)
            return
        if spec.effect is Effect.READ:
            judged = self._judge.read(spec, intent)
        else:
            judged = self._judge.write(spec, arguments, intent, claim, child=parent is not None)
        if judged.verdict in {"run", "wait"}:
            self._plan(arrival, tool, arguments, intent, judged, parent)
        elif judged.remote is not None and self._elsewhere.waits(judged, intent, arguments):
            state, first = self._ledger.state, judged.first
            self._ledger.write(called(state, arrival, tool, arguments, judged.verdict, intent=intent, points_to=first))
            self._answers.opened(arrival, tool)
            answer = partial(self._elsewhere.answer, arrival, tool, arguments, intent, first)
            self._then(lambda: self._later_on(arrival.number, answer()))
        else:
            self._answers.attach(arrival, tool, arguments, intent, judged)

    def _plan(
        self,
        arrival: Arrival,
        tool: Tool[Any, Any],
        arguments: Arguments,
        intent: str,
        judged: Judged,
        parent: Live | None,
    ) -> None:
        """A new occurrence: plan its run, claim it, set it in motion."""
        ledger, spec = self._ledger, tool.spec
        number = ledger.next_run(call=arrival.number)
        record = called(
            ledger.state,
            arrival,
            tool,
            arguments,
            judged.verdict,
            intent=intent,
            run=number,
            occurrence=judged.occurrence,
            points_to=judged.first,
        )
        writes = spec.effect.writes
        ledger.state.apply(record, ledger.clock.wall())
        run = ledger.state.runs[number]
        swaps = (self._claims.swap(intent, self._claims.row(run, "running")),) if writes else ()
        first = writes and spec.commits == "inside"  # else it lands together with its commit record
        planned: Entry = ledger.append(record, wait=first, swaps=swaps)
        injected = self.injected.pop(arrival.number, {})
        start = partial(self._execution.start, run, tool, arguments, injected=injected, planned=planned, parent=parent)
        behind = self._execution.live.get(slot.run) if (slot := ledger.state.slots.get(arrival.behind)) else None
        self._then(lambda: self._set_going(arrival, start(waits_for=self._older(judged), behind=behind)))

    def _then(self, work: Callable[[], None]) -> None:
        """Go on once the slot is open: at once, where this process owns the session."""
        work()

    def _set_going(self, arrival: Arrival, live: Live) -> None:
        run, spec = live.run, live.spec
        if live.parent is None or not live.parent.committed:
            self._barge_ins.planned(run)
        slot = self._ledger.state.slots[arrival.number]
        if spec.terminal:
            self.on_terminal(run.number)
        if spec.needs is not None:
            self.approvals.expect(run, spec.needs)
        self.cancels.planned(slot)
        if live.parent is None:
            self._delivery.opened(slot, spec)

    async def _anew(
        self, arrival: Arrival, tool: Tool[Any, Any], arguments: Arguments, intent: str, claim: ClaimRow
    ) -> None:
        """What a call waited for has become free: it does it itself, as the same occurrence (T3)."""
        self._admit(arrival, tool, arguments, intent, claim)

    def _older(self, judged: Judged) -> Live | None:
        """The older write of the intent that has to end first."""
        waits = judged.verdict == "wait" and judged.run is not None
        return self._execution.live.get(judged.run.number) if waits and judged.run is not None else None

    def refused(self, live: Live, error: StoreError) -> None:
        """The store refused a run's claim: somebody else is at it, so the call is judged again with what stands."""
        if not isinstance(error, ClaimLost):
            self._ledger.fence()
            live.error = error
            live.tell()
            return
        arrival = arrival_of(self._ledger.state.slots[live.run.calls[0]])
        self._later_on(arrival.number, self._look_first(arrival, live.tool, live.arguments, live.run.intent, live))

    def _later_on(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        """Do something about a call that has to ask the store first."""
        task = self.looking[number] = asyncio.create_task(work)
        task.add_done_callback(lambda done: self._looked(number, done))

    def _looked(self, number: int, task: asyncio.Task[None]) -> None:
        if self.looking.get(number) is task:
            del self.looking[number]
