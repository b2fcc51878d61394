"""A sink that writes recovery events to loguru: silent until ``logger.enable("toolguard")``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from toolguard.core import records as r

if TYPE_CHECKING:
    from toolguard.engine.feed import Event

_LEVELS: dict[type[r.Record], str] = {
    r.Lost: "WARNING",
    r.NeverCommitted: "ERROR",
    r.Contradicted: "ERROR",
    r.Noticed: "WARNING",
    r.Failed: "WARNING",
    r.Stopped: "INFO",
    r.Interrupted: "INFO",
    r.HandOffRecord: "INFO",
    r.Accepted: "INFO",
    r.Recovered: "WARNING",
    r.Rebuilt: "WARNING",
    r.Opened: "INFO",
    r.Closed: "INFO",
    r.Switched: "WARNING",
}
_SAID: dict[type[r.Record], tuple[str, ...]] = {
    r.Lost: ("run", "why"),
    r.Noticed: ("code", "call", "run"),
    r.Failed: ("run", "code"),
    r.Stopped: ("run", "reason"),
    r.Returned: ("run", "source"),
    r.CommitBegan: ("run",),
    r.Recovered: ("cause", "gap_ms"),
    r.Rebuilt: ("cause", "gap_ms", "items_replayed", "calls_carried"),
    r.Closed: ("why", "unfinished"),
    r.HandOffRecord: ("frm", "to"),
    r.Accepted: ("frm", "agent"),
    r.Called: ("call", "tool", "verdict"),
}


def log_event(event: Event) -> None:
    """One line for one event: abnormal ends as warnings, the rest for debugging; never arguments or results."""
    kind = type(event.record)
    if isinstance(event.record, r.Interrupted):
        details = _decided(event.record)
    else:
        details = " ".join(f"{name}={getattr(event.record, name)!r}" for name in _SAID.get(kind, ()))
    logger.log(_LEVELS.get(kind, "DEBUG"), "{} {} {}", event.ref, event.kind, details)


def _decided(record: r.Interrupted) -> str:
    """What came in between and what was done about which run; never the caller's words."""
    one = record.interrupt
    what = [str(getattr(one, name)) for name in ("stage", "kind", "why", "who") if getattr(one, name, None)]
    done = [f"{decided.run}:{decided.choice}" for decided in record.decisions]
    return f"what={' '.join([str(one.__struct_config__.tag), *what])!r} policy={record.policy!r} decided={done}"
