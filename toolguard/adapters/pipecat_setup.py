"""A Pipecat setup file: guards a bot whose code stays as it is; its tools are matched by name.

::

    export PIPECAT_SETUP_FILES=$(python -m toolguard.adapters.pipecat_setup)
    export TOOLGUARD_APP=clinic_guard:guard            # a module with a Guard in it
    python bot.py

The module declares what the bot's tools do to the world; their bodies are the bot's own::

    # clinic_guard.py
    import toolguard
    import bot_tools                                   # or __main__, where the tools are in the script itself

    book = toolguard.mutation(identity="slot")(bot_tools.book)
    guard = toolguard.Guard("journal/", tools=[book])

Every pipeline with context aggregators becomes a conversation, from its set-up to its end; a worker of the same runner
that has a model and no aggregators takes part in the one there is. ``TOOLGUARD_SESSION=module:function`` names a
function that is given the worker and returns keywords of ``protect`` (``id``, ``tenant``, ``caller``, ``agent``);
without it a conversation has an id of its own, and nobody goes on with it after a dropped line.

A bot that shall be guarded does not run unguarded: where the app cannot be loaded the process ends, and where a
conversation cannot be journaled its worker is cancelled.

What needs a line of code: flows (:mod:`toolguard.adapters.pipecat_flows`: nothing leads from a worker to its
``FlowManager``), a hand-over that waits for the result of its tool (:mod:`toolguard.adapters.pipecat_workers`), a
handler that reads ``params.arguments`` (:func:`toolguard.adapters.pipecat.handler`, in the app's module), and the
hand-off to another agent.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
import uuid
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from loguru import logger

from toolguard.adapters import pipecat
from toolguard.adapters.pipecat_events import processors
from toolguard.adapters.pipecat_features import LLMAssistantAggregator, LLMService
from toolguard.adapters.pipecat_names import by_name
from toolguard.adapters.protecting import Protecting
from toolguard.engine.guard import Guard
from toolguard.errors import ToolguardError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from toolguard.adapters.pipecat_features import PipelineWorker
    from toolguard.engine.session import Session

APP, SESSION = "TOOLGUARD_APP", "TOOLGUARD_SESSION"
_runners: WeakKeyDictionary[object, _Runner] = WeakKeyDictionary()


class _Runner:
    """The conversations of one runner, and workers whose models wait for one."""

    def __init__(self) -> None:
        self.conversations: dict[PipelineWorker, tuple[Session, ExitStack]] = {}
        self.waiting: list[PipelineWorker] = []


async def setup_pipeline_worker(worker: PipelineWorker) -> None:
    """Pipecat calls it for every worker, while it sets up (``pipecat/utils/startup.py``)."""
    guard = _app()
    kinds = {kind for one in processors(worker.pipeline) for kind in _KINDS if isinstance(one, kind)}
    runner = _runners.setdefault(worker.worker_runner, _Runner())
    if LLMAssistantAggregator in kinds:
        try:
            runner.conversations[worker] = await _protected(worker, guard, runner), ExitStack()
        except ToolguardError as error:
            logger.error(f"toolguard: {worker} does not run, it cannot be guarded: {error}")
            await worker.cancel(reason="toolguard: it cannot be guarded")
            return
        for waiting in runner.waiting:
            _take_part(runner, waiting, guard)
        runner.waiting.clear()
    elif LLMService in kinds:
        _take_part(runner, worker, guard)


_KINDS = (LLMAssistantAggregator, LLMService)


def _take_part(runner: _Runner, worker: PipelineWorker, guard: Guard) -> None:
    """A worker with a model of its own and no ears: it belongs to the one conversation that its runner has."""
    if not runner.conversations:
        runner.waiting.append(worker)
        return
    if len(runner.conversations) > 1:
        logger.error(f"toolguard: {worker} is not guarded, its runner has several conversations; use hook(...)")
        return
    ((conversation, parts),) = runner.conversations.values()
    pipecat.hook(conversation, worker)
    parts.enter_context(by_name(worker, guard.tools.values()))


async def _protected(worker: PipelineWorker, guard: Guard, runner: _Runner) -> Session:
    """Guard a conversation until its pipeline has ended; the worker's clean-up waits for that."""

    def until(over: Callable[[], None]) -> Callable[[asyncio.Task[None]], None]:
        held: list[asyncio.Task[None]] = []

        async def finished(_worker: object, _frame: object) -> None:
            over()
            await asyncio.wait(held)
            _, parts = runner.conversations.pop(worker)
            parts.close()

        emitter: Any = worker
        emitter.add_event_handler("on_pipeline_finished", finished)
        return held.append

    return await Protecting(_entering(worker, guard), until)


@asynccontextmanager
async def _entering(worker: PipelineWorker, guard: Guard) -> AsyncGenerator[Session]:
    keywords: Mapping[str, Any] = _named(SESSION)(worker) if os.environ.get(SESSION) else {}
    named: dict[str, Any] = {"id": f"pipecat-{uuid.uuid4().hex[:12]}", **keywords}
    async with pipecat.protect(worker, guard, **named) as session:
        with by_name(worker, guard.tools.values()):
            yield session


@functools.cache
def _app() -> Guard:
    """The guard that the environment names; without it the process ends, as no bot shall run unguarded by mistake."""
    if not os.environ.get(APP):
        raise SystemExit(f"toolguard: {APP} is not set; set it to module:guard.")
    found = _named(APP)
    if not isinstance(found, Guard):
        raise SystemExit(f"toolguard: {APP}={os.environ[APP]} is a {type(found).__name__} and no Guard.")
    return found


def _named(variable: str) -> Any:
    name, _, attribute = os.environ[variable].partition(":")
    try:
        return getattr(importlib.import_module(name), attribute or "guard")
    except Exception as error:
        raise SystemExit(f"toolguard: {variable}={name}:{attribute} cannot be loaded: {error!r}") from error


if __name__ == "__main__":
    print(Path(__file__).resolve())  # noqa: T201 - the place of this file, for PIPECAT_SETUP_FILES
