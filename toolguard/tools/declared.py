"""What a tool declares, shared by the tool and everything it is bound to: function, shape, probe, undo."""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from functools import cached_property, partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, cast

from toolguard.errors import DeclarationError, InvalidArguments
from toolguard.tools.arguments import Arguments, Identifier, names_of
from toolguard.tools.results import Results
from toolguard.tools.schema import ToolSchema
from toolguard.tools.shape import Shape, read_shape, signature_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from toolguard.core.call import Attempt
    from toolguard.tools.spec import Spec

    Run = Callable[[Callable[[Mapping[str, Any]], Awaitable[Any]]], Awaitable[Any]]
    """Runs a body, given what calls it with the values of its hidden parameters."""

_RECEIVERS = {"self", "cls"}


class Declared:
    """One declared tool.

    Args:
        function: What was decorated: a function, a ``classmethod`` or ``staticmethod`` object, any callable.
        spec: Its options.
        local: Names of annotations that only the scope of its declaration knows.
        shape: Its shape, where it is not to be read from the signature.

    Attributes:
        plain: The undecorated function.
        kind: ``function`` (binds to instances), ``class`` (binds to classes) or ``free`` (does not bind).
        owned: Whether it was found in the body of a class.
        prober: The function of ``@tool.probe``, None without.
        undoer: The function of ``@tool.undo``, None without.
    """

    def __init__(self, function: Any, spec: Spec, local: Mapping[str, Any], shape: Shape | None = None) -> None:
        self.spec = spec
        self.plain: Callable[..., Any] = plain_of(function)
        self.kind = _kind(function)
        self.owned = False
        self.prober: Callable[..., Any] | None = None
        self.undoer: Callable[..., Any] | None = None
        self._local = local
        self._given = shape

    @cached_property
    def is_async(self) -> bool:
        """Whether the body is a coroutine function; else it is for a thread."""
        return is_async(self.plain)

    @cached_property
    def awaitable(self) -> Callable[..., Any]:
        """The function itself, or an async face of a sync one that runs it in a thread."""
        if self.is_async and isinstance(self.plain, FunctionType | MethodType):
            return self.plain
        return _face(self.plain, in_thread=not self.is_async)

    @property
    def receiver(self) -> bool:
        """Whether the first parameter is what the tool is bound to."""
        if self.kind == "class":
            return True
        if self.kind == "free" or self._given is not None:
            return False
        first = next(iter(signature_of(self.plain).parameters), "")
        return self.owned or first in _RECEIVERS

    @cached_property
    def has_receiver(self) -> bool:
        """The same, settled at first use."""
        return self.receiver

    @cached_property
    def shape(self) -> Shape:
        """The parameters and the result, read at first use so that types may be defined after the tool."""
        if self._given is not None:
            return self._given
        shape = read_shape(self.plain, receiver=self.has_receiver, local=self._local, name=self.spec.name)
        hidden = [name for name in names_of(self.spec) if name in shape.injected]
        if hidden:
            raise DeclarationError(
                f"{self.spec.name}: identity names {hidden[0]!r}, which is injected and never journaled. "
                "Name parameters that models fill."
            )
        return shape

    @cached_property
    def schema(self) -> ToolSchema:
        """Validation and description of the arguments."""
        return ToolSchema(self.spec.name, self.spec.description or self.shape.about, self.shape)

    @cached_property
    def results(self) -> Results:
        """Results as JSON and back."""
        return Results(self.shape.result, self.spec.name)

    @cached_property
    def identifier(self) -> Identifier:
        """What makes two calls the same."""
        shape = self.shape
        return Identifier(self.spec, None if shape.sparse or shape.others else shape.names, self._call_identity)

    def from_json(self, raw: str | bytes | Mapping[str, Any], instance: Any) -> Arguments:
        """Validate what a model sent, or what the journal kept."""
        values, text = self.schema.check_json(raw)
        return self._arguments(values, text, instance, {})

    def from_python(self, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Arguments:
        """Validate the arguments of a call made in Python."""
        if instance is None and self.has_receiver:
            if not args:
                raise InvalidArguments(f"{self.spec.name} is a method: call it on an object.")
            instance, args = args[0], args[1:]
        values, injected = self._named(args, kwargs)
        values, text = self.schema.check_python(values)
        return self._arguments(values, text, instance, injected)

    def _arguments(self, values: dict[str, Any], text: bytes, instance: Any, injected: dict[str, Any]) -> Arguments:
        rest = {_SELF: instance, **injected} if callable(self.spec.identity) else injected
        identity, fingerprint = self.identifier.identify(values, rest)
        return Arguments(values, text, identity, fingerprint, instance=instance, injected=injected)

    def _named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        shape = self.shape
        values = dict(zip(shape.positional, args, strict=False))
        if len(args) > len(values):
            if shape.rest is None:
                most = len(shape.positional)
                raise InvalidArguments(f"{self.spec.name} takes {most} positional arguments, {len(args)} were given.")
            values[shape.rest] = list(args[len(values) :])
        if kwargs:
            twice = sorted(values.keys() & kwargs.keys())
            if twice:
                raise InvalidArguments(f"{self.spec.name}: {', '.join(twice)} is given by position and by name.")
            values.update(kwargs)
        if not shape.injected:
            return values, {}
        return values, {name: values.pop(name) for name in shape.injected if name in values}

    def call(self, function: Callable[..., Any], values: Mapping[str, Any], *before: Any) -> Callable[[], Any]:
        """Bind values to a function that takes the tool's parameters, ``before`` in front of them."""
        shape = self.shape
        if not shape.positional_only and shape.rest is None:
            return partial(function, *before, **values)
        named = dict(values)
        rest = named.pop(shape.rest, ()) if shape.rest is not None else ()
        by_position = shape.positional if rest else [one for one in shape.positional if one in shape.positional_only]
        args = [named.pop(name) for name in by_position if name in named]
        return partial(function, *before, *args, *rest, **named)

    def adapted(
        self, run: Run, fill: Callable[[], Mapping[str, Any]], hidden: frozenset[str], instance: Any
    ) -> Declared:
        """The same tool with its body run by a framework's adapter, which fills the ``hidden`` parameters itself."""
        own = self.before(instance) if instance is not None else ()

        async def body(**values: Any) -> Any:
            return await run(lambda given: self.call(self.plain, {**values, **given}, *own)())

        async def probing(attempt: Attempt, **values: Any) -> Any:
            found = self.call(cast("Callable[..., Any]", self.prober), {**values, **fill()}, attempt, *own)()
            return await found if inspect.isawaitable(found) else found

        shape = self.shape
        left = {name: kind for name, kind in shape.injected.items() if name not in hidden}
        by_name = replace(shape, injected=left, result=Any, positional=(), positional_only=frozenset(), rest=None)
        made = Declared(functools.update_wrapper(body, self.plain), self.spec, self._local, by_name)
        made.prober = probing if self.prober is not None else None
        made.undoer = self.undoer
        return made

    def _call_identity(self, function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        taken = signature_of(function).parameters
        given = dict(values)
        receiver = given.pop(_SELF, None)
        before = (receiver,) if self.has_receiver and len(taken) > 0 and next(iter(taken)) not in given else ()
        if any(name not in taken for name in given) and not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
            given = {name: value for name, value in given.items() if name in taken}
        return self.call(function, given, *before)()

    def before(self, instance: Any) -> tuple[Any, ...]:
        """What goes in front of the arguments: the receiver of a method.

        Raises:
            DeclarationError: A method without an object.
        """
        if not self.has_receiver:
            return ()
        if instance is None:
            raise DeclarationError(
                f"{self.spec.name} is a method and is not bound to an object: give the guard the tool of an object "
                f"(thing.{self.spec.name}), not that of its class."
            )
        return (instance,)


_SELF = "\0self"


def plain_of(function: Any) -> Callable[..., Any]:
    """The function inside of a ``classmethod`` or ``staticmethod`` object, or the callable itself."""
    if isinstance(function, classmethod | staticmethod):
        return cast("Callable[..., Any]", function.__func__)  # pyright: ignore[reportUnknownMemberType]
    return cast("Callable[..., Any]", function)


def is_async(function: Any) -> bool:
    """Whether calling it gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _kind(function: Any) -> str:
    if isinstance(function, classmethod):
        return "class"
    return "function" if isinstance(function, FunctionType) else "free"


def _face(plain: Callable[..., Any], *, in_thread: bool) -> Callable[..., Any]:
    if in_thread:

        async def face(*args: Any, **kwargs: Any) -> Any:
            import asyncio  # noqa: PLC0415 - only who calls a sync tool unguarded needs it here

            return await asyncio.to_thread(plain, *args, **kwargs)
    else:

        async def face(*args: Any, **kwargs: Any) -> Any:
            return await plain(*args, **kwargs)

    return functools.update_wrapper(face, plain)
