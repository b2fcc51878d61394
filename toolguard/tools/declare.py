"""The three decorators: what a tool does to the world, said where the tool is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from toolguard.core.effect import Effect
from toolguard.tools.build import MISSING, make_tool
from toolguard.tools.wrapping import from_mcp_annotations, wrap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from toolguard.tools.spec import ReadOptions, WriteOptions
    from toolguard.tools.tool import Tool

__all__ = ["from_mcp_annotations", "idempotent_write", "mutation", "read", "wrap"]

P = ParamSpec("P")
R = TypeVar("R")


class Decorate(Protocol):
    """A decorator that makes a tool of any function."""

    @overload
    def __call__(self, fn: Callable[P, Awaitable[R]], /) -> Tool[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Tool[P, R]: ...


class DecorateLike(Protocol[P]):
    """A decorator that makes a tool of a function with the parameters of its identity function."""

    @overload
    def __call__(self, fn: Callable[P, Awaitable[R]], /) -> Tool[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def read(fn: Callable[P, Awaitable[R]], /) -> Tool[P, R]: ...
@overload
def read(fn: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def read(**options: Unpack[ReadOptions]) -> Decorate: ...
def read(fn: Any = MISSING, /, **options: Any) -> Any:
    """Declare a tool that changes nothing; it may run again at any time.

    Args:
        fn: The function, where the decorator is used bare.
        **options: See :class:`~toolguard.tools.spec.Spec`; times in seconds or as a timedelta.

    Raises:
        DeclarationError: The function cannot be a read, or an option cannot be meant.
    """
    return _decorate(Effect.READ, fn, None, options)


@overload
def idempotent_write(*, identity: str | tuple[str, ...], **options: Unpack[WriteOptions]) -> Decorate: ...
@overload
def idempotent_write(*, identity: Callable[P, Hashable], **options: Unpack[WriteOptions]) -> DecorateLike[P]: ...
def idempotent_write(fn: Any = MISSING, /, *, identity: Any = MISSING, **options: Any) -> Any:
    """Declare a tool that changes something and may be repeated with the same key without doing more.

    Args:
        fn: Not used: a write has to say its identity.
        identity: Names of the arguments that make two calls the same, or a function of the tool's arguments (S4).
        **options: See :class:`~toolguard.tools.spec.Spec`; times in seconds or as a timedelta.

    Raises:
        DeclarationError: No identity, the function cannot be a write, or an option cannot be meant.
    """
    return _decorate(Effect.IDEMPOTENT_WRITE, fn, identity, options)


@overload
def mutation(*, identity: str | tuple[str, ...], **options: Unpack[WriteOptions]) -> Decorate: ...
@overload
def mutation(*, identity: Callable[P, Hashable], **options: Unpack[WriteOptions]) -> DecorateLike[P]: ...
def mutation(fn: Any = MISSING, /, *, identity: Any = MISSING, **options: Any) -> Any:
    """Declare a tool that changes something and must not happen twice: a booking, a charge, a message.

    Args:
        fn: Not used: a write has to say its identity.
        identity: Names of the arguments that make two calls the same, or a function of the tool's arguments (S4).
        **options: See :class:`~toolguard.tools.spec.Spec`; times in seconds or as a timedelta.

    Raises:
        DeclarationError: No identity, the function cannot be a write, or an option cannot be meant.
    """
    return _decorate(Effect.MUTATION, fn, identity, options)


def _decorate(effect: Effect, fn: Any, identity: Any, options: dict[str, Any]) -> Any:
    if fn is not MISSING:
        return make_tool(fn, effect, identity, options)

    def decorator(function: Any, /) -> Tool[Any, Any]:
        return make_tool(function, effect, identity, options)

    return decorator
