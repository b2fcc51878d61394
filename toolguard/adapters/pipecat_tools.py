"""Guarded tools as Pipecat takes them, and the way from a call of Pipecat's to the conversation that it belongs to."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from toolguard.adapters.pipecat_calls import with_arguments
from toolguard.adapters.pipecat_features import FunctionCallParams, FunctionSchema, LLMService, require
from toolguard.core.effect import Effect
from toolguard.errors import NoSession
from toolguard.tools.ambient import DOORS
from toolguard.tools.build import MISSING, make_tool
from toolguard.tools.rawschema import raw_shape

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from toolguard.adapters.pipecat_events import PipecatEvents
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

PROTECTED: WeakKeyDictionary[LLMService[Any], PipecatEvents] = WeakKeyDictionary()
"""The ears of the conversation that a model takes part in."""
HOOKED: WeakKeyDictionary[Session, PipecatEvents] = WeakKeyDictionary()
"""The ears of a conversation."""


async def door(tool: Tool[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Serve Pipecat's call of a guarded tool: the model that called says which conversation it is.

    Raises:
        NoSession: Its pipeline is not protected.
    """
    params = next(one for one in (*args, *kwargs.values()) if type(one) is FunctionCallParams)
    events = PROTECTED.get(params.llm)
    if events is None:
        raise NoSession(
            f"{tool.name} is guarded, and the pipeline that called it is not.",
            advice="Run the worker inside `async with protect(worker, guard, id=...)`.",
        )
    return await events.serve(tool, params)


DOORS[FunctionCallParams] = door


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


def events_of(conversation: Session) -> PipecatEvents:
    """The ears of a conversation, for what stands on this adapter.

    Raises:
        NoSession: The conversation is not one of :func:`protect`.
    """
    events = HOOKED.get(conversation)
    if events is None:
        raise NoSession("this conversation is not protected", ref=conversation.id, advice="Use what protect yields.")
    return events


def events_at(llm: LLMService[Any]) -> PipecatEvents | None:
    """The ears of the conversation that a model takes part in."""
    return PROTECTED.get(llm)
