"""The conversation in neutral form: turns as heard, calls and outputs, placed by when they happened (O12, I23)."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True, order=True)
class Item:
    """One thing in the conversation.

    Attributes:
        at: Wall nanoseconds at which it was spoken or issued; items are ordered by it.
        rank: Order of arrival, which breaks ties.
        kind: ``caller``, ``agent``, ``call``, ``output`` or ``note``.
        text: The words; for agents only what was heard.
        unheard: What the agent meant to say and the caller did not hear.
        call: The slot's number for calls and outputs.
        run: The run's number for notes.
    """

    at: int
    rank: int
    kind: Literal["caller", "agent", "call", "output", "note"] = field(compare=False)
    text: str = field(default="", compare=False)
    unheard: str = field(default="", compare=False)
    call: int = field(default=0, compare=False)
    run: int = field(default=0, compare=False)


@dataclass(slots=True)
class Conversation:
    """All items of a session in order."""

    items: list[Item] = field(default_factory=list[Item])
    _rank: int = 0

    def add(
        self,
        kind: Literal["caller", "agent", "call", "output", "note"],
        at: int,
        *,
        text: str = "",
        unheard: str = "",
        call: int = 0,
        run: int = 0,
    ) -> Item:
        """Place an item by its time; a late transcript lands in the turn that it belongs to (I17)."""
        self._rank += 1
        item = Item(at, self._rank, kind, text, unheard, call, run)
        if not self.items or self.items[-1] < item:
            self.items.append(item)
        else:
            insort(self.items, item)
        return item
