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

In a flow from a file (``Flow``, whose functions answer ``TRANSITION_IN_YAML``) the node changes when all calls of the
response have ended.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from toolguard.adapters import pipecat
from toolguard.adapters.pipecat_doors import events_of
from toolguard.adapters.pipecat_edges import ANSWERED, Edges, FlowManager, FlowsFunctionSchema
from toolguard.adapters.pipecat_names import by_name
from toolguard.adapters.protecting import Protecting
from toolguard.core.effect import Effect
from toolguard.errors import DeclarationError, NoSession
from toolguard.tools.ambient import DOORS
from toolguard.tools.build import MISSING, make_tool
from toolguard.tools.rawschema import raw_shape

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

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


def protect(
    flow: FlowManager,
    guard: Guard,
    *,
    id: str = "",  # noqa: A002 - the word that every framework uses
    packet: HandoffPacket | bytes | str | None = None,
    agent: str = "",
    tenant: str = "",
    caller: str | None = None,
    tools: Sequence[Tool[..., Any]] | None = None,
) -> Protecting:
    """Guard the functions of a flow: ``await`` it, or stay inside for as long as the conversation lasts.

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
    watching = guard.mode == "observe"  # then the flow runs the functions by itself, and makes its own transitions
    known = own if watching else {name: _adapted(tool, edges) for name, tool in own.items()}
    entering = pipecat.protect(
        flow.worker, guard, id=id, packet=packet, agent=agent, tenant=tenant, caller=caller, tools=[*known.values()]
    )
    return Protecting(
        _protected(edges, entering, known, watching=watching), partial(pipecat.until_finished, flow.worker)
    )


@asynccontextmanager
async def _protected(
    edges: Edges, entering: Protecting, known: Mapping[str, Tool[..., Any]], *, watching: bool
) -> AsyncGenerator[Session]:
    flow = edges.flow
    async with entering as session:
        _conversations[flow] = _Conversation(session, known, edges)
        try:
            if watching:
                yield session
                return
            with by_name(flow.worker, known.values()), edges.following(events_of(session)):
                yield session
        finally:
            del _conversations[flow]


class _Conversation(NamedTuple):
    """A flow's conversation, and the tools as it knows them."""

    session: Session
    tools: Mapping[str, Tool[..., Any]]
    edges: Edges


_conversations: WeakKeyDictionary[FlowManager, _Conversation] = WeakKeyDictionary()


async def _door(tool: Tool[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A flow, or the application, calls a guarded function by itself: the manager says which conversation it is.

    Raises:
        NoSession: The flow is not protected.
        DeclarationError: The guard does not know the function.
    """
    answered = ANSWERED.get()
    if answered is not None:
        return answered
    flow = next(one for one in (*args, *kwargs.values()) if type(one) is FlowManager)
    own = next((name for name, kind in tool.shape.injected.items() if _wants_manager(kind)), "flow_manager")
    given, rest = dict(kwargs), args
    if args and isinstance(args[0], Mapping):  # as Flows calls a handler
        given, rest = {**cast("Mapping[str, Any]", args[0]), own: flow}, args[:0]
    found = _conversations.get(flow)
    if found is None:
        raise NoSession(
            f"{tool.name} is guarded, and its flow is not.",
            advice="Run the worker inside `async with pipecat_flows.protect(flow, guard, id=...)`.",
        )
    known = found.tools.get(tool.name)
    if known is None:
        raise DeclarationError(
            f"{tool.name} is guarded, and this conversation's guard does not know it",
            advice=f"Give it to the guard: Guard(..., tools=[{tool.name}]), or to protect(..., tools=[{tool.name}]).",
        )
    if known is not tool:
        rest = tuple(one for one in rest if one is not flow)
        given = {name: value for name, value in given.items() if value is not flow}
    result = await found.session.take(known, tool.instance, rest, given)
    found.edges.called()
    return result


DOORS[FlowManager] = _door


def _adapted(tool: Tool[..., Any], edges: Edges) -> Tool[..., Any]:
    """The tool with its body's answer taken apart: the result is the call's, the node is the flow's."""
    hidden = [name for name, kind in tool.shape.injected.items() if _wants_manager(kind)]
    if not hidden:
        return tool
    given = dict.fromkeys(hidden, edges.flow)

    async def run(call: Callable[[Mapping[str, Any]], Awaitable[Any]]) -> Any:
        return await edges.taken_apart(await call(given))

    return tool.adapted(run, lambda: given, hidden)


def _wants_manager(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return "FlowManager" in annotation
    kind = typing.get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, FlowManager):
        return True
    return any(_wants_manager(part) for part in typing.get_args(annotation))
