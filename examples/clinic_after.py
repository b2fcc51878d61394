"""A clinic's phone agent on OpenAI Realtime, guarded."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from openai import AsyncOpenAI

from toolguard import Guard, idempotent_write, mutation, read
from toolguard.adapters.openai_realtime import protect

FREE = {"Monday": ["Mon 10:00", "Mon 11:30"], "Tuesday": ["Tue 09:00"]}
BOOKED: dict[str, str] = {}
CHARGED: list[tuple[str, int]] = []
REMINDED: dict[str, str] = {}


@read
async def find_slots(day: str) -> list[str]:
    """Find the free appointments of a day."""
    await asyncio.sleep(0.3)
    return [slot for slot in FREE.get(day, []) if slot not in BOOKED]


@mutation(identity=("slot", "patient"))
async def book_slot(slot: str, patient: str) -> str:
    """Book an appointment."""
    await asyncio.sleep(0.3)
    if slot in BOOKED:
        raise LookupError(f"{slot} is taken")
    BOOKED[slot] = patient
    return f"{patient} has {slot}"


@mutation(identity=("patient", "cents"))
async def charge_deposit(patient: str, cents: int) -> str:
    """Charge the patient's card."""
    await asyncio.sleep(0.3)
    CHARGED.append((patient, cents))
    return f"charge {len(CHARGED)}"


@idempotent_write(identity="patient")
async def set_reminder(patient: str, phone: str) -> str:
    """Send the patient a text message on the day before."""
    await asyncio.sleep(0.1)
    REMINDED[patient] = phone
    return "ok"


def schema(function: Any) -> Any:
    """What the model is told about a function whose arguments are strings and numbers."""
    kinds = {str: "string", int: "integer"}
    hints = {name: kind for name, kind in function.__annotations__.items() if name != "return"}
    properties = {name: {"type": kinds[kind]} for name, kind in hints.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "name": function.__name__,
        "description": function.__doc__,
        "parameters": parameters,
    }


TOOLS = (find_slots, book_slot, charge_deposit, set_reminder)
GUARD = Guard("journal", tools=TOOLS)


async def answer(client: AsyncOpenAI, call: str, play: Callable[[str], object]) -> None:
    """Answer one phone call: ``play`` plays a piece of audio to the caller."""
    connecting = client.realtime.connect(model="gpt-realtime-2", extra_query={"call_id": call})
    async with connecting as connection, protect(connection, GUARD, id=call):
        await connection.session.update(session={"type": "realtime", "tools": [schema(tool) for tool in TOOLS]})
        async for event in connection:
            if event.type == "response.output_audio.delta":
                play(event.delta)


if __name__ == "__main__":
    asyncio.run(answer(AsyncOpenAI(), sys.argv[1], print))
