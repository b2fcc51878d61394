"""One conversation: the calls that developers make in it, its hand-off and its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from toolguard.core import records as r
from toolguard.core.interrupt import Ended
from toolguard.engine.reports import Reports
from toolguard.engine.result import outcome
from toolguard.errors import SessionClosed
from toolguard.tools.ambient import BENCH, DESK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.live import Live
    from toolguard.engine.wiring import Wiring
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.guarded import Guarded
    from toolguard.tools.tool import Tool

P = ParamSpec("P")
R = TypeVar("R")


class Session(Reports):
    """A conversation with its calls; made by :meth:`toolguard.Guard.session`.

    Attributes:
        id: The session's id.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self._closing: asyncio.Task[None] | None = None
        wiring.execution.take_child = self._child
        wiring.execution.on_settled = self._settled
        wiring.execution.on_ending = wiring.claims.settle

    @property
    def wiring(self) -> Wiring:
        """The session's parts, for the engine itself."""
        return self._w

    @property
    def agent(self) -> str:
        """The agent that has the conversation now."""
        return self.state.agent

    async def run(self, tool: Guarded[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a call in code and wait for its result.

        Raises:
            ToolNotDone: It did not end with a result; the subclass says why.
            SessionClosed: The session has ended.
        """
        guarded = cast("Tool[Any, Any]", tool)
        return cast("R", await self.take(guarded, guarded.instance, args, kwargs))

    async def take(self, tool: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The desk of the tools: ``await book(...)`` inside the session ends here."""
        if self._gone:
            raise SessionClosed(
                f"{tool.name} was called after the end", ref=self.id, advice="Open the session again first."
            )
        self._w.ledger.check_owner()
        arguments = tool.arguments(instance, args, kwargs)
        return await outcome(self._w, tool, await self._w.intake.admit(tool, arguments, injected={}))

    async def _child(self, parent: Live, tool: Tool[Any, Any], arguments: Arguments) -> Any:
        return await outcome(self._w, tool, await self._w.intake.admit(tool, arguments, injected={}, parent=parent))

    def approve(self, ref: str, *, by: str, yes: bool = True) -> None:
        """Answer for a call whose tool ``needs`` an approval: its gate opens, or it is stopped.

        Raises:
            AlreadySettled: The call waits for no approval.
        """
        self._w.intake.approvals.answer(int(ref.rpartition("/")[2]), yes=yes, by=by)

    async def hand_off(self, *, to: str) -> HandoffPacket:
        """Hand the conversation with its running calls to another agent of this process (H1-H3).

        Returns:
            The packet for the next agent.
        """
        bench = BENCH.get()
        own = 0
        if bench is not None:
            ref = bench.view().ref
            own = max((n for n, run in self.state.runs.items() if self.state.run_ref(run) == ref), default=0)
        packet = await self._w.transfer.to(to, own=own)
        self._w.delivery.pump()
        return packet

    async def close(self, why: Literal["hang_up", "shutdown"] = "hang_up") -> None:
        """End the session: decide about what runs, let commits finish in the drain window, close every call.

        Whoever comes second waits for the same end. Being cancelled ends the waiting, not the closing (G7).
        """
        if self._closing is None:
            self._gone = True
            self._closing = asyncio.create_task(self._close(why), name="toolguard:close")
        await asyncio.shield(self._closing)

    async def _close(self, why: Literal["hang_up", "shutdown"]) -> None:
        w, state = self._w, self.state
        if w.ledger.fenced:
            w.stop()
            return
        runs = [state.runs[n] for n in sorted(state.open_runs)]
        for one in w.barge_ins.interrupt(Ended(at=self._now(), why=why), runs) if runs else ():
            if one.choice == "hold":
                w.execution.suspend(one.run)
        w.barge_ins.forget()
        w.barge_ins.holds.caller_came_back()
        w.delivery.over = True
        left = await w.execution.drain(w.limits.drain, reads=why == "hang_up")
        for live in left:
            w.execution.give_up(live, f"the session ended ({why}) before it did")
        w.delivery.pump()
        unfinished = tuple(sorted(state.unsent))
        entry = w.ledger.write(r.Closed(why=why, unfinished=unfinished), wait=True)
        w.stop()
        await w.finish(entry, resumable=why == "shutdown" and bool(left))

    def _settled(self, live: Live) -> None:
        self._w.claims.settle(live.run)
        self._w.delivery.pump()


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
