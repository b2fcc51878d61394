"""What happens between the platform and the application: a call sent again, a lost answer, a closed line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from toolguard.testing.realtime import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.testing.realtime import Line
    from toolguard.testing.scenarios.data import Step
    from toolguard.testing.scenarios.realtime_stage import RealtimeStage

_OF_A_CALL = frozenset({"response.function_call_arguments.done", "response.output_item.done"})


def arguments_of(step: Step) -> str:
    """A step's arguments as they go over the wire."""
    return step.args if isinstance(step.args, str) else json.dumps(step.args)


def sends(stage: RealtimeStage, step: Step) -> None:
    """A call reaches the application: as a new response, or, where the line has it already, as the same frames."""
    first = _frames(stage.line, step.call)
    if not first:
        stage.line.respond(calls=[Call(step.call, step.tool, arguments_of(step))])
        return
    for event in first.values():
        again = json.loads(json.dumps(event))
        again.get("item", again)["arguments"] = arguments_of(step)
        stage.line.send(again)


def _frames(line: Line, call: str) -> dict[str, dict[str, Any]]:
    """The frames by which a call came in, the first of each kind."""
    found: dict[str, dict[str, Any]] = {}
    for frame in line.sent:
        if frame.type in _OF_A_CALL and frame.event.get("item", frame.event).get("call_id") == call:
            found.setdefault(frame.type, frame.event)
    return found


def loses_answer(_stage: RealtimeStage, _step: Step) -> None:
    """The answer of a call is lost on its way; it was so from the beginning (:func:`lose_answers`)."""


def lose_answers(line: Line, steps: tuple[Step, ...]) -> None:
    """Let the first output of each call whose answer the network loses arrive nowhere."""
    for step in steps:
        if step.verb == "network.loses_answer":
            line.ignore("conversation.item.create", times=1, where=_answering(step.call))


def _answering(call: str) -> Any:
    def where(event: dict[str, Any]) -> bool:
        return bool(event["item"].get("call_id") == call)

    return where


async def closes(stage: RealtimeStage, step: Step) -> None:
    """The provider closes the connection (without a code: it breaks), and takes no other one until it ``opens``."""
    opening = [one for one in stage.script.steps if one.verb == "provider.opens" and one.at > step.at]
    if opening:
        stage.server.refuse_for((opening[0].at - step.at) / 1000)
        kept = _KEPT.get(opening[0].text)
        if kept is not None:
            stage.server.resume(kept)
    if step.code:
        await stage.line.close(step.code)
    else:
        stage.line.drop()


async def opens(stage: RealtimeStage, _step: Step) -> None:
    """The provider takes connections (again)."""
    if not stage.line.open:
        await stage.reopen()


def warns(_stage: RealtimeStage, _step: Step) -> None:
    """The provider says that it will close: this one does it without a word."""


_KEPT: dict[str, Callable[[dict[str, Any]], bool]] = {
    "resumed in part": lambda item: item["type"] == "message",
    "resumed with calls": lambda item: item["type"] == "function_call",
    "resumed": lambda _item: True,
}
"""What the provider keeps over its own resume, by the words of the step."""
