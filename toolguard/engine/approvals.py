"""Writes that need a yes: the gate stays shut until somebody approves, and no longer than the tool allows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from toolguard.core.outbox import asking, unanswered
from toolguard.engine.decisions import STOPPING
from toolguard.engine.holds import APPROVAL
from toolguard.engine.questions import Questions
from toolguard.errors import AlreadySettled, ApprovalImpossible
from toolguard.listen.consent import consent

if TYPE_CHECKING:
    from toolguard.core.interrupt import BargeIn
    from toolguard.core.slots import Answer, Run
    from toolguard.engine.delivery import Delivery
    from toolguard.engine.execution import Execution
    from toolguard.tools.spec import Approval

_NO_YES = frozenset({*STOPPING, "noise", "other_topic", "hold_on", "unknown"})
"""Kinds of words that open nothing, whatever words they are."""
_LOOK_AGAIN = 0.5
_CONFIGURED = 2.5
"""Seconds after which a new connection's model is asked to speak by itself: by then it knows who it is."""


class _Asked:
    """A run that waits for a yes.

    Attributes:
        generation: The response whose request showed the question.
        put_at: When the caller began to hear it, in wall nanoseconds; 0 before.
        timer: Ends the waiting.
        grace: Seconds for which the end may still be put off while the caller speaks.
    """

    __slots__ = ("approval", "generation", "grace", "put_at", "question", "run", "timer")

    def __init__(self, run: Run, approval: Approval, question: str, grace: float) -> None:
        self.run, self.approval, self.question, self.grace = run, approval, question, grace
        self.generation = ""
        self.put_at = 0
        self.timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


class Approvals(Questions):
    """Holds runs of tools with ``needs=Approval(...)`` at the gate.

    The caller's yes counts in a turn that began after they began to hear the question, by the adapter's evidence (as
    in S0). The hold is one of the run's set (G2): a yes opens the gate only when nobody speaks over it either.
    """

    def __init__(self, execution: Execution, delivery: Delivery) -> None:
        self._execution = execution
        self._delivery = delivery
        self._open: dict[int, _Asked] = {}
        self._due: list[int] = []
        delivery.questions = self

    def expect(self, run: Run, approval: Approval) -> None:
        """A run was planned that needs a yes; without one in time it is stopped before its effect."""
        self._execution.gate.hold(run.number, APPROVAL)
        question = approval.ask.format_map(_Fields(self._execution.view(run).arguments))
        self._execution.notice("approval_needed", question, run=run.number, call=run.calls[0])
        asked = self._open[run.number] = _Asked(run, approval, question, self._execution.limits.gate_max)
        self._wait(asked, approval.within)
        self._ask(asked)

    def _wait(self, asked: _Asked, seconds: float) -> None:
        asked.stop()
        asked.timer = asyncio.get_running_loop().call_later(seconds, self._silent, asked)

    def _ask(self, asked: _Asked) -> None:
        """Have the caller asked: the placeholders of the run's calls say so, or a note where these are gone (O3)."""
        if asked.approval.by == "person" or self._delivery.port is None:
            return
        places = [one for one in unanswered(self._execution.ledger.state) if one.run == asked.run.number]
        for slot in places:
            if not slot.parent:
                self._delivery.hold_place(slot, "still_running", reply=True)
        if all(slot.parent for slot in places):
            self._due.append(asked.run.number)
        self._send_in(0.0 if places or asked.run.parent else _CONFIGURED)

    def _send_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._delivery.pump)

    def of(self, run: int) -> str:
        """What the caller is to be asked about a run; empty where nothing is to be asked."""
        asked = self._live(run)
        return asked.question if asked is not None and asked.approval.by != "person" else ""

    def due(self) -> list[tuple[Run, Answer]]:
        """Questions that have to go as notes (O3)."""
        numbers, self._due = self._due, []
        waiting = [asked for asked in map(self._live, numbers) if asked is not None and asked.approval.by != "person"]
        state = self._execution.ledger.state
        return [(asked.run, asking(state, asked.run, asked.question)) for asked in waiting]

    def _live(self, run: int) -> _Asked | None:
        """A run that still waits: one that was stopped meanwhile has nothing to ask."""
        asked = self._open.get(run)
        if asked is not None and not asked.run.phase.uncommitted:
            asked.stop()
            del self._open[run]
            return None
        return asked

    def _silent(self, asked: _Asked) -> None:
        """Nobody answered in time; an answer that is being spoken may be finished."""
        number = asked.run.number
        others = self._execution.gate.holds(number) & self._delivery.floor.speaking
        if others and asked.grace > 0:
            asked.grace -= _LOOK_AGAIN
            self._wait(asked, _LOOK_AGAIN)
            return
        if self._open.pop(number, None) is not None:
            self._execution.stop(number, "nobody approved it in time")

    # -- the question on its way --------------------------------------------------------------------------------

    def shown(self, generation: str, calls: frozenset[int]) -> None:
        """A response begins whose request showed the answers of these calls."""
        traits = self._delivery.traits
        for asked in self._open.values():
            if calls & set(asked.run.calls):
                asked.generation = generation
                if traits is not None and traits.evidence == "none":
                    self._put(asked)

    def spoken(self, generation: str) -> None:
        """The caller hears a response; an adapter that does not know which one speaks of the newest."""
        for asked in self._open.values():
            if asked.generation and generation in {asked.generation, ""}:
                self._put(asked)

    def _put(self, asked: _Asked) -> None:
        if not asked.put_at:
            asked.put_at = self._execution.ledger.clock.wall()
            self._wait(asked, asked.approval.within)

    def moved(self) -> None:
        """Another agent has the conversation: it is told what to ask; what the caller has heard, they have heard."""
        for asked in self._open.values():
            asked.generation = ""
        self._due = list(self._open)
        self._send_in(_CONFIGURED)

    # -- the answer ---------------------------------------------------------------------------------------------

    def asked(self, spoken_at: int = 0) -> frozenset[str]:
        """Refs of the calls about which the caller has heard a question, before ``spoken_at`` where it is given."""
        state = self._execution.ledger.state
        return frozenset(state.run_ref(one.run) for one in self._put_before(spoken_at))

    def _put_before(self, spoken_at: int) -> list[_Asked]:
        live = [asked for asked in map(self._live, list(self._open)) if asked is not None]
        at = spoken_at or self._execution.ledger.clock.wall()
        return [one for one in live if one.approval.by != "person" and one.put_at and at >= one.put_at]

    def heard(self, settled: BargeIn, agrees: bool | None, spoken_at: int) -> None:
        """A turn of the caller has settled: a plain yes opens the gate, a plain no stops the run.

        Everything else leaves the question open, and so does a yes where more than one question is: it must be known
        what they agree to. A no is taken for all of them.
        """
        put = self._put_before(spoken_at)
        if not put or not settled.sure:
            return
        state = self._execution.ledger.state
        named = [one for one in put if state.run_ref(one.run) in settled.concerns]
        for asked in named or put:
            says = consent(settled.said, asked.question) if agrees is None else agrees
            if says is None or (says and settled.kind in _NO_YES):
                continue
            if says and len(named or put) > 1:
                self._execution.notice("approval_unclear", "more than one question was open", run=asked.run.number)
                continue
            self._settle(asked, yes=says, by="the caller", words=settled.said)

    def answer(self, call: int, *, yes: bool, by: str) -> None:
        """Approve or refuse the run of a call, as a person.

        Raises:
            AlreadySettled: It does not wait for an approval (any more).
            ApprovalImpossible: Only the caller can approve it.
        """
        state = self._execution.ledger.state
        slot = state.slots.get(call)
        asked = self._live(slot.run) if slot is not None else None
        if asked is None:
            raise AlreadySettled(
                "it waits for no approval", ref=state.ref(call), advice="See `toolguard audit` for what became of it."
            )
        if asked.approval.by == "caller":
            raise ApprovalImpossible(
                f"{asked.run.tool} needs the caller's own yes", ref=state.ref(call), advice="Use Approval(by='either')."
            )
        self._settle(asked, yes=yes, by=by)

    def _settle(self, asked: _Asked, *, yes: bool, by: str, words: str = "") -> None:
        run = asked.run
        asked.stop()
        del self._open[run.number]
        said = {"words": words} if words else {}
        self._execution.notice(
            "approved" if yes else "not_approved", f"by {by}", run=run.number, call=run.calls[0], **said
        )
        if yes:
            self._execution.gate.release(APPROVAL, [run.number])
        else:
            self._execution.stop(run.number, f"{by} did not approve it")

    def waits(self, run: int) -> bool:
        """Whether a run waits for a yes that the caller can give and has not heard the question yet."""
        asked = self._live(run)
        return asked is not None and asked.approval.by != "person" and not asked.put_at

    def stop(self) -> None:
        """The session ends."""
        for asked in self._open.values():
            asked.stop()
        self._open.clear()


class _Fields(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "{" + key + "}"
