"""Joining an occurrence that another process holds: its outcome answers the call here (T3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.core.envelope import envelope

if TYPE_CHECKING:
    from toolguard.engine.claims import Claims
    from toolguard.engine.delivery import Delivery
    from toolguard.engine.ledger import Ledger


class Elsewhere:
    """Answers calls from what other sessions of the scope are doing."""

    def __init__(self, ledger: Ledger, claims: Claims, delivery: Delivery) -> None:
        self._ledger = ledger
        self._claims = claims
        self._delivery = delivery

    async def answer(self, number: int, tool: str, intent: str, first: str) -> None:
        """Wait for the outcome of ``first`` and answer call ``number`` with it."""
        row = await self._claims.outcome(intent)
        ref = self._ledger.state.ref(number)
        if row is not None and row.state == "done":
            text = envelope("replayed", ref=ref, tool=tool, first=first, result=bytes(row.result))
            answered = r.Answered(call=number, form="replayed", text=text)
        elif row is None or row.state == "in_doubt":
            text = envelope("in_doubt", ref=ref, tool=tool, first=first)
            answered = r.Answered(call=number, form="in_doubt", text=text)
        else:
            text = envelope("error", ref=ref, tool=tool, why=f"{first} did not succeed.")
            answered = r.Answered(call=number, form="error", text=text)
        self._ledger.write(answered)
        self._delivery.pump()
