"""Tables whose older rows stay packed until somebody asks for one of them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

if TYPE_CHECKING:
    from collections.abc import Callable, ItemsView, Iterator, KeysView, Sequence, ValuesView

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")
_MISSING: Any = object()


class Shelf(Generic[K, V]):
    """The rows of one sealed piece, unpacked with the first question that it may answer.

    Args:
        unpack: Gives the rows; none of them is None.
        holds: Says without unpacking whether a key may be among them.
        wide: Says of runs that some of them are writes of a scope beyond the session.
    """

    __slots__ = ("_holds", "_rows", "_unpack", "wide")

    def __init__(
        self, unpack: Callable[[], dict[K, V]], holds: Callable[[K], bool] | None = None, *, wide: bool = False
    ) -> None:
        self._unpack = unpack
        self._holds = holds
        self.wide = wide
        self._rows: dict[K, V] | None = None

    @property
    def packed(self) -> bool:
        """Whether nobody has asked yet."""
        return self._rows is None

    def forget(self) -> None:
        """Pack the rows again."""
        self._rows = None

    def find(self, key: K) -> V | None:
        """The row of a key, if it is here."""
        if self._holds is not None and not self._holds(key):
            return None
        return self.rows().get(key)

    def rows(self) -> dict[K, V]:
        """All rows."""
        if self._rows is None:
            self._rows = self._unpack()
        return self._rows


class Shelved(dict[K, V]):
    """A table with shelves behind it: its own rows come first, then those of the newest shelf, and so on.

    What can be asked of a dict can be asked of it. A question about one key looks through the shelves; one about all
    keys (length, iteration, comparison) unpacks them.

    Args:
        own: The rows that are on no shelf.
        shelves: Gives the shelves, oldest first, as soon as a row of them may be wanted.
    """

    __slots__ = ("_gone", "_make", "_shelves")

    def __init__(self, own: dict[K, V], shelves: Callable[[], Sequence[Shelf[K, V]]]) -> None:
        super().__init__(own)
        self._make: Callable[[], Sequence[Shelf[K, V]]] | None = shelves
        self._shelves: list[Shelf[K, V]] = []
        self._gone: set[K] = set()

    @property
    def shelves(self) -> list[Shelf[K, V]]:
        """The shelves that have rows that are not the table's own."""
        if self._make is not None:
            self._shelves = list(self._make())
            self._make = None
        return self._shelves

    def _find(self, key: K) -> V | None:
        """Look through the shelves for a row that is not the table's own."""
        if key in self._gone:
            return None
        for shelf in reversed(self.shelves):
            found = shelf.find(key)
            if found is not None:
                return found
        return None

    def _whole(self) -> None:
        """Take everything off the shelves."""
        if self.shelves:
            rows: dict[K, V] = {}
            for shelf in self.shelves:
                rows.update(shelf.rows())
            for key in self._gone:
                rows.pop(key, None)
            rows.update(own(self))
            self.shelves.clear()
            super().clear()
            self.update(self._in_order(rows))

    def _in_order(self, rows: dict[K, V]) -> dict[K, V]:
        return rows

    def __missing__(self, key: K) -> V:
        found = self._find(key)
        if found is None:
            raise KeyError(key)
        return found

    @overload
    def get(self, key: K, default: None = None, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V, /) -> V: ...
    @overload
    def get(self, key: K, default: D, /) -> V | D: ...
    def get(self, key: K, default: Any = None, /) -> Any:
        """The row of a key, or ``default``."""
        found = super().get(key)
        if found is None and (self._make is not None or self._shelves):
            found = self._find(key)
        return default if found is None else found

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or self.get(cast("K", key)) is not None

    def setdefault(self, key: K, default: V, /) -> V:
        """The row of a key; where there is none, ``default`` becomes it."""
        found = self.get(key)
        if found is None:
            self[key] = found = default
        return found

    def pop(self, key: K, default: Any = _MISSING, /) -> Any:
        """Take a row away."""
        found = self.get(key)
        if found is None:
            if default is _MISSING:
                raise KeyError(key)
            return default
        super().pop(key, None)
        self._gone.add(key)
        return found

    def popitem(self) -> tuple[K, V]:
        """Take the last row away."""
        self._whole()
        return super().popitem()

    def clear(self) -> None:
        """Take all rows away."""
        self.shelves.clear()
        super().clear()

    def copy(self) -> dict[K, V]:
        """All rows in a plain dict."""
        self._whole()
        return own(self)

    def keys(self) -> KeysView[K]:  # type: ignore[override]
        """All keys."""
        self._whole()
        return super().keys()

    def values(self) -> ValuesView[V]:  # type: ignore[override]
        """All rows."""
        self._whole()
        return super().values()

    def items(self) -> ItemsView[K, V]:  # type: ignore[override]
        """All keys with their rows."""
        self._whole()
        return super().items()

    def __delitem__(self, key: K) -> None:
        self.pop(key)

    def __iter__(self) -> Iterator[K]:
        self._whole()
        return super().__iter__()

    def __reversed__(self) -> Iterator[K]:
        self._whole()
        return super().__reversed__()

    def __len__(self) -> int:
        self._whole()
        return super().__len__()

    def __eq__(self, other: object) -> bool:
        return self.copy() == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        self._whole()
        return super().__repr__()


class Records(Shelved[int, V]):
    """A shelved table of things that change, by number: one that is asked for becomes one of the table's own.

    Args:
        own: The rows that are on no shelf.
        shelves: Gives the shelves, oldest first.
        highest: The largest number on a shelf.
    """

    __slots__ = ("_highest",)

    def __init__(self, own: dict[int, V], shelves: Callable[[], Sequence[Shelf[int, V]]], highest: int) -> None:
        super().__init__(own, shelves)
        self._highest = highest

    def highest(self) -> int:
        """The largest number; nothing is unpacked for it."""
        return max(max(own(self), default=0), self._highest)

    def latest(self, count: int) -> list[V]:
        """Rows of the highest numbers; nothing is unpacked for those that have just been sealed, or have not."""
        numbers = range(self.highest(), 0, -1)
        return list(islice((row for row in map(self.get, numbers) if row is not None), count))[::-1]

    def _find(self, key: int) -> V | None:
        found = super()._find(key)
        if found is not None:
            self[key] = found
        return found

    def _in_order(self, rows: dict[int, V]) -> dict[int, V]:
        return dict(sorted(rows.items()))


def own(table: dict[K, V]) -> dict[K, V]:
    """The rows of a table that are on no shelf, or may have changed since they were taken off it."""
    return dict(dict[K, V].items(table))


def highest(table: dict[int, Any]) -> int:
    """The largest number in a table; 0 where it is empty."""
    return table.highest() if isinstance(table, Records) else max(table, default=0)


def latest(table: dict[int, V], count: int) -> list[V]:
    """The newest rows of a table, oldest first."""
    if isinstance(table, Records):
        return table.latest(count)
    return list(islice(reversed(table.values()), count))[::-1]


def shelves(table: dict[K, V]) -> list[Shelf[K, V]]:
    """The shelves of a table, oldest first."""
    return list(table.shelves) if isinstance(table, Shelved) else []
