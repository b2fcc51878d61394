"""A process is killed in the middle of a charge; another one recovers the conversation: the card is charged once."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import toolguard
from toolguard import Attempt, DidNotHappen, Finding, Guard, Happened

PROCESSOR = Path("charges.txt")
"""The card processor's own book: one line for each charge, the key that it was made with."""


def book(line: str) -> None:
    """The processor books a charge."""
    with PROCESSOR.open("a") as lines:
        lines.write(line + "\n")


def booked() -> list[str]:
    """The processor's charges."""
    return PROCESSOR.read_text().splitlines() if PROCESSOR.exists() else []


@toolguard.mutation(identity="patient", commits="inside")
async def charge(patient: str, cents: int) -> str:
    """Charge a card: the money moves at once, the answer takes its time."""
    async with toolguard.committing() as key:
        book(f"{key} {patient} {cents}")
        await asyncio.sleep(60)  # and here the process dies
        return f"charged {cents}"


@charge.probe
async def find_charge(attempt: Attempt, patient: str, cents: int) -> Finding[str]:
    """Ask the processor by the key what became of an attempt."""
    if f"{attempt.key} {patient} {cents}" in booked():
        return Happened(f"charged {cents}", evidence="the processor's book")
    return DidNotHappen()


async def first_process() -> None:
    """Serve the conversation until somebody kills this process."""
    async with Guard("journal", tools=[charge]) as guard, guard.session("conv-42") as conversation:
        await conversation.run(charge, "Ana", 4000)


async def second_process() -> None:
    """Look what would be done, go on, and answer the model that asks for the charge again."""
    async with Guard("journal", tools=[charge]) as guard:
        recovery = guard.recover("conv-42")
        for step in (await recovery.plan()).steps:
            print(f"{step.ref} {step.tool}: {step.act}, because {step.why}")
        async with recovery as conversation:
            report = conversation.recovery
            print(f"in doubt: {report.in_doubt}, carried: {report.calls_carried}" if report else "nothing was left")
            while conversation.state.doubtful:  # noqa: ASYNC110 - the probe is at work; the caller may speak meanwhile
                await asyncio.sleep(0.05)
            print("again:", await conversation.run(charge, "Ana", 4000))
        print((await guard.trail.call("conv-42/1")).source)


def main() -> None:
    """Start the first process, kill it when the money has moved, and go on."""
    dying = subprocess.Popen([sys.executable, __file__, "first"])  # noqa: S603 - this file
    while not booked():
        if dying.poll() is not None:
            raise SystemExit("the first process ended before it charged")
    dying.send_signal(signal.SIGKILL)
    dying.wait()
    asyncio.run(second_process())
    print("charges:", len(booked()))


if __name__ == "__main__":
    if sys.argv[1:] == ["first"]:
        asyncio.run(first_process())
    else:
        main()
