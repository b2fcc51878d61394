"""S18: a tool that is not to be interrupted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played, Request

_COMMITS, _SAID, _AGAIN = 600.0, 1900.0, 3000.0
_EARLY_SAID = 500.0
_NOTHING_SAID = 4800.0
"""When it is known that the caller's second sound had no words."""
_SLACK = 50.0
_OTHER: dict[str, Any] = {"effect": "mutation", "ms": 5000, "takes": {"room": "string"}, "identity": ("room",)}


def _of_the_caller(step: Step) -> bool:
    return step.who == "caller"


def _speaks(script: Script, starts: float, stops: float, said: float, text: str = "make it seven people") -> Script:
    """The caller says this instead of everything else."""
    return script.without(_of_the_caller).with_steps(
        Step(at=starts, who="caller", does="starts"),
        Step(at=stops, who="caller", does="stops"),
        Step(at=said, who="caller", does="said", text=text, means="correction"),
    )


@variant("S18", "early")
def _early(script: Script) -> Script:
    """The caller speaks while the agent does, before the tool has committed."""
    return _speaks(script, 200, 400, _EARLY_SAID)


@variant("S18", "at_start")
def _at_start(script: Script) -> Script:
    """A tool that says nothing of a point of no return has passed it with its first line."""
    return _speaks(script, 50, 250, 350).with_tool("book", commits_at=None, shield=False)


@variant("S18", "unshielded")
def _unshielded(script: Script) -> Script:
    return _early(script).with_tool("book", shield=False)


@variant("S18", "fails")
def _fails(script: Script) -> Script:
    return script.with_step("tool.returns", raises="connection reset")


@variant("S18", "slow")
def _slow(script: Script) -> Script:
    """The tool takes longer than its call has patience."""
    return script.with_step("tool.returns", at=7000)


@variant("S18", "other_topic")
def _other_topic(script: Script) -> Script:
    return script.with_step("caller.said", text="what are your opening hours?", means="other_topic")


@variant("S18", "speaking")
def _speaking(script: Script) -> Script:
    """When the caller speaks again the agent is telling what became of the booking."""
    told = Step(at=2100, who="model", does="says", text="You are six, I am afraid", ms=3000, generation="g2")
    asked = Step(at=1900, who="model", does="is_asked", generation="g2")
    return script.with_steps(asked, told)


@variant("S18", "two")
def _two(script: Script) -> Script:
    """Beside the shielded booking a room is being reserved, which has not committed yet."""
    other = Step(at=50, who="model", does="calls", call="c2", tool="reserve", args={"room": "A"}, generation="g1")
    late = script.with_step("tool.returns", at=3500).with_tool("reserve", commits_at=4000, **_OTHER)
    return late.with_steps(other).with_step("caller.said", text="wait, cancel that", means="cancellation")


@variant("S18", "quiet")
def _quiet(script: Script) -> Script:
    return script.without(_of_the_caller)


@variant("S18", "impatient")
def _impatient(script: Script) -> Script:
    return _quiet(script).with_tool("book", options={"patience": 1.5})


@variant("S18", "silent")
def _silent(script: Script) -> Script:
    return _quiet(script).with_tool("book", options={"announce": "silent"})


def _the_turn_is_answered_at_once(played: Played, replies: list[Request]) -> None:
    """Where the framework answers every turn by itself: at once, and the reply about c1 waits for it."""
    first = replies[0]
    must(abs(first.at - _SAID - played.turn_ms) <= _SLACK, f"the caller was answered at {first.at:.0f} ms")
    must(any(item.role == "user" for item in first.items), "that request does not have the caller's words")
    about = [one for one in replies if any('"order"' in item.text or "in_doubt" in item.text for item in one.items)]
    told = played.script.variant == "fails" or (about and about[0].at >= _ends(played) - _SLACK)
    must(told, "no reply waited for what became of c1")  # what is in doubt is told when the model asks (O3)
    must(not any(one.problems for one in replies), "one of the requests is not valid")


def _ends(played: Played) -> float:
    return next(step.at for step in played.script.steps if step.verb == "tool.returns")


@check(
    "S18.1",
    plays=("main", "early", "at_start", "other_topic"),
    saboteur=Saboteur(
        "toolguard/engine/verdicts.py",
        old="for policy in (own, self._policy):",
        new="for policy in (self._policy,):",
    ),
)
def the_shield_lasts_as_long_as_the_tool(played: Played) -> None:
    """It takes effect and ends at its own times, whoever speaks, and whenever a speech ends or is cut off."""
    must(played.began("book") == 1, f"the body began {played.began('book')} times")
    effects = [act.at for act in played.did("effect", "book")]
    due = 0.0 if played.script.variant == "at_start" else _COMMITS
    must(len(effects) == 1 and abs(effects[0] - due) <= _SLACK, f"it took effect at {effects} ms")
    ended = [act.at for act in played.did("returned", "book")]
    must(len(ended) == 1 and abs(ended[0] - _ends(played)) <= _SLACK, f"it ended at {ended} ms")
    must(played.telling('"order"'), "its result was told to nobody")


@check(
    "S18.2",
    plays=("main", "fails", "slow", "other_topic"),
    saboteur=Saboteur(
        "toolguard/engine/delivery.py", old="        if not self._awaited():\n", new="        if True:\n"
    ),
)
def only_the_reply_about_it_waits(played: Played) -> None:
    """Words and class are kept at once; the reply waits for c1's end or its patience if c1 is what it is about."""
    heard = [(at, record) for at, record in played.records(r.Heard) if at < _AGAIN]
    said = next(step for step in played.script.steps if step.verb == "caller.said")
    must([record.text for _, record in heard] == [said.text], f"heard: {heard}")
    must(heard[0][0] - _SAID <= _SLACK, f"it was heard at {heard[0][0]:.0f} ms")
    must(heard[0][1].kind == said.means, f"it was classified as {heard[0][1].kind}")
    replies = played.replies_after(0)
    must(replies, "nobody answered the caller")
    if played.turn_ms:
        _the_turn_is_answered_at_once(played, replies)
        return
    due = {"slow": 4000.0, "other_topic": _SAID}.get(played.script.variant, _ends(played))
    if played.script.variant == "slow" and played.adapter == "pipecat":  # it holds replies in the caller's second turn
        due = _NOTHING_SAID
    if played.script.variant == "slow":  # the caller has spoken again meanwhile, of nothing
        replies = [one for one in replies if one.by == "client"]
    first = replies[0]
    must(abs(first.at - due) <= _SLACK, f"the caller was answered at {first.at:.0f} ms, due at {due:.0f}")
    must(not first.problems, f"that request is not valid: {first.problems}")
    seen = [item.text for item in first.items if item.kind == "output" and item.call == "c1"]
    must(len(seen) == 1, f"that request shows of c1: {seen}")
    must(any(item.role == "user" for item in first.items), "that request does not have the caller's words")
    if played.script.variant == "main":
        must('"order"' in seen[0] and "could no longer" in seen[0], f"it shows of c1: {seen[0]}")
    elif played.script.variant == "fails":
        must('"in_doubt"' in seen[0], f"it shows of c1: {seen[0]}")


@check(
    "S18.3",
    plays=("speaking",),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_events.py",
        old="for cut in self._playback.cut():",
        new="for cut in () if self.session.state.runs else self._playback.cut():",
    ),
)
def the_agent_can_be_interrupted_again(played: Played) -> None:
    """Its speech is cut where the caller spoke, and the provider is told what was heard."""
    cuts = played.cuts
    must(len(cuts) == 1 and abs(cuts[0].at - _AGAIN) <= _SLACK, f"the speech was cut at {[one.at for one in cuts]} ms")
    heard = cuts[0].heard_ms
    must(abs(heard - 900) <= _SLACK, f"it says that {heard} ms were heard")
    said = [record for at, record in played.records(r.Said) if abs(at - _AGAIN) <= _SLACK]
    must(len(said) == 1 and said[0].cut and said[0].unheard, f"the journal has: {said}")
    onsets = [at for at, _ in played.records(r.Interrupted) if abs(at - _AGAIN) <= _SLACK]
    must(len(onsets) == 1, "the interruption is not in the journal")
    must(not played.errors, f"the server refused something: {played.errors}")


@check(
    "S18.4",
    plays=("two",),
    saboteur=Saboteur(
        "toolguard/engine/decisions.py",
        old='        if one.choice == "stop":\n',
        new='        if one.choice == "stop" and not any(live.committed for live in self._execution.live.values()):\n',
    ),
)
def other_calls_are_stopped_at_once(played: Played) -> None:
    """The room is not reserved, and the model hears of it with the words, while the booking goes on."""
    stopped = [record for at, record in played.records(r.Stopped) if at - _SAID <= _SLACK]
    must(len(stopped) == 1 and stopped[0].run == played.slot("c2").run, f"stopped were: {stopped}")
    must(len(played.did("cancelled", "reserve")) == 1, "the body goes on")
    must(played.did("cancelled", "reserve")[0].at - _SAID <= _SLACK, "the body went on for a while")
    must(played.effects("reserve") == 0, "the room was reserved")
    told = played.answer("c2")
    must('"cancelled"' in told.text and told.at - _SAID <= _SLACK, f"at {told.at:.0f} ms it was told: {told.text}")
    must(played.effects("book") == 1 and len(played.did("returned", "book")) == 1, "the booking did not go on")
    must(played.replies_after(0)[0].at - _SAID <= _SLACK, "the reply waited for the booking")


@check(
    "S18.5",
    plays=("early", "unshielded", "quiet", "impatient", "silent"),
    together=True,
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old='    reply = run.announce != "silent" and not slot.filed',
        new="    reply = not slot.filed",
    ),
)
def three_settings(plays: tuple[Played, ...]) -> None:
    """Each changes its own: whether it lives on, when it is answered, whether it is spoken of."""
    early, unshielded, quiet, impatient, silent = plays
    must(early.effects("book") == 1, "the shielded one did not survive")
    must(unshielded.effects("book") == 0, "the one without shield survived")
    must('"cancelled"' in unshielded.answer("c1").text, f"it was answered {unshielded.answer('c1').text}")
    ends = _ends(quiet)
    for played in (quiet, impatient, silent):
        name = played.script.variant
        must(
            played.effects("book") == 1 and played.did("returned", "book")[0].at == ends, f"{name}: it did not survive"
        )
        told = played.telling('"order"')
        must(len(told) == 1, f"{name}: its result was told {len(told)} times")
    must(quiet.answer("c1").at == ends, f"it was answered at {quiet.answer('c1').at:.0f} ms")
    must(len(quiet.replies_after(ends)) == 1, "its result was not announced once")
    place = impatient.answer("c1")
    must(json.loads(place.text).get("toolguard") == "still_running", f"impatient: it was answered {place.text}")
    must(abs(place.at - 1500) <= _SLACK, f"impatient: it was answered at {place.at:.0f} ms")
    must(impatient.replies_after(ends), "impatient: its result was not announced")
    must(silent.answer("c1").at == ends, f"silent: it was answered at {silent.answer('c1').at:.0f} ms")
    must(not silent.replies_after(0), "silent: its result was announced")
