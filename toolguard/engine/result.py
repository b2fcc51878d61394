"""How a call made in code ends: with the body's own value, or with an exception that says why not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

from toolguard.core import records as r
from toolguard.core.law import Phase
from toolguard.engine.live import UNSET
from toolguard.errors import AlreadyDone, InDoubt, Refused, SessionClosed, StoppedBeforeEffect, ToolFailed, ToolNotDone

if TYPE_CHECKING:
    from toolguard.core.slots import Answer, Run
    from toolguard.engine.live import Live
    from toolguard.engine.wiring import Wiring
    from toolguard.tools.tool import Tool

_FORMS: dict[str, type[ToolNotDone]] = {
    "differs": AlreadyDone,
    "already_done": AlreadyDone,
    "in_doubt": InDoubt,
    "cancelled": StoppedBeforeEffect,
    "error": ToolFailed,
}
_PHASES: dict[Phase, type[ToolNotDone]] = {Phase.CANCELLED: StoppedBeforeEffect, Phase.IN_DOUBT: InDoubt}


async def outcome(wiring: Wiring, tool: Tool[Any, Any], number: int) -> Any:
    """Wait until call ``number`` has ended and give its value.

    The waiting may be cancelled; the run goes on: it belongs to the session, not to whoever waits.

    Raises:
        ToolNotDone: It ended without a result.
        Exception: What the body raised, where it is known that nothing happened.
    """
    state = wiring.ledger.state
    live: Live | None = None
    while True:
        slot = state.slots[number]
        run = state.runs.get(slot.run)
        if slot.run in wiring.execution.live:
            live = wiring.execution.live[slot.run]
        if run is not None and run.settled:
            if slot.verdict == "differs" and run.phase not in {Phase.FAILED, Phase.CANCELLED}:
                raise AlreadyDone(f"{state.run_ref(run)} stands with other details", ref=state.ref(number))
            return _value(state.ref(number), tool, run, live)
        if run is None and slot.answer is not None:
            return _answered(state.ref(number), tool, slot.answer)
        looking = wiring.intake.looking.get(number)
        if looking is not None:
            await asyncio.wait({looking})
        elif live is not None and not live.told:
            await live.ending()
        else:
            _nothing(state.ref(number), run, live)


def _value(ref: str, tool: Tool[Any, Any], run: Run, live: Live | None) -> Any:
    if run.happened:
        value = live.value if live is not None and live.run is run else UNSET
        return tool.load_result(run.result) if value is UNSET else value
    error = live.error if live is not None else None
    if isinstance(error, Exception) and run.phase is Phase.FAILED:
        raise error
    advice = "A probe or a person has to find out; do not repeat it." if run.phase is Phase.IN_DOUBT else ""
    raise _PHASES.get(run.phase, ToolFailed)(run.message or run.code or run.phase.value, ref=ref, advice=advice)


def _answered(ref: str, tool: Tool[Any, Any], answer: Answer) -> Any:
    if answer.form == "replayed":
        return tool.load_result(r.raw_field(answer.text.encode(), "result"))
    message = str(r.plain_arguments(answer.text.encode()).get("message", answer.text))
    raise _FORMS.get(answer.form, Refused)(message, ref=ref)


def _nothing(ref: str, run: Run | None, live: Live | None) -> NoReturn:
    if live is not None and live.error is not None:
        raise live.error
    if run is not None and run.message:
        raise ToolFailed(run.message, ref=ref, advice="It may still end; the trail will say so.")
    raise SessionClosed("the session ended before the call did", ref=ref)
