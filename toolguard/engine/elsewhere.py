"""Joining an occurrence that another process holds: its outcome answers the call here (T3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.core.envelope import envelope
from toolguard.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolguard.engine.claims import Claims
    from toolguard.engine.delivery import Delivery
    from toolguard.engine.estate import Estate
    from toolguard.engine.judging import Judged
    from toolguard.engine.ledger import ClaimRow, Ledger
    from toolguard.engine.slotting import Arrival
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.tool import Tool


class Elsewhere:
    """Answers calls from what other sessions of the scope are doing."""

    def __init__(self, ledger: Ledger, claims: Claims, delivery: Delivery, estate: Estate) -> None:
        self._ledger = ledger
        self._claims = claims
        self._delivery = delivery
        self._estate = estate
        self.anew: Callable[[Arrival, Tool[Any, Any], Arguments, str, ClaimRow], Awaitable[None]] = _nothing

    def waits(self, judged: Judged, intent: str, arguments: Arguments) -> bool:
        """Whether the outcome there answers the call; into a doubt that nobody looks into any more we look."""
        if judged.verdict == "in_doubt" and judged.remote is not None:
            return judged.remote.fingerprint == arguments.fingerprint and self._claims.orphaned(intent)
        return judged.verdict == "join"

    async def answer(
        self, arrival: Arrival, tool: Tool[Any, Any], arguments: Arguments, intent: str, first: str
    ) -> None:
        """Wait for the outcome of ``first`` and answer the call with it.

        Where its process died before the commit the call does it itself, as the same occurrence (T3).
        """
        row = await self._outcome(intent, tool)
        if row is not None and row.state == "free":
            await self.anew(arrival, tool, arguments, intent, row)
            return
        number, name = arrival.number, tool.name
        ref = self._ledger.state.ref(number)
        if row is not None and row.state == "done":
            text = envelope("replayed", ref=ref, tool=name, first=first, result=bytes(row.result))
            answered = r.Answered(call=number, form="replayed", text=text)
        elif row is None or row.state == "in_doubt":
            text = envelope("in_doubt", ref=ref, tool=name, first=first)
            answered = r.Answered(call=number, form="in_doubt", text=text)
        else:
            text = envelope("error", ref=ref, tool=name, why=f"{first} did not succeed.")
            answered = r.Answered(call=number, form="error", text=text)
        self._ledger.write(answered)
        self._delivery.pump()

    async def _outcome(self, intent: str, tool: Tool[Any, Any]) -> ClaimRow | None:
        """The claim when it is settled; a dead process's is settled from here, and asked about once more."""
        settled = doubted = False
        while True:
            row, alive = await self._claims.outcome(intent, later=not settled and doubted)
            if row is None or row.state not in {"running", "in_doubt"}:
                return row
            if row.state == "in_doubt" and (alive or doubted):
                return row
            doubted = True
            try:
                settled = await self._estate.settle(intent, row, tool)
            except StoreError:
                settled = False


async def _nothing(*_what: object) -> None:
    """Nobody takes what has become free."""
