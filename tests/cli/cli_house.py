"""Runs commands in this process and in one of their own, and an application for ``--app``."""

import json
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from toolguard.cli.main import app

AUDIT = Path(__file__).parent.parent / "audit"
sys.path.insert(0, str(AUDIT))


def run(*args, env=None):
    """Run a command here; typer's runner keeps its two streams apart."""
    return CliRunner().invoke(
        app, [str(arg) for arg in args], env={"COLUMNS": "200", "TOOLGUARD_STORE": "", **(env or {})}
    )


def good(*args, **options):
    """What a command prints that has to go well."""
    result = run(*args, **options)
    assert result.exit_code == 0, (result.exit_code, result.stdout, result.stderr, result.exception)
    assert result.stderr == ""
    return result.stdout


def objects(*args):
    """The JSON lines that a command prints."""
    return [json.loads(line) for line in good(*args, "--json").splitlines()]


def bad(*args, code=2, **options):
    """The one line of an error."""
    result = run(*args, **options)
    assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.isprintable()
    return line


def alone(*args, cwd=None, **env):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "toolguard", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
        env={**os.environ, **env},
    )


APP = """
import asyncio, os, pathlib, toolguard
from toolguard import Attempt, DidNotHappen, Finding, Guard, Happened

HOME = pathlib.Path(__file__).parent
DIE = bool(os.environ.get("DIE"))


@toolguard.mutation(identity="who")
async def charge(who: str) -> dict[str, str]:
    if DIE:
        os._exit(9)
    return {"charge": f"ch_{who}"}


@toolguard.mutation(identity="who")
async def book(who: str) -> str:
    if DIE:
        os._exit(9)
    return "booked"


@book.probe
async def find(attempt: Attempt, who: str) -> Finding[str]:
    return Happened("found it", evidence="the book")


@toolguard.read
async def look(city: str) -> str:
    if DIE:
        await guard.journal.ask(lambda _store: None)  # a read awaits nothing by itself
        os._exit(9)
    return "31"


@toolguard.mutation(identity="who", commits="inside")
async def slow(who: str) -> str:
    if DIE:
        await guard.journal.ask(lambda _store: None)
        os._exit(9)
    await asyncio.sleep(0.3)
    async with toolguard.committing():
        return "at last"


guard = Guard(HOME / "journal", tools=[charge, book, look, slow])


def make():
    return guard


def broken():
    raise RuntimeError("no settings")


async def main(name, session):
    tool = {"charge": charge, "book": book, "look": look, "slow": slow}[name]
    async with guard, guard.session(session, tenant="clinic-7"):
        await guard.journal.ask(lambda _store: None)
        print(await tool("ana"))
"""


def application(home: Path):
    """Write the application; every test's has a name of its own, so that each is imported anew."""
    name = f"app_{abs(hash(str(home)))}"
    (home / f"{name}.py").write_text(APP)
    return name


def die(home: Path, name: str, tool: str, session: str):
    """Let the application die in the middle of a tool."""
    code = f"import asyncio, {name}; asyncio.run({name}.main({tool!r}, {session!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=home, env={**os.environ, "DIE": "1"}, timeout=60, check=False
    )
    assert done.returncode == 9
