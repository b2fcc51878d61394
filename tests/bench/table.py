"""What a benchmark shows: rows with a figure beside its target, as a table for people and as JSON for machines."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLOURS = {"ok": "green", "MISS": "bold red", "shown": "dim", "skipped": "yellow"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report.

    Attributes:
        group: The experiment that it comes from.
        what: What was measured.
        figure: The number; None where it could not be measured.
        target: What it is held against; None for a figure that is only shown.
        unit: Unit of both: ``x`` is a ratio.
        better: Whether small or large figures are good.
        n: How many measurements stand behind it, over all rounds.
        beside: The absolute figures behind a ratio, or why there is none.
    """

    group: str
    what: str
    figure: float | None
    target: float | None
    unit: str = "x"
    better: Literal["less", "more"] = "less"
    n: int = 0
    beside: str = ""

    @property
    def verdict(self) -> Literal["ok", "MISS", "shown", "skipped"]:
        """How the figure stands to its target."""
        if self.figure is None:
            return "skipped"
        if self.target is None:
            return "shown"
        good = self.figure <= self.target if self.better == "less" else self.figure >= self.target
        return "ok" if good else "MISS"


def number(value: float) -> str:
    """A figure with about three digits."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def facts() -> dict[str, Any]:
    """What the figures depend on, and nothing that names a machine."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def show(rows: Sequence[Row], about: dict[str, Any]) -> None:
    """Print the report."""
    wide = None if sys.stdout.isatty() else 180
    console = Console(width=wide)
    console.print(" · ".join(f"{name} {value}" for name, value in about.items()), highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("what", "left"), ("figure", "right"), ("target", "right"), ("", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=name != "what")
    table.add_column("n", justify="right")
    table.add_column("beside", overflow="fold")
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            table.add_row(f"[bold]{group}[/bold]")
        colour = COLOURS[row.verdict]
        figure = "-" if row.figure is None else f"{number(row.figure)} {row.unit}"
        sign = "<=" if row.better == "less" else ">="
        target = "" if row.target is None else f"{sign} {number(row.target)} {row.unit}"
        table.add_row(
            f"  {row.what}", figure, target, f"[{colour}]{row.verdict}[/{colour}]", f"{row.n:,}" if row.n else "",
            row.beside,
        )  # fmt: skip
    console.print(table)
    misses = [row for row in rows if row.verdict == "MISS"]
    held = [row for row in rows if row.verdict in {"ok", "MISS"}]
    console.print(f"{len(held) - len(misses)} of {len(held)} targets reached, {len(misses)} missed.", highlight=False)


def write_json(path: Path, rows: Sequence[Row], about: dict[str, Any]) -> None:
    """Keep the report as JSON."""
    text = {"about": about, "rows": [{**asdict(row), "verdict": row.verdict} for row in rows]}
    path.write_text(json.dumps(text, indent=2) + "\n")
