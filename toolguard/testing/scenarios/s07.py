"""S07: the same call is delivered more than once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.engine.limits import Limits
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_RESULT = {"order": 1}
_RUNNING = "still_running"
_RESTARTED = ("restarted", "restarted_while_committing", "restarted_with_probe")
_RESTART = Step(at=3000, who="process", does="restarts")


@variant("S07", "concurrent", needs=("repeated_ids",))
def _concurrent(script: Script) -> Script:
    """The second delivery comes while the first one runs, before its commit, the third one after it."""
    early = script.without(lambda step: step.verb == "platform.sends" and step.nth > 1)
    again = [Step(at=at, who="platform", does="sends", call="c1", tool="book", args={"x": 1}) for at in (300, 1000)]
    return early.without(lambda step: step.who == "network").with_steps(*again)


@variant("S07", "other_arguments", needs=("repeated_ids",))
def _other_arguments(script: Script) -> Script:
    return (
        script.with_step("platform.sends", at=0)
        .without(lambda s: s.nth > 1)
        .with_steps(
            Step(at=1000, who="platform", does="sends", call="c1", tool="book", args={"x": 2}, nth=2),
            Step(at=5000, who="platform", does="sends", call="c1", tool="book", args={"x": 3}, nth=3),
        )
    )


@variant("S07", "restarted")
def _restarted(script: Script) -> Script:
    """The process ends when the booking is done and its answer lost; the next one is delivered the call again."""
    return script.with_steps(_RESTART)


@variant("S07", "restarted_while_committing")
def _restarted_while_committing(script: Script) -> Script:
    """The process has no time to wait for the booking that is on its way."""
    hasty = script.without(lambda step: step.who == "network").but(limits=Limits(drain=0.0))
    return hasty.with_steps(Step(at=1000, who="process", does="restarts"))


@variant("S07", "restarted_with_probe")
def _restarted_with_probe(script: Script) -> Script:
    """The same, and the booking system can be asked."""
    return _restarted_while_committing(script).with_tool("book", probe=True)


def _told(played: Played, call: str) -> list[str]:
    """What c1 was answered; the news of its end, where the model was asked meanwhile and read that it runs."""
    told = [one.text for one in played.answers(call)]
    if any(one.staged for one in played.requests) and [json.loads(one).get("toolguard") for one in told] == [_RUNNING]:
        return [json.dumps(json.loads(one.text)["result"]) for one in played.notes if '"result"' in one.text]
    return told


def _said(played: Played, call: str) -> str:
    """What the guard said last to a call; the new line, which was shown the pair again, takes no second output."""
    return [one.text for one in played.given if one.call == call][-1]


@check(
    "S07.1",
    plays=("main", "concurrent", *_RESTARTED),
    saboteur=Saboteur(
        "toolguard/core/intent.py",
        old='return "replay" if same else ("run" if confirmed else "differs")',
        new='return "run" if same or confirmed else "differs"',
    ),
)
def the_booking_was_made_once(played: Played) -> None:
    """One effect, however often the call was delivered."""
    must(played.effects("book") == 1, f"the booking was made {played.effects('book')} times")
    must(played.began("book") == 1, f"the body began {played.began('book')} times")


@check(
    "S07.2",
    plays=("main", "concurrent"),
    saboteur=Saboteur(
        "toolguard/engine/intake.py",
        old="        if known is not None:\n            return self._again(",
        new="        if known == 0:\n            return self._again(",
    ),
)
def further_deliveries_get_the_stored_answer(played: Played) -> None:
    """The server has one answer, which is the result; none other was tried, and nobody spoke of it again."""
    told = _told(played, "c1")
    must([json.loads(one) for one in told] == [_RESULT], f"c1 was answered: {told}")
    first = min(one.at for one in played.telling('"order"'))
    must(first >= 2000, f"it was answered at {first:.0f} ms, before it was done")  # noqa: PLR2004
    must(not played.errors, f"the server refused something: {played.errors}")
    must(not played.problems, f"the conversation is not valid: {played.problems}")
    spoken = [one.at for one in played.replies_after(0)]
    must(len(spoken) == 1, f"the model was asked to speak at {spoken} ms")


@check(
    "S07.3",
    plays=("other_arguments",),
    saboteur=Saboteur(
        "toolguard/engine/intake.py",
        old='print_ in {slot.fingerprint, "invalid" if not slot.fingerprint else "-"}:',
        new="print_ is not None:",
    ),
)
def other_arguments_are_a_conflict(played: Played) -> None:
    """Only the first one ran, its answer is its own, and each of the others is told as a conflict."""
    booked = [act.args for act in played.did("effect", "book")]
    must(booked == [{"x": 1}], f"booked: {booked}")
    must(played.began("book") == 1, f"the body began {played.began('book')} times")
    told = _told(played, "c1")
    must([json.loads(one) for one in told] == [_RESULT], f"c1 was answered: {told}")
    conflicts = [record for _, record in played.records(r.Called) if record.verdict == "conflict"]
    must(len(conflicts) == 2, f"the journal has {len(conflicts)} conflicts")  # noqa: PLR2004
    must(len(played.telling('"conflict"')) == 2, "the conflicts were not told")  # noqa: PLR2004
    must(not played.errors, f"the server refused something: {played.errors}")


@check(
    "S07.4",
    plays=_RESTARTED,
    saboteur=Saboteur(
        "toolguard/engine/storesecret.py",
        old="    return notes[_SECRET]\n",
        new="    return secrets.token_bytes(32)\n",
    ),
)
def it_holds_over_a_restart(played: Played) -> None:
    """The next process answers from the journal: with the result, or, where nobody can know it, in doubt."""
    must(played.effects("book") == 1, f"the booking was made {played.effects('book')} times")
    opened = [record.process for _, record in played.records(r.Opened)]
    must(len(set(opened)) == 2, f"the session was entered by {len(set(opened))} processes")  # noqa: PLR2004
    told = json.loads(_said(played, "c1"))
    if played.script.variant == "restarted_while_committing":
        must(told["toolguard"] == "in_doubt", f"c1 was answered: {told}")
        must(played.open_calls == [("book", "in_doubt")], f"the index of calls in doubt has {played.open_calls}")
        return
    found = _RESULT if played.script.variant == "restarted" else {"found": True}
    must(told.get("result") == found, f"c1 was answered: {told}")
    must(told.get("toolguard") == "replayed", f"c1's answer does not say that it was done before: {told}")
    must(not played.open_calls, f"the index of calls in doubt has {played.open_calls}")
