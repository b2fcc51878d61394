"""Parameters that a framework or the application puts in: hidden from models, the journal and identity."""

from __future__ import annotations

import re
import types
import typing
from typing import Annotated, Any, TypeVar

T = TypeVar("T")


class InjectedMark:
    """The mark that :data:`Injected` leaves on an annotation."""

    def __repr__(self) -> str:
        return "Injected"


Injected = Annotated[T, InjectedMark()]
"""``db: Injected[Database]``: the parameter is put in by the adapter or the application, never by the model."""

_FRAMEWORKS = {
    "RunContext": {"livekit", "agents"},
    "RunContextWrapper": {"agents"},
    "ToolContext": {"agents"},
    "FunctionCallParams": {"pipecat"},
    "FlowManager": {"pipecat"},
}
_WRITTEN = re.compile(
    r"\s*(?:typing\.)?(?:Optional\[)?\s*(?:(?:[\w.]+\.)?(?:" + "|".join(_FRAMEWORKS) + r")\b|(?:[\w.]+\.)?Injected\[)"
)


def is_injected(annotation: Any) -> bool:
    """Whether a resolved annotation marks a parameter that models must not see.

    Frameworks' own context types are known by class name and package, so that none of them is imported.
    """
    if isinstance(annotation, str):
        return written_as_injected(annotation)
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        marks = annotation.__metadata__
        return any(mark is InjectedMark or isinstance(mark, InjectedMark) for mark in marks) or is_injected(
            annotation.__origin__
        )
    if origin is typing.Union or origin is types.UnionType:
        return any(is_injected(part) for part in typing.get_args(annotation))
    kind = origin if isinstance(origin, type) else annotation
    return isinstance(kind, type) and any(_of_framework(base) for base in kind.__mro__)


def written_as_injected(annotation: str) -> bool:
    """Whether an annotation that cannot be resolved is *written* like an injected one."""
    return _WRITTEN.match(annotation) is not None


def _of_framework(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in _FRAMEWORKS.get(kind.__name__, ())
