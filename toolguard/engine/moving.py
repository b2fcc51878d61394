"""A session's model moves to a new connection: what it is shown there, what is recorded of it, what is owed (O11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from toolguard.core import records as r
from toolguard.core.compact import within
from toolguard.core.outbox import answer_anew
from toolguard.core.packing import Ticket, final_runs, packet_of
from toolguard.engine.clock import moment
from toolguard.engine.port import item_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.core.packet import HandoffPacket
    from toolguard.core.slots import Run
    from toolguard.engine.wiring import Wiring


class Moving:
    """Moves one session.

    Args:
        wiring: The session's parts.
        back: Tells the session that its line is there again.
    """

    def __init__(self, wiring: Wiring, back: Callable[[], None]) -> None:
        self._w = wiring
        self._ledger = wiring.ledger
        self._back = back

    @property
    def calm(self) -> bool:
        """Whether nobody speaks and no response is active, or about to be."""
        return self._w.delivery.floor.idle and not self._w.barge_ins.open_onsets

    @property
    def quiet(self) -> bool:
        """Whether, besides, no call is in flight."""
        state = self._ledger.state
        return self.calm and not state.open_runs and not state.unsent

    def packet(self, cue: str, *, max_bytes: int = 0) -> HandoffPacket:
        """The conversation as the model is to see it on the new connection."""
        state, now, landing = self._ledger.state, moment(self._ledger.clock.wall()), self._w.execution.landing
        packet = packet_of(state, Ticket("", state.agent, state.agent, now, now), None, landing)
        packet = msgspec.structs.replace(packet, cue=cue)
        return within(packet, max_bytes) if max_bytes else packet

    def opened(
        self, rebuilt: r.Rebuilt, *, items: Mapping[int, str], hidden: frozenset[int], asked: bool = False
    ) -> None:
        """The new connection has taken over: a new context begins.

        Args:
            rebuilt: What is known of the rebuild.
            items: The item by which each call's output is shown, by order number.
            hidden: Runs of which the connection still shows an older answer: their news follows as a note (O3).
            asked: The application is about to ask for a reply itself.
        """
        state = self._ledger.state
        fresh = [run for run in state.runs.values() if run.number not in hidden and self._news(run)]
        owed = self._unanswered()
        sent = self._shown(state.context + 1, items)
        shows = tuple(number for number in final_runs(state, self._w.execution.landing) if number not in hidden)
        carried = tuple(sorted(n for n in state.open_runs if not state.runs[n].parent))
        cause = rebuilt.cause
        self._ledger.write(
            r.ContextOpened(context=state.context + 1, agent=state.agent, shows=shows, cause=cause),
            *sent,
            r.Rebuilt(
                cause=cause,
                gap_ms=rebuilt.gap_ms,
                tries=rebuilt.tries,
                items_replayed=rebuilt.items_replayed,
                items_kept=rebuilt.items_kept,
                calls_carried=carried,
                proof=rebuilt.proof,
            ),
        )
        delivery = self._w.delivery
        delivery.stop_timers()
        delivery.shown(call for run in fresh for call in run.calls)
        if asked:
            delivery.floor.asked = True
        elif owed or fresh:
            delivery.want_reply()
        self._back()

    def _news(self, run: Run) -> bool:
        """Whether the run has ended without any connection having told of it (O5)."""
        state = self._ledger.state
        if not (run.phase.final or run.contradicted or run.abandoned) or run.parent or run.announce == "silent":
            return False
        if run.shown == state.context or run.filed or run.number in self._w.execution.landing:
            return False
        slots = [state.slots[number] for number in run.calls]
        untold = run.number in state.owed or any(slot.number in state.unsent for slot in slots)
        return untold and any(not (slot.filed or slot.terminal or slot.detached) for slot in slots)

    def _unanswered(self) -> bool:
        """Whether the caller has said something since the last response began, and no agent has spoken since."""
        began = max(self._w.delivery.began.values(), default=0)
        for item in reversed(self._ledger.state.conversation.items):
            if item.kind == "agent":
                return False
            if item.kind == "caller":
                return item.at > began
        return False

    def _shown(self, context: int, items: Mapping[int, str]) -> list[r.Sent]:
        """What the new connection shows of calls that had no output yet: it is sent (O11)."""
        state, shown, sent = self._ledger.state, set[int](), list[r.Sent]()
        for slot in sorted((state.slots[n] for n in state.unsent), key=lambda one: one.order):
            answer = answer_anew(state, slot, shown)
            form = answer.form if answer is not None else "still_running"
            run = slot.run if form in {"result", "replayed"} else 0
            item = items.get(slot.number) or item_id(state.session, context, slot.number, "out")
            sent.append(r.Sent(item=item, context=context, calls=(slot.number,), run=run, form=form))
        return sent
