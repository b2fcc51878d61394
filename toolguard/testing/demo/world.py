"""The world outside the agent: an appointment book, a card processor, a text gateway, and the ledger of what they did.

The ledger is a file, one JSON line for each effect. It knows nothing of toolguard: what stands in it has happened.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

PATIENT_TAKES = 0.25
SLOTS_TAKE = 0.6
AUTHORISING_TAKES = 0.7
"""Seconds in which the card is looked at; nothing has been charged yet."""
CHARGING_TAKES = 3.0
"""Seconds from the request to the processor's answer; the money moves at its beginning."""


class World:
    """Everything that the tools of the demo reach.

    Args:
        ledger: The file that effects are written to.
    """

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._ledger.write_text("")

    async def patient(self, name: str) -> dict[str, str]:
        """The file of a patient."""
        await asyncio.sleep(PATIENT_TAKES)
        return {"patient": name, "phone": "+15550100"}

    async def slots(self, day: str) -> dict[str, str]:
        """Free slots on a day and the day after."""
        await asyncio.sleep(SLOTS_TAKE)
        return {"asked": day, "Monday": "10:00", "Tuesday": "09:30"}

    async def authorise(self, cents: int) -> None:
        """Look whether the card is good for an amount."""
        await asyncio.sleep(AUTHORISING_TAKES)
        if cents <= 0:
            raise ValueError("an amount is above zero")

    async def charge(self, day: str, cents: int, key: str = "") -> dict[str, Any]:
        """Take money; a processor that is given a key takes it once for that key."""
        known = [line for line in self.effects if line["what"] == "charge" and key and line["key"] == key]
        if not known:
            self._happened("charge", day=day, cents=cents, key=key)
        await asyncio.sleep(CHARGING_TAKES)
        return {"paid": day, "cents": cents}

    async def text(self, words: str) -> dict[str, str]:
        """Send a text message."""
        self._happened("text", words=words)
        await asyncio.sleep(PATIENT_TAKES)
        return {"texted": words}

    @property
    def effects(self) -> list[dict[str, Any]]:
        """What has happened, in order, read from the file."""
        return [json.loads(line) for line in self._ledger.read_text().splitlines()]

    def _happened(self, what: str, **facts: Any) -> None:
        with self._ledger.open("a") as ledger:
            ledger.write(json.dumps({"what": what, **facts}) + "\n")
