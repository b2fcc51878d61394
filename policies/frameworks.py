"""The ways of other frameworks, as tables that differ from the default in few cells."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from toolguard.core.decision import Decision
from toolguard.policies.effects import from_table
from toolguard.policies.table import TABLE, Cell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from toolguard.core.policy import Policy
    from toolguard.policies.columns import Column, Row
    from toolguard.policies.table import Table

_SPOKEN: tuple[Column, ...] = (
    "onset",
    "hold_on",
    "addition",
    "other_topic",
    "answer",
    "correction",
    "cancellation",
)
_BEFORE: tuple[Row, ...] = ("read", "uncommitted_write")


def _with(rows: Iterable[Row], columns: Iterable[Column], cell: Cell) -> Table:
    columns = tuple(columns)
    return MappingProxyType({**TABLE, **{(row, column): cell for row in rows for column in columns}})


PIPECAT = _with(
    _BEFORE, (*_SPOKEN, "discarded"), Cell(Decision.stop("the caller spoke: every call is cancelled"), "stop")
)
"""Pipecat's default: whatever can still be stopped is stopped as soon as the caller speaks."""

LIVEKIT = _with(
    _BEFORE,
    (*_SPOKEN, "caller_drop", "hang_up"),
    Cell(Decision.go_on("a call that has begun is finished"), "go on"),
)
"""LiveKit's default: nothing that the caller does stops a call; a write of a discarded response stays stopped (G1)."""

INWORLD = _with(
    ("read",),
    ("correction", "cancellation"),
    Cell(Decision.go_on("a read is completed", announce="when_idle"), "go on, announce when idle"),
)
"""Reads complete whatever is said; a write is cancelled where the caller contradicts it."""


def as_pipecat() -> Policy:
    """As Pipecat does by default: the caller's first sound cancels every read and every uncommitted write.

    Noise and backchannels stop nothing more, but what the onset stopped stays stopped. Hand-off, dropped lines,
    hang-up and shutdown are decided as in :func:`by_effect`.
    """
    return from_table(PIPECAT, "as_pipecat")


def as_livekit() -> Policy:
    """As LiveKit does by default: every call is finished, whatever the caller says, and also after they left.

    A write of a discarded response is stopped all the same: the gate never opens for it. Hand-off, a dropped
    provider and shutdown are decided as in :func:`by_effect`.
    """
    return from_table(LIVEKIT, "as_livekit")


def as_inworld() -> Policy:
    """As Inworld advises: reads complete, writes are cancelled when the caller contradicts them.

    Until it is known whether the caller does, a write waits; everything else is decided as in :func:`by_effect`.
    """
    return from_table(INWORLD, "as_inworld")
