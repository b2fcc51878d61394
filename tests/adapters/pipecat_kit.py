"""Guarded Pipecat lines for the tests: a guard in memory, tools on a ledger, and what became of both."""

import asyncio
import json
from contextlib import asynccontextmanager

import loguru
from pipecat.services.llm_service import FunctionCallParams

import toolguard
from toolguard import Guard
from toolguard.adapters.pipecat import protect
from toolguard.core import records as r
from toolguard.testing.pipecat import pipecat_line

loguru.logger.disable("pipecat")


def now():
    return asyncio.get_running_loop().time()


async def until(condition, *, within=20.0):
    """Wait for something to become true; the bound is in the loop's time."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


def form(output):
    """The form of an answer of ours, or the answer."""
    try:
        told = json.loads(output)
    except ValueError:
        return output
    return told.get("toolguard", told) if isinstance(told, dict) else told


class World:
    """What the tools do to the world; ``takes`` is how long each takes before it does it."""

    def __init__(self, takes=1.0, after=0.0):
        self.takes, self.after = takes, after
        self.booked, self.looked = [], 0

    def book(self, **options):
        """A direct function as a bot has it, with the decorator."""
        world = self

        @toolguard.mutation(identity="day", commits="inside", **options)
        async def book(params: FunctionCallParams, day: str):
            """Book a day.

            Args:
                day: The day.
            """
            await asyncio.sleep(world.takes)
            async with toolguard.committing():
                world.booked.append(day)
                await asyncio.sleep(world.after)
            await params.result_callback({"booked": day})

        return book

    def find(self, **options):
        """A read as a bot has it, with the decorator."""
        world = self

        @toolguard.read(**options)
        async def find(params: FunctionCallParams, what: str):
            """Look for something.

            Args:
                what: What to look for.
            """
            world.looked += 1
            await asyncio.sleep(world.takes)
            await params.result_callback([what, "4A"])

        return find


def records(guard, kind, session="conv"):
    """The records of a session of one kind."""
    frames = guard.journal.store.read(session, after=0, limit=10_000)
    found = [r.decode(one.kind, one.version, one.payload) for one in frames]
    return [one for one in found if isinstance(one, kind)]


@asynccontextmanager
async def guarded(script, *tools, mode="enforce", name="conv", ends=True, guard=None, **options):
    """A line that runs, protected."""
    on = pipecat_line(script, tools=tools, **options)
    own = guard or Guard("memory:", tools=[one for one in tools if isinstance(one, toolguard.Tool)], mode=mode)
    try:
        async with protect(on.worker, own, id=name, caller="ana") as conversation, on.runs(ends=ends):
            yield on, conversation
    finally:
        if guard is None:
            await own.close()
