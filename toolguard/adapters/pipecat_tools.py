"""Giving Pipecat guarded tools: functions that know nothing of it, and handlers that read ``params.arguments``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from toolguard.adapters.pipecat_calls import with_arguments
from toolguard.adapters.pipecat_doors import door
from toolguard.adapters.pipecat_features import FunctionCallParams, FunctionSchema, require
from toolguard.core.effect import Effect
from toolguard.tools.build import MISSING, make_tool
from toolguard.tools.rawschema import raw_shape

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from toolguard.tools.tool import Tool


def function_schemas(tools: Iterable[Tool[..., Any]]) -> list[FunctionSchema]:
    """Guarded tools whose functions know nothing of Pipecat, for ``LLMContext(tools=...)`` or a ``ToolsSchema``.

    A direct function, which takes ``params`` first, needs none: it is listed as it is.

    Args:
        tools: Guarded tools, the same as the guard's or the session's.

    Raises:
        FeatureMissing: The installed Pipecat lacks what is needed.
        DeclarationError: A parameter has a type that models cannot fill.
    """
    require()
    return [_schema(tool) for tool in tools]


def _schema(tool: Tool[..., Any]) -> FunctionSchema:
    async def handle(params: FunctionCallParams) -> None:
        await door(tool, (params,), {})

    described = tool.schema("realtime")
    parameters: dict[str, Any] = described.get("parameters", {})
    return FunctionSchema(
        name=tool.name,
        description=str(described.get("description", "")),
        properties=parameters.get("properties", {}),
        required=list(parameters.get("required", ())),
        handler=handle,
    )


def handler(
    schema: FunctionSchema | Mapping[str, Any], *, effect: Effect | str, identity: Any = MISSING, **options: Any
) -> Callable[[Callable[[FunctionCallParams], Awaitable[Any]]], Tool[..., Any]]:
    """Guard a handler that reads ``params.arguments``, for ``register_function`` or ``FunctionSchema(handler=...)``.

    Args:
        schema: The tool's ``FunctionSchema``, or its properties as JSON schemas by name.
        effect: What the tool does to the world.
        identity: Names of the arguments that make two calls the same; a write needs them.
        **options: See :class:`~toolguard.tools.spec.Spec`; the name is the schema's, or the handler's.

    Raises:
        FeatureMissing: The installed Pipecat lacks what is needed.
        DeclarationError: It cannot be a tool of that effect, or an option cannot be meant.
    """
    require()

    def decorate(function: Callable[[FunctionCallParams], Awaitable[Any]]) -> Tool[..., Any]:
        name = str(options.get("name") or getattr(schema, "name", "") or getattr(function, "__name__", ""))
        if isinstance(schema, FunctionSchema):
            described = {"type": "object", "properties": schema.properties, "required": schema.required}
            about = schema.description
        else:
            described, about = {"type": "object", "properties": dict(schema)}, function.__doc__ or ""
        shape, called = with_arguments(function, raw_shape(name, described, about))
        given = {"description": about, **options, "name": name}
        return make_tool(functools.update_wrapper(called, function), Effect(effect), identity, given, shape)

    return decorate
