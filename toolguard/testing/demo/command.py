"""The command: plays the acts, prints what came of them, and fails where a promise is broken."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from toolguard.audit.timeline import timeline
from toolguard.audit.trail import Trail
from toolguard.engine.guard import Guard
from toolguard.testing.demo.play import RUNS, Played, play
from toolguard.testing.demo.second.act import as_json, perform
from toolguard.testing.demo.second.show import report
from toolguard.testing.demo.show import table, watch
from toolguard.testing.demo.supposed import would_have
from toolguard.testing.virtual import run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.testing.realtime import Line

FIRST, SECOND = 1, 2
_KEPT = 0
_BROKEN = 1
_STORY = (
    "Act 1: a caller asks for a slot, has a deposit charged, corrects the day, says mm-hm, asks whether it went"
    " through, and declines a text message. The model asks for the charge again because it sees no result, and one of"
    " its calls breaks off. Act 2: a call is handed to a second agent while a look-up runs, then the worker process is"
    " killed in the middle of a charge and another one goes on."
)


def main(argv: Sequence[str]) -> int:
    """Play the call and print what came of it.

    Args:
        argv: The arguments of the command, without its name.

    Returns:
        0 if the guarded calls kept every promise, else 1.
    """
    given = arguments().parse_args(argv)
    server = given.store if "://" in (given.store or "") else ""
    home = Path(given.store) if given.store and not server else Path(tempfile.mkdtemp(prefix="toolguard-demo-"))
    home.mkdir(parents=True, exist_ok=True)
    progress = Console(stderr=True, quiet=given.json)
    out = Console(soft_wrap=True)
    told: dict[str, Any] = {}
    broken = False
    if given.act != SECOND:
        runs = [_play(how, home, progress, real_time=given.real_time) for how in RUNS]
        broken = bool(runs[-1].findings.broken)
        told["act_1"] = _as_json(runs, home)
        if not given.json:
            _report(runs, home, out)
            out.print()
    if given.act != FIRST:
        progress.print("playing act 2: naive and guarded at the same time, with real processes ...", highlight=False)
        store = server or str(home / "journal")
        played = perform(home, store)
        broken = broken or bool(played[-1].findings.broken)
        told["act_2"] = as_json(played, store)
        if not given.json:
            report(played, store, out)
    if given.json:
        out.print_json(json.dumps(told))
    return _BROKEN if broken else _KEPT


def arguments() -> argparse.ArgumentParser:
    """What the command takes."""
    parser = argparse.ArgumentParser(prog="toolguard demo", description=_STORY)
    parser.add_argument("--act", type=int, choices=(FIRST, SECOND), help="play this act alone (both)")
    parser.add_argument(
        "--store",
        metavar="PLACE",
        help="keep the journal and the ledgers in this directory (a temporary one);"
        " with the address of a server, redis://... or postgresql://..., act 2 is played on that",
    )
    parser.add_argument("--real-time", action="store_true", help="act 1: let time pass as it does, show what is said")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def _play(how: Any, home: Path, progress: Console, *, real_time: bool) -> Played:
    progress.print(f"playing the call: {how} ...", highlight=False)
    if not real_time:
        return run_virtual(play(how, home))
    watching: list[asyncio.Task[None]] = []

    def show(line: Line) -> None:
        watching.append(asyncio.create_task(watch(line, progress)))

    async def shown() -> Played:
        played = await play(how, home, live=show)
        await asyncio.gather(*watching)
        return played

    return asyncio.run(shown())


def _report(runs: Sequence[Played], home: Path, out: Console) -> None:
    say: Callable[[str], None] = lambda text: out.print(escape(text), highlight=False)  # noqa: E731 - one way to print
    observed, enforced = runs[1], runs[2]
    supposed = would_have(observed.events, observed.session)
    out.print(table(runs, supposed))
    say("\nThe observed run changed nothing. Its journal says what enforcing would have done:")
    for one in supposed:
        say(f"  {one.text}")
    say(f"\nThe enforced call, {enforced.session}:")
    for text in asyncio.run(_timeline(home / "journal", enforced.session)):
        say(f"  {text}")
    say("")
    for promise in enforced.findings.broken:
        say(f"BROKEN: {promise}")
    say(f"The journal is in {home / 'journal'}. Read it with:")
    say(f"  toolguard audit {enforced.session} --store {home / 'journal'}")


async def _timeline(journal: Path, session: str) -> list[str]:
    async with Guard(journal) as guard:
        return [text async for text in timeline(Trail(guard.journal.ask), session)]


def _as_json(runs: Sequence[Played], home: Path) -> dict[str, Any]:
    return {
        "store": str(home / "journal"),
        "runs": {
            run.how: {"session": run.session, **asdict(run.findings), "broken": run.findings.broken} for run in runs
        },
        "would_have": [asdict(one) for one in would_have(runs[1].events, runs[1].session)],
    }
