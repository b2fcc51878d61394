"""Writes that need a yes: who is asked, what counts as an answer, and what keeps the gate shut (G2, G3, S0)."""

import asyncio
import json

import pytest
from engine_house import START, Effects, crashed, house, turns, until

import toolguard
from toolguard import Approval, Decision, Guard, Keys
from toolguard.core import records as r
from toolguard.engine.clock import LoopClock
from toolguard.engine.port import Traits
from toolguard.errors import ApprovalImpossible, DeclarationError, NotOwned
from toolguard.listen.heard import Verdict
from toolguard.listen.rules import by_rules
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort, Spoken

pytestmark = pytest.mark.virtual_time
HEARS = Traits(adapter="test", evidence="heard", speech_ends=True)


@pytest.fixture
def effects():
    return Effects()


@pytest.fixture
def charge(effects):
    return charging(effects)


def charging(effects, **options):
    @toolguard.mutation(identity="who", needs=Approval("Charge {cents} cents?", **options))
    async def charge(who: str, cents: int) -> str:
        effects(who)
        return "ch_1"

    return charge


def asking(*tools, **options):
    return house(*tools, listener=by_rules(), traits=options.pop("traits", HEARS), **options)


async def asked(h, tool="charge", call_id="c1", who="ana"):
    """The call is made, and the caller has heard the question."""
    h.call(call_id, tool, who=who, cents=40)
    await asyncio.sleep(1)


def lenient(_call, _interrupt):
    return Decision.go_on("whatever is said")


async def says(h, words, onset="o1"):
    h.session.caller_started(onset)
    await asyncio.sleep(0.3)
    h.session.caller_stopped(onset)
    h.says(words, onset)
    await turns()


# -- the question -------------------------------------------------------------------------------------------------


async def test_the_model_is_told_at_once_to_ask_and_the_result_follows_as_a_note(charge):
    async with asking(charge) as h:
        begun = asyncio.get_running_loop().time()
        h.call("c1", charge, who="ana", cents=40)
        await turns()
        told = json.loads(h.port.output("c1"))
        assert (told["toolguard"], told["call"], told["ask"]) == ("needs_approval", "conv-1/1", "Charge 40 cents?")
        assert h.port.asked == [begun]
        await asyncio.sleep(1)
        await says(h, "yes please")
        await h.ended()
        await turns()
        assert [json.loads(note.text)["result"] for note in h.port.notes] == ["ch_1"]


async def test_a_call_that_joins_is_told_to_ask_as_well(charge):
    async with asking(charge) as h:
        await asked(h)
        h.call("c2", charge, who="ana", cents=40)
        await asyncio.sleep(10)
        assert json.loads(h.port.output("c2"))["toolguard"] == "needs_approval"


# -- the caller's answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["yes", "Yes please.", "yes, charge it", "ja, gerne", "sí", "oui", "sì", "sim", "हाँ", "go ahead"]
)
async def test_a_plain_yes_after_the_question_opens_the_gate(charge, effects, words):
    async with asking(charge) as h:
        await asked(h)
        assert len(effects) == 0
        await says(h, words)
        await until(lambda: h.run().settled, within=2)
        assert (h.phase(), len(effects)) == ("done", 1)
        (notice,) = [one for one in h.records(r.Noticed) if one.code == "approved"]
        assert (notice.text, notice.data) == ("by the caller", {"words": words})


@pytest.mark.parametrize("words", ["no", "no thanks", "nein", "stop", "cancel it", "don't charge it"])
async def test_a_no_stops_the_run_before_its_effect(charge, effects, words):
    async with asking(charge) as h:
        await asked(h)
        await says(h, words)
        await h.ended()
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)
        assert json.loads(h.port.notes[-1].text)["toolguard"] == "cancelled"


@pytest.mark.parametrize(
    "words",
    ["what did you say?", "thanks", "I see", "mhm", "hold on", "by the way, yes", "hello?"],
)
async def test_anything_else_keeps_the_gate_shut_and_the_question_open(charge, effects, words):
    async with asking(charge) as h:
        await asked(h)
        await says(h, words)
        await asyncio.sleep(2)
        assert (len(effects), h.run().phase.open) == (0, True)
        await says(h, "yes please", "o2")
        await h.ended()
        assert len(effects) == 1


async def test_words_that_began_before_the_question_was_heard_never_open(charge, effects):
    async with asking(charge) as h:
        h.session.caller_started("o1")
        await asyncio.sleep(0.2)
        h.call("c1", charge, who="ana", cents=40)
        h.session.caller_stopped("o1")
        await turns()
        h.says("yes please", "o1")
        await asyncio.sleep(2)
        assert len(effects) == 0


async def test_a_yes_that_is_not_sure_or_not_complete_opens_nothing(charge, effects):
    def mumbled(heard):
        return Verdict("answer", confidence=0.4)

    async with house(charge, listener=mumbled, traits=HEARS, policy=lenient) as h:
        await asked(h)
        h.session.caller_started("o1")
        h.session.caller_said("yes please", onset="o1", final=False)
        await turns()
        assert len(effects) == 0
        h.says("yes please", "o1")
        await asyncio.sleep(1)
        assert len(effects) == 0


@pytest.mark.parametrize("kind", ["correction", "other_topic", "hold_on", "unknown"])
async def test_a_yes_in_words_that_mean_something_else_opens_nothing(charge, effects, kind):
    async with house(charge, listener=lambda _heard: Verdict(kind), traits=HEARS, policy=lenient) as h:
        await asked(h)
        await says(h, "yes")
        await asyncio.sleep(1)
        assert (len(effects), h.run().phase.open) == (0, True)


async def test_a_listener_of_ones_own_may_say_what_is_a_yes(charge, effects):
    async with house(charge, listener=lambda _heard: Verdict("answer", agrees=True), traits=HEARS) as h:
        await asked(h)
        await says(h, "be my guest")
        await h.ended()
        assert len(effects) == 1


async def test_a_yes_to_two_questions_opens_neither_until_it_is_known_which(charge, effects):
    async with asking(charge) as h:
        await asked(h)
        await asked(h, call_id="c2", who="ben")
        await says(h, "yes")
        assert (len(effects), h.notices().count("approval_unclear")) == (0, 2)
        h.session.approve("conv-1/2", by="boss")
        await h.ended(2)
        await says(h, "yes", "o2")
        await h.ended(1)
        assert effects.done == ["ben", "ana"]


# -- holds and limits (G2, G3) ------------------------------------------------------------------------------------


async def test_the_gate_opens_only_when_nobody_speaks_over_it_either(charge, effects):
    async with asking(charge) as h:
        await asked(h)
        h.onset("o1")
        h.session.approve("conv-1/1", by="boss")
        await asyncio.sleep(1)
        assert len(effects) == 0
        h.session.caller_retracted("o1")
        await turns()
        assert len(effects) == 1


async def test_its_own_limit_stands_in_place_of_gate_max(effects):
    charge = charging(effects, within=30)
    async with asking(charge) as h:
        await asked(h)
        h.onset("o1")
        await asyncio.sleep(12)
        h.session.caller_stopped("o1")
        h.says("yes please", "o1")
        await h.ended()
        assert len(effects) == 1


async def test_without_an_answer_it_ends_within_its_limit_from_when_the_question_was_heard(effects):
    charge = charging(effects, within=5)
    async with asking(charge) as h:
        await asked(h)
        await asyncio.sleep(3.5)
        assert h.run().phase.open
        await asyncio.sleep(1)
        assert h.phase() == "cancelled"


async def test_the_limit_begins_anew_when_the_question_is_heard(effects):
    charge = charging(effects, within=5)
    async with asking(charge, replies=lambda _port: Spoken("May I?", after=3)) as h:
        h.call("c1", charge, who="ana", cents=40)
        await asyncio.sleep(7)
        assert h.run().phase.open
        await asyncio.sleep(2)
        assert h.phase() == "cancelled"


async def test_an_answer_that_is_being_spoken_at_the_limit_may_be_finished(effects):
    charge = charging(effects, within=3)
    async with asking(charge) as h:
        await asked(h)
        await asyncio.sleep(1.5)
        h.onset("o1")
        await asyncio.sleep(2)
        h.session.caller_stopped("o1")
        h.says("yes please", "o1")
        await h.ended()
        assert len(effects) == 1


async def test_hold_on_waits_as_long_as_the_question_does(charge, effects):
    async with asking(charge) as h:
        await asked(h)
        await says(h, "hold on")
        await asyncio.sleep(12)
        await says(h, "yes please", "o2")
        await h.ended()
        assert len(effects) == 1


# -- who may say yes ----------------------------------------------------------------------------------------------


async def test_where_a_person_decides_the_caller_is_not_asked_and_opens_nothing(effects):
    charge = charging(effects, by="person")
    async with asking(charge) as h:
        await asked(h)
        await says(h, "yes please")
        await asyncio.sleep(5)
        assert len(effects) == 0
        assert json.loads(h.port.output("c1"))["toolguard"] == "still_running"
        h.guard.approve("conv-1/1", by="boss")
        await turns()
        assert len(effects) == 1


async def test_where_the_caller_decides_nobody_else_can(effects):
    charge = charging(effects, by="caller")
    async with asking(charge) as h:
        await asked(h)
        with pytest.raises(ApprovalImpossible):
            h.session.approve("conv-1/1", by="boss")
        with pytest.raises(NotOwned):
            h.guard.approve("conv-2/1", by="boss")
        assert len(effects) == 0


@pytest.mark.parametrize(
    ("by", "traits", "refused"),
    [
        ("either", Traits(transcribes=False), True),
        ("either", Traits(notes=False), True),
        ("caller", None, True),
        ("either", None, False),
        ("person", Traits(transcribes=False), False),
        ("caller", Traits(transcribes=False, keys=True), False),
    ],
)
async def test_a_session_is_refused_where_the_yes_cannot_come(effects, by, traits, refused):
    guard = Guard(MemoryStore(), tools=[charging(effects, by=by)], clock=LoopClock(START))
    async with guard:
        port = RecordingPort(traits) if traits is not None else None
        if refused:
            with pytest.raises(ApprovalImpossible) as error:
                await guard.enter("conv-1", agent="agent", port=port)
            assert error.value.code == "approval_impossible"
        else:
            session = await guard.enter("conv-1", agent="agent", port=port)
            assert session.state.closed == ""
            await session.close()


def test_approval_says_whose_yes_counts():
    with pytest.raises(DeclarationError, match="caller, person or either"):
        Approval("Sure?", by="anybody")


async def test_a_call_inside_a_committed_tool_waits_for_its_own_yes_and_asks_by_a_note(charge, effects):
    @toolguard.mutation(identity="who", patience=0.1)
    async def book(who: str) -> str:
        return await charge(who, 40)

    async with asking(book, charge) as h:
        h.call("c1", book, who="ana")
        await asyncio.sleep(2)
        assert [json.loads(note.text)["ask"] for note in h.port.notes] == ["Charge 40 cents?"]
        await says(h, "yes please")
        await h.ended()
        assert len(effects) == 1


# -- moving on ----------------------------------------------------------------------------------------------------


async def test_the_question_is_asked_again_after_recovery_and_the_gate_stays_shut(charge, effects):
    store = MemoryStore()
    async with crashed(store, charge) as h:
        h.call("c1", charge, who="ana", cents=40)
        await turns()
    async with asking(charge, store=store) as h:
        await asyncio.sleep(4)
        assert [json.loads(note.text)["ask"] for note in h.port.notes] == ["Charge 40 cents?"]
        assert len(effects) == 0
        await says(h, "yes please")
        await h.ended()
        assert len(effects) == 1


async def test_the_question_goes_along_to_the_next_agent(charge, effects):
    async with asking(charge) as h:
        h.call("c1", charge, who="ana", cents=40)
        await turns()
        packet = await h.session.hand_off(to="billing")
        port = RecordingPort(HEARS, replies=lambda _port: None)
        await goes_on(h, packet, port, effects)


async def goes_on(h, packet, port, effects):
    async with h.guard.accept(packet, agent="billing", port=port) as after:
        port.attach(after)
        await asyncio.sleep(3)
        assert [json.loads(note.text)["ask"] for note in port.notes] == ["Charge 40 cents?"]
        after.generation_began("g1")
        after.playing("g1")
        after.generation_ended("g1")
        await asyncio.sleep(1)
        after.agent_spoke("g1", "May I?")
        after.caller_started("o9")
        after.caller_said("yes please", onset="o9")
        await h.ended()
        assert len(effects) == 1


# -- keys ---------------------------------------------------------------------------------------------------------


async def test_a_key_answers_the_question_at_once_and_leaves_no_hold(charge, effects):
    async with asking(charge) as h:
        await asked(h)
        h.session.key_pressed("1")
        await turns()
        assert (h.phase(), len(effects), h.session._w.barge_ins.open_onsets) == ("done", 1, ())


async def test_the_key_for_no_stops_it(charge, effects):
    async with asking(charge) as h:
        await asked(h)
        h.session.key_pressed("2")
        await h.ended()
        assert (h.phase(), len(effects)) == ("cancelled", 0)


@pytest.mark.parametrize("key", ["7", "#", "x", ""])
async def test_a_key_without_a_meaning_keeps_the_question_open(charge, effects, key):
    async with asking(charge) as h:
        await asked(h)
        h.session.key_pressed(key)
        await asyncio.sleep(1)
        assert (h.run().phase.open, len(effects)) == (True, 0)


async def test_a_key_pressed_before_the_question_was_heard_opens_nothing(charge, effects):
    async with asking(charge) as h:
        h.call("c1", charge, who="ana", cents=40)
        h.session.key_pressed("1")
        await asyncio.sleep(2)
        assert len(effects) == 0


@pytest.mark.parametrize("recorded", [False, True])
async def test_which_key_it_was_is_recorded_only_where_the_application_says_so(charge, recorded):
    seen = []

    def policy(_call, interrupt):
        seen.append(interrupt)

    store = MemoryStore()
    guard = Guard(
        store, tools=[charge], policy=policy, clock=LoopClock(START), keys=Keys({"9": "addition"}, recorded=recorded)
    )
    port = RecordingPort(HEARS)
    async with guard, guard.session("conv-1", port=port) as session:
        session.receive("c1", "charge", {"who": "ana", "cents": 40})
        session.key_pressed("9")
        await turns()
        frames = store.read("conv-1", limit=1000)
        rows = [r.decode(frame.kind, frame.version, frame.payload) for frame in frames]
        said = [one.text for one in rows if isinstance(one, r.Heard)]
        packet = session.packet.to_json()
    assert said == ["[key 9]" if recorded else "[key]"]
    assert (b"[key 9]" in packet) is recorded
    assert [(one.kind, one.stage, one.pressed, one.said) for one in seen if hasattr(one, "pressed")] == [
        ("addition", "settled", True, said[0])
    ]


async def test_a_key_that_says_no_confirms_nothing_that_was_offered(effects):
    @toolguard.mutation(identity="who", repeat="confirm")
    async def pay(who: str) -> str:
        effects(who)
        return "p_1"

    async with asking(pay) as h:
        h.call("c1", pay, who="ana")
        await asyncio.sleep(2)
        await says(h, "thanks")
        await says(h, "another question, what time is it?", "o2")
        h.call("c2", pay, who="ana")
        await asyncio.sleep(2)
        assert json.loads(h.port.output("c2"))["toolguard"] == "already_done"
        h.session.key_pressed("2")
        await asyncio.sleep(2)
        h.call("c3", pay, who="ana")
        await asyncio.sleep(2)
        assert len(effects) == 1


@pytest.mark.parametrize("meanings", [{"12": "answer"}, {"1": "perhaps"}])
def test_keys_and_meanings_are_checked(meanings):
    with pytest.raises(DeclarationError, match="is not a key with a meaning"):
        Keys(meanings)


async def test_observe_asks_nobody_and_holds_nothing(charge, effects):
    async with asking(charge, mode="observe") as h:
        assert await h.session.run(charge, "ana", 40) == "ch_1"
        await asyncio.sleep(30)
        assert (len(effects), h.port.placed, h.phase()) == (1, [], "done")
