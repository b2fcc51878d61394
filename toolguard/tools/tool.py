"""A guarded tool: looks and binds like the function it was made from, and is called through a session."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from toolguard.errors import DeclarationError, NoSession
from toolguard.tools.ambient import BENCH, DESK, DOORS
from toolguard.tools.invocation import Invocation
from toolguard.tools.shape import signature_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from toolguard.core.call import Attempt
    from toolguard.core.effect import Effect
    from toolguard.core.finding import Finding
    from toolguard.tools.arguments import Arguments
    from toolguard.tools.declared import Declared, Run
    from toolguard.tools.schema import Style
    from toolguard.tools.shape import Shape
    from toolguard.tools.spec import Spec

    class _Proxy:
        """What type checkers see of wrapt's proxy: no ``__getattr__``, so that a misspelt name is an error."""

        __wrapped__: Any
        __name__: str
        __qualname__: str

        def __init__(self, wrapped: Any) -> None: ...

else:
    from wrapt import ObjectProxy as _Proxy

__all__ = ["Invocation", "Tool"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


class Tool(_Proxy, Generic[P, R]):
    """A guarded tool, made by ``read``, ``idempotent_write``, ``mutation`` or ``wrap``.

    It keeps the signature, name and docstring of the function, and binds like it to instances and classes.
    Calling it makes a call in the session around it and waits for the result.

    Class and static methods work in either order of the decorators. Type checkers see a static method rightly through
    its class; of a class method they see ``cls`` as its first parameter, which is all that the type system can say.
    """

    def __init__(self, declared: Declared, *, bound: Any = None, wrapped: Any = None) -> None:
        super().__init__(declared.awaitable if wrapped is None else wrapped)
        # Annotated here: annotations of the class would hide those of the function.
        self._self_declared: Declared = declared
        self._self_instance: Any = bound

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Make the call in the session, or in the running body, around it.

        Raises:
            NoSession: There is neither.
        """
        for given in (*args, *kwargs.values()) if DOORS else ():
            door = DOORS.get(type(given))
            if door is not None:
                return door(self, args, kwargs)
        bench = BENCH.get()
        if bench is not None:
            return bench.child(self, self._self_instance, args, kwargs)
        desk = DESK.get()
        if desk is not None:
            return desk.take(self, self._self_instance, args, kwargs)
        name = self.name
        raise NoSession(
            f"{name} is guarded and was called outside a session.",
            advice=f"Call it inside `async with guard.session(...) as conversation:` (or `await "
            f"conversation.run({name}, ...)`); `{name}.unguarded(...)` is the plain function.",
        )

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: Tool[Concatenate[S, Q], R], instance: S, owner: type | None = None) -> Tool[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Bind to an instance, or to its class if it is a class method."""
        declared = self._self_declared
        if self._self_instance is not None or declared.kind == "free":
            return self
        if declared.kind == "class":
            instance = owner if owner is not None else type(instance)
        if instance is None:
            return self
        return Tool[Any, Any](declared, bound=instance, wrapped=declared.awaitable.__get__(instance))

    def __set_name__(self, owner: type, name: str) -> None:
        self._self_declared.owned = True

    def __repr__(self) -> str:
        return f"<Tool {self.name} ({self.effect.value}) of {self.__module__}.{self.__qualname__}>"

    def __str__(self) -> str:
        return repr(self)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @property
    def name(self) -> str:
        """The name that models call."""
        return self._self_declared.spec.name

    @property
    def effect(self) -> Effect:
        """What the tool does to the world."""
        return self._self_declared.spec.effect

    @property
    def spec(self) -> Spec:
        """All options of the tool."""
        return self._self_declared.spec

    @property
    def instance(self) -> Any:
        """What this tool is bound to: the object of a method, the class of a class method, else None."""
        return self._self_instance

    @property
    def is_async(self) -> bool:
        """Whether the body is a coroutine function; else it runs in a thread."""
        return self._self_declared.is_async

    @property
    def shape(self) -> Shape:
        """The tool's parameters, injected ones, and its result type.

        Raises:
            DeclarationError: An annotation cannot be resolved.
        """
        return self._self_declared.shape

    @property
    def unguarded(self) -> Callable[P, Awaitable[R]]:
        """The plain function, awaited: no journal, no gate. A sync one runs in a thread."""
        unguarded: Callable[P, Awaitable[R]] = self.__wrapped__
        return unguarded

    @property
    def plain(self) -> Callable[..., Any]:
        """The very function that was decorated, sync or async, bound as this tool is."""
        plain = self._self_declared.plain
        return plain if self._self_instance is None else plain.__get__(self._self_instance)

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> Invocation[R]:
        """Prepare a call without making it.

        Raises:
            InvalidArguments: The arguments do not fit.
        """
        checked = self._self_declared.from_python(self._self_instance, args, kwargs)
        return Invocation(self, checked.instance, args, kwargs, checked)

    def probe(
        self, fn: Callable[Concatenate[Attempt, P], Awaitable[Finding[R]]]
    ) -> Callable[Concatenate[Attempt, P], Awaitable[Finding[R]]]:
        """Declare the function that finds out what became of a try in doubt (D1).

        It takes the attempt first, then the tool's own parameters, and answers ``Happened``, ``DidNotHappen`` or
        ``StillUnknown``.

        Raises:
            DeclarationError: Its parameters are not the tool's, or there is a probe already.
        """
        declared = self._self_declared
        if declared.prober is not None:
            raise DeclarationError(f"{self.name} has a probe already; one function finds out, so merge them.")
        theirs = list(signature_of(fn).parameters)[1:]
        ours = list(signature_of(declared.plain).parameters)
        if theirs != ours:
            raise DeclarationError(
                f"{self.name}: its probe takes ({', '.join(theirs)}) after the attempt; it has to take the tool's own "
                f"parameters: ({', '.join(ours)})."
            )
        declared.prober = fn
        return fn

    def undo(self, fn: Callable[[R], Invocation[Any]]) -> Callable[[R], Invocation[Any]]:
        """Declare the function that, given a result, prepares the call which takes it back (S2).

        Raises:
            DeclarationError: It is a coroutine function, takes not exactly the result, or there is an undo already.
        """
        declared = self._self_declared
        if declared.undoer is not None:
            raise DeclarationError(f"{self.name} has an undo already.")
        if not self.effect.writes:
            raise DeclarationError(f"{self.name} is a read: there is nothing to undo.")
        if inspect.iscoroutinefunction(fn):
            raise DeclarationError(
                f"{self.name}: its undo only prepares a call; write `def`, return other_tool.bind(...)."
            )
        if len(signature_of(fn).parameters) != 1:
            raise DeclarationError(f"{self.name}: its undo takes one parameter, the result of the tool.")
        declared.undoer = fn
        return fn

    def adapted(self, run: Run, fill: Callable[[], Mapping[str, Any]], hidden: Collection[str]) -> Tool[..., Any]:
        """The same tool, its body called in a framework's own way.

        Args:
            run: Given the body, bound but for the ``hidden`` parameters, it calls it with them and returns its result.
            fill: Values of the hidden parameters for the probe.
            hidden: Injected parameters that the framework fills.
        """
        return Tool[..., Any](self._self_declared.adapted(run, fill, frozenset(hidden), self._self_instance))

    @property
    def prober(self) -> Callable[..., Awaitable[Finding[R]]] | None:
        """The function of ``@tool.probe``; None without."""
        return self._self_declared.prober

    @property
    def undoer(self) -> Callable[[R], Invocation[Any]] | None:
        """The function of ``@tool.undo``; None without."""
        return self._self_declared.undoer

    def validated(self, raw: str | bytes | Mapping[str, Any]) -> Arguments:
        """Validate the arguments that a model sent, JSON or read from it; incomplete JSON is never repaired (O10).

        Raises:
            InvalidArguments: Which argument is wrong and what was expected; values are not repeated.
        """
        return self._self_declared.from_json(raw, self._self_instance)

    def arguments(self, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Arguments:
        """Validate the arguments of a call made in Python; raises as :meth:`validated`."""
        bound = self._self_instance
        return self._self_declared.from_python(bound if instance is None else instance, args, kwargs)

    def rebind_arguments(self, raw: bytes) -> Arguments:
        """Read arguments back from the journal, for a run that is resumed (H4); raises as :meth:`validated`."""
        return self._self_declared.from_json(raw, self._self_instance)

    def body(self, arguments: Arguments, injected: Mapping[str, Any]) -> Callable[[], Any]:
        """Bind the undecorated function to arguments and to what the adapter puts in.

        Args:
            arguments: What :meth:`validated` or :meth:`arguments` returned.
            injected: Values for injected parameters by name; what the caller gave by hand goes before.

        Raises:
            DeclarationError: An injected parameter without a default has no value, or a method has no object.
        """
        declared = self._self_declared
        return declared.call(declared.plain, self._full(arguments, injected), *declared.before(arguments.instance))

    def probing(self, attempt: Attempt, arguments: Arguments, injected: Mapping[str, Any]) -> Callable[[], Any] | None:
        """Bind the probe to an attempt and the tool's arguments; None where no probe is declared."""
        declared = self._self_declared
        if declared.prober is None:
            return None
        values = self._full(arguments, injected)
        return declared.call(declared.prober, values, attempt, *declared.before(arguments.instance))

    def _full(self, arguments: Arguments, injected: Mapping[str, Any]) -> Mapping[str, Any]:
        shape = self._self_declared.shape
        if not shape.injected:
            return arguments.values
        given = {**injected, **arguments.injected}
        missing = [one for one in shape.injected if one not in given and one not in shape.optional_injected]
        if missing:
            raise DeclarationError(
                f"{self.name}: nothing puts in {', '.join(missing)}. The adapter of that framework does, or pass it "
                "in the call."
            )
        return {**arguments.values, **{name: given[name] for name in shape.injected if name in given}}

    def schema(self, style: Style = "realtime") -> dict[str, Any]:
        """Describe the tool to a model.

        Args:
            style: ``realtime`` (also Responses) or ``chat`` (Chat Completions).

        Raises:
            DeclarationError: A parameter has a type that models cannot fill.
        """
        return self._self_declared.schema.describe(style)

    def dump_result(self, value: Any) -> bytes:
        """Write a result as JSON, through its declared type (W7).

        Raises:
            ResultNotSerialisable: It cannot be written.
        """
        return self._self_declared.results.dump(value)

    def load_result(self, raw: bytes) -> R:
        """Read a result that :meth:`dump_result` wrote."""
        result: R = self._self_declared.results.load(raw)
        return result
