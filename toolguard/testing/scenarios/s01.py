"""S01: the caller adds something while a read runs, and the model is asked again before the read ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.testing.scenarios.kit import Saboteur, check, must

if TYPE_CHECKING:
    from toolguard.testing.scenarios.played import Played

_RESULT = '{"temp":31}'


def _squeezed(text: str) -> str:
    return text.replace(" ", "")


@check(
    "S01.1",
    saboteur=Saboteur(
        "toolguard/engine/delivery.py",
        old="self.close_open_calls()",
        new="self.pump()",
    ),
)
def the_second_request_is_valid(played: Played) -> None:
    """No call without output, no output without call, each output right behind its call."""
    request = played.asked("g2")
    must(not request.problems, f"the request at {request.at:.0f} ms is not valid: {'; '.join(request.problems)}")
    must(not played.violations, f"the provider's types do not allow: {played.violations}")


@check(
    "S01.2",
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old="text = envelope(form, ref=state.ref(slot.number), tool=slot.tool, more=extra)",
        new='text = envelope("done", ref=state.ref(slot.number), tool=slot.tool, more=extra)',
    ),
)
def a_running_call_is_shown_as_running(played: Played) -> None:
    """What the second request shows of c1 is a placeholder that says so."""
    items = played.asked("g2").items
    shown = [item for item in items if item.kind == "output" and item.call == "c1"]
    must(shown or not any(item.kind == "call" for item in items), "c1 is shown without any output")
    for item in shown:
        must("still running" in item.text and "31" not in item.text, f"c1 is shown as: {item.text}")


@check(
    "S01.3",
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old="if not stale or waiting or",
        new="if stale or waiting or",
    ),
)
def the_result_arrives_once(played: Played) -> None:
    """One output or message has the result, after the read's end, and a reply that saw it followed."""
    told = [one for one in played.telling("31") if _RESULT in _squeezed(one.text)]
    must(len(told) == 1, f"the result was told {len(told)} times")
    must(told[0].at >= 3000, f"it was told at {told[0].at:.0f} ms, before the read had ended")  # noqa: PLR2004
    after = played.replies_after(told[0].at)
    must(len(after) == 1, f"the model was asked {len(after)} times after it")
    must(any(told[0].item == item.id for item in after[0].items), "the reply after it did not see it")
    must(not played.problems, f"the conversation is not valid: {played.problems}")


@check(
    "S01.4",
    saboteur=Saboteur(
        "toolguard/engine/attempts.py",
        old="        value = await (call() if",
        new="        await call()\n        value = await (call() if",
    ),
)
def the_read_ran_once(played: Played) -> None:
    """One execution, not cancelled."""
    must(played.began("lookup") == 1, f"the read began {played.began('lookup')} times")
    must(len(played.did("returned", "lookup")) == 1, "the read did not run to its end")
