"""Lets chance loose on a running system: kills, stops, drops, restarts, hand-offs, and callers who go on talking."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from toolguard import Guard
from toolguard.testing.realtime import RealtimeServer

from .callers import Caller, Counts
from .fleet import START, Worker
from .world import TOOLS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import ExitStack
    from pathlib import Path

    from toolguard.testing.realtime import Line

_CODES = (1000, 1001, 1011, 1006)
_LONG = 13.0
"""Seconds of a stop that outlasts a lease."""
_SILENCE = 20.0
"""Seconds without a line after which a session is opened elsewhere."""


class Plan(Protocol):
    """What was asked for."""

    seconds: float
    sessions: int
    workers: int
    store: str
    appendfsync: str
    seed: str
    home: Path | None
    json: bool


class Play:
    """One run.

    Args:
        plan: How long, how many, on what.
        home: Where the ledger, the logs and a disk store lie.
        stack: Where servers are ended.
        dice: What chance does next.
    """

    def __init__(self, plan: Plan, home: Path, stack: ExitStack, dice: random.Random) -> None:
        self.plan = plan
        self.home = home
        self.dice = dice
        self.server: Any = None
        self.place = self._store(stack)
        self.callers: list[Caller] = []
        self.lines: list[Line] = []
        self.done_to_it: Counter[str] = Counter()
        self.broken: list[str] = []
        self.counts = Counts()
        self._workers: list[Worker] = []
        self._where: dict[str, Worker] = {}
        self._since: dict[str, float] = {}
        self._packets: dict[str, asyncio.Future[str | None]] = {}
        self._numbers = 0
        self._url = ""

    @property
    def forms(self) -> dict[str, int]:
        """What callers were told, by form."""
        return self.counts.forms

    def _store(self, stack: ExitStack) -> str:
        if self.plan.store == "disk":
            return str(self.home / "journal")
        folder = self.home / "server"
        folder.mkdir(exist_ok=True)
        if self.plan.store == "redis":
            from toolguard.testing.stores.valkey import valkey

            self.server = stack.enter_context(valkey(folder, appendfsync=self.plan.appendfsync))
        else:
            from toolguard.testing.stores.postgres import postgres

            self.server = stack.enter_context(postgres(folder))
        return str(self.server.url)

    # -- the run ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Everything, from the first worker to the last sweep."""
        async with RealtimeServer(session_seconds=None) as provider:
            provider.on_connect(self._connected)
            self._url = provider.url
            await asyncio.gather(*(self._start() for _ in range(self.plan.workers)))
            beside = [asyncio.create_task(one()) for one in (self._progress, self._keep_served, self._let_loose)]
            try:
                self._begin()
                await self._until_done()
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
                for caller in self.callers:
                    caller.stop()
                await self._end()
            self.broken += [f"a frame that the protocol forbids: {one.problem}" for one in provider.violations[:5]]
        await self._sweep()
        self.done_to_it["calls made by the model"] = self.counts.calls
        self.done_to_it["calls made again"] = self.counts.again
        self.done_to_it["times a caller spoke"] = self.counts.barge_ins

    def _begin(self) -> None:
        for number in range(self.plan.sessions):
            caller = Caller(f"conv-{number + 1}", f"{self.plan.seed}/{number}", self.counts)
            self.callers.append(caller)
            self._open(caller.session, self.dice.choice(self._workers))

    async def _until_done(self) -> None:
        await asyncio.sleep(self.plan.seconds)
        for caller in self.callers:
            caller.enough = True
        self._say("enough: the callers finish what they have begun")
        waiting = [asyncio.create_task(caller.done.wait()) for caller in self.callers]
        _, pending = await asyncio.wait(waiting, timeout=max(30.0, self.plan.seconds / 2))
        for task in pending:
            task.cancel()
        self.done_to_it["callers who did not finish"] = len(pending)

    async def _end(self) -> None:
        for session, worker in list(self._where.items()):
            worker.tell(do="close", session=session)
        await asyncio.sleep(1.0)
        well = await asyncio.gather(*(worker.end(40.0) for worker in self._workers))
        self.broken += ["a worker did not end when it was told to" for one in well if not one]

    async def _sweep(self) -> None:
        """What nobody owns any more is closed, as the sweep of a living process would do it."""
        async with Guard(self.place, tools=TOOLS) as guard:
            end = time.monotonic() + 60.0
            while time.monotonic() < end:
                rows = await guard.journal.ask(lambda store: store.stale(limit=1000))
                if not rows:
                    return
                for row in rows:
                    async with guard.recover(row.session, take=True) as conversation:
                        await _settled(conversation)
            self.broken.append("sessions without an owner were left after a minute of sweeping")

    # -- workers ------------------------------------------------------------------------------------------------

    async def _start(self) -> Worker:
        self._numbers += 1
        worker = Worker(self._numbers, self._heard)
        await worker.start(self.home, self.place, self._url)
        try:
            async with asyncio.timeout(START):
                await worker.ready.wait()
        except TimeoutError:
            raise RuntimeError(f"worker {worker.number} did not start; see {self.home}") from None
        self._workers.append(worker)
        return worker

    def _open(self, session: str, worker: Worker) -> None:
        old = self._where.get(session)
        if old is not None:
            old.sessions.discard(session)
        self._where[session] = worker
        self._since[session] = time.monotonic()
        worker.sessions.add(session)
        worker.tell(do="open", session=session)

    def _heard(self, worker: Worker, said: dict[str, Any]) -> None:
        session = said.get("session") or said.get("left")
        if "packet" in said and session in self._packets:
            future = self._packets.pop(session)
            if not future.done():
                future.set_result(said["packet"])
        elif "left" in said and said["why"] != "cancelled" and self._where.get(session or "") is worker:
            why = str(said["why"])[:90]
            self.done_to_it[f"lines lost: {why}"] += 1
            caller = self._caller(session or "")
            if caller is not None and not caller.done.is_set():
                asyncio.get_running_loop().call_later(0.3, self._again, session)

    def _again(self, session: str) -> None:
        worker = self._where.get(session)
        if worker is None or not worker.alive or worker.stopped:
            worker = self._healthy()
        if worker is not None:
            self._open(session, worker)

    def _healthy(self) -> Worker | None:
        fit = [worker for worker in self._workers if worker.alive and not worker.stopped]
        return self.dice.choice(fit) if fit else None

    def _caller(self, session: str) -> Caller | None:
        return next((caller for caller in self.callers if caller.session == session), None)

    def _connected(self, line: Line) -> None:
        self.lines.append(line)
        caller = self._caller(line.query.get("call", ""))
        if caller is not None:
            self._since[caller.session] = time.monotonic()
            caller.connected(line)

    async def _keep_served(self) -> None:
        """As an operator would: a caller who hears nothing for long is put through to somebody else."""
        while True:
            await asyncio.sleep(1.0)
            for caller in self.callers:
                live = any(line.open for line in caller.lines[-2:])
                if live or caller.done.is_set():
                    self._since[caller.session] = time.monotonic()
                elif time.monotonic() - self._since.get(caller.session, 0.0) > _SILENCE:
                    self.done_to_it["put through again"] += 1
                    worker = self._healthy()
                    if worker is not None:
                        self._open(caller.session, worker)

    # -- chance -------------------------------------------------------------------------------------------------

    async def _let_loose(self) -> None:
        await asyncio.sleep(min(5.0, self.plan.seconds / 4))
        acts: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (0.34, self._drop), (0.2, self._hand_off), (0.16, self._hand_away), (0.12, self._stop), (0.06, self._stop_long),
            (0.08, self._kill), (0.04, self._restart_store),
        ]  # fmt: skip
        end = time.monotonic() + self.plan.seconds - 8.0
        pace = 120.0 / (self.plan.seconds + 1) if self.plan.seconds < 120 else 1.0
        while time.monotonic() < end:
            await asyncio.sleep(self.dice.uniform(0.1, 0.8) / pace)
            act = self.dice.choices([one for _, one in acts], [weight for weight, _ in acts])[0]
            await act()

    async def _drop(self) -> None:
        open_ = [line for line in self.lines if line.open]
        if not open_:
            return
        line, code = self.dice.choice(open_), self.dice.choice(_CODES)
        self.done_to_it[f"sockets closed with {code}" if code != 1006 else "sockets cut"] += 1
        if code == 1006:
            line.drop()
        else:
            with suppress(Exception):
                await line.close(code, "bad luck")

    async def _hand_off(self) -> None:
        session = self.dice.choice(self.callers).session
        worker = self._where.get(session)
        if worker is not None and worker.alive:
            self.done_to_it["hand-offs in one process"] += 1
            worker.tell(do="hand_off", session=session, to="billing", away=False)

    async def _hand_away(self) -> None:
        session = self.dice.choice(self.callers).session
        old, new = self._where.get(session), self._healthy()
        if old is None or new is None or new is old or not old.alive or old.stopped:
            return
        waiting = self._packets[session] = asyncio.get_running_loop().create_future()
        old.tell(do="hand_off", session=session, to="billing", away=True)
        try:
            async with asyncio.timeout(8.0):
                packet = await waiting
        except TimeoutError:
            return
        if packet and self._where.get(session) is old and new.alive:
            self.done_to_it["hand-offs to another process"] += 1
            old.sessions.discard(session)
            self._where[session] = new
            new.sessions.add(session)
            new.tell(do="accept", session=session, packet=packet)

    async def _stop(self) -> None:
        worker = self._healthy()
        if worker is not None:
            self.done_to_it["workers stopped for a moment"] += 1
            worker.signal(signal.SIGSTOP)
            asyncio.get_running_loop().call_later(self.dice.uniform(0.1, 2.0), worker.signal, signal.SIGCONT)

    async def _stop_long(self) -> None:
        """Longer than its lease: its sessions are put through to others meanwhile, then it wakes up."""
        worker = self._healthy()
        others = [one for one in self._workers if one is not worker and one.alive and not one.stopped]
        if worker is None or not others:
            return
        self.done_to_it["workers stopped past their lease"] += 1
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(_LONG)
        for session in list(worker.sessions):
            self._open(session, self.dice.choice(others))
        await asyncio.sleep(0.5)
        worker.signal(signal.SIGCONT)

    async def _kill(self) -> None:
        worker = self._healthy()
        if worker is None:
            return
        self.done_to_it["workers killed"] += 1
        worker.signal(signal.SIGKILL)
        await worker.gone(10.0)
        self._workers.remove(worker)
        await self._start()
        for session in list(worker.sessions):
            if self._where.get(session) is worker:
                self._open(session, self._healthy() or self._workers[-1])

    async def _restart_store(self) -> None:
        if self.server is None:
            return
        self.done_to_it["store restarted"] += 1
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(self.dice.uniform(0.0, 1.0))
        await asyncio.to_thread(self.server.start)

    # -- progress -----------------------------------------------------------------------------------------------

    async def _progress(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(5.0)
            live = sum(line.open for line in self.lines)
            self._say(
                f"{time.monotonic() - began:4.0f} s: {live} lines, {self.counts.calls} calls,"
                f" {sum(self.forms.values())} outcomes, {self.done_to_it['workers killed']} kills"
            )

    @staticmethod
    def _say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


async def _settled(conversation: Any) -> None:
    """Wait until nothing of a recovered session is in motion any more, as long as probes may take."""
    end = time.monotonic() + 15.0
    while time.monotonic() < end:
        runs = conversation.state.runs.values()
        if all(run.phase.final or (run.tool == "order" and run.committed_at) for run in runs):
            return
        await asyncio.sleep(0.05)
