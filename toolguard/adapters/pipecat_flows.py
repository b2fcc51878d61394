"""Pipecat Flows: guards the functions of a flow; its node changes when, and only when, an edge has had its effect.

The nodes stay as they are, the functions get a decorator, and the runner runs inside :func:`protect`::

    @toolguard.mutation(identity="slot")
    async def book(flow_manager: FlowManager, slot: str) -> tuple[dict[str, str], NodeConfig]:
        \"\"\"Book an appointment.\"\"\"
        return {"booked": await calendar.book(slot)}, farewell_node()

    guard = Guard("journal/", tools=[book])
    flow = FlowManager(worker=worker, llm=llm, context_aggregator=pair)
    async with protect(flow, guard, id="conv-42"):
        await runner.run()

Flows by itself forgets a transition whose function ends before another call of the same response, and one whose
function is cancelled after its effect (``FlowManager._check_and_execute_transition``). A guarded edge is a hand-off
(O9): the writes of its response end first, reads get their placeholder, then the node changes, once.

Not covered: flows from a file, whose edges are decided there (``TRANSITION_IN_YAML``).
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from toolguard.adapters import pipecat
from toolguard.adapters.pipecat_edges import Edges
from toolguard.adapters.pipecat_names import by_name
from toolguard.core.effect import Effect
from toolguard.errors import FeatureMissing
from toolguard.tools.build import MISSING, make_tool
from toolguard.tools.rawschema import raw_shape

try:
    from pipecat.flows import FlowManager, FlowsFunctionSchema
except ImportError as error:
    raise FeatureMissing(
        "the installed Pipecat has no flows", feature="pipecat.flows", advice="pip install 'toolguard-voice[pipecat]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.guard import Guard
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

__all__ = ["handler", "protect"]


def handler(
    schema: FlowsFunctionSchema | Mapping[str, Any], *, effect: Effect | str, identity: Any = MISSING, **options: Any
) -> Callable[[Callable[[dict[str, Any], FlowManager], Awaitable[Any]]], Tool[..., Any]]:
    """Guard a handler that takes ``(args, flow_manager)``, for ``FlowsFunctionSchema(handler=...)``.

    Args:
        schema: The function's properties as JSON schemas by name, or a ``FlowsFunctionSchema`` that has them.
        effect: What the function does to the world.
        identity: Names of the arguments that make two calls the same; a write needs them.
        **options: See :class:`~toolguard.tools.spec.Spec`; the name is the schema's, or the handler's.

    Raises:
        DeclarationError: It cannot be a tool of that effect, or an option cannot be meant.
    """

    def decorate(function: Callable[[dict[str, Any], FlowManager], Awaitable[Any]]) -> Tool[..., Any]:
        if isinstance(schema, FlowsFunctionSchema):
            name, about, described = schema.name, schema.description, schema.properties
            required = schema.required
        else:
            name, about, described = getattr(function, "__name__", ""), function.__doc__ or "", dict(schema)
            required = [key for key, part in described.items() if "default" not in part]
        name = str(options.get("name") or name)
        shape = raw_shape(name, {"type": "object", "properties": described, "required": required}, about)

        async def called(flow_manager: FlowManager, **arguments: Any) -> Any:
            return await function(arguments, flow_manager)

        given = {"description": about, **options, "name": name}
        shape = dataclasses.replace(shape, injected={"flow_manager": FlowManager})
        return make_tool(functools.update_wrapper(called, function), Effect(effect), identity, given, shape)

    return decorate


@asynccontextmanager
async def protect(
    flow: FlowManager,
    guard: Guard,
    *,
    id: str = "",  # noqa: A002 - the word that every framework uses
    packet: HandoffPacket | bytes | str | None = None,
    agent: str = "",
    tenant: str = "",
    caller: str | None = None,
    tools: Sequence[Tool[..., Any]] | None = None,
) -> AsyncGenerator[Session]:
    """Guard the functions of a flow; stay inside for as long as the conversation lasts.

    Every guarded tool is served by its name, in whatever node it is offered. All else is as in
    :func:`toolguard.adapters.pipecat.protect`, which this is for the flow's worker.

    Args:
        flow: The ``FlowManager``, initialized or not.
        guard: The guard with the tools.
        id: The session's id, stable over reconnects; a packet names it by itself.
        packet: A handoff packet: the conversation is accepted and put into the worker's context.
        agent: The agent that has the conversation; by default whom the packet names.
        tenant: Who runs the agent, ``default`` by default.
        caller: Who is on the line.
        tools: Tools of this session only.

    Raises:
        FeatureMissing: The installed Pipecat lacks what is needed.
        DeclarationError: There is neither an id nor a packet, or a tool needs a caller and the session has none.
        PacketRefused: The packet is not accepted; the subclass says why.
        StoreError: The session cannot be journaled.
    """
    edges = Edges(flow)
    own = {**guard.tools, **{tool.name: tool for tool in tools or ()}}
    adapted = [_adapted(tool, edges) for tool in own.values()]
    entering = pipecat.protect(
        flow.worker, guard, id=id, packet=packet, agent=agent, tenant=tenant, caller=caller, tools=adapted
    )
    async with entering as session:
        with by_name(flow.worker, adapted), edges.following(pipecat.events_of(session)):
            yield session


def _adapted(tool: Tool[..., Any], edges: Edges) -> Tool[..., Any]:
    """The tool with its body's answer taken apart: the result is the call's, the node is the flow's."""
    hidden = [name for name, kind in tool.shape.injected.items() if _wants_manager(kind)]
    if not hidden:
        return tool
    given = dict.fromkeys(hidden, edges.flow)

    async def run(call: Callable[[Mapping[str, Any]], Awaitable[Any]]) -> Any:
        return edges.taken_apart(await call(given))

    return tool.adapted(run, lambda: given, hidden)


def _wants_manager(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return "FlowManager" in annotation
    kind = typing.get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, FlowManager):
        return True
    return any(_wants_manager(part) for part in typing.get_args(annotation))
