"""Sessions without a living owner are claimed one by one, and put away after the resume window (T2, H5)."""

import asyncio

import pytest
from engine_house import START, Effects, crashed, folded, house, journal_of, turns

import toolguard
from toolguard import DidNotHappen, Guard, Happened
from toolguard.core import records as r
from toolguard.core.frame import Draft
from toolguard.engine.clock import LoopClock
from toolguard.engine.limits import Limits
from toolguard.engine.recovering import Recoverer
from toolguard.stores.base import Append
from toolguard.stores.memory import MemoryStore

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def effects():
    return Effects()


@pytest.fixture
def look():
    @toolguard.read
    async def look(city: str) -> str:
        await asyncio.sleep(1)
        return "sunny"

    return look


@pytest.fixture
def book(effects):
    @toolguard.mutation(identity="who", commits="inside")
    async def book(who: str) -> str:
        await asyncio.sleep(1)
        async with toolguard.committing():
            effects(who)
        return "bk_1"

    return book


@pytest.fixture
def ship(effects):
    @toolguard.mutation(identity="who", time_limit=5, hard_limit=5)
    async def ship(who: str) -> str:
        effects(who)
        await asyncio.sleep(100)
        return "sh_1"

    @ship.probe
    async def find(attempt, who: str):
        return Happened("sh_1", evidence="the depot") if effects.done else DidNotHappen(evidence="the depot")

    return ship


def guard_on(store, *tools, **options):
    return Guard(store, tools=tools, clock=LoopClock(START), **options)


async def died(store, tool, *names, tenant="default", **arguments):
    """One process that had these sessions, each with one call half a second on its way."""
    guard = guard_on(store, tool)
    sessions = [await guard.enter(name, agent="agent", caller="ana", tenant=tenant) for name in names]
    for session in sessions:
        session.receive("c1", tool.name, arguments)
    await asyncio.sleep(0.5)
    for session in sessions:
        session.wiring.ledger.fenced = True
        session.wiring.stop()
        for live in session.wiring.execution.live.values():
            live.task.cancel()
    guard.journal._opened = False
    store.close()
    await turns()


async def taken(guard, many, within=10.0, **options):
    """The first sessions that a watch yields."""
    found = []
    watching = guard.watch(**options)
    try:
        async with asyncio.timeout(within):
            while len(found) < many:
                found.append(await anext(watching))
    except TimeoutError:
        pass
    await watching.aclose()
    return found


class TestWatch:
    async def test_t2_each_stale_session_is_recovered_and_stays_open_until_it_is_closed(self, look):
        store = MemoryStore()
        await died(store, look, "conv-1", "conv-2", city="Pune")
        async with guard_on(store.twin(), look) as guard:
            found = await taken(guard, 2)
            assert [one.id for one in found] == ["conv-1", "conv-2"]
            assert [one.recovery.resumed for one in found] == [("conv-1/1",), ("conv-2/1",)]
            assert set(guard.sessions) == {"conv-1", "conv-2"}
            await asyncio.sleep(2)
            assert [one.state.runs[1].phase.value for one in found] == ["done", "done"]
            for one in found:
                await one.close()
            assert guard.sessions == {}

    async def test_t2_two_watchers_never_get_the_same_one(self, look, monkeypatch):
        looked, look_first = [], Recoverer.look

        async def slowly(self, name, **options):
            found = await look_first(self, name, **options)
            looked.append(name)
            await asyncio.sleep(0.01)  # the other one looks at it too, before either has taken it
            return found

        monkeypatch.setattr(Recoverer, "look", slowly)
        store = MemoryStore()
        names = [f"conv-{number}" for number in range(8)]
        await died(store, look, *names, city="Pune")
        async with guard_on(store.twin(), look) as one, guard_on(store.twin(), look) as two:
            shares = await asyncio.gather(taken(one, 8, within=3), taken(two, 8, within=3))
            found = [session.id for share in shares for session in share]
            assert sorted(found) == names
            assert sorted(looked[:16]) == sorted(names * 2)

    async def test_t2_a_session_whose_owner_lives_is_left_to_it(self, look):
        store = MemoryStore()
        async with house(look, store=store), guard_on(store.twin(), look) as guard:
            assert await taken(guard, 1, within=5) == []

    async def test_a_session_that_becomes_stale_later_is_found(self, look):
        store = MemoryStore()
        watcher = guard_on(store.twin(), look)
        async with watcher:
            first = asyncio.create_task(taken(watcher, 1, within=30))
            async with crashed(store, look) as h:
                h.call("c1", look, city="Pune")
                await asyncio.sleep(5)
            (session,) = await first
            assert session.id == "conv-1"

    async def test_only_the_tenant_that_was_named(self, look):
        store = MemoryStore()
        await died(store, look, "conv-1", city="Pune", tenant="a")
        await died(store, look, "conv-2", city="Pune", tenant="b")
        async with guard_on(store.twin(), look) as guard:
            assert [one.id for one in await taken(guard, 2, within=3, tenant="b")] == ["conv-2"]

    async def test_one_that_cannot_be_recovered_does_not_keep_the_others(self, look):
        store = MemoryStore()
        await died(store, look, "conv-1", "conv-2", city="Pune")
        store.open("a newer release")
        store.commit([Append("conv-1", store.session("conv-1").epoch, (Draft(99, 1, 0, 1, b"{}"),))])
        store.close()
        async with guard_on(store.twin(), look) as guard:
            assert [one.id for one in await taken(guard, 2, within=5)] == ["conv-2"]

    async def test_a_session_that_nobody_ever_owned_is_left_to_the_requests_that_come(self, look):
        store = MemoryStore()
        store.open("a web worker")
        store.commit([Append("conv-1", None, (r.encode(r.Noticed(code="x"), int(START.timestamp() * 1e9)),))])
        store.close()
        async with guard_on(store.twin(), look) as guard:
            assert await taken(guard, 1, within=3) == []


class TestSweep:
    async def test_h5_after_the_resume_window_writes_are_stopped_and_the_session_is_over(self, book, effects):
        store = MemoryStore()
        await died(store, book, "conv-1", who="ana")
        async with guard_on(store.twin(), book) as guard:
            assert await guard.sweep() == []  # within the window nothing is put away
            await asyncio.sleep(61)
            (swept,) = await guard.sweep()
            assert (swept.session, swept.stopped, swept.in_doubt) == ("conv-1", ("conv-1/1",), ())
            assert swept.filed == ("conv-1/1",)
            assert swept.gap_ms == pytest.approx(61_500, abs=1)
            row = await guard.journal.ask(lambda one: one.session("conv-1"))
            assert (row.state, row.owner) == ("closed", "")
            assert await guard.sweep() == []
            assert guard.sessions == {}
        assert effects.done == []
        state = folded(store)
        assert (state.runs[1].phase.value, state.closed) == ("cancelled", "swept")

    async def test_h5_reads_do_not_run_again(self, look):
        store = MemoryStore()
        await died(store, look, "conv-1", city="Pune")
        await asyncio.sleep(61)
        async with guard_on(store.twin(), look) as guard:
            (swept,) = await guard.sweep()
            assert swept.stopped == ("conv-1/1",)

    async def test_h5_what_is_in_doubt_is_probed_when_its_answer_can_be_believed(self, ship, effects):
        store = MemoryStore()
        await died(store, ship, "conv-1", who="ana")
        async with guard_on(store.twin(), ship, limits=Limits(resume_window=1)) as guard:
            await asyncio.sleep(2)
            assert await guard.sweep() == []  # "did not happen" would not be believed yet
            await asyncio.sleep(5)
            (swept,) = await guard.sweep()
            assert (swept.settled, swept.in_doubt) == (("conv-1/1",), ())
        assert folded(store).runs[1].source == "probe"
        assert effects.done == ["ana"]

    async def test_d3_what_nobody_can_find_out_is_left_to_a_person(self, effects):
        @toolguard.mutation(identity="who")
        async def charge(who: str) -> str:
            effects(who)
            await asyncio.sleep(100)
            return "ch_1"

        store = MemoryStore()
        await died(store, charge, "conv-1", who="ana")
        await asyncio.sleep(61)
        async with guard_on(store.twin(), charge) as guard:
            (swept,) = await guard.sweep()
            assert swept.in_doubt == ("conv-1/1",)
            (mark,) = await guard.journal.ask(lambda one: one.open_calls(phase="in_doubt"))
            assert (mark.session, mark.call) == ("conv-1", 1)
        assert effects.done == ["ana"]

    async def test_o8_what_the_caller_never_heard_is_told_to_the_application(self, ship, effects):
        told = {}
        store = MemoryStore()
        await died(store, ship, "conv-1", who="ana")
        await asyncio.sleep(70)
        async with guard_on(store.twin(), ship, follow_up=told.__setitem__) as guard:
            await guard.sweep()
        assert [one.ref for one in told["conv-1"]] == ["conv-1/1"]

    async def test_the_watch_sweeps_too(self, book, look, effects):
        store = MemoryStore()
        await died(store, book, "conv-1", who="ana")
        await asyncio.sleep(61)
        await died(store, look, "conv-2", city="Pune")
        async with guard_on(store.twin(), book, look) as guard:
            assert [one.id for one in await taken(guard, 2, within=3)] == ["conv-2"]
            row = await guard.journal.ask(lambda one: one.session("conv-1"))
            assert row.state == "closed"
        assert effects.done == []
        assert [one.why for one in journal_of(store, "conv-1") if isinstance(one, r.Closed)] == ["swept"]
