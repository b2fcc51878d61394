"""The conversation in neutral form: turns as heard, calls and outputs, placed by when they happened (O12, I23)."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["caller", "agent", "call", "output", "note"]
_PLACE = attrgetter("at", "rank")


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
    kind: Kind = field(compare=False)
    text: str = field(default="", compare=False)
    unheard: str = field(default="", compare=False)
    call: int = field(default=0, compare=False)
    run: int = field(default=0, compare=False)


@dataclass(slots=True, eq=False)
class Conversation:
    """All items of a session in order.

    Attributes:
        recent: Items that are not packed, in order.
        rank: How many items have arrived.
        packed: Older items, unpacked as soon as all are asked for.
    """

    recent: list[Item] = field(default_factory=list[Item])
    rank: int = 0
    packed: tuple[Callable[[], list[Item]], ...] = ()

    @property
    def items(self) -> list[Item]:
        """All of them in order."""
        if self.packed:
            older = [item for unpack in self.packed for item in unpack()]
            self.recent = sorted([*older, *self.recent], key=_PLACE)
            self.packed = ()
        return self.recent

    def add(self, kind: Kind, at: int, *, text: str = "", unheard: str = "", call: int = 0, run: int = 0) -> Item:
        """Place an item by its time; a late transcript lands in the turn that it belongs to (I17)."""
        self.rank += 1
        item = Item(at, self.rank, kind, text, unheard, call, run)
        if not self.recent or self.recent[-1] < item:
            self.recent.append(item)
        else:
            insort(self.recent, item)
        return item

    def retract(self, call: int) -> None:
        """Take back what was placed for a call just now."""
        self.recent = [item for item in self.recent if item.call != call]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conversation) and (self.items, self.rank) == (other.items, other.rank)

    __hash__ = None  # type: ignore[assignment]
