"""A packet is accepted once, in this process or another one; what runs, is held, is late or undelivered goes along."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import pytest
from engine_house import START, house, journal_of, meant, turns, until

import toolguard
from toolguard import Guard, HandoffPacket, errors
from toolguard.core import records as r
from toolguard.engine.clock import LoopClock
from toolguard.engine.port import Traits
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort, Spoken

pytestmark = pytest.mark.virtual_time
TRAITS = Traits(adapter="test", evidence="heard", speech_ends=True)


def door():
    return RecordingPort(TRAITS, None, lambda _port: Spoken())


@asynccontextmanager
async def taken_over(h, packet, *, guard=None, port=None, **options):
    port = port or door()
    async with (guard or h.guard).accept(packet, port=port, **options) as conversation:
        port.attach(conversation)
        yield conversation, port


@asynccontextmanager
async def elsewhere(h, *tools, **options):
    """Another process of the same store."""
    guard = Guard(h.store.twin(), tools=tools, listener=meant, clock=LoopClock(START), **options)
    guard._entrance._trusted = True
    async with guard:
        yield guard


def notes(port):
    return [json.loads(parcel.text) for parcel in port.notes]


@pytest.fixture
def effects():
    return []


@pytest.fixture
def charge(effects):
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        await asyncio.sleep(1)
        effects.append(who)
        return f"ch_{who}"

    return charge


@pytest.fixture
def lookup():
    @toolguard.read
    async def lookup(city: str) -> str:
        await asyncio.sleep(30)
        return f"31 in {city}"

    return lookup


# -- in one process -------------------------------------------------------------------------------------------------


async def test_h2_a_result_reaches_the_next_agent_once_as_a_note_that_cites_the_hand_off(lookup):
    async with house(lookup, traits=TRAITS) as h:
        h.call("c1", lookup, city="Pune")
        await turns()
        packet = await h.session.hand_off(to="billing")
        async with taken_over(h, packet) as (conversation, port):
            assert (conversation.agent, conversation.id) == ("billing", "conv-1")
            conversation.generation_began("b1")
            conversation.generation_ended("b1")
            await until(lambda: port.notes)
            (note,) = notes(port)
            assert (note["result"], note["issued_by"], note["hand_off"]) == ("31 in Pune", "agent", packet.id)
            await asyncio.sleep(60)
            assert (len(port.notes), h.port.notes) == (1, [])
        assert "31 in Pune" not in json.dumps([parcel.text for parcel in h.port.outputs])


async def test_h1_the_living_session_goes_on_with_its_holds(effects):
    @toolguard.mutation(identity="who")
    async def charge(who: str) -> str:
        effects.append(who)
        return "ch_1"

    async with house(charge, traits=TRAITS) as h:
        h.onset()
        h.call("c1", charge, who="ana")
        packet = await h.session.hand_off(to="billing")
        async with taken_over(h, packet) as (conversation, _):
            await turns()
            assert effects == []
            h.says("cancellation", "o1")  # the old agent's connection heard it
            await turns()
            assert (conversation.state.runs[1].phase.value, effects) == ("cancelled", [])


async def test_h1_a_hold_whose_words_never_come_ends_after_its_limit_without_the_old_connection(charge, effects):
    async with house(charge, traits=TRAITS) as h:
        h.onset()
        h.call("c1", charge, who="ana")
        packet = await h.session.hand_off(to="billing")
        async with taken_over(h, packet):
            await until(lambda: effects)


async def test_o12_late_words_of_the_old_connection_stand_before_the_call_that_came_after_them(lookup):
    async with house(lookup, traits=TRAITS) as h:
        h.onset()
        await asyncio.sleep(1)
        h.session.caller_stopped("o1")
        h.call("c1", lookup, city="Pune")
        packet = await h.session.hand_off(to="billing")
        assert [item.kind for item in packet.items] == ["call"]
        async with taken_over(h, packet) as (conversation, port):
            amended = []
            conversation.on_amended = lambda: amended.append(conversation.packet)
            conversation.begin()
            await asyncio.sleep(0.5)
            assert not port.asked
            h.says("answer", "o1")
            await turns()
            assert [item.kind for item in amended[0].items] == ["caller", "call"]
            assert conversation.packet.pending == ("answer",)
            assert len(port.asked) == 1
            await until(lambda: not conversation.amendable)


async def test_o12_words_that_come_after_their_onset_was_given_up_are_placed_when_they_were_spoken(lookup):
    async with house(lookup, traits=TRAITS) as h:
        h.onset()
        h.session.caller_stopped("o1")
        await asyncio.sleep(1)
        h.call("c1", lookup, city="Pune")
        await asyncio.sleep(2)
        h.says("answer", "o1")
        assert [item.kind for item in (await h.session.hand_off(to="B")).items] == ["caller", "call"]
        assert h.records(r.Heard)[0].late


async def test_h2_a_result_within_the_amendment_window_is_in_the_context_and_in_no_note(charge):
    async with house(charge, traits=TRAITS) as h:
        h.onset()
        h.call("c1", charge, who="ana")
        packet = await h.session.hand_off(to="billing")
        async with taken_over(h, packet) as (conversation, port):
            conversation.on_amended = lambda: conversation.shows("amended")
            h.says("answer", "o1")
            await until(lambda: conversation.state.runs[1].phase.final)
            await asyncio.sleep(5)
            assert [item.text for item in conversation.packet.items if item.kind == "call"] == ["ch_ana"]
            assert notes(port) == []
            assert conversation.state.runs[1].shown == conversation.state.context


async def test_t6_frames_of_the_old_connection_are_refused_and_counted(charge, effects):
    async with house(charge, traits=TRAITS) as h:
        packet = await h.session.hand_off(to="billing")
        async with taken_over(h, packet) as (conversation, port):
            h.session.generation_began("late")
            h.call("c9", charge, who="ana")
            h.session.caller_started("o9")
            h.session.caller_started("o10")
            await turns()
            assert (conversation.responding, conversation.state.slots, effects) == ("", {}, [])
            refused = [one.text for one in h.records(r.Noticed) if one.code == "frame_refused"]
            assert [text.partition(":")[0] for text in refused] == ["generation_began", "receive", "caller_started"]
            assert port.outputs == []


async def test_the_old_agents_session_leaves_without_ending_the_conversation(charge, effects):
    async with house(charge, traits=TRAITS) as h:
        async with h.guard.session("conv-2", agent="desk") as before:
            packet = await before.hand_off(to="billing")
            stack = h.guard.accept(packet)
            after = await stack.__aenter__()
        assert h.guard.sessions["conv-2"] is after
        assert await after.run(charge, "ana") == "ch_ana"
        with pytest.raises(errors.HandedOver):
            await before.run(charge, "ben")
        with pytest.raises(errors.HandedOver):
            await before.hand_off(to="nobody")
        await stack.__aexit__(None, None, None)
        assert "conv-2" not in h.guard.sessions
        assert effects == ["ana"]


async def test_a_call_is_run_by_the_tool_of_the_agent_that_issued_it():
    ran = []

    def named(who):
        @toolguard.mutation(identity="x", name="book", commits="inside")
        async def book(x: int) -> str:
            await asyncio.sleep(1)
            async with toolguard.committing():
                ran.append(who)
            return who

        return book

    async with house(traits=TRAITS) as h, h.guard.session("conv-2", agent="A", tools=[named("A")]) as before:
        before.receive("c1", "book", {"x": 1})
        await turns()
        h.session = before
        packet = await before.hand_off(to="B")
        async with taken_over(h, packet, tools=[named("B")]) as (after, _):
            after.receive("c2", "book", {"x": 2})
            await until(lambda: len(ran) == 2)
            assert ran == ["A", "B"]
            assert [slot.agent for slot in after.state.slots.values()] == ["A", "B"]


async def test_handing_back_works_and_the_first_agent_goes_on_where_it_was(charge):
    async with house(charge, traits=TRAITS) as h:
        h.says("answer")
        packet = await h.session.hand_off(to="B")
        async with taken_over(h, packet) as (there, _):
            assert await there.run(charge, "ana") == "ch_ana"
            back = await there.hand_off(to="agent")
            async with taken_over(h, back) as (here, port):
                assert here.agent == "agent"
                assert [item.kind for item in here.packet.items] == ["caller", "call"]
                here.begin()
                await until(lambda: port.asked)
                here.receive("c5", "charge", {"who": "ana"})
                await until(lambda: port.outputs)
                assert json.loads(port.outputs[0].text)["toolguard"] == "replayed"


async def test_h3_the_tool_that_hands_over_is_done_when_the_packet_is_made():
    made = []

    @toolguard.mutation(identity="agent", commits="inside")
    async def transfer(agent: str) -> str:
        async with toolguard.committing():
            made.append(await h.session.hand_off(to=agent))
            await asyncio.sleep(5)
        return "handed over"

    async with house(transfer, traits=TRAITS) as h:
        h.call("c1", transfer, agent="billing")
        await until(lambda: made)
        (item,) = made[0].items
        assert (item.tool, item.state, json.loads(item.text)["toolguard"]) == ("transfer", "done", "handed_off")
        assert (made[0].promises, made[0].calls[0].state) == ((), "done")
        async with taken_over(h, made[0]) as (conversation, port):
            conversation.generation_began("b1")
            conversation.generation_ended("b1")
            await asyncio.sleep(10)
            assert conversation.state.runs[1].phase.value == "done"
            assert port.notes == []


# -- in another process ---------------------------------------------------------------------------------------------


async def test_h1_in_another_process_an_uncommitted_run_goes_on_from_its_checkpoint(effects):
    @toolguard.mutation(identity="who", commits="inside")
    async def book(who: str) -> str:
        progress = toolguard.current_call().progress
        if "hold" not in progress:
            await toolguard.checkpoint(hold="h-7")
            await asyncio.sleep(1000)
        async with toolguard.committing():
            effects.append(progress["hold"])
        return "booked"

    async with house(book, traits=TRAITS) as h, elsewhere(h, book) as guard:
        h.call("c1", book, who="ana")
        await turns()
        packet = HandoffPacket.from_json((await h.session.hand_off(to="billing")).to_json())
        assert json.loads(bytes(packet.calls[0].progress)) == {"hold": "h-7"}
        async with taken_over(h, packet, guard=guard) as (conversation, port):
            assert conversation.agent == "billing"
            await until(lambda: effects)
            await until(lambda: port.notes)
            assert notes(port)[0]["result"] == "booked"
        assert effects == ["h-7"]
        (accepted,) = [one for one in journal_of(h.store, "conv-1") if isinstance(one, r.Accepted)]
        assert (accepted.packet, accepted.agent, accepted.same_process) == (packet.id, "billing", False)


async def test_h3_in_another_process_the_hand_off_itself_is_never_in_doubt():
    made = []

    @toolguard.mutation(identity="agent", commits="inside")
    async def transfer(agent: str) -> str:
        async with toolguard.committing():
            made.append(await h.session.hand_off(to=agent))
            await asyncio.sleep(1000)
        return "handed over"

    async with house(transfer, traits=TRAITS) as h, elsewhere(h, transfer) as guard:
        h.call("c1", transfer, agent="billing")
        await until(lambda: made)
        async with taken_over(h, made[0], guard=guard) as (conversation, port):
            assert conversation.state.runs[1].phase.value == "done"
            conversation.generation_began("b1")
            conversation.generation_ended("b1")
            await turns()
            assert (port.notes, port.outputs) == ([], [])


async def test_leaving_while_a_packet_is_out_is_no_hang_up(lookup):
    @toolguard.mutation(identity="who", commits="inside")
    async def book(who: str) -> str:
        await asyncio.sleep(20)
        async with toolguard.committing():
            pass
        return "booked"

    async with house(book, traits=TRAITS) as h, elsewhere(h, book) as guard:
        async with h.guard.session("conv-2", agent="desk") as before:
            before.receive("c1", "book", {"who": "ana"})
            await turns()
            packet = await before.hand_off(to="billing")
        assert h.store.session("conv-2").state == "open"
        assert not [one for one in journal_of(h.store, "conv-2") if isinstance(one, r.Stopped)]
        async with guard.accept(packet.to_json()) as after:
            await until(lambda: after.state.runs[1].phase.final)
            assert after.state.runs[1].phase.value == "done"
            assert after.packet.calls[0].why == ""


async def test_leaving_after_the_conversation_went_on_without_the_packet_is_a_hang_up(charge):
    async with house(charge, traits=TRAITS) as h:
        async with h.guard.session("conv-2", agent="desk") as here:
            await here.hand_off(to="billing")
            await asyncio.sleep(1)
            here.caller_said("answer")
            here.generation_began("g2")
        assert h.store.session("conv-2").state == "closed"


# -- refused --------------------------------------------------------------------------------------------------------


async def _packet(h):
    return await h.session.hand_off(to="billing")


def _changed(packet, **fields):
    return msgspec.json.encode({**msgspec.json.decode(packet.to_json()), **fields})


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda _: b"{}", errors.PacketUnreadable),
        (lambda _: b"\xff\x00 no packet at all", errors.PacketUnreadable),
        (lambda p: p.to_json()[:-5], errors.PacketUnreadable),
        (lambda p: _changed(p, items="none"), errors.PacketUnreadable),
        (lambda p: _changed(p, version=99, news={"a": 1}), errors.PacketTooNew),
        (lambda p: _changed(p, to="mallory"), errors.PacketTampered),
        (lambda p: _changed(p, facts={"limit": 1_000_000}), errors.PacketTampered),
        (lambda p: _changed(p, signature="00" * 32), errors.PacketTampered),
        (lambda p: _changed(p, signed_by="", signature=""), errors.PacketForeign),
        (lambda p: p.signed(b"somebody else's key"), errors.PacketForeign),
    ],
)
async def test_a_packet_that_is_not_right_is_refused_by_name_and_nothing_is_lost(charge, effects, spoil, kind):
    async with house(charge, traits=TRAITS) as h:
        h.call("c1", charge, who="ana")
        packet = await _packet(h)
        with pytest.raises(kind) as raised:
            async with h.guard.accept(spoil(packet)):
                pass
        assert raised.value.code == kind.code
        assert raised.value.advice
        await h.ended()
        assert (h.phase(), effects) == ("done", ["ana"])
        async with taken_over(h, packet) as (conversation, _):
            assert conversation.agent == "billing"


async def test_a_packet_expires(charge):
    async with house(charge, traits=TRAITS) as h:
        packet = await h.session.hand_off(to="billing", expires=30)
        assert packet.expires_at - packet.made_at == timedelta(seconds=30)
        await asyncio.sleep(31)
        with pytest.raises(errors.PacketExpired, match="hand it over again"):
            async with h.guard.accept(packet):
                pass
        async with h.guard.accept(await _packet(h)) as conversation:
            assert conversation.agent == "billing"


async def test_h2_a_packet_is_accepted_once_and_whoever_comes_second_disturbs_nobody(charge):
    async with house(charge, traits=TRAITS) as h, elsewhere(h, charge) as guard:
        packet = await _packet(h)
        async with taken_over(h, packet) as (conversation, _):
            epoch = h.store.session("conv-1").epoch
            for second in (guard, h.guard):
                with pytest.raises(errors.PacketAccepted, match="billing has accepted"):
                    async with second.accept(packet):
                        pass
            assert h.store.session("conv-1").epoch == epoch
            assert await conversation.run(charge, "ana") == "ch_ana"


async def test_h2_of_two_that_accept_at_the_same_moment_one_gets_it(charge):
    async with house(charge, traits=TRAITS) as h, elsewhere(h, charge) as one, elsewhere(h, charge) as other:
        packet = await _packet(h)
        got, lost = [], []

        async def take(guard):
            try:
                async with guard.accept(packet) as conversation:
                    got.append(conversation)
                    await asyncio.sleep(5)
            except errors.PacketAccepted as error:
                lost.append(error)

        await asyncio.gather(take(one), take(other))
        assert (len(got), len(lost)) == (1, 1)


async def test_an_older_packet_counts_no_more_after_another_hand_off(charge):
    async with house(charge, traits=TRAITS) as h:
        first, second = await _packet(h), await h.session.hand_off(to="sales")
        with pytest.raises(errors.PacketOutdated):
            async with h.guard.accept(first):
                pass
        async with h.guard.accept(second) as conversation:
            assert conversation.agent == "sales"


async def test_a_packet_for_another_conversation_or_tenant_is_refused(charge):
    async with house(charge, traits=TRAITS, tenant="clinic") as h:
        packet = await _packet(h)
        for options in ({"id": "conv-9"}, {"tenant": "rival"}):
            with pytest.raises(errors.PacketMisdirected):
                async with h.guard.accept(packet, **options):
                    pass
        async with h.guard.accept(packet, id="conv-1", tenant="clinic") as conversation:
            assert conversation.state.tenant == "clinic"


async def test_a_guard_on_another_store_reads_the_packet_with_the_common_key_and_cannot_accept_it(charge):
    async with (
        Guard(MemoryStore(), tools=[charge], packet_key=b"k" * 32, clock=LoopClock(START)) as here,
        Guard(MemoryStore(), packet_key=b"k" * 32, clock=LoopClock(START)) as there,
        here.session("conv-1") as conversation,
    ):
        packet = await conversation.hand_off(to="billing")
        assert (await there.read_packet(packet.to_json())) == packet
        with pytest.raises(errors.PacketForeign, match="store"):
            async with there.accept(packet):
                pass
        async with there.session("conv-1", tenant="rival") as other:
            await other.hand_off(to="x")
            with pytest.raises(errors.PacketMisdirected, match="rival"):
                async with there.accept(packet):
                    pass


async def test_a_store_that_fails_leaves_the_packet_as_it_was(charge, monkeypatch):
    async with house(charge, traits=TRAITS) as h, elsewhere(h, charge) as guard:
        packet = await _packet(h)

        async def fails(*_args, **_kwargs):
            raise errors.StoreUnavailable("the store is gone")

        with monkeypatch.context() as patched:
            patched.setattr(guard._entrance, "enter", fails)
            with pytest.raises(errors.StoreUnavailable):
                async with guard.accept(packet):
                    pass
        async with guard.accept(packet) as conversation:
            assert conversation.agent == "billing"


async def test_a_hand_off_that_cannot_be_recorded_leaves_the_conversation_where_it_is(charge):
    from engine_house import FaultyStore

    store = FaultyStore(refuses=lambda record: isinstance(record, r.HandOffRecord))
    async with house(charge, traits=TRAITS, store=store) as h:
        with pytest.raises(errors.StoreUnavailable):
            await h.session.hand_off(to="billing")
        assert (h.session.agent, h.state.handed) == ("agent", None)


# -- facts ----------------------------------------------------------------------------------------------------------


async def test_i23_facts_survive_hand_off_and_recovery_apart_from_speech(charge):
    from pydantic import BaseModel

    class Order(BaseModel):
        name: str
        order: int
        express: bool = False

    async with house(charge, traits=TRAITS) as h, elsewhere(h, charge) as guard:
        h.session.facts.keep(name="Simon", order=77, wrong=1)
        h.session.facts.keep(order=77)
        h.session.facts.forget("wrong", "never")
        assert dict(h.session.facts) == {"name": "Simon", "order": 77}
        packet = await _packet(h)
        assert packet.facts == {"name": "Simon", "order": 77}
        async with guard.accept(packet) as conversation:
            assert conversation.facts.read(Order) == Order(name="Simon", order=77)
            assert conversation.packet.items == ()
        assert [one.facts for one in h.records(r.FactKept)] == [{"name": "Simon", "order": 77, "wrong": 1}, {}]


async def test_facts_that_are_no_json_or_do_not_fit_are_told_and_change_nothing(charge):
    from pydantic import BaseModel, ValidationError

    class Order(BaseModel):
        order: int

    async with house(charge) as h:
        h.session.facts.keep(order="seventy")
        with pytest.raises(TypeError, match="JSON"):
            h.session.facts.keep(order=7, thing=object())
        with pytest.raises(ValidationError):
            h.session.facts.read(Order)
        assert dict(h.session.facts) == {"order": "seventy"}


async def test_secret_fields_do_not_leave_with_the_packet():
    @toolguard.mutation(identity="card_number")
    async def pay(card_number: str, amount: int) -> dict[str, object]:
        return {"id": "pay_1", "receipt": {"cardNumber": card_number}}

    async with house(pay, traits=TRAITS) as h:
        h.call("c1", pay, card_number="4242424242424242", amount=5)
        await h.ended()
        h.session.facts.keep(pin="1234", name="Simon")
        packet = await _packet(h)
        assert b"4242424242424242" not in packet.to_json()
        assert packet.facts == {"pin": "[redacted]", "name": "Simon"}
        assert json.loads(bytes(packet.calls[0].result))["id"] == "pay_1"
        assert dict(h.session.facts)["pin"] == "1234"


async def test_parameters_marked_as_secret_stay_in_this_house(effects):
    @toolguard.mutation(identity="who")
    async def unlock(
        who: str, word: toolguard.Secret[str], hint: "toolguard.Secret[str] | None" = None
    ) -> dict[str, str]:
        effects.append((word, hint))
        return {"who": who, "word": word}

    async with house(unlock, traits=TRAITS) as h:
        h.call("c1", unlock, who="ana", word="open sesame", hint="seeds")
        await h.ended()
        packet = await _packet(h)
        assert effects == [("open sesame", "seeds")]
        assert b"sesame" not in packet.to_json()
        assert b"seeds" not in packet.to_json()
        assert json.loads(packet.items[0].text) == {"who": "ana", "word": "[redacted]"}
        assert "Secret" not in json.dumps(unlock.schema())


async def test_the_redact_hook_decides_what_of_a_field_leaves(charge):
    def hook(name, value):
        return f"{value[0]}..." if name == "who" else value

    async with (
        Guard(MemoryStore(), tools=[charge], redact=hook, clock=LoopClock(START)) as guard,
        guard.session("conv-1") as conversation,
    ):
        await conversation.run(charge, "ana")
        packet = await conversation.hand_off(to="billing")
        assert json.loads(bytes(packet.calls[0].arguments)) == {"who": "a..."}
        assert bytes(packet.items[0].arguments) == bytes(packet.calls[0].arguments)
