"""An unmodified Pipecat bot is guarded by its environment alone."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolguard import Guard

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

    async def journaled():
        async with Guard(guarded["PLAIN_BOT_JOURNAL"]) as guard:
            return [(call.ref, call.tool, call.phase) async for call in guard.trail.calls()]

    assert asyncio.run(journaled()) == [("conv-42/1", "book", "done")]


@pytest.mark.parametrize(
    ("app", "says"),
    [("", "TOOLGUARD_APP is not set"), ("nowhere:guard", "cannot be loaded"), ("plain_bot_tools:book", "no Guard")],
)
def test_a_bot_that_shall_be_guarded_and_cannot_does_not_run(guarded, app, says):
    done = bot(**{**guarded, "TOOLGUARD_APP": app})
    assert done.returncode != 0
    assert says in done.stderr
    assert done.stdout == ""
