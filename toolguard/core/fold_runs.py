"""What each event of a run leaves on it: one small function a kind, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from toolguard.core import records as r
from toolguard.core.law import Phase
from toolguard.core.slots import Run, progress_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.core.account import Account


def _began(_s: Account, run: Run, _rec: r.Began, at: int) -> None:
    run.began_at = at


def _checkpointed(_s: Account, run: Run, rec: r.Checkpointed, _at: int) -> None:
    run.progress = {**run.progress, **progress_of(rec.progress)}


def _step_kept(_s: Account, run: Run, rec: r.StepKept, _at: int) -> None:
    run.memos[rec.name, rec.nth] = (rec.fingerprint, bytes(rec.result))


def _commit_began(s: Account, run: Run, rec: r.CommitBegan, at: int) -> None:
    run.key, run.limit, run.committed_at, run.process = rec.key, rec.limit, at, s.process or run.process
    run.began_at = run.began_at or at
    s.open_runs.add(run.number)
    s.writes += 1


def _returned(s: Account, run: Run, rec: r.Returned, _at: int) -> None:
    run.result, run.warning, run.source, run.undo = bytes(rec.result), rec.warning, rec.source, rec.undo
    if rec.undo is not None:
        s.undos[rec.undo.tool, rec.undo.fingerprint] = run.number
    if run.undoes in s.runs:
        s.runs[run.undoes].undone = True
    if run.abandoned:  # late evidence settles: the failure that was told is corrected by one note (L4)
        run.abandoned, run.misreported, run.shown = False, True, -1
        s.owed.add(run.number)


def _failed(_s: Account, run: Run, rec: r.Failed, _at: int) -> None:
    run.code, run.message, run.source, run.refused = rec.code, rec.message, rec.source, rec.refused


def _stopped(_s: Account, run: Run, rec: r.Stopped, _at: int) -> None:
    run.code, run.message = "stopped", rec.reason


def _lost(s: Account, run: Run, rec: r.Lost, _at: int) -> None:
    run.code, run.message, run.given_up = "lost", rec.why, rec.attempt
    run.abandoned = rec.for_good and not run.effect.writes
    run.process = rec.taken_by or run.process
    if run.abandoned:
        s.open_runs.discard(run.number)
    run.doubted = run.doubted or run.phase is Phase.IN_DOUBT


def _never_committed(_s: Account, run: Run, rec: r.NeverCommitted, _at: int) -> None:
    run.code, run.message, run.result = "never_committed", "the body returned without committing", bytes(rec.result)


DETAIL = cast(
    "dict[type[r.RunRecord], Callable[[Account, Run, Any, int], None]]",
    {
        r.Began: _began, r.Checkpointed: _checkpointed, r.StepKept: _step_kept, r.CommitBegan: _commit_began,
        r.Returned: _returned, r.Failed: _failed, r.Stopped: _stopped, r.Lost: _lost,
        r.NeverCommitted: _never_committed,
    },
)  # fmt: skip
"""The run events by their records; the law has admitted them."""
