"""What an old owner still does: what has no effect yet is stopped, commits may say what came of them (T1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolguard.engine.wiring import Wiring


def let_go(w: Wiring) -> None:
    """Nothing of this session fires any more, uncommitted runs end without effect, committing ones go on.

    Whoever waits for an uncommitted run here is told that the session is owned by somebody else.
    """
    execution = w.execution
    going = [live for live in execution.live.values() if not live.run.settled]
    for live in going:
        if live.stoppable:
            w.gate.stop(live.run.number, "another process owns the session now")
    w.stop()
    for live in going:
        if live.run.number in w.ledger.followed:
            live.error = w.ledger.not_owner()
            live.tell()
        elif live.run.phase.uncommitted and not live.window:
            live.given_up, live.error = True, w.ledger.not_owner()
            live.tell()
            if live.task is not None:
                live.task.cancel()
