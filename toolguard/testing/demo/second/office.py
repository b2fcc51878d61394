"""The world of the second act: accounts, a card processor, and the ledger of what has happened.

The ledger is a file that outlives the workers. It knows nothing of toolguard: what stands in it has happened.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from toolguard import DidNotHappen, Finding, Happened, StillUnknown

if TYPE_CHECKING:
    from pathlib import Path

OWES = 4000
LOOKING_TAKES = 3.0
CHARGING_TAKES = 60.0
"""Seconds from the request to the processor's answer; the money moves at its beginning, and the worker dies soon."""
LISTED_WITHIN = 20.0
_LOOK = 0.05


class Office:
    """What the tools of one worker reach.

    Args:
        ledger: The file that effects are added to.
    """

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger

    async def balance(self, name: str) -> dict[str, Any]:
        """What somebody owes: an old system, and a slow one."""
        self._happened("looked_up", name=name)
        await asyncio.sleep(LOOKING_TAKES)
        return {"owes": OWES, "name": name}

    async def charge(self, name: str, cents: int, key: str = "") -> dict[str, Any]:
        """Take the money, then be slow to say so; where the money is taken already, say so at once."""
        if key and self._found(key):
            return {"charged": cents, "name": name}
        before = sum(one["what"] == "charge" for one in effects(self._ledger))
        self._happened("charge", name=name, cents=cents, key=key)
        await asyncio.sleep(0.5 if before else CHARGING_TAKES)
        return {"charged": cents, "name": name}

    async def find(self, key: str, name: str, cents: int) -> Finding[dict[str, Any]]:
        """Ask the processor by a key; a charge is on its list some seconds after it was made."""
        end = asyncio.get_running_loop().time() + LISTED_WITHIN
        while not listed(self._ledger).exists():
            if asyncio.get_running_loop().time() > end:
                return StillUnknown()
            await asyncio.sleep(_LOOK)
        found = self._found(key)
        if found is None or (found["name"], found["cents"]) != (name, cents):
            return DidNotHappen()
        return Happened({"charged": cents, "name": name}, evidence="the processor's list")

    def _found(self, key: str) -> dict[str, Any] | None:
        return next((one for one in effects(self._ledger) if one.get("key") == key), None)

    def _happened(self, what: str, **facts: Any) -> None:
        with self._ledger.open("a") as ledger:
            ledger.write(json.dumps({"what": what, **facts}) + "\n")


def effects(ledger: Path) -> list[dict[str, Any]]:
    """What has happened, in order."""
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def listed(ledger: Path) -> Path:
    """A file that is there as soon as the processor's list shows the charge."""
    return ledger.with_suffix(".listed")
