"""From the first sound of the caller to a decision about every call in flight (rules G2-G6, G8)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from toolguard.core import records as r
from toolguard.core.interrupt import BargeIn, Discarded, Dropped, Ended, HandedOff
from toolguard.engine.clock import moment
from toolguard.engine.decisions import STOPPING
from toolguard.engine.holds import Holds
from toolguard.listen.heard import Heard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from toolguard.core.interrupt import Kind
    from toolguard.core.slots import Run
    from toolguard.engine.decisions import Decisions
    from toolguard.engine.delivery import Delivery
    from toolguard.engine.ears import Ears
    from toolguard.engine.execution import Execution
    from toolguard.engine.limits import Limits
    from toolguard.listen.heard import Verdict


class _Onset:
    __slots__ = ("ended_wall", "id", "inherited", "limit", "opened_wall", "quiet", "words")

    def __init__(self, onset: str, opened_wall: int) -> None:
        self.id = onset
        self.opened_wall = opened_wall
        self.ended_wall = 0
        self.quiet = 0.0
        self.words = ""
        self.inherited = False
        self.limit: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        if self.limit is not None:
            self.limit.cancel()


class _Turn(NamedTuple):
    """Words of the caller: where they belong, when they were out (0: unknown), which onsets they settle."""

    onset: str
    item: str
    spoken_at: int
    ended: int
    closes: tuple[str, ...]


class BargeIns:
    """Interrupts of one session."""

    def __init__(
        self,
        execution: Execution,
        delivery: Delivery,
        decisions: Decisions,
        ears: Ears,
        limits: Limits,
    ) -> None:
        self._execution = execution
        self._ledger = execution.ledger
        self._gate = execution.gate
        self._delivery = delivery
        self._decisions = decisions
        self._ears = ears
        self._limits = limits
        self._open: dict[str, _Onset] = {}
        self._begun: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        self.holds = Holds(execution, limits, self._speaking)
        self.on_answer: Callable[[BargeIn, bool | None, int], None] = lambda _settled, _agrees, _spoken_at: None
        self.on_settling: Callable[[str, str], None] = lambda _kind, _onset: None
        self.on_turn: Callable[[str, str], None] = lambda _kind, _onset: None

    # -- what the adapter reports -------------------------------------------------------------------------------

    def onset(self, onset: str) -> None:
        """Somebody speaks; nobody knows what is wanted: decide at once, without waiting for anything (I13)."""
        if onset in self._open:
            return
        loop = asyncio.get_running_loop()
        self._ended.pop(onset, None)
        new = self._open[onset] = _Onset(onset, self._ledger.clock.wall())
        self._begun[onset] = new.opened_wall
        self._delivery.floor.speaking.add(onset)
        decided = self._decisions.make(
            BargeIn(stage="onset", at=self._now(), onset=onset), self._decisions.in_motion(), onset=onset
        )
        new.quiet = min((d.asked.at_most for d in decided if d.asked and d.asked.at_most), default=self._limits.hold)
        self._hold(decided)
        traits = self._delivery.traits
        if traits is None or not traits.speech_ends:
            new.limit = loop.call_later(new.quiet, self._limit, onset)

    def planned(self, run: Run) -> None:
        """A run planned while somebody speaks is decided for every open onset (G1)."""
        self.holds.planned(run)
        for onset in [one for one in self._open.values() if not one.inherited]:
            self._hold(
                self._decisions.make(BargeIn(stage="onset", at=self._now(), onset=onset.id), [run], onset=onset.id)
            )

    def _hold(self, decided: Iterable[r.Decided]) -> None:
        for one in decided:
            if one.choice == "hold":
                self.holds.spoken_over(one.run)

    def _speaking(self) -> frozenset[str]:
        return frozenset(one.id for one in self._open.values() if not one.ended_wall)

    def speech_ended(self, onset: str) -> None:
        """The caller stopped speaking: the words are due within the limit (G3)."""
        open_ = self._open.get(onset)
        self._ended[onset] = self._ledger.clock.wall()
        if open_ is None:
            self._delivery.floor.speaking.discard(onset)
            self._delivery.pump()
            return
        open_.ended_wall = self._ended[onset]
        self._delivery.floor.speaking.discard(onset)
        loop = asyncio.get_running_loop()
        if open_.limit is not None:
            open_.limit.cancel()
        open_.limit = loop.call_later(open_.quiet, self._limit, onset)

    def retracted(self, onset: str) -> None:
        """It was no speech: the gate opens as if nothing had been (G2)."""
        if onset in self._open:
            self._settle(BargeIn(stage="retracted", at=self._now(), kind="noise", onset=onset), (onset,))

    def words(self, text: str, *, onset: str = "", final: bool = True, item: str = "", spoken_at: int = 0) -> None:
        """Words arrived: journal and classify them at once (G8)."""
        closes = (onset,) if onset else self._older_than(spoken_at)
        onset = onset or self._oldest()
        open_ = self._open.get(onset)
        if open_ is not None:
            open_.words = text
        spoken_at = spoken_at or self._begun.get(onset, 0)
        calls = tuple(self._execution.view(run) for run in self._decisions.in_motion())
        heard = Heard(text=text, final=final, in_flight=calls)
        turn = _Turn(onset, item, spoken_at, self._ended.get(onset, 0 if open_ is not None else spoken_at), closes)
        self._ears.understand(heard, lambda verdict: self._understood(verdict, heard, turn))

    def key(self, shown: str, verdict: Verdict) -> None:
        """The caller pressed a key: settled at once, and no onset is opened or closed by it."""
        self._understood(verdict, Heard(text=shown), _Turn("", "", 0, 0, ()), pressed=True)

    def interrupt(self, interrupt: Discarded | HandedOff | Dropped | Ended, runs: Iterable[Run]) -> list[r.Decided]:
        """Any other interrupt: decide for these runs and act on it."""
        return self._decisions.make(interrupt, list(runs))

    def unheard(self) -> None:
        """Nobody hears the caller any more: what was being said settles by the limit that runs after speech (G3)."""
        for onset in list(self._open):
            self.speech_ended(onset)

    def moved(self) -> None:
        """Another connection hears the caller from here on: what is being said settles by the same limit (G3)."""
        for onset in self._speaking():
            self.speech_ended(onset)

    def inherit(self, held: dict[int, set[str]]) -> None:
        """Hold these runs for what the caller was saying when the last owner died, until the caller is heard (G3).

        Args:
            held: Onsets by run; none where the caller had asked to wait.
        """
        if not held:
            return
        for onset in sorted({one for onsets in held.values() for one in onsets}):
            new = self._open[onset] = _Onset(onset, self._ledger.clock.wall())
            new.inherited, new.ended_wall, new.quiet = True, new.opened_wall, self._limits.hold
            new.limit = asyncio.get_running_loop().call_later(new.quiet, self._limit, onset)
        for run, onsets in held.items():
            for onset in onsets:
                self._gate.hold(run, onset)
        waiting = [run for run, onsets in held.items() if not onsets]
        if waiting:
            self.holds.asked_to_wait(waiting)

    def forget(self) -> None:
        """The caller's line is gone: a drop ends the caller's speech (G5)."""
        for onset in list(self._open):
            self._close(onset)

    @property
    def open_onsets(self) -> tuple[str, ...]:
        """Onsets that have not settled."""
        return tuple(self._open)

    # -- listening ----------------------------------------------------------------------------------------------

    def _understood(self, verdict: Verdict, heard: Heard, turn: _Turn, *, pressed: bool = False) -> None:
        if not heard.final and verdict.kind not in STOPPING:
            return
        concerns = self._concerned(verdict, turn)
        interrupt = BargeIn(
            stage="settled",
            at=self._now(),
            kind=verdict.kind,
            said=heard.text,
            concerns=concerns,
            confidence=verdict.confidence,
            onset=turn.onset,
            pressed=pressed,
        )
        if not heard.final:
            writes = [run for run in self._decisions.in_motion(turn.ended) if run.effect.writes]
            self._decisions.make(interrupt, writes, onset=turn.onset, only_stop=True)
            return
        self.on_settling(verdict.kind, turn.onset)
        state = self._ledger.state
        late = turn.onset not in self._open and bool(turn.spoken_at)
        self._ledger.write(
            r.Heard(
                turn=state.heard + 1,
                text=heard.text,
                onset=turn.onset,
                item=turn.item,
                kind=verdict.kind,
                spoken_at=turn.spoken_at,
                late=late,
            )
        )
        if verdict.kind not in {"noise", "backchannel"}:
            self._delivery.caller_went_on(state.heard)
        self.on_answer(interrupt, verdict.agrees, turn.spoken_at)
        decided = self._settle(interrupt, turn.closes, turn.ended)
        self._delivery.about = frozenset(one.run for one in decided if one.concerned)
        self.on_turn(verdict.kind, turn.onset)
        self._delivery.about = frozenset()

    def _concerned(self, verdict: Verdict, turn: _Turn) -> frozenset[str]:
        """A correction that names no call and finds no uncommitted write is about the newest write (G4)."""
        if verdict.concerns or verdict.kind not in STOPPING:
            return frozenset(self._first(ref) for ref in verdict.concerns)
        writes = [run for run in self._decisions.in_motion(turn.ended) if run.effect.writes]
        if not writes or any(self._decisions.early(run) for run in writes):
            return frozenset()
        return frozenset({self._ledger.state.run_ref(writes[-1])})

    def _first(self, ref: str) -> str:
        """The ref under which policies know the run that a call is attached to (G5)."""
        state, number = self._ledger.state, ref.rpartition("/")[2]
        slot = state.slots.get(int(number)) if number.isdecimal() else None
        run = state.runs.get(slot.run) if slot is not None else None
        return state.run_ref(run) if run is not None else ref

    def _settle(self, interrupt: BargeIn, closes: Iterable[str], spoken: int = 0) -> list[r.Decided]:
        held_on = interrupt.kind == "hold_on"
        closes = tuple(closes)
        if interrupt.kind not in {"noise", "backchannel"}:  # a turn of the caller also answers what was lost
            closes += tuple(one.id for one in self._open.values() if one.inherited and one.id not in closes)
        decided = self._decisions.make(
            interrupt,
            self._decisions.in_motion(spoken),
            onset=interrupt.onset if held_on else "",
            closes=None if closes == (interrupt.onset,) else closes,
        )
        keep = {one.run for one in decided if one.choice == "hold"}
        if held_on and keep:
            self.holds.asked_to_wait(keep)
        elif interrupt.kind not in {"noise", "backchannel"}:
            self.holds.went_on()
        for name in closes:
            self._close(name)
        self._delivery.pump()
        return decided

    def _close(self, onset: str) -> None:
        open_ = self._open.pop(onset, None)
        if open_ is not None:
            open_.cancel()
        self._delivery.floor.speaking.discard(onset)
        self._gate.release(onset)
        self.holds.quiet(self._open)

    # -- limits -------------------------------------------------------------------------------------------------

    def _limit(self, onset: str) -> None:
        """No words came: noise; words came and nothing settled them, or nothing transcribes: unknown (G3)."""
        open_ = self._open.get(onset)
        if open_ is None:
            return
        if open_.inherited and any(not one.inherited for one in self._open.values()):  # the caller's next turn settles
            open_.limit = asyncio.get_running_loop().call_later(open_.quiet, self._limit, onset)
            return
        traits = self._delivery.traits
        deaf = (traits is not None and not traits.transcribes) or open_.inherited
        kind: Kind = "unknown" if open_.words or deaf else "noise"
        sure = float(kind == "noise")
        settled = BargeIn(stage="settled", at=self._now(), kind=kind, said=open_.words, confidence=sure, onset=onset)
        self.on_settling(kind, onset)
        self._settle(settled, (onset,), open_.ended_wall)
        self.on_turn(kind, onset)

    def _older_than(self, spoken_at: int) -> tuple[str, ...]:
        """Onsets that words without one settle: all that are older than the beginning of the words (G2)."""
        return tuple(one.id for one in self._open.values() if not spoken_at or one.opened_wall <= spoken_at)

    def _oldest(self) -> str:
        return next(iter(self._open), "")

    def _now(self) -> Any:
        return moment(self._ledger.clock.wall())
