"""S17: a listening noise, or words that come late, while a tool runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.core.interrupt import BargeIn
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_STARTS, _STOPS, _SAID = 400.0, 900.0, 1000.0
_LIMIT = _STOPS + 1500
"""When an interruption of which nothing is understood counts as noise."""
_LATE = 3500.0
_WORDS = "what about the other one?"
_SLACK = 50.0
_ENDED = ('"cancelled"', '"superseded"', '"refused"')
_KINDS = {"main": "backchannel", "empty": "noise", "unheard": "noise"}


def _of_the_caller(step: Step) -> bool:
    return step.who == "caller"


def _words(step: Step) -> bool:
    return step.verb in {"caller.partly", "caller.said"}


@variant("S17", "undisturbed")
def _undisturbed(script: Script) -> Script:
    return script.without(_of_the_caller)


@variant("S17", "speaking")
def _speaking(script: Script) -> Script:
    """The agent is heard saying something while the read runs."""
    words = Step(at=0, who="model", does="says", text="One moment, I am looking it up", ms=2500, generation="g1")
    return script.but(steps=(words, *script.steps))


@variant("S17", "empty")
def _empty(script: Script) -> Script:
    """A cough: the transcript has no words."""
    return script.without(lambda step: step.does == "partly").with_step("caller.said", text="")


@variant("S17", "unheard")
def _unheard(script: Script) -> Script:
    """A cough of which no transcript comes at all."""
    return script.without(_words)


@variant("S17", "late")
def _late(script: Script) -> Script:
    """It was a question, and its words come after the limit and after the result."""
    late = Step(at=_LATE, who="caller", does="said", text=_WORDS, means="other_topic")
    return script.without(_words).with_steps(late)


@variant("S17", "booking")
def _booking(script: Script) -> Script:
    """The call is a booking, which has to wait at its gate until the noise is understood."""
    return script.with_step("model.calls", tool="book", args={"x": 1})


@variant("S17", "booking_unheard")
def _booking_unheard(script: Script) -> Script:
    return _booking(_unheard(script))


@variant("S17", "booking_late")
def _booking_late(script: Script) -> Script:
    return _booking(_late(script))


def _understood(played: Played) -> float:
    """When the interruption was understood, or its limit had passed."""
    said = [step for step in played.script.steps if step.does == "said" and step.at < _LIMIT]
    known = any(step.text or not played.turn_ms for step in said)  # such a framework passes on no words that are none
    return _SAID if known else _LIMIT


def _interrupts(played: Played) -> list[tuple[float, r.Interrupted, BargeIn]]:
    found: list[tuple[float, r.Interrupted, BargeIn]] = []
    for at, record in played.records(r.Interrupted):
        if isinstance(record.interrupt, BargeIn):
            found.append((at, record, record.interrupt))
    return found


@check(
    "S17.1",
    plays=("main", "speaking", "empty", "unheard", "late", "booking", "booking_unheard", "booking_late"),
    saboteur=Saboteur(
        "toolguard/policies/table.py",
        old='"onset": Cell(_hold("the caller is speaking"), "hold"),',
        new='"onset": Cell(_stop("the caller is speaking"), "stop"),',
    ),
)
def nothing_is_decided_too_early(played: Played) -> None:
    """The tool comes to its end; a write takes effect when the noise is understood, or when its limit has passed."""
    tool = "book" if played.script.variant.startswith("booking") else "lookup"
    must(not played.did("cancelled", tool), "the body was cancelled")
    must(played.began(tool) == 1, f"the body began {played.began(tool)} times")
    must(len(played.did("returned", tool)) == 1, "the body did not come to its end")
    due = _understood(played)
    for act in played.did("effect", tool):
        must(act.at >= due, f"it took effect at {act.at:.0f} ms, before anybody knew what the caller wanted")
        must(act.at <= due + _SLACK, f"it took effect at {act.at:.0f} ms, though the noise was over at {due:.0f}")
    told = [one.text for one in (*played.answers("c1"), *played.notes)]
    must(told and not any(form in text for text in told for form in _ENDED), f"the model was told: {told}")
    must(not played.problems, f"the conversation is not valid: {played.problems}")


@check(
    "S17.2",
    plays=("undisturbed", "main", "speaking", "unheard"),
    together=True,
    saboteur=Saboteur(
        "toolguard/policies/table.py",
        old='"onset": Cell(_go("a read goes on while the caller speaks"), "go on"),',
        new='"onset": Cell(_stop("the caller speaks"), "stop"),',
    ),
)
def the_tool_does_not_notice(plays: tuple[Played, ...]) -> None:
    """Its body and its answer are the same, at the same times, as without the noise."""
    undisturbed = plays[0]
    for played in plays:
        name = played.script.variant
        for what in ("began", "returned"):
            first, second = undisturbed.did(what, "lookup"), played.did(what, "lookup")
            must(len(second) == len(first) == 1, f"{name}: the body has {len(second)} lines of {what}")
            must(abs(second[0].at - first[0].at) <= 1, f"{name}: it {what} at {second[0].at:.0f} ms")
        mine, theirs = played.answer("c1"), undisturbed.answer("c1")
        must(mine.text == theirs.text, f"{name}: it was answered {mine.text}")
        must(abs(mine.at - theirs.at) <= 1, f"{name}: it was answered at {mine.at:.0f} ms")


@check(
    "S17.3",
    plays=("main", "speaking", "empty", "unheard", "booking", "late"),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_port.py",
        old="self._turns(create=not self.managed)",
        new="self._turns(create=True)",
    ),
)
def a_noise_makes_no_turn(played: Played) -> None:
    """No reply before the result's own, none after it, and nothing of it among the turns; words that come late do."""
    ended = played.answer("c1").at
    early = [one.at for one in played.requests if _STARTS <= one.at < ended and not one.aside]
    must(not early, f"replies were asked for at {early} ms, because of a noise")
    replies = played.replies_after(ended)
    turns = [item for item in played.items if item.kind == "message" and item.role == "user"]
    if played.script.variant == "late":
        must(len(replies) == 2, f"{len(replies)} replies were asked for, not one for the result and one for the turn")  # noqa: PLR2004
        must(_LATE <= replies[1].at <= _LATE + 1000, f"the turn was answered at {replies[1].at:.0f} ms")
        must([item.text for item in turns] == [_WORDS], f"the caller's turns are {[item.text for item in turns]}")
    else:
        must(len(replies) == 1, f"{len(replies)} replies were asked for after the result")
        heard = [item.text for item in turns if item.text or played.script.variant != "unheard"]
        must(not heard, f"it became a turn of the caller: {heard}")
    must(not played.errors, f"the server refused something: {played.errors}")


@check(
    "S17.4",
    plays=("main", "empty", "unheard", "booking"),
    saboteur=Saboteur(
        "toolguard/engine/barge_in.py",
        old="            confidence=verdict.confidence,\n",
        new="",
    ),
)
def each_decision_is_an_event(played: Played) -> None:
    """One for the first sound and one for what it was, each with what was done about c1 and why."""
    found = _interrupts(played)
    must([one.stage for _, _, one in found] == ["onset", "settled"], f"the events are {[one for _, _, one in found]}")
    (first, onset, _), (second, settled, understood) = found
    must(abs(first - _STARTS) <= _SLACK, f"the first is of {first:.0f} ms")
    must(abs(second - _understood(played)) <= _SLACK, f"the second is of {second:.0f} ms")
    kind = _KINDS.get(played.script.variant, "backchannel")
    must(understood.kind == kind, f"it was understood as {understood.kind}")
    must(0.5 <= understood.confidence <= 1.0, f"with confidence {understood.confidence}")  # noqa: PLR2004
    must(understood.confidence < 1.0 or kind == "noise", "the listener's confidence is not kept")
    done = "hold" if played.script.variant == "booking" else "go_on"
    for record, choice in ((onset, done), (settled, "go_on")):
        must([one.choice for one in record.decisions] == [choice], f"it was decided: {record.decisions}")
        must(record.policy and all(one.reason for one in record.decisions), f"nobody gives a reason: {record}")
