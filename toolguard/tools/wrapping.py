"""Guarding tools that one does not own: functions of libraries, JSON schemas with a handler, MCP tools."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, Unpack, cast, overload

from toolguard.core.effect import Effect
from toolguard.errors import DeclarationError
from toolguard.tools.build import MISSING, make_tool
from toolguard.tools.declared import is_async
from toolguard.tools.rawschema import raw_shape

if TYPE_CHECKING:
    from toolguard.tools.spec import ReadOptions, WriteOptions
    from toolguard.tools.tool import Tool

P = ParamSpec("P")
R = TypeVar("R")
EffectWord = Literal["read", "idempotent_write", "mutation"]
WriteEffect = Literal[Effect.IDEMPOTENT_WRITE, Effect.MUTATION, "idempotent_write", "mutation"]
ReadEffect = Literal[Effect.READ, "read"]
Handler = Callable[[dict[str, Any]], Any]


@overload
def wrap(
    function: Callable[P, Awaitable[R]], /, *, effect: ReadEffect, **options: Unpack[ReadOptions]
) -> Tool[P, R]: ...
@overload
def wrap(function: Callable[P, R], /, *, effect: ReadEffect, **options: Unpack[ReadOptions]) -> Tool[P, R]: ...
@overload
def wrap(
    function: Callable[P, Awaitable[R]],
    /,
    *,
    effect: Effect | EffectWord,
    identity: str | tuple[str, ...] | Callable[P, Hashable],
    **options: Unpack[WriteOptions],
) -> Tool[P, R]: ...
@overload
def wrap(
    function: Callable[P, R],
    /,
    *,
    effect: Effect | EffectWord,
    identity: str | tuple[str, ...] | Callable[P, Hashable],
    **options: Unpack[WriteOptions],
) -> Tool[P, R]: ...
@overload
def wrap(
    schema: Mapping[str, Any],
    handler: Handler,
    /,
    *,
    effect: Effect | EffectWord,
    identity: str | tuple[str, ...] | Callable[..., Hashable] | None = None,
    **options: Unpack[WriteOptions],
) -> Tool[..., Any]: ...
def wrap(
    function_or_schema: Any, handler: Any = None, /, *, effect: Any, identity: Any = MISSING, **options: Any
) -> Any:
    """Guard a tool that one does not own.

    Args:
        function_or_schema: A function, or a tool's description with ``name``, ``description`` and its JSON schema as
            ``parameters`` (OpenAI, either form), ``inputSchema`` (MCP) or ``input_schema`` (Anthropic).
        handler: For a description: called with one dict of arguments; sync or async.
        effect: What the tool does to the world; :func:`from_mcp_annotations` reads it from MCP's hints.
        identity: As for :func:`~toolguard.tools.declare.mutation`; a read takes none.
        **options: See :class:`~toolguard.tools.spec.Spec`.

    Raises:
        DeclarationError: It cannot be a tool of that effect, or an option cannot be meant.
    """
    try:
        kind = Effect(effect)
    except ValueError:
        words = ", ".join(repr(one.value) for one in Effect)
        raise DeclarationError(f"wrap(effect={effect!r}): it has to be an Effect, or one of {words}.") from None
    if kind is Effect.READ and identity not in (MISSING, None):
        raise DeclarationError("wrap(effect=READ, identity=...): a read is identified by all its arguments.")
    if isinstance(function_or_schema, Mapping):
        return _described(cast("Mapping[str, Any]", function_or_schema), handler, kind, identity, options)
    if handler is not None:
        raise DeclarationError("wrap(function, handler): a handler belongs to a JSON schema; pass one of the two.")
    return make_tool(function_or_schema, kind, identity, options)


def _described(
    described: Mapping[str, Any], handler: Any, effect: Effect, identity: Any, options: dict[str, Any]
) -> Tool[..., Any]:
    inner: Any = described.get("function", described)
    name = str(options.get("name") or inner.get("name") or "")
    if not name:
        raise DeclarationError('wrap(schema, handler): the description has no name; pass name="...".')
    if not callable(handler):
        raise DeclarationError(f"{name}: wrap(schema, handler) needs a handler, called with one dict of arguments.")
    written = next((key for key in ("parameters", "inputSchema", "input_schema") if key in inner), "")
    schema: Mapping[str, Any] = inner[written] if written else {}
    about = str(inner.get("description") or inspect.getdoc(handler) or "")
    shape = raw_shape(name, schema, about)
    function = _function(name, about, cast("Handler", handler))
    required = frozenset(schema.get("required", ()))
    signature = _signature(shape.names, required)
    if signature is not None:
        vars(function)["__signature__"] = signature
    return make_tool(function, effect, identity, {"description": about, **options, "name": name}, shape)


def _function(name: str, about: str, handler: Handler) -> Callable[..., Any]:
    async def awaited(**arguments: Any) -> Any:
        return await handler(arguments)

    def called(**arguments: Any) -> Any:
        return handler(arguments)

    call: Any = awaited if is_async(handler) else called
    call.__name__ = call.__qualname__ = name
    call.__doc__ = about
    call.__module__ = getattr(handler, "__module__", call.__module__) or call.__module__
    return cast("Callable[..., Any]", call)


def _signature(names: tuple[str, ...], required: frozenset[str]) -> inspect.Signature | None:
    kind = inspect.Parameter.KEYWORD_ONLY
    listed = [
        inspect.Parameter(one, kind, annotation=Any, default=inspect.Parameter.empty if one in required else None)
        for one in names
        if one.isidentifier()
    ]
    return inspect.Signature(listed)


def from_mcp_annotations(annotations: Any) -> Effect:
    """Read the effect from MCP's hints, which are taken as they are and default as MCP says.

    ``readOnlyHint`` makes a read, ``idempotentHint`` an idempotent write; everything else, destructive or not, is a
    mutation. Hints of a server that one does not trust are claims: name the effect yourself there.

    Args:
        annotations: A mapping, an ``mcp.types.ToolAnnotations``, or None.
    """
    if _hint(annotations, "readOnlyHint"):
        return Effect.READ
    return Effect.IDEMPOTENT_WRITE if _hint(annotations, "idempotentHint") else Effect.MUTATION


def _hint(annotations: Any, name: str) -> bool:
    if isinstance(annotations, Mapping):
        return cast("Mapping[str, Any]", annotations).get(name) is True
    return getattr(annotations, name, None) is True
