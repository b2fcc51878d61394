"""A small world in which any history of two calls can be played, and what must hold after each of them."""

import asyncio
import contextlib
import itertools
from collections import Counter, defaultdict

from engine_house import START, journal_of, meant, turns

import toolguard
from toolguard import Guard, Phase
from toolguard.core import records as r
from toolguard.core.state import State
from toolguard.engine.clock import LoopClock
from toolguard.engine.port import Traits
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort, Spoken
from toolguard.testing.virtual import run_virtual

KINDS = (
    "noise", "backchannel", "answer", "addition", "correction", "cancellation", "stop", "other_topic", "hold_on",
    "unknown",
)  # fmt: skip
EFFECTS = ("read", "idem", "mut", "inside")
RELATIONS = ("other", "same", "differs")
ONE = ("G1", "O", *(f"S:{kind}" for kind in KINDS), "X1", "R1", "E1", "T", "L")
TWO = (*ONE, "G2", "X2", "R2", "E2")
TRAITS = Traits(adapter="test", evidence="heard", speech_ends=False)
WORLDS = {}
_NUMBERS = itertools.count(1)


class World:
    """What the bodies of one history reach: when they may go on, and what they did to the world."""

    def __init__(self):
        self.number = next(_NUMBERS)
        self.reach = defaultdict(asyncio.Event)
        self.finish = defaultdict(asyncio.Event)
        self.how = {}
        self.done = []

    def effect(self):
        self.done.append(toolguard.current_call().key)

    async def work(self, who):
        await self.finish[who].wait()
        if self.how.get(who) == "raise":
            raise ValueError("it broke")
        return who


async def _at_start(world: int, who: int) -> int:
    WORLDS[world].effect()
    return await WORLDS[world].work(who)


@toolguard.read(patience=4)
async def read(world: int, who: int, text: str = "") -> int:
    return await WORLDS[world].work(who)


@toolguard.idempotent_write(identity="who")
async def idem(world: int, who: int, text: str = "") -> int:
    return await _at_start(world, who)


@toolguard.mutation(identity="who")
async def mut(world: int, who: int, text: str = "") -> int:
    return await _at_start(world, who)


@toolguard.mutation(identity="who", commits="inside")
async def inside(world: int, who: int, text: str = "") -> int:
    await WORLDS[world].reach[who].wait()
    async with toolguard.committing():
        return await _at_start(world, who)


TOOLS = (read, idem, mut, inside)


class History:
    """Plays one history: two calls of two effects, related or not, and a sequence of moves."""

    def __init__(self, moves, effects, relation, store):
        self.moves, self.effects, self.relation = moves, effects, relation
        self.world = World()
        WORLDS[self.world.number] = self.world
        self.name = f"h{self.world.number}"
        self.store = store
        self.onsets = itertools.count(1)
        self.open = []
        self.called = []
        self.ports = []
        self.outputs = Counter()

    def __str__(self):
        return f"{' '.join(self.moves)} | {'+'.join(self.effects)} | {self.relation}"

    async def enter(self, guard):
        self.guard = guard
        port = RecordingPort(TRAITS, replies=lambda _port: Spoken("ok", 0.1, 0.5))
        self.session = await guard.enter(self.name, agent="agent", caller="ana", port=port)
        port.attach(self.session)
        self.ports.append(port)

    async def play(self):
        for move in self.moves:
            if move == "K":
                await self.crash()
            else:
                await self.move(move)
            await turns(8)

    async def move(self, move):
        match move[0]:
            case "P":
                self.plan(int(move[1]))
            case "G":
                self.world.reach[self.who(int(move[1]))].set()
            case "O":
                self.open.append(f"o{next(self.onsets)}")
                self.session.caller_started(self.open[-1])
            case "S":
                onset = self.open.pop(0) if self.open else ""
                self.session.caller_said(move[2:], onset=onset)
            case "X":
                self.session.cancelled(f"c{move[1]}")
            case "R" | "E":
                who = self.who(int(move[1]))
                self.world.how[who] = "raise" if move[0] == "E" else "return"
                self.world.finish[who].set()
            case "T":
                await asyncio.sleep(31)
            case "L":
                await asyncio.sleep(121)

    def who(self, call):
        return 1 if self.relation != "other" else call

    def plan(self, call):
        if f"c{call}" in self.called:
            return
        effect = self.effects[call - 1 if self.relation == "other" else 0]
        text = str(call) if self.relation == "differs" else ""
        self.called.append(f"c{call}")
        self.session.receive(f"c{call}", effect, {"world": self.world.number, "who": self.who(call), "text": text})

    async def crash(self):
        """The process dies and another one goes on."""
        wiring = self.session.wiring
        wiring.ledger.fenced = True
        await self.guard.journal.ask(lambda store: store.close())
        wiring.stop()
        tasks = [live.task for live in wiring.execution.live.values() if live.task is not None]
        for task in tasks:
            task.cancel()
        await turns(8)
        await self.guard.close()
        self.open.clear()
        await self.enter(fresh_guard(self.store.twin()))

    async def end(self):
        """Everything that waits may go on; then all has to be told and settled."""
        for who in (1, 2):
            self.world.reach[who].set()
            if not self.world.finish[who].is_set():
                self.world.finish[who].set()
        await asyncio.sleep(300)

    # -- what must hold -------------------------------------------------------------------------------------------

    def check(self):
        state = self.session.state
        self.every_slot_is_closed_exactly_once(state)
        self.effects_agree_with_phases(state)
        self.nothing_odd(state)
        self.the_journal_gives_the_same_state(state)

    def every_slot_is_closed_exactly_once(self, state):
        shown = Counter()
        for port in self.ports:
            shown.update(parcel.call_id for parcel in port.outputs)
        assert all(count == 1 for count in shown.values()), f"answered more than once: {shown}"
        if len(self.ports) == 1:
            assert set(shown) == set(self.called), f"answered {sorted(shown)} of {self.called}"

    def effects_agree_with_phases(self, state):
        did = Counter(self.world.done)
        for run in state.runs.values():
            if not run.effect.writes:
                continue
            acted = did[run.key] if run.key else 0
            if acted:
                assert run.phase in {Phase.DONE, Phase.IN_DOUBT}, f"it acted and is {run.phase.value}"
            else:
                assert run.phase is not Phase.DONE, "it is done and did not act"
            if run.effect == "mutation":
                assert acted <= 1, f"an occurrence acted {acted} times"
        asked = any(move[0] == "S" and move[2:] not in {"noise", "backchannel"} for move in self.moves)
        per_intent = Counter(run.intent for run in state.runs.values() if run.effect == "mutation" and did[run.key])
        assert asked or all(count == 1 for count in per_intent.values()), "the same wish acted twice, unasked"
        keys = {run.key for run in state.runs.values() if run.key}
        assert set(did) <= keys, "something acted that no run knows of"

    def nothing_odd(self, state):
        rows = journal_of(self.store, self.name)
        codes = {one.code for one in rows if isinstance(one, r.Noticed)}
        assert not codes & {"engine_fault", "policy_failed", "listener_failed"}, codes
        assert state.excluded == 0, "the engine wrote a record that the law refuses"
        commits = Counter(one.run for one in rows if isinstance(one, r.CommitBegan))
        stopped = {one.run for one in rows if isinstance(one, r.Stopped)}
        assert not stopped & set(commits), "stopped and committed"
        mutations = {run.number for run in state.runs.values() if run.effect == "mutation"}
        assert all(commits[number] <= 1 for number in mutations), "a mutation committed twice"
        assert not [run for run in state.runs.values() if run.phase.open and run.effect.writes], "a write is still open"

    def the_journal_gives_the_same_state(self, state):
        again = State(self.name)
        for frame in self.store.read(self.name, limit=100_000):
            again.apply(r.decode(frame.kind, frame.version, frame.payload), frame.at)
        assert again.excluded == 0
        assert again.runs == state.runs
        assert again.slots == state.slots
        for field in ("newest", "turns", "writes", "context", "open_runs", "unsent", "owed", "offers", "repeats"):
            assert getattr(again, field) == getattr(state, field), field


def fresh_guard(store):
    guard = Guard(store, tools=TOOLS, listener=meant, clock=LoopClock(START))
    guard._entrance._trusted = True
    return guard


def play(histories):
    """Play (moves, effects, relation) one after the other on one virtual loop; say which one broke what."""

    async def one(moves, effects, relation, store, guard):
        history = History(moves, effects, relation, store)
        try:
            await history.enter(guard if guard is not None else fresh_guard(store.twin()))
            await history.play()
            await history.end()
            history.check()
            await history.session.close()
            if guard is None:
                await history.guard.close()
        except AssertionError as error:
            raise AssertionError(f"{history}: {error}") from error
        finally:
            WORLDS.pop(history.world.number, None)

    async def everything():
        faults = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
        count = 0
        shared = MemoryStore()
        async with fresh_guard(shared) as guard:
            for moves, effects, relation in histories:
                own = "K" in moves
                store = MemoryStore() if own else shared
                with contextlib.ExitStack() as stack:
                    if own:
                        store.open("the judge")
                        stack.callback(store.close)
                    await one(moves, effects, relation, store, None if own else guard)
                assert not faults, f"{moves} {effects} {relation}: {faults}"
                count += 1
        return count

    return run_virtual(everything(), grace=0.0)
