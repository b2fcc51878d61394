"""What every play takes place in: a virtual loop, the ledger of side effects, the tools, the store and the guard."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from toolguard.engine.clock import LoopClock
from toolguard.engine.guard import Guard
from toolguard.stores.locate import store_from
from toolguard.testing.scenarios.evidence import EPOCH
from toolguard.testing.scenarios.ledger import SideEffects
from toolguard.testing.scenarios.slow_store import SlowStore
from toolguard.testing.scenarios.stage import Stage
from toolguard.testing.scenarios.workshop import Workshop
from toolguard.testing.virtual import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

    from toolguard.stores.base import Store
    from toolguard.testing.scenarios.kit import Room, Script
    from toolguard.testing.scenarios.played import Played
    from toolguard.tools.tool import Tool

S = TypeVar("S", bound=Stage)
BEFORE = 0.5
"""Seconds between the beginning and the first step."""


class Ground(Generic[S]):
    """The place of one play, or, with ``since``, of the part that a second process plays.

    Attributes:
        script: What is played.
        place: Where the guard keeps its journal.
        app: What the application was told, by name.
        stage: Who plays it; made by the subclass.
        workshop: The tools.
        ledger: The file of side effects.
        faults: What went wrong unseen.
    """

    stage: S
    workshop: Workshop

    def __init__(self, script: Script, room: Room, faults: list[str], since: float | None = None) -> None:
        self.script = script
        self.since = since
        lasting = any(step.verb == "process.restarts" for step in script.steps)
        self.place = str(room.folder / "journal") if lasting and room.store == "memory" else room.place
        self.base = 0.0
        self.app: dict[str, Any] = {"loop_thread": threading.get_ident()}
        self.ledger = room.folder / "effects.jsonl"
        self.faults = faults
        self.loop = cast("VirtualLoop", asyncio.get_running_loop())
        self.loop.set_exception_handler(lambda _loop, context: faults.append(_fault(context)))

    def begins(self) -> Script:
        """The timeline's zero is set now, so that its first step is half a second away; what of it is to be played."""
        first = min((step.at for step in self.script.steps), default=0.0)
        self.base = self.loop.time() + BEFORE + max(0.0, -first / 1000)
        since = self.since
        return self.script if since is None else self.script.without(lambda step: step.at < since)

    def opens(self, stage: S) -> None:
        """The stage is there; the tools work by its clock."""
        self.stage = stage
        self.workshop = Workshop(self.script, SideEffects(self.ledger, stage.now))

    def guard(self, tools: Sequence[Tool[..., Any]]) -> Guard:
        """The application's guard, as the script wants it; the clock stands while its store writes."""
        script = self.script
        options: dict[str, Any] = {"policy": script.policy, "limits": script.limits, **script.guard}
        store = self.app["store"] = store_from(self.place)
        guard = Guard(self._troubled(store), tools=tools, clock=LoopClock(EPOCH), **options)
        self.loop.busy_while(partial(self.at_work, guard))
        return guard

    def _troubled(self, store: Store) -> Store:
        """The store, with everything noted that it is asked where the timeline gives it trouble."""
        if all(step.who != "store" for step in self.script.steps):
            return store
        slow = self.stage.store = self.app["slow_store"] = SlowStore(store)
        return slow.as_store()

    def at_work(self, guard: Guard) -> bool:
        """Whether a thread does something that takes no time on the loop's clock."""
        slow, journal = self.stage.store, guard.journal
        writing = journal.busy or journal.waiting if slow is None else slow.busy(journal.waiting)
        return bool(writing or self.workshop.threads.at_work)

    async def go(self, restart: Callable[[], Awaitable[None]]) -> None:
        """Play."""
        self.stage.restart = restart
        await self.stage.until(min((step.at for step in self.script.steps), default=0.0))
        await self.stage.play()

    def played(self, adapter: str, *, guarded: bool) -> Played:
        """What is left of the play but the journal."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Nothing of toolguard may be left on the loop when its guard is closed."""
        for _ in range(3):
            await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task.get_name().startswith("toolguard")]
        self.faults.extend(f"the task {task.get_name()} was left over" for task in left)


def _fault(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context['message']}: {type(error).__name__}: {error}" if error is not None else str(context["message"])


@contextmanager
def virtual() -> Generator[tuple[asyncio.Runner, list[str]]]:
    """A virtual loop, and a list of what goes wrong on it without anybody noticing."""
    faults: list[str] = []
    gc.freeze()  # what was there before is not looked through again
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with asyncio.Runner(loop_factory=VirtualLoop) as runner:
                yield runner, faults
                gc.collect()
    finally:
        gc.unfreeze()
    faults.extend(str(one.message) for one in warned if "never awaited" in str(one.message))
