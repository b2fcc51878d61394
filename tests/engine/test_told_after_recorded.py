"""The result of a mutation is on the disk before anybody is told, whatever else makes the outbox move (W3)."""

import asyncio
import threading

import toolguard
from toolguard import Guard, Happened
from toolguard.errors import InDoubt
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort

RETURNED = 15


class Slow(MemoryStore):
    """A store that lands results of a mutation only when it is let."""

    threaded = True

    def __init__(self):
        super().__init__()
        self.let = threading.Event()
        self.reached = threading.Event()

    def commit(self, batch):
        if any(draft.kind == RETURNED for append in batch if append.durable for draft in append.drafts):
            self.reached.set()
            assert self.let.wait(5)
        return super().commit(batch)


@toolguard.mutation(identity="who")
async def charge(who: str) -> str:
    if who == "bob":
        raise OSError("the line broke")
    return "ch_1"


@toolguard.read
async def look(city: str) -> str:
    return "31"


async def test_w3_a_result_that_is_not_on_the_disk_yet_does_not_leave_with_another_calls_answer():
    store, port = Slow(), RecordingPort()
    async with Guard(store, tools=[charge, look]) as guard, guard.session("conv-1", port=port) as conversation:
        conversation.receive("c1", "charge", {"who": "ana"})
        await asyncio.to_thread(store.reached.wait, 5)
        conversation.receive("c2", "look", {"city": "Pune"})
        conversation.wants_reply()
        await asyncio.sleep(0.05)
        assert (port.placed, port.asked) == ([], [])
        store.let.set()
        while len(port.placed) < 2:
            await asyncio.sleep(0.001)
        assert [parcel.call_id for parcel in port.placed] == ["c1", "c2"]
        assert port.output("c1") == "ch_1"


async def test_w3_what_a_person_found_out_is_told_when_it_is_on_the_disk():
    store, port = Slow(), RecordingPort()
    async with Guard(store, tools=[charge, look]) as guard, guard.session("conv-1", port=port) as conversation:
        conversation.receive("c1", "charge", {"who": "bob"})
        while not port.placed:
            await asyncio.sleep(0.001)
        settling = asyncio.create_task(guard.resolve("conv-1/1", Happened("ch_2", evidence="the bank"), by="ana"))
        await asyncio.to_thread(store.reached.wait, 5)
        conversation.wants_reply()
        await asyncio.sleep(0.05)
        assert port.notes == []
        store.let.set()
        await settling
        conversation.generation_began("g1")
        conversation.generation_ended("g1")
        assert ['"ch_2"' in note.text for note in port.notes] == [True]


async def test_s2_a_call_that_a_person_settled_can_be_undone():
    @toolguard.mutation(identity="charge_id")
    async def refund(charge_id: str) -> None:
        return None

    @toolguard.mutation(identity="who")
    async def pay(who: str) -> str:
        raise OSError("the line broke")

    @pay.undo
    def take_back(made: str):
        if made == "odd":
            raise ValueError("no such charge")
        return refund.bind(charge_id=made)

    async with Guard("memory", tools=[pay, refund]) as guard, guard.session("conv-1"):
        for number, (who, result) in enumerate([("ana", "ch_7"), ("bob", "odd")], 1):
            try:
                await pay(who)
            except InDoubt:
                await guard.resolve(f"conv-1/{number}", Happened(result, evidence="the bank"), by="ana")
        offers = [line.record.undo async for line in guard.trail.records("conv-1") if line.kind == "returned"]
    assert (offers[0].tool, bytes(offers[0].arguments)) == ("refund", b'{"charge_id":"ch_7"}')
    assert offers[1] is None
