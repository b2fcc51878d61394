"""What a forked child does with stores that its parent had open: it lets go of them without closing anything."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Something whose open files belong to the process that opened it."""

    def orphan(self) -> None:
        """Let go of what was carried over a fork, without touching what belongs to the parent."""
        ...


_OPEN: WeakSet[Forkable] = WeakSet()
_CARRIED: list[object] = []


def watch(link: Forkable) -> None:
    """Orphan ``link`` in every child forked from here on."""
    _OPEN.add(link)


def unwatch(link: Forkable) -> None:
    """The link is closed."""
    _OPEN.discard(link)


def carry(connection: object) -> None:
    """Keep a parent's connection from being closed by the child, which could move the parent's log."""
    _CARRIED.append(connection)


def _after_fork() -> None:
    for link in list(_OPEN):
        link.orphan()
    _OPEN.clear()


os.register_at_fork(after_in_child=_after_fork)
