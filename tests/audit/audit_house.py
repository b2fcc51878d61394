"""Small journals to read: tools that succeed, fail and get lost, and ways to write records by hand."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from pathlib import Path

import toolguard
from toolguard import Guard
from toolguard.audit.trail import Trail
from toolguard.core import records as r
from toolguard.core.frame import Draft
from toolguard.engine.journal import Journal
from toolguard.errors import InDoubt
from toolguard.stores.base import Append
from toolguard.stores.memory import MemoryStore

SECOND = 1_000_000_000
DAWN = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self, at=DAWN):
        self.at = at

    def wall(self):
        return self.at


@toolguard.read
async def look(city: str) -> dict[str, int]:
    return {"temp": 31}


@toolguard.mutation(identity="who")
async def charge(who: str, cents: int = 5) -> str:
    if cents == 13:
        raise OSError("the line broke")
    if cents == 0:
        raise toolguard.Refused("nothing to charge")
    return f"ch_{who}"


@toolguard.idempotent_write(identity="key")
async def set_note(key: str, note: str) -> None:
    return None


TOOLS = [look, charge, set_note]


async def lose(who, cents=13):
    """A charge of which nobody knows whether it happened."""
    try:
        await charge(who, cents)
    except InDoubt:
        return
    raise AssertionError("it should be in doubt")


async def landed(guard):
    """Wait until everything that was written has landed."""
    await guard.journal.ask(lambda _store: None)


@asynccontextmanager
async def opened(store):
    """A store's trail, and the store asked through a journal of its own."""
    journal = Journal(store, "reader")
    await journal.open()
    try:
        yield Trail(journal.ask)
    finally:
        await journal.close()


def written(session, *records, tenant="clinic", epoch=None, at=DAWN, store=None):
    """A memory store with these records of one session, a second between them."""
    store = store or MemoryStore()
    store.open("writer")
    store.enter(session, tenant, at=at)
    for step, record in enumerate(records):
        draft = record if isinstance(record, Draft) else r.encode(record, at + step * SECOND)
        (receipt,) = store.commit([Append(session, None, (draft,))])
        assert not isinstance(receipt, Exception)
    store.close()
    return store


def called(number, tool="charge", verdict="run", **more):
    defaults = {
        "effect": charge.spec.effect,
        "run": number,
        "intent": f"intent-{number}",
        "occurrence": 1,
        "agent": "desk",
    }
    return r.Called(call=number, call_id=f"call_{number}", tool=tool, verdict=verdict, **{**defaults, **more})


async def everything(source):
    return [one async for one in source]


def sql(home: Path, *statements, **values):
    """Edit a journal behind toolguard's back."""
    with closing(sqlite3.connect(home / "journal.sqlite3")) as conn, conn:
        for statement in statements:
            conn.execute(statement, values)


def made(home: Path, *, sessions=("conv-1",)):
    """A journal on disk: in each session a read, a charge, and one in doubt."""

    asyncio.run(make(home, sessions))
    return home


async def make(home, sessions):
    async with Guard(home, tools=TOOLS) as guard:
        for session in sessions:
            async with guard.session(session, agent="frontdesk", tenant="clinic-7") as conversation:
                await conversation.run(look, "Pune")
                await charge("ana")
                await lose("bob")
