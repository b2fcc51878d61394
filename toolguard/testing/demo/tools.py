"""The four tools of the demo's clinic: as a developer has them, and guarded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import toolguard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from toolguard.testing.demo.world import World

    Plain = Callable[..., Awaitable[Mapping[str, Any]]]


def plain_tools(world: World) -> dict[str, Plain]:
    """The tools as plain functions, by name."""

    async def find_patient(name: str) -> dict[str, str]:
        return await world.patient(name)

    async def find_slots(day: str) -> dict[str, str]:
        return await world.slots(day)

    async def charge_deposit(day: str, cents: int) -> dict[str, Any]:
        await world.authorise(cents)
        return await world.charge(day, cents)

    async def text_patient(words: str) -> dict[str, str]:
        return await world.text(words)

    return {tool.__name__: tool for tool in (find_patient, find_slots, charge_deposit, text_patient)}


def guarded_tools(world: World) -> list[toolguard.Tool[..., Any]]:
    """The same tools, each with what it does to the world."""

    @toolguard.read
    async def find_patient(name: str) -> dict[str, str]:
        """Find the file of a patient."""
        return await world.patient(name)

    @toolguard.read
    async def find_slots(day: str) -> dict[str, str]:
        """Find free slots."""
        return await world.slots(day)

    @toolguard.mutation(identity="day", commits="inside")
    async def charge_deposit(day: str, cents: int) -> dict[str, Any]:
        """Charge the deposit for an appointment."""
        await world.authorise(cents)
        async with toolguard.committing() as key:
            return await world.charge(day, cents, key)

    @toolguard.mutation(identity="words")
    async def text_patient(words: str) -> dict[str, str]:
        """Send a text message to the patient."""
        return await world.text(words)

    return [find_patient, find_slots, charge_deposit, text_patient]
