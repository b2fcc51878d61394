"""Reading the trail: what was called and why it came out so, and settling a call that is in doubt."""

import asyncio
from datetime import UTC, datetime, timedelta

from toolguard import Guard, Happened, Phase, mutation
from toolguard.errors import InDoubt


@mutation(identity="patient")
async def charge_deposit(patient: str, cents: int) -> str:
    """Charge the patient's card."""
    raise ConnectionError(f"the processor took {cents} for {patient}, or did not: its answer never came")


async def main() -> None:
    """A charge whose answer is lost, the trail of it, and what a person found out."""
    async with Guard("memory", tools=[charge_deposit]) as guard:
        async with guard.session("conv-42", agent="frontdesk", tenant="clinic-7") as conversation:
            try:
                await conversation.run(charge_deposit, "Ana", 4000)
            except InDoubt as doubt:
                print(doubt)

        yesterday = datetime.now(UTC) - timedelta(days=1)
        async for call in guard.trail.calls(tool=charge_deposit, phase=Phase.IN_DOUBT, since=yesterday):
            print(call.ref, call.tool, call.arguments, call.phase, call.reason)

        await guard.resolve("conv-42/1", Happened("ch_1", evidence="the processor's dashboard"), by="ana")
        settled = await guard.trail.call("conv-42/1")
        print(settled.ref, settled.phase, settled.result, settled.source, settled.by, settled.evidence)


if __name__ == "__main__":
    asyncio.run(main())
