"""Child processes: each is forked from a clean, warm server, so that a start costs little and inherits no threads."""

import asyncio
import contextlib
import fcntl
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
import traceback
from pathlib import Path

import pytest

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["toolguard", "toolguard.stores.disk"])
BOUND = 60.0
_STOPS = 50
_ONE_AT_A_TIME = threading.Lock()  # multiprocessing looks at all children whenever one is started


def wait_until(condition, bound: float = BOUND) -> None:
    """Wait until something that another process does is seen."""
    end = time.monotonic() + bound
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(condition)
        time.sleep(0.003)


def wait_for(path: Path) -> None:
    """Wait until another process has made a file."""
    wait_until(path.exists)


def child(target, *args):
    """Start a process."""
    process = _CONTEXT.Process(target=target, args=args, daemon=True)
    with _ONE_AT_A_TIME:
        process.start()
    return process


def ended(process, bound: float = BOUND) -> int:
    """Wait for a process; its exit code, negative for the signal that ended it."""
    in_time = multiprocessing.connection.wait([process.sentinel], bound)
    if not in_time:
        process.kill()
    with _ONE_AT_A_TIME:
        process.join()
        code = process.exitcode
        process.close()
    if not in_time:
        raise TimeoutError("a child did not end")
    return code


def _application(home: str):
    import app
    from loguru import logger

    logger.remove()
    app.HOME = Path(home)
    return app


# -- a process that makes one call and dies on the way ------------------------------------------------------------


def play(home: str, flow: str, session: str, last: int | str) -> None:
    """Make one call, dying at the ``last``-th place, or at the one of that name; exits 0 without it."""
    app = _application(home)
    from process_deadly import Deadly, Places

    places = Places(last, Path(home) / f"died.{session}")
    app.point = places.point
    guard = app.make_guard(Deadly(app.DiskStore(Path(home) / "journal"), places))
    asyncio.run(_play(app, guard, flow, session))


async def _play(app, guard, flow: str, session: str) -> None:
    async with guard, guard.session(session, tenant="clinic", caller="ana") as conversation:
        if flow == "stopped":
            conversation.caller_started("onset-1")
            call = asyncio.ensure_future(app.charge(session))
            while not conversation.state.runs:
                await asyncio.sleep(0)
            conversation.caller_said("no, cancel that", onset="onset-1")
            with contextlib.suppress(app.toolguard.ToolguardError):
                await call
            return
        tool = getattr(app, flow)
        with contextlib.suppress(app.toolguard.ToolguardError):
            await tool(session)


# -- a process that does what it is told --------------------------------------------------------------------------


class Actor:
    """A process with the application's guard on a shared directory, told what to do over a pipe."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = child(_act, str(home), theirs)
        theirs.close()
        self._tags = itertools.count(1)
        self._answers: dict[int, object] = {}
        self.pid = self._process.pid
        self.alive = True
        self.told: list = []
        """What it has told without being asked."""

    def start(self, what: str, *args, **kwargs) -> int:
        """Have something done; :meth:`answer` tells what came of it."""
        tag = next(self._tags)
        self._pipe.send((tag, what, args, kwargs))
        return tag

    def answer(self, tag: int, bound: float = BOUND):
        """What came of it."""
        end = time.monotonic() + bound
        while tag not in self._answers:
            if not self._pipe.poll(max(0.0, end - time.monotonic())):
                raise TimeoutError("the actor does not answer")
            self._receive()
        value = self._answers.pop(tag)
        if isinstance(value, Fault):
            pytest.fail(value.text)
        return value

    def _receive(self) -> None:
        done, value = self._pipe.recv()
        if done:
            self._answers[done] = value
        else:
            self.told.append(value)

    def hear(self, many: int, bound: float = BOUND) -> None:
        """Wait until the process has told so many things."""
        end = time.monotonic() + bound
        while len(self.told) < many:
            if not self._pipe.poll(max(0.0, end - time.monotonic())):
                raise TimeoutError("the actor tells nothing")
            self._receive()

    def do(self, what: str, *args, **kwargs):
        """Have something done and wait for it."""
        return self.answer(self.start(what, *args, **kwargs))

    def waiting(self, tag: int, seconds: float) -> bool:
        """Whether there is no answer within this time."""
        try:
            self._answers[tag] = self.answer(tag, seconds)
        except TimeoutError:
            return True
        return False

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stop(self) -> None:
        """SIGSTOP, at a moment when it does not hold its directory's lock: with it, it would stop everybody."""
        with (self._home / "journal" / "lock").open("rb") as lock:
            for _ in range(_STOPS):
                self.do("quiet")
                self.signal(signal.SIGSTOP)
                wait_until(lambda: Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                self.signal(signal.SIGCONT)
        raise TimeoutError("it was always stopped with the lock")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        ended(self._process)
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                self._receive()  # what it told before it died
        self._gone()

    def _gone(self) -> None:
        self.alive = False
        self._pipe.close()

    def end(self) -> None:
        """Close the guard and leave."""
        self.do("end")
        assert ended(self._process) == 0
        self._gone()


class Fault:
    """Something that an actor did not expect."""

    def __init__(self, text: str) -> None:
        self.text = text


def _act(home: str, pipe) -> None:
    app = _application(home)
    asyncio.run(_Stage(app, pipe).play())


class _Stage:
    def __init__(self, app, pipe) -> None:
        self._app = app
        self._pipe = pipe
        self._guard = app.make_guard(app.store_of(app.HOME), limits=app.limits_of(app.HOME))
        self._sessions = {}
        self._accepted = []
        self._over = asyncio.Event()
        self._tasks = set()

    async def play(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pipe.fileno(), self._read)
        await self._over.wait()

    def _read(self) -> None:
        while self._pipe.poll():
            try:
                tag, what, args, kwargs = self._pipe.recv()
            except EOFError:
                os._exit(3)  # the test is gone
            task = asyncio.ensure_future(self._do(tag, what, args, kwargs))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _do(self, tag: int, what: str, args, kwargs) -> None:
        try:
            value = await getattr(self, what)(*args, **kwargs)
        except Exception:  # noqa: BLE001 - carried over to the test
            value = Fault(traceback.format_exc())
        self._pipe.send((tag, value))
        if what == "end":
            self._over.set()

    async def enter(self, session: str, *, tenant: str = "clinic", caller: str = "ana") -> None:
        made = await self._guard.enter(session, agent="agent", tenant=tenant, caller=caller)
        self._sessions[session] = made

    async def hand_off(self, session: str, to: str) -> bytes:
        return (await self._sessions[session].hand_off(to=to)).to_json()

    async def accept(self, packet: bytes):
        """The agent that has it now, or the error as (name, text)."""
        accepting = self._guard.accept(packet)
        try:
            made = await accepting.__aenter__()
        except self._app.toolguard.ToolguardError as error:
            return (type(error).__name__, str(error))
        self._sessions[made.id] = made
        self._accepted.append(accepting)
        return made.agent

    async def packet(self, session: str) -> bytes:
        return self._sessions[session].packet.to_json()

    async def keep(self, session: str, **facts) -> None:
        self._sessions[session].facts.keep(**facts)

    async def recover(self, session: str, *, take: bool = False):
        """What the recovery found, or the error as (name, text)."""
        recovery = self._guard.recover(session, take=take)
        try:
            made = await recovery.__aenter__()
        except self._app.toolguard.ToolguardError as error:
            return (type(error).__name__, str(error))
        self._sessions[session] = made
        self._accepted.append(recovery)
        return {"epoch": made.recovery.epoch, "resumed": made.recovery.resumed, "followed": made.recovery.followed}

    async def watch(self, seconds: float):
        """Sessions that a watch of so many seconds has yielded; they stay open."""
        found = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for made in self._guard.watch(every=0.05):
                    self._sessions[made.id] = made
                    found.append(made.id)
        return found

    async def token(self) -> str:
        return self._guard.process

    async def call(self, session: str, tool: str, *args, **kwargs):
        """The result, or the error as (name, text)."""
        try:
            return await self._sessions[session].run(getattr(self._app, tool), *args, **kwargs)
        except self._app.toolguard.ToolguardError as error:
            return (type(error).__name__, str(error))

    async def phases(self, session: str):
        return [run.phase.value for run in self._sessions[session].state.runs.values()]

    async def until(self, session: str, phase: str):
        """Wait until the session's newest run stands in ``phase`` in this process's own eyes, and has landed so."""
        end = time.monotonic() + BOUND
        while (await self.phases(session))[-1:] != [phase]:
            if time.monotonic() > end:
                raise TimeoutError((phase, await self.phases(session)))
            await asyncio.sleep(0.01)
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until the writer has nothing to do, not even house-keeping: it holds no lock."""
        for _ in range(2):
            await self._guard.journal.ask(lambda _store: None)

    async def until_fenced(self, session: str):
        """Wait until this process knows that somebody else owns the session."""
        end = time.monotonic() + BOUND
        while not self._sessions[session].wiring.ledger.fenced:
            if time.monotonic() > end:
                raise TimeoutError(session)
            await asyncio.sleep(0.005)

    async def until_claimed(self, session: str, tool: str):
        """Wait until the claim on the session's newest run of ``tool`` says how it ended."""
        run = [run for run in self._sessions[session].state.runs.values() if run.tool == tool][-1]
        end = time.monotonic() + BOUND
        while b'"state":"running"' in (await self._guard.journal.ask(lambda store: store.claim(run.intent)))[1]:
            if time.monotonic() > end:
                raise TimeoutError(tool)
            await asyncio.sleep(0.005)

    async def until_new_token(self, old: str) -> str:
        """Wait until this process has noticed that it was found dead, and works under a new token."""
        end = time.monotonic() + BOUND
        while self._guard.process == old or self._guard._owner.lease.short:
            if time.monotonic() > end:
                raise TimeoutError(old)
            await asyncio.sleep(0.01)
        return self._guard.process

    async def until_dead(self, process: str):
        """Wait until the store says that another process lives no more."""
        end = time.monotonic() + BOUND
        while await self._guard.journal.ask(lambda store: store.alive(process)):
            if time.monotonic() > end:
                raise TimeoutError(process)
            await asyncio.sleep(0.02)

    async def leave(self, session: str) -> None:
        await self._sessions.pop(session).close()

    async def hammer(self, sessions: list[str], rounds: int):
        """Many calls in many sessions at once; tells every acknowledged outcome over the pipe."""

        async def one(session: str) -> None:
            await self.enter(session)
            for number in range(rounds):
                who = f"{session}.{number}"
                for tool in ("look", "note", "charge"):
                    made = await self._sessions[session].run(getattr(self._app, tool), who)
                    self._pipe.send((0, (session, tool, who, made)))
            await self.leave(session)

        await asyncio.gather(*(one(session) for session in sessions))

    async def end(self) -> None:
        await self._guard.close()
