"""A conversation that this process visits without owning it: calls and an end, nothing that needs a line (T2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NoReturn

from toolguard.core import records as r
from toolguard.core.interrupt import Ended
from toolguard.engine.opening import VisitIntake
from toolguard.engine.session import Session
from toolguard.engine.slotting import Arrival
from toolguard.errors import NotOwned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.wiring import Wiring
    from toolguard.tools.tool import Tool


def _not_owned(session: str, what: str) -> NotOwned:
    return NotOwned(
        f"{what} needs a process that owns the session",
        ref=session,
        advice="Open it with guard.session(...) or guard.recover(...), where no other process serves it.",
    )


def _refused(what: str) -> Callable[..., Any]:
    """A report that only an owner's connection can make."""

    def refuse(visit: Visit, *_args: object, **_more: object) -> NoReturn:
        """Not possible in a visit.

        Raises:
            NotOwned: Always.
        """
        raise _not_owned(visit.id, what)

    return refuse


class Visit(Session):
    """A session as one of several processes has it; made by :meth:`toolguard.Guard.visit`.

    It is kept between requests and brought up to date with each of them.

    Attributes:
        known: The tools by name; each visit may bring its own.
    """

    def __init__(self, wiring: Wiring, known: dict[str, Tool[Any, Any]]) -> None:
        super().__init__(wiring)
        self.known = known
        wiring.abreast.closed = self._closed_elsewhere

    @property
    def usable(self) -> bool:
        """Whether the next visit may go on with it; else it is read anew."""
        return not self._gone and not self._w.ledger.fenced

    @property
    def busy(self) -> bool:
        """Whether something of it goes on in this process."""
        return bool(self._w.execution.live or self._w.intake.looking)

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
        """A complete call arrived; it is answered through the visit's port. Never raises into the framework.

        Returns:
            A ticket; ``await conversation.number(ticket)`` gives the call's order number.
        """
        if self._gone:
            self._w.execution.notice("call_after_close", f"{name} was called after the end", call_id=call_id)
            return 0
        arrival = Arrival(call_id, name, generation, 0, index, item, behind=behind)
        return self._intake.receive(arrival, arguments, injected or {})

    async def number(self, ticket: int) -> int:
        """The order number of a call that :meth:`receive` has taken.

        Raises:
            StoreError: It could not be journaled; nothing ran.
        """
        return await self._intake.number(ticket)

    async def end(self, why: Literal["hang_up", "shutdown"]) -> None:
        """End the conversation for every process; :meth:`toolguard.Guard.end` calls it."""
        w, state = self._w, self.state
        await w.abreast.sync()
        self._stop_own(why)
        await self._drain(f"the conversation ended ({why}) before it did", reads=True)
        await w.abreast.sync()
        unfinished = tuple(sorted(state.unsent))
        self._gone = True
        entry = w.ledger.write(r.Closed(why=why, unfinished=unfinished), wait=True)
        w.stop()
        await w.finish(entry, resumable=False)

    async def _close(self, why: Literal["hang_up", "shutdown"]) -> None:
        """This process goes away: its commits end in the drain window; the conversation goes on elsewhere."""
        w = self._w
        if not w.ledger.fenced:
            for live in list(w.execution.live.values()):
                if live.task is not None and live.run.effect.writes and live.stoppable:
                    w.execution.suspend(live.run.number)
            await self._drain(f"its process went away ({why}) before it ended", reads=False)
        w.stop()

    async def _drain(self, why: str, *, reads: bool) -> None:
        execution = self._w.execution
        for live in await execution.drain(self._w.limits.drain, reads=reads):
            if live.task is not None:
                execution.give_up(live, why)

    def _stop_own(self, why: Literal["hang_up", "shutdown"]) -> None:
        """What the policy says about the end of the conversation to the runs of this process."""
        lives = self._w.execution.live.values()
        own = [live.run for live in lives if live.task is not None and live.run.phase.open]
        if own:
            self._w.barge_ins.interrupt(Ended(at=self._now(), why=why), own)

    def _closed_elsewhere(self) -> None:
        if not self._w.ledger.fenced and not self._gone:
            self._stop_own("hang_up")

    @property
    def _intake(self) -> VisitIntake:
        assert isinstance(self._w.intake, VisitIntake)  # noqa: S101 - the wiring makes them together
        return self._w.intake

    # -- what needs a connection --------------------------------------------------------------------------------

    async def hand_off(self, *, to: str, **_more: Any) -> HandoffPacket:
        """Not possible in a visit.

        Raises:
            NotOwned: Always.
        """
        raise _not_owned(self.id, f"handing over to {to}")

    generation_began = _refused("following a response")
    generation_ended = _refused("following a response")
    incomplete = _refused("a call that broke off")
    discarded = _refused("discarding a response")
    interrupted = _refused("interrupting a response")
    caller_started = _refused("a barge-in")
    caller_stopped = _refused("a barge-in")
    caller_said = _refused("a turn of the caller")
    caller_retracted = _refused("a barge-in")
    agent_spoke = _refused("what the agent said")
    playing = _refused("playback")
    dropped = _refused("a dropped line")
    back = _refused("a line that is back")
    wants_reply = _refused("asking for a reply")
    answering = _refused("asking for a reply")
    reply_coming = _refused("asking for a reply")
    reply_refused = _refused("asking for a reply")
