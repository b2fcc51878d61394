"""Bodies in tasks of our own: what a body does becomes records, and nothing past its commit is ever taken back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.core.call import ToolCall
from toolguard.core.effect import Effect
from toolguard.core.law import Phase, Ruling
from toolguard.engine.attempts import Attempts
from toolguard.engine.clock import moment
from toolguard.engine.committing import Commits
from toolguard.engine.live import Live
from toolguard.engine.outcome import Outcomes
from toolguard.errors import ClaimLost, Fenced, Refused, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from toolguard.core.slots import Run
    from toolguard.engine.batch import Entry
    from toolguard.engine.fresh import FreshReads
    from toolguard.engine.gate import Gate
    from toolguard.engine.lease import Lease
    from toolguard.engine.ledger import Ledger
    from toolguard.engine.limits import Limits
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool

_SUSPENDED = "suspended"
_LOOK_AGAIN = 0.5


class Execution:
    """All runs in motion of one session.

    Args:
        ledger: The session's book.
        gate: The session's gate.
        limits: The session's limits.
        keys: Gives a run's idempotency key.
    """

    def __init__(self, ledger: Ledger, gate: Gate, limits: Limits, keys: Callable[[Run], str]) -> None:
        self.ledger = ledger
        self.gate = gate
        self.limits = limits
        self.keys = keys
        self.live: dict[int, Live] = {}
        self.unrecorded: set[int] = set()
        self.landing: set[int] = set()
        """Runs whose outcome is known and on its way into the store: nobody is told before it is there (W3)."""
        self.fresh: FreshReads | None = None
        self.scope_of: Callable[[str], str] = lambda _scope: ""
        self.outcomes = Outcomes(self)
        self._attempts = Attempts(self, self.outcomes)
        self._commits = Commits(self)
        self.lease: Lease | None = None
        self.on_settled: Callable[[Live], None] = lambda _live: None
        self.on_ending: Callable[[Run], None] = lambda _run: None
        self.on_value: Callable[[Live, Any], Awaitable[Any]] | None = None
        """The last step of a body, inside it: makes of what it returned what can be kept; an adapter may set it."""
        self.told: Callable[[], None] = lambda: None
        """Called when others have said something about the session's runs."""
        self.on_overdue: Callable[[Live], None] = lambda _live: None
        self.on_refused: Callable[[Live, StoreError], None] = lambda _live, _error: None
        self.take_child: Callable[[Live, Tool[Any, Any], Arguments], Awaitable[Any]] | None = None

    def start(
        self,
        run: Run,
        tool: Tool[Any, Any],
        arguments: Arguments,
        *,
        injected: Mapping[str, Any],
        planned: Entry | None,
        parent: Live | None = None,
        waits_for: Live | None = None,
        behind: Live | None = None,
    ) -> Live:
        """Set a planned run in motion, in a task that no framework owns; ``behind`` has to end before it begins."""
        live = Live(run, tool, arguments, injected=injected, planned=planned, parent=parent, waits_for=waits_for)
        self.live[run.number] = live
        if parent is not None:
            parent.children.append(live)
        live.task = asyncio.create_task(self._drive(live, behind), name=f"toolguard:{run.tool}")
        return live

    def adopt(self, run: Run, tool: Tool[Any, Any], arguments: Arguments, *, settled: bool = True) -> Live:
        """Keep an eye on a run whose body is gone, or (not ``settled``) goes on in another process."""
        live = Live(run, tool, arguments, injected={}, planned=None)
        if settled:
            live.given_up = True
            live.tell()
        self.live[run.number] = live
        return live

    async def _drive(self, live: Live, behind: Live | None) -> None:
        try:
            await self._earlier(live, behind)
            unmet = await self._unmet(live)
            if unmet:
                self.outcomes.fail(live, 1, "not_run", f"{unmet} did not succeed", refused=True)
                return
            if live.planned is not None and live.run.effect.writes and live.spec.commits == "inside":
                await self.ledger.journal.fate(live.planned, within=self.limits.commit)
            await self._attempts.all(live)
        except (ClaimLost, Fenced) as error:
            self.on_refused(live, error)
        except (StoreError, TimeoutError) as error:
            self.outcomes.fail(live, max(live.run.attempt, 1), "store_unavailable", str(error), refused=True)
        except asyncio.CancelledError:
            self.outcomes.cut(live)
        except Exception as error:  # noqa: BLE001 - the engine's own fault must still end in one answer
            self.notice("engine_fault", f"{type(error).__name__}: {error}", run=live.run.number)
            self.outcomes.cut(live)
        finally:
            if live.run.settled or not live.given_up:
                self.disarm(live)
            if live.run.phase.final:
                self.gate.forget(live.run.number)
                self.live.pop(live.run.number, None)

    async def _earlier(self, live: Live, behind: Live | None) -> None:
        if behind is not None:
            await behind.ending()
        if live.waits_for is not None:
            await self._older(live.waits_for)

    async def _older(self, live: Live) -> None:
        """Newer content waits for an older write; for one in doubt until its request cannot arrive any more (D2)."""
        await live.ending()
        while live.run.phase is Phase.IN_DOUBT and self.outcomes.quarantine_left(live) > 0:  # noqa: ASYNC110 - time
            await asyncio.sleep(min(self.outcomes.quarantine_left(live), _LOOK_AGAIN))

    async def _unmet(self, live: Live) -> str:
        """Wait for what the tool requires; the name of the first that did not end done, or nothing (O9)."""
        for name in live.tool.spec.requires:
            while True:
                before = [n for n, run in self.ledger.state.runs.items() if run.tool == name and n < live.run.number]
                other = self.live.get(max(before, default=0))
                if other is None or not other.run.phase.open or other.given_up or other.told:
                    break
                await other.ending()
            if not before or self.ledger.state.runs[max(before)].phase is not Phase.DONE:
                return name
        return ""

    async def commit(self, live: Live, number: int) -> str:
        """Pass the gate, write the commit record, hand out the key (W1, W2).

        Raises:
            Refused: The run was stopped, or the record could not be written; nothing happened.
        """
        return await self._commits.begin(live, number)

    def arm(self, live: Live) -> None:
        """Start the time limit of a run that has passed its gate, or go on with the rest of it (G7)."""
        self._attempts.arm(live, live.spec.time_limit, started=True)

    def stop(self, number: int, reason: str, interrupt: str = "") -> bool:
        """Stop a run before its effect; False where that is not possible any more (I09)."""
        live = self.live.get(number)
        run = self.ledger.state.runs.get(number)
        if run is None or not (run.phase.uncommitted or (live is not None and live.window)):
            return False
        if live is not None:
            live.stop_reason = reason
            for child in live.children:
                self.stop(child.run.number, reason, interrupt)
        if live is not None and live.window:
            self.gate.stop(number, reason)
            return True
        self.ledger.write(
            r.Stopped(run=number, attempt=max(run.attempt, 1), reason=reason, interrupt=interrupt),
            durable=run.effect is Effect.MUTATION,
        )
        self.gate.stop(number, reason)
        if live is not None:
            self.finish(live)
            if live.task is not None:
                live.task.cancel()
        return True

    def finish(self, live: Live) -> None:
        """There is something to tell: wake whoever waits for the run, once for each new outcome."""
        self.disarm(live)
        live.tell()
        self.on_settled(live)

    def overdue(self, live: Live) -> None:
        """The time limit is over: an uncommitted write is stopped, anything else goes on unwaited (G7)."""
        run = live.run
        live.timer = None
        spec = live.spec
        if run.effect.writes and live.stoppable:
            self.stop(run.number, f"it took longer than {spec.time_limit:g} s before it was committed")
            return
        if run.settled:
            return
        self.on_overdue(live)
        rest = max(0.0, spec.hard_limit - spec.time_limit)
        live.timer = asyncio.get_running_loop().call_later(rest, self.give_up, live)

    def give_up(self, live: Live, why: str = "") -> None:
        """Let a run go at its hard limit: a committed write is in doubt, a read fails for now (G7, L4)."""
        live.timer = None
        run = live.run
        if run.settled or live.given_up:
            return
        live.given_up = True
        lost = r.Lost(
            run=run.number,
            attempt=max(run.attempt, 1),
            why=why or f"no outcome within {live.spec.hard_limit:g} s",
            for_good=not why,
        )
        self.ledger.write(lost, durable=run.effect.writes)
        self.finish(live)
        if run.phase is Phase.IN_DOUBT:
            self.outcomes.look_into(live)

    def disarm(self, live: Live, *, keep: bool = False) -> None:
        """Stop the time limit; with ``keep`` the rest of it is kept (it pauses at the gate)."""
        if live.timer is not None:
            live.timer.cancel()
            live.timer = None
            if keep:
                live.time_left = max(0.0, live.timer_due - asyncio.get_running_loop().time())

    def suspend(self, number: int) -> None:
        """Keep an uncommitted write from its effect for good: whoever resumes it goes on; one in its window ends."""
        live = self.live.get(number)
        if live is not None and live.window:
            self.stop(number, "the process went down before its effect")
        else:
            self.gate.hold(number, _SUSPENDED)

    async def drain(self, seconds: float, *, reads: bool) -> list[Live]:
        """Wait for committed runs, and perhaps for reads, to end; what is left is to be let go (G7)."""
        waiting = [live for live in self.live.values() if not live.run.settled]
        tasks = [
            live.task
            for live in waiting
            if live.task is not None
            and not live.task.done()
            and (reads or live.run.effect.writes)
            and _SUSPENDED not in self.gate.holds(live.run.number)
        ]
        if tasks and seconds > 0:
            await asyncio.wait(tasks, timeout=seconds)
        return [live for live in waiting if not live.run.settled]

    def notice(self, code: str, text: str, *, call: int = 0, run: int = 0, **data: Any) -> None:
        """Put something abnormal into the trail (I24)."""
        self.ledger.write(r.Noticed(code=code, text=text[:2000], call=call, run=run, data=data))

    async def child(self, live: Live, tool: Tool[Any, Any], arguments: Arguments) -> Any:
        """A guarded tool called by a running body (W8)."""
        if self.take_child is None:
            raise Refused("this session takes no nested calls", ref=self.ledger.state.run_ref(live.run))
        return await self.take_child(live, tool, arguments)

    def admits(self, record: r.RunRecord) -> Ruling:
        """What the law says about a record."""
        return self.ledger.state.ruling(record)[0]

    def view(self, run: Run, *, phase: Phase | None = None) -> ToolCall:
        """A run as policies and bodies see it."""
        live = self.live.get(run.number)
        arguments = live.plain if live is not None else r.plain_arguments(run.arguments)
        return ToolCall(
            ref=self.ledger.state.run_ref(run),
            tool=run.tool,
            effect=run.effect,
            phase=phase or run.phase,
            arguments=arguments,
            progress=run.progress,
            key=run.key or (self.keys(run) if run.effect.writes else ""),
            began_at=moment(run.began_at) if run.began_at else None,
            agent=self.ledger.state.agent,
            terminal=run.terminal,
        )
