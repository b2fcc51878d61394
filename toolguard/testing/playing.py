"""How a rehearsal is played: one process, or several after one another, and a body that is held at known places."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from toolguard.engine.clock import LoopClock, SystemClock
from toolguard.engine.guard import Guard
from toolguard.engine.port import Traits
from toolguard.errors import ToolguardError
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort, Spoken
from toolguard.testing.virtual import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from toolguard.core.policy import Policy
    from toolguard.core.slots import Run
    from toolguard.engine.live import Live
    from toolguard.engine.session import Session
    from toolguard.listen.heard import Listener
    from toolguard.tools.invocation import Invocation
    from toolguard.tools.tool import Tool

Position = Literal["before_start", "at_gate", "while_committing", "after_commit", "at_end"]
POSITIONS: tuple[Position, ...] = ("before_start", "at_gate", "while_committing", "after_commit", "at_end")
SESSION = "rehearsal"
_HOLD = "rehearsal-hold"
_TURNS = 20


class Unreached(ToolguardError):  # noqa: N818 - named for what happened
    """The rehearsed call did not come to a position where something was to happen."""

    code = "unreached"


class Play:
    """Plays one invocation.

    Attributes:
        session: The session of the process that lives now.
        ports: What each process gave to the model.
        effects: How often the body was let past its commit.
    """

    def __init__(
        self,
        invocation: Invocation[Any],
        *,
        tools: Sequence[Tool[..., Any]],
        policy: Policy | None,
        listener: Listener | None,
        wanted: set[Position],
        within: float,
    ) -> None:
        self._invocation = invocation
        self._options: dict[str, Any] = {"tools": [invocation.tool, *tools], "policy": policy, "listener": listener}
        self._within = within
        self._wanted = wanted
        self._store = MemoryStore()
        self._arrived = {position: asyncio.Event() for position in POSITIONS}
        self._left = {position: asyncio.Event() for position in POSITIONS}
        self._asked_probe = asyncio.Event()
        self._paused = 0
        self._onsets = 0
        self._calls = 0
        self.effects = 0
        self.ports: list[RecordingPort] = []
        loop = asyncio.get_running_loop()
        virtual = isinstance(loop, VirtualLoop)
        self._clock = LoopClock() if virtual else SystemClock()
        self._forget = loop.busy_while(self._in_thread) if isinstance(loop, VirtualLoop) else None
        self._guard: Guard
        self.session: Session

    # -- processes ----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """A process begins: a guard on the store that stays, and the session."""
        self._guard = Guard(self._store.twin(), clock=self._clock, **self._options)
        port = RecordingPort(Traits(adapter="rehearsal", evidence="heard", speech_ends=True), replies=_at_once)
        self.session = await self._guard.enter(SESSION, agent="agent", caller="caller", port=port)
        port.attach(self.session)
        self.ports.append(port)
        execution = self.session.wiring.execution
        _around(execution, "commit", self._commit)
        _around(execution.gate, "passing", self._passing)
        _around(execution.outcomes, "returned", self._returned)
        _around(execution.outcomes, "ask_probe", self._ask_probe)
        if "at_gate" in self._wanted and not self._asks:
            self.session.caller_started(_HOLD)

    async def crash(self) -> None:
        """The process dies: nothing more is written, and nothing of it ever wakes; another one goes on."""
        wiring = self.session.wiring
        wiring.ledger.fenced = True
        await self._guard.journal.ask(lambda store: store.close())
        wiring.stop()
        tasks = [live.task for live in wiring.execution.live.values() if live.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._within)
        await self._guard.close()
        self._paused = 0
        await self.open()

    async def close(self) -> None:
        """The rehearsal is over."""
        if self._forget is not None:
            self._forget()
        wiring = self.session.wiring
        wiring.limits = type(wiring.limits)(drain=0)
        await self.session.close()
        await self._guard.close()

    # -- places -------------------------------------------------------------------------------------------------

    def call(self, arguments: bytes | None = None) -> None:
        """The model calls, under a new call id each time."""
        self._calls += 1
        given = self._invocation.arguments
        raw = arguments if arguments is not None else given.json
        self.session.receive(f"call_{self._calls}", self._invocation.tool.name, raw, injected=given.injected)

    @property
    def run(self) -> Run | None:
        """The run of the first call."""
        state = self.session.state
        slot = state.slots.get(1)
        return state.runs.get(slot.run) if slot is not None else None

    async def come_to(self, position: Position) -> None:
        """Wait until the body stands at a position.

        Raises:
            Unreached: It ended before, or stays somewhere else.
        """
        if position == "before_start":
            return
        if position == "at_end":
            await self.settle()
            return
        run = self.run
        tool = self._invocation.tool
        if run is not None and not run.effect.writes and position != "after_commit":
            raise Unreached(f"{tool.name} is a read: it has no commit, so nothing can happen {position}")
        arrival = asyncio.ensure_future(self._arrived[position].wait())
        live = self.session.wiring.execution.live.get(run.number) if run is not None else None
        waits: set[asyncio.Future[Any]] = {arrival}
        if live is not None:
            waits.add(live.ending())
        await asyncio.wait(waits, timeout=self._within, return_when=asyncio.FIRST_COMPLETED)
        if not self._arrived[position].is_set():
            arrival.cancel()
            where = f"it is {run.phase.value}" if run is not None else "no run was planned"
            raise Unreached(f"{tool.name} did not come to {position}: {where}", advice="Choose another position.")
        await _turns()
        await self._asked(position, run)

    @property
    def _asks(self) -> bool:
        """Whether the call waits at its gate by itself, for a yes."""
        return self._invocation.tool.spec.needs is not None

    async def _asked(self, position: Position, run: Run | None) -> None:
        """The caller has heard what they are asked."""
        if position != "at_gate" or run is None:
            return
        async with asyncio.timeout(self._within):
            while self.session.wiring.intake.approvals.waits(run.number):  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.001)

    def leave(self, position: Position) -> None:
        """Let the body go on."""
        self._wanted.discard(position)
        if position == "at_gate":
            self.session.caller_retracted(_HOLD)
        self._left[position].set()

    async def _reached(self, position: Position) -> None:
        if position not in self._wanted:
            return
        self._arrived[position].set()
        self._paused += 1
        try:
            await self._left[position].wait()
        finally:
            self._paused -= 1

    async def settle(self) -> None:
        """Wait until every run has an outcome, a probe was asked once where it can be, and the model was told."""
        execution = self.session.wiring.execution
        for live in list(execution.live.values()):
            if not live.run.settled and live.parent is None:
                await asyncio.wait({live.ending()}, timeout=self._within)
            if live.run.phase == "in_doubt" and live.tool.prober is not None:
                await asyncio.wait({asyncio.ensure_future(self._asked_probe.wait())}, timeout=self._within)
        await _turns()

    # -- what happens there -------------------------------------------------------------------------------------

    def barge_in(self, said: str, position: Position) -> None:
        """The caller speaks, and the words are out."""
        onset = _HOLD
        if position != "at_gate" or _HOLD not in self.session.wiring.barge_ins.open_onsets:
            self._onsets += 1
            onset = f"barge-in-{self._onsets}"
            self.session.caller_started(onset)
        self.session.caller_said(said, onset=onset)

    async def hand_off(self, to: str) -> None:
        """The conversation goes to another agent; a run that waits goes along."""
        await self.session.wiring.transfer.to(to, patience=0.0, in_place=True)

    # -- doors that a rehearsal stands in -----------------------------------------------------------------------

    async def _commit(self, commit: Callable[[Live, int], Awaitable[str]], live: Live, number: int) -> str:
        key = await commit(live, number)
        if live.parent is None:
            self.effects += 1
            await self._reached("while_committing")
        return key

    async def _passing(self, passing: Callable[[Run, int], Awaitable[None]], run: Run, attempt: int) -> None:
        if not run.parent:
            self._arrived["at_gate"].set()
        self._paused += 1
        try:
            await passing(run, attempt)
        finally:
            self._paused -= 1

    async def _returned(
        self, returned: Callable[[Live, int, Any], Awaitable[None]], live: Live, number: int, value: Any
    ) -> None:
        if live.parent is None:
            await self._reached("after_commit")
        await returned(live, number, value)

    async def _ask_probe(self, ask: Callable[[Live], Awaitable[Any]], live: Live) -> Any:
        found = await ask(live)
        asyncio.get_running_loop().call_soon(self._asked_probe.set)
        return found

    def _in_thread(self) -> bool:
        """Whether a sync body is at work in its thread: a virtual clock stands meanwhile."""
        lives = self.session.wiring.execution.live.values() if self.ports else ()
        return not self._paused and any(
            not live.tool.is_async and live.begun and not live.run.settled and not live.given_up for live in lives
        )


def _at_once(_port: RecordingPort) -> Spoken:
    return Spoken("ok", 0.0, 0.0)


async def _turns() -> None:
    """Let everything that can happen now happen."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _around(owner: object, door: str, wrapper: Callable[..., Awaitable[Any]]) -> None:
    """Put a wrapper around one method of one object; it gets the method first."""
    setattr(owner, door, partial(wrapper, getattr(owner, door)))
