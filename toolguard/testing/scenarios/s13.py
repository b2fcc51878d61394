"""S13: the provider's connection expires or breaks while a call runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from typing import Any

    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_CLOSED, _OPENED = 2000.0, 2400.0
_CALLED, _DONE = 1000.0, 3000.0
_DUE, _OLDER = 6.0, 4500.0
"""Seconds after which a connection is renewed, and by how many milliseconds it is older than the timeline."""
_SLACK = 700.0
_NOTE_BYTES = 600
_BEFORE = (
    Step(at=-4000, who="caller", does="starts"),
    Step(at=-3500, who="caller", does="stops"),
    Step(at=-3400, who="caller", does="said", text="a table for tonight", means="other_topic"),
    Step(at=-3300, who="model", does="says", text="For how many?", ms=500, generation="g0"),
)


def _of_the_provider(step: Step) -> bool:
    return step.who == "provider"


@variant("S13", "fresh", needs=("second_line",))
def _fresh(script: Script) -> Script:
    """The new connection knows nothing."""
    return script.with_step("provider.opens", text="")


@variant("S13", "broken", needs=("second_line",))
def _broken(script: Script) -> Script:
    """The connection breaks without a close code."""
    return _fresh(script).with_step("provider.closes", code=0)


@variant("S13", "talked", needs=("second_line",))
def _talked(script: Script) -> Script:
    """Something was said before, and the provider has kept it; the call it has not."""
    return script.with_steps(*_BEFORE)


@variant("S13", "call_kept", needs=("second_line",))
def _call_kept(script: Script) -> Script:
    """The provider has kept the call, and not what was said before it."""
    return _talked(script).with_step("provider.opens", text="resumed with calls")


@variant("S13", "all_kept", needs=("second_line",))
def _all_kept(script: Script) -> Script:
    """The provider has kept everything."""
    return _talked(script).with_step("provider.opens", text="resumed")


@variant("S13", "in_the_gap", needs=("second_line",))
def _in_the_gap(script: Script) -> Script:
    """The booking ends while there is no connection."""
    late = _fresh(script).without(lambda step: step.verb == "provider.opens")
    return (
        late.with_steps(Step(at=3300, who="provider", does="opens", line="k2"))
        .without(_after_the_gap)
        .with_steps(
            Step(at=5000, who="caller", does="starts"),
            Step(at=5400, who="caller", does="stops"),
            Step(at=5500, who="caller", does="said", text="did it work?", means="other_topic"),
            Step(at=5600, who="model", does="calls", call="c9", tool="book", args={"x": 1}, generation="g2"),
        )
    )


def _after_the_gap(step: Step) -> bool:
    return step.who == "caller" or step.call == "c9"


@variant("S13", "mute", needs=("second_line",))
def _mute(script: Script) -> Script:
    """The first new connection stands, and confirms nothing."""
    return _fresh(script).but(
        connects=(_silence_second,), rebuild={"proven_within": 0.2, "pause": 0.05, "longest_pause": 0.1}
    )


def _silence_second(line: Any) -> None:
    if line.number == 2:  # noqa: PLR2004 - the second connection
        line.suppress_confirmations()


@variant("S13", "renewed", needs=("second_line",))
def _renewed(script: Script) -> Script:
    """The connection is renewed ahead of its limit, with time to wait for a quiet moment."""
    return _talked(script.without(_of_the_provider)).but(rebuild={"renew_after": _DUE, "renew_by": 100.0}, rest=6.0)


@variant("S13", "renewed_late", needs=("second_line",))
def _renewed_late(script: Script) -> Script:
    """There is no time to wait."""
    return _talked(script.without(_of_the_provider)).but(rebuild={"renew_after": _DUE, "renew_by": _DUE}, rest=3.0)


def _rebuilt(played: Played) -> tuple[float, r.Rebuilt]:
    found = played.records(r.Rebuilt)
    must(len(found) == 1, f"the connection was rebuilt {len(found)} times")
    return found[0]


@check(
    "S13.1",
    plays=("main", "fresh", "broken", "talked", "call_kept", "all_kept", "in_the_gap", "renewed_late"),
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old="if (own or joined) and not seen and not run.concerned and not run.warning:",
        new="if not run.concerned and not run.warning:",
    ),
)
def the_booking_is_made_once(played: Played) -> None:
    """One effect; the call on the new line gets the first one's result, marked as such."""
    must(played.effects("book") == 1, f"it was booked {played.effects('book')} times")
    told = json.loads(played.answer("c9").text)
    must(told.get("toolguard") in {"replayed", "already_done"}, f"the second call was answered {told}")
    must(told.get("result") == {"order": 1}, f"its result is {told.get('result')}")
    if played.guarded:
        must(told.get("first", "").endswith(f"/{played.slot('c1').call}"), f"it points to {told.get('first')}")


@check(
    "S13.2",
    plays=("main", "fresh", "broken", "talked", "call_kept", "all_kept", "in_the_gap", "renewed_late"),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_replay.py",
        old="found.append(Entry(item, state.slots[number].item))",
        new="continue",
    ),
)
def a_call_is_answered_only_where_it_is_known(played: Played) -> None:
    """No output without its call on the same line; the outcome comes in once: in its place, or as a short note."""
    strange = [words for code, words in played.errors if code == "invalid_tool_call_id"]
    must(not strange, f"an output was sent where its call is unknown: {strange}")
    wrong = [one for request in played.requests if request.accepted for one in request.problems]
    must(not wrong, f"the model saw a conversation that is not valid: {'; '.join(wrong)}")
    again = played.answer("c9").at
    told = [one for one in played.telling('"order"') if one.at < again]
    must(len(told) == 1, f"the outcome came in {len(told)} times: {[one.text for one in told]}")
    must(len(told[0].text.encode()) <= _NOTE_BYTES, f"it is told at length: {told[0].text}")
    must(not played.violations, f"frames that are not allowed: {played.violations}")


@check(
    "S13.3",
    plays=("talked", "call_kept", "all_kept"),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_replay.py",
        old='return entry.item["id"] in self.here or (bool(entry.native) and entry.native in self.here)',
        new="return False",
    ),
)
def what_was_kept_is_not_sent_again(played: Played) -> None:
    """Every turn and every call stands once on the new line, in the order in which it was."""
    order = [item.call if item.kind == "call" else item.text for item in played.items if item.kind != "output"]
    for one in ("a table for tonight", "For how many?", "c1"):
        must(order.count(one) == 1, f"{one!r} stands {order.count(one)} times in {order}")
    places = [order.index(one) for one in ("a table for tonight", "For how many?", "c1")]
    must(places == sorted(places), f"the order is {order}")
    if played.guarded:
        kept = _rebuilt(played)[1].items_kept
        wanted = {"talked": 2, "call_kept": 1, "all_kept": 3}[played.script.variant]
        must(kept == wanted, f"{kept} items are said to have been there, not {wanted}")


@check(
    "S13.4",
    plays=("main", "fresh", "broken", "mute"),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_replay.py",
        old="            await replay.bring(entries)\n",
        new="            pass\n",
    ),
)
def the_new_line_is_proven(played: Played) -> None:
    """Session and items were confirmed before it was used; the record tells cause, gap, items and calls."""
    at, rebuilt = _rebuilt(played)
    wanted = "dropped" if played.script.variant == "broken" else "closed 1001"
    must(rebuilt.cause == wanted, f"the cause is {rebuilt.cause}")
    must(abs(rebuilt.gap_ms - (at - _CLOSED)) <= 1, f"the gap is {rebuilt.gap_ms} ms, and it was rebuilt at {at}")
    must(_OPENED <= at <= _OPENED + _SLACK * (1 + (rebuilt.tries > 1)), f"it was rebuilt at {at:.0f} ms")
    must(rebuilt.items_replayed >= 2, f"{rebuilt.items_replayed} items were shown again")  # noqa: PLR2004
    must(rebuilt.calls_carried == (played.slot("c1").run,), f"calls carried: {rebuilt.calls_carried}")
    must("session.updated" in rebuilt.proof, f"it was proven by {rebuilt.proof}")
    must(f"{rebuilt.items_replayed} items confirmed" in rebuilt.proof, f"it was proven by {rebuilt.proof}")
    opened = [record for _, record in played.records(r.ContextOpened)]
    must(len(opened) == 1, f"{len(opened)} contexts were opened")
    early = [one.at for one in played.replies_after(_CLOSED) if one.at < at]
    must(not early, f"a reply was asked for at {early} ms, before the line was proven")


@check(
    "S13.5",
    plays=("renewed", "renewed_late"),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_renewal.py",
        old="if moving.quiet or (",
        new="if True or (",
    ),
)
def a_renewal_waits_for_a_quiet_moment(played: Played) -> None:
    """No call in flight, nobody speaking, no response; where there is no time, at the latest at the limit."""
    at, rebuilt = _rebuilt(played)
    must(rebuilt.cause == "limit", f"the cause is {rebuilt.cause}")
    if played.script.variant == "renewed_late":
        must(abs(at - (_DUE * 1000 - _OLDER)) <= _SLACK, f"it was renewed at {at:.0f} ms")
        return
    must(rebuilt.gap_ms == 0, f"there was no connection for {rebuilt.gap_ms} ms")
    must(not rebuilt.calls_carried, f"calls were in flight: {rebuilt.calls_carried}")
    must(at >= _CALLED + 100 and not _CALLED <= at < _DONE, f"it was renewed at {at:.0f} ms, while the call ran")
    active = [one for one in played.responses if one.began <= at < one.ended]
    must(not active, f"a response was active: {active}")
