"""A LiveKit agent accepts a packet: its model reads what was said and done before it, and it speaks."""

import pytest

import toolguard
from toolguard import Guard
from toolguard.adapters.livekit import function_tools, protect
from toolguard.errors import DeclarationError, PacketRefused
from toolguard.testing.livekit import line, one_clock, until

pytestmark = pytest.mark.virtual_time


@toolguard.read
async def find_balance(patient: str) -> dict[str, int]:
    """Find what a patient owes."""
    return {"owes": 4000}


async def handed_over(guard):
    """A conversation in which nothing is open, as the front desk hands it to billing."""
    async with guard.session("conv-42", agent="frontdesk") as conversation:
        conversation.facts.keep(patient="Ana")
        conversation.caller_said("Billing, please.")
        conversation.generation_began("g1")
        conversation.agent_spoke("g1", "I connect you.")
        conversation.generation_ended("g1")
        return (await conversation.hand_off(to="billing")).to_json()


async def test_the_agent_that_accepts_a_packet_speaks_and_has_read_the_conversation():
    async with Guard("memory", tools=[find_balance]) as guard:
        packet = await handed_over(guard)
        on = line(lambda _request: ["This is billing."])
        with one_clock():
            async with protect(on.session, guard, packet=packet) as conversation:
                await on.start(function_tools([find_balance]))
                await until(lambda: on.said)
                await on.hangs_up()
    assert (conversation.agent, conversation.id) == ("billing", "conv-42")
    assert on.said == ["This is billing."]
    asked = on.model.requests[0]
    asked.check()
    assert asked.said == "Billing, please."
    assert any("Ana" in text for text in asked.texts)


async def test_a_packet_is_accepted_once():
    async with Guard("memory", tools=[find_balance]) as guard:
        packet = await handed_over(guard)
        async with guard.accept(packet):
            pass
        with pytest.raises(PacketRefused):
            async with protect(line(lambda _request: []).session, guard, packet=packet):
                pass


async def test_a_conversation_needs_an_id_or_a_packet():
    async with Guard("memory", tools=[find_balance]) as guard:
        with pytest.raises(DeclarationError, match="neither an id nor a packet"):
            protect(line(lambda _request: []).session, guard)
