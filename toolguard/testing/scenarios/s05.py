"""S05: the response that made the call is thrown away because the caller's sentence went on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played


@variant("S05", "queued")
def _queued(script: Script) -> Script:
    """The discarded response books before it ends the call; the next one books another day."""
    monday = Step(at=100, who="model", does="calls", call="c0", tool="book", args={"day": "Monday"}, generation="g1")
    tuesday = Step(at=2300, who="model", does="calls", call="c9", tool="book", args={"day": "Tuesday"}, generation="g2")
    rest = script.without(lambda step: step.call == "c1")
    ending = next(step for step in script.steps if step.call == "c1")
    done = Step(at=4300, who="tool", does="returns", call="c9", value={"order": 9})
    return rest.with_steps(monday, ending, tuesday, done)


@variant("S05", "read", needs=("replaced_responses",))
def _read(script: Script) -> Script:
    """The discarded response only looks something up, which ends while the next one is long over."""
    returns = Step(at=3100, who="tool", does="returns", call="c1", value={"hours": "9 to 5"})
    return script.with_step("model.calls", tool="lookup", args={}).with_steps(returns)


@check(
    "S05.1",
    plays=("main", "queued"),
    saboteur=Saboteur(
        "toolguard/engine/gate.py",
        old="while waiting.holds or waiting.stopped:",
        new="while waiting.stopped:",
    ),
)
def the_call_goes_on(played: Played) -> None:
    """Ending the call had no effect."""
    must(played.effects("end_call") == 0, "the caller was hung up on")


@check(
    "S05.2",
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old='ended: Form = "superseded" if slot.detached else "cancelled"',
        new='ended: Form = "cancelled"',
    ),
)
def the_call_is_superseded(played: Played) -> None:
    """One answer that says so, before the next request, which comes at once."""
    answer = played.answer("c1")
    must('"superseded"' in answer.text, f"c1 was answered: {answer.text}")
    request = played.asked("g2")
    must(answer.at <= request.at, "c1 was answered after the next request")
    must(not request.problems, f"the next request is not valid: {'; '.join(request.problems)}")
    must(request.at <= 2000, f"the next request came at {request.at:.0f} ms")  # noqa: PLR2004 - 500 ms after the words


@check(
    "S05.3",
    plays=("queued",),
    saboteur=Saboteur(
        "toolguard/core/fold.py",
        old="slot.detached = slot.detached or (slot.generation == rec.interrupt.generation and not slot.sent)",
        new="slot.detached = slot.detached or slot.number == max(s.slots)",
    ),
)
def what_waited_behind_is_dropped_too(played: Played) -> None:
    """Of the discarded response nothing took effect; the booking of the next one did."""
    days = [act.args["day"] for act in played.did("effect", "book")]
    must(days == ["Tuesday"], f"booked: {days}")
    must(played.effects("end_call") == 0, "the caller was hung up on")
    for call in ("c0", "c1"):
        text = played.answer(call).text
        must('"superseded"' in text or '"cancelled"' in text, f"{call} was answered: {text}")
    must('"order"' in played.answer("c9").text, f"c9 was answered: {played.answer('c9').text}")


@check(
    "S05.4",
    plays=("read",),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_events.py",
        old="            self.session.discarded(generation)\n",
        new="            pass\n",
    ),
)
def reads_are_kept_to_themselves(played: Played) -> None:
    """The read may end; nobody is told of it, and no reply is asked for because of it."""
    told = [one.text for one in played.telling("9 to 5")]
    must(not told, f"its result was told: {told}")
    played.answer("c1")
    late = played.replies_after(3100)
    must(not late, f"{len(late)} replies were asked for after it had ended")
    must(not played.asked("g2").problems, "the next request is not valid")
