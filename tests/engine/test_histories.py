"""Histories on a virtual clock: every short one, and many long ones drawn with a seed that is printed.

A history is a sequence of moves of two calls of two effects: P planned, G the body goes to its gate, O an onset, S:kind
words that settle it, X a cancel request of the framework, R returned, E raised, T the time limit passes, L the hard
limit passes (lost), K the process dies and another one goes on. What must hold after each of them stands in
``histories.History``: every slot closed exactly once; nothing that acted is cancelled or failed; no write that did not
act is done; a mutation's occurrence acts at most once, and one intent once unless the caller said something between;
the journal, folded again, gives the same state.
"""

import os
import random
from itertools import combinations_with_replacement, islice, product

import pytest
from histories import EFFECTS, ONE, RELATIONS, TWO, play

SEED = int(os.environ.get("TOOLGUARD_SEED", "20260101"))
DRAWS = int(os.environ.get("TOOLGUARD_DRAWS", "250"))
WRITES = EFFECTS[1:]
CORE = ("G1", "O", "S:noise", "S:correction", "S:hold_on", "S:unknown", "X1", "R1", "E1", "T", "L")
"""One move of each class: words that are decided alike are drawn, not enumerated."""


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_history_of_one_call_and_two_more_moves_of_any_kind(effect):
    histories = [(("P1", *moves), (effect, effect), "other") for moves in product(ONE, repeat=2)]
    assert play(histories) == len(ONE) ** 2


@pytest.mark.parametrize("first", CORE)
@pytest.mark.parametrize("effect", WRITES)
def test_every_history_of_one_write_and_three_more_moves(effect, first):
    histories = [(("P1", first, *moves), (effect, effect), "other") for moves in product(CORE, repeat=2)]
    assert play(histories) == len(CORE) ** 2


@pytest.mark.parametrize("kind", ["noise", "backchannel", "correction", "cancellation", "hold_on", "unknown"])
def test_every_history_of_a_write_held_by_an_onset_that_settles(kind):
    """Planned while somebody speaks or before; the words settle; then one more of every move."""
    begun = [("P1", "G1", "O"), ("O", "P1", "G1"), ("P1", "O", "G1")]
    histories = [
        ((*start, f"S:{kind}", move), (effect, effect), "other") for start in begun for effect in WRITES for move in ONE
    ]
    assert play(histories) == len(histories)


@pytest.mark.parametrize("effects", list(combinations_with_replacement(EFFECTS, 2)), ids="+".join)
def test_every_history_of_two_calls_of_each_effect_and_one_more_move(effects):
    """In both orders of planning, and with an onset before, between and after."""
    begun = [
        ("P1", "P2"), ("P2", "P1"), ("O", "P1", "P2"), ("P1", "O", "P2"), ("P1", "P2", "O"), ("P1", "G1", "P2", "O"),
        ("P1", "R1", "P2"), ("P1", "E1", "P2"),
    ]  # fmt: skip
    histories = [((*start, move), effects, "other") for start in begun for move in TWO]
    assert play(histories) == len(histories)


@pytest.mark.parametrize("relation", ["same", "differs"])
@pytest.mark.parametrize("effect", EFFECTS)
def test_every_history_of_a_call_that_comes_again_after_two_moves(effect, relation):
    histories = [(("P1", *moves, "P2"), (effect, effect), relation) for moves in product(CORE, repeat=2)]
    assert play(histories) == len(CORE) ** 2


def draw(rng, extra=()):
    """A history of up to a dozen moves."""
    moves = ["P1", "P2", *(rng.choice((*TWO, *extra)) for _ in range(rng.randint(3, 8)))]
    if rng.random() < 0.5:
        rng.shuffle(moves)
    if rng.random() < 0.4:
        moves.insert(rng.randint(0, 2), "O")
    return tuple(moves), (rng.choice(EFFECTS), rng.choice(EFFECTS)), rng.choice(RELATIONS)


def drawn(chunk, extra=()):
    seed = SEED + chunk
    print(f"TOOLGUARD_SEED={SEED} chunk={chunk}: {DRAWS} histories drawn with seed {seed}")
    rng = random.Random(seed)
    return islice(iter(lambda: draw(rng, extra), None), DRAWS)


@pytest.mark.parametrize("chunk", range(8))
def test_long_histories_of_two_calls(chunk):
    assert play(drawn(chunk)) == DRAWS


@pytest.mark.parametrize("chunk", range(100, 106))
def test_long_histories_with_processes_that_die(chunk):
    assert play(drawn(chunk, ("K", "K"))) == DRAWS


SHORTEST = {
    "a hold without words is released as noise and not stopped": (("P1", "G1", "O", "T"), ("inside",), "other"),
    "noise after hold on opened the gate": (("P1", "G1", "O", "S:hold_on", "O", "S:noise"), ("inside",), "other"),
    "a takeover made the next call of an intent collide with its claim": (
        ("P1", "E1", "K", "P2"),
        ("idem",),
        "differs",
    ),
}


@pytest.mark.parametrize("name", SHORTEST)
def test_histories_that_once_broke_something(name):
    moves, effects, relation = SHORTEST[name]
    assert play([(moves, (*effects, *effects), relation)]) == 1
