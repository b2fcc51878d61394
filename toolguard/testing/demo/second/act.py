"""The second act as a whole: both calls at the same time, then judged."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from toolguard.testing.demo.second.judge import Findings, judge
from toolguard.testing.demo.second.play import RUNS, Call, play

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(slots=True)
class Played:
    """One call and what came of it."""

    call: Call
    findings: Findings


def perform(home: Path, store: str) -> list[Played]:
    """Play both calls and judge them.

    Args:
        home: The directory of the ledgers.
        store: The guard's store: a directory, or a server's address.

    Returns:
        The naive call and the guarded one.
    """
    return asyncio.run(_perform(home, store))


async def _perform(home: Path, store: str) -> list[Played]:
    session = f"demo-{secrets.token_hex(3)}"
    try:
        async with asyncio.TaskGroup() as both:
            tasks = [both.create_task(play(how, home, store, session)) for how in RUNS]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [Played(call, await judge(call, store)) for call in (task.result() for task in tasks)]


def as_json(runs: Sequence[Played], store: str) -> dict[str, Any]:
    """The act as plain values."""
    return {"store": store, "runs": {run.call.how: _plain(run) for run in runs}}


def _plain(run: Played) -> dict[str, Any]:
    return {
        "session": run.call.session,
        "story": [{"at": at, "what": what} for at, what in run.call.story],
        "packet": run.call.reports.get("packet", ""),
        "plan": run.call.reports.get("plan", []),
        **asdict(run.findings),
        "broken": run.findings.broken,
    }
