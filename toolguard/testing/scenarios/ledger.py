"""The ledger of side effects: a file outside the process's memory, one fsynced line for everything that a body did."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

What = Literal["began", "effect", "returned", "raised", "cancelled"]


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One line.

    Attributes:
        at: Milliseconds on the timeline's clock.
        what: ``effect`` is the side effect itself; the others say how the body fared.
        tool: The tool.
        args: Its arguments.
        key: The idempotency key that an effect was given; empty for a naive one.
        body: Which execution it belongs to: the how-manieth of the play.
        thread: The thread that wrote it.
    """

    at: float
    what: What
    tool: str
    args: dict[str, Any]
    key: str = ""
    body: int = 0
    thread: int = 0


class SideEffects:
    """Appends to the file.

    Args:
        path: The file.
        now: Milliseconds on the timeline's clock.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self.path = path
        self._now = now

    def write(self, what: What, tool: str, args: dict[str, Any], *, key: str = "", body: int = 0) -> None:
        """Write one line and wait until it is on the disk."""
        thread = threading.get_ident()
        act = Act(at=round(self._now(), 3), what=what, tool=tool, args=args, key=key, body=body, thread=thread)
        line = msgspec.json.encode(act) + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def acts_in(path: Path) -> tuple[Act, ...]:
    """Everything that the file says, in order; nothing if no body ever ran."""
    if not path.exists():
        return ()
    return tuple(msgspec.json.decode(line, type=Act) for line in path.read_bytes().splitlines())
