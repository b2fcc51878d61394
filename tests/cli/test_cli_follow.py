"""``toolguard audit --follow`` tells what is written from now on, with the words that its beginning gives it."""

import asyncio
import json
import signal
import sys

import pytest
from cli_house import bad

from audit_house import TOOLS, charge, landed, look, made  # isort: skip
from toolguard import Guard


async def following(home, *args):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "toolguard", "audit", *args, "--follow", "--store", str(home),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


async def until_closed(child, sessions):
    found = []
    async with asyncio.timeout(20):
        while sum("closed: hang_up" in line for line in found) < sessions:
            found.append((await child.stdout.readline()).decode().rstrip("\n"))
    return found


async def stopped(child):
    child.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(child.communicate(), 20)
    return child.returncode, out, err


async def ready(child, guard, session):
    """Wait until the command looks: it tells a notice only if it was written after its start."""
    async with asyncio.timeout(20):
        waiting = asyncio.ensure_future(child.stdout.readline())
        while not waiting.done():
            session.noticed("ping", "")
            await landed(guard)
            await asyncio.sleep(0.05)
    return waiting.result().decode()


@pytest.mark.parametrize("only", [True, False])
async def test_what_is_written_from_now_on_is_told(tmp_path, only):
    async with Guard(tmp_path / "journal", tools=TOOLS) as guard:
        async with guard.session("conv-1") as conversation:
            await look("Pune")
            child = await following(tmp_path / "journal", *(["conv-1"] if only else []))
            first = await ready(child, guard, conversation)
            assert "notice     ping" in first
            async with guard.session("conv-2"):
                await look("Delhi")
            await charge("ana")
        lines = await until_closed(child, 1 if only else 2)
        code, _, err = await stopped(child)
    assert (code, err.decode()) == (130, "")
    assert not any("Pune" in line for line in lines)
    assert any("Delhi" in line for line in lines) is not only
    assert first.startswith("conv-1  ") is not only


async def test_records_are_told_as_json_lines(tmp_path):
    async with Guard(tmp_path / "journal", tools=TOOLS) as guard, guard.session("conv-1") as conversation:
        child = await following(tmp_path / "journal", "--json")
        row = json.loads(await ready(child, guard, conversation))
        await stopped(child)
    assert (row["session"], row["kind"], row["record"]["code"]) == ("conv-1", "noticed", "ping")


def test_a_session_that_is_not_there_cannot_be_followed(tmp_path):
    home = made(tmp_path / "journal")
    assert bad("audit", "conv-9", "--follow", "--store", home).startswith("[unknown_ref] conv-9")
