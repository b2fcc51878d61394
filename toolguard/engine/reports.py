"""What adapters report to a session: responses, calls, the caller's speech and words, what was heard, lost lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from toolguard.core import records as r
from toolguard.core.interrupt import Discarded, Dropped
from toolguard.engine.clock import moment
from toolguard.engine.keys import press
from toolguard.engine.replies import Replies
from toolguard.engine.slotting import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from toolguard.core.state import State
    from toolguard.engine.wiring import Wiring


class Reports(Replies):
    """The half of a session that adapters talk to. No method raises into the framework or waits for anything."""

    def __init__(self, wiring: Wiring) -> None:
        self._w = wiring
        self.id = wiring.ledger.state.session
        self._batches: dict[str, int] = {}
        self._over: dict[str, str] = {}
        self._gone = False
        self.successor: Reports | None = None
        """The session of the agent that has the conversation now, where that is another one."""
        self.amendable = False
        """No model has been asked in this context: what belongs into it can still be put in its place (H2)."""
        self.on_amended: Callable[[], None] = lambda: None
        """Called when something came late that belongs into the new agent's context, while it is amendable."""
        self._refused: dict[str, int] = {}
        self.on_settling: Callable[[str, str], None] = lambda _kind, _onset: None
        """Called right before a turn is decided, as ``on_turn`` after it: an adapter may say what was discarded."""
        self.on_turn: Callable[[str, str], None] = lambda _kind, _onset: None
        """Called when a turn of the caller has settled, with its kind and onset; an adapter may set it."""
        wiring.execution.on_overdue = lambda live: wiring.delivery.overdue(live.run.calls)
        wiring.barge_ins.on_settling = self._settling
        wiring.barge_ins.on_turn = self._turned

    @property
    def state(self) -> State:
        """All that is known of the session: the fold of its journal."""
        return self._w.ledger.state

    def follow(self, before: Reports) -> None:
        """Go on where another agent's session stands: the same responses have the same numbers."""
        self._batches, self._over = before._batches, before._over

    def amended(self) -> None:
        """Something came late that belongs into the context, which no request has used yet (H2)."""
        floor = self._w.delivery.floor
        if self.amendable and not (floor.asked or floor.active):
            self.on_amended()

    def _over_there(self, what: str) -> bool:
        """Whether another agent has the conversation: then what this connection reports is refused and counted (T6)."""
        if self.successor is None:
            return False
        self._refused[what] = self._refused.get(what, 0) + 1
        if self._refused[what] == 1:
            self._w.execution.notice("frame_refused", f"{what}: another agent has the conversation now")
        return True

    def _settling(self, kind: str, onset: str) -> None:
        self.on_settling(kind, onset)

    def _turned(self, kind: str, onset: str) -> None:
        self.on_turn(kind, onset)

    def _now(self) -> datetime:
        return moment(self._w.ledger.clock.wall())

    def generation_began(self, generation: str) -> None:
        """A model response began."""
        if self._over_there("generation_began"):
            return
        self.amendable = False
        self._w.transfer.went_on()
        self._w.delivery.generation_began(generation)

    def generation_ended(self, generation: str, status: str = "completed") -> None:
        """A model response ended: its batch is complete (O9). ``status`` as the provider names it."""
        if self._over_there("generation_ended"):
            return
        self._over[generation] = status
        self._close_batch(generation)
        self._w.delivery.generation_ended(generation, cut=status in {"cancelled", "failed"})
        self._w.farewell.ended()

    def _close_batch(self, generation: str) -> None:
        """A response that has ended issues no more calls, also where its last call is read behind its end (L2, O9)."""
        batch, status = self._batches.get(generation), self._over.get(generation)
        if batch is not None and status is not None and batch not in self.state.closed_batches:
            self._w.ledger.write(r.BatchClosed(batch=batch, generation=generation, status=status))
            self._w.delivery.pump()

    def receive(
        self,
        call_id: str,
        name: str,
        arguments: str | bytes | Mapping[str, Any],
        *,
        generation: str = "",
        index: int = 0,
        item: str = "",
        injected: Mapping[str, Any] | None = None,
        behind: int = 0,
    ) -> int:
        """A complete call arrived; returns its order number. Never raises into the framework.

        ``behind`` is the number of a call that has to end before this one begins.
        """
        if self._over_there("receive"):
            return 0
        if self._gone:
            self._w.execution.notice("call_after_close", f"{name} was called after the end", call_id=call_id)
            return 0
        batch = 0
        if generation:
            batch = self._batches.setdefault(generation, len(self._batches) + 1)
        number = self._w.intake.receive(
            Arrival(call_id, name, generation, batch, index, item, behind=behind), arguments, injected or {}
        )
        self._close_batch(generation)
        return number

    def incomplete(
        self,
        call_id: str,
        name: str,
        *,
        generation: str = "",
        item: str = "",
        kept: bool = True,
        reply: bool = False,
    ) -> int:
        """A call broke off before it was complete: its slot closes, nothing runs, nothing is repaired (O10).

        Its output is sent only where the provider has kept the item. With ``reply`` the model is asked to go on: nobody
        has cut it off, and nobody else will.
        """
        if self._over_there("incomplete"):
            return 0
        batch = self._batches.setdefault(generation, len(self._batches) + 1) if generation else 0
        number = self._w.intake.broken(Arrival(call_id, name, generation, batch, 0, item), kept=kept, reply=reply)
        self._close_batch(generation)
        return number

    def cancelled(self, call_id: str) -> None:
        """The framework says that a call is cancelled: an observation (L2)."""
        if self._over_there("cancelled"):
            return
        self._w.intake.cancels.seen(call_id)

    def discarded(self, generation: str) -> None:
        """The framework replaced the response because the caller's turn went on (G6)."""
        if self._over_there("discarded"):
            return
        state = self.state
        waiting = [state.slots[call] for call in sorted(state.unsent)]
        slots = [slot for slot in waiting if slot.generation == generation]
        gone = {slot.number for slot in slots}
        alone = [
            run
            for run in (state.runs[n] for n in sorted(state.open_runs))
            if gone & set(run.calls) and all(call in gone or state.slots[call].detached for call in run.calls)
        ]
        self._w.barge_ins.interrupt(Discarded(at=self._now(), generation=generation), alone)
        self._w.intake.supersede(slots)
        self.generation_ended(generation, "cancelled")

    def interrupted(self, generation: str) -> None:
        """The application stopped the agent's speech: outputs of this response ask for no reply (O5)."""
        if self._over_there("interrupted"):
            return
        if generation:
            self._w.delivery.silence(self._batches.setdefault(generation, len(self._batches) + 1))

    def moved_on(self) -> None:
        """The application has taken the conversation elsewhere, as to a flow's next node, and asks its model to speak.

        What was to be silent where it came from may be spoken about from here on.
        """
        self._w.delivery.listen()

    def caller_started(self, onset: str) -> None:
        """Somebody began to speak; ``onset`` is a stable id of it."""
        if self._over_there("caller_started"):
            return
        self._w.barge_ins.onset(onset)

    def caller_stopped(self, onset: str) -> None:
        """The speech of ``onset`` ended; its words are still to come."""
        traits = self._w.traits
        if traits is not None and traits.starts_replies and self.successor is None:
            if not traits.words_first:
                self._w.delivery.close_open_calls()
            self._w.delivery.floor.expect(self._w.limits.reply_grace)
        self._w.barge_ins.speech_ended(onset)

    def caller_said(
        self, text: str, *, onset: str = "", final: bool = True, item: str = "", spoken_at: int = 0
    ) -> None:
        """Words of the caller, partial or final."""
        traits = self._w.traits
        if final and traits is not None and traits.words_first and self.successor is None:
            self._w.delivery.floor.expect(self._w.limits.reply_grace)
        self._w.barge_ins.words(text, onset=onset, final=final, item=item, spoken_at=spoken_at)

    def key_pressed(self, key: str) -> None:
        """The caller pressed a key of the telephone (DTMF): an interrupt that is settled at once.

        Digits that are data (a card number, a PIN) belong to whoever collects them and are not reported here; a key is
        recorded as ``[key]`` all the same, unless ``Guard(keys=Keys(recorded=True))``.

        Args:
            key: ``0`` to ``9``, ``*``, ``#`` or ``A`` to ``D``.
        """
        press(self._w, key)

    def caller_retracted(self, onset: str) -> None:
        """It was no speech after all."""
        self._w.barge_ins.retracted(onset)

    def agent_spoke(self, generation: str, text: str, *, unheard: str = "", cut: bool = False, item: str = "") -> None:
        """The caller heard ``text``; ``unheard`` was cut off, or, with ``cut``, something that is not known (I23)."""
        self._w.intake.approvals.spoken(generation)
        cut = cut or bool(unheard)
        self._w.ledger.write(r.Said(text=text, unheard=unheard, generation=generation, item=item, cut=cut))
        if self.successor is not None:
            self.successor.amended()
            return
        self.playing("")
        if not cut:
            self._w.delivery.heard_out(generation)
        self._w.delivery.pump()

    def playing(self, generation: str) -> None:
        """The caller hears this response now; empty when the line is silent."""
        if self._over_there("playing"):
            return
        self._w.delivery.floor.playing = generation
        if generation:
            self._w.intake.approvals.spoken(generation)
            self._w.farewell.began()
        else:
            self._w.farewell.ended()
            self._w.delivery.pump()

    def delivered(self, item: str) -> None:
        """The provider has confirmed an item (O4)."""
        if item in self.state.items:
            self._w.ledger.write(r.Delivered(items=(item,)))

    def noticed(self, code: str, text: str, **data: Any) -> None:
        """Something abnormal that belongs into the trail (I24)."""
        self._w.execution.notice(code, text, **data)

    def dropped(self, who: Literal["provider", "caller"]) -> None:
        """A line is gone: outputs wait; with the caller's the gate stays shut as well."""
        if self._over_there("dropped"):
            return
        w, state = self._w, self.state
        runs = [state.runs[n] for n in sorted(state.open_runs)]
        if who == "caller":
            w.barge_ins.forget()
        else:
            w.delivery.line_lost()
            w.barge_ins.unheard()
        w.barge_ins.interrupt(Dropped(at=self._now(), who=who), runs)
        w.delivery.floor.away = True
        if who == "caller":
            w.barge_ins.holds.caller_left(runs)

    def back(self) -> None:
        """The line is there again."""
        if self._over_there("back"):
            return
        self._w.barge_ins.holds.caller_came_back()
        self._w.delivery.floor.away = False
        self._w.delivery.pump()
