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
    r.Recovered: "WARNING",
    r.Opened: "INFO",
    r.Closed: "INFO",
    r.Switched: "WARNING",
}
_SAID: dict[type[r.Record], tuple[str, ...]] = {
    r.Lost: ("run", "why"),
    r.Noticed: ("code", "call", "run"),
    r.Failed: ("run", "code"),
    r.Stopped: ("run", "reason"),
    r.Recovered: ("cause", "gap_ms"),
    r.Closed: ("why", "unfinished"),
    r.HandOffRecord: ("frm", "to"),
    r.Called: ("call", "tool", "verdict"),
}


def log_event(event: Event) -> None:
    """One line for one event: abnormal ends as warnings, the rest for debugging; never arguments or results."""
    kind = type(event.record)
    details = " ".join(f"{name}={getattr(event.record, name)!r}" for name in _SAID.get(kind, ()))
    logger.log(_LEVELS.get(kind, "DEBUG"), "{} {} {}", event.ref, event.kind, details)
