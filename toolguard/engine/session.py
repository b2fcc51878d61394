"""One conversation: what developers call, and what adapters report."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from toolguard.core import records as r
from toolguard.core.interrupt import Discarded, Dropped, Ended
from toolguard.core.law import Phase
from toolguard.engine.clock import moment
from toolguard.engine.intake import Arrival
from toolguard.engine.live import UNSET
from toolguard.errors import (
    AlreadyDone,
    InDoubt,
    Refused,
    SessionClosed,
    StoppedBeforeEffect,
    ToolFailed,
    ToolNotDone,
)
from toolguard.tools.ambient import BENCH, DESK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.core.packet import HandoffPacket
    from toolguard.core.slots import Slot
    from toolguard.core.state import State
    from toolguard.engine.live import Live
    from toolguard.engine.wiring import Wiring
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool

P = ParamSpec("P")
R = TypeVar("R")
_FORM_ERRORS: dict[str, type[ToolNotDone]] = {
    "differs": AlreadyDone,
    "already_done": AlreadyDone,
    "in_doubt": InDoubt,
    "cancelled": StoppedBeforeEffect,
}


class Session:
    """A conversation with its calls; made by :meth:`toolguard.Guard.session`.

    Attributes:
        id: The session's id.
    """

    def __init__(self, wiring: Wiring) -> None:
        self._w = wiring
        self.id = wiring.ledger.state.session
        self._batches: dict[str, int] = {}
        self._gone = False
        wiring.execution.take_child = self._child
        wiring.execution.on_settled = self._settled
        wiring.execution.on_overdue = lambda live: wiring.delivery.overdue(live.run.calls)
        wiring.barge_ins.on_turn = lambda kind, onset: self.on_turn(kind, onset)
        self.on_turn: Callable[[str, str], None] = lambda _kind, _onset: None
        """Called when a turn of the caller has settled, with its kind and onset; an adapter may set it."""

    @property
    def state(self) -> State:
        """All that is known of the session: the fold of its journal."""
        return self._w.ledger.state

    @property
    def agent(self) -> str:
        """The agent that has the conversation now."""
        return self.state.agent

    # -- for developers -----------------------------------------------------------------------------------------

    async def run(self, tool: Tool[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a call in code and wait for its result.

        Raises:
            ToolNotDone: It did not end with a result; the subclass says why.
            SessionClosed: The session has ended.
        """
        return cast("R", await self.take(tool, tool.instance, args, kwargs))

    async def take(self, tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The desk of the tools: ``await book(...)`` inside the session ends here."""
        if self._gone:
            raise SessionClosed(
                f"{tool.name} was called after the end", ref=self.id, advice="Open the session again first."
            )
        arguments = tool.arguments(instance, args, kwargs)
        slot, live = await self._w.intake.admit(tool, arguments, injected={})
        return await self._outcome(tool, slot, live)

    async def _child(self, parent: Live, tool: Tool[Any, Any], arguments: Arguments) -> Any:
        slot, live = await self._w.intake.admit(tool, arguments, injected={}, parent=parent)
        return await self._outcome(tool, slot, live)

    async def _outcome(self, tool: Tool[Any, Any], slot: Slot, live: Live | None) -> Any:
        ref = self.state.ref(slot.number)
        while True:
            if live is not None and not live.run.settled:
                await asyncio.shield(live.settled)
            slot = self.state.slots.get(slot.number, slot)
            run = self.state.runs.get(slot.run)
            if run is not None and run.settled:
                break
            if slot.answer is not None and run is None:
                if slot.answer.form == "replayed":
                    return tool.load_result(_result_in(slot.answer.text))
                kind = _FORM_ERRORS.get(slot.answer.form)
                if kind is None:
                    raise Refused(_message_in(slot.answer.text), ref=ref)
                raise kind(_message_in(slot.answer.text), ref=ref)
            live = self._w.execution.live.get(slot.run)
            if live is None or live.settled.done():
                if run is None and slot.answer is None:
                    await asyncio.sleep(0.01)
                    continue
                break
        if run is None:
            raise SessionClosed("another process owns this session now", ref=ref)
        if run.happened:
            living = live if live is not None and live.value is not UNSET else None
            return living.value if living is not None else tool.load_result(run.result)
        error = live.error if live is not None else None
        if isinstance(error, Exception) and run.phase is Phase.FAILED:
            raise error
        kinds: dict[Phase, type[ToolNotDone]] = {Phase.CANCELLED: StoppedBeforeEffect, Phase.IN_DOUBT: InDoubt}
        advice = "A probe or a person has to find out; do not repeat it." if run.phase is Phase.IN_DOUBT else ""
        raise kinds.get(run.phase, ToolFailed)(run.message or run.code or run.phase.value, ref=ref, advice=advice)

    async def hand_off(self, *, to: str) -> HandoffPacket:
        """Hand the conversation with its running calls to another agent of this process (H1-H3).

        Returns:
            The packet for the next agent.
        """
        bench = BENCH.get()
        own = 0
        if bench is not None:
            ref = bench.view().ref
            own = next((n for n, run in self.state.runs.items() if self.state.run_ref(run) == ref), 0)
        packet = await self._w.transfer.to(to, own=own)
        self._w.delivery.pump()
        return packet

    async def close(self, why: Literal["hang_up", "shutdown"] = "hang_up") -> None:
        """End the session: decide about what runs, let commits finish in the drain window, close every call."""
        if self._gone:
            return
        self._gone = True
        w, state = self._w, self.state
        if w.ledger.fenced:
            w.stop()
            return
        w.barge_ins.forget()
        w.gate.release("caller_away")
        runs = [state.runs[n] for n in sorted(state.open_runs)]
        if runs:
            w.barge_ins.interrupt(Ended(at=self._now(), why=why), runs)
        left = await w.execution.drain(w.limits.drain)
        for live in left:
            w.execution.give_up(live, f"the session ended ({why}) before it did")
        w.delivery.pump()
        unfinished = tuple(sorted(state.unsent))
        entry = w.ledger.write(r.Closed(why=why, unfinished=unfinished), wait=True)
        w.stop()
        await w.finish(entry, resumable=why == "shutdown" and bool(left))

    # -- for adapters -------------------------------------------------------------------------------------------

    def generation_began(self, generation: str) -> None:
        """A model response began."""
        self._w.delivery.generation_began(generation)

    def generation_ended(self, generation: str, status: str = "completed") -> None:
        """A model response ended: its batch is complete (O9). ``status`` as the provider names it."""
        batch = self._batches.get(generation)
        if batch is not None:
            self._w.ledger.write(r.BatchClosed(batch=batch, generation=generation, status=status))
        self._w.delivery.generation_ended(generation, cut=status in {"cancelled", "failed"})

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
    ) -> int:
        """A complete call arrived; returns its order number. Never raises into the framework."""
        if self._gone:
            self._w.execution.notice("call_after_close", f"{name} was called after the end", call_id=call_id)
            return 0
        batch = 0
        if generation:
            batch = self._batches.setdefault(generation, len(self._batches) + 1)
        return self._w.intake.receive(Arrival(call_id, name, generation, batch, index, item), arguments, injected or {})

    def incomplete(self, call_id: str, name: str, *, generation: str = "", item: str = "", kept: bool = True) -> int:
        """A call broke off before it was complete: its slot closes, nothing runs, nothing is repaired (O10).

        Its output is sent only where the provider has kept the item.
        """
        batch = self._batches.setdefault(generation, len(self._batches) + 1) if generation else 0
        return self._w.intake.broken(Arrival(call_id, name, generation, batch, 0, item), kept=kept)

    def cancelled(self, call_id: str) -> None:
        """The framework says that a call is cancelled: an observation (L2)."""
        self._w.intake.cancel(call_id)

    def discarded(self, generation: str) -> None:
        """The framework replaced the response because the caller's turn went on (G6)."""
        state = self.state
        slots = [slot for slot in state.slots.values() if slot.generation == generation and not slot.sent]
        for slot in slots:
            slot.detached = True
        alone = [
            run
            for run in (state.runs[n] for n in sorted(state.open_runs))
            if all(state.slots[call].detached for call in run.calls) and any(s.run == run.number for s in slots)
        ]
        self._w.barge_ins.interrupt(Discarded(at=self._now(), generation=generation), alone)
        self._w.intake.supersede(slots)
        self.generation_ended(generation, "cancelled")

    def interrupted(self, generation: str) -> None:
        """The application stopped the agent's speech: outputs of this response ask for no reply (O5)."""
        batch = self._batches.get(generation)
        if batch is not None:
            self._w.delivery.silence(batch)

    def caller_started(self, onset: str) -> None:
        """Somebody began to speak; ``onset`` is a stable id of it."""
        self._w.barge_ins.onset(onset)

    def caller_stopped(self, onset: str) -> None:
        """The speech of ``onset`` ended; its words are still to come."""
        traits = self._w.traits
        if traits is not None and traits.starts_replies:
            self._w.delivery.close_open_calls()
            self._w.delivery.floor.expect(self._w.limits.reply_grace)
        self._w.barge_ins.speech_ended(onset)

    def caller_said(
        self, text: str, *, onset: str = "", final: bool = True, item: str = "", spoken_at: int = 0
    ) -> None:
        """Words of the caller, partial or final."""
        self._w.barge_ins.words(text, onset=onset, final=final, item=item, spoken_at=spoken_at)

    def caller_retracted(self, onset: str) -> None:
        """It was no speech after all."""
        self._w.barge_ins.retracted(onset)

    def agent_spoke(self, generation: str, text: str, *, unheard: str = "", item: str = "") -> None:
        """The caller heard ``text``; ``unheard`` was cut off (I23)."""
        cut = bool(unheard)
        self._w.ledger.write(r.Said(text=text, unheard=unheard, generation=generation, item=item, cut=cut))
        self.playing("")
        if not cut:
            self._w.delivery.heard_out(generation)
        self._w.delivery.pump()

    def playing(self, generation: str) -> None:
        """The caller hears this response now; empty when the line is silent."""
        self._w.delivery.floor.playing = generation
        if generation:
            self._w.farewell.began()
        else:
            self._w.farewell.ended()

    def delivered(self, item: str) -> None:
        """The provider has confirmed an item (O4)."""
        if item in self.state.items:
            self._w.ledger.write(r.Delivered(items=(item,)))

    @property
    def responding(self) -> str:
        """The model's response in progress, empty for none."""
        return self._w.delivery.floor.active

    def reply_coming(self) -> None:
        """The application has asked for a reply itself."""
        self._w.delivery.floor.asked = True

    def reply_refused(self, why: str) -> None:
        """The provider refused a reply; it is asked for again when the line is free (O5)."""
        self.noticed("reply_refused", why)
        self._w.delivery.reply_refused()

    def wants_reply(self) -> None:
        """The caller's turn, or the application, wants the model to speak (O2 first)."""
        self._w.delivery.want_reply()

    def noticed(self, code: str, text: str, **data: Any) -> None:
        """Something abnormal that belongs into the trail (I24)."""
        self._w.execution.notice(code, text, **data)

    def dropped(self, who: Literal["provider", "caller"]) -> None:
        """A line is gone: outputs wait; with the caller's the gate stays shut as well."""
        w, state = self._w, self.state
        runs = [state.runs[n] for n in sorted(state.open_runs)]
        w.barge_ins.forget()
        w.barge_ins.interrupt(Dropped(at=self._now(), who=who), runs)
        w.delivery.floor.away = True
        if who == "caller":
            w.away(runs)

    def back(self) -> None:
        """The line is there again."""
        self._w.returned()
        self._w.delivery.floor.away = False
        self._w.delivery.pump()

    # -- within -------------------------------------------------------------------------------------------------

    def _settled(self, live: Live) -> None:
        self._w.claims.settle(live.run)
        self._w.delivery.pump()

    def _now(self) -> Any:
        return moment(self._w.ledger.clock.wall())


class Desks:
    """Puts a session around code: ``await book(...)`` inside finds it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._token: Any = None

    def __enter__(self) -> Session:
        self._token = DESK.set(self._session)
        return self._session

    def __exit__(self, *_exc: object) -> None:
        DESK.reset(self._token)


def _message_in(text: str) -> str:
    return str(r.plain_arguments(text.encode()).get("message", text))


def _result_in(text: str) -> bytes:
    return r.raw_field(text.encode(), "result")
