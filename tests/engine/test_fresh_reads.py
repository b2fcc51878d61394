"""Fresh reads across sessions: shared within a scope, stale as soon as a write of the scope commits (S1)."""

from __future__ import annotations

from pathlib import Path

import pytest

import toolguard
from toolguard import Guard


@pytest.fixture(params=["memory", "disk"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory" if request.param == "memory" else str(tmp_path / "journal")


def clinic() -> tuple[list[str], list[toolguard.Tool]]:
    looked: list[str] = []

    @toolguard.read(fresh_for=30, scope="caller")
    async def open_bookings(patient: str) -> list[str]:
        looked.append(patient)
        return [f"booking {len(looked)}"]

    @toolguard.mutation(identity="slot", scope="caller")
    async def book(slot: str) -> str:
        return slot

    return looked, [open_bookings, book]


async def test_s1_a_fresh_read_of_the_same_caller_is_shared_by_a_second_session(place: str) -> None:
    """A read is replayed within fresh_for, also in another session of its scope."""
    looked, tools = clinic()
    async with Guard(place, tools=tools) as guard:
        async with guard.session("conv-1", caller="+1555") as one:
            assert await one.run(tools[0], "ana") == ["booking 1"]
        async with guard.session("conv-2", caller="+1555") as two:
            assert await two.run(tools[0], "ana") == ["booking 1"]
    assert looked == ["ana"]


async def test_s1_another_caller_never_sees_it(place: str) -> None:
    """Cache keys include tenant and scope value."""
    looked, tools = clinic()
    async with Guard(place, tools=tools) as guard:
        async with guard.session("conv-1", caller="+1555") as one:
            await one.run(tools[0], "ana")
        async with guard.session("conv-2", caller="+1666") as two:
            assert await two.run(tools[0], "ana") == ["booking 2"]
        async with guard.session("conv-3", caller="+1555", tenant="other") as three:
            assert await three.run(tools[0], "ana") == ["booking 3"]
    assert len(looked) == 3


async def test_s1_a_committed_write_of_the_scope_makes_it_stale(place: str) -> None:
    """A read is replayed only if no write of its scope has committed since it began."""
    looked, tools = clinic()
    async with Guard(place, tools=tools) as guard:
        async with guard.session("conv-1", caller="+1555") as one:
            await one.run(tools[0], "ana")
            await one.run(tools[1], "s1")
        async with guard.session("conv-2", caller="+1555") as two:
            assert await two.run(tools[0], "ana") == ["booking 2"]
    assert len(looked) == 2


async def test_s1_the_cached_answer_says_so_in_the_journal(place: str) -> None:
    """A replay from the cache is marked as cached in the record of its run."""
    _, tools = clinic()
    async with Guard(place, tools=tools) as guard:
        async with guard.session("conv-1", caller="+1555") as one:
            await one.run(tools[0], "ana")
        seen = []
        async with guard.session("conv-2", caller="+1555") as two:
            guard.feed.add_sink(lambda event: seen.append(event.record))
            await two.run(tools[0], "ana")
        marks = [record.cached for record in seen if type(record).__name__ == "Returned"]
    assert marks == [True]
