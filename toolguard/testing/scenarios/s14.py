"""S14: the process dies with calls in flight and another one takes over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_NEEDS = ("second_process",)
_DIES = 900
_RECOVERS = 1600
_TURN = (
    Step(at=_RECOVERS, who="caller", does="starts"),
    Step(at=2600, who="caller", does="stops"),
    Step(at=2700, who="caller", does="said", text="are you still there?", means="other_topic"),
    Step(at=2750, who="model", does="is_asked", generation="g2"),
    Step(at=3300, who="model", does="says", text="I am.", ms=800, generation="g2"),
)


@variant("S14", "probed", needs=_NEEDS)
def _probed(script: Script) -> Script:
    """The booking system can be asked."""
    return script.with_tool("book", probe=True)


@variant("S14", "asked_again", needs=_NEEDS)
def _asked_again(script: Script) -> Script:
    """The caller speaks at once, and the new line's model wants to book again."""
    again = Step(at=4200, who="model", does="calls", call="c4", tool="book", args={"x": 1}, generation="g2")
    return script.with_steps(*_TURN, again)


@variant("S14", "speaks", needs=_NEEDS)
def _speaks(script: Script) -> Script:
    """The caller speaks as soon as the second process has the session."""
    return script.with_steps(*_TURN)


@variant("S14", "rivals", needs=_NEEDS)
def _rivals(script: Script) -> Script:
    """Two processes want the session at the same moment."""
    return script.with_steps(Step(at=_RECOVERS, who="process", does="rival"))


def _once(played: Played) -> None:
    """The read ran again, the note was written again with its key, the booking was not made again."""
    must(played.began("lookup") == 2, f"the read began {played.began('lookup')} times")  # noqa: PLR2004
    must(len(played.did("returned", "lookup")) == 1, "the read did not end after the takeover")
    keys = [act.key for act in played.did("effect", "upsert_note")]
    must(len(keys) == 2, f"the note was written {len(keys)} times")  # noqa: PLR2004
    must(keys[0] and len(set(keys)) == 1, "the note was written again with another key")
    must(played.effects("book") == 1, f"the booking was made {played.effects('book')} times")


@check(
    "S14.1",
    plays=("main", "probed", "asked_again"),
    needs=_NEEDS,
    saboteur=Saboteur(
        "toolguard/core/plan.py",
        old="return run.effect is Effect.IDEMPOTENT_WRITE and newest",
        new="return run.effect.writes and newest",
    ),
)
def each_goes_on_by_what_it_does(played: Played) -> None:
    """The model is told of the read and the note; the booking is settled by its probe, or in doubt and told so."""
    _once(played)
    for call in ("c1", "c2"):
        must(played.phase(call) == "done", f"{call} ended {played.phase(call)}")
        ref = f'"call-1/{played.slot(call).call}"'
        must(played.telling(ref), f"the model was not told what became of {call}")
    returned = [record for _, record in played.records(r.Returned) if record.run == played.slot("c3").run]
    if played.script.variant == "probed":
        must([one.source for one in returned] == ["probe"], f"c3 was settled by {[one.source for one in returned]}")
        return
    must(not returned, "c3 was called done, and nobody knows")
    must(played.phase("c3") == "in_doubt", f"c3 ended {played.phase('c3')}")
    must(("book", "in_doubt") in played.open_calls, "the index does not show c3 in doubt")
    if played.script.variant == "asked_again":
        told = json.loads(played.answer("c4").text)
        must(told.get("toolguard") == "in_doubt", f"the model was told of the booking: {told}")


@check(
    "S14.2",
    plays=("speaks", "asked_again"),
    needs=_NEEDS,
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old="        if slot.context != state.context:\n            continue\n        answer = answer_of(state, slot)",
        new="        answer = answer_of(state, slot)",
    ),
)
def the_caller_can_speak_at_once(played: Played) -> None:
    """Nothing that the new line does not know is sent to it, every request is valid, the caller is answered."""
    _once(played)
    must(not played.problems, f"the history is not valid: {'; '.join(played.problems)}")
    must(not played.errors, f"the server refused: {played.errors}")
    for request in played.requests:
        must(not request.problems, f"a request is not valid: {'; '.join(request.problems)}")
    asked = played.asked("g2")
    must(asked.at >= _RECOVERS, "the caller was answered by the process that died")
    done = [one for one in played.responses if one.generation == "g2" and one.status == "completed"]
    must(len(done) == 1, "the caller's turn has no answer")


@check(
    "S14.3",
    plays=("main", "probed"),
    needs=_NEEDS,
    saboteur=Saboteur(
        "toolguard/engine/recover.py",
        old='"resumed": tuple(step.run for step in steps if step.act in _GOES_ON),',
        new='"resumed": (),',
    ),
)
def what_was_lost_is_played_again_or_reported(played: Played) -> None:
    """Every body that had not ended is named as run again or in doubt; the gap and the calls carried are counted."""
    begun = {act.tool for act in played.did("began", "lookup") + played.did("began", "upsert_note") if act.at < _DIES}
    must(begun == {"lookup", "upsert_note"}, f"before the end there had begun: {begun}")
    reports = played.records(r.Recovered)
    must(len(reports) == 1, f"the journal has {len(reports)} reports of a recovery")
    at, report = reports[0]
    again = {played.slot(call).run for call in ("c1", "c2")}
    must(set(report.resumed) == again, f"the report says that {report.resumed} went on")
    must(report.in_doubt == (played.slot("c3").run,), f"the report says that {report.in_doubt} is in doubt")
    must((report.stopped, report.followed) == ((), ()), "the report names runs that nothing happened to")
    must(report.calls_carried == len(played.records(r.Called)), f"it counts {report.calls_carried} calls carried")
    last = max(entry.at for entry in played.entries if entry.at < _DIES)
    must(abs(report.gap_ms - (at - last)) < 1, f"the gap was {at - last:.0f} ms and is told as {report.gap_ms:.0f}")
    must((report.epoch_before, bool(report.previous_owner)) == (1, True), "it does not say who had the session before")


@check(
    "S14.4",
    plays=("rivals",),
    needs=_NEEDS,
    saboteur=Saboteur(
        "toolguard/engine/recovering.py",
        old="Taking(made.epoch, self._take, made.at)",
        new="Taking(None, True, made.at)",
    ),
)
def one_of_two_rivals_gets_it(played: Played) -> None:
    """The other is told by name, and nothing is done by both."""
    got = played.app.get("rivals", [])
    must(sorted(got)[-1:] == ["StillOwned"] or "Fenced" in got, f"the rivals got {got}")
    must(got.count("Session") == 1, f"the session was taken by {got.count('Session')} of two")
    _once(played)
    from_the_dead = [record for _, record in played.records(r.Recovered) if record.previous_owner]
    must(len(from_the_dead) == 1, f"it was taken from the dead process {len(from_the_dead)} times")
