"""Which writes the caller's speech holds at their gate, as the journal tells it; a crash lets none go (G2, G3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.core.interrupt import BargeIn, Dropped

if TYPE_CHECKING:
    from toolguard.core import records as r
    from toolguard.core.account import Account
    from toolguard.core.slots import Run


def hold(s: Account, rec: r.Interrupted) -> None:
    """Fold one interrupt into the open onsets and what they hold."""
    interrupt = rec.interrupt
    if isinstance(interrupt, Dropped) and interrupt.who == "caller":
        s.onsets.clear()
    if not isinstance(interrupt, BargeIn):
        return
    held = {one.run for one in rec.decisions if one.choice == "hold"}
    if interrupt.stage == "onset":
        runs = s.onsets.setdefault(interrupt.onset, set())
        runs -= {one.run for one in rec.decisions}
        runs |= held
        return
    if interrupt.kind == "hold_on" and held:
        s.asked_to_wait |= held
    elif rec.closes != () and interrupt.kind not in {"noise", "backchannel"}:
        s.asked_to_wait = set()
    for onset in (interrupt.onset,) if rec.closes is None else rec.closes:
        s.onsets.pop(onset, None)


def planned(s: Account, run: Run) -> None:
    """A write that is planned while somebody speaks is held, until the record of its decision says otherwise (G1)."""
    if run.effect.writes and not run.parent:
        for runs in s.onsets.values():
            runs.add(run.number)


def held_runs(s: Account) -> dict[int, set[str]]:
    """Uncommitted writes that wait for the caller, each with the open onsets that hold it (none: asked to wait)."""
    waiting: dict[int, set[str]] = {run: set() for run in s.asked_to_wait}
    for onset, runs in s.onsets.items():
        for run in runs:
            waiting.setdefault(run, set()).add(onset)
    return {run: onsets for run, onsets in waiting.items() if run in s.runs and s.runs[run].phase.uncommitted}
