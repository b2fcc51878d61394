"""S22: the caller hangs up, or the session is torn down, during a mutation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.core.decision import Decision
from toolguard.core.interrupt import Ended
from toolguard.engine.limits import Limits
from toolguard.testing.scenarios.beside import log
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.core.call import ToolCall
    from toolguard.core.interrupt import Interrupt
    from toolguard.core.unheard import Unheard
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_LEAVES, _EARLY, _ENDS = 700.0, 300.0, 2000.0
_DRAIN = 3.0
_SLACK = 50.0
_ALL = ("main", "followed", "early", "too_slow", "torn_down", "insisting", "talking")
_PHASES = {"early": "cancelled", "too_slow": "in_doubt"}
"""How c1 ends where it does not end with its result."""


class FollowUp:
    """The application's hook, which would send the caller a message.

    Attributes:
        told: What it was called with.
    """

    def __init__(self) -> None:
        self.told: list[tuple[str, list[Unheard]]] = []

    async def __call__(self, session: str, unheard: list[Unheard]) -> None:
        """Note it, as slowly as a message is sent."""
        await asyncio.sleep(0.2)
        self.told.append((session, unheard))


def _listening(script: Script) -> Script:
    """Somebody reads the log, and somebody wants to hear how it ended."""
    return script.but(beside=(log,), guard={"follow_up": FollowUp()})


@variant("S22", "followed")
def _followed(script: Script) -> Script:
    return _listening(script)


@variant("S22", "early")
def _early(script: Script) -> Script:
    """The caller leaves before the booking's point of no return."""
    return _listening(script).with_step("caller.leaves", at=_EARLY)


@variant("S22", "too_slow")
def _too_slow(script: Script) -> Script:
    """The outside system takes longer than the session may wait when it closes."""
    slow = script.with_step("tool.returns", at=20_000)
    return _listening(slow).but(limits=Limits(drain=_DRAIN))


@variant("S22", "torn_down")
def _torn_down(script: Script) -> Script:
    """The application's task is cancelled, and once more while it leaves."""
    rest = script.without(lambda step: step.who == "caller")
    return _listening(rest).with_steps(Step(at=_LEAVES, who="app", does="is_cancelled"))


@variant("S22", "insisting")
def _insisting(script: Script) -> Script:
    """The policy lets what the caller asked for be done after all, before its commit."""
    return _early(script).but(policy=_finish)


@variant("S22", "talking")
def _talking(script: Script) -> Script:
    """The caller hangs up in the middle of a sentence."""
    return _listening(script).with_steps(Step(at=650, who="caller", does="starts"))


def _finish(_call: ToolCall, interrupt: Interrupt) -> Decision | None:
    return Decision.go_on("it is to be done all the same") if isinstance(interrupt, Ended) else None


def _phase(played: Played) -> str:
    return _PHASES.get(played.script.variant, "done")


@check(
    "S22.1",
    plays=_ALL,
    saboteur=Saboteur(
        "toolguard/engine/session.py",
        old="w.execution.drain(w.limits.drain, reads",
        new="w.execution.drain(0.0, reads",
    ),
)
def it_never_vanishes(played: Played) -> None:
    """It ends in the drain window, is stopped before its commit, or is in doubt; no body is cut off otherwise."""
    phase = _phase(played)
    must(played.began("book") == 1, f"the body began {played.began('book')} times")
    must(played.effects("book") == (phase != "cancelled"), f"it took effect {played.effects('book')} times")
    ended, cut = played.did("returned", "book"), played.did("cancelled", "book")
    must(len(ended) == (phase == "done"), "the body did not come to its end" if phase == "done" else "it went on")
    if phase == "cancelled":
        must(len(cut) == 1 and cut[0].at - _EARLY <= _SLACK, "the body was not stopped")
    else:
        must(not [act for act in cut if act.at < _LEAVES + _DRAIN * 1000], "the body was cut off after its effect")
    must(played.phase("c1") == phase, f"c1 ended as {played.phases('c1')}")
    must(played.open_calls == ([("book", "in_doubt")] if phase == "in_doubt" else []), f"open: {played.open_calls}")


@check(
    "S22.2",
    plays=tuple(name for name in _ALL if name != "main"),
    saboteur=Saboteur("toolguard/engine/logsink.py", old='    r.Closed: ("why", "unfinished"),\n', new=""),
)
def there_is_a_last_record(played: Played) -> None:
    """The interrupt says why and at which stage, a record how it ended, and the log has a line of each."""
    decided = [record for _, record in played.records(r.Interrupted) if isinstance(record.interrupt, Ended)]
    must(len(decided) == 1 and len(decided[0].decisions) == 1, f"the decisions are {decided}")
    must(decided[0].decisions[0].reason and decided[0].policy, "nobody gives a reason")
    early = played.script.variant == "early"
    must(decided[0].decisions[0].choice == ("stop" if early else "go_on"), f"it was decided {decided[0].decisions}")
    last = played.entries[-1].record
    must(isinstance(last, r.Closed), f"the journal ends with {played.entries[-1]}")
    kinds: dict[str, type[r.Record]] = {"cancelled": r.Stopped, "in_doubt": r.Lost, "done": r.Returned}
    ends = [record for _, record in played.records(kinds[_phase(played)])]
    must(len(ends) == 1, f"its end is not in the journal: {[entry.kind for entry in played.entries]}")
    why = getattr(ends[0], "reason", "") or getattr(ends[0], "why", "")
    must(why or _phase(played) == "done", "its end has no reason")
    lines = [line for _, line in played.app["log"]]
    must(any(" interrupted " in line and "ended" in line for line in lines), f"the log has no line of the end: {lines}")
    word = {"cancelled": "stopped", "in_doubt": "lost", "done": "returned"}[_phase(played)]
    mine = [(level, line) for level, line in played.app["log"] if f" {word} " in line and "run=" in line]
    must(len(mine) == 1, f"the log has {len(mine)} lines of how it ended")
    must(_phase(played) != "in_doubt" or mine[0][0] == "WARNING", f"that it is in doubt is only a line of {mine[0][0]}")
    must(any(" closed why=" in line for line in lines), "the log does not say that the session was closed")


@check(
    "S22.3",
    plays=tuple(name for name in _ALL if name != "main"),
    saboteur=Saboteur(
        "toolguard/engine/entrance.py",
        old="if self._follow_up is not None and not resumable:",
        new="if self._follow_up is not None and resumable:",
    ),
)
def the_follow_up_gets_the_outcome(played: Played) -> None:
    """Once, with the session, the call, its arguments and how it ended."""
    told = played.script.guard["follow_up"].told
    must(len(told) == 1, f"it was called {len(told)} times")
    session, unheard = told[0]
    must(session == "call-1" and len(unheard) == 1, f"it was told {told}")
    one = unheard[0]
    must(one.tool == "book" and one.phase == _phase(played), f"it was told that {one.tool} is {one.phase}")
    must(b'"x":1' in bytes(one.arguments), f"with the arguments {bytes(one.arguments)!r}")
    must(one.phase != "done" or b'"order"' in bytes(one.result), f"with the result {bytes(one.result)!r}")


@check(
    "S22.4",
    plays=_ALL,
    saboteur=Saboteur("toolguard/engine/entrance.py", old='"open" if resumable else "closed"', new='"open"'),
)
def the_session_is_closed(played: Played) -> None:
    """The store has it as closed, the journal with its reason, and nothing is left for anybody to recover."""
    closed = [record for _, record in played.records(r.Closed)]
    must(len(closed) == 1 and not closed[0].unfinished, f"the journal has {closed}")
    must(closed[0].why == "hang_up", f"it was closed as {closed[0].why}")
    must(not played.problems, f"the conversation is not valid: {played.problems}")
    must(dict(played.sessions) == {"call-1": "closed"}, f"the store has {played.sessions}")
    must(played.script.variant == "too_slow" or not played.faults, f"unseen faults: {played.faults}")
