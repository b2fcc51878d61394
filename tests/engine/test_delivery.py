"""Answers leave in call order, each once a context, and speech is asked for once a batch (O1-O10, S6)."""

import asyncio
import json

import pytest
from engine_house import Effects, house, turns, until

import toolguard
from toolguard import Refused
from toolguard.core import records as r
from toolguard.engine.port import Traits
from toolguard.testing.fake_port import Spoken

pytestmark = pytest.mark.virtual_time
HEARD = Traits(adapter="test", evidence="heard", speech_ends=True)


@pytest.fixture
def effects():
    return Effects()


@toolguard.read(patience=4)
async def wait(seconds: float, tag: str = "") -> str:
    await asyncio.sleep(seconds)
    return tag or f"{seconds:g}"


@pytest.fixture
def charge(effects):
    @toolguard.mutation(identity="who")
    async def charge(who: str, seconds: float = 0) -> str:
        effects(who)
        await asyncio.sleep(seconds)
        return "ch_1"

    return charge


def batch(h, generation, *calls):
    """One model response that makes some calls and ends."""
    h.session.generation_began(generation)
    for index, (call_id, tool, arguments) in enumerate(calls):
        h.session.receive(call_id, tool.name, arguments, generation=generation, index=index)
    h.session.generation_ended(generation)


# -- O1, O2: order ------------------------------------------------------------------------------------------------------


async def test_o1_outputs_leave_in_call_order_and_not_as_they_arrive():
    async with house(wait) as h:
        batch(h, "g1", ("c1", wait, {"seconds": 2}), ("c2", wait, {"seconds": 1}), ("c3", wait, {"seconds": 0.5}))
        await asyncio.sleep(3)
        assert [(p.call_id, p.text) for p in h.port.outputs] == [("c1", "2"), ("c2", "1"), ("c3", "0.5")]


async def test_o1_order_is_generation_and_output_index_also_when_calls_arrive_the_other_way_round():
    async with house(wait) as h:
        h.session.generation_began("g1")
        for index in (2, 1, 0):
            h.session.receive(f"c{index}", "wait", {"seconds": 1, "tag": str(index)}, generation="g1", index=index)
        h.session.generation_ended("g1")
        await asyncio.sleep(2)
        assert [p.call_id for p in h.port.outputs] == ["c0", "c1", "c2"]


async def test_o1_a_slow_call_uses_up_its_patience_gets_a_placeholder_and_holds_nobody():
    async with house(wait) as h:
        batch(h, "g1", ("c1", wait, {"seconds": 10}), ("c2", wait, {"seconds": 1}))
        await asyncio.sleep(3.9)
        assert h.port.outputs == []
        await asyncio.sleep(0.2)
        assert [(p.call_id, p.form) for p in h.port.outputs] == [("c1", "still_running"), ("c2", "result")]
        await asyncio.sleep(8)
        assert [(p.form, p.calls) for p in h.port.notes] == [("result", (1,))]


async def test_o2_before_a_model_request_every_open_call_is_answered_in_call_order():
    async with house(wait) as h:
        batch(h, "g1", ("c1", wait, {"seconds": 9, "tag": "a"}), ("c2", wait, {"seconds": 9, "tag": "b"}))
        await asyncio.sleep(1)
        h.session.wants_reply()
        assert [(p.call_id, p.form) for p in h.port.outputs] == [("c1", "still_running"), ("c2", "still_running")]
        assert len(h.port.asked) == 1


async def test_o2_before_the_reply_that_a_platform_starts_by_itself_every_open_call_is_answered():
    traits = Traits(adapter="test", speech_ends=True, starts_replies=True)
    async with house(wait, traits=traits) as h:
        h.call("c1", wait, seconds=9)
        h.onset()
        h.session.caller_stopped("o1")
        assert [p.form for p in h.port.outputs] == ["still_running"]


# -- O3: one showing ------------------------------------------------------------------------------------------------------


async def test_o3_a_placeholder_that_was_not_sent_is_replaced_by_the_result():
    async with house(wait) as h:
        h.session.dropped("provider")
        h.call("c1", wait, seconds=5)
        await asyncio.sleep(6)
        h.session.back()
        assert [(p.form, p.text) for p in h.port.placed] == [("result", "5")]


async def test_o3_a_sent_placeholder_is_never_changed_and_one_note_names_all_calls():
    async with house(wait) as h:
        for number in (1, 2):
            h.call(f"c{number}", wait, seconds=6)
        await asyncio.sleep(8)
        assert [p.form for p in h.port.outputs] == ["still_running", "still_running"]
        assert [p.calls for p in h.port.notes] == [(1, 2)]


async def test_o3_later_replays_of_what_the_context_shows_are_pointers(charge):
    async with house(charge, traits=HEARD) as h:
        for number in (1, 2):
            h.call(f"c{number}", charge, who="ana")
            await turns()
        assert h.port.output("c1") == "ch_1"
        said = json.loads(h.port.output("c2"))
        assert (said["toolguard"], said["first"]) == ("replayed", "conv-1/1")


async def test_o3_a_run_in_doubt_that_is_settled_later_makes_one_note(effects):
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        raise ConnectionError

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: h.port.outputs)
        h.session._w.ledger.write(r.Returned(run=1, result=b'"ch_1"', source="person", by="ana"))
        h.session._w.delivery.pump()
        await until(lambda: h.port.notes)
        await asyncio.sleep(10)
        assert len(h.port.notes) == 1


async def test_o3_a_port_that_takes_no_notes_gets_none():
    async with house(wait, traits=Traits(adapter="test", notes=False)) as h:
        h.call("c1", wait, seconds=6)
        await asyncio.sleep(8)
        assert h.port.notes == []


# -- O4: sent is not delivered ------------------------------------------------------------------------------------------------


async def test_o4_delivered_comes_from_the_providers_confirmation():
    async with house(wait, confirm_after=0.5) as h:
        h.call("c1", wait, seconds=0)
        await until(lambda: h.port.outputs)
        assert not h.state.slots[1].delivered
        await asyncio.sleep(0.6)
        assert h.state.slots[1].delivered


async def test_o4_the_same_answer_has_the_same_item_id():
    items = []
    for _ in range(2):
        async with house(wait) as h:
            h.call("c1", wait, seconds=0)
            await until(lambda h=h: h.port.outputs)
            items.append(h.port.outputs[0].item)
    assert items[0] == items[1]
    assert len(items[0]) == 32


# -- O5: answering is not speaking ------------------------------------------------------------------------------------------------


async def test_o5_one_reply_request_for_a_whole_batch():
    async with house(wait) as h:
        batch(h, "g1", *((f"c{n}", wait, {"seconds": n / 2, "tag": str(n)}) for n in range(5)))
        await asyncio.sleep(5)
        assert len(h.port.outputs) == 5
        assert len(h.port.asked) == 1


async def test_o5_no_reply_is_asked_for_while_a_response_is_active():
    async with house(wait) as h:
        h.call("c1", wait, seconds=1)
        h.session.generation_began("g2")
        await asyncio.sleep(3)
        assert h.port.asked == []
        h.session.generation_ended("g2")
        assert len(h.port.asked) == 1


async def test_o5_no_reply_is_asked_for_while_the_caller_speaks():
    async with house(wait, traits=HEARD) as h:
        h.call("c1", wait, seconds=1)
        h.onset()
        await asyncio.sleep(3)
        assert len(h.port.outputs) == 1
        assert h.port.asked == []
        h.session.caller_stopped("o1")
        h.says("backchannel", "o1")
        assert len(h.port.asked) == 1


async def test_o5_a_refused_reply_is_asked_for_again_when_the_response_ends():
    async with house(wait, replies=lambda _port: None) as h:
        h.call("c1", wait, seconds=1)
        await asyncio.sleep(2)
        h.session.generation_began("g2")
        h.session.reply_refused("conversation_already_has_active_response")
        assert len(h.port.asked) == 1
        h.session.generation_ended("g2")
        assert len(h.port.asked) == 2


async def test_o5_a_reply_that_never_begins_does_not_silence_the_line_for_ever():
    async with house(wait, replies=lambda _port: None) as h:
        h.call("c1", wait, seconds=1)
        await asyncio.sleep(2)
        assert len(h.port.asked) == 1
        h.call("c2", wait, seconds=2)
        await asyncio.sleep(60)
        assert len(h.port.asked) == 2


async def test_o5_outputs_that_want_no_reply_ask_for_none():
    @toolguard.read(announce="silent")
    async def quiet(city: str) -> str:
        return "sunny"

    async with house(quiet) as h:
        h.call("c1", quiet, city="Pune")
        await asyncio.sleep(5)
        assert (len(h.port.outputs), h.port.asked) == (1, [])


async def test_o5_outputs_of_a_response_that_the_application_stopped_ask_for_no_reply():
    async with house(wait) as h:
        h.call("c1", wait, generation="g1", seconds=1)
        h.session.interrupted("g1")
        h.session.generation_ended("g1", "cancelled")
        await asyncio.sleep(3)
        assert (len(h.port.outputs), h.port.asked) == (1, [])


async def test_o5_an_output_that_was_sent_before_the_application_stopped_its_response_asks_for_none_either():
    async with house(wait) as h:
        h.session.generation_began("g1")
        h.call("c1", wait, generation="g1", seconds=0)
        await turns()
        assert len(h.port.outputs) == 1
        h.session.interrupted("g1")
        h.session.generation_ended("g1", "cancelled")
        await asyncio.sleep(3)
        assert h.port.asked == []


async def test_o5_announce_when_idle_waits_until_nobody_is_heard():
    @toolguard.read(announce="when_idle")
    async def quiet(city: str) -> str:
        return "sunny"

    async with house(quiet) as h:
        h.session.playing("g0")
        h.call("c1", quiet, city="Pune")
        await asyncio.sleep(2)
        assert h.port.asked == []
        h.session.playing("")
        await asyncio.sleep(1)
        assert len(h.port.asked) == 1


# -- O6: forms ----------------------------------------------------------------------------------------------------------------


async def test_o6_a_done_result_leaves_exactly_as_it_would_unguarded():
    @toolguard.read
    async def look(city: str) -> dict[str, int]:
        return {"temp": 31}

    async with house(look, wait) as h:
        h.call("c1", look, city="Pune")
        h.call("c2", wait, seconds=0, tag="plain text")
        await turns()
        assert h.port.output("c1") == '{"temp":31}'
        assert h.port.output("c2") == "plain text"


async def test_o6_other_endings_use_the_envelope(effects):
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        raise Refused("card declined")

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await turns()
        said = json.loads(h.port.output("c1"))
        assert (said["toolguard"], said["call"], said["tool"]) == ("refused", "conv-1/1", "charge")
        assert "card declined" in said["message"]


# -- O7: three clocks -----------------------------------------------------------------------------------------------------------


def talking(**options):
    @toolguard.read(filler="Let me look.", filler_after=1.5, patience=10, **options)
    async def look(city: str) -> str:
        await asyncio.sleep(5)
        return "sunny"

    return look


async def test_o7_a_filler_is_spoken_after_its_silence_and_only_once():
    look = talking()
    async with house(look) as h:
        h.call("c1", look, city="Pune")
        await asyncio.sleep(1.4)
        assert h.port.fillers == []
        await asyncio.sleep(3)
        assert h.port.fillers == ["Let me look."]


async def test_o7_no_filler_for_a_call_that_is_quick():
    @toolguard.read(filler="Let me look.")
    async def look(city: str) -> str:
        return "sunny"

    async with house(look) as h:
        h.call("c1", look, city="Pune")
        await asyncio.sleep(5)
        assert h.port.fillers == []


async def test_o7_a_filler_never_speaks_over_the_caller():
    look = talking()
    async with house(look, traits=HEARD) as h:
        h.call("c1", look, city="Pune")
        h.onset()
        await asyncio.sleep(2.5)
        assert h.port.fillers == []
        h.session.caller_stopped("o1")
        h.says("backchannel", "o1")
        await asyncio.sleep(0.5)
        assert len(h.port.fillers) == 1


async def test_o7_no_filler_while_a_gate_holds_for_the_caller(effects):
    @toolguard.mutation(identity="who", filler="Booking it.", patience=10)
    async def book(who: str) -> str:
        effects()
        return "bk_1"

    async with house(book, traits=HEARD) as h:
        h.onset("o1")
        h.says("hold_on", "o1")
        h.onset("o2")
        h.call("c1", book, who="ana")
        h.session.caller_stopped("o2")
        h.says("hold_on", "o2")
        await asyncio.sleep(4)
        assert h.port.fillers == []


async def test_o7_patience_of_a_run_at_the_gate_gives_a_placeholder(effects):
    @toolguard.mutation(identity="who", patience=2)
    async def book(who: str) -> str:
        effects()
        return "bk_1"

    async with house(book, traits=HEARD) as h:
        h.onset()
        h.call("c1", book, who="ana")
        await asyncio.sleep(3)
        assert [p.form for p in h.port.outputs] == ["still_running"]
        h.says("backchannel", "o1")
        await asyncio.sleep(2)
        assert ["bk_1" in p.text for p in h.port.notes] == [True]


# -- O9: batches ------------------------------------------------------------------------------------------------------------------


async def test_o9_a_batch_closes_when_its_response_ends_and_not_before():
    async with house(wait) as h:
        h.session.generation_began("g1")
        h.call("c1", wait, generation="g1", seconds=0)
        await asyncio.sleep(2)
        assert h.port.asked == []
        h.session.generation_ended("g1")
        assert len(h.port.asked) == 1


def requiring(effects):
    @toolguard.read(retry=1)
    async def find(city: str) -> str:
        await asyncio.sleep(1)
        if city == "nowhere":
            raise LookupError("no such city")
        return city

    @toolguard.mutation(identity="who", requires=[find])
    async def book(who: str) -> str:
        effects()
        return "bk_1"

    return find, book


async def test_o9_requires_a_tool_that_has_to_be_done_first(effects):
    find, book = requiring(effects)
    async with house(find, book) as h:
        h.call("c1", book, who="ana")
        await turns()
        assert [p.form for p in h.port.outputs] == ["not_run"]
        assert len(effects) == 0


async def test_o9_requires_waits_for_the_prerequisite_of_the_same_batch(effects):
    find, book = requiring(effects)
    async with house(find, book) as h:
        batch(h, "g1", ("c1", find, {"city": "Pune"}), ("c2", book, {"who": "ana"}))
        await asyncio.sleep(0.5)
        assert len(effects) == 0
        await asyncio.sleep(1)
        assert len(effects) == 1


async def test_o9_requires_whose_prerequisite_did_not_end_done_is_answered_not_run(effects):
    find, book = requiring(effects)
    async with house(find, book) as h:
        batch(h, "g1", ("c1", find, {"city": "nowhere"}), ("c2", book, {"who": "ana"}))
        await asyncio.sleep(3)
        assert len(effects) == 0
        assert "not run" in h.port.output("c2")


# -- O10: incomplete calls ------------------------------------------------------------------------------------------------------------


async def test_o10_an_incomplete_call_closes_its_slot_and_nothing_runs(charge, effects):
    async with house(charge) as h:
        h.session.incomplete("c1", "charge", generation="g1")
        h.session.generation_ended("g1", "incomplete")
        await turns()
        assert [p.form for p in h.port.outputs] == ["incomplete"]
        assert len(effects) == 0
        assert h.port.asked == []


async def test_an_incomplete_call_does_not_undo_one_that_was_complete(charge, effects):
    async with house(charge) as h:
        number = h.call("c1", charge, who="ana")
        assert h.session.incomplete("c1", "charge") == number
        await until(lambda: h.port.outputs)
        assert h.port.output("c1") == "ch_1"


# -- O11: a new connection ----------------------------------------------------------------------------------------------------------


async def test_o11_after_a_reconnect_an_open_call_of_the_old_context_gets_its_result_as_a_note(charge, effects):
    """The slot belongs to the old connection; its result reaches the new one once."""
    from toolguard.stores.memory import MemoryStore

    store = MemoryStore()
    async with house(wait, store=store) as h:
        h.call("c1", wait, seconds=3)
        await asyncio.sleep(1)
        await h.session.close("shutdown")
    async with house(wait, store=store) as h:
        await asyncio.sleep(5)
        assert h.phase() == "done"
        assert [(p.calls, "3" in p.text) for p in h.port.placed] == [((1,), True)]


# -- S6 ---------------------------------------------------------------------------------------------------------------------------------


async def test_s6_a_result_is_acknowledged_when_a_reply_that_contained_it_was_heard_and_the_caller_went_on(charge):
    async with house(charge, traits=HEARD, replies=[Spoken("Done.", 0.1, 1)]) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(0.5)
        h.says("answer")
        assert not h.state.slots[1].acknowledged  # it was still being spoken
        await asyncio.sleep(1)
        h.says("answer")
        assert h.state.slots[1].acknowledged
        assert h.guard.unheard("conv-1") == []


async def test_o8_outcomes_that_the_caller_never_heard_are_a_query(charge):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await h.ended()
        assert [(one.ref, one.phase) for one in h.guard.unheard("conv-1")] == [("conv-1/1", "done")]


async def test_every_slot_is_answered_once_also_when_many_things_happen_at_once(charge, effects):
    async with house(charge, wait, traits=HEARD) as h:
        batch(h, "g1", *((f"w{n}", wait, {"seconds": n, "tag": str(n)}) for n in range(6)))
        batch(h, "g2", *((f"m{n}", charge, {"who": f"p{n}", "seconds": n}) for n in range(6)))
        for number in range(8):
            h.onset(f"o{number}")
            await asyncio.sleep(0.4)
            h.session.caller_stopped(f"o{number}")
            h.says("addition", f"o{number}")
            h.session.wants_reply()
        await asyncio.sleep(20)
        ids = [p.call_id for p in h.port.outputs]
        assert sorted(ids) == sorted(set(ids))
        assert len(ids) == 12
