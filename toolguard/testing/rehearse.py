"""One call of a tool, rehearsed: what becomes of it when the caller speaks, the process dies, or the model repeats it.

    ending = await rehearse(book.bind("s1", "p1")).barge_in("no, make it Tuesday", at="at_gate").play()
    assert ending.phase is Phase.CANCELLED
    assert ending.effects == 0

The tool's body really runs, with whatever fakes it reaches, on the loop that awaits ``play()``: fakes that belong to
that loop go on working. The engine, its gate and its records are the real ones, over a store in memory. The body is
held at known places while something happens to it, so nothing waits and nothing depends on timing; only what the body
itself waits for takes time. Under :func:`toolguard.testing.virtual.virtual_time` that passes at once as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.audit.timeline import Timeline
from toolguard.audit.trail import Trail
from toolguard.core.records import NAMES, plain_arguments
from toolguard.listen.heard import Heard, Verdict
from toolguard.testing.playing import POSITIONS, SESSION, Play, Position, Unreached

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from toolguard.core.interrupt import Kind
    from toolguard.core.law import Phase
    from toolguard.core.policy import Policy
    from toolguard.listen.heard import Listener
    from toolguard.tools.invocation import Invocation
    from toolguard.tools.tool import Tool

__all__ = ["Ending", "Position", "Rehearsal", "Unreached", "rehearse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of a rehearsed call.

    Attributes:
        phase: Where its run stands; None where nothing was run.
        output: The last that the model read about the call.
        outputs: The answers of all calls in their order: the first one's, then those of ``reissue``.
        notes: News that the model read after an answer was out.
        spoken: Fillers that the caller heard.
        records: Kinds of the session's records in order (``called``, ``at_gate``, ``commit_began`` ...).
        effects: How often the body was let past its commit: more than one is a duplicate.
        result: The run's result in JSON types.
        trail: The session's timeline as text, for people.
    """

    phase: Phase | None
    output: str
    outputs: tuple[str, ...]
    notes: tuple[str, ...]
    spoken: tuple[str, ...]
    records: tuple[str, ...]
    effects: int
    result: Any
    trail: str

    def __str__(self) -> str:
        return self.trail


@dataclass(frozen=True, slots=True)
class _Step:
    at: Position
    act: Callable[[Play], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A call and what is to happen to it; every method gives a new rehearsal, and :meth:`play` plays it.

    Positions: ``before_start`` (planned, the body has not begun), ``at_gate`` (a write waits there),
    ``while_committing`` (past the point of no return, nothing done yet), ``after_commit`` (the body has returned, its
    result is not on record yet) and ``at_end`` (the outcome is on record and the model has it).
    """

    invocation: Invocation[Any]
    tools: tuple[Tool[..., Any], ...] = ()
    policy: Policy | None = None
    steps: tuple[_Step, ...] = ()
    kinds: dict[str, Kind] = field(default_factory=dict[str, "Kind"])

    def barge_in(self, said: str, *, at: Position = "at_gate", kind: Kind | None = None) -> Rehearsal:
        """The caller says something.

        Args:
            said: The words; the built-in rules classify them.
            at: Where the call stands when they are out.
            kind: What they mean, where it is not the rules that are rehearsed.
        """

        async def act(play: Play) -> None:
            play.barge_in(said, at)

        kinds = self.kinds if kind is None else {**self.kinds, said: kind}
        return replace(self._with(at, act), kinds=kinds)

    def crash(self, *, at: Position = "while_committing") -> Rehearsal:
        """The process dies, nothing is closed, and another one recovers the session from the store."""
        return self._with(at, Play.crash)

    def hand_off(self, *, to: str = "another agent", at: Position = "at_gate") -> Rehearsal:
        """The conversation is handed to another agent of the process while the call runs."""

        async def act(play: Play) -> None:
            await play.hand_off(to)

        return self._with(at, act)

    def reissue(self, *, at: Position = "at_end", **changed: Any) -> Rehearsal:
        """The model issues the call again under a new call id.

        Args:
            at: Where the first call stands.
            **changed: Arguments that are different this time, in JSON types.
        """
        raw = self.invocation.arguments.json
        arguments = msgspec.json.encode({**plain_arguments(raw), **changed}) if changed else raw

        async def act(play: Play) -> None:
            play.call(arguments)

        return self._with(at, act)

    def with_policy(self, policy: Policy) -> Rehearsal:
        """Decide by this policy; where it has no opinion, ``by_effect()`` does."""
        return replace(self, policy=policy)

    def _with(self, at: Position, act: Callable[[Play], Awaitable[None]]) -> Rehearsal:
        if at not in POSITIONS:
            raise ValueError(f"at={at!r}; choose one of {', '.join(POSITIONS)}")
        return replace(self, steps=(*self.steps, _Step(at, act)))

    async def play(self, *, within: float = 30.0) -> Ending:
        """Play it on the running loop.

        Args:
            within: Seconds that the body may take between two positions.

        Raises:
            Unreached: The call did not come to a position where something was to happen.
        """
        play = Play(
            self.invocation,
            tools=self.tools,
            policy=self.policy,
            listener=_told(self.kinds) if self.kinds else None,
            wanted={step.at for step in self.steps},
            within=within,
        )
        await play.open()
        try:
            play.call()
            for position in POSITIONS:
                steps = [step for step in self.steps if step.at == position]
                if steps:
                    await self._happen(play, position, steps)
            await play.settle()
            return await _ending(play)
        finally:
            await play.close()

    @staticmethod
    async def _happen(play: Play, position: Position, steps: Sequence[_Step]) -> None:
        await play.come_to(position)
        for step in steps:
            await step.act(play)
        play.leave(position)


def rehearse(invocation: Invocation[Any], *, tools: Sequence[Tool[..., Any]] = ()) -> Rehearsal:
    """Rehearse one call of a tool.

    Args:
        invocation: The call, as ``book.bind("s1", "p1")`` prepares it.
        tools: Other tools of the session, for example the one that undoes it.

    Returns:
        A rehearsal in which nothing happens to the call; add what does, then ``await`` its ``play()``.
    """
    return Rehearsal(invocation, tuple(tools))


def _told(kinds: dict[str, Kind]) -> Listener:
    """A listener that is told what some words mean and knows the rest by the rules."""
    from toolguard.listen.rules import by_rules  # noqa: PLC0415 - the word tables, only where they are needed

    rules = by_rules()

    def listener(heard: Heard) -> Verdict | None:
        kind = kinds.get(heard.text)
        return Verdict(kind, rule="told by the rehearsal") if kind is not None else rules(heard)

    return listener


async def _ending(play: Play) -> Ending:
    state, run = play.session.state, play.run
    journal = play.session.wiring.ledger.journal
    trail = Trail(journal.ask)
    book, lines, kinds = Timeline(SESSION), list[str](), list[str]()
    async for line in trail.records(SESSION):
        kinds.append(NAMES.get(type(line.record), line.kind))
        lines.extend(book.lines(line))
    placed = [parcel for port in play.ports for parcel in port.placed]
    mine = [parcel.text for parcel in placed if 1 in parcel.calls]
    outputs = [[p.text for p in placed if not p.note and p.calls == (number,)] for number in sorted(state.slots)]
    result = msgspec.json.decode(run.result) if run is not None and run.happened else None
    return Ending(
        phase=run.phase if run is not None else None,
        output=mine[-1] if mine else "",
        outputs=tuple(texts[-1] if texts else "" for texts in outputs),
        notes=tuple(parcel.text for parcel in placed if parcel.note),
        spoken=tuple(text for port in play.ports for text in port.fillers),
        records=tuple(kinds),
        effects=play.effects,
        result=result,
        trail="\n".join(lines),
    )
