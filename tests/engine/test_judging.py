"""The same thing twice: what becomes of a call whose intent has been seen before (S0-S8)."""

import asyncio
import json

import pytest
from engine_house import Effects, House, crashed, house, turns, until

import toolguard
from toolguard import Guard, Happened, Refused
from toolguard.core import records as r
from toolguard.engine.port import Traits
from toolguard.errors import AlreadyDone, DeclarationError, InvalidArguments
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort, Spoken

pytestmark = pytest.mark.virtual_time
HEARD = Traits(adapter="test", evidence="heard", speech_ends=True)


@pytest.fixture
def effects():
    return Effects()


def mutation(effects, **options):
    @toolguard.mutation(identity="who", **options)
    async def charge(who: str, cents: int = 5) -> str:
        effects((who, cents))
        await asyncio.sleep(1)
        return f"ch_{len(effects)}"

    return charge


def write(effects, **options):
    @toolguard.idempotent_write(identity="who", **options)
    async def note(who: str, cents: int = 5) -> str:
        effects((who, cents))
        await asyncio.sleep(1)
        return f"kept {len(effects)}"

    return note


@pytest.fixture
def charge(effects):
    return mutation(effects)


@pytest.fixture
def note(effects):
    return write(effects)


async def heard_and_went_on(h: House, words="answer"):
    """The model spoke about what it got, the caller heard it out and went on."""
    await asyncio.sleep(2)
    h.onset("turn")
    h.says(words, "turn")
    await turns()


def verdicts(h):
    return [one.verdict for one in h.records(r.Called)]


# -- S.running ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["charge", "note"])
async def test_s_running_the_same_write_joins_and_its_result_answers(tool, request, effects):
    tool = request.getfixturevalue(tool)
    async with house(tool) as h:
        h.call("c1", tool, who="ana")
        h.call("c2", tool, who="Ana ")
        await h.ended()
        await turns()
        assert len(effects) == 1
        assert verdicts(h) == ["run", "join"]
        first = h.port.output("c1")
        assert first in h.port.output("c2")


async def test_s_running_a_mutation_with_other_details_differs_and_is_told_which(charge, effects):
    async with house(charge) as h:
        h.call("c1", charge, who="ana", cents=5)
        h.call("c2", charge, who="ana", cents=6)
        await asyncio.sleep(2)
        said = json.loads(h.port.output("c2"))
        assert (said["toolguard"], said["first"], len(effects)) == ("differs", "conv-1/1", 1)
        assert said.get("differs_in", ["cents"]) == ["cents"]


async def test_s_running_an_idempotent_write_with_other_details_runs_after_it(note, effects):
    async with house(note) as h:
        h.call("c1", note, who="ana", cents=5)
        h.call("c2", note, who="ana", cents=6)
        await asyncio.sleep(0.5)
        assert effects.done == [("ana", 5)]
        await asyncio.sleep(2)
        assert effects.done == [("ana", 5), ("ana", 6)]


async def test_s5_two_equal_calls_in_one_batch_join(charge, effects):
    async with house(charge) as h:
        h.session.generation_began("g1")
        h.call("c1", charge, generation="g1", who="ana")
        h.call("c2", charge, generation="g1", who="ana")
        h.session.generation_ended("g1")
        await asyncio.sleep(2)
        assert (verdicts(h), len(effects)) == (["run", "join"], 1)


# -- S.unheard ---------------------------------------------------------------------------------------------------------


async def test_s_unheard_the_same_mutation_is_replayed_and_points_to_the_first(charge, effects):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await h.ended()
        h.call("c2", charge, who="ana")
        await turns()
        said = json.loads(h.port.output("c2"))
        assert (said["toolguard"], said["first"], said["result"], len(effects)) == ("replayed", "conv-1/1", "ch_1", 1)


async def test_s_unheard_a_mutation_with_other_details_differs(charge, effects):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana", cents=5)
        await h.ended()
        h.call("c2", charge, who="ana", cents=6)
        await turns()
        assert (json.loads(h.port.output("c2"))["toolguard"], len(effects)) == ("differs", 1)


async def test_s_unheard_an_idempotent_write_with_other_details_runs(note, effects):
    async with house(note, traits=HEARD) as h:
        h.call("c1", note, who="ana", cents=5)
        await h.ended()
        h.call("c2", note, who="ana", cents=6)
        await asyncio.sleep(2)
        assert len(effects) == 2


# -- S.heard, S0: repeating and confirming ------------------------------------------------------------------------------


async def test_s_heard_the_same_mutation_offers_to_confirm(charge, effects):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await heard_and_went_on(h)
        assert h.state.slots[1].acknowledged
        h.call("c2", charge, who="ana")
        await asyncio.sleep(2)
        assert (json.loads(h.port.output("c2"))["toolguard"], len(effects)) == ("already_done", 1)


async def test_s0_the_same_call_after_a_caller_turn_is_confirmed_and_runs(charge, effects):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await heard_and_went_on(h)
        h.call("c2", charge, who="ana")
        await heard_and_went_on(h)
        h.call("c3", charge, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == 2
        assert h.run(2).occurrence == 2


@pytest.mark.parametrize("between", [None, "noise", "backchannel"])
async def test_s0_without_a_caller_turn_the_same_call_again_is_no_confirmation(charge, effects, between):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await heard_and_went_on(h)
        h.call("c2", charge, who="ana")
        await asyncio.sleep(2)
        if between is not None:
            h.says(between)
        h.call("c3", charge, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == 1


async def test_s0_a_turn_spoken_before_the_offer_is_no_confirmation(charge, effects):
    """The caller's words are transcribed after the offer, and were spoken before it."""
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await heard_and_went_on(h)
        h.onset("early")
        h.session.caller_stopped("early")
        await asyncio.sleep(0.1)
        h.call("c2", charge, who="ana")
        await turns()
        h.says("other_topic", "early")
        h.call("c3", charge, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == 1


async def test_s0_an_offer_to_do_both_is_confirmed_by_a_caller_turn(charge, effects):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana", cents=5)
        await asyncio.sleep(2)
        h.call("c2", charge, who="ana", cents=6)
        await asyncio.sleep(2)
        h.onset("t")
        h.says("answer", "t")
        h.call("c3", charge, who="ana", cents=6)
        await asyncio.sleep(2)
        assert effects.done == [("ana", 5), ("ana", 6)]


@pytest.mark.parametrize(("repeat", "runs"), [("allow", 2), ("refuse", 1), ("confirm", 1)])
async def test_s_heard_repeat_says_what_becomes_of_it(effects, repeat, runs):
    charge = mutation(effects, repeat=repeat)
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await heard_and_went_on(h)
        h.call("c2", charge, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == runs


async def test_s_heard_repeat_refuse_is_not_opened_by_a_turn(effects):
    charge = mutation(effects, repeat="refuse")
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await heard_and_went_on(h)
        for number in (2, 3):
            h.call(f"c{number}", charge, who="ana")
            await heard_and_went_on(h)
        assert len(effects) == 1


async def test_s_heard_an_idempotent_write_may_be_repeated(note, effects):
    async with house(note, traits=HEARD) as h:
        h.call("c1", note, who="ana")
        await heard_and_went_on(h)
        h.call("c2", note, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == 2


async def test_s_heard_a_mutation_with_other_details_runs(charge, effects):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana", cents=5)
        await heard_and_went_on(h)
        h.call("c2", charge, who="ana", cents=6)
        await asyncio.sleep(2)
        assert len(effects) == 2


async def test_s_old_outside_the_window_a_heard_intent_runs_again(charge, effects):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await heard_and_went_on(h)
        await asyncio.sleep(601)
        h.call("c2", charge, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == 2


async def test_s6_time_never_opens_an_intent_that_was_not_heard_where_hearing_is_known(charge, effects):
    async with house(charge, traits=HEARD, replies=lambda _port: None) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(10_000)
        h.call("c2", charge, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == 1


async def test_s6_with_no_evidence_of_hearing_only_the_window_opens_it(charge, effects):
    async with house(charge, traits=Traits(adapter="test", evidence="none")) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(590)
        h.call("c2", charge, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == 1
        await asyncio.sleep(610)
        h.call("c3", charge, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == 2


async def test_s6_a_backchannel_does_not_acknowledge(charge):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await heard_and_went_on(h, "backchannel")
        assert not h.state.slots[1].acknowledged


async def test_s6_a_reply_that_was_cut_off_does_not_acknowledge(charge):
    async with house(charge, traits=HEARD, replies=lambda _port: None) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(2)
        h.session.generation_began("g9")
        h.session.playing("g9")
        h.onset()
        h.session.agent_spoke("g9", "I have", unheard="charged your card")
        h.session.generation_ended("g9", "cancelled")
        h.says("answer", "o1")
        assert not h.state.slots[1].acknowledged


async def test_s6_a_reply_asked_before_the_result_does_not_acknowledge_it(charge):
    """It began before the result was sent: its request did not contain it."""
    async with house(charge, traits=HEARD, replies=lambda _port: None) as h:
        h.call("c1", charge, who="ana")
        h.session.generation_began("g9")
        await asyncio.sleep(2)
        h.session.generation_ended("g9")
        h.session.agent_spoke("g9", "one moment")
        h.says("answer")
        assert not h.state.slots[1].acknowledged


# -- S.doubt, S.ended ----------------------------------------------------------------------------------------------------


def doubtful(effects, **options):
    @toolguard.mutation(identity="who", **options)
    async def charge(who: str, cents: int = 5) -> str:
        effects((who, cents))
        raise ConnectionError

    return charge


@pytest.mark.parametrize("cents", [5, 6])
async def test_s_doubt_a_mutation_in_doubt_is_told_so_and_not_run(effects, cents):
    charge = doubtful(effects)
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana", cents=5)
        await turns()
        h.call("c2", charge, who="ana", cents=cents)
        await asyncio.sleep(2)
        assert (json.loads(h.port.output("c2"))["toolguard"], len(effects)) == ("in_doubt", 1)


async def test_s_doubt_a_turn_of_the_caller_opens_nothing(effects):
    charge = doubtful(effects)
    async with house(charge, traits=HEARD) as h:
        for number in range(4):
            h.call(f"c{number}", charge, who="ana")
            await heard_and_went_on(h)
        assert len(effects) == 1


async def test_s_doubt_once_a_probe_has_settled_it_the_same_call_is_replayed(effects):
    charge = doubtful(effects)

    @charge.probe
    async def find(attempt, who: str, cents: int = 5):
        return Happened("ch_7")

    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await until(lambda: h.phase() == "done")
        h.call("c2", charge, who="ana")
        await turns()
        assert (json.loads(h.port.output("c2"))["result"], len(effects)) == ("ch_7", 1)


async def test_s_ended_a_new_call_id_runs_at_once_and_the_same_id_gets_the_stored_answer(effects):
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        effects()
        raise Refused("declined")

    async with house(charge, traits=HEARD) as h:
        number = h.call("c1", charge, who="ana")
        await h.ended()
        assert h.call("c1", charge, who="ana") == number
        await turns()
        assert len(effects) == 1
        h.call("c2", charge, who="ana")
        await turns()
        assert len(effects) == 2


# -- S1: reads -----------------------------------------------------------------------------------------------------------


def reading(effects, **options):
    @toolguard.read(**options)
    async def look(city: str) -> int:
        effects(city)
        await asyncio.sleep(1)
        return len(effects)

    return look


async def test_s1_a_read_joins_one_that_runs(effects):
    look = reading(effects)
    async with house(look) as h:
        assert await asyncio.gather(h.session.run(look, "Pune"), h.session.run(look, "Pune")) == [1, 1]


async def test_s1_a_read_that_is_over_runs_again_by_default(effects):
    look = reading(effects)
    async with house(look) as h:
        assert [await h.session.run(look, "Pune"), await h.session.run(look, "Pune")] == [1, 2]


async def test_s1_a_read_is_replayed_within_fresh_for_only(effects):
    look = reading(effects, fresh_for=30)
    async with house(look) as h:
        assert [await h.session.run(look, "Pune"), await h.session.run(look, "Pune")] == [1, 1]
        await asyncio.sleep(31)
        assert await h.session.run(look, "Pune") == 2


async def test_s1_a_read_is_not_replayed_once_a_write_has_committed_since_it_began(effects, charge):
    look = reading(effects, fresh_for=30)
    async with house(look, charge) as h:
        assert await h.session.run(look, "Pune") == 1
        await h.session.run(charge, "ana")
        assert await h.session.run(look, "Pune") == 3


async def test_s1_a_read_does_not_join_one_that_began_before_a_write(effects, charge):
    look = reading(effects)
    async with house(look, charge) as h:
        first = asyncio.create_task(h.session.run(look, "Pune"))
        await asyncio.sleep(0.2)
        writing = asyncio.create_task(h.session.run(charge, "ana"))
        await asyncio.sleep(0.2)
        second = asyncio.create_task(h.session.run(look, "Pune"))
        await asyncio.gather(first, writing, second)
        assert effects.done.count("Pune") == 2


async def test_s1_a_transport_duplicate_of_a_read_gets_the_stored_answer(effects):
    look = reading(effects)
    async with house(look) as h:
        number = h.call("c1", look, city="Pune")
        await asyncio.sleep(100)
        assert h.call("c1", look, city="Pune") == number
        await asyncio.sleep(2)
        assert len(effects) == 1
        assert len(h.port.outputs) == 1


# -- S2, S3: undo and corrections ------------------------------------------------------------------------------------------


async def test_s3_after_a_correction_that_came_too_late_a_different_one_waits_and_the_first_stands(charge, effects):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(0.5)
        h.says("correction @conv-1/1")
        h.call("c2", charge, who="bob")
        await asyncio.sleep(3)
        assert effects.done == [("ana", 5)]
        said = json.loads(h.port.output("c2"))
        assert (said["toolguard"], said["first"]) == ("differs", "conv-1/1")


async def test_s3_without_a_correction_a_different_one_runs_at_once(charge, effects):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(0.5)
        h.call("c2", charge, who="bob")
        await turns()
        assert len(effects) == 2


async def test_s3_a_correction_before_the_commit_blocks_nothing(effects):
    charge = mutation(effects)
    async with house(charge, traits=HEARD) as h:
        h.onset()
        h.call("c1", charge, who="ana")
        await turns()
        h.says("correction", "o1")
        h.call("c2", charge, who="bob")
        await asyncio.sleep(2)
        assert effects.done == [("bob", 5)]


async def test_s3_do_both_is_confirmed_by_a_caller_turn(charge, effects):
    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(0.5)
        h.says("correction @conv-1/1")
        h.call("c2", charge, who="bob")
        await asyncio.sleep(2)
        h.onset("t")
        h.says("answer", "t")
        h.call("c3", charge, who="bob")
        await asyncio.sleep(2)
        assert effects.done == [("ana", 5), ("bob", 5)]


async def test_s2_a_done_undo_closes_the_occurrence_that_it_undid(effects):
    charge = mutation(effects)

    @toolguard.mutation(identity="made")
    async def refund(made: str) -> None:
        effects(("refund", made))

    @charge.undo
    def undo(made: str):
        return refund.bind(made)

    async with house(charge, refund, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(2)
        h.call("c2", refund, made="ch_1")
        await asyncio.sleep(1)
        h.call("c3", charge, who="ana")
        await asyncio.sleep(2)
        assert effects.done == [("ana", 5), ("refund", "ch_1"), ("ana", 5)]


async def test_s2_while_the_undo_runs_so_is_its_occurrence(effects):
    charge = mutation(effects)

    @toolguard.mutation(identity="made")
    async def refund(made: str) -> None:
        effects("refund")
        await asyncio.sleep(10)

    @charge.undo
    def undo(made: str):
        return refund.bind(made)

    async with house(charge, refund, traits=HEARD) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(2)
        h.call("c2", refund, made="ch_1")
        await asyncio.sleep(1)
        h.call("c3", charge, who="ana")
        await asyncio.sleep(2)
        assert effects.done == [("ana", 5), "refund"]


# -- S4, S5 ---------------------------------------------------------------------------------------------------------------


async def test_s4_free_text_is_not_identity(effects):
    @toolguard.mutation(identity="who")
    async def charge(who: str, reason: str = "") -> str:
        effects()
        return "ch_1"

    async with house(charge, traits=HEARD) as h:
        h.call("c1", charge, who="ana", reason="the usual")
        await h.ended()
        h.call("c2", charge, who="ana", reason="as always")
        await turns()
        assert len(effects) == 1
        assert json.loads(h.port.output("c2"))["toolguard"] == "differs"


def test_s4_identity_is_required_on_writes():
    with pytest.raises(DeclarationError):

        @toolguard.mutation
        async def charge(who: str) -> str:
            return ""


async def test_s5_the_same_call_id_with_other_arguments_is_a_conflict_and_nothing_runs(charge, effects):
    async with house(charge) as h:
        h.call("c1", charge, who="ana")
        h.call("c1", charge, who="bob")
        await asyncio.sleep(2)
        assert effects.done == [("ana", 5)]
        assert [p.form for p in h.port.outputs if p.call_id == "c1"] == ["result", "conflict"]


async def test_s5_the_same_call_id_with_another_tool_is_a_conflict(charge, note, effects):
    async with house(charge, note) as h:
        h.call("c1", charge, who="ana")
        h.call("c1", note, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == 1


async def test_arguments_that_do_not_fit_are_answered_and_nothing_runs(charge, effects):
    async with house(charge) as h:
        h.session.receive("c1", "charge", '{"cents": "many"}')
        h.session.receive("c2", "charge", '{"who": "ana"')
        h.session.receive("c3", "no_such_tool", "{}")
        await turns()
        assert [p.form for p in h.port.outputs] == ["invalid", "invalid", "unknown_tool"]
        assert len(effects) == 0
        with pytest.raises(InvalidArguments):
            await h.session.run(charge, 3, 4, 5)


# -- S7: the breaker -------------------------------------------------------------------------------------------------------


async def test_s7_the_breaker_trips_at_max_calls_of_one_identity_and_a_caller_turn_resets_it(effects):
    charge = mutation(effects, max_calls=3)
    async with house(charge, traits=HEARD) as h:
        for number in range(5):
            h.call(f"c{number}", charge, who="ana")
        await asyncio.sleep(2)
        assert [p.form for p in h.port.outputs][3:] == ["breaker", "breaker"]
        assert "breaker_tripped" in h.notices()
        h.onset("t")
        h.says("answer", "t")
        h.call("c9", charge, who="ana")
        await turns()
        assert h.port.outputs[-1].form != "breaker"


async def test_s7_the_breaker_counts_answers_without_a_run():
    tries = []

    @toolguard.read(max_calls=2)
    async def look(city: str) -> str:
        tries.append(city)
        return ""

    async with house(look) as h:
        for number in range(10):
            h.session.receive(f"c{number}", "look", '{"town": 1}')
        await turns()
        assert "breaker" in {p.form for p in h.port.outputs}


async def test_s7_at_three_times_max_calls_the_tool_itself_trips():
    @toolguard.read(max_calls=2)
    async def look(city: str) -> str:
        return ""

    async with house(look) as h:
        for number in range(8):
            h.call(f"c{number}", look, city=str(number))
        await turns()
        assert [p.form for p in h.port.outputs].count("breaker") == 2


async def test_s7_where_no_words_arrive_a_minute_resets_the_breaker():
    @toolguard.read(max_calls=2)
    async def look(city: str) -> str:
        return ""

    async with house(look, traits=Traits(adapter="test", transcribes=False)) as h:
        for number in range(3):
            h.call(f"c{number}", look, city="Pune")
            await turns()
        assert h.port.outputs[-1].form == "breaker"
        await asyncio.sleep(61)
        h.call("c9", look, city="Pune")
        await turns()
        assert h.port.outputs[-1].form == "result"


async def test_s7_repeats_of_a_terminal_tool_get_a_pointer_that_is_not_empty(effects):
    @toolguard.mutation(identity=(), terminal=True)
    async def hang_up() -> None:
        effects()

    async with house(hang_up, traits=HEARD) as h:
        for number in range(4):
            h.call(f"c{number}", hang_up)
            await turns()
        assert len(effects) == 1
        assert all(p.text for p in h.port.outputs)
        assert "conv-1/1" in h.port.outputs[-1].text
        assert h.port.asked == []


# -- S8: scopes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "caller", "again"), [
    ("session", "ana", True), ("caller", "ana", False), ("caller", "bob", True), ("tenant", "bob", False),
])  # fmt: skip
async def test_s8_scope_says_how_far_the_same_intent_is_recognised(effects, scope, caller, again):
    charge, store = mutation(effects, scope=scope), MemoryStore()
    async with house(charge, store=store, traits=HEARD) as h:
        h.call("c1", charge, who="x")
        await asyncio.sleep(2)
    async with house(charge, store=store, traits=HEARD, name="conv-2", caller=caller) as h:
        h.call("c1", charge, who="x")
        await asyncio.sleep(2)
        assert len(effects) == (2 if again else 1)
        if not again:
            said = json.loads(h.port.output("c1"))
            assert (said["toolguard"], said["first"]) == ("already_done", "conv-1/1")


async def test_s8_everything_lies_inside_one_tenant(effects):
    charge, store = mutation(effects, scope="tenant"), MemoryStore()
    for number, tenant in enumerate(("a", "b")):
        async with house(charge, store=store, name=f"conv-{number}", tenant=tenant) as h:
            h.call("c1", charge, who="x")
            await asyncio.sleep(2)
    assert len(effects) == 2


async def test_s8_a_scope_that_the_session_cannot_give_is_refused_at_its_start(effects):
    charge = mutation(effects, scope="caller")
    async with Guard(MemoryStore(), tools=[charge]) as guard:
        with pytest.raises(DeclarationError, match="caller"):
            async with guard.session("conv-1"):
                pass


async def test_s8_t3_two_sessions_at_once_one_acts_and_the_other_answers_with_its_outcome(effects):
    charge = mutation(effects, scope="caller")
    guard = Guard(MemoryStore(), tools=[charge])
    ports = [RecordingPort(Traits(adapter="test"), replies=lambda _port: Spoken()) for _ in range(2)]
    async with (
        guard,
        guard.session("conv-1", caller="ana", port=ports[0]) as one,
        guard.session("conv-2", caller="ana", port=ports[1]) as two,
    ):
        one.receive("c1", "charge", {"who": "x"})
        two.receive("c1", "charge", {"who": "x"})
        await asyncio.sleep(3)
        assert len(effects) == 1
        assert ports[0].output("c1") == "ch_1"
        assert "ch_1" in ports[1].output("c1")


# -- calls in code -----------------------------------------------------------------------------------------------------------


async def test_the_same_call_in_code_gets_the_same_result_and_other_details_raise(charge, effects):
    async with house(charge) as h:
        assert await h.session.run(charge, "ana") == "ch_1"
        assert await h.session.run(charge, "ana") == "ch_1"
        with pytest.raises(AlreadyDone):
            await h.session.run(charge, "ana", 6)
        assert len(effects) == 1


# -- D2 ----------------------------------------------------------------------------------------------------------------------


async def test_s_doubt_newer_content_of_an_idempotent_write_runs_after_the_quarantine(effects):
    @toolguard.idempotent_write(identity="who", retry=1, hard_limit=40, settles_within=20)
    async def note(who: str, text: str) -> str:
        effects(text)
        if text == "old":
            raise ConnectionError
        return text

    async with house(note, traits=HEARD) as h:
        h.call("c1", note, who="ana", text="old")
        await turns()
        h.call("c2", note, who="ana", text="new")
        await asyncio.sleep(59)
        assert effects.done == ["old"]
        await asyncio.sleep(2)
        assert effects.done == ["old", "new"]


async def test_h4_after_a_takeover_the_same_intent_is_judged_by_what_the_dead_process_did(charge, effects):
    store = MemoryStore()
    async with crashed(store, charge) as h:
        h.call("c1", charge, who="ana")
        await asyncio.sleep(2)
    async with house(charge, store=store, traits=HEARD) as h:
        h.call("c2", charge, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == 1
        assert "ch_1" in h.port.output("c2")
        h.call("c3", charge, who="bob")
        await asyncio.sleep(2)
        assert len(effects) == 2
        assert sorted(h.state.runs) == [1, 2]
