"""S16: what was heard and what was only said, around a tool."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from toolguard.core import records as r
from toolguard.testing.scenarios.beside import events
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_SPEECH = "Your table for six at six pm is confirmed, reference 1"
_CUT = 1400.0


@variant("S16", "at_once")
def _at_once(script: Script) -> Script:
    """The caller cuts in before a word of the speech is out."""
    return script.with_step("caller.starts", at=400)


@variant("S16", "heard_out")
def _heard_out(script: Script) -> Script:
    """The caller speaks when all of it was heard."""
    after = script.with_step("caller.starts", at=3900).with_step("caller.stops", at=4300)
    return after.with_step("caller.said", at=4400)


@variant("S16", "slow_audio")
def _slow_audio(script: Script) -> Script:
    """The speech arrives more slowly than it is played: at the cut all that has come was heard."""
    rest = Step(at=2000, who="model", does="says", text=" reference 1", ms=600, generation="g2")
    first = script.without(lambda step: step.does == "says" and step.generation == "g2")
    return first.with_steps(
        Step(at=400, who="model", does="says", text="Your table is confirmed,", ms=600, generation="g2"), rest
    )


@variant("S16", "queued_audio")
def _queued_audio(script: Script) -> Script:
    """The words before the call are still being played when the speech arrives behind them."""
    return _preamble(script, 1200)


@variant("S16", "behind", needs=("queued_speech",))
def _behind(script: Script) -> Script:
    """The caller cuts in while the words before the call are still being played: nothing of the speech was heard."""
    return _preamble(script, 2000)


def _preamble(script: Script, ms: float) -> Script:
    words = next(step for step in script.steps if step.does == "says" and step.generation == "g1")
    rest = script.without(lambda step: step is words)
    return rest.with_steps(msgspec.structs.replace(words, ms=ms))


@variant("S16", "listening")
def _listening(script: Script) -> Script:
    """The application listens to the events of its conversation."""
    return script.but(beside=(events,))


def _said(played: Played) -> list[r.Said]:
    """What was said of the confirmation, by the journal."""
    return [record for _, record in played.records(r.Said) if "table" in record.text + record.unheard]


@check(
    "S16.1",
    saboteur=Saboteur(
        "toolguard/adapters/realtime_port.py",
        old='frame["previous_item_id"] = after',
        new='frame["previous_item_id"] = "root"',
    ),
)
def words_call_and_output_stand_in_order(played: Played) -> None:
    """The words before the call, the call, its output."""
    request = played.asked("g2")
    shown = [(item.kind, item.call or item.text) for item in request.items]
    wanted = [("message", "One moment, I will book it."), ("call", "c1"), ("output", "c1")]
    must(shown == wanted, f"the second request shows {shown}")
    must(not request.problems, f"it is not valid: {'; '.join(request.problems)}")


@check(
    "S16.2",
    plays=("main", "slow_audio", "queued_audio", "behind"),
    saboteur=Saboteur("toolguard/adapters/playback.py", old="    if share >= 1.0:\n", new="    if share >= 0.0:\n"),
)
def history_keeps_what_was_heard(played: Played) -> None:
    """The journal divides the speech; the server's copy has no unheard words; the booking stands beside it, as done."""
    said = _said(played)
    if played.script.variant == "behind" and played.asked("g2").at > _CUT:
        must(len(said) == 1 and not said[0].cut, f"it was only said behind the cut, and the journal has: {said}")
        return
    must(len(said) == 1 and said[0].cut, f"the journal has of the speech: {said}")
    whole = f"{said[0].text} {said[0].unheard}".strip()
    must(_SPEECH.startswith(whole) or played.script.variant == "slow_audio", f"it divides other words: {said[0]}")
    must("reference" not in said[0].text, f"more is kept than was heard: {said[0].text}")
    if played.script.variant != "behind":
        kept = [item.text for item in played.items if item.kind == "message" and "reference" in item.text]
        must(not kept, f"the server keeps what was not heard: {kept}")
    must(json.loads(played.answer("c1").text) == {"order": 1}, "the booking is not told as done")
    must(played.phase("c1") == "done", f"the booking ended {played.phase('c1')}")
    heard = [at for at, record in played.records(r.Acknowledged) if played.slot("c1").call in record.calls]
    must(not heard, f"the confirmation counts as heard, at {heard} ms")


@check(
    "S16.3",
    plays=("main", "at_once", "heard_out", "slow_audio", "queued_audio", "behind"),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_events.py",
        old="if cut.heard_ms > 0 and cut.unheard and not self._watching:",
        new="if not self._watching:",
    ),
)
def truncation_is_sent_where_it_is_needed(played: Played) -> None:
    """Where the speech was cut: up to what was played. Not where nothing, or all that had come, was heard."""
    cuts = [(one.text, one.heard_ms) for one in played.cuts]
    must(not played.errors, f"the server refused something: {played.errors}")
    wanted = {"main": ("Your", 1000), "queued_audio": ("Your", 200), "behind": ("One", 1400)}
    words, at = wanted.get(played.script.variant, ("", 0))
    if not at:
        must(not cuts, f"it was truncated: {cuts}")
        return
    must(len(cuts) == 1 and cuts[0][0].startswith(words), f"it was truncated: {cuts}")
    must(at - 20 <= cuts[0][1] <= at, f"it was truncated at {cuts[0][1]} ms, not at {at}")


@check(
    "S16.4",
    plays=("listening",),
    saboteur=Saboteur(
        "toolguard/engine/reports.py", old="r.Said(text=text, unheard=unheard,", new='r.Said(text=text, unheard="",'
    ),
)
def the_application_can_read_what_was_not_heard(played: Played) -> None:
    """The stream of events has the words, and the guard has the booking whose confirmation was not heard."""
    stream = played.app.get("events", [])
    rest = [event.record.unheard for event in stream if event.kind == "said" and event.record.unheard]
    must(len(rest) == 1 and _SPEECH.endswith(rest[0]), f"the stream of events has {rest}")
    unheard = [(one.tool, json.loads(bytes(one.result))) for one in played.app.get("unheard", [])]
    must(unheard == [("book", {"order": 1})], f"outcomes that the caller has not heard: {unheard}")
