"""S19: the event loop stays alive while a tool blocks its thread and the store is slow or dead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.core.interrupt import BargeIn
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_SPEAKS = 500.0
_SLACK = 30.0
_CALLED, _KEPT = 100.0, 400.0
_CHECKPOINT, _COMMIT, _RECORD = 500.0, 2000.0, 1000.0
"""The bounds of the limits that everybody has: a checkpoint, a commit record, a result."""
_DUE = _CALLED + 1500
_BOOKING: dict[str, Any] = {
    "effect": "mutation",
    "ms": 1500,
    "commits_at": 600,
    "sync": True,
    "takes": {"x": "integer"},
    "identity": ("x",),
}


def _of_the_caller(step: Step) -> bool:
    return step.who == "caller"


def _dead_from(script: Script, at: float) -> Script:
    """The store answers until then, and never again while the conversation lasts."""
    dies = Step(at=at, who="store", does="dies")
    return script.without(lambda step: step.who == "store").with_steps(dies).but(rest=3.0)


@variant("S19", "speaking")
def _speaking(script: Script) -> Script:
    """The agent is heard when the caller cuts in."""
    words = Step(
        at=0, who="model", does="says", text="One moment, I am asking the other system", ms=2000, generation="g1"
    )
    return script.with_steps(words).but(rest=2.0)


@variant("S19", "filler")
def _filler(script: Script) -> Script:
    """Nobody speaks, the tool takes three seconds, and the caller is to hear something after one and a half."""
    quiet = script.without(_of_the_caller).with_step("tool.returns", at=3100).but(rest=2.0)
    return quiet.with_tool("sync_http", options={"filler": "One moment please."})


@variant("S19", "booking")
def _booking(script: Script) -> Script:
    """The tool that blocks books something."""
    return script.with_tool("book", **_BOOKING).with_step("model.calls", tool="book", args={"x": 1})


@variant("S19", "keeping")
def _keeping(script: Script) -> Script:
    """The tool keeps its progress once."""
    kept = Step(at=_KEPT, who="tool", does="reports", call="c1", text="half")
    return script.without(_of_the_caller).with_steps(kept).but(rest=2.0)


@variant("S19", "dead")
def _dead(script: Script) -> Script:
    """The store dies before the call."""
    return _dead_from(_keeping(script), 50)


@variant("S19", "dead_booking")
def _dead_booking(script: Script) -> Script:
    return _dead_from(_booking(script).without(_of_the_caller), 50)


@variant("S19", "dead_commit")
def _dead_commit(script: Script) -> Script:
    """The store dies between the call and its commit record."""
    return _dead_from(_booking(script).without(_of_the_caller), 150)


@variant("S19", "dies_late")
def _dies_late(script: Script) -> Script:
    """The store dies between the commit record and the result."""
    return _dead_from(_booking(script).without(_of_the_caller), 900)


@check(
    "S19.1",
    plays=("main", "speaking", "booking", "keeping"),
    saboteur=Saboteur(
        "toolguard/engine/journal.py", old="        if self.store.threaded:\n", new="        if False:\n"
    ),
)
def nothing_blocking_runs_on_the_loop(played: Played) -> None:
    """Neither the bodies nor any call of the store ran on the loop's thread, and the loop was never late."""
    loop = played.app["loop_thread"]
    bodies = [act for act in played.acts if act.thread == loop]
    must(played.acts, "the tool did not run")
    must(not bodies, f"{len(bodies)} lines of the ledger were written on the loop's thread")
    must("slow_store" in played.app, "there is no store")
    calls = played.app["slow_store"].calls
    must(len(calls) > 1, "the store was never called")
    mine = sorted({call.method for call in calls if call.thread == loop})
    must(not mine, f"on the loop's thread the store was asked to: {', '.join(mine)}")
    must(played.lag <= _SLACK, f"the loop was {played.lag:.0f} ms late")


@check(
    "S19.2",
    plays=("main", "speaking", "booking"),
    saboteur=Saboteur(
        "toolguard/engine/attempts.py",
        old="else self._in_thread(live, call))",
        new="else asyncio.sleep(0, call()))",
    ),
)
def the_interruption_is_handled_at_once(played: Played) -> None:
    """It is decided at 500 with its own time, and a speech is cut where the caller cut in."""
    onsets = [
        (at, record, record.interrupt)
        for at, record in played.records(r.Interrupted)
        if isinstance(record.interrupt, BargeIn) and record.interrupt.stage == "onset"
    ]
    must(len(onsets) == 1, f"{len(onsets)} interruptions were handled")
    at, record, onset = onsets[0]
    must(abs(at - _SPEAKS) <= _SLACK, f"it was handled at {at:.0f} ms")
    opened = next(one for one in played.entries if isinstance(one.record, r.Opened))
    carried = (onset.at.timestamp() - played.app["opened_at"]) * 1000 + opened.at
    must(abs(carried - _SPEAKS) <= _SLACK, f"it carries the time {carried:.0f} ms")
    must(abs(played.onsets[0] - _SPEAKS) <= _SLACK, f"the caller was heard at {played.onsets[0]:.0f} ms")
    must(len(record.decisions) == 1, "nothing was decided about the call")
    if played.script.variant == "speaking":
        cuts = [one.at for one in played.cuts]
        must(len(cuts) == 1 and abs(cuts[0] - _SPEAKS) <= _SLACK, f"the speech was cut at {cuts} ms")


@check(
    "S19.3",
    plays=("filler",),
    saboteur=Saboteur(
        "toolguard/engine/delivery.py",
        old="        if spec.filler:\n",
        new="        if spec.filler and not spec.name:\n",
    ),
)
def the_filler_is_spoken_in_time(played: Played) -> None:
    """One, when it is due, beside the conversation; and the result is announced as ever."""
    fillers = [one for one in played.requests if one.aside]
    must(len(fillers) == 1, f"{len(fillers)} fillers were asked for")
    must(abs(fillers[0].at - _DUE) <= _SLACK, f"it was asked for at {fillers[0].at:.0f} ms, due at {_DUE:.0f}")
    must("One moment please." in str(fillers[0].fields.get("instructions")), f"it says {fillers[0].fields}")
    ended = played.did("returned", "sync_http")[0].at
    must(played.answer("c1").at - ended <= _SLACK, "the result came late")
    must(len(played.replies_after(ended)) == 1, "the result was not announced")


@check(
    "S19.4",
    plays=("keeping", "dead", "dead_booking", "dead_commit", "dies_late"),
    saboteur=Saboteur("toolguard/engine/body.py", old=", within=engine.limits.checkpoint)", new=")"),
)
def a_dead_store_costs_a_bounded_time(played: Played) -> None:
    """A read goes on, a write is refused before its effect or told after it, each within its limit."""
    loop, name = played.app["loop_thread"], played.script.variant
    mine = [call.method for call in played.app["slow_store"].calls if call.thread == loop]
    must(not mine, f"on the loop's thread the store was asked to {mine}")
    must(played.lag <= _SLACK, f"the loop was {played.lag:.0f} ms late")
    answer = played.answer("c1")
    if name in {"keeping", "dead"}:
        ended = played.did("returned", "sync_http")
        must(len(ended) == 1, "the body did not come to its end")
        late = ended[0].at - (_CALLED + 1500)
        most = _CHECKPOINT if name == "dead" else _CHECKPOINT - _SLACK
        must(late <= most + _SLACK, f"the checkpoint cost it {late:.0f} ms")
        must(answer.at - ended[0].at <= _SLACK, f"its result waited for {answer.at - ended[0].at:.0f} ms")
    elif name in {"dead_booking", "dead_commit"}:
        must(played.effects("book") == 0, "it took effect although that could not be recorded")
        must(answer.at <= _CALLED + 600 + _COMMIT + _SLACK, f"it was answered at {answer.at:.0f} ms")
        must('"toolguard"' in answer.text and "result" not in answer.text, f"it was answered {answer.text}")
    else:
        must(played.effects("book") == 1, "it did not take effect")
        ended = played.did("returned", "book")
        must(len(ended) == 1 and answer.at - ended[0].at <= _RECORD + _SLACK, f"it was told at {answer.at:.0f} ms")
        must("200" in answer.text, f"its result was told as {answer.text}")
    must(played.replies_after(answer.at), "nobody was told")
    must(not played.problems, f"the conversation is not valid: {played.problems}")
