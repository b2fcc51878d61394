"""The default policy, cell by cell, against a grid written by hand."""

from itertools import product

import pytest
from policy_makers import ALL_CALLS, ALL_INTERRUPTS, NOW, ONSET, RETRACTED, ask, call, settled

from toolguard.core.decision import Decision
from toolguard.core.effect import Effect
from toolguard.core.interrupt import Discarded, Dropped, Ended, HandedOff, Interrupt
from toolguard.core.law import Phase
from toolguard.core.policy import Policy
from toolguard.policies import TABLE, as_inworld, as_livekit, as_markdown, as_pipecat, by_effect, grace

ME = frozenset({"conv-1/1"})
INTERRUPTS: dict[str, Interrupt] = {
    "onset": ONSET,
    "hold_on": settled("hold_on"),
    "noise": settled("noise"),
    "retracted": RETRACTED,
    "backchannel": settled("backchannel"),
    "addition": settled("addition"),
    "other_topic": settled("other_topic"),
    "answer": settled("answer"),
    "correction": settled("correction", concerns=ME),
    "cancellation": settled("cancellation", concerns=ME),
    "stop": settled("stop", concerns=ME),
    "discarded": Discarded(at=NOW),
    "hand_off": HandedOff(at=NOW, to="billing"),
    "provider_drop": Dropped(at=NOW, who="provider"),
    "caller_drop": Dropped(at=NOW, who="caller"),
    "hang_up": Ended(at=NOW, why="hang_up"),
    "shutdown": Ended(at=NOW, why="shutdown"),
}
# Columns: a read; a write that has not committed; a write past its commit.
# "idle" announces when idle, "silent" not at all, "undo" offers the undo.
GRID = """
onset          go_on          hold    go_on
hold_on        go_on          hold    go_on
noise          go_on          go_on   go_on
retracted      go_on          go_on   go_on
backchannel    go_on          go_on   go_on
addition       go_on,idle     go_on   go_on
other_topic    go_on,idle     go_on   go_on
answer         go_on,idle     go_on   go_on
correction     stop           stop    go_on,undo
cancellation   stop           stop    go_on,undo
stop           stop           stop    go_on,undo
discarded      go_on,silent   stop    go_on
hand_off       go_on          go_on   go_on
provider_drop  go_on          go_on   go_on
caller_drop    go_on          hold    go_on
hang_up        go_on,silent   stop    go_on
shutdown       go_on          hold    go_on
"""
CALLS = {
    0: [call(Effect.READ, phase) for phase in Phase],
    1: [
        call(effect, phase)
        for effect, phase in product((Effect.IDEMPOTENT_WRITE, Effect.MUTATION), (Phase.PLANNED, Phase.STARTED))
    ],
    2: [
        call(effect, phase)
        for effect, phase in product(
            (Effect.IDEMPOTENT_WRITE, Effect.MUTATION), (Phase.COMMITTING, Phase.IN_DOUBT, Phase.DONE)
        )
    ],
}
CELLS = [(line.split()[0], row, line.split()[row + 1]) for line in GRID.strip().splitlines() for row in (0, 1, 2)]


def _short(decision: Decision | None) -> str:
    assert decision is not None
    announce = {None: "", "when_idle": ",idle", "silent": ",silent", "at_once": ",at_once"}[decision.announce]
    return decision.run + announce + (",undo" if decision.offer_undo else "")


def test_the_grid_names_every_interrupt() -> None:
    assert [cell[0] for cell in CELLS[::3]] == list(INTERRUPTS)


@pytest.mark.parametrize(("interrupt", "row", "expected"), CELLS)
def test_g4_every_cell_of_the_default_table(interrupt: str, row: int, expected: str) -> None:
    """G4: the default table decides each kind of run under each interrupt as written here."""
    for one in CALLS[row]:
        assert _short(by_effect()(one, INTERRUPTS[interrupt])) == expected


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED])
@pytest.mark.parametrize("interrupt", list(INTERRUPTS))
def test_a_write_that_ended_without_effect_is_left_alone(phase: Phase, interrupt: str) -> None:
    """No undo is offered for, and nothing is stopped in, a write that never happened."""
    assert _short(by_effect()(call(Effect.MUTATION, phase), INTERRUPTS[interrupt])) == "go_on"


@pytest.mark.parametrize(
    "policy", [by_effect(), as_pipecat(), as_livekit(), as_inworld(), grace(2)], ids=lambda policy: policy.__name__
)
def test_a_whole_table_has_an_opinion_with_a_reason_on_everything(policy: Policy) -> None:
    """Effect x phase x interrupt: a decision with a reason, the same one each time it is asked."""
    for one, interrupt in product(ALL_CALLS, ALL_INTERRUPTS):
        made = policy(one, interrupt)
        assert isinstance(made, Decision)
        assert len(made.reason) > 10
        assert policy(one, interrupt) == made


@pytest.mark.parametrize("policy", [by_effect(), as_pipecat(), as_livekit(), as_inworld(), grace(2)])
def test_l1_nothing_past_its_commit_is_stopped_or_held(policy: Policy) -> None:
    """L1: there is no stop under COMMITTING; no table of ours asks for one."""
    for one, interrupt in product(ALL_CALLS, ALL_INTERRUPTS):
        if one.effect.writes and one.committed:
            assert ask(policy, one, interrupt).run == "go_on"


def test_the_printed_table_is_the_one_of_the_semantics() -> None:
    """The README's table comes from the data that decides."""
    assert as_markdown() == as_markdown(TABLE)
    read, write, committing = as_markdown().splitlines()[2:]
    assert read == (
        "| read | go on | go on | go on, announce when idle | stop, say so | go on, keep, do not announce | carry "
        "| go on, outputs wait | go on | finish in the drain window, file | lost (resumable) |"
    )
    assert write == (
        "| write, not committed | hold | release | release | stop: no effect | stop: no effect | carry with its hold "
        "| go on to the gate | gate shut until back or resume window (60 s) ends, then stop | stop: no effect "
        "| lost (resumable) |"
    )
    assert committing == (
        "| committing | go on | go on | go on | go on; tell the truth, offer undo | go on; told "
        "| same process: carry; other: finish, evidence follows | go on | go on "
        "| finish in the drain window, else lost | finish in the drain window, else lost |"
    )


def test_the_printed_words_and_the_decisions_agree() -> None:
    """A cell that reads stop stops, one that reads hold or shut holds."""
    first_words = {"stop": "stop", "hold": "hold", "gate": "hold"}
    for (row, column), cell in TABLE.items():
        word = cell.shown.split()[0].strip(":,;")
        expected = first_words.get(word, "go_on")
        if (row, column) == ("uncommitted_write", "shutdown"):
            expected = "hold"  # it must not pass the gate on the way down
        assert cell.decision.run == expected, (row, column)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TABLE["read", "onset"] = TABLE["read", "noise"]  # type: ignore[index]
