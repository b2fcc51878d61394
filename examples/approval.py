"""A charge waits for the caller's own yes: what the model is told, and what opens the gate and what does not."""

import asyncio

from toolguard import Approval, mutation
from toolguard.testing import rehearse


@mutation(identity="patient", needs=Approval("Shall I charge {cents} cents to your card?"))
async def charge_deposit(patient: str, cents: int) -> str:
    """Charge the patient's card."""
    return f"{patient} paid {cents}"


async def main() -> None:
    """Play the call three times: with a yes, with a no, and with a question and then a yes."""
    call = charge_deposit.bind("Ana", 4000)
    yes = await rehearse(call).barge_in("yes please", at="at_gate").play()
    print(yes.outputs[0])
    print("yes ->", yes.phase, yes.result)
    no = await rehearse(call).barge_in("no, thank you", at="at_gate").play()
    print("no ->", no.phase, no.effects)
    asked = rehearse(call).barge_in("what was that?", at="at_gate").barge_in("yes, go ahead", at="at_gate")
    print("question, then yes ->", (await asked.play()).result)


if __name__ == "__main__":
    asyncio.run(main())
