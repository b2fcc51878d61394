"""Parameters whose values do not leave with a handoff packet."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

if TYPE_CHECKING:
    from toolguard.tools.tool import Tool

T = TypeVar("T")


class SecretMark:
    """The mark that :data:`Secret` leaves on an annotation."""

    def __repr__(self) -> str:
        return "Secret"


Secret = Annotated[T, SecretMark()]
"""``card: Secret[str]``: the model fills it and the body gets it, and no other agent reads it in a packet."""


def is_secret(annotation: Any) -> bool:
    """Whether a resolved annotation marks a parameter as secret."""
    if typing.get_origin(annotation) is Annotated:
        return any(mark is SecretMark or isinstance(mark, SecretMark) for mark in annotation.__metadata__)
    return any(is_secret(part) for part in typing.get_args(annotation))


def secrets_of(tool: Tool[Any, Any] | None) -> frozenset[str]:
    """The names of a tool's secret parameters."""
    if tool is None:
        return frozenset()
    return frozenset(one.name for one in tool.shape.parameters if is_secret(one.annotation))
