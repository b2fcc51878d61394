"""What a body does becomes records, and nothing past its commit is ever taken back (semantics 2, 3, 5, 7)."""

import asyncio
import contextlib
import threading

import pytest
from engine_house import Effects, FaultyStore, crashed, folded, house, really, turns, until

import toolguard
from toolguard import DidNotHappen, Happened, Refused, StillUnknown
from toolguard.core import records as r
from toolguard.engine.limits import Limits
from toolguard.errors import (
    DeclarationError,
    InDoubt,
    SessionClosed,
    StepChanged,
    StoppedBeforeEffect,
    ToolFailed,
)
from toolguard.stores.memory import MemoryStore
from toolguard.tools.spec import Retry

pytestmark = pytest.mark.virtual_time


# -- W1, W3: what is written before what --------------------------------------------------------------------------


async def test_w1_a_write_that_commits_at_its_start_has_its_commit_on_record_before_its_first_line():
    seen = []

    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        seen.extend(h.kinds())
        return "ch_1"

    async with house(charge) as h:
        assert await h.session.run(charge, "ana") == "ch_1"
        assert [kind for kind in seen if kind in {"called", "began", "commit_began"}] == ["called", "commit_began"]


async def test_w1_a_write_that_commits_inside_is_planned_and_begun_before_and_committed_when_the_key_is_handed_out():
    before, inside = [], []

    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        before.extend(h.kinds())
        async with toolguard.committing() as key:
            inside.extend(h.kinds())
            return key

    async with house(charge) as h:
        key = await h.session.run(charge, "ana")
        assert "commit_began" not in before
        assert before[-1] == "began"
        assert inside[-1] == "commit_began"
        assert h.records(r.CommitBegan)[0].key == key
        assert len(key) == 32


async def test_w1_w3_a_mutation_is_power_durable_and_an_idempotent_write_process_durable():
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        return "ch_1"

    @toolguard.idempotent_write(identity="who")
    async def note(who: str) -> str:
        return "kept"

    for tool, durable in ((charge, True), (note, False)):
        store = FaultyStore()
        async with house(tool, store=store) as h:
            await h.session.run(tool, "ana")
        assert store.durable(r.CommitBegan) is durable
        assert store.durable(r.Returned) is durable


async def test_w3_a_mutations_result_is_on_record_before_it_is_delivered():
    store = FaultyStore(holds=lambda record: isinstance(record, r.Returned))

    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        return "ch_1"

    async with house(charge, store=store) as h:
        h.call("c1", charge, who="ana")
        await really(store.holding.is_set)
        await turns()
        assert h.port.outputs == []
        store.go.set()
        await really(lambda: h.port.outputs)
        assert h.port.output("c1") == "ch_1"


async def test_w3_a_read_waits_for_no_record():
    store = FaultyStore(holds=lambda record: isinstance(record, r.Called))

    @toolguard.read
    async def look(city: str) -> str:
        return "sunny"

    async with house(look, store=store) as h:
        h.call("c1", look, city="Pune")
        await really(lambda: h.port.outputs)
        assert h.port.output("c1") == "sunny"
        store.go.set()


# -- W2: the window between the commit record and the effect --------------------------------------------------------


def holding_commits():
    return FaultyStore(holds=lambda record: isinstance(record, r.CommitBegan))


@pytest.fixture
def effects():
    return Effects()


@pytest.fixture
def charge(effects):
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        effects()
        return "ch_1"

    return charge


async def test_w2_an_onset_that_comes_while_the_commit_is_written_holds_the_effect_until_it_settles(charge, effects):
    store = holding_commits()
    async with house(charge, store=store) as h:
        h.call("c1", charge, who="ana")
        await really(store.holding.is_set)
        h.onset()
        store.go.set()
        await really(lambda: h.session._w.gate.waits(1))
        assert (h.phase(), len(effects)) == ("committing", 0)
        h.says("backchannel", "o1")
        await really(lambda: h.run().settled)
        assert (h.phase(), len(effects)) == ("done", 1)


@pytest.mark.parametrize("early", [True, False], ids=["before it is durable", "after it is durable"])
async def test_w2_a_correction_in_the_window_ends_the_run_failed_without_effect(charge, effects, early):
    store = holding_commits()
    async with house(charge, store=store) as h:
        h.call("c1", charge, who="ana")
        await really(store.holding.is_set)
        h.onset()
        if early:
            h.says("correction", "o1")
        store.go.set()
        if not early:
            await really(lambda: h.session._w.gate.waits(1))
            h.says("correction", "o1")
        await really(lambda: h.run().settled)
        assert (h.phase(), h.run().code, len(effects)) == ("failed", "stopped_before_effect", 0)
        await turns()
        assert "not run" in h.port.output("c1")


async def test_w2_the_holds_own_limit_in_the_window_ends_the_run_failed(charge, effects):
    store = holding_commits()
    async with house(charge, store=store) as h:
        h.call("c1", charge, who="ana")
        await really(store.holding.is_set)
        h.onset()
        store.go.set()
        await really(lambda: h.session._w.gate.waits(1))
        h.session.caller_stopped("o1")
        h.session.caller_started("o2")  # speaks on and on: the limit of the first one is not reached as noise
        h.session.caller_said("hold_on", onset="o2")
        await until(lambda: h.run().settled)
        assert (h.phase(), len(effects)) == ("failed", 0)


async def test_w2_a_commit_record_that_is_refused_is_no_effect_and_refused_is_raised(effects):
    raised = []

    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        try:
            async with toolguard.committing():
                effects()
        except Refused as error:
            raised.append(error)
            raise
        return "ch_1"

    store = FaultyStore(refuses=lambda record: isinstance(record, r.CommitBegan))
    async with house(charge, store=store) as h:
        h.call("c1", charge, who="ana")
        await h.ended()
        assert (h.phase(), len(effects), len(raised)) == ("failed", 0, 1)
        await turns()
        assert h.records(r.Failed)[0].code == "commit_not_recorded"


async def test_w2_a_commit_record_of_unknown_fate_is_no_effect(charge, effects):
    store = holding_commits()
    async with house(charge, store=store) as h:
        h.call("c1", charge, who="ana")
        await really(store.holding.is_set)
        await asyncio.sleep(2.1)
        assert (h.phase(), len(effects)) == ("failed", 0)
        store.go.set()
        await turns()
        assert len(effects) == 0


# -- W4: a known outcome is never turned into a failure --------------------------------------------------------------


async def test_w4_a_result_that_the_store_refuses_is_delivered_all_the_same_and_mutations_wait(charge, effects):
    down = True
    store = FaultyStore(refuses=lambda record: down and isinstance(record, r.Returned))
    async with house(charge, store=store) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: h.port.outputs)
        assert h.port.output("c1") == "ch_1"
        assert "recording_delayed" in h.notices()
        h.call("c2", charge, who="bob")
        await until(lambda: len(h.port.outputs) == 2)
        assert '"unavailable"' in h.port.output("c2")
        down = False
        await asyncio.sleep(2)
        assert h.records(r.Returned)
        h.call("c3", charge, who="bob")
        await until(lambda: len(h.port.outputs) == 3)
        assert (h.port.output("c3"), len(effects)) == ("ch_1", 2)


async def test_w4_a_store_that_hangs_over_a_result_holds_the_caller_for_one_second_only(charge):
    store = FaultyStore(holds=lambda record: isinstance(record, r.Returned))
    async with house(charge, store=store) as h:
        h.call("c1", charge, who="ana")
        await really(store.holding.is_set)
        begun = asyncio.get_running_loop().time()
        await until(lambda: h.port.outputs)
        assert asyncio.get_running_loop().time() - begun == pytest.approx(1.0, abs=0.1)
        store.go.set()


# -- W5: checkpoints ---------------------------------------------------------------------------------------------


async def test_w5_a_checkpoint_waits_half_a_second_for_the_store_and_goes_on():
    store = FaultyStore(holds=lambda record: isinstance(record, r.Checkpointed))
    took = []

    @toolguard.read
    async def look(city: str) -> str:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await toolguard.checkpoint(page=1)
        took.append(loop.time() - begun)
        return "sunny"

    async with house(look, store=store) as h:
        assert await h.session.run(look, "Pune") == "sunny"
        assert took == [pytest.approx(0.5, abs=0.05)]
        store.go.set()
        await really(lambda: "checkpoint_delayed" in h.notices())


async def test_w5_a_checkpoint_is_read_back_as_progress():
    seen = []

    @toolguard.read
    async def look(city: str) -> str:
        await toolguard.checkpoint(page=1)
        await toolguard.checkpoint(found="x")
        seen.append(dict(toolguard.current_call().progress))
        return "sunny"

    async with house(look) as h:
        await h.session.run(look, "Pune")
    assert seen == [{"page": 1, "found": "x"}]


# -- W6: leaving committing() --------------------------------------------------------------------------------------


def inside(body):
    """A mutation that commits inside; ``body`` gets its commit context."""

    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        return await body(toolguard.committing)

    return charge


async def test_w6_an_exception_after_the_commit_was_left_is_done_with_a_warning():
    async def body(committing):
        async with committing():
            pass
        raise ValueError("the receipt printer is out of paper")

    charge = inside(body)
    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await h.ended()
        await turns()
        assert h.phase() == "done"
        assert "out of paper" in h.run().warning
        assert "out of paper" in h.port.output("c1")


async def test_w6_refused_inside_the_commit_means_that_nothing_happened():
    async def body(committing):
        async with committing():
            raise Refused("card declined")

    charge = inside(body)
    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await h.ended()
        await turns()
        assert (h.phase(), h.run().refused) == ("failed", True)
        assert "card declined" in h.port.output("c1")


async def test_w6_a_second_committing_in_one_run_raises_and_the_first_stands():
    raised = []

    async def body(committing):
        async with committing():
            pass
        try:
            async with committing():
                raise AssertionError("it was entered")
        except Refused as error:
            raised.append(error)
        return "ch_1"

    charge = inside(body)
    async with house(charge) as h:
        assert await h.session.run(charge, "ana") == "ch_1"
    assert "second time" in str(raised[0])


async def test_w6_a_body_that_returns_without_committing_is_in_doubt():
    async def body(committing):
        return "ch_1"

    charge = inside(body)
    async with house(charge) as h:
        with pytest.raises(InDoubt):
            await h.session.run(charge, "ana")
        assert (h.phase(), h.run().code) == ("in_doubt", "never_committed")


async def test_w6_committing_undeclared_raises_before_any_effect(effects):
    @toolguard.idempotent_write(identity="who")
    async def note(who: str) -> None:
        async with toolguard.committing():
            effects()

    async with house(note) as h:
        with pytest.raises((DeclarationError, InDoubt)):
            await h.session.run(note, "ana")
        assert len(effects) == 0


# -- W7: steps ---------------------------------------------------------------------------------------------------


async def test_w7_a_resumed_run_does_not_repeat_a_step_and_sees_the_same_type():
    store, asked, types, hang = MemoryStore(), [], [], True

    async def hold(slot: str) -> set[int]:
        asked.append(slot)
        return {1, 2}

    @toolguard.mutation(identity="slot", commits="inside")
    async def book(slot: str) -> str:
        types.append(await toolguard.step("hold", hold, slot))
        if hang:
            await asyncio.get_running_loop().create_future()
        async with toolguard.committing():
            return "bk_1"

    async with crashed(store, book) as h:
        h.call("c1", book, slot="s1")
        await until(lambda: types)
    hang = False
    async with house(book, store=store) as h:
        await h.ended()
        assert (h.phase(), asked, types) == ("done", ["s1"], [{1, 2}, {1, 2}])


async def test_w7_a_step_repeated_with_other_arguments_after_the_commit_raises():
    raised = []

    async def hold(slot: str) -> str:
        return slot

    @toolguard.mutation(identity="slot", commits="inside", retry=1)
    async def book(slot: str) -> str:
        await toolguard.step("hold", hold, slot)
        async with toolguard.committing():
            pass
        from toolguard.tools.ambient import BENCH

        BENCH.get()._steps.clear()  # as in a second attempt of the same occurrence
        try:
            await toolguard.step("hold", hold, "another")
        except StepChanged as error:
            raised.append(error)
        return "bk_1"

    async with house(book) as h:
        assert await h.session.run(book, "s1") == "bk_1"
    assert raised


async def test_w7_another_fingerprint_before_the_commit_drops_the_kept_step_and_all_later_ones():
    store, asked, hang, day = MemoryStore(), [], True, "monday"

    async def find(what: str) -> str:
        asked.append(what)
        return what

    @toolguard.mutation(identity="slot", commits="inside")
    async def book(slot: str) -> str:
        await toolguard.step("a", find, "first")
        await toolguard.step("b", find, day)
        await toolguard.step("c", find, "last")
        if hang:
            await asyncio.get_running_loop().create_future()
        async with toolguard.committing():
            return "bk_1"

    async with crashed(store, book) as h:
        h.call("c1", book, slot="s1")
        await until(lambda: len(asked) == 3)
    hang, day = False, "tuesday"
    async with house(book, store=store) as h:
        await h.ended()
    assert asked == ["first", "monday", "last", "tuesday", "last"]


async def test_w7_a_guarded_write_inside_a_step_raises(effects):
    @toolguard.mutation(identity="who")
    async def pay(who: str) -> None:
        effects()

    async def sneaky(who: str) -> None:
        await pay(who)

    @toolguard.mutation(identity="slot", commits="inside")
    async def book(slot: str) -> str:
        await toolguard.step("pay", sneaky, "ana")
        async with toolguard.committing():
            return "bk_1"

    async with house(book, pay) as h:
        with pytest.raises(DeclarationError):
            await h.session.run(book, "s1")
        assert (len(effects), h.phase()) == (0, "failed")


# -- W8: children --------------------------------------------------------------------------------------------------


async def test_w8_a_child_has_no_output_of_its_own(charge, effects):
    @toolguard.mutation(identity="slot")
    async def book(slot: str) -> str:
        return await charge("ana")

    async with house(book, charge) as h:
        h.call("c1", book, slot="s1")
        await h.ended()
        await turns()
        assert [p.call_id for p in h.port.placed] == ["c1"]
        assert len(effects) == 1
        assert h.run(2).intent != h.run(1).intent


async def test_w8_a_write_inside_a_read_raises(charge, effects):
    @toolguard.read(retry=1)
    async def look(city: str) -> str:
        return await charge("ana")

    async with house(look, charge) as h:
        with pytest.raises(DeclarationError, match="W8"):
            await h.session.run(look, "Pune")
        assert len(effects) == 0


async def test_w8_a_child_of_a_committing_parent_passes_the_gate_at_once(charge, effects):
    step = asyncio.Event()

    @toolguard.mutation(identity="slot")
    async def book(slot: str) -> str:
        await step.wait()
        return await charge("ana")

    async with house(book, charge) as h:
        h.call("c1", book, slot="s1")
        await until(lambda: h.phase() == "committing")
        h.onset()
        step.set()
        await turns(50)
        assert (len(effects), h.phase()) == (1, "done")


async def test_w8_stopping_an_uncommitted_parent_stops_its_children(charge, effects):
    @toolguard.mutation(identity="slot", commits="inside")
    async def book(slot: str) -> str:
        await charge("ana")
        async with toolguard.committing():
            return "bk_1"

    async with house(book, charge) as h:
        h.onset()
        h.call("c1", book, slot="s1")
        await h.at_gate(2)
        h.says("cancellation", "o1")
        await turns()
        assert (h.phase(1), h.phase(2), len(effects)) == ("cancelled", "cancelled", 0)


async def test_w8_the_same_child_twice_under_one_occurrence_is_one_intent(charge, effects):
    @toolguard.mutation(identity="slot")
    async def book(slot: str) -> list[str]:
        return [await charge("ana"), await charge("ana")]

    async with house(book, charge) as h:
        assert await h.session.run(book, "s1") == ["ch_1", "ch_1"]
        assert len(effects) == 1


# -- L1, L4, L5: outcomes ------------------------------------------------------------------------------------------


async def test_l1_raising_before_the_commit_is_failed():
    async def body(committing):
        raise ValueError("no such slot")

    charge = inside(body)
    async with house(charge) as h:
        with pytest.raises(ValueError, match="no such slot"):
            await h.session.run(charge, "ana")
        assert h.phase() == "failed"


async def test_l1_raising_while_committing_is_in_doubt():
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        raise ConnectionError("reset by peer")

    async with house(charge) as h:
        with pytest.raises(InDoubt):
            await h.session.run(charge, "ana")
        assert h.phase() == "in_doubt"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_l1_a_body_that_raises_a_base_exception_while_committing_is_in_doubt_and_the_loop_lives(error):
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        raise error

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await h.ended()
        assert h.phase() == "in_doubt"


async def test_l1_an_error_declared_as_did_not_happen_is_failed():
    class DeclinedError(Exception):
        pass

    @toolguard.mutation(identity="who", did_not_happen=DeclinedError)
    async def charge(who: str) -> str:
        raise DeclinedError("insufficient funds")

    async with house(charge) as h:
        with pytest.raises(DeclinedError):
            await h.session.run(charge, "ana")
        assert (h.phase(), h.run().refused) == ("failed", True)


async def test_l1_a_read_that_raises_has_failed():
    @toolguard.read(retry=1)
    async def look(city: str) -> str:
        raise ValueError("no such city")

    async with house(look) as h:
        h.call("c1", look, city="Pune")
        await h.ended()
        await turns()
        assert h.phase() == "failed"
        assert "no such city" in h.port.output("c1")


async def test_l4_a_body_that_returns_after_it_was_given_up_is_done_after_all_with_one_note():
    finish = asyncio.Event()

    @toolguard.mutation(identity="who", time_limit=5, hard_limit=10)
    async def charge(who: str) -> str:
        await finish.wait()
        return "ch_1"

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(11)
        assert h.phase() == "in_doubt"
        finish.set()
        await turns()
        assert h.phase() == "done"
        assert len(h.port.outputs) == 1
        assert ["ch_1" in note.text for note in h.port.notes] == [True]


async def test_l4_a_thread_that_returns_after_a_stop_contradicts_it_and_makes_one_note():
    """The body acted without committing(): late evidence against a write's final phase is kept and told."""
    finish = threading.Event()

    @toolguard.mutation(identity="who", commits="inside")
    def charge(who: str) -> str:
        finish.wait(5)
        return "ch_1"

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: h.phase() == "started")
        h.says("cancellation")
        assert h.phase() == "cancelled"
        finish.set()
        await turns()
        await asyncio.sleep(0.1)
        assert h.phase() == "cancelled"


async def test_l4_a_late_return_of_a_read_is_done():
    finish = asyncio.Event()

    @toolguard.read(time_limit=5, hard_limit=10, retry=1)
    async def look(city: str) -> str:
        await finish.wait()
        return "sunny"

    async with house(look) as h:
        h.call("c1", look, city="Pune")
        await asyncio.sleep(11)
        finish.set()
        await turns()
        assert h.phase() == "done"
        assert [("did not" in n.text or "failed" in n.text, "sunny" in n.text) for n in h.port.notes] == [
            (True, False),
            (False, True),
        ]


async def test_g7_a_read_that_is_given_up_fails_for_the_model_too_and_is_not_in_flight_any_more():
    @toolguard.read(time_limit=5, hard_limit=10, patience=60, retry=1)
    async def look(city: str) -> str:
        await asyncio.sleep(1000)
        return ""

    async with house(look) as h:
        h.call("c1", look, city="Pune")
        await asyncio.sleep(11)
        assert [note.form for note in h.port.notes] == ["error"]
        assert not h.session.state.open_runs


async def test_l4_the_first_evidence_wins():
    """A person settles, then the body returns: the person's word stands."""
    finish = asyncio.Event()

    @toolguard.mutation(identity="who", time_limit=5, hard_limit=10)
    async def charge(who: str) -> str:
        await finish.wait()
        return "ch_1"

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(11)
        assert h.phase() == "in_doubt"
        h.session._w.ledger.write(r.Returned(run=1, result=b'"ch_person"', source="person", by="ana"))
        finish.set()
        await turns()
        assert h.run().result == b'"ch_person"'


async def test_l5_a_body_stopped_before_its_commit_cannot_commit(effects):
    """It swallows the cancellation and goes on; committing() and step() refuse it."""
    raised = []

    async def read() -> int:
        return 1

    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(100)
        for door in (toolguard.step("read", read), toolguard.committing().__aenter__()):
            try:
                await door
                effects()
            except Refused as error:
                raised.append(error)
        return "ch_1"

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: h.phase() == "started")
        h.says("cancellation")
        await turns()
        assert (h.phase(), len(raised), len(effects)) == ("cancelled", 2, 0)


async def test_l5_a_thread_stopped_before_its_commit_cannot_commit(effects):
    gone, raised = threading.Event(), []

    @toolguard.mutation(identity="who", commits="inside")
    def charge(who: str) -> str:
        gone.wait(5)
        try:
            with toolguard.committing():
                effects()
        except Refused as error:
            raised.append(error)
            raise
        return "ch_1"

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: h.phase() == "started")
        h.says("cancellation")
        gone.set()
        await really(lambda: raised)
        assert (h.phase(), len(effects)) == ("cancelled", 0)


# -- G7: limits -----------------------------------------------------------------------------------------------------


async def test_g7_an_uncommitted_write_is_stopped_at_its_time_limit():
    @toolguard.mutation(identity="who", commits="inside", time_limit=5)
    async def charge(who: str) -> str:
        await asyncio.sleep(1000)
        return ""

    async with house(charge) as h:
        with pytest.raises(StoppedBeforeEffect):
            await h.session.run(charge, "ana")
        assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.1)


async def test_g7_a_committed_write_is_told_as_not_known_yet_and_lost_at_its_hard_limit():
    @toolguard.mutation(identity="who", time_limit=5, hard_limit=20, patience=60)
    async def charge(who: str) -> str:
        await asyncio.sleep(1000)
        return ""

    async with house(charge, limits=Limits(drain=0)) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(6)
        assert '"not_known_yet"' in h.port.output("c1")
        assert h.phase() == "committing"
        await asyncio.sleep(15)
        assert h.phase() == "in_doubt"


async def test_g7_a_read_is_told_as_not_known_yet_and_is_let_go_at_its_hard_limit():
    @toolguard.read(time_limit=5, hard_limit=20, patience=60, retry=1)
    async def look(city: str) -> str:
        await asyncio.sleep(1000)
        return ""

    async with house(look) as h:
        h.call("c1", look, city="Pune")
        await asyncio.sleep(6)
        assert '"not_known_yet"' in h.port.output("c1")
        await asyncio.sleep(15)
        assert (h.phase(), h.run().code) == ("planned", "lost")  # late evidence may still make it done (L4)
        with pytest.raises(ToolFailed):
            await h.session.run(look, "Bonn")


async def test_g7_the_time_limit_pauses_at_the_gate():
    """Four seconds of work, six at the gate, four more: within a limit of ten."""

    @toolguard.mutation(identity="who", commits="inside", time_limit=10)
    async def charge(who: str) -> str:
        await asyncio.sleep(4)
        async with toolguard.committing():
            await asyncio.sleep(4)
        return "ch_1"

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(3)
        h.onset()
        await asyncio.sleep(6)
        h.says("backchannel", "o1")
        await asyncio.sleep(4.5)
        assert h.phase() == "done"
        assert h.port.outputs[-1].form in {"result", "still_running"}


async def test_g7_the_rest_of_the_time_limit_runs_on_after_the_gate():
    @toolguard.mutation(identity="who", commits="inside", time_limit=10, patience=100)
    async def charge(who: str) -> str:
        await asyncio.sleep(8)
        async with toolguard.committing():
            await asyncio.sleep(1000)
        return "ch_1"

    async with house(charge, limits=Limits(drain=0)) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(10.5)
        assert '"not_known_yet"' in h.port.output("c1")


# -- awkward bodies ------------------------------------------------------------------------------------------------


async def test_a_body_that_returns_nothing_is_done_with_null():
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> None:
        return None

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await h.ended()
        await turns()
        assert (h.phase(), h.port.output("c1")) == ("done", "null")


async def test_a_result_that_cannot_be_serialised_is_no_failure_of_the_effect():
    class Odd:
        pass

    @toolguard.mutation(identity="who")
    async def charge(who: str) -> object:
        return Odd()

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await h.ended()
        await turns()
        assert h.phase() == "done"
        assert "result_not_serialisable" in h.port.output("c1")


async def test_a_huge_result_is_kept_as_its_size_and_beginning():
    @toolguard.read
    async def look(city: str) -> str:
        return "x" * 1_000_000

    async with house(look) as h:
        h.call("c1", look, city="Pune")
        await h.ended()
        await turns()
        assert len(h.port.output("c1")) < 10_000
        assert "too_large" in h.port.output("c1")


async def test_a_body_that_swallows_its_cancellation_while_committing_is_believed_when_it_returns():
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return "ch_1"
        return "late"

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: h.phase() == "committing")
        h.session._w.execution.live[1].task.cancel()
        await h.ended()
        assert h.phase() == "done"


async def test_a_cancelled_waiter_does_not_cancel_the_body(charge, effects):
    go = asyncio.Event()

    @toolguard.mutation(identity="who")
    async def slow(who: str) -> str:
        await go.wait()
        effects()
        return "ch_1"

    async with house(slow) as h:
        waiter = asyncio.create_task(h.session.run(slow, "ana"))
        await until(lambda: h.state.runs and h.phase() == "committing")
        waiter.cancel()
        await turns()
        go.set()
        await h.ended()
        assert (h.phase(), len(effects)) == ("done", 1)


async def test_a_sync_body_runs_in_a_thread_with_its_context():
    seen = []

    @toolguard.mutation(identity="who", commits="inside")
    def charge(who: str) -> str:
        seen.append(threading.current_thread() is threading.main_thread())
        toolguard.checkpoint(step=1)
        with toolguard.committing() as key:
            seen.append(len(key))
        return toolguard.current_call().ref

    async with house(charge) as h:
        assert await h.session.run(charge, "ana") == "conv-1/1"
    assert seen == [False, 32]


async def test_a_thread_that_never_returns_is_lost_at_its_hard_limit_and_the_session_goes_on():
    free = threading.Event()

    @toolguard.mutation(identity="who", time_limit=5, hard_limit=10)
    def charge(who: str) -> str:
        free.wait(10)
        return "ch_1"

    @toolguard.read
    async def look(city: str) -> str:
        return "sunny"

    async with house(charge, look) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(11)
        assert h.phase() == "in_doubt"
        assert await h.session.run(look, "Pune") == "sunny"
        free.set()
        await really(lambda: h.phase() == "done")


async def test_a_body_that_raises_stop_iteration_ends():
    @toolguard.read(retry=1)
    def look(city: str) -> str:
        raise StopIteration

    async with house(look) as h:
        h.call("c1", look, city="Pune")
        await h.ended()
        assert h.phase() == "failed"


async def test_a_call_after_the_end_raises(charge):
    async with house(charge) as h:
        await h.session.close()
        with pytest.raises(SessionClosed):
            await h.session.run(charge, "ana")
        assert h.call("c1", charge, who="ana") == 0


# -- retries ------------------------------------------------------------------------------------------------------


async def test_a_read_is_tried_again():
    tries = []

    @toolguard.read(retry=Retry(3, 0.2, 2))
    async def look(city: str) -> str:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError
        return "sunny"

    async with house(look) as h:
        assert await h.session.run(look, "Pune") == "sunny"
        assert len(tries) == 3


async def test_an_idempotent_write_is_tried_again_with_the_same_key():
    keys = []

    @toolguard.idempotent_write(identity="who", retry=Retry(3, 0.2, 2))
    async def note(who: str) -> str:
        keys.append(toolguard.current_call().key)
        if len(keys) < 3:
            raise ConnectionError
        return "kept"

    async with house(note) as h:
        assert await h.session.run(note, "ana") == "kept"
        assert len(keys) == 3
        assert len(set(keys)) == 1
        assert h.phase() == "done"
        assert folded(h.store).runs[1].phase.value == "done"


async def test_a_mutation_is_tried_again_only_after_refused_and_with_a_new_key():
    keys = []

    @toolguard.mutation(identity="who", retry=Retry(3, 0.2, 2))
    async def charge(who: str) -> str:
        keys.append(toolguard.current_call().key)
        if len(keys) < 2:
            raise Refused("try again")
        return "ch_1"

    async with house(charge) as h:
        assert await h.session.run(charge, "ana") == "ch_1"
        assert len(set(keys)) == 2
        assert [h.phase(n) for n in (1, 2)] == ["failed", "done"]


async def test_a_mutation_is_not_tried_again_after_any_other_error():
    tries = []

    @toolguard.mutation(identity="who", retry=Retry(3, 0.2, 2))
    async def charge(who: str) -> str:
        tries.append(1)
        raise ConnectionError

    async with house(charge) as h:
        with pytest.raises(InDoubt):
            await h.session.run(charge, "ana")
        await asyncio.sleep(10)
        assert len(tries) == 1


async def test_retries_end_with_the_last_error():
    @toolguard.read(retry=Retry(3, 0.2, 2))
    async def look(city: str) -> str:
        raise ConnectionError("still down")

    async with house(look) as h:
        with pytest.raises(ConnectionError):
            await h.session.run(look, "Pune")
        assert h.run().attempt <= 3


async def test_a_write_stopped_between_two_attempts_is_not_tried_again(effects):
    @toolguard.mutation(identity="who", commits="inside", retry=Retry(3, 1, 2))
    async def charge(who: str) -> str:
        effects("tried")
        raise Refused("try again")

    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: len(effects) == 1)
        await asyncio.sleep(0.5)
        h.says("cancellation")
        await asyncio.sleep(10)
        assert len(effects) == 1
        assert h.port.outputs


# -- D1-D3: in doubt ------------------------------------------------------------------------------------------------


def doubtful(probe, **options):
    @toolguard.mutation(identity="who", time_limit=5, hard_limit=10, **options)
    async def charge(who: str) -> str:
        raise ConnectionError

    if probe is not None:

        @charge.probe
        async def find(attempt, who: str):
            return await probe(attempt)

    return charge


async def test_d1_a_probe_that_says_it_happened_settles_it():
    async def probe(attempt):
        assert len(attempt.key) == 32
        return Happened("ch_1", evidence="dashboard")

    charge = doubtful(probe)
    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: h.phase() == "done")
        assert (h.run().result, h.run().source) == (b'"ch_1"', "probe")
        await until(lambda: h.port.notes)
        assert "ch_1" in h.port.notes[0].text


@pytest.mark.parametrize("nothing", [None, StillUnknown(), "nonsense", ValueError, 0])
async def test_d1_a_probe_without_an_answer_leaves_it_in_doubt(nothing):
    asked = []

    async def probe(attempt):
        asked.append(1)
        if nothing is ValueError:
            raise ValueError
        return nothing

    charge = doubtful(probe)
    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(60)
        assert h.phase() == "in_doubt"
        assert 1 < len(asked) < 50


async def test_d1_did_not_happen_is_believed_only_after_the_quarantine():
    async def probe(attempt):
        return DidNotHappen()

    charge = doubtful(probe, settles_within=30)
    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(39)
        assert h.phase() == "in_doubt"
        await asyncio.sleep(2)
        assert (h.phase(), h.run().source) == ("failed", "probe")


async def test_d1_after_did_not_happen_the_next_occurrence_inherits_the_key_and_after_refused_it_takes_a_new_one():
    keys, errors = [], [ConnectionError(), Refused("no"), None]

    @toolguard.mutation(identity="who", hard_limit=10, time_limit=5)
    async def charge(who: str) -> str:
        keys.append(toolguard.current_call().key)
        error = errors[len(keys) - 1]
        if error is not None:
            raise error
        return "ch_1"

    @charge.probe
    async def find(attempt, who: str):
        return DidNotHappen()

    async with house(charge) as h:
        for number in (1, 2, 3):
            h.call(f"c{number}", charge, who="ana")
            await asyncio.sleep(30)
        assert [h.phase(n) for n in (1, 2, 3)] == ["failed", "failed", "done"]
        assert keys[0] == keys[1] != keys[2]


async def test_d2_an_idempotent_write_that_was_taken_back_is_not_tried_again():
    tries = []

    @toolguard.idempotent_write(identity="who", retry=Retry(3, 1, 2))
    async def note(who: str) -> str:
        tries.append(1)
        await asyncio.sleep(1)
        raise ConnectionError

    async with house(note) as h:
        h.call("c1", note, who="ana")
        await until(lambda: tries)
        h.says("cancellation @conv-1/1")
        await asyncio.sleep(20)
        assert (len(tries), h.phase()) == (1, "in_doubt")


async def test_d2_newer_content_waits_for_an_idempotent_write_that_runs_and_comes_last():
    wrote, go = [], asyncio.Event()

    @toolguard.idempotent_write(identity="who")
    async def note(who: str, text: str) -> str:
        if text == "old":
            await go.wait()
        wrote.append(text)
        return text

    async with house(note) as h:
        h.call("c1", note, who="ana", text="old")
        await until(lambda: h.phase() == "committing")
        h.call("c2", note, who="ana", text="new")
        await turns()
        assert wrote == []
        go.set()
        await until(lambda: h.phase(2) == "done")
        assert wrote == ["old", "new"]


async def test_d3_a_mutation_in_doubt_is_never_run_again():
    tries = []

    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        tries.append(1)
        raise ConnectionError

    async with house(charge) as h:
        for number in range(3):
            h.call(f"c{number}", charge, who="ana")
            await asyncio.sleep(3600)
        assert (len(tries), h.phase()) == (1, "in_doubt")
        assert '"in_doubt"' in h.port.output("c2")
