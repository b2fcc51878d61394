"""A session from its opening to its end: closing, observing, handing off, approving, pausing, the feed."""

import asyncio
import json

import pytest
from engine_house import Effects, FaultyStore, folded, house, journal_of, turns, until

import toolguard
from toolguard import Approval, Guard, Phase
from toolguard.core import records as r
from toolguard.engine.port import Traits
from toolguard.errors import (
    DeclarationError,
    NoSession,
    SessionClosed,
    StoppedBeforeEffect,
    StoreError,
    StoreUnavailable,
    ToolFailed,
    ToolguardError,
)
from toolguard.stores.memory import MemoryStore

pytestmark = pytest.mark.virtual_time
HEARS = Traits(adapter="test", speech_ends=True)


@pytest.fixture
def effects():
    return Effects()


@pytest.fixture
def charge(effects):
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        effects(who)
        await asyncio.sleep(1)
        return "ch_1"

    return charge


@toolguard.read
async def look(city: str) -> str:
    await asyncio.sleep(1)
    return "sunny"


async def test_a_tool_inside_a_session_is_called_like_a_function(charge):
    async with Guard(MemoryStore(), tools=[charge]) as guard, guard.session("conv-1"):
        assert await charge("ana") == "ch_1"


async def test_a_tool_outside_a_session_says_how_to_call_it(charge):
    with pytest.raises(NoSession, match=r"conversation\.run\(charge"):
        await charge("ana")
    assert await charge.unguarded("ana") == "ch_1"


async def test_a_guard_is_lazy_and_opens_with_its_first_session(charge):
    guard = Guard(MemoryStore(), tools=[charge])
    async with guard.session("conv-1") as session:
        assert await session.run(charge, "ana") == "ch_1"
    await guard.close()


async def test_closing_twice_is_closing_once(charge):
    async with house(charge) as h:
        await h.session.close()
        await h.session.close()
        assert h.kinds().count("closed") == 1


async def test_leaving_the_guard_closes_its_sessions_as_a_shutdown(charge):
    store = MemoryStore()
    async with Guard(store, tools=[charge]) as guard:
        session = await guard.enter("conv-1", agent="agent")
        session.receive("c1", "charge", {"who": "ana"})
        await turns()
    assert folded(store).runs[1].phase is Phase.DONE
    assert folded(store).closed == "shutdown"


async def test_a_read_is_finished_in_the_drain_window_of_a_hang_up():
    async with house(look) as h:
        store = h.store
        h.call("c1", look, city="Pune")
    assert folded(store).runs[1].phase is Phase.DONE


async def test_a_read_is_left_to_whoever_resumes_at_a_shutdown():
    async with house(look) as h:
        store = h.store
        h.call("c1", look, city="Pune")
        await turns()
        begun = asyncio.get_running_loop().time()
        await h.session.close("shutdown")
        assert asyncio.get_running_loop().time() == begun
    assert folded(store).runs[1].phase is Phase.PLANNED
    async with house(look, store=store) as h:
        await h.ended()
        assert h.phase() == "done"


async def test_every_call_is_closed_when_the_session_ends_and_those_unsent_are_named(charge):
    async with house(charge) as h:
        store = h.store
        h.session.dropped("provider")
        h.call("c1", charge, who="ana")
    assert [one.unfinished for one in journal_of(store, "conv-1") if isinstance(one, r.Closed)] == [(1,)]


async def test_nothing_fires_after_the_end(charge):
    async with house(charge, traits=HEARS) as h:
        h.onset()
        h.call("c1", charge, who="ana")
        h.session.dropped("caller")
        await h.session.close()
        before = len(h.records())
        await asyncio.sleep(3600)
        assert len(h.records()) == before


@pytest.mark.parametrize("report", [
    lambda s: s.caller_started("o1"), lambda s: s.caller_stopped("o1"), lambda s: s.caller_said("stop"),
    lambda s: s.generation_began("g"), lambda s: s.generation_ended("g"), lambda s: s.discarded("g"),
    lambda s: s.dropped("caller"), lambda s: s.back(), lambda s: s.cancelled("c1"), lambda s: s.wants_reply(),
    lambda s: s.playing("g"), lambda s: s.agent_spoke("g", "hello"), lambda s: s.incomplete("c1", "charge"),
])  # fmt: skip
async def test_what_an_adapter_reports_after_the_end_raises_nothing_and_arms_nothing(charge, report):
    async with house(charge, traits=HEARS) as h:
        await h.session.close()
        report(h.session)
        await asyncio.sleep(3600)
        with pytest.raises(SessionClosed):
            await h.session.run(charge, "ana")


async def test_the_journal_alone_gives_the_same_state(charge):
    async with house(charge, look, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset()
        h.call("c2", look, city="Pune")
        h.call("c3", charge, who="bob")
        h.says("correction", "o1")
        await asyncio.sleep(5)
        again = folded(h.store)
        assert {n: (run.phase, run.result, run.calls) for n, run in again.runs.items()} == {
            n: (run.phase, run.result, run.calls) for n, run in h.state.runs.items()
        }
        assert again.excluded == 0


# -- observe mode -------------------------------------------------------------------------------------------------------


async def test_observe_runs_the_plain_tool_and_records_what_enforce_would_have_decided(charge, effects):
    async with house(charge, mode="observe") as h:
        assert [await h.session.run(charge, "ana"), await h.session.run(charge, "ana")] == ["ch_1", "ch_1"]
        assert len(effects) == 2
        assert [one.would for one in h.records(r.Called)] == ["run", "replay"]


async def test_observe_is_cancelled_with_its_caller(effects):
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        await asyncio.sleep(10)
        effects()
        return ""

    async with house(charge, mode="observe") as h:
        store = h.store
        task = asyncio.create_task(h.session.run(charge, "ana"))
        await turns()
        task.cancel()
        await asyncio.sleep(20)
        assert len(effects) == 0
    assert folded(store).runs[1].phase is Phase.IN_DOUBT


async def test_observe_waits_for_no_record(charge):
    store = FaultyStore(
        refuses=lambda record: isinstance(record, (r.Called, r.CommitBegan)), error=StoreUnavailable("x")
    )
    async with house(charge, store=store, mode="observe") as h:
        assert await h.session.run(charge, "ana") == "ch_1"


async def test_observe_holds_nothing_while_the_caller_speaks(charge, effects):
    async with house(charge, mode="observe", traits=HEARS) as h:
        h.onset()
        await h.session.run(charge, "ana")
        assert len(effects) == 1


# -- approvals ------------------------------------------------------------------------------------------------------------


def approving(effects):
    @toolguard.mutation(identity="who", needs=Approval("May I?", within=20))
    async def charge(who: str) -> str:
        effects()
        return "ch_1"

    return charge


async def test_a_write_that_needs_an_approval_waits_at_its_gate_for_it(effects):
    charge = approving(effects)
    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(5)
        assert len(effects) == 0
        h.session.approve("conv-1/1", by="boss")
        await turns()
        assert len(effects) == 1


@pytest.mark.parametrize("answered", [True, False])
async def test_without_a_yes_it_is_stopped_before_its_effect(effects, answered):
    charge = approving(effects)
    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(5)
        if answered:
            h.session.approve("conv-1/1", by="boss", yes=False)
        await asyncio.sleep(16)
        assert (h.phase(), len(effects)) == ("cancelled", 0)


# -- pausing ------------------------------------------------------------------------------------------------------------------


async def test_a_paused_tool_is_answered_and_not_run_until_it_is_resumed(charge, effects):
    async with house(charge) as h:
        await h.guard.pause("charge", by="ana", reason="the till is down")
        h.call("c1", charge, who="x")
        await turns()
        assert json.loads(h.port.output("c1"))["toolguard"] == "paused"
        assert "till is down" in h.port.output("c1")
        await h.guard.resume("charge")
        h.call("c2", charge, who="x")
        await turns()
        assert len(effects) == 1


# -- hand-off -----------------------------------------------------------------------------------------------------------------


async def test_h1_a_run_moves_with_the_owner_and_its_result_reaches_the_next_agent(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        await turns()
        packet = await h.session.hand_off(to="billing")
        assert h.session.agent == "billing"
        assert packet.to == "billing"
        await h.ended()
        assert h.phase() == "done"


async def test_h1_a_hold_moves_along(effects):
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        effects()
        return "ch_1"

    async with house(charge, traits=HEARS) as h:
        h.onset()
        h.call("c1", charge, who="ana")
        await h.session.hand_off(to="billing")
        assert len(effects) == 0
        h.says("cancellation", "o1")
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_o9_a_hand_off_waits_for_writes_and_gives_reads_their_placeholder(charge):
    @toolguard.read
    async def slow(city: str) -> str:
        await asyncio.sleep(100)
        return ""

    async with house(charge, slow) as h:
        h.call("c1", charge, who="ana")
        h.call("c2", slow, city="Pune")
        await turns()
        begun = asyncio.get_running_loop().time()
        packet = await h.session.hand_off(to="billing")
        assert asyncio.get_running_loop().time() - begun == pytest.approx(1, abs=0.1)
        assert {call.ref: call.state for call in packet.calls} == {"conv-1/1": "done", "conv-1/2": "running"}
        assert [p.form for p in h.port.outputs] == ["result", "still_running"]


async def test_h6_a_hand_off_waits_no_longer_than_its_patience():
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        await asyncio.sleep(60)
        return ""

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await turns()
        begun = asyncio.get_running_loop().time()
        packet = await h.session.hand_off(to="billing")
        assert asyncio.get_running_loop().time() - begun == pytest.approx(4, abs=0.1)
        assert [call.state for call in packet.calls] == ["running"]


# -- stores that fail ------------------------------------------------------------------------------------------------------------


async def test_a_store_that_refuses_the_plan_of_a_mutation_means_that_nothing_runs(charge, effects):
    down = True
    store = FaultyStore(refuses=lambda record: down and isinstance(record, r.Called))
    async with house(charge, store=store) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: h.port.outputs)
        assert len(effects) == 0
        assert "not run" in h.port.output("c1") or "failed" in h.port.output("c1")
        down = False


async def test_a_store_that_is_down_does_not_stop_a_read():
    store = FaultyStore(refuses=lambda record: isinstance(record, (r.Called, r.Returned, r.Began)))
    async with house(look, store=store) as h:
        assert await h.session.run(look, "Pune") == "sunny"


async def test_a_session_of_another_tenant_cannot_be_entered(charge):
    store = MemoryStore()
    async with house(charge, store=store, tenant="a"):
        pass
    with pytest.raises(StoreError):
        async with house(charge, store=store, tenant="b"):
            pass


async def test_recover_of_an_unknown_session_says_so(charge):
    async with Guard(MemoryStore(), tools=[charge]) as guard:
        with pytest.raises(ToolguardError, match="no such session"):
            async with guard.recover("conv-9"):
                pass


async def test_two_tools_of_one_name_and_what_is_no_tool_are_refused(charge):
    with pytest.raises(DeclarationError):
        Guard(MemoryStore(), tools=[charge, charge])
    with pytest.raises(DeclarationError):
        Guard(MemoryStore(), tools=[print])


async def test_a_policy_that_is_a_coroutine_function_is_refused(charge):
    async def policy(call, interrupt):
        return None

    with pytest.raises(DeclarationError, match="coroutine"):
        Guard(MemoryStore(), tools=[charge], policy=policy)


# -- the feed -------------------------------------------------------------------------------------------------------------------


async def test_events_are_records_as_they_land_with_dense_numbers(charge):
    seen = []
    async with Guard(MemoryStore(), tools=[charge]) as guard:

        async def read():
            nonlocal seen
            async for event in guard.events():
                seen += [event]

        reading = asyncio.create_task(read())
        await turns()
        async with guard.session("conv-1") as session:
            await session.run(charge, "ana")
        await turns()
        reading.cancel()
    assert [one.seq for one in seen] == list(range(1, len(seen) + 1))
    assert [one.kind for one in seen if one.kind in {"called", "commit_began", "returned"}] == [
        "called", "commit_began", "returned",
    ]  # fmt: skip


async def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many(charge):
    async with Guard(MemoryStore(), tools=[charge]) as guard:
        events = guard.events(room=2)
        first = asyncio.create_task(anext(events))
        await turns()
        async with guard.session("conv-1") as session:
            await session.run(charge, "ana")
        await first
        late = await anext(events)
        assert late.missed > 0
        await events.aclose()


async def test_errors_say_what_happened_to_which_call_and_what_to_do(effects):
    @toolguard.mutation(identity="who", time_limit=1, commits="inside")
    async def charge(who: str) -> str:
        await asyncio.sleep(5)
        return ""

    async with house(charge) as h:
        with pytest.raises(StoppedBeforeEffect, match=r"\[stopped\] conv-1/1: it took longer than 1 s"):
            await h.session.run(charge, "ana")
    assert issubclass(ToolFailed, ToolguardError)
