"""Plays the second act once: the server, the caller, a worker that is killed in the middle of a charge, and another."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import toolguard
from toolguard.errors import ToolguardError
from toolguard.testing.demo.second.caller import Caller, Says
from toolguard.testing.demo.second.model import OWED, PAID, Model
from toolguard.testing.demo.second.office import effects, listed
from toolguard.testing.realtime import RealtimeServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.testing.realtime import Line

How = Literal["naive", "guarded"]
RUNS: tuple[How, ...] = ("naive", "guarded")
CONNECTS_WITHIN = 60.0
"""Seconds in which a worker has to be there: it may have to start on a busy machine."""
ENDS_WITHIN = 30.0
_LOOK = 0.02
_LISTED_AFTER = 1.0


class WorkerFailed(ToolguardError):  # noqa: N818 - named for what happened
    """A worker of the demo did not serve."""

    code = "worker_failed"


@dataclass(slots=True)
class Call:
    """What one play leaves for the judge.

    Attributes:
        how: Which application.
        ledger: The file of what has happened.
        session: The conversation in the journal, empty for the naive one.
        lines: The connections, first to last.
        problems: What was wrong with the conversation when the model was asked to speak.
        violations: Frames that the protocol does not allow.
        story: What happened, with seconds since the beginning.
        reports: What the workers told.
        killed_by: The signal that ended the first worker.
        asked_again: How often the caller had to ask again.
    """

    how: How
    ledger: Path
    session: str = ""
    lines: list[Line] = field(default_factory=list["Line"])
    problems: list[str] = field(default_factory=list[str])
    violations: list[str] = field(default_factory=list[str])
    story: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    reports: dict[str, Any] = field(default_factory=dict[str, Any])
    killed_by: int = 0
    asked_again: int = 0


async def play(how: How, home: Path, store: str, session: str) -> Call:
    """Play the act once.

    Args:
        how: Which application serves the call.
        home: The directory of the ledgers.
        store: The guard's store.
        session: The conversation's id.

    Raises:
        WorkerFailed: A worker did not serve.
    """
    call = Call(how, home / f"act-2-ledger-{how}.jsonl", session if how == "guarded" else "")
    for old in (call.ledger, listed(call.ledger), call.ledger.with_suffix(".transcript")):
        old.unlink(missing_ok=True)
    words: dict[str, str] = {}
    model = Model(words)
    async with RealtimeServer(model=model, session_seconds=None) as server:
        stage = Stage(call, server, store, words)
        try:
            await stage.act()
        finally:
            await stage.end()
        call.lines, call.problems = list(server.lines), model.problems
        call.violations = [violation.problem for violation in server.violations]
    return call


class Stage:
    """One play in the making."""

    def __init__(self, call: Call, server: RealtimeServer, store: str, words: dict[str, str]) -> None:
        self._call = call
        self._server = server
        self._store = store
        self._words = words
        self._began = time.monotonic()
        self._workers: list[asyncio.subprocess.Process] = []
        self._reading: list[asyncio.Task[None]] = []

    async def act(self) -> None:
        """Play."""
        caller = await self._is_put_through()
        await self._pays(caller)
        await self._asks(caller)

    async def _is_put_through(self) -> Caller:
        """The caller asks; the front desk looks, and puts her through while it still looks."""
        first = await self._worker()
        caller = Caller(await self._line(first), self._words)
        await self._configured(caller.line)
        self._tell('Ana asks the front desk: "What do I owe you?"')
        await caller.say(Says.OPEN, 1.2)
        caller.line = await self._line(first)
        self._tell("the front desk has put her through to billing, the look-up is still running")
        if not await caller.hears(OWED):
            self._call.asked_again += 1
            self._tell("five seconds of silence: billing knows nothing of it, so she asks again")
            await caller.say(Says.AGAIN, 1.0)
            await caller.hears(OWED)
        return caller

    async def _pays(self, caller: Caller) -> None:
        """The card is charged, and the worker dies before it can write that down."""
        self._tell('she pays: "Please take it from my card."')
        await caller.say(Says.CHARGE, 1.2)
        await self._until(lambda: self._charges == 1, "a charge")
        worker = self._workers[-1]
        with suppress(ProcessLookupError):
            worker.send_signal(signal.SIGKILL)
        self._call.killed_by = -await worker.wait()
        self._tell(f"the card is charged, and worker {worker.pid} is killed before its answer comes")

    async def _asks(self, caller: Caller) -> None:
        """Another worker goes on; the caller asks, the model charges again."""
        second = await self._worker("--again")
        caller.line = line = await self._line(second)
        await self._configured(line)
        if self._call.how == "guarded":
            await self._until(lambda: "ready" in self._call.reports, "the second worker")
        self._tell(f"worker {second.pid} goes on over a new line")
        self._tell('she asks: "Did that go through?"')
        await caller.say(Says.ASKS, 0.9)
        issued = await caller.sees(lambda: any(self._again(line)))
        if issued:
            self._tell("the model sees no result and calls charge_card again, under a new call id")
        await caller.sees(lambda: any(line.outputs(one) for one in self._again(line)))
        await asyncio.sleep(_LISTED_AFTER)
        listed(self._call.ledger).touch()
        if await caller.hears(PAID):
            self._tell(f'she hears: "{PAID}"')
        await asyncio.sleep(_LISTED_AFTER)
        await caller.say(Says.BYE, 0.5)
        await caller.hears("Goodbye")
        await line.idle()

    @staticmethod
    def _again(line: Line) -> list[str]:
        """Calls to charge that this line's own model has made: those of an earlier line were put there."""
        made = {
            frame.event["item"]["call_id"] for frame in line.sent
            if frame.type == "response.output_item.done" and frame.event["item"]["type"] == "function_call"
        }  # fmt: skip
        calls = [item for item in line.conversation if item.get("name") == "charge_card"]
        return [item["call_id"] for item in calls if item["call_id"] in made]

    @property
    def _charges(self) -> int:
        return sum(one["what"] == "charge" for one in effects(self._call.ledger))

    # -- workers and lines --------------------------------------------------------------------------------------

    async def _worker(self, *more: str) -> asyncio.subprocess.Process:
        call = self._call
        asked = ["--server", self._server.url, "--ledger", str(call.ledger), *more]
        asked += ["--naive"] if call.how == "naive" else ["--store", self._store, "--session", call.session]
        above = str(Path(toolguard.__file__).parent.parent)
        path = os.pathsep.join([above, *filter(None, [os.environ.get("PYTHONPATH")])])
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "toolguard.testing.demo.worker", *asked,
            env={**os.environ, "PYTHONPATH": path},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._workers.append(worker)
        self._reading.append(asyncio.create_task(self._read(worker)))
        return worker

    async def _read(self, worker: asyncio.subprocess.Process) -> None:
        assert worker.stdout is not None  # noqa: S101 - it was asked for
        async for raw in worker.stdout:
            self._call.reports |= json.loads(raw)

    async def _line(self, worker: asyncio.subprocess.Process) -> Line:
        """The next line, unless the worker ends before it opens one."""
        coming = asyncio.create_task(self._server.caller(CONNECTS_WITHIN))
        ended = asyncio.create_task(worker.wait())
        try:
            await asyncio.wait({coming, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                raise WorkerFailed(
                    f"worker {worker.pid} of the {self._call.how} call ended with {ended.result()}",
                    advice="What it says stands above.",
                )
            return await coming
        finally:
            for task in (coming, ended):
                task.cancel()

    async def _configured(self, line: Line) -> None:
        await self._until(lambda: bool(line.session.get("instructions")), "the session's settings")

    async def _until(self, check: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + CONNECTS_WITHIN
        while not check():
            if time.monotonic() > end:
                raise WorkerFailed(
                    f"the {self._call.how} call waited for {what} for too long",
                    advice="Try again when the machine is less busy.",
                )
            await asyncio.sleep(_LOOK)

    def _tell(self, what: str) -> None:
        self._call.story.append((round(time.monotonic() - self._began, 1), what))

    async def end(self) -> None:
        """Hang up; no worker and no reader stays behind."""
        for worker in self._workers:
            if worker.stdin is not None:
                worker.stdin.close()
        if self._call.how == "naive":
            await self._close_lines()
        for worker in self._workers:
            try:
                async with asyncio.timeout(ENDS_WITHIN):
                    await worker.wait()
            except TimeoutError:
                worker.kill()
                await worker.wait()
        await self._close_lines()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def _close_lines(self) -> None:
        for line in self._server.lines:
            if line.open:
                with suppress(Exception):
                    await line.close()
