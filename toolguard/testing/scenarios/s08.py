"""S08: a result is ready while a response is active or the caller speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.realtime import Line
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_RETURNS = 1300
_AT_ONCE = 50
_LISTENING = {"type": "server_vad", "create_response": True, "interrupt_response": False}


def _no_caller(script: Script) -> Script:
    return script.without(lambda step: step.who == "caller")


@variant("S08", "talks_on", needs=("fixed_speech",))
def _talks_on(script: Script) -> Script:
    """The platform does not stop its response for the caller."""
    return script.but(session={"audio": {"input": {"turn_detection": _LISTENING}}})


@variant("S08", "races", needs=("refused_replies",))
def _races(script: Script) -> Script:
    """The platform has begun a response, and word of it has not arrived when the result is ready."""

    def late(line: Line) -> None:
        line.delay("response.created", 0.4, times=1, where=lambda _event: bool(line.responses))

    return _no_caller(script).with_step("provider.begins_response", at=1290).prepared(late)


@variant("S08", "two_results")
def _two_results(script: Script) -> Script:
    """Two reads of one response end while another response is active."""
    second = Step(at=0, who="model", does="calls", call="c2", tool="lookup", args={"city": "Goa"}, generation="g1")
    done = Step(at=1400, who="tool", does="returns", call="c2", value=2)
    both = _no_caller(script).with_tool("lookup", takes={"city": "string"})
    return both.with_step("model.calls", args={"city": "Pune"}).with_steps(second, done)


@variant("S08", "two_responses")
def _two_responses(script: Script) -> Script:
    """The same for reads that two responses have asked for."""
    return _two_results(script).with_step("model.calls", call="c2", at=600, generation="g2")


def _seen(played: Played, calls: tuple[str, ...]) -> list[float]:
    """When replies began that saw all these outputs."""
    shown = [(one.at, {item.call for item in one.items if item.kind == "output"}) for one in played.replies_after(0)]
    return [at for at, outputs in shown if outputs >= set(calls)]


@check(
    "S08.1",
    plays=("main", "talks_on", "races", "two_results"),
    saboteur=Saboteur(
        "toolguard/engine/delivery.py",
        old="if self.port is None or self._pumping or self.floor.away or self._ledger.fenced:",
        new="if self.port is None or self._pumping or not self.floor.free or self._ledger.fenced:",
    ),
)
def the_output_leaves_at_once(played: Played) -> None:
    """The server has it as soon as the read has ended, whoever speaks."""
    late = played.answer("c1").at - played.did("returned", "lookup")[0].at
    must(late <= _AT_ONCE, f"the output left {late:.0f} ms after the read had ended")
    must(not played.problems, f"the conversation is not valid: {played.problems}")


@check(
    "S08.2",
    plays=("main", "talks_on", "two_results"),
    saboteur=Saboteur(
        "toolguard/engine/floor.py",
        old="return not (self.speaking or self.active",
        new="return not (self.active",
    ),
)
def a_reply_is_asked_for_once_and_in_turn(played: Played) -> None:
    """No request while a response is active or the caller speaks; exactly one reply sees the result first."""
    refused = [one.at for one in played.requests if not one.accepted]
    must(not refused, f"replies were asked for while one was active, at {refused} ms")
    over = [one.at for one in played.requests if one.speaking]
    must(not over, f"replies were asked for while the caller spoke, at {over} ms")
    beside = [one.at for one in played.replies_after(0) if any(r.began < one.at < r.ended for r in played.responses)]
    must(not beside, f"replies were begun beside another response, at {beside} ms")
    seen = _seen(played, ("c1",))
    must(len(seen) == 1, f"{len(seen)} replies were begun that saw the result, at {seen} ms")


@check(
    "S08.3",
    plays=("races",),
    saboteur=Saboteur(
        "toolguard/engine/replies.py",
        old="        self._w.delivery.reply_refused()\n",
        new="        pass\n",
    ),
)
def being_refused_ends_nothing(played: Played) -> None:
    """One refusal; when the other response is over the reply comes, and the next turn is heard."""
    refused = [one.at for one in played.requests if not one.accepted]
    must(len(refused) == 1, f"replies were refused at {refused} ms, not once")
    ended = next(one.ended for one in played.responses if one.generation == "r2")
    seen = _seen(played, ("c1",))
    must(len(seen) == 1, f"{len(seen)} replies were begun that saw the result, at {seen} ms")
    must(ended <= seen[0] <= ended + _AT_ONCE, f"the reply began at {seen[0]:.0f} ms, r2 ended at {ended:.0f} ms")
    must(not played.faults, f"unseen faults: {played.faults}")


@check(
    "S08.4",
    plays=("two_results", "two_responses"),
    saboteur=Saboteur(
        "toolguard/engine/wants.py",
        old="        self._covered = self.version\n        self._batches.clear()",
        new="        self._covered += 1\n        self._batches.clear()",
    ),
)
def two_results_make_one_reply(played: Played) -> None:
    """One reply after both, which sees both."""
    seen = _seen(played, ("c1", "c2"))
    must(len(seen) == 1, f"{len(seen)} replies were begun that saw both results, at {seen} ms")
    after = [one.at for one in played.replies_after(_RETURNS)]
    must(after == seen, f"replies were begun at {after} ms")
    must(not any(not one.accepted for one in played.requests), "a reply was asked for while one was active")
