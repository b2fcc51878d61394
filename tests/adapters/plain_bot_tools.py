"""The tools of the plain bot."""

import asyncio

from pipecat.services.llm_service import FunctionCallParams

BOOKED = []


async def book(params: FunctionCallParams, slot: str):
    """Book an appointment.

    Args:
        slot: Day and time.
    """
    BOOKED.append(slot)
    await asyncio.sleep(0.7)
    await params.result_callback({"booked": slot})
