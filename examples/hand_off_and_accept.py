"""Handing a conversation over while a call runs: the next agent gets the facts, the packet, and later the result."""

import asyncio

import toolguard
from toolguard import Guard
from toolguard.render import chat_completions

OWED = {"Ana Lund": 4000}


@toolguard.read
async def find_balance(patient: str) -> dict[str, int]:
    """Find what a patient owes; the old system takes its time."""
    await asyncio.sleep(0.3)
    return {"owes": OWED[patient]}


async def billing(guard: Guard, packet: bytes) -> None:
    """The next agent: here in the same process, as well in another one that opens the same store."""
    async with guard.accept(packet) as conversation:
        print("accepted by", conversation.agent, "with", dict(conversation.facts))
        while conversation.state.open_runs:  # noqa: ASYNC110 - an adapter need not wait: the result comes as a note
            await asyncio.sleep(0.05)
        for message in chat_completions.messages(conversation.packet):  # what the next model is to see
            print(message["role"], "|", message.get("content") or message["tool_calls"][0]["function"]["name"])


async def main() -> None:
    """The front desk looks, learns who calls, and hands over before the look-up has ended."""
    async with Guard("memory", tools=[find_balance]) as guard:
        async with guard.session("conv-42", agent="frontdesk", tenant="clinic-7") as conversation:
            conversation.facts.keep(patient="Ana Lund", verified=True)
            conversation.caller_said("What do I owe you?")  # an adapter reports it
            conversation.receive("call_1", "find_balance", '{"patient": "Ana Lund"}')
            await asyncio.sleep(0.05)
            packet = await conversation.hand_off(to="billing")
            print(packet.as_text())
            await billing(guard, packet.to_json())

        try:
            async with guard.accept(packet):
                pass
        except toolguard.ToolguardError as refused:
            print(refused)


if __name__ == "__main__":
    asyncio.run(main())
