"""A conversation on a new Realtime connection: whole, in order, kept right until the model is first asked."""

import asyncio

import pytest

import toolguard
from toolguard import Guard
from toolguard.adapters.openai_realtime import protect
from toolguard.adapters.realtime_prefill import CONFIGURED_WITHIN, Prefill
from toolguard.engine.clock import LoopClock
from toolguard.engine.port import Traits
from toolguard.errors import DeclarationError
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort

pytestmark = pytest.mark.virtual_time


class Door(RecordingPort):
    """A port that keeps a conversation as the provider would."""

    def __init__(self):
        super().__init__(Traits(adapter="test", speech_ends=True))
        self.items = []

    def put(self, item, *, after=""):
        ids = [one["id"] for one in self.items]
        assert item["id"] not in ids
        place = len(ids) if not after else 0 if after == "root" else ids.index(after) + 1
        self.items.insert(place, item)

    def delete(self, item):
        assert item in [one["id"] for one in self.items]
        self.items = [one for one in self.items if one["id"] != item]

    @property
    def kinds(self):
        return [one.get("role") or one["type"] for one in self.items]


@toolguard.read
async def look(city: str) -> str:
    await asyncio.sleep(1)
    return f"31 in {city}"


@pytest.fixture
async def over():
    """A conversation with a call in flight and words on their way, accepted on a new connection."""
    async with (
        Guard(MemoryStore(), tools=[look], clock=LoopClock()) as guard,
        guard.session("conv-1", agent="A") as before,
    ):
        before.caller_started("o1")
        await asyncio.sleep(1)
        before.caller_stopped("o1")
        before.receive("c1", "look", {"city": "Pune"})
        packet = await before.hand_off(to="B")
        door = Door()
        async with guard.accept(packet, port=door) as after:
            door.attach(after)
            prefill = Prefill(after, door, guard.tools.values())
            prefill.place()
            yield before, after, door, prefill
            prefill.stop()


def output(door):
    return next(one["output"] for one in door.items if one["type"] == "function_call_output")


async def test_o12_late_words_are_put_before_the_call_that_they_led_to(over):
    before, _, door, _ = over
    assert door.kinds == ["system", "function_call", "function_call_output"]
    before.caller_said("How is Pune?", onset="o1")
    assert door.kinds == ["system", "user", "function_call", "function_call_output"]


async def test_h2_a_result_takes_its_placeholders_place_while_nobody_has_read_that(over):
    before, after, door, _ = over
    assert "still running" in output(door)
    before.caller_said("yes please", onset="o1")
    await asyncio.sleep(1.5)
    assert output(door) == "31 in Pune"
    assert door.kinds == ["system", "user", "function_call", "function_call_output"]
    assert door.items[2]["call_id"] == door.items[3]["call_id"] == "c1"
    await asyncio.sleep(5)
    assert door.notes == []
    assert after.state.runs[1].shown == after.state.context


async def test_o3_after_the_first_request_the_context_is_left_alone_and_news_is_a_note(over):
    before, _, door, prefill = over
    prefill.configured()
    before.caller_said("yes please", onset="o1")
    assert len(door.asked) == 1
    there = list(door.items)
    await asyncio.sleep(1.5)
    assert door.items == there
    assert len(door.notes) == 0
    await asyncio.sleep(30)  # the reply that was asked for never begins
    assert len(door.notes) == 1
    assert door.items == there


async def test_h6_the_model_is_asked_when_the_connection_is_configured_or_after_a_bound(over):
    before, _, door, prefill = over
    before.caller_said("yes please", onset="o1")
    await asyncio.sleep(CONFIGURED_WITHIN - 0.1)
    assert door.asked == []
    await asyncio.sleep(0.2)
    assert len(door.asked) == 1
    prefill.configured()
    await asyncio.sleep(0.1)
    assert len(door.asked) == 1


async def test_protect_wants_an_id_or_a_packet():
    async with Guard(MemoryStore(), tools=[look], clock=LoopClock()) as guard:
        with pytest.raises(DeclarationError, match="packet"):
            async with protect(object(), guard):
                pass
