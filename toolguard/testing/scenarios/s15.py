"""S15: a call breaks off inside its arguments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_PREFIX = '{"people": 6, "at": "18'
_WHOLE = '{"people": 6, "at": "18:00"}'


@variant("S15", "whole_prefix")
def _whole_prefix(script: Script) -> Script:
    """What came of the arguments happens to be valid JSON."""
    return script.with_step("model.adds_arguments", text=_WHOLE)


@variant("S15", "called_complete", needs=("text_arguments",))
def _called_complete(script: Script) -> Script:
    """The response ends as complete, and so does its item, with half an argument."""
    call = Step(at=0, who="model", does="calls", call="c1", tool="book", args=_PREFIX, generation="g1")
    return (
        script.without(lambda step: step.who == "model" and step.generation == "g1")
        .with_steps(call)
        .without(lambda step: step.who == "caller" or step.generation == "g2")
    )


@variant("S15", "called_complete_and_cut", needs=("text_arguments",))
def _called_complete_and_cut(script: Script) -> Script:
    """The same, and the caller cuts in before the response has ended."""
    call = Step(at=50, who="model", does="calls", call="c1", tool="book", args=_PREFIX, generation="g1", keep=True)
    return script.without(lambda step: step.who == "model" and step.generation == "g1").with_steps(call)


_ALL = ("main", "whole_prefix", "called_complete", "called_complete_and_cut")


def _known(played: Played) -> list[r.Called]:
    """What the journal has of c1: nothing, where the framework passes on whole calls alone."""
    return [record for _, record in played.records(r.Called) if record.call_id == "c1"]


@check(
    "S15.1",
    plays=_ALL,
    saboteur=Saboteur(
        "toolguard/adapters/realtime_events.py",
        old='whole = item.status == "completed" and _whole(item.arguments)',
        new="whole = _whole(item.arguments)",
    ),
)
def nothing_is_booked(played: Played) -> None:
    """No body ran, and the journal holds no arguments for the call."""
    must(played.began("book") == 0, f"the booking began with {[act.args for act in played.did('began', 'book')]}")
    must(played.effects("book") == 0, "it was booked")
    for called in _known(played):
        must(not called.run and bytes(called.arguments) == b"{}", f"c1 was taken with {bytes(called.arguments)!r}")


@check(
    "S15.2",
    plays=("main", "whole_prefix", "called_complete_and_cut"),
    saboteur=Saboteur(
        "toolguard/engine/intake.py",
        old='form: r.Form = "incomplete" if kept else "withdrawn"',
        new='form: r.Form = "withdrawn"',
    ),
)
def the_next_request_is_valid(played: Played) -> None:
    """It shows c1 as incomplete, or with an output that says so."""
    request = played.asked("g2")
    must(not request.problems, f"the request is not valid: {'; '.join(request.problems)}")
    calls = [item for item in request.items if item.kind == "call" and item.call == "c1"]
    shown = [item.text for item in request.items if item.kind == "output" and item.call == "c1"]
    if calls and calls[0].status == "completed":
        must(len(shown) == 1 and '"incomplete"' in shown[0], f"c1 is shown as complete, with {shown}")


@check(
    "S15.3",
    plays=("main", "called_complete_and_cut"),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_events.py",
        old='if item.type != "function_call" or',
        new='if item.type != "function_call" or item.status != "completed" or',
    ),
)
def both_halves_of_the_call_are_closed(played: Played) -> None:
    """An item that the server calls complete has its output; of another one the journal says that it is withdrawn."""
    must(not played.problems, f"the conversation is not valid: {played.problems}")
    must(not played.errors, f"the server refused something: {played.errors}")
    if played.script.variant == "main" and not _known(played):
        must(not any(item.call == "c1" for item in played.items), "c1 stands in the history")
        return
    call = played.slot("c1").call
    forms = [record.form for _, record in played.records(r.Answered) if record.call == call]
    sent = [one.text for one in played.answers("c1")]
    if played.script.variant == "main":
        must(forms == ["withdrawn"] and not sent, f"c1 was closed as {forms}, with the outputs {sent}")
    else:
        must(forms == ["incomplete"] and len(sent) == 1, f"c1 was closed as {forms}, with the outputs {sent}")
    closed = [record.unfinished for _, record in played.records(r.Closed)]
    must(closed == [()], f"the session closed with unfinished calls: {closed}")


@check(
    "S15.4",
    plays=("called_complete", "called_complete_and_cut"),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_events.py",
        old="    except json.JSONDecodeError:\n        return False\n",
        new="    except json.JSONDecodeError:\n        return True\n",
    ),
)
def half_an_argument_is_incomplete(played: Played) -> None:
    """It is told so, once; and where nobody speaks the model is asked to go on."""
    told = json.loads(played.answer("c1").text)
    must(told["toolguard"] == "incomplete", f"c1 was answered: {told}")
    must(played.began("book") == 0, "it was run")
    seen = [
        one.at
        for one in played.replies_after(0)
        if any(item.kind == "output" and item.call == "c1" for item in one.items)
    ]
    must(len(seen) == 1, f"{len(seen)} replies were begun that saw it, at {seen} ms")
