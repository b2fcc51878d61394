"""Pipecat: guards the tool calls of a ``PipelineWorker``.

The bot stays as it is: its tools get a decorator, and :func:`protect` comes before the runner runs. Only public
interfaces of Pipecat are used, and nothing of it is patched::

    @toolguard.mutation(identity="day")
    async def book(params: FunctionCallParams, day: str):
        \"\"\"Book a day.\"\"\"
        await params.result_callback({"booked": await calendar.book(day)})

    context = LLMContext(tools=[book])
    ...
    await protect(worker, Guard("journal/"), id="conv-42", caller="+15550100")
    await runner.run()

Awaited, it lasts until the worker's pipeline has finished; ``async with`` lasts for its block. The guard needs tools of
its own (``Guard(tools=...)``) only for going on after a crash.

Pipecat cancels a tool when the caller speaks, waits up to a second for its clean-up before the agent's speech stops,
and tells the model ``CANCELLED`` whether or not something was done. A guarded call is let go at once instead: its body
runs in a task of the session's, the gate and the policy decide what the caller's words do to it, and Pipecat's own
``result_callback`` settles it when there is something to tell. ``cancel_on_interruption`` makes no difference to it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from toolguard.adapters.pipecat_calls import PipecatCalls
from toolguard.adapters.pipecat_doors import closes, hook, opens
from toolguard.adapters.pipecat_events import PipecatEvents, processors
from toolguard.adapters.pipecat_features import (
    FunctionCallParams,
    LLMAssistantAggregator,
    LLMService,
    LLMUserAggregator,
    require,
)
from toolguard.adapters.pipecat_port import PipecatPort
from toolguard.adapters.pipecat_prefill import PipecatPrefill
from toolguard.adapters.pipecat_tools import function_schemas, handler
from toolguard.adapters.protecting import Protecting
from toolguard.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from toolguard.adapters.pipecat_features import FrameProcessor, LLMContext, PipelineWorker
    from toolguard.core.packet import HandoffPacket
    from toolguard.engine.guard import Guard
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

__all__ = ["function_schemas", "handler", "hook", "protect", "until_finished"]


def protect(
    worker: PipelineWorker,
    guard: Guard,
    *,
    id: str = "",  # noqa: A002 - the word that every framework uses
    packet: HandoffPacket | bytes | str | None = None,
    agent: str = "",
    tenant: str = "",
    caller: str | None = None,
    tools: Sequence[Tool[..., Any]] | None = None,
) -> Protecting:
    """Guard the tool calls of a pipeline: ``await`` it, or stay inside for as long as the conversation lasts.

    Args:
        worker: The ``PipelineWorker``, running or not; its models and aggregators are found by themselves.
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
    require()
    if not id and packet is None:
        raise DeclarationError("protect has neither an id nor a packet", advice="Pass id=..., or a handoff packet.")
    who = _Who(id, packet, agent, tenant, caller)
    return Protecting(_protecting(worker, guard, who, tools or ()), partial(until_finished, worker))


def until_finished(worker: PipelineWorker, tell: Callable[[], None]) -> None:
    """Pipecat tells when a worker's pipeline has come to its end, in good order or not."""

    async def finished(_worker: PipelineWorker, _frame: object) -> None:
        tell()

    teller: Any = worker  # its handlers have no type
    teller.add_event_handler("on_pipeline_finished", finished)


class _Who(NamedTuple):
    """Whose conversation it is, as :func:`protect` was told."""

    id: str
    packet: HandoffPacket | bytes | str | None
    agent: str
    tenant: str
    caller: str | None

    def entering(
        self, guard: Guard, tools: list[Tool[..., Any]], port: PipecatPort | None
    ) -> AbstractAsyncContextManager[Session]:
        """The conversation, opened or accepted."""
        if self.packet is not None:
            agent, tenant = self.agent, self.tenant
            return guard.accept(self.packet, agent=agent, tools=tools, port=port, id=self.id, tenant=tenant)
        agent, tenant = self.agent or "agent", self.tenant or "default"
        return guard.session(self.id, agent=agent, tenant=tenant, caller=self.caller, tools=tools, port=port)


@asynccontextmanager
async def _protecting(
    worker: PipelineWorker, guard: Guard, who: _Who, tools: Sequence[Tool[..., Any]]
) -> AsyncGenerator[Session]:
    watching = guard.mode == "observe"
    context = _context_of(worker)
    port = None if watching else PipecatPort(worker, context)
    calls = PipecatCalls(port, lambda name: _spare(worker, name))
    known = calls.adapt({**guard.tools, **{tool.name: tool for tool in tools}}.values())
    events: PipecatEvents | None = None
    try:
        async with who.entering(guard, known, port) as session:
            calls.session = session
            if port is not None:
                port.session = session
            events = _listening(worker, session, port, calls)
            if context is not None and not watching:
                _go_on(worker, session, context, known, taken=who.packet is not None)
            async with _left_well(session):
                yield session
    finally:
        if events is not None:
            events.stop()
            closes(events)
        if port is not None:
            await port.flush()
            port.stop()


@asynccontextmanager
async def _left_well(session: Session) -> AsyncGenerator[None]:
    """End the session while the pipeline is still heard; who is cancelled once more waits for the same end again."""
    why: Literal["hang_up", "shutdown"] = "hang_up"
    try:
        yield
    except asyncio.CancelledError:
        why = "shutdown"
        raise
    finally:
        await asyncio.shield(session.close(why))


def _listening(
    worker: PipelineWorker, session: Session, port: PipecatPort | None, calls: PipecatCalls
) -> PipecatEvents:
    events = PipecatEvents(session, port, calls)
    events.listen(worker, ends=True)
    opens(session, events)
    return events


def _go_on(
    worker: PipelineWorker, session: Session, context: LLMContext, tools: Sequence[Tool[..., Any]], *, taken: bool
) -> None:
    """Show a conversation that was ``taken`` over, or that goes on after its process died, to the pipeline's model."""
    if not taken:
        if not session.state.conversation.items and not session.state.slots:
            return
        session.shows("a new pipeline")
    prefill = PipecatPrefill(session, context, tools, speaks=taken)
    prefill.place()

    def runs(_worker: PipelineWorker, _frame: object) -> None:
        prefill.running()

    teller: Any = worker  # its handlers have no type
    teller.add_event_handler("on_pipeline_started", runs)
    if all(_is_set_up(one) for one in processors(worker.pipeline)):
        prefill.running()


def _is_set_up(processor: FrameProcessor) -> bool:
    try:
        return bool(processor.processor_setup)
    except Exception:  # noqa: BLE001 - Pipecat raises a bare Exception where there is none
        return False


def _context_of(worker: PipelineWorker) -> LLMContext | None:
    for processor in processors(worker.pipeline):
        if isinstance(processor, LLMAssistantAggregator | LLMUserAggregator):
            context: LLMContext = processor.context
            return context
    return None


def _is_model(processor: FrameProcessor) -> bool:
    return isinstance(processor, LLMService)


def _spare(worker: PipelineWorker, name: str) -> FunctionCallParams:
    """Parameters for a body whose call was made in a process that is gone."""
    found: Any = next((one for one in processors(worker.pipeline) if _is_model(one)), None)
    context = _context_of(worker)
    if found is None or context is None:
        raise DeclarationError(f"{name} takes FunctionCallParams, and the pipeline has no model to give it")

    async def nobody_listens(result: Any, *, properties: Any = None) -> None:
        """The journal has the result."""

    return FunctionCallParams(
        function_name=name,
        tool_call_id="",
        arguments={},
        llm=found,
        pipeline_worker=worker,
        context=context,
        result_callback=nobody_listens,
        app_resources=worker.app_resources,
    )
