"""The gate that every write passes right before its commit (G1-G3)."""

import asyncio

import pytest
from engine_house import Effects, house, turns, until

import toolguard
from toolguard import Decision
from toolguard.core import records as r
from toolguard.engine.port import Traits

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
            return "ch_1"

    return charge


@pytest.fixture
def note(effects):
    @toolguard.idempotent_write(identity="who")
    async def note(who: str) -> str:
        effects(who)
        return "kept"

    return note


async def test_g1_every_write_waits_at_the_gate_while_somebody_speaks(charge, note, effects):
    async with house(charge, note, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.call("c2", note, who="ana")
        h.onset()
        await asyncio.sleep(1)
        assert (h.phase(1), h.phase(2), len(effects)) == ("started", "planned", 0)
        assert {one.run for one in h.records(r.AtGate)} == {1, 2}
        h.says("backchannel", "o1")
        await turns()
        assert len(effects) == 2


async def test_g1_a_call_planned_during_an_open_onset_waits_too(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.onset()
        h.call("c1", charge, who="ana")
        await asyncio.sleep(1)
        assert len(effects) == 0
        h.says("backchannel", "o1")
        await turns()
        assert len(effects) == 1


async def test_g1_w8_a_child_planned_during_an_open_onset_waits_too(charge, effects):
    @toolguard.mutation(identity="slot", commits="inside")
    async def book(slot: str) -> str:
        await asyncio.sleep(1)
        return await charge("ana")

    async with house(book, charge, traits=HEARS) as h:
        h.call("c1", book, slot="s1")
        h.onset()
        await asyncio.sleep(2)
        assert len(effects) == 0


async def test_g1_a_read_has_no_gate():
    @toolguard.read
    async def look(city: str) -> str:
        return "sunny"

    async with house(look, traits=HEARS) as h:
        h.onset()
        h.call("c1", look, city="Pune")
        await turns()
        assert h.phase() == "done"


@pytest.mark.parametrize("farewell", [True, False], ids=["while the farewell plays", "in silence"])
async def test_g1_a_terminal_tool_waits_for_the_farewell_and_300_ms_of_silence(effects, farewell):
    @toolguard.mutation(identity=(), terminal=True, name="hang_up")
    async def hang_up() -> None:
        effects()

    async with house(hang_up) as h:
        if farewell:
            h.session.generation_began("g1")
            h.session.playing("g1")
        h.call("c1", hang_up, generation="g1")
        h.session.generation_ended("g1")
        await asyncio.sleep(2)
        assert len(effects) == (0 if farewell else 1)
        if farewell:
            h.session.agent_spoke("g1", "goodbye")
            await asyncio.sleep(0.29)
            assert len(effects) == 0
            await asyncio.sleep(0.02)
        assert len(effects) == 1


async def test_g1_a_farewell_that_never_ends_holds_no_longer_than_the_gate_may(effects):
    @toolguard.mutation(identity=(), terminal=True, name="hang_up")
    async def hang_up() -> None:
        effects()

    async with house(hang_up) as h:
        h.session.generation_began("g1")
        h.session.playing("g1")
        h.call("c1", hang_up)
        await asyncio.sleep(7.9)
        assert len(effects) == 0
        await asyncio.sleep(0.2)
        assert len(effects) == 1


async def test_g2_a_hold_is_a_set_of_onsets_and_opens_when_it_is_empty(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset("o1")
        h.onset("o2")
        await h.at_gate()
        h.says("backchannel", "o1")
        await turns()
        assert len(effects) == 0
        h.says("backchannel", "o2")
        await turns()
        assert len(effects) == 1


async def test_g2_a_retracted_onset_closes_itself_only(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset("o1")
        h.onset("o2")
        await h.at_gate()
        h.session.caller_retracted("o1")
        await turns()
        assert len(effects) == 0
        h.session.caller_retracted("o2")
        await turns()
        assert len(effects) == 1


async def test_g2_a_settle_of_an_onset_that_is_over_does_not_open_the_gate_for_a_newer_one(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset("o1")
        h.session.caller_stopped("o1")
        h.onset("o2")
        await asyncio.sleep(2)  # o1 is released as noise
        h.says("backchannel", "o1")
        await turns()
        assert len(effects) == 0


async def test_g2_words_without_an_onset_close_all_that_are_older_than_their_beginning(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset("o1")
        h.onset("o2")
        spoken = h.guard.clock.wall()
        await asyncio.sleep(0.5)
        h.onset("o3")
        h.session.caller_said("backchannel", spoken_at=spoken)
        await turns()
        assert len(effects) == 0
        h.says("backchannel")
        await turns()
        assert len(effects) == 1


async def test_g3_a_hold_without_words_is_released_as_noise_after_one_and_a_half_seconds(charge, effects):
    async with house(charge) as h:  # a line that does not tell when speech ends
        h.call("c1", charge, who="ana")
        h.onset()
        await asyncio.sleep(1.4)
        assert len(effects) == 0
        await asyncio.sleep(0.2)
        assert len(effects) == 1


async def test_g3_the_limit_runs_from_the_end_of_the_callers_speech(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset()
        await asyncio.sleep(5)
        assert len(effects) == 0
        h.session.caller_stopped("o1")
        await asyncio.sleep(1.4)
        assert len(effects) == 0
        await asyncio.sleep(0.2)
        assert len(effects) == 1


async def test_g3_a_hold_with_words_that_nothing_settles_counts_as_not_understood_and_stops(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset()
        h.session.caller_said("well I", onset="o1", final=False)
        h.session.caller_stopped("o1")
        await asyncio.sleep(2)
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_g3_where_nothing_transcribes_a_hold_counts_as_not_understood(charge, effects):
    deaf = Traits(adapter="test", speech_ends=True, transcribes=False)
    async with house(charge, traits=deaf) as h:
        h.call("c1", charge, who="ana")
        h.onset()
        h.session.caller_stopped("o1")
        await asyncio.sleep(2)
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_g3_after_eight_seconds_of_speech_the_run_is_stopped_with_its_reason(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset()
        await asyncio.sleep(7.9)
        assert h.phase() == "started"
        await asyncio.sleep(0.2)
        assert (h.phase(), len(effects)) == ("cancelled", 0)
        assert "you were still speaking" in h.run().message


async def test_g3_eight_seconds_count_across_onsets_that_follow_one_another_without_a_break(charge, effects):
    """The gate may not stay shut for ever because each onset begins anew: speech holds are bounded together."""
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        for number in range(6):
            h.onset(f"o{number}")
            if number:
                h.says("backchannel", f"o{number - 1}")
            await asyncio.sleep(3)
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_g3_a_policy_may_hold_longer_without_words(charge, effects):
    def patient(call, interrupt):
        return Decision.hold("caller is speaking", at_most=6.0) if interrupt.stage == "onset" else None

    async with house(charge, policy=patient) as h:
        h.call("c1", charge, who="ana")
        h.onset()
        await asyncio.sleep(5.9)
        assert len(effects) == 0
        await asyncio.sleep(0.2)
        assert len(effects) == 1


async def test_g4_hold_on_keeps_the_gate_shut_until_more_is_said(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset("o1")
        h.says("hold_on", "o1")
        await asyncio.sleep(3)
        assert len(effects) == 0
        h.onset("o2")
        h.says("answer", "o2")
        await turns()
        assert len(effects) == 1


@pytest.mark.parametrize("kind", ["noise", "backchannel"])
async def test_g2_noise_after_hold_on_leaves_the_hold_as_it_was(charge, effects, kind):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset("o1")
        h.says("hold_on", "o1")
        h.onset("o2")
        h.says(kind, "o2")
        await turns()
        assert len(effects) == 0


async def test_g3_hold_on_without_more_words_ends_as_not_done(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset("o1")
        h.says("hold_on", "o1")
        await asyncio.sleep(8.1)
        assert (h.phase(), len(effects)) == ("cancelled", 0)


async def test_a_second_hold_on_has_its_own_eight_seconds(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        for number in range(2):
            h.onset(f"o{number}")
            h.says("hold_on", f"o{number}")
            await asyncio.sleep(6)
        assert h.phase() == "started"
        h.says("answer")
        await turns()
        assert len(effects) == 1


async def test_a_stop_opens_the_gate_for_nobody(charge, effects):
    async with house(charge, traits=HEARS) as h:
        h.call("c1", charge, who="ana")
        h.onset()
        await h.at_gate()
        h.says("cancellation", "o1")
        await turns()
        assert (h.phase(), len(effects)) == ("cancelled", 0)
        await until(lambda: h.port.outputs)
        assert '"cancelled"' in h.port.output("c1")
