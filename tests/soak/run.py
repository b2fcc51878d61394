"""The command: starts the store, the provider and the workers, lets chance loose, judges, reports."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .chaos import Play
from .judge import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .chaos import Plan
    from .judge import Findings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Many sessions over a few worker processes that are killed, stopped and cut off at random; "
        "exits with 1 if a promise was broken.",
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="how long chance is let loose (%(default)s)")
    parser.add_argument("--sessions", type=int, default=200, help="conversations at the same time (%(default)s)")
    parser.add_argument("--workers", type=int, default=4, help="worker processes (%(default)s)")
    parser.add_argument("--store", choices=("redis", "postgres", "disk"), default="redis", help="(%(default)s)")
    parser.add_argument("--appendfsync", choices=("always", "everysec"), default="always", help="of the Redis server")
    parser.add_argument("--seed", default="", help="repeats the dice of an earlier run; the timing is the machine's")
    parser.add_argument("--home", type=Path, help="keep ledger, logs and store here (a temporary directory)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Play and judge.

    Returns:
        1 if a promise was broken, else 0.
    """
    plan: Plan = _parser().parse_args(arguments)  # type: ignore[assignment] - its fields are the plan's
    plan.seed = plan.seed or secrets.token_hex(4)
    home = plan.home or Path(tempfile.mkdtemp(prefix="toolguard-soak-"))
    home.mkdir(parents=True, exist_ok=True)
    print(
        f"seed {plan.seed}, {plan.sessions} sessions, {plan.workers} workers, {plan.store}, in {home}", file=sys.stderr
    )
    began = time.monotonic()
    with ExitStack() as stack:
        play = Play(plan, home, stack, random.Random(plan.seed))
        asyncio.run(play.run())
        found = judge(home, play.place, play.callers, play.lines)
        found.broken += play.broken
        found.numbers.update(play.done_to_it)
    found.numbers["seconds"] = round(time.monotonic() - began)
    _report(plan, home, found, play.forms)
    return int(bool(found.broken))


def _report(plan: Plan, home: Path, found: Findings, forms: dict[str, int]) -> None:
    gaps = sorted(found.gaps_ms)
    recovered = {
        "recoveries": len(gaps),
        "median gap ms": round(statistics.median(gaps)) if gaps else 0,
        "longest gap ms": round(gaps[-1]) if gaps else 0,
    }
    data: dict[str, Any] = {
        "seed": plan.seed,
        "home": str(home),
        "numbers": dict(sorted(found.numbers.items())),
        "outcomes told": forms,
        "recovery": recovered,
        "in doubt": found.doubts,
        "broken": found.broken,
    }
    if plan.json:
        print(json.dumps(data, indent=1))
        return
    for name, value in (*data["numbers"].items(), *recovered.items()):
        print(f"  {name:<34} {value}")
    print(f"  outcomes told: {', '.join(f'{form} {times}' for form, times in sorted(forms.items()))}")
    print(f"  in doubt at the end: {len(found.doubts)} {' '.join(found.doubts[:8])}")
    for one in found.broken[:40]:
        print(f"BROKEN: {one}")
    print(f"{len(found.broken)} promises broken; seed {plan.seed}; ledger, logs and receipts are in {home}")
