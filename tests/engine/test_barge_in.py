"""From the first sound of the caller to a decision about every call in flight (G4-G8)."""

import asyncio
import time

import pytest
from engine_house import Effects, FaultyStore, House, crashed, folded, house, really, turns, until

import toolguard
from toolguard import Decision
from toolguard.core import records as r
from toolguard.engine.limits import Limits
from toolguard.engine.port import Traits
from toolguard.listen.heard import Verdict
from toolguard.stores.memory import MemoryStore

pytestmark = pytest.mark.virtual_time
HEARS = Traits(adapter="test", speech_ends=True)


@pytest.fixture
def effects():
    return Effects()


@pytest.fixture
def charge(effects):
    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        async with toolguard.committing():
            effects(who)
            await asyncio.sleep(5)
            return "ch_1"

    return charge


@pytest.fixture
def look():
    @toolguard.read
    async def look(city: str) -> str:
        await asyncio.sleep(3)
        return "sunny"

    return look


def decisions(h: House, *, last=True):
    rows = [one for one in h.records(r.Interrupted) if one.decisions]
    return {one.run: one for one in rows[-1].decisions} if last else rows


async def held(h, charge, **arguments):
    h.call("c1", charge, **arguments)
    h.onset()
    await h.at_gate()


# -- G4 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["noise", "backchannel", "answer", "addition", "other_topic"])
async def test_g4_words_that_leave_a_write_alone_release_it(charge, effects, kind):
    async with house(charge, traits=HEARS) as h:
        await held(h, charge, who="ana")
        h.says(kind, "o1")
        await turns()
        assert len(effects) == 1


@pytest.mark.parametrize("kind", ["correction", "cancellation", "stop", "unknown"])
async def test_g4_words_that_may_change_a_write_stop_it_without_effect(charge, effects, kind):
    async with house(charge, traits=HEARS) as h:
        await held(h, charge, who="ana")
        h.says(kind, "o1")
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)


@pytest.mark.parametrize(
    "kind", ["noise", "backchannel", "answer", "correction", "cancellation", "stop", "unknown", "hold_on"]
)
async def test_g4_nothing_that_is_said_stops_a_committed_write(charge, effects, kind):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: effects.done)
        h.onset()
        h.says(kind, "o1")
        assert h.phase() == "committing"
        await h.ended()
        assert h.phase() == "done"


@pytest.mark.parametrize("kind", ["correction", "cancellation", "stop"])
async def test_g4_a_correction_that_comes_too_late_is_told_with_its_undo(charge, effects, kind):
    @toolguard.mutation(identity="made")
    async def refund(made: str) -> None:
        return None

    @charge.undo
    def undo(made: str):
        return refund.bind(made)

    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: effects.done)
        h.says(kind)
        await h.ended()
        await until(lambda: h.run().shown >= 0)
        said = h.port.placed[-1].text
        assert "could no longer be stopped" in said
        assert '"tool":"refund","arguments":{"made":"ch_1"}' in said


async def test_g4_a_correction_that_names_no_call_concerns_every_uncommitted_write(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.onset()
        for number in range(3):
            h.call(f"c{number}", charge, who=f"p{number}")
        await turns()
        h.says("correction", "o1")
        await turns()
        assert ([h.phase(n) for n in (1, 2, 3)], len(effects)) == (["cancelled"] * 3, 0)


async def test_g4_a_correction_that_names_a_call_concerns_that_one(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.onset()
        for number in (1, 2):
            h.call(f"c{number}", charge, who=f"p{number}")
        await turns()
        h.says("correction @conv-1/2", "o1")
        await turns()
        assert (h.phase(1), h.phase(2), effects.done) == ("committing", "cancelled", ["p1"])


async def test_g4_words_concern_only_calls_issued_before_they_were_spoken(charge, effects):
    """ "No, make it Tuesday" is transcribed after the model has already made the call that does it."""
    async with house(charge, traits=HEARS) as h:
        h.onset()
        await asyncio.sleep(1)
        h.session.caller_stopped("o1")
        await asyncio.sleep(0.3)
        h.session.generation_began("g2")
        h.call("c1", charge, generation="g2", who="tuesday")
        await turns()
        h.says("correction", "o1")
        await turns()
        assert (h.phase(), effects.done) == ("committing", ["tuesday"])


async def test_g4_a_call_of_a_response_that_began_before_the_speech_ended_is_concerned(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.session.generation_began("g1")
        h.onset()
        await asyncio.sleep(1)
        h.session.caller_stopped("o1")
        await asyncio.sleep(0.3)
        h.call("c1", charge, generation="g1", who="monday")
        await turns()
        h.says("correction", "o1")
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_g4_low_confidence_counts_as_a_correction_for_an_uncommitted_write_and_as_an_addition_for_a_read(
    charge, look
):
    def unsure(heard):
        return Verdict("answer", frozenset(), 0.3, "told")

    async with house(charge, look, traits=HEARS, listener=unsure) as h:
        h.onset()
        h.call("c1", charge, who="ana")
        h.call("c2", look, city="Pune")
        await turns()
        h.says("hm", "o1")
        await turns()
        assert (h.phase(1), h.phase(2)) == ("cancelled", "planned")
        assert decisions(h)[2].announce == "when_idle"


async def test_g4_a_partial_transcript_may_stop(charge, effects):
    def fast(heard):
        return Verdict("stop", frozenset(), 1.0, "told")

    async with house(charge, traits=HEARS, listener=fast) as h:
        await held(h, charge, who="ana")
        h.session.caller_said("stop", onset="o1", final=False)
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)


@pytest.mark.parametrize("kind", ["backchannel", "noise", "answer", "addition", "hold_on"])
async def test_g4_a_partial_transcript_never_releases(charge, effects, kind):
    def fast(heard):
        return Verdict(kind, frozenset(), 1.0, "told")

    async with house(charge, traits=HEARS, listener=fast) as h:
        await held(h, charge, who="ana")
        h.session.caller_said("yes", onset="o1", final=False)
        await turns()
        assert (h.phase(), len(effects)) == ("started", 0)


async def test_g4_decisions_only_tighten_a_stop_is_not_taken_back_by_the_final_words(charge, effects):
    def fast(heard):
        return Verdict("backchannel" if heard.final else "stop", frozenset(), 1.0, "told")

    async with house(charge, traits=HEARS, listener=fast) as h:
        await held(h, charge, who="ana")
        h.session.caller_said("stop", onset="o1", final=False)
        h.session.caller_said("stop by the shop", onset="o1")
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_g4_the_users_policy_wins_over_the_default_table(charge, effects):
    def bold(call, interrupt):
        return Decision.go_on("never mind")

    async with house(charge, policy=bold, traits=HEARS) as h:
        h.onset()
        h.call("c1", charge, who="ana")
        await turns()
        assert len(effects) == 1


async def test_g4_the_policy_never_wins_over_the_law(charge, effects):
    def harsh(call, interrupt):
        return Decision.stop("always")

    async with house(charge, policy=harsh, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: effects.done)
        h.onset()
        h.says("cancellation", "o1")
        await h.ended()
        assert h.phase() == "done"
        assert decisions(h)[1].choice == "go_on"


async def test_g4_a_tools_own_policy_is_asked_before_the_guards(effects):
    def careless(call, interrupt):
        return Decision.go_on()

    @toolguard.mutation(identity="who", policy=careless)
    async def charge(who: str) -> str:
        effects()
        return "ch_1"

    async with house(charge, policy=lambda _c, _i: Decision.stop("all"), traits=HEARS) as h:
        h.onset()
        h.call("c1", charge, who="ana")
        await turns()
        assert len(effects) == 1


async def test_no_opinion_leaves_it_to_the_default_table(charge, effects):
    async with house(charge, policy=lambda _call, _interrupt: None, traits=HEARS) as h:
        await held(h, charge, who="ana")
        assert len(effects) == 0


def raises(call, interrupt):
    raise ZeroDivisionError


def nonsense(call, interrupt):
    return "stop"


def hangs(call, interrupt):
    time.sleep(0.5)


@pytest.mark.parametrize("policy", [raises, nonsense, hangs])
async def test_a_policy_that_fails_is_replaced_by_the_default_table_and_noticed(charge, effects, policy):
    async with house(charge, policy=policy, traits=HEARS) as h:
        await held(h, charge, who="ana")
        h.says("cancellation", "o1")
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)
        assert "policy_failed" in h.notices()


async def test_g8_a_policy_that_hangs_holds_the_line_once_and_briefly(charge):
    async with house(charge, policy=hangs, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        await turns()
        begun = time.monotonic()
        for number in range(5):
            h.onset(f"o{number}")
        assert time.monotonic() - begun < 0.3


def listens_badly(heard):
    raise ZeroDivisionError


def listens_not(heard):
    time.sleep(0.5)


@pytest.mark.parametrize("listener", [listens_badly, listens_not, lambda _heard: "stop", lambda _heard: None])
async def test_a_listener_that_fails_has_understood_nothing(charge, effects, listener):
    async with house(charge, traits=HEARS, listener=listener) as h:
        h.session._w.barge_ins._ears._trusted = False
        await held(h, charge, who="ana")
        h.says("yes", "o1")
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_a_listener_that_answers_later_holds_the_gate_until_then(charge, effects):
    async def slow():
        await asyncio.sleep(0.2)
        return Verdict("backchannel", frozenset(), 1.0, "told")

    async with house(charge, traits=HEARS, listener=lambda _heard: slow()) as h:
        h.session._w.barge_ins._ears._trusted = False
        await held(h, charge, who="ana")
        h.says("yes", "o1")
        await asyncio.sleep(0.1)
        assert len(effects) == 0
        await asyncio.sleep(0.2)
        assert len(effects) == 1


async def test_a_listener_that_answers_too_late_has_understood_nothing(charge, effects):
    async def never():
        await asyncio.sleep(60)

    async with house(charge, traits=HEARS, listener=lambda _heard: never()) as h:
        h.session._w.barge_ins._ears._trusted = False
        await held(h, charge, who="ana")
        h.says("yes", "o1")
        await asyncio.sleep(0.4)
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_one_record_holds_all_decisions_of_an_interrupt(charge, look):
    async with house(charge, look, traits=HEARS) as h:
        for number in range(5):
            h.call(f"c{number}", charge, who=f"p{number}")
        h.call("c9", look, city="Pune")
        h.onset()
        rows = decisions(h, last=False)
        assert len(rows) == 1
        assert [one.choice for one in rows[0].decisions] == ["hold"] * 5 + ["go_on"]


# -- reads ----------------------------------------------------------------------------------------------------------


async def test_a_read_goes_on_during_an_onset(look):
    async with house(look, traits=HEARS) as h:
        h.call("c1", look, city="Pune")
        h.onset()
        await asyncio.sleep(3.1)
        assert h.phase() == "done"


async def test_a_read_that_a_correction_concerns_is_stopped_and_that_is_said(look):
    async with house(look, traits=HEARS) as h:
        h.call("c1", look, city="Pune")
        h.onset()
        h.says("correction @conv-1/1", "o1")
        await turns()
        assert h.phase() == "cancelled"
        assert '"cancelled"' in h.port.output("c1")


async def test_o8_a_done_read_that_nobody_wants_any_more_is_filed_silently(look, charge):
    """It waits behind a call that has no answer yet; the caller takes it back; it leaves without a reply."""
    async with house(look, charge, traits=HEARS) as h:
        h.session.generation_began("g1")
        h.call("c1", charge, generation="g1", who="ana")
        h.call("c2", look, generation="g1", city="Pune")
        await asyncio.sleep(3.2)
        assert h.phase(2) == "done"
        h.says("cancellation @conv-1/2")
        assert h.state.slots[2].filed
        await h.ended(1)
        await until(lambda: len(h.port.outputs) == 2)
        assert [p.reply for p in h.port.outputs if p.call_id == "c2"] == [False]


# -- G5, G6: detached and discarded -------------------------------------------------------------------------------------


async def test_g5_a_run_is_stopped_only_when_its_last_attached_call_is_detached(effects):
    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        await asyncio.sleep(2)
        async with toolguard.committing():
            effects()
        return "ch_1"

    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, generation="g1", who="ana")
        h.call("c2", charge, generation="g2", who="ana")
        await turns()
        h.session.discarded("g1")
        assert h.phase() == "started"
        await h.ended()
        assert len(effects) == 1
        assert '"superseded"' in h.port.output("c1")
        await until(lambda: len(h.port.outputs) == 2)
        assert h.port.output("c2") == "ch_1"


async def test_g5_a_correction_concerns_all_calls_attached_to_the_run(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.onset()
        h.call("c1", charge, generation="g1", who="ana")
        h.call("c2", charge, generation="g2", who="ana")
        await turns()
        h.says("correction @conv-1/2", "o1")
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)
        assert ['"cancelled"' in h.port.output(c) for c in ("c1", "c2")] == [True, True]


async def test_g5_a_call_discarded_while_its_run_is_committing_stays_attached_and_is_told(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, generation="g1", who="ana")
        await until(lambda: effects.done)
        h.session.discarded("g1")
        await h.ended()
        await turns()
        assert h.phase() == "done"
        assert "ch_1" in "".join(p.text for p in h.port.placed)


async def test_g6_an_uncommitted_write_of_a_discarded_response_is_stopped_without_effect(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.onset()
        h.call("c1", charge, generation="g1", who="ana")
        await turns()
        h.session.discarded("g1")
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)
        assert [(p.form, p.reply) for p in h.port.outputs] == [("superseded", False)]


async def test_g6_a_read_of_a_discarded_response_goes_on_and_is_not_announced(look):
    async with house(look, traits=HEARS) as h:
        h.call("c1", look, generation="g1", city="Pune")
        h.session.discarded("g1")
        await asyncio.sleep(4)
        assert h.phase() == "done"
        assert h.port.asked == []
        assert h.port.notes == []


async def test_g6_a_response_that_is_only_cut_off_after_its_call_was_complete_decides_nothing(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.session.generation_began("g1")
        h.call("c1", charge, generation="g1", who="ana")
        h.onset()
        h.session.generation_ended("g1", "cancelled")
        await turns()
        assert h.phase() == "started"
        h.says("backchannel", "o1")
        await turns()
        assert len(effects) == 1


# -- L2: frames of a framework ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False], ids=["before the call", "after the call"])
async def test_l2_a_cancel_request_is_sticky_by_call_id(charge, effects, first):
    async with house(charge, traits=HEARS) as h:
        h.onset()
        if first:
            h.session.cancelled("c1")
        h.call("c1", charge, who="ana")
        if not first:
            await turns()
            h.session.cancelled("c1")
        await turns()
        h.says("backchannel", "o1")
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_l2_a_cancel_request_does_not_move_a_committed_run(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: effects.done)
        h.session.cancelled("c1")
        await h.ended()
        assert h.phase() == "done"


# -- dropped lines -----------------------------------------------------------------------------------------------------


async def test_a_dropped_callers_write_waits_for_them_and_goes_on_when_they_are_back(effects):
    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        await asyncio.sleep(1)
        async with toolguard.committing():
            effects()
        return "ch_1"

    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.session.dropped("caller")
        await asyncio.sleep(20)
        assert len(effects) == 0
        h.session.back()
        await turns()
        assert len(effects) == 1


async def test_a_dropped_callers_write_is_stopped_when_the_resume_window_ends(effects):
    @toolguard.mutation(identity="who", commits="inside", time_limit=100)
    async def charge(who: str) -> str:
        async with toolguard.committing():
            effects()
        return "ch_1"

    async with house(charge, traits=HEARS) as h:
        h.onset()
        h.call("c1", charge, who="ana")
        await h.at_gate()
        h.session.dropped("caller")
        await asyncio.sleep(59)
        assert h.phase() == "started"
        await asyncio.sleep(2)
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_a_call_that_comes_while_the_caller_is_away_waits_too(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.session.dropped("caller")
        h.call("c1", charge, who="ana")
        await asyncio.sleep(5)
        assert len(effects) == 0
        h.session.back()
        await turns()
        assert len(effects) == 1


async def test_g5_a_callers_drop_ends_the_callers_speech(charge, effects):
    async with house(charge, traits=HEARS) as h:
        await held(h, charge, who="ana")
        h.session.dropped("caller")
        await asyncio.sleep(9)  # longer than speech may hold the gate
        h.session.back()
        await turns()
        assert (h.phase(), len(effects)) == ("committing", 1)


async def test_outputs_wait_while_the_providers_line_is_gone(look):
    async with house(look, traits=HEARS) as h:
        h.call("c1", look, city="Pune")
        h.session.dropped("provider")
        await asyncio.sleep(3.5)
        assert (h.phase(), h.port.outputs) == ("done", [])
        h.session.back()
        assert h.port.output("c1") == "sunny"


# -- the end ----------------------------------------------------------------------------------------------------------


async def test_a_hang_up_during_a_mutation_lets_it_finish_in_the_drain_window(charge, effects):
    async with house(charge, traits=HEARS) as h:
        store = h.store
        h.call("c1", charge, who="ana")
        await until(lambda: effects.done)
    assert folded(store).runs[1].phase.value == "done"


async def test_a_hang_up_stops_an_uncommitted_write_without_effect(charge, effects):
    async with house(charge, traits=HEARS) as h:
        store = h.store
        await held(h, charge, who="ana")
    assert (folded(store).runs[1].phase.value, len(effects)) == ("cancelled", 0)


async def test_g7_a_committing_run_is_never_cancelled_and_lost_after_the_drain_window():
    cancelled = []

    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(asyncio.get_running_loop().time())
            raise
        return "ch_1"

    async with house(charge, traits=HEARS, limits=Limits(drain=10)) as h:
        store = h.store
        h.call("c1", charge, who="ana")
        await turns()
    assert folded(store).runs[1].phase.value == "in_doubt"
    assert all(at >= 10 for at in cancelled)


@pytest.mark.parametrize("speaking", [True, False])
async def test_a_shutdown_leaves_an_uncommitted_write_to_whoever_resumes_and_does_not_wait_for_it(effects, speaking):
    @toolguard.mutation(identity="who", commits="inside")
    async def charge(who: str) -> str:
        await asyncio.sleep(1)
        async with toolguard.committing():
            effects()
        return "ch_1"

    async with house(charge, traits=HEARS) as h:
        store = h.store
        h.call("c1", charge, who="ana")
        if speaking:
            await asyncio.sleep(0.5)
            h.onset()
            await h.at_gate()
        begun = asyncio.get_running_loop().time()
        await h.session.close("shutdown")
        assert asyncio.get_running_loop().time() - begun < 1
    assert len(effects) == 0
    async with house(charge, store=store) as h:
        await h.ended()
        assert (h.phase(), len(effects)) == (("cancelled", 0) if speaking else ("done", 1))  # nobody was heard (G3)


async def test_a_crash_at_the_gate_leaves_the_write_to_whoever_recovers(charge, effects):
    store = MemoryStore()
    async with crashed(store, charge) as h:
        h.call("c1", charge, who="ana")
        h.onset()
        await really(lambda: h.session._w.gate.waits(1))
    assert len(effects) == 0
    async with house(charge, store=store) as h:
        h.says("addition")
        await h.ended()
        assert (h.phase(), len(effects)) == ("done", 1)


async def test_a_crash_after_the_commit_is_in_doubt_and_never_run_again(charge, effects):
    store = MemoryStore()
    async with crashed(store, charge) as h:
        h.call("c1", charge, who="ana")
        await really(lambda: effects.done)
    async with house(charge, store=store) as h:
        await asyncio.sleep(3600)
        assert (h.phase(), len(effects)) == ("in_doubt", 1)


async def test_w2_a_shutdown_while_the_commit_is_written_ends_the_run_failed_without_effect(charge, effects):
    store = FaultyStore(holds=lambda record: isinstance(record, r.CommitBegan))
    async with house(charge, store=store, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        await really(store.holding.is_set)
        closing = asyncio.create_task(h.session.close("shutdown"))
        await turns()
        store.go.set()
        await closing
    assert (folded(store).runs[1].phase.value, len(effects)) == ("failed", 0)


async def test_h4_a_mutation_that_commits_at_its_start_is_not_run_again_after_a_crash(effects):
    @toolguard.mutation(identity="who")
    async def pay(who: str) -> str:
        effects(who)
        await asyncio.sleep(5)
        return "ch_1"

    store = MemoryStore()
    async with crashed(store, pay) as h:
        h.call("c1", pay, who="ana")
        await really(lambda: effects.done)
    async with house(pay, store=store) as h:
        await asyncio.sleep(600)
        assert (h.phase(), len(effects)) == ("in_doubt", 1)
