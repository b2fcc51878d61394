"""What a function's signature says: the parameters that a model fills, those put in, the result."""

from __future__ import annotations

import inspect
import re
import types
import typing
from dataclasses import dataclass, field
from typing import Any

from toolguard.errors import DeclarationError
from toolguard.tools.docstring import read_docstring
from toolguard.tools.inject import is_injected, written_as_injected

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EMPTY: Any = inspect.Parameter.empty
_WORD = re.compile(r"[^\W\d]\w*")
_HERE = "toolguard.tools"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a model fills: its type, default (``EMPTY`` for none) and description."""

    name: str
    annotation: Any = Any
    default: Any = EMPTY
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A tool's face as calls see it.

    Attributes:
        parameters: What models fill and the journal keeps.
        injected: Names and annotations of what is put in; never journaled.
        optional_injected: Those of them that have a default.
        positional: Names that Python callers may pass by position, injected ones among them.
        positional_only: Those that the body takes by position only.
        rest: The name of ``*args``, None without.
        others: Whether there is ``**kwargs``.
        result: The type of the result; Any where none is declared.
        about: The docstring before its sections.
        raw: A JSON schema that was given as it is; else None.
        sparse: Leave absent parameters without a default out of the call, instead of filling them.
    """

    parameters: tuple[Parameter, ...]
    injected: Mapping[str, Any] = field(default_factory=dict[str, Any])
    optional_injected: frozenset[str] = frozenset()
    positional: tuple[str, ...] = ()
    positional_only: frozenset[str] = frozenset()
    rest: str | None = None
    others: bool = False
    result: Any = Any
    about: str = ""
    raw: Mapping[str, Any] | None = None
    sparse: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names that models fill, in order."""
        return tuple(parameter.name for parameter in self.parameters)


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Read a signature, annotations as they are written.

    Raises:
        DeclarationError: The function tells no signature.
    """
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise DeclarationError(
            f"{name_of(function)} tells no signature ({error}). Wrap it in a function with named parameters."
        ) from None


def name_of(function: Any) -> str:
    """Name a callable for people: its ``__name__``, or that of what it is made of."""
    inner = getattr(function, "func", None)
    return getattr(function, "__name__", None) or (name_of(inner) if inner is not None else type(function).__name__)


def local_names(function: Callable[..., Any]) -> dict[str, Any]:
    """Keep what the annotations of ``function`` name in the scope where it is being declared.

    Types that are local to a function are out of reach once it has returned, so what is needed is taken now.
    """
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_HERE):
        frame = frame.f_back
    written = " ".join(text for text in _annotations(function).values() if isinstance(text, str))
    words = set(_WORD.findall(written)) if frame is not None and frame.f_code.co_name != "<module>" else set[str]()
    found: dict[str, Any] = {}
    while words and frame is not None and frame.f_code.co_name != "<module>":
        held = frame.f_locals
        for word in words.intersection(held):
            found.setdefault(word, held[word])
        if frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a function: what lies further back is its caller
            break
        frame = frame.f_back
    return found


def _annotations(function: Any) -> dict[str, Any]:
    return getattr(inspect.unwrap(function), "__annotations__", None) or {}


def read_shape(function: Callable[..., Any], *, receiver: bool, local: Mapping[str, Any], name: str) -> Shape:
    """Read the shape of a function.

    Args:
        function: The undecorated function.
        receiver: Whether its first parameter is ``self`` or ``cls``.
        local: Names that only the scope of its declaration knows.
        name: The tool's name, for errors.

    Raises:
        DeclarationError: An annotation cannot be resolved; the message says where to put the type.
    """
    scope = _Scope(function, local, name)
    about = read_docstring(inspect.getdoc(function))
    signature = signature_of(function)
    listed = list(signature.parameters.values())[1 if receiver else 0 :]
    parameters: list[Parameter] = []
    injected: dict[str, Any] = {}
    rest, others = None, False
    for one in listed:
        annotation = scope.resolve(one.name, one.annotation)
        if one.kind is one.VAR_KEYWORD:
            others = True
        elif one.kind is one.VAR_POSITIONAL:
            rest = one.name
            parameters.append(Parameter(rest, list.__class_getitem__(annotation), [], about.parameters.get(rest, "")))
        elif is_injected(annotation):
            injected[one.name] = annotation
        else:
            kept = annotation | None if one.default is None and annotation is not Any else annotation
            parameters.append(Parameter(one.name, kept, one.default, about.parameters.get(one.name, "")))
    return Shape(
        parameters=tuple(parameters),
        injected=injected,
        optional_injected=frozenset(one.name for one in listed if one.name in injected and one.default is not EMPTY),
        positional=tuple(one.name for one in listed if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}),
        positional_only=frozenset(one.name for one in listed if one.kind is one.POSITIONAL_ONLY),
        rest=rest,
        others=others,
        result=scope.resolve("return", signature.return_annotation, loose=True),
        about=about.summary,
    )


def result_type(function: Callable[..., Any]) -> Any:
    """Read the type of a function's result; Any where none is declared or it cannot be resolved."""
    try:
        annotation = inspect.signature(function).return_annotation
    except (TypeError, ValueError):
        return Any
    return _Scope(function, {}, name_of(function)).resolve("return", annotation, loose=True)


class _Scope:
    """Where the names in the annotations of one function are looked up."""

    def __init__(self, function: Callable[..., Any], local: Mapping[str, Any], name: str) -> None:
        plain: Any = inspect.unwrap(function)
        plain = getattr(plain, "func", plain)
        if not hasattr(plain, "__globals__"):
            plain = getattr(plain, "__func__", None) or type(plain).__call__
        self.globals: dict[str, Any] = getattr(plain, "__globals__", {})
        generic = {str(one): one for one in getattr(plain, "__type_params__", ())}
        self.locals = {**generic, **_closed_over(plain), **local}
        self.name = name

    def resolve(self, parameter: str, annotation: Any, *, loose: bool = False) -> Any:
        """Resolve one annotation; ``loose`` makes Any of what cannot be, else that is an error."""
        if annotation is EMPTY:
            return Any
        if annotation is None:
            return type(None)
        holder = types.SimpleNamespace(__annotations__={parameter: annotation})
        try:
            return typing.get_type_hints(holder, self.globals, self.locals, include_extras=True)[parameter]
        except Exception as error:  # noqa: BLE001 - annotations are code of the user: anything may be raised
            if loose:
                return Any
            if isinstance(annotation, str) and written_as_injected(annotation):
                return annotation
            raise DeclarationError(
                f"{self.name}: the annotation {annotation!r} of parameter {parameter!r} cannot be resolved ({error}). "
                "Define or import the type where the tool is declared, before it, and not under TYPE_CHECKING alone; "
                "or mark a parameter that models must not see with toolguard.Injected[...]."
            ) from None


def _closed_over(function: Any) -> dict[str, Any]:
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = getattr(function, "__closure__", None) or ()
    found: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found
