"""An application whose effects land in a file outside its process: what the process tests run, kill and recover."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from loguru import logger

import toolguard
from toolguard import Attempt, DidNotHappen, Finding, Guard, Happened, Refused
from toolguard.core.law import Phase
from toolguard.engine.limits import Limits
from toolguard.stores.disk import DiskStore
from toolguard.stores.locate import store_from

HOME = Path(os.environ.get("PROCESS_TEST_HOME", "."))
BOUND = 20.0
QUICK = {"time_limit": 1.5, "hard_limit": 1.5, "settles_within": 0.1}
"""Limits that make the quarantine of "did not happen" (D1) pass soon, and leave a busy machine its time."""
QUARANTINE = QUICK["hard_limit"] + QUICK["settles_within"]


def no_point(_where: str) -> None:
    """A place where a test may end this process."""


point = no_point


def tell(what: str, tool: str, key: str, who: str) -> None:
    """One line to the world, appended whole and fsynced, before anything else happens."""
    line = json.dumps({"what": what, "tool": tool, "key": key, "who": who, "pid": os.getpid()}) + "\n"
    handle = os.open(HOME / "world", os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(handle, line.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def world(home: Path) -> list[dict]:
    """What has happened, in order."""
    path = home / "world"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def act(tool: str, key: str, who: str) -> str:
    """The effect: first the world hears that somebody is about to act with this key, then that it happened."""
    tell("acting", tool, key, who)
    point("before the effect")
    tell("did", tool, key, who)
    point("after the effect")
    return f"{tool} for {who}"


async def find(attempt: Attempt, who: str) -> Finding[str]:
    """Look whether the world knows the key."""
    for line in world(HOME):
        if line["what"] == "did" and line["key"] == attempt.key:
            return Happened(f"{line['tool']} for {who}", evidence="the world")
    return DidNotHappen(evidence="the world")


async def gate(name: str) -> None:
    """Say that a body has come this far, and wait until the test opens the gate."""
    (HOME / f"at.{name}").touch()
    end = time.monotonic() + BOUND
    while not (HOME / f"go.{name}").exists():
        if time.monotonic() > end:
            raise TimeoutError(name)
        await asyncio.sleep(0.005)


# -- one call and nobody else about -------------------------------------------------------------------------------


@toolguard.read(patience=100)
async def look(who: str) -> str:
    return act("look", toolguard.current_call().key, who)


@toolguard.idempotent_write(identity="who", **QUICK)
async def note(who: str) -> str:
    return act("note", toolguard.current_call().key, who)


@toolguard.idempotent_write(identity="who", **QUICK)
async def note_probed(who: str) -> str:
    return act("note_probed", toolguard.current_call().key, who)


@toolguard.mutation(identity="who", **QUICK)
async def charge(who: str) -> str:
    return act("charge", toolguard.current_call().key, who)


@toolguard.mutation(identity="who", **QUICK)
async def charge_probed(who: str) -> str:
    return act("charge_probed", toolguard.current_call().key, who)


async def _hold(who: str) -> str:
    tell("step", "hold", "", who)
    return f"hold for {who}"


async def _book(tool: str, who: str) -> str:
    point("body entered")
    hold = await toolguard.step("hold", _hold, who)
    await toolguard.checkpoint(hold=hold)
    point("checkpoint kept")
    async with toolguard.committing() as key:
        made = act(tool, key, who)
    point("left committing")
    return made


@toolguard.mutation(identity="who", commits="inside", **QUICK)
async def book(who: str) -> str:
    return await _book("book", who)


@toolguard.mutation(identity="who", commits="inside", **QUICK)
async def book_probed(who: str) -> str:
    return await _book("book_probed", who)


@toolguard.mutation(identity="who", **QUICK)
async def decline(who: str) -> str:
    raise Refused(f"{who} has no account")


@toolguard.mutation(identity="who", hard_limit=60)
async def ship(who: str) -> str:
    return act("ship", toolguard.current_call().key, who)


@ship.probe
async def find_shipment(attempt: Attempt, who: str) -> Finding[str]:
    tell("asked", "ship", attempt.key, who)
    return await find(attempt, who)


note_probed.probe(find)
charge_probed.probe(find)
book_probed.probe(find)


# -- several processes --------------------------------------------------------------------------------------------


@toolguard.read
async def see(who: str) -> str:
    await gate(f"see.{who}")
    return f"seen {who}"


@toolguard.mutation(identity="who", scope="tenant")
async def pay(who: str, cents: int = 100) -> str:
    await gate(f"pay.{who}")
    return act("pay", toolguard.current_call().key, who)


@toolguard.mutation(identity="who", scope="caller")
async def order(who: str) -> str:
    await gate(f"order.{who}")
    return act("order", toolguard.current_call().key, who)


@toolguard.mutation(identity="who", scope="tenant", time_limit=2, hard_limit=2)
async def wire(who: str) -> str:
    await gate(f"wire.{who}")
    made = act("wire", toolguard.current_call().key, who)
    await gate(f"wired.{who}")
    return made


@toolguard.mutation(identity="who", patience=100)
async def send(who: str) -> str:
    await gate(f"send.{who}")
    made = act("send", toolguard.current_call().key, who)
    await gate(f"sent.{who}")
    return made


@toolguard.mutation(identity="who", commits="inside", patience=100)
async def reserve(who: str) -> str:
    await gate(f"reserve.{who}.{os.getpid()}")
    async with toolguard.committing() as key:
        return act("reserve", key, who)


@toolguard.mutation(identity="who", commits="inside")
async def waver(who: str) -> str:
    await gate(f"waver.{who}.{os.getpid()}")
    if (HOME / f"fail.{os.getpid()}").exists():
        raise Refused("it cannot be done")
    async with toolguard.committing() as key:
        return act("waver", key, who)


@toolguard.mutation(identity="who", patience=100)
async def debit(who: str) -> str:
    await gate(f"debit.{who}")
    made = act("debit", toolguard.current_call().key, who)
    await gate(f"debit.{who}.done")
    return made


@toolguard.mutation(identity="who", time_limit=2, hard_limit=2, patience=100)
async def remit(who: str) -> str:
    await gate(f"remit.{who}")
    made = act("remit", toolguard.current_call().key, who)
    await gate(f"remit.{who}.done")
    return made


wire.probe(find)
remit.probe(find)

TOOLS = (
    look, note, note_probed, charge, charge_probed, book, book_probed, decline, ship,
    see, pay, order, wire, send, reserve, waver, debit, remit,
)  # fmt: skip


def store_of(home: Path):
    """The store of the processes of a test: on a server where the test says so, else in its folder."""
    place = home / "place"
    return store_from(place.read_text()) if place.exists() else DiskStore(home / "journal")


def limits_of(home: Path) -> Limits:
    """Short leases where the store is on a server: elsewhere a process dies at once."""
    lease = {"lease": 2.0, "margin": 0.4} if (home / "place").exists() else {}
    return Limits(resume_window=3600.0, **lease)  # a busy machine may come to it late


def make_guard(store, **more) -> Guard:
    """The application's guard over a store of the test's choice."""
    return Guard(store, tools=TOOLS, **more)


guard = make_guard(DiskStore(HOME / "journal"), limits=limits_of(HOME))


async def go_on(session: str) -> None:
    """Recover one session and wait until every run has ended, or is a mutation in doubt with nobody to ask."""
    forever = {tool.name for tool in (charge, book, decline)}
    async with guard.recover(session) as conversation:
        end = time.monotonic() + BOUND
        while any(
            run.phase.open or (run.phase is Phase.IN_DOUBT and run.tool not in forever)
            for run in conversation.state.runs.values()
        ):
            if time.monotonic() > end:
                raise TimeoutError(session)
            await asyncio.sleep(0.01)


async def leave(session: str) -> None:
    """Take a session over and hang up before anything has ended."""
    async with guard.recover(session):
        await asyncio.sleep(0)


async def _recover(how: str, *sessions: str) -> None:
    async with guard:
        await asyncio.gather(*({"go_on": go_on, "leave": leave}[how](session) for session in sessions))


if __name__ == "__main__":
    logger.remove()
    asyncio.run(_recover(*sys.argv[1:]))
