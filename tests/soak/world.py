"""The outside world: a ledger that knows nothing of toolguard, and the tools that write to it.

``charge`` and ``book`` are systems that honour an idempotency key and can be asked what became of it: against a
process that stops between its commit record and its request nothing less helps (D4). ``order`` knows no keys and
answers no questions: what is in doubt there stays in doubt, and is never done again.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import random
from pathlib import Path
from typing import Any

import toolguard
from toolguard import Attempt, DidNotHappen, Finding, Happened

HOME = Path(os.environ.get("SOAK_HOME", "."))
LIMITS: dict[str, Any] = {"time_limit": 6.0, "hard_limit": 8.0, "settles_within": 0.5}
"""Limits after which a probe that finds nothing is believed (D1), soon enough for two minutes."""
KEYED = ("charge", "book")
"""Systems that honour an idempotency key."""
MUTATIONS = ("charge", "book", "order")
"""What must not happen twice for one wish."""


def happened(tool: str, want: str, key: str) -> None:
    """One line for an effect, written whole; a key that a system has seen is refused where it honours keys."""
    line = json.dumps({"tool": tool, "want": want, "key": key, "pid": os.getpid()}) + "\n"
    handle = os.open(HOME / "ledger", os.O_APPEND | os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if tool in KEYED and any(one["key"] == key for one in ledger(HOME)):
            refused = os.open(HOME / "refused", os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
            os.write(refused, line.encode())
            os.close(refused)
        else:
            os.write(handle, line.encode())
    finally:
        os.close(handle)


def ledger(home: Path) -> list[dict[str, Any]]:
    """What has happened, in order."""
    path = home / "ledger"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def _takes(most: float) -> None:
    await asyncio.sleep(random.uniform(0.02, most))


async def _act(tool: str, want: str, key: str) -> dict[str, str]:
    await _takes(0.3)
    happened(tool, want, key)
    await _takes(0.8)
    return {"did": want}


async def find(attempt: Attempt, want: str) -> Finding[dict[str, str]]:
    """Look whether the world knows the key."""
    await _takes(0.2)
    if any(line["key"] == attempt.key for line in ledger(HOME)):
        return Happened({"did": want}, evidence="the ledger")
    return DidNotHappen(evidence="the ledger")


@toolguard.read
async def look_up(want: str) -> dict[str, str]:
    """Look something up."""
    await _takes(1.2)
    return {"did": want}


@toolguard.idempotent_write(identity="want", **LIMITS)
async def set_note(want: str) -> dict[str, str]:
    """Keep a note."""
    return await _act("set_note", want, toolguard.current_call().key)


@toolguard.mutation(identity="want", **LIMITS)
async def charge(want: str) -> dict[str, str]:
    """Charge a card; the processor can be asked what became of it."""
    return await _act("charge", want, toolguard.current_call().key)


@toolguard.mutation(identity="want", commits="inside", **LIMITS)
async def book(want: str) -> dict[str, str]:
    """Book a slot, in two steps."""
    hold = await toolguard.step("hold", _hold, want)
    await toolguard.checkpoint(hold=hold)
    async with toolguard.committing() as key:
        return await _act("book", want, key)


async def _hold(want: str) -> str:
    await _takes(0.5)
    return f"hold of {want}"


@toolguard.mutation(identity="want", **LIMITS)
async def order(want: str) -> dict[str, str]:
    """Order something from somebody who answers no questions."""
    return await _act("order", want, toolguard.current_call().key)


charge.probe(find)
book.probe(find)
set_note.probe(find)
TOOLS = (look_up, set_note, charge, book, order)
