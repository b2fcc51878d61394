"""Making a tool of a function: what is refused at declaration, each time with the mend in the message."""

from __future__ import annotations

import hashlib
import inspect
import re
from types import CodeType
from typing import TYPE_CHECKING, Any

from toolguard.errors import DeclarationError
from toolguard.tools.declared import Declared, plain_of
from toolguard.tools.inject import is_injected
from toolguard.tools.shape import EMPTY, Parameter, local_names, name_of, signature_of
from toolguard.tools.spec import Identity, make_spec
from toolguard.tools.tool import Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from toolguard.core.effect import Effect
    from toolguard.tools.shape import Shape

MISSING: Any = inspect.Parameter.empty
"""Stands for an identity that was not given."""

_ID_LIKE = re.compile(
    r"(^|_)(id|ids|key|ref|reference|number|no|code|email|phone|token|sku|uuid|slug|iban|card)$", re.IGNORECASE
)
_TEXT_LIKE = re.compile(r"(note|text|reason|comment|message|body|description|summary|details?)s?$", re.IGNORECASE)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_GUARD = ("self", "cls")


def make_tool(
    function: Any, effect: Effect, identity: Identity | None, options: Mapping[str, Any], shape: Shape | None = None
) -> Tool[Any, Any]:
    """Make a tool of a function, a ``classmethod`` or ``staticmethod`` object, or any callable.

    Raises:
        DeclarationError: It cannot be a tool of that effect, or an option cannot be meant.
    """
    plain = plain_of(function)
    name = str(options.get("name", "")) or name_of(plain)
    _refuse_kind(function, plain, name, effect)
    if effect.writes:
        listed = _listed(plain)
        if shape is None:
            _refuse_open_ended(listed, name, effect)
        parameters = [Parameter(one.name, one.annotation, one.default) for one in listed]
        _check_identity(identity, parameters if shape is None else shape.parameters, name, effect)
        identity = (identity,) if isinstance(identity, str) else identity
    else:
        identity = None
    spec = make_spec(effect, name, identity, version_of(plain), options)
    return Tool[Any, Any](Declared(function, spec, local_names(plain), shape))


def _refuse_kind(function: Any, plain: Any, name: str, effect: Effect) -> None:
    if isinstance(plain, Tool):
        raise DeclarationError(f"{name} is a guarded tool already; give it one effect, in one decorator.")
    if _is_livekits(plain):
        raise DeclarationError(
            f"{name} is a function tool of LiveKit already; put @function_tool above @toolguard.{effect.value}(...), "
            "so that LiveKit gets the guarded tool."
        )
    if inspect.isclass(plain):
        raise DeclarationError(f"{name} is a class; decorate its methods with @{effect.value}.")
    if not callable(plain):
        raise DeclarationError(
            f"@{effect.value} decorates functions, not {type(function).__name__}; options are named: "
            f"@{effect.value}({_example(effect)})."
        )
    inner = plain if inspect.isroutine(plain) else type(plain).__call__
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise DeclarationError(
            f"{name} is a generator, and a call has one result: return a list, or declare a tool that reads one page. "
            "Progress is kept with toolguard.checkpoint(...)."
        )


def _is_livekits(plain: Any) -> bool:
    """Known by class name and package, so that LiveKit is not imported."""
    kind: Any = plain.__class__
    return kind.__name__ in {"FunctionTool", "RawFunctionTool"} and kind.__module__.startswith("livekit.")


def _example(effect: Effect) -> str:
    return 'identity="booking_id"' if effect.writes else "fresh_for=30"


def _listed(plain: Callable[..., Any]) -> list[inspect.Parameter]:
    listed = list(signature_of(plain).parameters.values())
    return listed[1:] if listed and listed[0].name in _GUARD else listed


def _refuse_open_ended(parameters: Sequence[inspect.Parameter], name: str, effect: Effect) -> None:
    for one in parameters:
        if one.kind in {one.VAR_POSITIONAL, one.VAR_KEYWORD}:
            raise DeclarationError(
                f"{name}: a {effect.value} cannot take {one}: what it was given has to be named in the journal. "
                "Name its parameters."
            )


def _fillable(parameters: Sequence[Parameter]) -> list[Parameter]:
    return [one for one in parameters if not is_injected(one.annotation)]


def _check_identity(identity: Any, parameters: Sequence[Parameter], name: str, effect: Effect) -> None:
    open_to_models = _fillable(parameters)
    proposal = _proposal(open_to_models, effect)
    if identity is MISSING or identity is None:
        raise DeclarationError(
            f"{name}: a {effect.value} needs identity=..., the arguments that make two calls the same. "
            f"Write {proposal}."
        )
    names: Any = (identity,) if isinstance(identity, str) else identity
    if isinstance(identity, str | tuple):
        _check_names(names, parameters, name, proposal)
    elif callable(identity):
        _check_function(identity, parameters, name)
    else:
        raise DeclarationError(
            f"{name}: identity={identity!r}; it is a name, a tuple of names or a function: {proposal}."
        )


def _check_names(identity: tuple[Any, ...], parameters: Sequence[Parameter], name: str, proposal: str) -> None:
    known = {one.name: one for one in parameters}
    if not identity and _fillable(parameters):
        raise DeclarationError(f"{name}: identity=() is for tools without parameters. Write {proposal}.")
    if len(set(identity)) != len(identity):
        raise DeclarationError(f"{name}: identity names a parameter twice: {identity!r}.")
    for one in identity:
        if one not in known:
            raise DeclarationError(
                f"{name}: identity names {one!r}, which is no parameter (it has {', '.join(known) or 'none'}). "
                f"Write {proposal}."
            )
        if known[one].annotation is EMPTY:
            raise DeclarationError(f"{name}: {one!r} is identity and has no annotation; write its type: `{one}: str`.")
        if is_injected(known[one].annotation):
            raise DeclarationError(f"{name}: identity names {one!r}, which is injected and never journaled.")


def _check_function(identity: Callable[..., Any], parameters: Sequence[Parameter], name: str) -> None:
    if inspect.iscoroutinefunction(identity):
        raise DeclarationError(f"{name}: its identity function is a coroutine function; it has to be plain and pure.")
    theirs = [one for one in signature_of(identity).parameters if one not in _GUARD]
    every, without = [one.name for one in parameters], [one.name for one in _fillable(parameters)]
    if theirs not in (every, without):
        raise DeclarationError(
            f"{name}: its identity function takes ({', '.join(theirs)}); it has to take the tool's parameters: "
            f"({', '.join(every)})."
        )


def _proposal(parameters: Sequence[Parameter], effect: Effect) -> str:
    names = [one.name for one in parameters]
    likely = [one for one in names if _ID_LIKE.search(one)]
    if not likely:
        likely = [one.name for one in parameters if one.default is EMPTY and not _TEXT_LIKE.search(one.name)] or names
    written = f'"{likely[0]}"' if len(likely) == 1 else "(" + ", ".join(f'"{one}"' for one in likely) + ")"
    return f"@{effect.value}(identity={written})"


def version_of(plain: Callable[..., Any]) -> str:
    """Digest a function's code and signature: 12 hex characters, the same in every process of one Python version.

    Comments, docstrings, line numbers and what the function calls do not count.
    """
    inner: Any = inspect.unwrap(plain)
    inner = getattr(inner, "func", inner)
    inner = getattr(inner, "__func__", inner)
    kind: Any = inner.__class__
    code = getattr(inner, "__code__", None) or getattr(kind.__call__, "__code__", None)
    shown = [
        f"{one.kind}:{one.name}:{_shown(one.annotation)}={_shown(one.default)}"
        for one in signature_of(plain).parameters.values()
    ]
    text = "\n".join([getattr(inner, "__qualname__", kind.__qualname__), *shown])
    if isinstance(code, CodeType):
        text += "\n" + _code(code, getattr(inner, "__doc__", None))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _shown(value: Any) -> str:
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, frozenset | set):
        return "{" + ",".join(sorted(map(_shown, value))) + "}"  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, tuple):
        return "(" + ",".join(map(_shown, value)) + ")"  # pyright: ignore[reportUnknownArgumentType]
    return _ADDRESS.sub("", repr(value))


def _code(code: CodeType, doc: str | None = None) -> str:
    constants = code.co_consts
    if doc is not None and constants and isinstance(constants[0], str):
        constants = constants[1:]
    parts = [code.co_code.hex(), _shown(code.co_names), _shown(code.co_varnames), _shown(code.co_freevars)]
    parts += [_code(one) if isinstance(one, CodeType) else _shown(one) for one in constants]
    return "|".join(parts)
