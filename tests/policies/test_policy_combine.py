"""Policies made of policies."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest
from policy_makers import NO_WORDS, ONSET, RETRACTED, ask, call, settled

from toolguard.core.call import ToolCall
from toolguard.core.decision import Decision
from toolguard.core.effect import Effect
from toolguard.core.interrupt import Interrupt
from toolguard.core.law import Phase
from toolguard.core.policy import Policy, name_of
from toolguard.errors import DeclarationError
from toolguard.policies import as_livekit, as_pipecat, by_effect, by_tool, first_of, strictest

WRITE, CHARGE, PAST = (
    call(Effect.MUTATION),
    call(Effect.MUTATION, tool="charge"),
    call(Effect.MUTATION, Phase.COMMITTING, tool="charge"),
)


class Tool(NamedTuple):
    name: str


charge = Tool("charge")


def charges_wait(call: ToolCall, interrupt: Interrupt) -> Decision | None:
    if call.tool == "charge" and interrupt is ONSET:
        return Decision.hold("caller is speaking", at_most=8.0)
    return None


def silent(call: ToolCall, interrupt: Interrupt) -> Decision | None:
    return None


def test_first_of_takes_the_first_opinion() -> None:
    policy = first_of(charges_wait, as_livekit())
    assert ask(policy, CHARGE, ONSET).at_most == 8.0
    assert ask(policy, WRITE, ONSET).run == "go_on"
    assert first_of(silent)(WRITE, ONSET) is None


def test_strictest_takes_the_tightest_and_the_earlier_of_equals() -> None:
    """G4: go on < hold < stop."""
    assert strictest(as_livekit(), by_effect(), silent)(WRITE, ONSET) == by_effect()(WRITE, ONSET)
    assert ask(strictest(by_effect(), as_pipecat(), as_livekit()), WRITE, ONSET).run == "stop"
    assert ask(strictest(charges_wait, by_effect()), CHARGE, ONSET).at_most == 8.0
    assert strictest(silent, silent)(WRITE, ONSET) is None


def test_by_tool_takes_tools_names_policies_and_decisions() -> None:
    policy = by_tool({charge: Decision.hold("money waits", at_most=3)}, otherwise=as_livekit())
    assert ask(policy, CHARGE, ONSET).at_most == 3
    assert ask(policy, WRITE, ONSET).run == "go_on"
    assert ask(by_tool({"charge": as_pipecat()}), CHARGE, ONSET).run == "stop"
    assert by_tool({"charge": as_pipecat()})(WRITE, ONSET) is None
    assert ask(by_tool({"charge": silent}, otherwise=Decision.go_on("x")), CHARGE, ONSET).run == "go_on"


def test_a_bare_hold_leaves_the_settle_to_the_others() -> None:
    """G2: holds end when the words settle; a bare hold does not make them last."""
    policy = by_tool({"charge": Decision.hold()})
    assert ask(policy, CHARGE, settled("hold_on")).run == "hold"
    for after in (RETRACTED, settled("backchannel"), settled("correction"), *NO_WORDS):
        assert policy(CHARGE, after) is None


def test_a_bare_stop_answers_words_but_not_noise() -> None:
    policy = by_tool({"charge": Decision.stop()})
    assert [ask(policy, CHARGE, words).run for words in (ONSET, settled("addition"), settled("unknown"))] == [
        "stop"
    ] * 3
    for after in (RETRACTED, settled("noise"), settled("backchannel"), *NO_WORDS):
        assert policy(CHARGE, after) is None


def test_a_bare_go_on_answers_whatever_is_said() -> None:
    policy = by_tool({"charge": Decision.go_on("never disturbed")})
    assert (
        ask(policy, CHARGE, ONSET).run
        == ask(policy, CHARGE, settled("stop")).run
        == ask(policy, PAST, ONSET).run
        == "go_on"
    )
    assert [policy(CHARGE, interrupt) for interrupt in NO_WORDS] == [None] * len(NO_WORDS)


@pytest.mark.parametrize("decision", [Decision.stop(), Decision.hold()])
def test_l1_a_bare_stop_or_hold_has_no_opinion_past_the_commit(decision: Decision) -> None:
    """L1: so the table still tells the truth and offers the undo."""
    policy = by_tool({"charge": decision}, otherwise=by_effect())
    assert ask(policy, PAST, settled("stop", concerns=frozenset({PAST.ref}))).offer_undo


def test_names_say_how_a_policy_was_made() -> None:
    """The trail shows them."""
    mixed: dict[Tool | str, Policy | Decision] = {charge: Decision.hold(), "book": as_pipecat()}
    whole = first_of(charges_wait, by_tool(mixed), by_effect())
    assert whole.__name__ == "first_of(charges_wait, by_tool(charge: hold, book: as_pipecat), by_effect)"
    assert name_of(strictest(partial(charges_wait), as_livekit())) == "strictest(charges_wait, as_livekit)"
    assert by_tool({}, otherwise=by_effect()).__name__ == "by_tool(otherwise: by_effect)"

    class Mine:
        def __call__(self, call: ToolCall, interrupt: Interrupt) -> Decision | None:
            return None

    assert name_of(Mine()) == "Mine"


@pytest.mark.parametrize("combine", [first_of, strictest])
def test_what_is_no_policy_is_refused_when_it_is_made(combine: Callable[..., object]) -> None:
    with pytest.raises(DeclarationError, match="no policy"):
        combine()
    with pytest.raises(DeclarationError, match="by_effect\\(\\)"):
        combine(by_effect(), Decision.hold())
