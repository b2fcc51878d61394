"""The command: which experiments to run, how long, and where the report goes."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .rows_barge_in import Onset, Storm
from .rows_calls import Mutations, Reads
from .rows_livekit import HandOff, SilentTool
from .rows_packet import Packets
from .rows_process import Idle, Import
from .rows_records import OneRecord, Steady, Sustained
from .rows_recovery import ColdOpen, Folding, Takeover
from .rows_servers import PostgresRows, RedisRows
from .rows_shared import Lock, Shared
from .table import Row, facts, show, write_json
from .timing import Scale, play, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .timing import Experiment

ROOT = Path(__file__).parents[2]
ALL: dict[str, type[Experiment]] = {
    "read": Reads,
    "mutation": Mutations,
    "record": OneRecord,
    "sustained": Sustained,
    "steady": Steady,
    "storm": Storm,
    "onset": Onset,
    "shared": Shared,
    "lock": Lock,
    "fold": Folding,
    "takeover": Takeover,
    "open": ColdOpen,
    "packet": Packets,
    "handoff": HandOff,
    "silent": SilentTool,
    "redis": RedisRows,
    "postgres": PostgresRows,
    "idle": Idle,
    "import": Import,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks. A miss is shown and is no failure: timings judge machines as much as code."""
    options = _parser().parse_args(arguments)
    chosen = [name for name in ALL if not options.rows or name in options.rows]
    options.scratch.mkdir(parents=True, exist_ok=True)
    about = facts()
    rows: list[Row] = []
    began = time.monotonic()
    gc.freeze()
    for name in chosen:
        experiment = ALL[name]()
        scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=options.scratch))
        scale = Scale(options.rounds, options.quick, scratch, options.peers, options.postgres)
        try:
            rows += asyncio.run(play(experiment, scale))
        except Exception as error:  # noqa: BLE001 - one broken experiment must not take the others' figures along
            tell("")
            rows.append(Row(experiment.name, name, None, None, beside=f"{type(error).__name__}: {error}"))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    about["rounds"] = options.rounds
    about["load at the end"] = round(os.getloadavg()[0], 2)
    about["seconds"] = round(time.monotonic() - began)
    show(rows, about)
    if options.json:
        write_json(options.json, rows, about)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Compare toolguard with the physical floor and with its peers, interleaved in one run.",
    )
    parser.add_argument("--rows", nargs="+", choices=list(ALL), metavar="NAME", help=f"only these: {', '.join(ALL)}")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of a usual experiment (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes: for a look, not for a judgement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report there")
    parser.add_argument(
        "--scratch",
        type=Path,
        default=ROOT / ".bench" / "scratch",
        help="where to write: names the disk that is measured",
    )
    beside = ROOT / ".bench" / "bin" / "python"
    parser.add_argument(
        "--peers",
        default=str(beside) if beside.exists() else sys.executable,
        metavar="PYTHON",
        help="the interpreter that the peers are installed for (default: that of .bench where it is there, else this one)",
    )
    parser.add_argument(
        "--postgres",
        default="",
        metavar="URL",
        help="a PostgreSQL server for the peers that want one (default: one is started)",
    )
    return parser
