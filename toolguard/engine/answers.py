"""Slots that open with their answer: what stands answers them, or nothing may run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.core.envelope import envelope
from toolguard.core.law import Phase
from toolguard.engine.slotting import FORMS, Arrival, called

if TYPE_CHECKING:
    from toolguard.engine.delivery import Delivery
    from toolguard.engine.judging import Judged
    from toolguard.engine.ledger import Ledger
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool


class Answers:
    """Opens slots for calls that get no run of their own."""

    def __init__(self, ledger: Ledger, delivery: Delivery) -> None:
        self._ledger = ledger
        self._delivery = delivery

    def attach(self, arrival: Arrival, tool: Tool[Any, Any], arguments: Arguments, intent: str, judged: Judged) -> None:
        """Joined, replayed, differing, to be confirmed or in doubt: answered from the run that stands."""
        run = judged.run
        waits = judged.verdict in {"join", "replay", "in_doubt"} or (
            judged.verdict == "differs" and run is not None and run.phase is Phase.COMMITTING
        )
        record = called(
            self._ledger.state,
            arrival,
            tool,
            arguments,
            judged.verdict,
            intent=intent,
            run=run.number if run is not None and waits else 0,
            points_to=judged.first,
        )
        if run is not None and waits:
            self._ledger.write(record)
        else:
            result = run.result if run is not None and run.happened else None
            text = envelope(
                FORMS[judged.verdict],
                ref=self._ledger.state.ref(arrival.number),
                tool=tool.name,
                first=judged.first,
                result=result,
                more={"differs_in": list(judged.differs)},
            )
            self._ledger.write(record, r.Answered(call=arrival.number, form=FORMS[judged.verdict], text=text))
        self.opened(arrival, tool)

    def at_once(
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
        form = form or FORMS[verdict]
        text = envelope(form, ref=self._ledger.state.ref(arrival.number), tool=arrival.name, why=why)
        record = called(self._ledger.state, arrival, tool, arguments, verdict, intent=intent)
        terminal = tool is not None and tool.spec.terminal
        answered = r.Answered(call=arrival.number, form=form, text=text, reply=reply and not terminal)
        if verdict == "breaker":
            notice = r.Noticed(code="breaker_tripped", text=f"{arrival.name} was called too often", call=arrival.number)
            self._ledger.write(record, answered, notice)
        else:
            self._ledger.write(record, answered)
        self.opened(arrival, tool)

    def opened(self, arrival: Arrival, tool: Tool[Any, Any] | None) -> None:
        """The slot is open: delivery takes it from here; a child has no output of its own (W8)."""
        if not arrival.parent:
            slot = self._ledger.state.slots[arrival.number]
            self._delivery.opened(slot, tool.spec if tool is not None else None)
