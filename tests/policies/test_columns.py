"""What an interrupt means for one call (G4)."""

from itertools import product
from typing import get_args

import pytest
from policy_makers import ALL_CALLS, ALL_INTERRUPTS, ONSET, RETRACTED, call, settled

from toolguard.core.effect import Effect
from toolguard.core.interrupt import BargeIn, Kind
from toolguard.core.law import Phase
from toolguard.policies import TABLE, Column, Row, column, row

READ = call(Effect.READ)
WRITE = call(Effect.MUTATION)
NOTE = call(Effect.IDEMPOTENT_WRITE, Phase.PLANNED)
COMMITTING = call(Effect.MUTATION, Phase.COMMITTING)
DONE = call(Effect.MUTATION, Phase.DONE)
OTHERS = frozenset({"conv-1/9"})
ME = frozenset({"conv-1/1"})


@pytest.mark.parametrize(
    ("kind", "expected"), [("correction", "correction"), ("cancellation", "cancellation"), ("stop", "cancellation")]
)
def test_g4_a_correction_that_names_no_call_concerns_every_uncommitted_write(kind: Kind, expected: str) -> None:
    """G4: and nothing else: for reads and for what has committed it is an addition."""
    assert [column(settled(kind), one) for one in (WRITE, NOTE)] == [expected] * 2
    assert [column(settled(kind), one) for one in (READ, COMMITTING, DONE)] == ["addition"] * 3


@pytest.mark.parametrize("kind", ["correction", "cancellation", "stop"])
def test_g4_a_correction_concerns_the_calls_that_it_names(kind: Kind) -> None:
    """G4: a call that is not among those named is not touched."""
    for one in (READ, WRITE, NOTE, COMMITTING, DONE):
        assert column(settled(kind, concerns=OTHERS), one) == "addition"
        assert column(settled(kind, concerns=OTHERS | ME), one) in {"correction", "cancellation"}


@pytest.mark.parametrize(
    "words",
    [
        settled("unknown"),
        settled(None),
        settled("backchannel", confidence=0.49),
        settled("addition", confidence=0.1),
        settled("hold_on", confidence=0.1),
        settled("noise", confidence=0.0),
    ],
)
def test_g4_unsure_words_are_a_correction_for_an_uncommitted_write_alone(words: BargeIn) -> None:
    """G4: stop and ask where it can still be stopped; an addition for everything else."""
    assert [column(words, one) for one in (WRITE, NOTE)] == ["correction"] * 2
    assert [column(words, one) for one in (READ, COMMITTING, DONE)] == ["addition"] * 3


def test_g4_hold_on_keeps_the_hold() -> None:
    """G4: "hold on" is a class of its own, whatever else it may concern."""
    assert column(settled("hold_on"), WRITE) == "hold_on"
    assert column(settled("hold_on", concerns=OTHERS), WRITE) == "hold_on"


def test_a_retracted_onset_is_noise() -> None:
    assert column(RETRACTED, WRITE) == "noise"


def test_an_onset_is_an_onset_even_if_a_kind_is_guessed() -> None:
    assert column(ONSET, READ) == "onset"
    guessed = settled("backchannel")
    assert column(type(guessed)(stage="onset", at=guessed.at, kind="backchannel"), WRITE) == "onset"


def test_every_pair_has_a_cell_and_every_cell_a_pair() -> None:
    """The table is total over rows and columns, and every column can be reached."""
    assert set(TABLE) == set(product(get_args(Row), get_args(Column)))
    assert {(row(one), column(i, one)) for one, i in product(ALL_CALLS, ALL_INTERRUPTS)} == set(TABLE) | set()
