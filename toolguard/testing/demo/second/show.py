"""Prints the second act: the two calls side by side, what happened, and what the journal says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from toolguard.testing.demo.second.act import Played
    from toolguard.testing.demo.second.judge import Findings, Journal

_ROWS: tuple[tuple[str, Callable[[Findings], str], Callable[[Findings], bool]], ...] = (
    ("charges made / wanted", lambda f: f"{f.charges} / 1", lambda f: f.charges == 1),
    ("look-ups made / wanted", lambda f: f"{f.look_ups} / 1", lambda f: f.look_ups == 1),
    ("the caller had to ask again", lambda f: str(f.asked_again), lambda f: not f.asked_again),
    ("calls without an output", lambda f: "\n".join(f.unanswered) or "none", lambda f: not f.unanswered),
    ("results never spoken", lambda f: "\n".join(f.untold) or "none", lambda f: not f.untold),
    ("results told twice", lambda f: "\n".join(f.told_twice) or "none", lambda f: not f.told_twice),
    ("invalid conversation", lambda f: f"{len(f.invalid)} problems", lambda f: not f.invalid),
    ("nobody on the line, longest", lambda f: f"{f.gap:.1f} s", lambda _: True),
)


def table(runs: Sequence[Played]) -> Table:
    """The two calls side by side."""
    shown = Table(title="Handed over, then kill -9 in the middle of a charge", title_justify="left")
    shown.add_column("", no_wrap=True)
    for run in runs:
        shown.add_column(run.call.how)
    for label, text, good in _ROWS:
        cells = [f"[{'green' if good(run.findings) else 'red'}]{escape(text(run.findings))}[/]" for run in runs]
        shown.add_row(label, *cells)
    return shown


def report(runs: Sequence[Played], store: str, out: Console) -> None:
    """Print what came of the act.

    Args:
        runs: The calls, the guarded one last.
        store: The guard's store.
        out: Where to.
    """
    out.print(table(runs))
    for text in _told(runs[-1], store):
        out.print(escape(text), highlight=False)


def _told(guarded: Played, store: str) -> Iterator[str]:
    call, journal = guarded.call, guarded.findings.journal
    yield "\nWhat happened in the guarded call:"
    yield from (f"  {at:5.1f} s  {what}" for at, what in call.story)
    yield "\nThe packet that billing was given, as a person would read it:"
    yield from (f"  {line}" for line in str(call.reports.get("packet", "none")).splitlines())
    if journal is not None:
        yield from _journal(journal, call.reports)
    yield ""
    yield from (f"BROKEN: {promise}" for promise in guarded.findings.broken)
    yield "The ledger, which knows nothing of toolguard, has " + _count(guarded.findings.charges, "charge") + "."
    yield f"The journal is in {store}. Read it with:"
    yield f"  toolguard audit {call.session} --store {store} --timeline"


def _journal(journal: Journal, reports: dict[str, Any]) -> Iterator[str]:
    found = journal.recovery
    yield "\nWhat the second worker planned and found:"
    yield from (f"  plan: {step}" for step in reports.get("plan", ()))
    if found:
        yield f"  recovered after {found['gap_ms'] / 1000:.1f} s ({found['cause']})"
        yield f"  calls carried: {found['calls_carried']}"
        yield from (f"  in doubt, its probe is asked: {one}" for one in found["in_doubt"])
        yield from (f"  followed, until its process's lease runs out: {one}" for one in found["followed"])
    yield f"  settled by: {journal.settled_by or 'nobody'}; the journal has {_count(journal.charged, 'charge')}"
    yield from (f"  asked for again as {one}" for one in journal.again)
    yield f"\nThe trail, {journal.epochs} owners (e1 was killed, e2 went on):"
    yield from (f"  {line}" for line in journal.timeline)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
