"""S06: the provider waits for every call's output, and it is the application that interrupts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.testing.scenarios.kit import Saboteur, check, must, variant
from toolguard.testing.scenarios.workshop import NOTHING

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_INTERRUPTED, _ASKED = 260, 1000
_AT_ONCE = 500
_ENDINGS = ("unknown_tool", "raises", "nothing", "choice_none")


@variant("S06", "unknown_tool")
def _unknown_tool(script: Script) -> Script:
    return script.with_step("model.calls", tool="look_it_up")


@variant("S06", "raises")
def _raises(script: Script) -> Script:
    return script.with_step("tool.returns", raises="no such index").with_tool("lookup", options={"retry": 1})


@variant("S06", "nothing")
def _nothing(script: Script) -> Script:
    return script.with_step("tool.returns", text=NOTHING)


@variant("S06", "choice_none", needs=("tool_choice",))
def _choice_none(script: Script) -> Script:
    return script.but(session={"tool_choice": "none"})


@variant("S06", "slow")
def _slow(script: Script) -> Script:
    """The read is still at work when the application interrupts."""
    return script.with_step("tool.returns", at=700)


@check(
    "S06.1",
    plays=("main", "slow"),
    saboteur=Saboteur(
        "toolguard/engine/delivery.py",
        old="for slot, answer in leavable(self._ledger.state):",
        new="for slot, answer in []:",
    ),
)
def the_output_is_there_before_the_next_reply(played: Played) -> None:
    """One output, and the request for the next reply sees it."""
    answer = played.answer("c1")
    request = played.asked("g2")
    must(answer.at <= request.at, f"the output came at {answer.at:.0f} ms, the request at {request.at:.0f} ms")
    must(not request.problems, f"the request is not valid: {'; '.join(request.problems)}")


@check(
    "S06.2",
    plays=("main", "slow"),
    saboteur=Saboteur(
        "toolguard/engine/delivery.py",
        old="reply = answer.reply and not self._wants.silent(slot.batch)",
        new="reply = answer.reply",
    ),
)
def nobody_speaks_because_of_it(played: Played) -> None:
    """Between the application's interruption and its own request nothing is spoken."""
    unwanted = [one.at for one in played.replies_after(_INTERRUPTED) if one.at < _ASKED]
    must(not unwanted, f"replies that nobody wanted were asked for at {unwanted} ms")
    refused = [one.at for one in played.requests if not one.accepted]
    must(not refused, f"replies were asked for while one was active, at {refused} ms")


@check(
    "S06.3",
    plays=("main", "slow", *_ENDINGS),
    saboteur=Saboteur(
        "toolguard/adapters/openai_realtime.py",
        old="        await plain(event)\n",
        new="        await asyncio.sleep(0.6)\n        await plain(event)\n",
    ),
)
def the_reply_begins_at_once(played: Played) -> None:
    """Within half a second of the application's request, and the next turn is heard as well."""
    began = {one.generation: one.began for one in played.responses}
    must("g2" in began, "the reply that the application asked for never began")
    must(played.asked("g2").by == "client", "it is not the application's request that began it")
    must(began["g2"] - _ASKED <= _AT_ONCE, f"it began after {began['g2'] - _ASKED:.0f} ms")
    turn = played.asked("g3")
    must(turn.at <= 2700 + _AT_ONCE, f"the caller's next turn was answered at {turn.at:.0f} ms")


@check(
    "S06.4",
    plays=_ENDINGS,
    saboteur=Saboteur(
        "toolguard/engine/intake.py",
        old='            self._useless(arrival, None, "unknown_tool", "Use one of the tools that are declared.")\n',
        new="",
    ),
)
def every_ending_is_answered(played: Played) -> None:
    """One output that is not empty, and the next request is valid."""
    must(played.answer("c1").text.strip(), "the output is empty")
    request = played.asked("g2")
    must(not request.problems, f"the request is not valid: {'; '.join(request.problems)}")
    must(not played.faults, f"unseen faults: {played.faults}")
