"""Tables and details of the trail for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from toolguard.audit.plain import cut, plain
from toolguard.audit.words import taken

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from toolguard.audit.call import TrailCall, TrailSession

_WIDE = 170
"""Columns where the output is no terminal."""
_STYLES = {"in_doubt": "bold red", "failed": "yellow", "cancelled": "yellow", "done": "green"}


def console() -> Console:
    """Where tables go: the terminal, or, into a file or pipe, lines that are wide enough not to be folded."""
    found = Console(highlight=False, markup=False, emoji=False)
    return found if found.is_terminal else Console(highlight=False, markup=False, emoji=False, width=_WIDE)


def local(at: datetime) -> str:
    """A time in the time zone of the machine."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S%z}"


def table(heads: Iterable[str], rows: Iterable[Iterable[str | Text]]) -> None:
    """Print rows under heads; texts of strangers are made safe."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        shown.add_column(head, overflow="fold")
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row))
    console().print(shown)


def calls(found: list[TrailCall]) -> None:
    """Print calls, one a row."""
    rows = (
        (
            call.ref,
            local(call.at),
            call.tool,
            standing(call),
            call.decision.replace("_", " "),
            cut(call.reason or (taken(call.verdict, call.points_to) if call.phase is None else ""), 60),
            _told(call),
        )
        for call in found
    )
    table(("ref", "at", "tool", "phase", "decision", "reason", "told"), rows)


def standing(call: TrailCall) -> Text:
    """A call's phase with its colour; how it was answered where it has no run."""
    words = call.phase.value.replace("_", " ") if call.phase is not None else call.verdict.replace("_", " ")
    return Text(words, style=_STYLES.get(call.phase.value, "") if call.phase is not None else "dim")


def _told(call: TrailCall) -> str:
    if call.acknowledged:
        return "heard"
    return "delivered" if call.delivered else "sent" if call.sent else ""


def sessions(found: list[TrailSession]) -> None:
    """Print sessions, one a row."""
    rows = (
        (one.session, one.tenant, one.state, one.owner, str(one.records), local(one.opened_at), local(one.last_at))
        for one in found
    )
    table(("session", "tenant", "state", "owner", "records", "opened", "last record"), rows)


def detail(call: TrailCall) -> None:
    """Print all that is known of one call, a line for each thing."""
    out = console()
    for name in call.__struct_fields__:
        value = getattr(call, name)
        if value in ("", None, (), False) and name != "result":
            continue
        if name == "result" and not call.happened:
            continue
        out.print(Text(f"{name.replace('_', ' '):>15}  {plain(_words(name, value))}"), soft_wrap=True)


def _words(name: str, value: Any) -> str:
    if name == "at":
        return local(value)
    if name in {"arguments", "result"}:
        return cut(msgspec.json.encode(value).decode(), 2000)
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return "yes" if value is True else f"{value:.1f}" if isinstance(value, float) else str(value)
