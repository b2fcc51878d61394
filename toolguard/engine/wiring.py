"""How the parts of one session are put together, and what has to happen to all of them at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from toolguard.engine.abreast import Abreast
from toolguard.engine.barge_in import BargeIns
from toolguard.engine.claims import Claims
from toolguard.engine.decisions import Decisions
from toolguard.engine.delivery import Delivery
from toolguard.engine.ears import Ears
from toolguard.engine.estate import Estate
from toolguard.engine.execution import Execution
from toolguard.engine.farewell import Farewell
from toolguard.engine.gate import Gate
from toolguard.engine.intake import Intake
from toolguard.engine.judging import Judge
from toolguard.engine.opening import VisitIntake
from toolguard.engine.takeover import Takeover
from toolguard.engine.transfer import Transfer
from toolguard.engine.verdicts import Verdicts
from toolguard.engine.visit_delivery import VisitDelivery
from toolguard.tools.secret import secrets_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolguard.core.policy import Policy
    from toolguard.core.slots import Run
    from toolguard.engine.asking import Asker
    from toolguard.engine.batch import Entry
    from toolguard.engine.fresh import FreshReads
    from toolguard.engine.keys import Keys
    from toolguard.engine.ledger import Ledger
    from toolguard.engine.limits import Limits
    from toolguard.engine.lookout import Lookout
    from toolguard.engine.port import Port, Traits
    from toolguard.engine.transfer import Sealing
    from toolguard.listen.heard import Listener
    from toolguard.tools.tool import Tool


class Wiring:
    """The parts of one session."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        limits: Limits,
        tools: Callable[[str], Tool[Any, Any] | None],
        policy: Policy | None,
        listener: Listener,
        trusted_listener: bool,
        asker: Asker,
        port: Port | None,
        watching: bool,
        secret: bytes,
        sealing: Sealing,
        paused: Callable[[str], str],
        fresh: FreshReads | None,
        lookout: Lookout,
        keys: Keys,
        finish: Callable[[Wiring, Entry | None, bool], Awaitable[None]],
    ) -> None:
        self.ledger = ledger
        self.limits = limits
        self._brought: dict[str, Tool[Any, Any]] = {}
        tools = self._with_brought(tools)
        self.keys = keys
        self.gate = Gate(ledger)
        self.execution = Execution(ledger, self.gate, limits, self._key)
        self.judge = Judge(ledger, self.execution, secret)
        self.execution.fresh, self.execution.scope_of = fresh, self.judge.scope
        self.claims = Claims(ledger, lookout)
        self.estate = Estate(ledger, limits)
        takeover = Takeover(self.execution, self.claims, tools)
        self.claims.on_known = takeover.learn
        self.abreast = Abreast(self.execution, self.claims, takeover, lookout, tools)
        self.delivery = (
            VisitDelivery(ledger, self.execution, limits, partial(_patience, tools))
            if ledger.visiting
            else Delivery(ledger, self.execution, port, limits, silent=watching)
        )
        self.execution.told = self.delivery.pump
        self.farewell = Farewell(self.gate, self.delivery, limits)
        self.decisions = Decisions(self.execution, self.delivery, Verdicts(self.execution, policy, asker))
        self.barge_ins = BargeIns(
            self.execution,
            self.delivery,
            self.decisions,
            Ears(self.execution, listener, trusted=trusted_listener, asker=asker, limit=limits.settle),
            limits,
        )
        taking = VisitIntake if ledger.visiting else Intake
        self.intake = taking(
            self.execution,
            self.delivery,
            self.judge,
            self.claims,
            self.estate,
            self.barge_ins,
            tools=tools,
            paused=paused,
        )
        self.intake.abreast = self.abreast
        self.barge_ins.on_answer = self.intake.approvals.heard
        self.intake.on_terminal = self.farewell.expect
        self.transfer = Transfer(self.execution, self.delivery, self.barge_ins, sealing)
        self.transfer.marked = lambda tool: secrets_of(self.intake.tools(tool))
        self._finish = finish

    def _key(self, run: Run) -> str:
        return self.judge.key(run)

    def _with_brought(self, given: Callable[[str], Tool[Any, Any] | None]) -> Callable[[str], Tool[Any, Any] | None]:
        return lambda name: self._brought.get(name) or given(name)

    def bring(self, tool: Tool[Any, Any]) -> None:
        """A tool that the framework's agent has brought along is one of the session's from here on."""
        self._brought[tool.name] = tool

    @property
    def traits(self) -> Traits | None:
        """What the framework can do; None without one."""
        return self.delivery.traits

    def pass_on(self, tools: Callable[[str], Tool[Any, Any] | None], port: Port | None) -> None:
        """The next agent's tools and way out; what runs goes on with its holds and its limits (H1)."""
        self.intake.tools = self._with_brought(tools)
        self.barge_ins.moved()
        self.delivery.move(port)
        self.transfer.waiting = ""
        self.intake.approvals.moved()

    def stop(self) -> None:
        """Nothing of this session may fire any more."""
        self.barge_ins.holds.stop()
        self.delivery.stop_timers()
        self.farewell.stop()
        self.intake.approvals.stop()
        self.abreast.stop()
        self.estate.stop()
        for task in self.intake.looking.values():
            task.cancel()
        self.barge_ins.forget()
        for live in list(self.execution.live.values()):
            self.execution.disarm(live)
            over = live.run.settled and not live.run.effect.writes
            if (over or (live.given_up and live.run.phase.uncommitted)) and live.task is not None:
                live.task.cancel()

    async def finish(self, entry: Entry | None, *, resumable: bool) -> None:
        """Wait for the last record, give the session back to the store, tell the guard; without one only the last."""
        await self._finish(self, entry, resumable)


def _patience(tools: Callable[[str], Tool[Any, Any] | None], name: str) -> float:
    """How long a call of a tool waits for its answer; one of an unknown tool has its answer already."""
    tool = tools(name)
    return tool.spec.patience if tool is not None else 0.0
