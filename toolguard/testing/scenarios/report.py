"""The table of scenarios by adapters, and the details below it."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from toolguard.testing.scenarios.data import collection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.testing.scenarios.judge import Result, Status
    from toolguard.testing.scenarios.sabotage import Sabotaged

_WIDTH, _TITLE = 180, 48


def console() -> Console:
    """Where everything is printed: as wide as the terminal, or wide enough where there is none."""
    found = Console(highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(highlight=False, width=_WIDTH)


def failed(results: Sequence[Result]) -> bool:
    """Whether anything guarded failed."""
    return any(one.count("failed") or one.count("error") for one in results)


def show(out: Console, results: Sequence[Result], naive: Sequence[Result]) -> None:
    """Print the table, what failed and why, what is not applicable and why, and what it covers."""
    adapters = list(dict.fromkeys(one.adapter for one in results))
    table = Table(title="scenarios by adapter, guarded, and where each fails without toolguard", title_justify="left")
    table.add_column("")
    table.add_column("scenario")
    for adapter in adapters:
        table.add_column(adapter if any(one.guarded for one in results) else f"{adapter}, naive")
        table.add_column("alone fails")
    for story in collection().scenario:
        of_story = {one.adapter: one for one in results if one.scenario.id == story.id}
        if of_story:
            cells = [c for one in adapters for c in (_cell(of_story.get(one)), _naive(naive, story.id, one))]
            table.add_row(story.id, shorten(story.title, _TITLE, placeholder=" ..."), *cells)
    out.print(table)
    for adapter in adapters:
        _details(out, adapter, [one for one in results if one.adapter == adapter])


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    bad = result.count("failed") + result.count("error")
    if not result.checked:
        return "[dim]n/a[/dim]"
    lacking = result.count("not applicable")
    text = f"[red]{bad} of {result.checked} fail[/red]" if bad else f"[green]{result.checked} pass[/green]"
    return f"{text}, {lacking} n/a" if lacking else text


def _naive(results: Sequence[Result], story: str, adapter: str) -> str:
    found = [one for one in results if one.scenario.id == story and one.adapter == adapter]
    if not found or not any(one.checked for one in found):
        return ""
    bad = [out.assertion for one in found for out in one.outcomes if out.status in {"failed", "error"}]
    return " ".join(f".{one.partition('.')[2]}" for one in bad) or "[dim]nothing[/dim]"


def _details(out: Console, adapter: str, results: Sequence[Result]) -> None:
    whole = sum(len(one.must) for one in collection().scenario)
    passed, checked = sum(one.count("passed") for one in results), sum(one.checked for one in results)
    out.print(f"\n{adapter}: {checked} of {whole} assertions checked, {passed} hold")
    for result in results:
        for one in result.outcomes:
            if one.status in {"failed", "error"}:
                out.print(
                    f"  [red]{one.assertion} {one.status}[/red]: {result.scenario.must[one.assertion]}", markup=True
                )
                out.print(f"      {one.why}", markup=False)
    for why, ids in _reasons(results, "not applicable").items():
        out.print(f"  not applicable: {why}: {', '.join(ids)}", markup=False)
    for why, ids in _reasons(results, "passed").items():
        out.print(f"  judged {why}: {', '.join(ids)}", markup=False)
    covered = {name for one in results if one.count("passed") for name in one.scenario.invariants}
    missing = [name for name in collection().invariants if name not in covered]
    out.print(
        f"  invariants touched by a scenario that holds: {len(covered)} of {len(collection().invariants)}", end=""
    )
    out.print(f"; none for {', '.join(missing)}" if missing else "")


def _reasons(results: Sequence[Result], status: Status) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for result in results:
        for one in result.outcomes:
            if one.status == status and one.why:
                found.setdefault(one.why, []).append(one.assertion)
    return found


def show_sabotage(out: Console, done: Sequence[Sabotaged]) -> bool:
    """Print what the saboteurs did; True if every one of them was noticed."""
    missed = [one for one in done if not one.noticed]
    out.print(f"\nsaboteurs: {len(done)} tried, {len(done) - len(missed)} noticed by the check that has to")
    for one in missed:
        out.print(f"  {one.assertion} on {one.adapter} did not notice: {one.why}", markup=False)
    return not missed


def as_data(results: Sequence[Result], naive: Sequence[Result], sabotaged: Sequence[Sabotaged]) -> dict[str, Any]:
    """The same for machines."""

    def rows(of: Sequence[Result]) -> list[dict[str, Any]]:
        return [
            {
                "scenario": result.scenario.id,
                "adapter": result.adapter,
                "seconds": round(result.seconds, 3),
                "outcomes": [{"id": o.assertion, "status": o.status, "why": o.why} for o in result.outcomes],
            }
            for result in of
        ]

    return {
        "assertions": sum(len(one.must) for one in collection().scenario),
        "results": rows(results),
        "naive": rows(naive),
        "saboteurs": [
            {"id": one.assertion, "adapter": one.adapter, "noticed": one.noticed, "why": one.why} for one in sabotaged
        ],
    }
