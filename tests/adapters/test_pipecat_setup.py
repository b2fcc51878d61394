"""An unmodified Pipecat bot is guarded by its environment alone."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
from pipecat.bus import AsyncQueueBus, BusBridgeProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.workers.llm import LLMWorker, tool
from pipecat_bots import Bot, calling, until

import toolguard
from toolguard import Guard
from toolguard.adapters import pipecat_setup
from toolguard.testing.pipecat import Called, ScriptedModel

HERE = Path(__file__).parent
BOT = HERE / "plain_bot.py"


def setup_file():
    """What users are told to ask for."""
    command = [sys.executable, "-m", "toolguard.adapters.pipecat_setup"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def bot(**environment):
    """Run the bot in a process of its own."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)]), **environment}
    return subprocess.run([sys.executable, str(BOT)], capture_output=True, text=True, check=False, timeout=60, env=env)


def told(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def journaled(environment):
    """The calls in the bot's journal."""

    async def calls():
        async with Guard(environment["PLAIN_BOT_JOURNAL"]) as guard:
            return [(call.ref, call.tool, call.phase) async for call in guard.trail.calls()]

    return asyncio.run(calls())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Environment of a guarded bot."""
    return {
        "PIPECAT_SETUP_FILES": setup_file(),
        "TOOLGUARD_APP": "plain_bot_guard:guard",
        "TOOLGUARD_SESSION": "plain_bot_guard:session",
        "PLAIN_BOT_JOURNAL": str(tmp_path_factory.mktemp("journal")),
    }


def test_a_plain_bot_books_twice_when_the_caller_speaks():
    became = told(bot())
    assert became["booked"] == ["Mon 10:00"] * 2
    assert became["texts"][0] == "CANCELLED"


def test_the_same_bot_books_once_in_an_environment_that_guards_it(guarded):
    became = told(bot(**guarded))
    assert became["booked"] == ["Mon 10:00"]
    assert any('"booked": "Mon 10:00"' in text.replace('":"', '": "') for text in became["texts"])

    assert journaled(guarded) == [("conv-42/1", "book", "done")]


def test_a_bot_that_is_only_watched_is_the_plain_one(guarded, tmp_path):
    watched = {**guarded, "PLAIN_BOT_MODE": "observe", "PLAIN_BOT_JOURNAL": str(tmp_path)}
    assert told(bot(**watched)) == told(bot())
    assert journaled(watched) == [("conv-42/1", "book", "in_doubt"), ("conv-42/2", "book", "done")]


@pytest.mark.parametrize(
    ("app", "says"),
    [("", "TOOLGUARD_APP is not set"), ("nowhere:guard", "cannot be loaded"), ("plain_bot_tools:book", "no Guard")],
)
def test_a_bot_that_shall_be_guarded_and_cannot_does_not_run(guarded, app, says):
    done = bot(**{**guarded, "TOOLGUARD_APP": app})
    assert done.returncode != 0
    assert says in done.stderr
    assert done.stdout == ""


class Clerk(LLMWorker):
    """An unmodified worker with a model and no ears."""

    booked: ClassVar = []

    def __init__(self):
        call = Called("book", "c1", {"slot": "Mon 10:00"})
        super().__init__("clerk", llm=ScriptedModel(calling(call)), bridged=())

    @tool
    async def book(self, params: FunctionCallParams, slot: str):
        """Book an appointment."""
        self.booked.append(slot)
        await asyncio.sleep(1)
        await params.result_callback({"booked": slot})


@pytest.mark.virtual_time
@pytest.mark.parametrize("clerk_first", [True, False])
async def test_a_worker_without_ears_takes_part_in_the_conversation_of_its_runner(clerk_first, monkeypatch, tmp_path):
    hooks = tmp_path / "hooks.py"
    hooks.write_text("from toolguard.adapters.pipecat_setup import setup_pipeline_worker\n")
    clerk, bus = Clerk(), AsyncQueueBus()
    monkeypatch.setattr(Clerk, "booked", [])
    app = ModuleType("clerk_app")
    app.guard = Guard("memory", tools=[toolguard.mutation(identity="slot")(clerk.book)])
    monkeypatch.setitem(sys.modules, "clerk_app", app)
    monkeypatch.setenv("TOOLGUARD_APP", "clerk_app:guard")
    monkeypatch.setenv("PIPECAT_SETUP_FILES", str(hooks))
    pipecat_setup._app.cache_clear()
    bot = Bot(BusBridgeProcessor(bus=bus, worker_name="main"), bus=bus)
    bot.workers = (clerk, bot.worker) if clerk_first else (bot.worker, clerk)
    async with bot.running():
        await bot.worker.activate_worker("clerk")
        await until(lambda: clerk.active)
        await asyncio.sleep(0.1)
        await bot.says("go on")
        await until(lambda: clerk.booked)
        await bot.says("no, stop, don't do it")
        await asyncio.sleep(5)
    shown = str(clerk.llm.requests[-1].messages)
    assert "CANCELLED" not in shown
    assert "booked" in shown
    [(phase, happened)] = [(call.phase, call.result) async for call in app.guard.trail.calls()]
    assert (phase, happened) == ("done", {"booked": "Mon 10:00"})
    await app.guard.close()
    pipecat_setup._app.cache_clear()
