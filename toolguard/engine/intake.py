"""Every call comes in here: it is judged, journaled as a slot, and set in motion, joined, or answered at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.envelope import envelope
from toolguard.core.law import Phase
from toolguard.errors import ClaimLost, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.core.slots import Slot
    from toolguard.engine.barge_in import BargeIns
    from toolguard.engine.claims import Claims
    from toolguard.engine.delivery import Delivery
    from toolguard.engine.execution import Execution
    from toolguard.engine.journal import Entry
    from toolguard.engine.judging import Judge, Judged
    from toolguard.engine.ledger import ClaimRow
    from toolguard.engine.live import Live
    from toolguard.errors import StoreError
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool

_FORMS: dict[str, r.Form] = {
    "differs": "differs", "confirm": "already_done", "refuse": "already_done", "in_doubt": "in_doubt",
    "breaker": "breaker", "invalid": "invalid", "unknown_tool": "unknown_tool", "conflict": "conflict",
    "paused": "paused", "not_run": "not_run", "incomplete": "incomplete", "discarded": "superseded",
    "unavailable": "unavailable", "stored": "already_done",
}  # fmt: skip


class Arrival(NamedTuple):
    """A call as it came: the provider's id, the order that it was issued in, and where it belongs."""

    call_id: str = ""
    name: str = ""
    generation: str = ""
    batch: int = 0
    index: int = 0
    item: str = ""
    number: int = 0
    parent: int = 0


class Intake:
    """Takes the calls of one session."""

    def __init__(
        self,
        execution: Execution,
        delivery: Delivery,
        judge: Judge,
        claims: Claims,
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
        self._tools = tools
        self._paused = paused
        self._cancelled: set[str] = set()
        self._later: set[asyncio.Task[None]] = set()
        self.on_terminal: Callable[[int], None] = lambda _run: None
        self.injected: dict[int, Mapping[str, Any]] = {}
        execution.on_refused = self.refused

    def receive(self, arrival: Arrival, raw: str | bytes | Mapping[str, Any], injected: Mapping[str, Any]) -> int:
        """Take a call from a framework; never raises, always opens a slot or finds the one that it repeats.

        Returns:
            The slot's number.
        """
        state = self._ledger.state
        tool = self._tools(arrival.name)
        known = state.by_call_id.get((state.context, arrival.call_id)) if arrival.call_id else None
        if known is not None:
            return self._again(known, arrival, tool, raw)
        arrival = arrival._replace(number=self._ledger.next_call())
        if tool is None:
            names = "Use one of the tools that are declared."
            self._answer(arrival, None, None, "unknown_tool", why=names)
            return arrival.number
        try:
            arguments = tool.validated(raw)
        except InvalidArguments as error:
            self._answer(arrival, tool, None, "invalid", why=f"{error.what} {error.advice}".strip())
            return arrival.number
        if injected:
            self.injected[arrival.number] = injected
        wide = tool.spec.effect.writes and tool.spec.scope != "session"
        intent = self._judge.intent(tool.spec, arguments)
        if wide and not self._claims.known(intent):
            task = asyncio.create_task(self._look_first(arrival, tool, arguments, intent))
            self._later.add(task)
            task.add_done_callback(self._later.discard)
        else:
            self._admit(arrival, tool, arguments, intent, None)
        return arrival.number

    async def _look_first(self, arrival: Arrival, tool: Tool[Any, Any], arguments: Arguments, intent: str) -> None:
        claim = await self._claims.look(intent)
        self._admit(arrival, tool, arguments, intent, claim)

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
        self._answer(arrival, tool, None, "conflict")
        return arrival.number

    async def admit(
        self,
        tool: Tool[Any, Any],
        arguments: Arguments,
        *,
        injected: Mapping[str, Any],
        parent: Live | None = None,
    ) -> tuple[Slot, Live | None]:
        """Take a call made in Python, from outside a tool or (with ``parent``) from inside one."""
        within = parent.run if parent is not None else None
        intent = self._judge.intent(tool.spec, arguments, within)
        number = self._ledger.next_call()
        if injected:
            self.injected[number] = injected
        claim = None
        if tool.spec.effect.writes and tool.spec.scope != "session" and not self._claims.known(intent):
            claim = await self._claims.look(intent)
        arrival = Arrival(name=tool.name, number=number, parent=within.calls[0] if within is not None else 0)
        self._admit(arrival, tool, arguments, intent, claim, parent=parent)
        slot = self._ledger.state.slots[number]
        return slot, self._execution.live.get(slot.run)

    def broken(self, arrival: Arrival, *, kept: bool) -> int:
        """A call that was never complete: the slot closes ``incomplete`` and nothing runs (O10)."""
        state = self._ledger.state
        known = state.by_call_id.get((state.context, arrival.call_id))
        if known is not None:
            return known
        arrival = arrival._replace(number=self._ledger.next_call())
        form: r.Form = "incomplete" if kept else "withdrawn"
        self._answer(arrival, self._tools(arrival.name), None, "incomplete", reply=False, form=form)
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

    def cancel(self, call_id: str) -> None:
        """A framework's cancel is an observation; it sticks to the id, also when it comes before the call (L2)."""
        self._cancelled.add(call_id)
        state = self._ledger.state
        number = state.by_call_id.get((state.context, call_id))
        self._execution.notice("cancel_seen", "the framework cancelled the call", call=number or 0, call_id=call_id)
        if number is not None:
            self._stop_cancelled(state.slots[number])

    def _stop_cancelled(self, slot: Slot) -> None:
        run = self._ledger.state.runs.get(slot.run)
        if run is not None and run.effect.writes and run.phase.open and run.calls == [slot.number]:
            self._execution.stop(run.number, "the call was cancelled before its effect")

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
        barred = self._barred(tool, intent, nested=parent is not None)
        if barred is not None:
            self._answer(arrival, tool, arguments, barred[0], why=barred[1], intent=intent)
            return
        if spec.effect is Effect.READ:
            judged = self._judge.read(spec, intent)
        else:
            judged = self._judge.write(spec, arguments, intent, claim, child=parent is not None)
        if judged.verdict in {"run", "wait"}:
            self._plan(arrival, tool, arguments, intent, judged, parent)
        elif judged.remote is not None and judged.verdict == "join":
            self._join_remote(arrival, tool, arguments, intent, judged)
        else:
            self._attach(arrival, tool, arguments, intent, judged)

    def _barred(self, tool: Tool[Any, Any], intent: str, *, nested: bool) -> tuple[r.Verdict, str] | None:
        """Reasons not to run that have nothing to do with what was done before."""
        spec, state = tool.spec, self._ledger.state
        reason = self._paused(tool.name)
        if reason:
            return "paused", reason
        if spec.effect is Effect.MUTATION and self._execution.unrecorded:
            return "unavailable", ""
        if nested:
            return None
        many, all_ = state.repeats.get(intent, 0), state.repeats.get(f"tool:{tool.name}", 0)
        if many >= spec.max_calls or all_ >= 3 * spec.max_calls:
            return "breaker", ""
        for name in spec.requires:
            before = [run for run in state.runs.values() if run.tool == name]
            if not before:
                return "not_run", f"{name} has to be done first."
            if before[-1].phase is not Phase.DONE and not before[-1].phase.open:
                return "not_run", f"{name} did not succeed."
        return None

    def _called(
        self,
        arrival: Arrival,
        tool: Tool[Any, Any] | None,
        arguments: Arguments | None,
        verdict: r.Verdict,
        *,
        intent: str = "",
        run: int = 0,
        occurrence: int = 0,
        points_to: str = "",
    ) -> r.Called:
        state = self._ledger.state
        spec = tool.spec if tool is not None else None
        return r.Called(
            call=arrival.number,
            call_id=arrival.call_id,
            tool=arrival.name,
            verdict=verdict,
            effect=spec.effect if spec is not None else Effect.READ,
            agent=state.agent,
            context=state.context,
            generation=arrival.generation,
            batch=arrival.batch,
            index=arrival.index,
            item=arrival.item,
            arguments=msgspec.Raw(arguments.json) if arguments is not None else msgspec.Raw(b"{}"),
            fingerprint=arguments.fingerprint if arguments is not None else "",
            intent=intent,
            occurrence=occurrence,
            run=run,
            points_to=points_to,
            parent=arrival.parent,
            terminal=spec.terminal if spec is not None else False,
            version=spec.version if spec is not None else "",
            scope=spec.scope if spec is not None else "",
            announce=spec.announce if spec is not None else "at_once",
            after_turn=state.turns,
        )

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
        ledger, execution = self._ledger, self._execution
        number = ledger.next_run()
        called = self._called(
            arrival,
            tool,
            arguments,
            judged.verdict,
            intent=intent,
            run=number,
            occurrence=judged.occurrence,
            points_to=judged.first,
        )
        writes = tool.spec.effect.writes
        ledger.state.apply(called, ledger.clock.wall())
        run = ledger.state.runs[number]
        swaps = (self._claims.swap(intent, self._claims.row(run, "running")),) if writes else ()
        planned: Entry = ledger.append(called, wait=writes, swaps=swaps)
        execution.start(
            run,
            tool,
            arguments,
            injected=self.injected.pop(arrival.number, {}),
            planned=planned,
            parent=parent,
            waits_for=self._before(tool, judged),
        )
        if parent is None:
            self._barge_ins.planned(run)
        slot = ledger.state.slots[arrival.number]
        if tool.spec.terminal:
            self.on_terminal(number)
        if arrival.call_id in self._cancelled:
            self._stop_cancelled(slot)
        if parent is None:
            self._delivery.opened(slot, tool.spec)

    def _before(self, tool: Tool[Any, Any], judged: Judged) -> Live | None:
        """The run that has to end first: an older write of the intent, or a prerequisite still at work (O9)."""
        if judged.verdict == "wait" and judged.run is not None:
            return self._execution.live.get(judged.run.number)
        for name in tool.spec.requires:
            for live in self._execution.live.values():
                if live.run.tool == name and live.run.phase.open:
                    return live
        return None

    def _attach(
        self, arrival: Arrival, tool: Tool[Any, Any], arguments: Arguments, intent: str, judged: Judged
    ) -> None:
        """Joined, replayed, differing, to be confirmed or in doubt: answered from the run that stands."""
        run = judged.run
        waits = judged.verdict in {"join", "replay", "in_doubt"} or (
            judged.verdict == "differs" and run is not None and run.phase is Phase.COMMITTING
        )
        called = self._called(
            arrival,
            tool,
            arguments,
            judged.verdict,
            intent=intent,
            run=run.number if run is not None and waits else 0,
            points_to=judged.first,
        )
        if run is not None and waits:
            self._ledger.write(called)
        else:
            result = run.result if run is not None and run.happened else None
            text = envelope(
                _FORMS[judged.verdict],
                ref=self._ledger.state.ref(arrival.number),
                tool=tool.name,
                first=judged.first,
                result=result,
                differs_in=list(judged.differs),
            )
            self._ledger.write(called, r.Answered(call=arrival.number, form=_FORMS[judged.verdict], text=text))
        self._opened(arrival, tool)

    def _answer(
        self,
        arrival: Arrival,
        tool: Tool[Any, Any] | None,
        arguments: Arguments | None,
        verdict: r.Verdict,
        *,
        why: str = "",
        intent: str = "",
        reply: bool = True,
        form: r.Form | None = None,
    ) -> None:
        """Open a slot and answer it at once: nothing runs."""
        form = form or _FORMS[verdict]
        text = envelope(form, ref=self._ledger.state.ref(arrival.number), tool=arrival.name, why=why)
        called = self._called(arrival, tool, arguments, verdict, intent=intent)
        terminal = tool is not None and tool.spec.terminal
        answered = r.Answered(call=arrival.number, form=form, text=text, reply=reply and not terminal)
        if verdict == "breaker":
            notice = r.Noticed(code="breaker_tripped", text=f"{arrival.name} was called too often", call=arrival.number)
            self._ledger.write(called, answered, notice)
        else:
            self._ledger.write(called, answered)
        self._opened(arrival, tool)

    def _opened(self, arrival: Arrival, tool: Tool[Any, Any] | None) -> None:
        if not arrival.parent:
            slot = self._ledger.state.slots[arrival.number]
            self._delivery.opened(slot, tool.spec if tool is not None else None)

    # -- other processes ----------------------------------------------------------------------------------------

    def _join_remote(
        self, arrival: Arrival, tool: Tool[Any, Any], arguments: Arguments, intent: str, judged: Judged
    ) -> None:
        """Another session of the scope is at it: wait for its outcome and answer with that (T3)."""
        self._ledger.write(self._called(arrival, tool, arguments, "join", intent=intent, points_to=judged.first))
        self._opened(arrival, tool)
        task = asyncio.create_task(self._answer_remote(arrival.number, tool.name, intent, judged.first))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _answer_remote(self, number: int, tool: str, intent: str, first: str) -> None:
        row = await self._claims.outcome(intent)
        ref = self._ledger.state.ref(number)
        if row is not None and row.state == "done":
            text = envelope("replayed", ref=ref, tool=tool, first=first, result=bytes(row.result))
            answered = r.Answered(call=number, form="replayed", text=text)
        elif row is None or row.state == "in_doubt":
            text = envelope("in_doubt", ref=ref, tool=tool, first=first)
            answered = r.Answered(call=number, form="in_doubt", text=text)
        else:
            text = envelope("error", ref=ref, tool=tool, why=f"{first} did not succeed.")
            answered = r.Answered(call=number, form="error", text=text)
        self._ledger.write(answered)
        self._delivery.pump()

    def refused(self, live: Live, error: StoreError) -> None:
        """The store refused a run's claim: somebody else is at it, so the call is judged again with what stands."""
        if not isinstance(error, ClaimLost):
            self._ledger.fenced = True
            live.error = error
            live.tell()
            return
        task = asyncio.create_task(self._judge_again(live))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _judge_again(self, live: Live) -> None:
        state = self._ledger.state
        slot = state.slots[live.run.calls[0]]
        claim = await self._claims.look(live.run.intent)
        state.retract(slot.number)
        self._execution.live.pop(live.run.number, None)
        arrival = Arrival(
            slot.call_id, slot.tool, slot.generation, slot.batch, slot.index, slot.item, slot.number, slot.parent
        )
        self._admit(arrival, live.tool, live.arguments, live.run.intent, claim, parent=live.parent)
        live.tell()

    async def settled(self) -> None:
        """Wait for what is being looked up (used when the session closes)."""
        if self._later:
            await asyncio.wait(set(self._later), timeout=1.0)
