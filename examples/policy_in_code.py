"""A policy is a plain function: it is asked what an interrupt does to a call, and answers with a decision."""

from datetime import UTC, datetime

from toolguard import (
    BargeIn,
    Decision,
    Effect,
    Guard,
    Interrupt,
    Phase,
    ToolCall,
    by_effect,
    by_tool,
    first_of,
    mutation,
    read,
)
from toolguard.policies import settings


@read
async def find_slots(day: str) -> list[str]:
    """Find the free appointments of a day."""
    return [f"{day} 10:00"]


@mutation(identity="patient")
async def charge_deposit(patient: str, cents: int) -> str:
    """Charge the patient's card."""
    return f"{patient} paid {cents}"


LARGE = 10_000


def money_waits(call: ToolCall, interrupt: Interrupt) -> Decision | None:
    """A large charge waits for as long as the caller may have something to say about it."""
    if not call.is_(charge_deposit) or call.arguments["cents"] < LARGE:
        return None
    if isinstance(interrupt, BargeIn) and interrupt.stage == "onset":
        return Decision.hold("a large amount waits", at_most=8.0)
    return None


POLICY = first_of(
    money_waits,
    by_tool({find_slots: Decision.go_on("a look-up is never in the way")}),
    settings({"effects": {"mutation": {"addition": "hold"}}, "otherwise": "no_opinion"}),
    by_effect(),
)
GUARD = Guard("memory", tools=[find_slots, charge_deposit], policy=POLICY)


def main() -> None:
    """Ask the policy, as the runtime does for every call in flight."""
    now = datetime.now(UTC)
    begins = BargeIn(stage="onset", at=now)
    adds = BargeIn(stage="settled", at=now, kind="addition", said="and a receipt, please")
    corrects = BargeIn(stage="settled", at=now, kind="correction", said="no, fifty euros")
    charge = ToolCall(
        ref="conv-42/1",
        tool="charge_deposit",
        effect=Effect.MUTATION,
        phase=Phase.STARTED,
        arguments={"patient": "Ana", "cents": 20_000},
        progress={},
    )
    for interrupt in (begins, adds, corrects):
        decision = POLICY(charge, interrupt)
        print(interrupt.kind or "onset", "->", decision and f"{decision.run}: {decision.reason}")


if __name__ == "__main__":
    main()
