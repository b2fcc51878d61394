"""One conversation: the calls that developers make in it, its hand-off and its end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from toolguard.core import records as r
from toolguard.core.facts import Facts
from toolguard.core.interrupt import Ended
from toolguard.core.packing import final_runs
from toolguard.engine.reports import Reports
from toolguard.engine.result import outcome
from toolguard.engine.toolbox import check_approvals, check_scopes
from toolguard.engine.transfer import EXPIRES
from toolguard.errors import DeclarationError, HandedOver, LineLost, SessionClosed
from toolguard.tools.ambient import BENCH, DESK

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from toolguard.core.packet import HandoffPacket
    from toolguard.core.plan import RecoveryReport
    from toolguard.engine.live import Live
    from toolguard.engine.port import Port
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
        self.facts = Facts(self.state.facts, self._keep)
        """What has been established, apart from speech; see :class:`toolguard.core.facts.Facts`."""
        self.recovery: RecoveryReport | None = None
        """What was found and done when this process went on with the session; None where nothing was left open."""
        self.on_rebuild: Callable[[str], Awaitable[None]] = self._cannot
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
        if self.successor is not None:
            raise HandedOver(
                f"{self.agent} has the conversation now",
                ref=self.id,
                advice=f"Call {tool.name} in the session that guard.accept gave to {self.agent}.",
            )
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
        """Answer as a person for a call whose tool ``needs`` an approval: its gate opens, or it is stopped.

        Raises:
            AlreadySettled: The call waits for no approval.
            ApprovalImpossible: Only the caller can approve it.
        """
        self._w.intake.approvals.answer(int(ref.rpartition("/")[2]), yes=yes, by=by)

    async def hand_off(
        self, *, to: str, expires: float = EXPIRES, max_bytes: int = 0, in_place: bool = False
    ) -> HandoffPacket:
        """Hand the conversation with its running calls to another agent (H1-H3).

        The next agent goes on with ``guard.accept(packet)``, in this process or another one. Until it does, this
        session takes the caller's turns as before; leaving it is no hang-up, what runs waits for the next agent.

        Args:
            to: The next agent.
            expires: Seconds within which the packet has to be accepted.
            max_bytes: How large the packet may be; older items give way first. 0 for as large as it is.
            in_place: The same model goes on in this session as another agent, and nobody accepts the packet.

        Returns:
            The packet for the next agent.

        Raises:
            Refused: Another call of the same response hands the conversation over.
            HandedOver: Another agent has it already.
            PacketTooLarge: What must be in the packet does not fit.
            StoreError: It could not be recorded; the conversation stays where it is.
        """
        if self.successor is not None:
            raise HandedOver(f"{self.agent} has the conversation now", ref=self.id, advice="It may hand it over.")
        bench = BENCH.get()
        own = 0
        if bench is not None:
            ref = bench.view().ref
            own = max((n for n, run in self.state.runs.items() if self.state.run_ref(run) == ref), default=0)
        packet = await self._w.transfer.to(to, own=own, expires=expires, max_bytes=max_bytes, in_place=in_place)
        self._w.delivery.pump()
        return packet

    @property
    def packet(self) -> HandoffPacket:
        """The conversation as things stand, as a packet to render from; not signed, so it cannot be accepted.

        After ``guard.accept`` it holds what came after the hand-off as well (O12); ask for it right before the model.
        """
        state = self.state
        now = self._w.ledger.clock.wall()
        return self._w.transfer.unsigned(
            state.handed or r.HandOffRecord(to=state.agent, frm=state.agent, made_at=now, expires_at=now)
        )

    def bring(self, tool: Tool[..., Any]) -> None:
        """Take a tool that the framework's agent has brought along, for example a method of the agent itself.

        Raises:
            DeclarationError: The session has another tool of that name, or the tool needs to know the caller.
            ApprovalImpossible: It needs the caller's yes, which cannot come.
        """
        known = self._w.intake.tools(tool.name)
        if known is not None and known.spec is not tool.spec:
            raise DeclarationError(
                f"two tools are named {tool.name}", ref=self.id, advice="Give one of them name='...'."
            )
        check_scopes({tool.name: tool}, self.id, self.state.caller)
        check_approvals({tool.name: tool}, self.id, self._w.traits)
        self._w.bring(tool)

    def passed_on(self, tools: Mapping[str, Tool[Any, Any]], port: Port | None) -> Session:
        """The next agent's session over the same parts; this one takes late words and nothing else (T6)."""
        after = type(self)(self._w)
        after.follow(self)
        self.successor = after
        self._w.pass_on(tools.get, port)
        return after

    def shows(self, cause: str) -> None:
        """A model's new context begins: it sees the conversation as it stands, and every call that has ended (O11).

        Called again before the model's first request, it says that more is seen by now.
        """
        w, state = self._w, self.state
        seen = final_runs(state, w.execution.landing)
        if state.handed is not None and state.handed.run:
            seen = tuple(sorted({*seen, state.handed.run}))
        context = state.context if self.amendable else state.context + 1
        w.ledger.write(r.ContextOpened(context=context, agent=state.agent, shows=seen, cause=cause))
        w.delivery.shown(call for run in seen for call in state.runs[run].calls if not state.slots[call].acknowledged)
        self.amendable = True

    def begin(self) -> None:
        """Let the new agent speak, behind the words that are still to come; it has been given the conversation."""
        if self._w.barge_ins.open_onsets:
            self._w.delivery.floor.expect(self._w.limits.gate_max)
        self._w.delivery.want_reply()

    def _keep(self, facts: dict[str, Any], forgotten: tuple[str, ...]) -> None:
        self._w.ledger.write(r.FactKept(facts=facts, forgotten=forgotten), durable=True)

    def _turned(self, kind: str, onset: str) -> None:
        """A turn of the caller has settled; if it belongs before the first request, the context is amended (O12)."""
        if self.amendable:
            self.amended()
            self._w.delivery.floor.expected()
        super()._turned(kind, onset)

    @property
    def ended(self) -> asyncio.Future[None] | None:
        """The session's end, where it has begun; it may be awaited and cancelled freely."""
        return asyncio.shield(self._closing) if self._closing is not None else None

    async def rebuild(self, cause: str = "asked") -> None:
        """Leave the provider's connection, for example because its context is poisoned, and go on over a new one.

        Raises:
            LineLost: The adapter cannot open connections, or no new one could be made.
        """
        await self.on_rebuild(cause)

    async def _cannot(self, _cause: str) -> None:
        raise LineLost("this connection cannot be rebuilt", ref=self.id, advice="Give protect a rebuild=Rebuild(...).")

    async def close(self, why: Literal["hang_up", "shutdown"] = "hang_up") -> None:
        """End the session: decide about what runs, let commits finish in the drain window, close every call.

        Whoever comes second waits for the same end. Being cancelled ends the waiting, not the closing (G7). Where a
        packet is out, this is no end: what is left waits for the agent that accepts it.
        """
        if self.successor is not None:
            self._w.barge_ins.moved()
            return
        if self._closing is None:
            self._gone = True
            self._closing = asyncio.create_task(self._close(why), name="toolguard:close")
        await asyncio.shield(self._closing)

    async def _close(self, why: Literal["hang_up", "shutdown"]) -> None:
        w, state = self._w, self.state
        if w.ledger.fenced:
            w.stop()
            await self._w.execution.drain(self._w.limits.drain, reads=False)
            await w.finish(None, resumable=True)
            return
        away = w.transfer.out
        why = "shutdown" if away else why
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
        entry = w.ledger.write(r.Closed(why="handed_off" if away else why, unfinished=unfinished), wait=True)
        w.stop()
        await w.finish(entry, resumable=away or (why == "shutdown" and bool(left)))

    def _settled(self, live: Live) -> None:
        self._w.claims.settle(live.run)
        self.amended()
        self._w.delivery.pump()


@asynccontextmanager
async def held(session: Session) -> AsyncGenerator[Session]:
    """A session for as long as a block of code: closed behind it, as a shutdown where the block was cancelled."""
    why: Literal["hang_up", "shutdown"] = "hang_up"
    try:
        with Desks(session):
            yield session
    except asyncio.CancelledError:
        why = "shutdown"
        raise
    finally:
        await asyncio.shield(session.close(why))


class Desks:
    """Puts a session around code: ``await book(...)`` inside finds it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._token: Any = None

    def __enter__(self) -> Session:
        self._token = DESK.set(self._session)
        return self._session

    def __exit__(self, *_exc: object) -> None:
        with suppress(ValueError):  # left in another task than it was entered in: there it was never put around
            DESK.reset(self._token)
