"""Bodies in observe mode: what they reach works, nothing is held, and the journal says where they passed their commit."""

import asyncio
import threading

import pytest
from engine_house import folded, house, turns

import toolguard
from toolguard import Phase
from toolguard.core import records as r

pytestmark = pytest.mark.virtual_time


def slow_charge(seen):
    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        seen.append(await toolguard.step("rate", _rate))
        await toolguard.checkpoint(rate=3)
        await asyncio.sleep(1)
        async with toolguard.committing() as key:
            seen.append(key)
            await asyncio.sleep(2)
        seen.append(dict(toolguard.current_call().progress))
        return "ch_1"

    return charge


async def _rate():
    return 3


async def test_what_a_body_reaches_works_and_the_commit_is_noted_where_it_is():
    seen = []
    charge = slow_charge(seen)
    async with house(charge, mode="observe") as h:
        task = asyncio.create_task(h.session.run(charge, "ana"))
        await asyncio.sleep(0.5)
        assert h.phase() == "started"
        await asyncio.sleep(1)
        assert h.phase() == "committing"
        assert await task == "ch_1"
        assert h.phase() == "done"
        assert seen == [3, h.run().key, {"rate": 3}]


@pytest.mark.parametrize(("after", "phase"), [(0.5, Phase.CANCELLED), (1.5, Phase.IN_DOUBT)])
async def test_a_cancelled_body_is_stopped_before_its_commit_and_lost_after_it(after, phase):
    charge = slow_charge([])
    async with house(charge, mode="observe") as h:
        store = h.store
        task = asyncio.create_task(h.session.run(charge, "ana"))
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert folded(store).runs[1].phase is phase


async def test_a_body_that_raises_before_its_commit_has_failed():
    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        raise LookupError(who)

    async with house(charge, mode="observe") as h:
        with pytest.raises(LookupError):
            await h.session.run(charge, "ana")
        assert h.phase() == "failed"


async def test_a_sync_body_runs_in_a_thread_and_may_commit_there():
    where = []

    @toolguard.mutation(identity="who", commits="inside")
    def charge(who: str) -> str:
        with toolguard.committing() as key:
            where.append((threading.current_thread() is threading.main_thread(), len(key)))
        return "ch_1"

    async with house(charge, mode="observe") as h:
        assert await h.session.run(charge, "ana") == "ch_1"
        assert where == [(False, 32)]
        assert h.phase() == "done"


async def test_a_tool_inside_a_tool_is_watched_as_a_call_of_its_own():
    @toolguard.read
    async def look(who: str) -> str:
        return f"{who} is known"

    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        return await look(who)

    async with house(look, charge, mode="observe") as h:
        assert await h.session.run(charge, "ana") == "ana is known"
        assert [one.tool for one in h.records(r.Called)] == ["charge", "look"]


async def test_a_run_that_would_have_waited_is_decided_as_if_it_had():
    charge = slow_charge([])
    async with house(charge, mode="observe") as h:
        task = asyncio.create_task(h.session.run(charge, "ana"))
        await asyncio.sleep(0.5)
        h.onset()
        await asyncio.sleep(1)
        assert h.phase() == "committing", "nothing is held"
        h.says("correction @conv-1/1", onset="o1")
        await turns()
        assert [one.decisions[0].choice for one in h.records(r.Interrupted)] == ["hold", "stop"]
        assert await task == "ch_1"


async def test_a_run_past_its_commit_would_not_have_been_stopped():
    charge = slow_charge([])
    async with house(charge, mode="observe") as h:
        task = asyncio.create_task(h.session.run(charge, "ana"))
        await asyncio.sleep(1.5)
        h.onset()
        h.says("correction @conv-1/1", onset="o1")
        await turns()
        assert [one.decisions[0].choice for one in h.records(r.Interrupted)] == ["go_on", "go_on"]
        assert await task == "ch_1"


async def test_arguments_that_enforce_would_refuse_are_for_the_plain_function_to_judge():
    """Observe mode changes nothing for the framework: what it calls the function with reaches the function."""

    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str, *, amount: int) -> str:
        async with toolguard.committing() as key:
            return f"{amount} {key}"

    async with house(charge, mode="observe") as h:
        one = await h.session.run(charge, "ana", amount="a lot")
        other = await h.session.run(charge, "ana", amount="a lot")
        with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'amount'"):
            await h.session.run(charge, "ana")
        assert one.startswith("a lot ")
        assert one != other, "each is an occurrence of its own, with its own key"
        assert [rec.would for rec in h.records(r.Called)] == ["invalid"] * 3
        assert [h.phase(number) for number in (1, 2, 3)] == ["done", "done", "failed"]
        assert h.notices() == ["would_be_refused"] * 3


async def test_an_identity_that_cannot_be_told_changes_nothing_for_the_framework():
    @toolguard.mutation(identity=lambda who: who["id"])
    async def charge(who: dict) -> str:
        return "ch_1"

    async with house(charge, mode="observe") as h:
        assert await h.session.run(charge, {}) == "ch_1"
        assert h.notices() == ["would_be_refused"]


async def test_o3_two_calls_joined_to_one_run_are_told_once_and_pointed_to():
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        await asyncio.sleep(0.1)
        return "ch_1"

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        h.call("c2", charge, who="ana")
        await h.ended()
        await turns()
        first, second = h.port.output("c1"), h.port.output("c2")
    assert first == "ch_1"
    assert '"toolguard":"replayed"' in second
    assert '"first":"conv-1/1"' in second
