"""Answers leave in call order, each once a context, and speech is asked for once a batch (rules O1-O9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.core.outbox import answer_of, interim, leavable, news, unanswered
from toolguard.engine.floor import Floor
from toolguard.engine.port import Parcel, item_id
from toolguard.engine.questions import Questions
from toolguard.engine.timers import Timers
from toolguard.engine.told import Told
from toolguard.engine.wants import Wants

if TYPE_CHECKING:
    from collections.abc import Iterable

    from toolguard.core.slots import Answer, Slot
    from toolguard.engine.execution import Execution
    from toolguard.engine.ledger import Ledger
    from toolguard.engine.limits import Limits
    from toolguard.engine.port import Port, Traits
    from toolguard.tools.spec import Spec


class Delivery:
    """The outbox of one session at work.

    Args:
        ledger: The session's book.
        execution: Its runs.
        port: The framework's door; None for a session that is only used directly.
        limits: The session's limits.
        silent: Observe mode: nothing is ever sent.

    Attributes:
        over: The session is closing: answers still leave, and nobody is asked to speak any more.
        about: Runs that the turn of the caller which has just settled takes back.
    """

    def __init__(
        self, ledger: Ledger, execution: Execution, port: Port | None, limits: Limits, *, silent: bool = False
    ) -> None:
        self._ledger = ledger
        self._execution = execution
        self._limits = limits
        self._silent = silent
        self.port = None if silent else port
        self._source = port
        self.floor = Floor(self.pump)
        self._timers = Timers()
        self._book = Told()
        self.began: dict[str, int] = {}
        self._wants = Wants()
        self._eager = self.over = self._crossed = self._pumping = False
        self._patient = True
        self.about: frozenset[int] = frozenset()
        self._after: frozenset[int] = frozenset()
        self.questions = Questions()

    @property
    def traits(self) -> Traits | None:
        """What the framework can do, also where we only watch it; None without a framework."""
        return self._source.traits if self._source is not None else None

    def opened(self, slot: Slot, spec: Spec | None) -> None:
        """A slot is open: its patience and its filler begin to run (O7)."""
        if self.port is None:
            return
        self._tell_in_flight()
        if spec is None or answer_of(self._ledger.state, slot) is not None:
            self.pump()
            return
        self._timers.start(slot.number, spec.patience, self._impatient, slot.number)
        if spec.filler:
            self._timers.start(slot.number, spec.filler_after, self._fill, slot.number, spec.filler)

    def _impatient(self, number: int) -> None:
        slot = self._ledger.state.slots[number]
        if not slot.sent and answer_of(self._ledger.state, slot) is None:
            self.hold_place(slot, "still_running", reply=True)
            self.pump()

    def overdue(self, calls: list[int]) -> None:
        """The time limit of a run is over: its open slots are told that the outcome is not known yet (G7)."""
        for number in calls:
            slot = self._ledger.state.slots[number]
            if not slot.sent and not slot.parent:
                self.hold_place(slot, "not_known_yet", reply=True)
        self.pump()

    def hold_place(self, slot: Slot, form: str, *, reply: bool) -> None:
        """Give a slot a placeholder; where its run waits for a yes, it asks for that."""
        answer = interim(self._ledger.state, slot, form, question=self.questions.of(slot.run))
        self._ledger.write(r.Answered(call=slot.number, form=answer.form, text=answer.text, reply=reply, interim=True))

    def _fill(self, number: int, text: str) -> None:
        state = self._ledger.state
        slot = state.slots[number]
        if self.port is None or slot.sent or answer_of(state, slot) is not None:
            return
        if self.floor.speaking or self._execution.gate.holds(slot.run) or self.floor.active:
            if number in self._timers:
                self._timers.start(number, 0.25, self._fill, number, text)
            return
        self._ledger.write(r.Spoke(generation=slot.generation, what="filler"))
        self.port.say(text)

    def close_open_calls(self, *, but: int = 0) -> None:
        """Answer every open call of this context at once, in call order (O2), but for those of one run."""
        for slot in unanswered(self._ledger.state):
            if not but or slot.run != but:
                self.hold_place(slot, "still_running", reply=False)
        self.pump()

    def silence(self, batch: int) -> None:
        """Nobody wants to hear about this batch by itself: its outputs ask for no reply, sent ones neither (O5)."""
        self._wants.silence(batch)

    def listen(self) -> None:
        """News of every batch is wanted again."""
        self._wants.listen()

    def pump(self) -> None:
        """Send what may leave, then ask for speech if it is wanted and the line is free."""
        if self.port is None or self._pumping or self.floor.away or self._ledger.fenced:
            return
        if self._after and not self._awaited():
            self._go_on()
            return
        self._pumping = True
        try:
            for slot, answer in leavable(self._ledger.state):
                if slot.run in self._execution.landing:
                    break
                self._send(slot, answer)
            if self.floor.free:
                self._send_news()
            self._maybe_ask()
        finally:
            self._pumping = False
        self._tell_in_flight()

    def _tell_in_flight(self) -> None:
        if self.port is not None:
            self.port.in_flight(len(self._ledger.state.open_runs) + len(self._ledger.state.unsent))

    def _send(self, slot: Slot, answer: Answer) -> None:
        state, port = self._ledger.state, self.port
        if port is None:
            return
        self._timers.drop(slot.number)
        item = item_id(state.session, slot.context, slot.number, "out")
        run = slot.run if not answer.interim and answer.form in {"result", "replayed"} else 0
        self._ledger.write(r.Sent(item=item, context=state.context, calls=(slot.number,), run=run, form=answer.form))
        if answer.form == "withdrawn":
            return
        reply = answer.reply and not self._wants.silent(slot.batch)
        port.place(Parcel(item, answer.text, (slot.number,), slot.call_id, slot.item, form=answer.form, reply=reply))
        self._book.sent((slot.number,), reply=reply)
        if reply:
            self._wants.want(slot.batch)
            self._patient = self._patient and self._waits_for_idle(slot.run)

    def _waits_for_idle(self, run: int) -> bool:
        """Whether a result is to be announced only when nobody, the agent included, is speaking."""
        found = self._ledger.state.runs.get(run)
        return found is not None and found.announce == "when_idle"

    def _send_news(self) -> None:
        state, port = self._ledger.state, self.port
        if port is None or not port.traits.notes:
            return
        for run, answer in (*self.questions.due(), *news(state)):
            if run.number in self._execution.landing:
                continue
            calls = tuple(run.calls)
            reply = answer.reply and not all(self._wants.silent(state.slots[call].batch) for call in calls)
            item = item_id(state.session, state.context, calls[0], f"note{run.number}{answer.form}")
            self._ledger.write(
                r.Noted(run=run.number, calls=calls, text=answer.text, form=answer.form, reply=reply),
                r.Sent(item=item, context=state.context, calls=calls, run=run.number, form=answer.form, note=True),
            )
            port.place(Parcel(item, answer.text, calls, note=True, form=answer.form, reply=reply))
            self._book.sent(calls, reply=reply)
            if reply:
                self._wants.want()
                self._patient = self._patient and run.announce == "when_idle"

    def _maybe_ask(self) -> None:
        state, port, floor = self._ledger.state, self.port, self.floor
        if self.over or port is None or not self._wants:
            return
        if not (floor.idle if self._patient else floor.free):
            return
        if state.open_batches or any(state.slots[n].run in self._execution.landing for n in state.unsent):
            return
        if any(state.slots[n].context == state.context for n in state.unsent) and not self._eager:
            return
        self._eager, self._patient, self._crossed = False, True, False
        self._wants.cover()
        floor.asked = True
        self._ledger.write(
            r.ReplyAsked(context=state.context, version=self._wants.version, calls=tuple(sorted(self._book.fresh)))
        )
        port.ask_reply()

    def want_reply(self) -> None:
        """The caller's turn wants an answer: behind placeholders (O2), or when what it takes back has ended (G8)."""
        self._wants.want()
        self._patient, self._after = False, self.about
        if not self._awaited():
            self._go_on()

    def _awaited(self) -> bool:
        """Whether a call that the reply is about has no answer yet."""
        return bool(self._after) and any(slot.run in self._after for slot in unanswered(self._ledger.state))

    def _go_on(self) -> None:
        self._after, self._eager = frozenset(), True
        self.close_open_calls()

    def reply_refused(self) -> None:
        """The platform refused the reply, for example because one is active: ask again when it ends (O5).

        One that is active and was not told of yet has begun without seeing what the reply was asked for.
        """
        self.floor.asked = False
        self._wants.again()
        self._patient, self._crossed = False, not self.floor.active
        if self._crossed:
            self.floor.expect(self._limits.reply_grace)
        self.pump()

    def generation_began(self, generation: str) -> None:
        """A response began; it sees everything that was sent before."""
        floor = self.floor
        floor.active, floor.asked, self._after = generation, False, frozenset()
        self.began[generation] = self._ledger.clock.wall()
        if not self._crossed:
            self._wants.cover()
            self.questions.shown(generation, self._book.began(generation))
        self._crossed = False
        floor.expected()

    def generation_ended(self, generation: str, *, cut: bool) -> None:
        """A response ended; what it showed and nobody heard stays owed to the caller."""
        if self.floor.active == generation:
            self.floor.active = ""
        if cut:
            self._book.cut(generation)
        self.pump()

    def heard_out(self, generation: str) -> None:
        """The caller heard a reply to its end: what it showed counts as told (S6)."""
        self._book.heard(generation)

    def cut_off(self, generation: str) -> None:
        """A reply was cut off, or never came: what it told is told again, unless a turn is answered first (O5)."""
        if self._book.again(self._book.cut(generation)):
            self._wants.want()
            self.pump()

    def not_told(self, calls: Iterable[int]) -> None:
        """The framework does not speak about these answers after all: a reply is asked for when the line is idle."""
        self.floor.asked = False
        self._book.sent(calls, reply=True)
        self._wants.want()
        self.pump()

    def caller_went_on(self, turn: int) -> None:
        """A caller's turn after a reply acknowledges what the reply told (S6)."""
        state = self._ledger.state
        told = tuple(n for n in self._book.went_on() if n in state.slots and not state.slots[n].sent_interim)
        if told:
            self._ledger.write(r.Acknowledged(calls=told, turn=turn))

    def move(self, port: Port | None) -> None:
        """Another model has the conversation from here on: nothing was sent to it, and nobody has asked it yet."""
        self.stop_timers()
        self.port, self._source = None if self._silent else port, port
        self.floor.lost()
        self.floor.away = False
        self._book.forget()
        self._wants.forget()
        self._eager, self._crossed, self._patient, self._after = False, False, True, frozenset()

    def shown(self, calls: Iterable[int]) -> None:
        """The model sees the answers of these calls from the beginning: its next reply may tell of them (S6)."""
        self._book.sent(calls, reply=True)
        self._wants.listen()

    def line_lost(self) -> None:
        """The connection is gone: the reply that was on it, or was asked for, is owed to the caller (O5)."""
        floor = self.floor
        floor.away, self._crossed = True, False
        if floor.active or floor.asked:
            self._book.cut(floor.active)
            self._wants.want()
        floor.lost()

    def stop_timers(self) -> None:
        """The session ends: nothing of ours may fire any more."""
        self._timers.stop()
        self.floor.asked = False
        self.floor.expected()
