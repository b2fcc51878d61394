"""Policies that differ from the default: other frameworks' ways and a moment of grace."""

from itertools import product

import pytest
from policy_makers import ALL_CALLS, NO_WORDS, ONSET, RETRACTED, ask, call, settled

from toolguard.core.call import ToolCall
from toolguard.core.effect import Effect
from toolguard.core.interrupt import BargeIn, Discarded, HandedOff
from toolguard.core.law import Phase
from toolguard.core.policy import Policy
from toolguard.errors import DeclarationError
from toolguard.policies import as_inworld, as_livekit, as_pipecat, by_effect, grace

READ, WRITE, NOTE = call(Effect.READ), call(Effect.MUTATION), call(Effect.IDEMPOTENT_WRITE, Phase.PLANNED)
SPOKEN = [ONSET, *(settled(kind) for kind in ("addition", "other_topic", "answer", "correction", "hold_on", "stop"))]
CONTRADICTED = settled("correction", concerns=frozenset({"conv-1/1"}))


@pytest.mark.parametrize("words", SPOKEN)
@pytest.mark.parametrize("one", [READ, WRITE, NOTE])
def test_as_pipecat_stops_whatever_can_be_stopped(words: BargeIn, one: ToolCall) -> None:
    assert ask(as_pipecat(), one, words).run == "stop"


@pytest.mark.parametrize("words", [*SPOKEN, CONTRADICTED])
@pytest.mark.parametrize("one", [READ, WRITE, NOTE])
def test_as_livekit_finishes_whatever_has_begun(words: BargeIn, one: ToolCall) -> None:
    assert ask(as_livekit(), one, words).run == "go_on"


def test_g1_as_livekit_still_stops_a_write_of_a_discarded_response() -> None:
    """G1: the gate never opens for it, so it must not wait for ever."""
    assert ask(as_livekit(), WRITE, Discarded(at=ONSET.at)).run == "stop"


def test_as_inworld_completes_reads_and_cancels_contradicted_writes() -> None:
    assert ask(as_inworld(), READ, CONTRADICTED).run == "go_on"
    assert ask(as_inworld(), WRITE, CONTRADICTED).run == "stop"
    assert ask(as_inworld(), WRITE, settled("addition")).run == "go_on"
    assert ask(as_inworld(), WRITE, ONSET).run == "hold"


@pytest.mark.parametrize("policy", [as_pipecat(), as_livekit(), as_inworld(), grace(2)])
def test_hand_off_noise_and_shutdown_are_decided_as_by_default(policy: Policy) -> None:
    rest = [i for i in NO_WORDS if isinstance(i, HandedOff)] + [NO_WORDS[-1], RETRACTED, settled("backchannel")]
    for one, interrupt in product(ALL_CALLS, rest):
        assert policy(one, interrupt) == by_effect()(one, interrupt)


def test_g3_grace_bounds_the_hold_without_words() -> None:
    """G3: the hold of an onset and of "hold on" carries the limit."""
    for words in (ONSET, settled("hold_on")):
        made = ask(grace(2.5), WRITE, words)
        assert (made.run, made.at_most) == ("hold", 2.5)
        assert ask(grace(2.5), READ, words).run == "go_on"


def test_grace_goes_on_where_no_objection_is_clear() -> None:
    """Unlike the default, words that the listener is not sure of release the write; a clear correction stops it."""
    for unclear in (settled("unknown"), settled(None), settled("correction", confidence=0.3)):
        assert ask(grace(1), WRITE, unclear).run == "go_on"
        assert ask(by_effect(), WRITE, unclear).run == "stop"
    assert ask(grace(1), WRITE, settled("correction")).run == "stop"
    assert ask(grace(1), WRITE, settled("stop")).run == "stop"


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_grace_needs_time(seconds: float) -> None:
    with pytest.raises(DeclarationError, match="above zero"):
        grace(seconds)
