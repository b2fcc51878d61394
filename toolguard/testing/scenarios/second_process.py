"""A process that plays a scenario up to its death by SIGKILL, for another one to go on with: ledger and store stay."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import toolguard
from toolguard.engine.clock import LoopClock
from toolguard.engine.guard import Guard
from toolguard.errors import ToolguardError
from toolguard.stores.locate import store_from
from toolguard.testing.scenarios.evidence import EPOCH

if TYPE_CHECKING:
    from toolguard.engine.recovering import Recover
    from toolguard.testing.scenarios.data import Step
    from toolguard.testing.scenarios.ground import Ground
    from toolguard.testing.scenarios.kit import Room, Script
    from toolguard.testing.scenarios.stage import Stage
    from toolguard.testing.virtual import VirtualLoop

HOOK = "second_process"
"""The hook of drivers that can do this; the memory store dies with its process."""
_LONGEST = 120.0
_LEASE = 60.0
_LOOK = 0.05


class NotKilled(RuntimeError):  # noqa: N818 - named for what was found
    """The first process did not die where the timeline says so."""


async def is_killed(_stage: Stage, _step: Step) -> None:
    """The process is gone from one instruction to the next."""
    os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(_LONGEST)


def stands_by(_stage: Stage, _step: Step) -> None:
    """The driver itself does it."""


def goes_on_at(script: Script) -> float | None:
    """When the second process of a script recovers, on the timeline's clock; None where the first one lives."""
    steps = {step.verb: step.at for step in script.steps}
    return steps.get("guard.recovers") if "process.dies" in steps else None


async def contend(setting: Ground[Any], session: str) -> list[str]:
    """Let two processes recover a session at the same moment; the winner sees its runs to their end.

    Returns:
        What each of them got: ``Session``, or the name of the error.
    """
    loop = cast("VirtualLoop", asyncio.get_running_loop())
    async with AsyncExitStack() as stack:
        recoveries: list[Recover] = []
        for _ in range(2):
            limits, tools = setting.script.limits, setting.workshop.guarded()
            guard = Guard(store_from(setting.place), tools=tools, clock=LoopClock(EPOCH), limits=limits)
            loop.busy_while(partial(setting.at_work, guard))
            await stack.enter_async_context(guard)
            recoveries.append(guard.recover(session))
            await recoveries[-1].plan()
        return await asyncio.gather(*(_go(recovery) for recovery in recoveries))


async def _go(recovery: Recover) -> str:
    try:
        async with recovery as conversation:
            while conversation.state.open_runs and not conversation.wiring.ledger.fenced:  # noqa: ASYNC110 - no bell
                await asyncio.sleep(_LOOK)
    except ToolguardError as error:
        return type(error).__name__
    return "Session"


def play_first(script: Script, room: Room, *, adapter: str, guarded: bool) -> float | None:
    """Play the first process of a script in a real one, which kills itself, and wait until the store knows.

    Returns:
        When the second process goes on, on the timeline's clock; None where there is one process alone.

    Raises:
        NotKilled: It ended in another way.
    """
    since = goes_on_at(script)
    if since is None:
        return None
    above = str(Path(toolguard.__file__).parent.parent)
    path = os.pathsep.join([above, *filter(None, [os.environ.get("PYTHONPATH")])])
    what = [script.scenario.id, script.variant, str(room.folder), room.store, room.place, adapter, str(int(guarded))]
    done = subprocess.run(  # noqa: S603 - this interpreter, this package
        [sys.executable, "-m", "toolguard.testing.scenarios.first_process", *what],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        check=False,
    )
    if done.returncode != -signal.SIGKILL:
        raise NotKilled(f"the first process ended with {done.returncode}: {done.stderr[-600:]}")
    if guarded and room.store != "memory":
        _found_dead(room)
    return since


def _found_dead(room: Room) -> None:
    """On a server the dead process is noticed when its lease runs out, by the server's own clock."""
    store = store_from(room.place)
    store.open("a bystander")
    try:
        end = time.monotonic() + _LEASE
        while not store.stale() and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        store.close()
