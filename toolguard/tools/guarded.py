"""A guarded tool as its callers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from toolguard.core.effect import Effect

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Guarded(Protocol[P, R_co]):
    """A tool as callers of it see it: covariant in its result, so that a result may be used as any wider type."""

    @property
    def name(self) -> str:
        """The name that models call."""
        ...

    @property
    def effect(self) -> Effect:
        """What the tool does to the world."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R_co]:
        """Make the call in the session around it."""
        ...
