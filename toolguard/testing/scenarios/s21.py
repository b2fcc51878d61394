"""S21: the model calls the same tool over and over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from toolguard.core import records as r
from toolguard.testing.scenarios.beside import events
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant
from toolguard.testing.scenarios.workshop import ToolBroke

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_SILENCE = 300.0
"""Milliseconds of silence after a farewell."""
_SPEECH = 1500.0
_BOUND = 8000.0
"""However long the agent seems to speak, the gate is not held for longer."""
_SLACK = 50.0
_MOST = 3
_CALLS = 8


@variant("S21", "farewell")
def _farewell(script: Script) -> Script:
    """The agent says good-bye in the same response."""
    words = Step(at=-10, who="model", does="says", text="Good-bye, and thank you", ms=_SPEECH, generation="g1")
    return _once(script).with_steps(words)


@variant("S21", "endless")
def _endless(script: Script) -> Script:
    """The response that calls never comes to its end."""
    return _once(script).with_step("model.calls", keep=True).but(rest=12.0)


def _once(script: Script) -> Script:
    return script.without(lambda step: step.call in {"c2", "c3"})


@variant("S21", "waiting")
def _waiting(script: Script) -> Script:
    """The repeats come while the first one waits for the end of the farewell."""
    words = Step(at=-10, who="model", does="says", text="Good-bye, and thank you", ms=_SPEECH, generation="g1")
    return script.with_steps(words)


@variant("S21", "many")
def _many(script: Script) -> Script:
    """The model does not stop calling it."""
    return _calling(script, ["done"] * _CALLS)


@variant("S21", "varied")
def _varied(script: Script) -> Script:
    """Each time it gives another reason."""
    return _calling(script, [f"reason {number}" for number in range(3 * _MOST + 2)])


@variant("S21", "failing")
def _failing(script: Script) -> Script:
    """Hanging up does not work, and the model tries it again and again."""
    raising = _calling(script, ["done"] * _CALLS).without(lambda step: step.who == "tool")
    return raising.with_tool("end_call", options={"max_calls": _MOST, "did_not_happen": ToolBroke}).with_steps(
        *(
            Step(at=400.0 * number + 10, who="tool", does="returns", call=f"c{number + 1}", raises="no such line")
            for number in range(_CALLS)
        )
    )


def _calling(script: Script, reasons: list[str]) -> Script:
    calls = [
        Step(
            at=400.0 * number,
            who="model",
            does="calls",
            call=f"c{number + 1}",
            tool="end_call",
            args={"why": why},
            generation=f"g{number + 1}",
        )
        for number, why in enumerate(reasons)
    ]
    ends = [step for step in script.steps if step.who == "tool"]
    limited = script.with_tool("end_call", options={"max_calls": _MOST})
    return limited.but(steps=(*calls, *ends), beside=(events,))


def _calls(played: Played) -> list[Step]:
    return [step for step in played.script.steps if step.verb == "model.calls"]


@check(
    "S21.1",
    plays=("main", "farewell", "endless", "waiting"),
    saboteur=Saboteur(
        "toolguard/engine/farewell.py",
        old="call_later(self._limits.farewell, self._release)",
        new="call_later(self._limits.farewell + 60, self._release)",
    ),
)
def the_ending_begins_with_the_first_call(played: Played) -> None:
    """Once, with its farewell behind it and by itself: no second call, no turn and no end of a response is needed."""
    begun = [act.at for act in played.did("effect", "end_call")]
    must(len(begun) == 1, f"the call was ended {len(begun)} times")
    variant_ = played.script.variant
    speech = {"farewell": _SPEECH, "waiting": _SPEECH}.get(variant_, 0.0)
    due = _BOUND if variant_ == "endless" else speech + _SILENCE
    must(speech - _SLACK <= begun[0], f"it began at {begun[0]:.0f} ms, into the agent's words")
    must(begun[0] <= due + _SLACK, f"it began at {begun[0]:.0f} ms")


@check(
    "S21.2",
    plays=("main", "waiting", "many", "failing"),
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old='return Answer("replayed", text, reply, interim=False)',
        new='return Answer("replayed", plain(run.result), reply, interim=False)',
    ),
)
def repeats_are_told_what_they_are(played: Played) -> None:
    """Each has one answer that says in words what stands, or that it is not to be called again."""
    must(not played.problems, f"the conversation is not valid: {played.problems}")
    for step in _calls(played)[1:]:
        text = played.answer(step.call).text
        must(text.strip(), f"{step.call} has an empty answer")
        told = _told(text)
        must(told.get("toolguard") and told.get("message"), f"{step.call} was told {text}")
    if played.script.variant != "failing":
        must(played.effects("end_call") == 1, f"the call was ended {played.effects('end_call')} times")


@check(
    "S21.3",
    plays=("many", "varied", "failing"),
    saboteur=Saboteur(
        "toolguard/engine/answers.py",
        old='        if verdict == "breaker":\n',
        new='        if verdict == "breaker" and not arrival.name:\n',
    ),
)
def the_breaker_trips(played: Played) -> None:
    """After n answers for the same intent, or three times that for the tool; each time it is an event."""
    many = 3 * _MOST if played.script.variant == "varied" else _MOST
    calls = [step.call for step in _calls(played)]
    forms = [_form(played, call) for call in calls]
    must("breaker" not in forms[:many], f"it tripped too early: {forms}")
    must(set(forms[many:]) == {"breaker"}, f"it did not trip after {many} calls: {forms}")
    must(played.began("end_call") <= many, f"the body began {played.began('end_call')} times")
    tripped = [record for _, record in played.records(r.Noticed) if record.code == "breaker_tripped"]
    must(len(tripped) == len(calls) - many, f"the journal has {len(tripped)} events of it")
    streamed = [one for one in played.app["events"] if getattr(one.record, "code", "") == "breaker_tripped"]
    must(len(streamed) == len(tripped), f"the stream had {len(streamed)} events of it")
    must(all("end_call" in one.text for one in tripped), "the events do not name the tool")


def _form(played: Played, call: str) -> str:
    return str(_told(played.answer(call).text).get("toolguard", ""))


def _told(text: str) -> dict[str, Any]:
    """An answer of toolguard's own; empty for a plain result."""
    try:
        found: object = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


@check(
    "S21.4",
    plays=("main", "farewell", "waiting", "many", "failing"),
    saboteur=Saboteur("toolguard/core/outbox.py", old="not slot.filed and not slot.terminal", new="not slot.filed"),
)
def nobody_speaks_because_of_it(played: Played) -> None:
    """The client asks for no reply, whatever the answers were."""
    asked = [one.at for one in played.requests if one.by == "client"]
    must(not asked, f"replies were asked for at {asked} ms")
    must(played.answers("c1"), "c1 was not answered")
