"""One call of a tool, prepared but not made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.tools.arguments import Arguments

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Invocation(Generic[R_co]):
    """One call of a tool, prepared but not made: what an undo offers, what ``rehearse`` plays.

    Attributes:
        tool: The :class:`toolguard.Tool`.
        instance: What a method is bound to, else None.
        args: Positional arguments as given.
        kwargs: Named arguments as given.
        arguments: The same, validated.
    """

    tool: Any
    instance: Any = field(repr=False)
    args: tuple[Any, ...] = field(repr=False)
    kwargs: Mapping[str, Any] = field(repr=False)
    arguments: Arguments = field(compare=False)
