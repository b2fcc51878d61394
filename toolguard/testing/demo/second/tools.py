"""The three tools of the second act: as a developer has them, and guarded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import toolguard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from toolguard.testing.demo.second.office import Office

    Plain = Callable[..., Awaitable[Mapping[str, Any]]]
    Moves = Callable[[str], Awaitable[None]]


def plain_tools(office: Office, move: Moves) -> dict[str, Plain]:
    """The tools as plain functions, by name."""

    async def find_balance(name: str) -> dict[str, Any]:
        return await office.balance(name)

    async def transfer_call(to: str) -> dict[str, str]:
        await move(to)
        return {"transferred": to}

    async def charge_card(name: str, cents: int) -> dict[str, Any]:
        return await office.charge(name, cents)

    return {tool.__name__: tool for tool in (find_balance, transfer_call, charge_card)}


def guarded_tools(office: Office, move: Moves) -> list[toolguard.Tool[..., Any]]:
    """The same tools, each with what it does to the world, and the charge with a way to find out."""

    @toolguard.read
    async def find_balance(name: str) -> dict[str, Any]:
        """Find what somebody owes."""
        return await office.balance(name)

    @toolguard.mutation(identity="to", commits="inside")
    async def transfer_call(to: str) -> dict[str, str]:
        """Give the conversation to another agent."""
        async with toolguard.committing():
            await move(to)
            return {"transferred": to}

    @toolguard.mutation(identity="name", commits="inside")
    async def charge_card(name: str, cents: int) -> dict[str, Any]:
        """Charge somebody's card."""
        async with toolguard.committing() as key:
            return await office.charge(name, cents, key)

    @charge_card.probe
    async def find_charge(attempt: toolguard.Attempt, name: str, cents: int) -> toolguard.Finding[dict[str, Any]]:
        return await office.find(attempt.key, name, cents)

    return [find_balance, transfer_call, charge_card]
