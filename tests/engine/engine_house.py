"""A guard over a memory store on a virtual clock, with a recording port and a listener that is told what was meant."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from toolguard import Guard
from toolguard.core import records as r
from toolguard.core.state import State
from toolguard.engine.clock import LoopClock
from toolguard.engine.limits import Limits
from toolguard.engine.port import Traits
from toolguard.errors import StoreUnavailable
from toolguard.listen.heard import Verdict
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort, Spoken

START = datetime(2026, 1, 1, tzinfo=UTC)


def meant(heard):
    """The words are the class, and after an @ the calls that they concern: ``correction @conv-1/1``."""
    kind, _, refs = heard.text.partition(" @")
    return Verdict(kind, frozenset(refs.split()), 1.0, "told") if heard.final else None


class House:
    """What a test holds in its hands."""

    def __init__(self, guard, session, port, store):
        self.guard, self.session, self.port, self.store = guard, session, port, store

    @property
    def state(self):
        return self.session.state

    def run(self, number=1):
        return self.state.runs[number]

    def phase(self, number=1):
        return self.state.runs[number].phase.value

    def call(self, call_id, tool, generation="", **arguments):
        return self.session.receive(call_id, getattr(tool, "name", tool), arguments, generation=generation)

    def says(self, words, onset=""):
        self.session.caller_said(words, onset=onset)

    def records(self, kind=None, *, session=None):
        rows = journal_of(self.store, session or self.session.id)
        return rows if kind is None else [one for one in rows if isinstance(one, kind)]

    def kinds(self):
        return [r.NAMES[type(one)] for one in self.records()]

    def notices(self):
        return [one.code for one in self.records(r.Noticed)]

    def onset(self, name="o1"):
        self.session.caller_started(name)

    async def at_gate(self, number=1):
        await until(lambda: self.session._w.gate.waits(number))

    async def ended(self, number=1):
        await until(lambda: self.run(number).settled)


def answering(_port):
    """The model speaks whenever it is asked to."""
    return Spoken()


def journal_of(store, session):
    frames = store.read(session, limit=100_000) if store._process else _cold(store, session)
    return [r.decode(frame.kind, frame.version, frame.payload) for frame in frames]


def _cold(store, session):
    other = store.twin()
    other.open("a reader")
    try:
        return other.read(session, limit=100_000)
    finally:
        other.close()


def folded(store, session="conv-1"):
    """The state that the journal alone gives."""
    state = State(session)
    frames = store.read(session, limit=100_000) if store._process else _cold(store, session)
    for frame in frames:
        state.apply(r.decode(frame.kind, frame.version, frame.payload), frame.at)
    return state


@asynccontextmanager
async def house(
    *tools, policy=None, listener=meant, limits=None, traits=None, store=None, mode="enforce", confirm_after=None,
    replies=None, name="conv-1", caller="ana", tenant="default", port=True,
):  # fmt: skip
    store = store if store is not None else MemoryStore()
    door = RecordingPort(traits or Traits(adapter="test"), confirm_after, replies or answering) if port else None
    guard = Guard(
        store,
        tools=tools,
        policy=policy,
        listener=listener,
        limits=limits or Limits(),
        clock=LoopClock(START),
        mode=mode,
    )
    guard._entrance._trusted = True  # what tests tell is asked on the loop
    async with guard, guard.session(name, caller=caller, tenant=tenant, port=door) as session:
        if door is not None:
            door.attach(session)
        yield House(guard, session, door, store)


@asynccontextmanager
async def crashed(store, *tools, **options):
    """A house whose process dies at the end: nothing is closed, the store stays."""
    guard = Guard(store, tools=tools, listener=meant, clock=LoopClock(START), **options)
    guard._entrance._trusted = True
    port = RecordingPort(Traits(adapter="test"))
    session = await guard.enter("conv-1", agent="agent", caller="ana", port=port)
    port.attach(session)
    yield House(guard, session, port, store)
    die(guard, session)
    await turns()


def die(guard, session):
    """The process is gone: nothing is written any more, and its tasks never wake."""
    w = session._w
    w.ledger.fenced = True
    guard.journal._opened = False
    w.stop()
    for live in list(w.execution.live.values()):
        if live.task is not None:
            live.task.cancel()
    guard.journal.store.close()


async def until(condition, within=1000.0):
    """Let the loop run until something holds, in virtual time."""
    async with asyncio.timeout(within):
        turns = 0
        while not condition():
            turns += 1
            await asyncio.sleep(0 if turns < 50 else 0.01)


async def really(condition, within=5.0):
    """Let the loop run until something holds, without moving its clock."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < within, "it did not come"
        await asyncio.sleep(0)


async def turns(count=20):
    """Let everything that can happen now happen."""
    for _ in range(count):
        await asyncio.sleep(0)


class FaultyStore(MemoryStore):
    """Refuses, or holds back, what a test says.

    Attributes:
        refuses: Says for each record whether the store fails on it.
        holds: Says for each record whether its commit waits for ``go``; needs ``threaded``.
        appends: All appends that were asked for.
    """

    def __init__(self, *, refuses=None, holds=None, error=None):
        super().__init__()
        self.refuses = refuses or (lambda _record: False)
        self.holds = holds
        self.threaded = holds is not None
        self.error = error or StoreUnavailable("the store is gone")
        self.appends = []
        self.holding = threading.Event()
        self.go = threading.Event()

    def commit(self, batch):
        self.appends.extend(batch)
        records = [r.decode(d.kind, d.version, d.payload) for append in batch for d in append.drafts]
        if self.holds is not None and any(self.holds(one) for one in records):
            self.holding.set()
            assert self.go.wait(10), "nobody let the store go on"
            self.holding.clear()
            self.go.clear()
        if any(self.refuses(one) for one in records):
            raise self.error
        return super().commit(batch)

    def durable(self, kind):
        """Whether every append that held a record of ``kind`` asked for power durability."""
        flags = {append.durable for append in self.appends for draft in append.drafts if draft.kind == r.CODES[kind]}
        assert len(flags) == 1, flags
        return flags.pop()


class Effects:
    """What the outside world has seen: one entry for each time that something was done to it."""

    def __init__(self):
        self.done = []

    def __call__(self, what="done"):
        self.done.append(what)

    def __len__(self):
        return len(self.done)
