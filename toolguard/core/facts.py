"""What has been established in a conversation, apart from the speech that it came up in (O12, I23)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_jsonable_python

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Facts(Mapping[str, Any]):
    """The facts of a session: a mapping that is read freely and written with :meth:`keep`.

    They survive hand-off and recovery, and each change is a record of the journal. What tools found out needs no fact:
    their results are in the packet's calls.

    Args:
        kept: The session's facts, as its journal has them.
        write: Journals a change: new facts, and names to forget.
    """

    def __init__(self, kept: Mapping[str, Any], write: Callable[[dict[str, Any], tuple[str, ...]], None]) -> None:
        self._kept = kept
        self._write = write

    def keep(self, **facts: Any) -> None:
        """Establish facts; a new value replaces the old one.

        Raises:
            TypeError: A value cannot be written as JSON. Nothing is kept then.
        """
        try:
            plain = to_jsonable_python(facts)
        except (PydanticSerializationError, ValueError) as error:
            raise TypeError(f"facts are kept as JSON, and this is none: {error}") from error
        new = {name: value for name, value in plain.items() if name not in self._kept or self._kept[name] != value}
        if new:
            self._write(new, ())

    def forget(self, *names: str) -> None:
        """Take facts back; those that are not there are no error."""
        gone = tuple(name for name in dict.fromkeys(names) if name in self._kept)
        if gone:
            self._write({}, gone)

    def read(self, kind: type[T]) -> T:
        """The facts as a type of your own: a pydantic model, a dataclass, a typed dictionary.

        Raises:
            pydantic.ValidationError: They do not fit it.
        """
        return TypeAdapter(kind).validate_python(dict(self._kept))

    def __getitem__(self, name: str) -> Any:
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"Facts({dict(self._kept)!r})"
