"""The law of a run (L1-L5), and that a set of its records has one meaning in whatever order they were admitted."""

from collections import defaultdict
from itertools import permutations, product

import msgspec
import pytest

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.core.law import LAW, Phase, Ruling, RunEvent, rule
from toolguard.core.state import State

E, P = RunEvent, Phase
WRITES = [Effect.IDEMPOTENT_WRITE, Effect.MUTATION]
AS_WRITTEN = """
PLANNED     began->STARTED  commit_began->COMMITTING  failed->FAILED  stopped->CANCELLED  lost->PLANNED  returned->DONE
STARTED     checkpointed->STARTED  commit_began->COMMITTING  returned->DONE  failed->FAILED  stopped->CANCELLED  lost->PLANNED  never_committed->IN_DOUBT
COMMITTING  checkpointed->COMMITTING  returned->DONE  failed->FAILED  lost->IN_DOUBT
IN_DOUBT    returned->DONE  failed->FAILED  commit_began->COMMITTING
"""
UNDER = {
    (P.PLANNED, E.RETURNED): {Effect.READ},
    (P.IN_DOUBT, E.COMMIT_BEGAN): {Effect.IDEMPOTENT_WRITE},
    (P.PLANNED, E.COMMIT_BEGAN): set(WRITES),
    (P.STARTED, E.COMMIT_BEGAN): set(WRITES),
    (P.STARTED, E.NEVER_COMMITTED): set(WRITES),
}


def record(event, attempt=1):
    more = {
        E.CHECKPOINTED: {"progress": msgspec.Raw(b"{}")},
        E.COMMIT_BEGAN: {"key": "k"},
        E.FAILED: {"code": "x"},
        E.STOPPED: {"reason": "x"},
        E.LOST: {"why": "x"},
    }
    kinds = {
        E.BEGAN: r.Began, E.CHECKPOINTED: r.Checkpointed, E.COMMIT_BEGAN: r.CommitBegan, E.RETURNED: r.Returned,
        E.FAILED: r.Failed, E.STOPPED: r.Stopped, E.LOST: r.Lost, E.NEVER_COMMITTED: r.NeverCommitted,
    }  # fmt: skip
    return kinds[event](run=1, attempt=attempt, **more.get(event, {}))


def planned(effect):
    state = State("s")
    state.apply(r.Called(call=1, call_id="c", tool="t", verdict="run", effect=effect, run=1, intent="i"), 0)
    return state


def folded(effect, sequence):
    """The run after these (event, attempt) pairs; None where the law refuses one of them."""
    state = planned(effect)
    for event, attempt in sequence:
        one = record(event, attempt)
        if state.ruling(one)[0] is not Ruling.ADMITTED:
            return None
        state.apply(one, 0)
    return state.runs[1]


def admitted(effect, longest, attempts=(1, 2)):
    """Every sequence of different events that the law admits, up to a length."""
    alphabet = list(product(RunEvent, attempts))
    level = [()]
    for _ in range(longest):
        longer = [(*seq, one) for seq in level for one in alphabet if one not in seq]
        level = [seq for seq in longer if folded(effect, seq) is not None]
        yield from level


def test_l1_the_table_is_the_one_of_the_specification():
    stated = {}
    for line in AS_WRITTEN.strip().splitlines():
        phase, *arrows = line.split()
        for arrow in arrows:
            event, _, after = arrow.partition("->")
            stated[P[phase], E(event)] = P[after]
    assert stated == LAW


@pytest.mark.parametrize(("phase", "event", "effect"), list(product(Phase, RunEvent, Effect)))
def test_l1_what_is_not_in_the_table_is_refused_for_this_effect(phase, event, effect):
    ruling, after = rule(phase, event, effect)
    if (phase, event) in LAW and effect in UNDER.get((phase, event), set(Effect)):
        assert (ruling, after) == (Ruling.ADMITTED, LAW[phase, event])
    else:
        assert ruling is not Ruling.ADMITTED
        assert after is phase


def test_l1_nothing_is_stopped_past_its_commit():
    for phase in (P.COMMITTING, P.IN_DOUBT, P.DONE, P.FAILED):
        assert all(rule(phase, E.STOPPED, effect)[0] is Ruling.EXCLUDED for effect in Effect)


def test_l1_done_failed_and_cancelled_are_final():
    assert {phase for phase in Phase if phase.final} == {P.DONE, P.FAILED, P.CANCELLED}
    assert not [pair for pair in LAW if pair[0].final]


@pytest.mark.parametrize("effect", list(Effect))
def test_l3_stopped_excludes_commit_began_returned_and_failed_and_each_of_them_excludes_stopped(effect):
    others = (E.COMMIT_BEGAN, E.RETURNED, E.FAILED)
    for sequence in admitted(effect, 4, attempts=(1,)):
        events = {event for event, _ in sequence}
        assert not (E.STOPPED in events and events & set(others)), sequence


@pytest.mark.parametrize("effect", list(Effect))
def test_l3_every_order_of_the_same_records_that_is_admitted_ends_in_the_same_phase(effect):
    phases = defaultdict(lambda: defaultdict(list))
    for sequence in admitted(effect, 5):
        phases[frozenset(sequence)][folded(effect, sequence).phase].append(sequence)
    assert len(phases) > 100
    ambiguous = {tuple(orders): orders for orders in phases.values() if len(orders) > 1}
    assert not ambiguous


@pytest.mark.parametrize("effect", list(Effect))
def test_l3_any_permutation_with_the_refused_records_left_out_ends_where_its_admitted_ones_do(effect):
    """State.apply leaves out what the law refuses, and counts it: the phase is that of the records which count."""
    for chosen in product(RunEvent, repeat=3):
        for order in permutations(dict.fromkeys(chosen)):
            state, counted = planned(effect), []
            for event in order:
                one = record(event)
                if state.ruling(one)[0] is Ruling.ADMITTED:
                    counted.append((event, 1))
                state.apply(one, 0)
            assert state.runs[1].phase is folded(effect, counted).phase
            assert state.excluded == len(order) - len(counted)


@pytest.mark.parametrize("effect", WRITES)
@pytest.mark.parametrize("phase_events", [(E.STOPPED,), (E.FAILED,)])
def test_l4_late_evidence_against_a_writes_final_phase_contradicts_it_and_the_phase_stays(effect, phase_events):
    state = planned(effect)
    for event in phase_events:
        state.apply(record(event), 0)
    before = state.runs[1].phase
    assert state.ruling(record(E.RETURNED))[0] is Ruling.CONTRADICTS
    state.apply(r.Contradicted(run=1, result=msgspec.Raw(b'"x"')), 0)
    assert (state.runs[1].phase, state.runs[1].happened) == (before, True)


def test_l4_a_result_that_lands_behind_a_final_phase_counts_as_a_contradiction():
    """Probed as not having happened while its process was stopped; that one wakes up, acts, and writes what it knows."""
    state = planned(Effect.MUTATION)
    lost, failed = r.Lost(run=1, attempt=1, why="dead"), r.Failed(run=1, attempt=1, code="x", source="probe")
    for one in (r.Began(run=1), r.CommitBegan(run=1, key="k"), lost, failed):
        state.apply(one, 0)
    state.apply(r.Returned(run=1, result=msgspec.Raw(b'"late"')), 0)
    run = state.runs[1]
    assert (run.phase, run.contradicted, run.happened, run.result) == (P.FAILED, True, True, b'"late"')
    assert state.owed == {1}


def test_l4_late_evidence_never_contradicts_a_read():
    assert rule(P.CANCELLED, E.RETURNED, Effect.READ)[0] is Ruling.EXCLUDED


@pytest.mark.parametrize("effect", list(Effect))
def test_l4_a_return_after_it_was_given_up_makes_it_done(effect):
    begins = [(E.BEGAN, 1)] if effect is Effect.READ else [(E.COMMIT_BEGAN, 1)]
    assert folded(effect, [*begins, (E.LOST, 1), (E.RETURNED, 1)]).phase is P.DONE


@pytest.mark.parametrize("effect", WRITES)
@pytest.mark.parametrize("second", [E.RETURNED, E.FAILED, E.LOST, E.STOPPED, E.NEVER_COMMITTED])
@pytest.mark.parametrize("first", [E.RETURNED, E.FAILED])
def test_l4_the_first_evidence_wins(effect, first, second):
    run = folded(effect, [(E.COMMIT_BEGAN, 1), (E.LOST, 1), (first, 1)])
    state = planned(effect)
    for event in (E.COMMIT_BEGAN, E.LOST, first, second):
        state.apply(record(event), 0)
    assert state.runs[1].phase is run.phase


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("event", [E.BEGAN, E.CHECKPOINTED, E.COMMIT_BEGAN])
def test_l5_an_attempt_that_was_given_up_cannot_go_on(effect, event):
    """began, lost, commit_began of the same attempt: the stale body must not commit."""
    state = planned(effect)
    state.apply(record(E.BEGAN, 1), 0)
    state.apply(record(E.LOST, 1), 0)
    assert state.ruling(record(event, 1))[0] is Ruling.EXCLUDED


@pytest.mark.parametrize("effect", WRITES)
def test_l5_an_older_attempt_cannot_commit_while_a_newer_one_runs(effect):
    state = planned(effect)
    for event, attempt in ((E.BEGAN, 1), (E.LOST, 1), (E.BEGAN, 2)):
        state.apply(record(event, attempt), 0)
    assert state.ruling(record(E.COMMIT_BEGAN, 1))[0] is Ruling.EXCLUDED
    assert state.ruling(record(E.COMMIT_BEGAN, 2))[0] is Ruling.ADMITTED


def test_l5_a_mutation_commits_at_most_once_whatever_is_admitted():
    for sequence in admitted(Effect.MUTATION, 5):
        assert sum(event is E.COMMIT_BEGAN for event, _ in sequence) <= 1, sequence


def test_l5_an_idempotent_write_in_doubt_may_commit_again():
    again = [(E.COMMIT_BEGAN, 1), (E.LOST, 1), (E.COMMIT_BEGAN, 2)]
    assert folded(Effect.IDEMPOTENT_WRITE, again).phase is P.COMMITTING
    assert folded(Effect.MUTATION, again) is None


def test_d3_a_run_in_doubt_is_settled_by_evidence_alone():
    leaving = {event for phase, event in LAW if phase is P.IN_DOUBT}
    assert leaving == {E.RETURNED, E.FAILED, E.COMMIT_BEGAN}


def test_a_record_of_a_run_that_nobody_planned_counts_for_nothing():
    state = State("s")
    state.apply(record(E.RETURNED), 0)
    assert (state.runs, state.excluded) == ({}, 1)
