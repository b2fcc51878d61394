"""What is measured: guarded tools that do next to nothing, and guards around them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import toolguard
from toolguard.core import records as r

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from toolguard.engine.ledger import Ledger

MANY = 1_000_000
"""So many calls do not trip the breaker: the bench calls one tool more often than any caller would."""
WORDS = "The next free appointment is on Tuesday at half past nine with Doctor Rao; shall I take it for you? " * 4
_ids = count(1)


@toolguard.read(max_calls=MANY)
async def look(city: str) -> dict[str, int]:
    """Look something up, without waiting for anything."""
    return {"temp": len(city)}


@toolguard.mutation(identity="who", repeat="allow", max_calls=MANY)
async def charge(who: str, cents: int) -> str:
    """Change something, without waiting for anything."""
    return f"ch_{cents}"


@toolguard.read(max_calls=MANY, time_limit=600.0, hard_limit=600.0)
async def slow_look(city: str) -> str:
    """A lookup that does not end by itself."""
    await asyncio.sleep(600)
    return city


@toolguard.mutation(identity="who", commits="inside", max_calls=MANY, time_limit=600.0, hard_limit=600.0)
async def slow_charge(who: str) -> str:
    """A change that does not reach its commit by itself."""
    await asyncio.sleep(600)
    async with toolguard.committing():
        return who


TOOLS: list[toolguard.Tool[..., Any]] = [look, charge, slow_look, slow_charge]


async def bare_look(city: str) -> dict[str, int]:
    """What :func:`look` is without its guard."""
    return {"temp": len(city)}


@asynccontextmanager
async def guarding(store: str | Path, policy: toolguard.Policy | None = None) -> AsyncGenerator[toolguard.Guard]:
    """A guard over the tools of this module."""
    async with toolguard.Guard(store, tools=TOOLS, policy=policy) as guard:
        yield guard


async def entered(guard: toolguard.Guard) -> toolguard.Session:
    """A new session."""
    return await guard.enter(f"conv-{next(_ids)}", agent="frontdesk", tenant="clinic-7")


async def left(sessions: list[toolguard.Session]) -> None:
    """End sessions whose calls are given up."""
    for session in sessions:
        for live in list(session._w.execution.live.values()):
            session._w.execution.stop(live.run.number, "the measurement is over")
    for session in sessions:
        await session.close()


def ledger_of(session: toolguard.Session) -> Ledger:
    """The session's book."""
    return session._w.ledger


def spoken() -> r.Said:
    """A record of about 500 bytes on disk."""
    return r.Said(text=WORDS, generation="resp_1")


async def durable(session: toolguard.Session) -> None:
    """Journal one record and wait until it would survive a loss of power."""
    ledger = ledger_of(session)
    await ledger.journal.fate(ledger.write(spoken(), durable=True, wait=True))
