"""Prints the three runs side by side, and what happens on the line while it happens."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from toolguard.testing.demo.heard import agent_speech, caller_speech

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from toolguard.testing.demo.judge import Findings
    from toolguard.testing.demo.play import Played
    from toolguard.testing.demo.supposed import Supposed
    from toolguard.testing.realtime import Line

_ROWS: tuple[tuple[str, Callable[[Findings], str], Callable[[Findings], bool]], ...] = (
    ("charges made / wanted", lambda f: f"{f.charges} / 1", lambda f: f.charges == 1),
    ("wrong effects", lambda f: "\n".join(f.wrong_effects) or "none", lambda f: not f.wrong_effects),
    ("results lost or never spoken", lambda f: "\n".join(f.untold) or "none", lambda f: not f.untold),
    ("outputs out of call order", lambda f: str(len(f.disorder)), lambda f: not f.disorder),
    ("invalid conversation", lambda f: f"{len(f.invalid)} problems", lambda f: not f.invalid),
    ("refused response.create", lambda f: str(f.refused), lambda f: not f.refused),
    ("talked over the caller", lambda f: str(f.talked_over), lambda f: not f.talked_over),
    ("dead air, longest", lambda f: f"{f.dead_air:.1f} s", lambda f: f.dead_air < 2.0),  # noqa: PLR2004 - a long pause
    ("length of the call", lambda f: f"{f.seconds:.1f} s", lambda _: True),
)


def table(runs: Sequence[Played], supposed: Sequence[Supposed]) -> Table:
    """The runs side by side.

    Args:
        runs: The runs.
        supposed: What the guard would have done in the observed one.
    """
    shown = Table(title="One phone call, played the same way to each application", title_justify="left")
    shown.add_column("", no_wrap=True)
    for run in runs:
        shown.add_column(run.how)
    for label, text, good in _ROWS:
        cells = [f"[{'green' if good(run.findings) else 'red'}]{escape(text(run.findings))}[/]" for run in runs]
        shown.add_row(label, *cells)
    counts = Counter(one.what for one in supposed)
    would = "\n".join(f"{what} {count}" for what, count in counts.items())
    shown.add_row("the guard would have", *(would if run.how == "observed" else "" for run in runs))
    return shown


async def watch(line: Line, console: Console) -> None:
    """Print who says what, when it has been said, until the line ends."""
    shown: set[tuple[str, float]] = set()
    while line.open:
        await asyncio.sleep(0.1)
        speeches = [*caller_speech(line.sent), *agent_speech(line.sent)]
        for speech in sorted(speeches, key=lambda one: one.begin):
            key = speech.who, speech.begin
            if key not in shown and speech.heard and speech.end <= line.clock():
                shown.add(key)
                at = speech.begin - line.opened_at
                rest = "" if speech.heard == speech.words else " ..."
                console.print(
                    f"{at:7.1f}  {speech.who:7} {escape(speech.heard)}{rest}", highlight=False, soft_wrap=True
                )
