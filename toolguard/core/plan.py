"""What a new owner does with each run that was left open: a pure function of the state and some facts (H4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from toolguard.core.effect import Effect
from toolguard.core.holding import held_runs
from toolguard.core.law import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.slots import Run
    from toolguard.core.state import State

Act = Literal["run_again", "resume", "run_again_same_key", "probe", "in_doubt", "stop", "follow"]
"""What is done with one run; ``follow`` leaves a committing run to the living process that is at it (H1)."""
STOPPING = frozenset({"correction", "cancellation", "stop", "hold_on", "unknown"})
"""Words after which an uncommitted write does not go on (G4)."""


class ToolFacts(NamedTuple):
    """What the new owner knows of a run's tool.

    Attributes:
        version: The tool's version here.
        probed: It has a probe.
        misfit: Why the run's arguments do not fit the tool any more; empty where they do.
    """

    version: str
    probed: bool = False
    misfit: str = ""


class Circumstances(NamedTuple):
    """What the plan depends on beside the session's state.

    Attributes:
        facts: Tells about the tool of a run; None where this process has none of that name.
        lives: Whether a process is alive.
        gap: Seconds since the session's last record, never negative (T5).
        window: The resume window in seconds (H5).
        doubtful: The store may have lost acknowledged records of the session.
        sweep: Nobody is to go on with the session: it is put away.
        watching: Observe mode: nothing is resumed.
    """

    facts: Callable[[Run], ToolFacts | None]
    lives: Callable[[str], bool]
    gap: float
    window: float
    doubtful: bool = False
    sweep: bool = False
    watching: bool = False


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with one run, and why.

    Attributes:
        ref: The call that the run was made for.
        run: The run's number.
        tool: The tool's name.
        effect: What the tool does to the world.
        phase: Where the run stands in the journal.
        act: What is done.
        why: One sentence.
        presumed: Its commit record may be missing: it counts as committed.
        anew: It starts over, without the progress that an earlier version of the tool has kept.
        held: It waits at its gate until the caller was heard (G3).
    """

    ref: str
    run: int
    tool: str
    effect: str
    phase: str
    act: Act
    why: str
    presumed: bool = False
    anew: bool = False
    held: bool = False


class RecoveryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What ``guard.recover`` would do with a session; made without touching it.

    Attributes:
        session: The session's id.
        tenant: Its tenant.
        agent: The agent that has the conversation.
        owner: The process that owns it, empty where it was left.
        owner_lives: Whether that process is alive.
        epoch: The epoch at which the session stands; carrying the plan out needs it to stand there still.
        state: ``open`` or ``closed``.
        at: When the plan was made, in wall nanoseconds.
        gap_ms: How long ago its last record was written.
        steps: What is done with each open run, and with each run in doubt.
    """

    session: str
    tenant: str
    agent: str
    owner: str
    owner_lives: bool
    epoch: int
    state: str
    at: int
    gap_ms: float
    steps: tuple[PlannedStep, ...] = ()


class RecoveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery found and did; all but ``session`` is in the journal's ``recovered`` record too.

    Attributes:
        session: The session's id.
        cause: Why it had to be recovered.
        gap_ms: How long nobody had it.
        epoch_before: The epoch of its previous owner.
        epoch: Its epoch now.
        previous_owner: The process that had it; empty where it was left.
        resumed: Refs of calls whose runs went on or ran again.
        in_doubt: Refs of calls of which nobody knew whether they had happened.
        probed: Those of them whose tool's probe is asked.
        stopped: Refs of calls that were stopped before their effect.
        followed: Refs of calls that another living process is committing: its evidence will tell.
        calls_carried: How many calls go on, are in doubt, or are followed.
        context_replayed: How many items of the conversation were shown to the model again.
        owed: Refs of calls whose output, or news of it, nobody has been given yet.
    """

    session: str
    cause: str
    gap_ms: float = 0.0
    epoch_before: int = 0
    epoch: int = 0
    previous_owner: str = ""
    resumed: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
    probed: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    followed: tuple[str, ...] = ()
    calls_carried: int = 0
    context_replayed: int = 0
    owed: tuple[str, ...] = ()


def plan(state: State, given: Circumstances) -> tuple[PlannedStep, ...]:
    """Say what is to be done with each open run and each run in doubt, in the order of their numbers."""
    held = held_runs(state)
    found = (state.runs[number] for number in sorted(state.open_runs | state.doubtful))
    return tuple(step_of(state, run, given, held=run.number in held) for run in found)


def step_of(state: State, run: Run, given: Circumstances, *, held: bool = False) -> PlannedStep:
    """Say what is to be done with one run."""
    facts = given.facts(run)
    presumed = given.doubtful and run.effect is Effect.MUTATION and run.phase.uncommitted
    if run.phase is Phase.COMMITTING and run.process and given.lives(run.process):
        act: Act = "follow"
        why = f"process {run.process} is alive and past its commit: what it finds out is told here"
    elif presumed or not run.phase.uncommitted:
        act, why = _in_doubt(state, run, facts, given)
        if presumed:
            why = f"the store may have lost its commit record; {why}"
    else:
        act, why = _uncommitted(state, run, facts, given)
    goes_on = act in {"run_again", "resume", "run_again_same_key"}
    anew = goes_on and facts is not None and bool(run.version) and run.version != facts.version
    if anew and (run.progress or run.memos):
        why = f"{why}; the tool's code changed, so it starts over"
    held = held and act == "resume"
    if held:
        why = f"{why}, once the caller was heard"
    return PlannedStep(
        ref=state.run_ref(run),
        run=run.number,
        tool=run.tool,
        effect=run.effect.value,
        phase=run.phase.value,
        act=act,
        why=why,
        presumed=presumed,
        anew=anew,
        held=held,
    )


def _in_doubt(state: State, run: Run, facts: ToolFacts | None, given: Circumstances) -> tuple[Act, str]:
    """It may have happened: only an idempotent write that nobody took back runs again (D2), a probe may know (D1)."""
    if facts is None:
        return "in_doubt", f"there is no tool named {run.tool} in this process: a person has to find out"
    if facts.misfit:
        return "in_doubt", f"its arguments no longer fit ({facts.misfit}): a person has to find out"
    if given.watching:
        return "in_doubt", "observe mode asks nobody"
    if repeatable(state, run) and not given.sweep and not run.parent:
        return "run_again_same_key", "it may have happened, and the same key makes it one"
    if facts.probed:
        return "probe", "it may have happened: its probe is asked"
    return "in_doubt", "it may have happened and it has no probe: a person has to find out"


def repeatable(state: State, run: Run) -> bool:
    """Whether an idempotent write in doubt may run again: nothing newer has begun, nobody took it back (D2)."""
    newest = state.newest.get(run.intent) == run.number
    return run.effect is Effect.IDEMPOTENT_WRITE and newest and not run.concerned


def _uncommitted(state: State, run: Run, facts: ToolFacts | None, given: Circumstances) -> tuple[Act, str]:
    """It has not happened: it goes on, unless it cannot, or nobody wants it any more (H4, H5, G4)."""
    against = _against(state, run, facts, given)
    if against:
        return "stop", against
    if not run.effect.writes:
        return "run_again", "a read runs again"
    return "resume", "it goes on from its checkpoint" if run.progress or run.memos else "it had not been committed"


def _against(state: State, run: Run, facts: ToolFacts | None, given: Circumstances) -> str:
    """Why an uncommitted run does not go on; empty where it does."""
    late = given.sweep or (run.effect.writes and given.gap > given.window)
    unwanted = run.effect.writes and (bool(run.stopping) or state.undecided in STOPPING)
    reasons = (
        (facts is None, f"there is no tool named {run.tool} in this process"),
        (bool(run.parent), "the call that made it begins anew"),
        (facts is not None and bool(facts.misfit), f"its arguments no longer fit: {facts.misfit if facts else ''}"),
        (given.watching, "observe mode resumes nothing"),
        (unwanted and not given.sweep, run.stopping or "the caller changed course"),
        (late, "the resume window is over"),
    )
    return next((why for holds, why in reasons if holds), "")
