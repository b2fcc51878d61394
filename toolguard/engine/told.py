"""Which reply has shown which answers, and what of it the caller has heard (S6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

TELL_AGAIN = 3
"""How often one answer is told anew because its reply was cut off: a caller who always cuts it off wants none."""


class Told:
    """The book of what was told.

    Attributes:
        fresh: Calls whose answers the model has and no reply has shown yet.
    """

    def __init__(self) -> None:
        self.fresh: set[int] = set()
        self._shows: dict[str, frozenset[int]] = {}
        self._told: set[int] = set()
        self._again: dict[int, int] = {}
        self._silent: set[int] = set()

    def sent(self, calls: Iterable[int], *, reply: bool) -> None:
        """The model has the answers of these calls; ``reply`` says whether it is to speak about them."""
        self.fresh.update(calls)
        if reply:
            self._silent.difference_update(calls)
        else:
            self._silent.update(calls)

    def began(self, generation: str) -> frozenset[int]:
        """A reply began: it shows everything that the model has, which is returned."""
        shows = self._shows[generation] = frozenset(self.fresh)
        self.fresh.clear()
        return shows

    def cut(self, generation: str) -> frozenset[int]:
        """A reply was cut off: what it showed is to be shown again.

        Returns:
            The calls among them that the caller still has to be told of.
        """
        shown = self._shows.pop(generation, frozenset())
        self.fresh |= shown
        return shown - self._silent

    def again(self, calls: Iterable[int]) -> bool:
        """Whether these calls may be told of once more: not without end."""
        owed = [call for call in calls if self._again.get(call, 0) < TELL_AGAIN]
        for call in owed:
            self._again[call] = self._again.get(call, 0) + 1
        return bool(owed)

    def heard(self, generation: str) -> None:
        """The caller heard a reply to its end: what it showed counts as told."""
        self._told |= self._shows.pop(generation, frozenset())

    def went_on(self) -> list[int]:
        """The caller went on: what was told until now is acknowledged by it."""
        told, self._told = sorted(self._told), set()
        return told

    def forget(self) -> None:
        """Another model has the conversation: it has been shown nothing."""
        self._shows.clear()
        self.fresh.clear()
