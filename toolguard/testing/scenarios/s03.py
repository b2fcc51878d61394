"""S03: the interruption overtakes the call that it interrupts."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_FRAMES = {
    "announced": "response.output_item.added",
    "complete": "response.output_item.done",
    "cancelled": "response.done",
    "spoken": "input_audio_buffer.speech_stopped",
}
_GAP = 0.04
_SOON, _LATE = 30.0, 3000.0
"""Milliseconds after which the read ends: among the frames, or long after them."""


def _orders() -> list[tuple[str, ...]]:
    return list(itertools.permutations(_FRAMES))


def _name(order: tuple[str, ...], ends: float) -> str:
    letters = "".join(name[0] if name != "complete" else "k" for name in order)
    return f"{letters}_{'soon' if ends == _SOON else 'late'}"


def _delayed(order: tuple[str, ...], line: Any) -> None:
    """Let the frames of the call reach the client in this order."""
    for place, name in enumerate(order):
        line.delay(_FRAMES[name], place * _GAP, where=functools.partial(_of_the_call, name))


def _of_the_call(name: str, event: dict[str, Any]) -> bool:
    if name in {"announced", "complete"}:
        return bool(event["item"]["type"] == "function_call")
    return name == "spoken" or event["response"]["status"] == "cancelled"


def _permuted(script: Script, order: tuple[str, ...], ends: float) -> Script:
    """The caller makes a short noise while the response is open; its frames arrive in another order."""
    returns = Step(at=1 + ends, who="tool", does="returns", call="c1", value={"seats": 2})
    short = script.with_step("caller.stops", at=3).with_steps(returns)
    return short.prepared(functools.partial(_delayed, order))


def _variants() -> tuple[str, ...]:
    names: list[str] = []
    for order, ends in itertools.product(_orders(), (_SOON, _LATE)):
        names.append(_name(order, ends))
        variant("S03", names[-1], needs=("frame_order",))(functools.partial(_permuted, order=order, ends=ends))
    return tuple(names)


_PERMUTED = _variants()


@variant("S03", "ticking")
def _ticking(script: Script) -> Script:
    return script.with_steps(Step(at=0, who="loop", does="ticks", ms=20))


@variant("S03", "booking")
def _booking(script: Script) -> Script:
    """The call is a booking, which has to wait at its gate until the noise is over."""
    return script.with_step("model.calls", tool="book", args={"table": 4})


def _end(played: Played) -> tuple[object, ...]:
    """How the call ended, for everybody who can see it."""
    phase = "done"
    if played.guarded:
        known = any(record.call_id == "c1" for _, record in played.records(r.Called))
        phase = played.phase("c1") if known else "never called"
    told = [one.text for one in played.answers("c1")]
    seen = [one for one in played.replies_after(0) if any(i.kind == "output" and i.call == "c1" for i in one.items)]
    return phase, tuple(told), len(seen), tuple(played.problems)


@check(
    "S03.1",
    plays=_PERMUTED,
    together=True,
    saboteur=Saboteur(
        "toolguard/adapters/realtime_events.py",
        old='if item.type != "function_call" or',
        new='if item.type != "function_call" or event.response_id != self.session.responding or',
    ),
)
def every_order_ends_the_same(plays: tuple[Played, ...]) -> None:
    """One end for all orders: the read is done, its result is the one output, and it was spoken about."""
    ends: dict[tuple[object, ...], list[str]] = {}
    for played in plays:
        ends.setdefault(_end(played), []).append(played.script.variant)
    told = "; ".join(f"{end}: {', '.join(names[:4])} ({len(names)})" for end, names in ends.items())
    must(len(ends) == 1, f"the orders end in {len(ends)} ways: {told}")
    phase, outputs, spoken, _ = next(iter(ends))
    must(phase == "done" and outputs == ('{"seats":2}',) and spoken == 1, f"the call ended as {next(iter(ends))}")


@check(
    "S03.2",
    plays=("main", "booking"),
    saboteur=Saboteur("toolguard/engine/ledger.py", old='run.phase.value if open_ else ""', new="run.phase.value"),
)
def nothing_is_open_in_the_end(played: Played) -> None:
    """The store's index is empty, and the session closed without unfinished calls."""
    must(not played.problems, f"the conversation is not valid: {played.problems}")
    must(not played.open_calls, f"the index still has {played.open_calls}")
    closed = [record for _, record in played.records(r.Closed)]
    must(len(closed) == 1 and not closed[0].unfinished, f"the session closed with {closed}")
    must(played.phase("c1") == "done", f"c1 ended {played.phase('c1')}")


@check(
    "S03.3",
    plays=("main", "booking"),
    saboteur=Saboteur("toolguard/core/fold.py", old="            s.unsent.discard(call)\n", new=""),
)
def the_call_has_one_output(played: Played) -> None:
    """The server took one output, and refused none."""
    played.answer("c1")
    must(not played.errors, f"the server refused something: {played.errors}")
    must(not played.problems, f"the conversation is not valid: {played.problems}")


@check(
    "S03.4",
    plays=("ticking",),
    saboteur=Saboteur("toolguard/adapters/openai_realtime.py", old="await port.flush()", new="port.flush()"),
)
def nothing_is_left_or_stands_still(played: Played) -> None:
    """No coroutine is dropped, no task left, the loop never late, the output out as soon as the read ends."""
    must(not played.faults, f"unseen faults: {played.faults}")
    must(played.lag <= 200, f"the loop was {played.lag:.0f} ms late")  # noqa: PLR2004
    ended = played.did("returned", "lookup")[0].at
    sent = played.answer("c1").at
    must(sent - ended <= 200, f"the output left {sent - ended:.0f} ms after the read had ended")  # noqa: PLR2004
