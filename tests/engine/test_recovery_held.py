"""A write that the caller was holding by speaking when its process died waits for the caller after it is resumed (G3)."""

import asyncio

import pytest
from engine_house import START, Effects, crashed, folded, house, turns

import toolguard
from toolguard import BargeIn, Effect
from toolguard.core import records as r
from toolguard.core.holding import held_runs
from toolguard.core.state import State
from toolguard.engine.clock import moment
from toolguard.engine.limits import Limits
from toolguard.engine.port import Traits
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
        return "ch_1"

    return charge


async def died_while_speaking(store, charge, *, words="", settle="", planned_before=True):
    """The shortest history: called, an onset, and the process is gone."""
    async with crashed(store, charge) as h:
        if planned_before:
            h.call("c1", charge, who="ana")
            h.onset()
        else:
            h.onset()
            h.call("c1", charge, who="ana")
        await turns()
        if words:
            h.session.caller_said(words, onset="o1", final=False)
        if settle:
            h.says(settle, "o1")
            await turns()
    return store


@pytest.mark.parametrize("planned_before", [True, False])
async def test_g3_it_does_not_commit_before_the_caller_was_heard(charge, effects, planned_before):
    store = await died_while_speaking(MemoryStore(), charge, planned_before=planned_before)
    assert folded(store).onsets == {"o1": {1}}
    async with house(charge, store=store, limits=Limits(hold=1.5)) as h:
        await asyncio.sleep(1.4)
        assert (h.phase(), len(effects)) == ("planned", 0)
        assert h.session.wiring.gate.waits(1)


async def test_g1_a_call_that_was_planned_while_the_caller_spoke_is_held_also_without_the_record_of_its_hold():
    """The shortest history that showed it: an onset, a call, and the process is gone before the decision lands."""
    state = State("conv-1")
    onset = BargeIn(stage="onset", at=START, onset="o1")
    state.apply(r.Interrupted(id="i1", interrupt=onset), 1)
    called = r.Called(call=1, call_id="c1", tool="charge", verdict="run", effect=Effect.MUTATION, intent="x", run=1)
    state.apply(called, 2)
    assert held_runs(state) == {1: {"o1"}}
    decided = r.Decided(run=1, calls=(1,), choice="go_on")
    state.apply(r.Interrupted(id="i2", interrupt=onset, decisions=(decided,)), 3)
    assert held_runs(state) == {}


async def test_g3_at_the_limit_nobody_knows_what_was_said_so_it_is_stopped_and_asked(charge, effects):
    store = await died_while_speaking(MemoryStore(), charge)
    async with house(charge, store=store) as h:
        await h.ended()
        assert (h.phase(), len(effects)) == ("cancelled", 0)
        settled = [one.interrupt for one in h.records(r.Interrupted) if one.interrupt.stage == "settled"]
        assert [one.kind for one in settled] == ["unknown"]


@pytest.mark.parametrize(("meaning", "phase", "done"), [("addition", "done", 1), ("correction", "cancelled", 0)])
async def test_g3_the_callers_next_turn_decides(charge, effects, meaning, phase, done):
    store = await died_while_speaking(MemoryStore(), charge)
    async with house(charge, store=store, traits=HEARS) as h:
        await asyncio.sleep(1)
        h.session.caller_started("o2")
        await asyncio.sleep(3)  # longer than the limit: the caller is speaking
        assert (h.phase(), len(effects)) == ("planned", 0)
        h.session.caller_stopped("o2")
        h.says(meaning, "o2")
        await h.ended()
        assert (h.phase(), len(effects)) == (phase, done)
        assert folded(store).onsets == {}


async def test_g3_a_backchannel_says_nothing_about_what_was_lost(charge, effects):
    store = await died_while_speaking(MemoryStore(), charge)
    async with house(charge, store=store) as h:
        h.session.caller_started("o2")
        h.says("backchannel", "o2")
        await turns()
        assert h.phase() == "planned"
        await h.ended()
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_g1_a_call_of_the_new_connection_is_not_held_by_what_was_said_on_the_old_one(charge, effects):
    store = await died_while_speaking(MemoryStore(), charge)
    async with house(charge, store=store) as h:
        assert await h.session.run(charge, "ben") == "ch_1"
        await h.ended(1)
        assert effects.done == ["ben"]


@pytest.mark.parametrize("settle", ["noise", "addition"])
async def test_what_was_settled_before_the_crash_holds_nothing_after_it(effects, settle):
    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        await asyncio.sleep(1)
        async with toolguard.committing():
            effects(who)
        return "ch_1"

    store = await died_while_speaking(MemoryStore(), charge, settle=settle)
    assert folded(store).onsets == {}
    async with house(charge, store=store) as h:
        await h.ended()
        assert (h.phase(), len(effects)) == ("done", 1)


async def test_g3_a_caller_who_had_asked_to_wait_is_waited_for(charge, effects):
    store = await died_while_speaking(MemoryStore(), charge, settle="hold_on")
    assert folded(store).asked_to_wait == {1}
    async with house(charge, store=store) as h:
        await asyncio.sleep(5)
        assert (h.phase(), len(effects)) == ("planned", 0)
        h.says("addition")
        await h.ended()
        assert (h.phase(), len(effects)) == ("done", 1)


async def test_g3_a_caller_who_had_asked_to_wait_and_says_no_more_is_asked_again(charge, effects):
    store = await died_while_speaking(MemoryStore(), charge, settle="hold_on")
    async with house(charge, store=store) as h:
        await h.ended()
        assert (h.phase(), len(effects)) == ("cancelled", 0)
        assert h.run().message == "not done: you asked to wait and did not say more"


async def test_g2_words_that_close_several_onsets_are_folded_as_closing_all_of_them(effects):
    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        await asyncio.sleep(1)
        async with toolguard.committing():
            effects(who)
        return "ch_1"

    store = MemoryStore()
    async with crashed(store, charge) as h:
        h.call("c1", charge, who="ana")
        h.onset("o1")
        h.onset("o2")
        h.says("addition")  # names no onset: all that are older
        await turns()
        assert h.state.onsets == {}
    assert folded(store).onsets == {}


async def test_g4_a_partial_transcript_that_stops_something_leaves_its_onset_open(charge, effects):
    store = MemoryStore()
    async with crashed(store, charge) as h:
        h.guard._entrance._trusted = True
        h.onset()
        h.call("c1", charge, who="ana")
        await turns()
        w = h.session.wiring
        w.decisions.make(_settled(w), [h.run()], onset="o1", only_stop=True)
        assert h.phase() == "cancelled"
        assert set(h.state.onsets) == {"o1"}
    assert set(folded(store).onsets) == {"o1"}


def _settled(w):
    return BargeIn(stage="settled", at=moment(w.ledger.clock.wall()), kind="cancellation", said="no", onset="o1")
