"""Transitions of a flow: asked for by a guarded edge, made once when the calls of its response have their answers."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from toolguard.adapters.pipecat_events import processors
from toolguard.adapters.pipecat_features import LLMAssistantAggregator, frames
from toolguard.errors import FeatureMissing
from toolguard.tools.ambient import BENCH

try:
    from pipecat import flows
    from pipecat.flows import NO_RESPONSE, FlowManager, FlowsFunctionSchema
except ImportError as error:
    raise FeatureMissing(
        "the installed Pipecat has no flows", feature="pipecat.flows", advice="pip install 'toolguard-voice[pipecat]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from pipecat.flows import NodeConfig

    from toolguard.adapters.pipecat_events import PipecatEvents
    from toolguard.core.slots import Slot

    _Next = NodeConfig | Callable[[], Awaitable[None]]
    """Where a flow goes: a node, or what Flows itself would do."""

__all__ = ["ANSWERED", "Edges", "FlowManager", "FlowsFunctionSchema"]

PATIENCE = 4.0
"""Seconds that a transition waits for the other writes of its response, and for calls that nobody guards (O9)."""
_IN_FILE = getattr(flows, "TRANSITION_IN_YAML", object())
_ACKNOWLEDGED = {"status": "acknowledged"}
"""The result of an edge that has none, as Flows gives it."""


ANSWERED: ContextVar[Any] = ContextVar("toolguard_answered", default=None)
"""What a function has answered already, while a flow's own handler is asked where that leads."""


class Edges:
    """The transitions of one flow.

    Args:
        flow: Its manager.
    """

    def __init__(self, flow: FlowManager) -> None:
        self.flow = flow
        self._events: PipecatEvents | None = None
        self._aggregators: list[Any] = []
        self._next: _Next | None = None
        self._from_code: _Next | None = None
        self._foreign: set[str] = set()
        self._limit: asyncio.TimerHandle | None = None
        self._moving: asyncio.Task[None] | None = None

    @contextmanager
    def following(self, events: PipecatEvents) -> Generator[None]:
        """Follow the calls of a conversation, guarded or not, for as long as it lasts."""
        self._events = events
        every = processors(self.flow.worker.pipeline)
        found = self._aggregators = [one for one in every if isinstance(one, LLMAssistantAggregator)]
        for aggregator in found:
            aggregator.add_event_handler("on_after_process_frame", self._passed)
        try:
            yield
        finally:
            for aggregator in found:
                aggregator.remove_event_handler("on_after_process_frame", self._passed)
            self._stop_waiting()
            if self._moving is not None:
                self._moving.cancel()

    # -- what a body answers ------------------------------------------------------------------------------------

    async def taken_apart(self, answer: Any) -> Any:
        """The result in what a flow's function returned; where it names a node, the flow will go there."""
        result, node = cast("tuple[Any, Any]", answer) if _is_consolidated(answer) else (answer, None)
        events, slot = self._events, self._slot()
        if events is None or slot is None:
            return result
        if node is _IN_FILE:
            node = await _from_file(events, slot, answer)
        if node is NO_RESPONSE:
            events.calls.on_reported(slot.call_id, silent=True, updated=None)
        elif node:
            self._announced(events, slot, cast("_Next", node))
        return _ACKNOWLEDGED if result is None else result

    def _slot(self) -> Slot | None:
        bench, events = BENCH.get(), self._events
        if bench is None or events is None:
            return None
        return events.session.state.slots.get(int(bench.view().ref.rpartition("/")[2]))

    def _announced(self, events: PipecatEvents, slot: Slot, node: _Next) -> None:
        """An edge has had its effect: nobody is to speak about its response, the next node brings its own words."""
        if slot.call_id not in events.calls.params:
            self._from_code = node
            return
        once = [node]

        async def landed() -> None:
            if once:
                self._wanted(once.pop())

        state = events.session.state
        for call in (state.slots[number] for number in state.runs[slot.run].calls):
            events.session.interrupted(call.generation)
            events.calls.on_reported(call.call_id, silent=True, updated=landed)

    def called(self) -> None:
        """A call that the application made in code has ended."""
        node, self._from_code = self._from_code, None
        if node is not None:
            self._wanted(node)

    # -- when the node changes ----------------------------------------------------------------------------------

    def _wanted(self, node: _Next) -> None:
        """The edge's result stands in the context; of several edges the last one counts, as in Flows."""
        self._next = node
        if self._limit is None and not callable(node):
            self._limit = asyncio.get_running_loop().call_later(PATIENCE, self._move)
        self._look()

    def _passed(self, _aggregator: object, frame: frames.Frame) -> None:
        """A call began or ended as the context sees it."""
        if isinstance(frame, frames.FunctionCallInProgressFrame):
            if self._events is not None and frame.tool_call_id not in self._events.calls.params:
                self._foreign.add(frame.tool_call_id)
        elif isinstance(frame, frames.FunctionCallResultFrame | frames.FunctionCallCancelFrame):
            self._foreign.discard(frame.tool_call_id)
            self._look()

    def _look(self) -> None:
        if self._next is None or self._foreign or self._writing():
            return
        if not callable(self._next) or not any(one.has_function_calls_in_progress for one in self._aggregators):
            self._move()

    def _writing(self) -> bool:
        if self._events is None:
            return False
        state = self._events.session.state
        return any(state.runs[number].effect.writes for number in state.open_runs)

    def _move(self) -> None:
        self._stop_waiting()
        if self._moving is None or self._moving.done():
            self._moving = asyncio.create_task(self._change(), name="toolguard:flow")

    def _stop_waiting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    async def _change(self) -> None:
        while self._next is not None and self._events is not None:
            node, self._next = self._next, None
            try:
                await (node() if callable(node) else self.flow.set_node_from_config(node))
                self._events.session.moved_on()
            except Exception as error:  # noqa: BLE001 - the trail says so, the conversation goes on in its node
                self._events.session.noticed("flow_refused", f"{type(error).__name__}: {error}")


async def _from_file(events: PipecatEvents, slot: Slot, answer: Any) -> _Next | None:
    """Where a flow from a file goes with this answer: its own handler, which the context offers, knows.

    It is given the answer instead of the function, and answers with what Flows itself would do next, which waits for
    all calls that the context shows as running.
    """
    params = events.calls.params.get(slot.call_id)
    tools: Any = params.context.tools if params is not None else None
    offered = (one for one in getattr(tools, "standard_tools", ()) if one.name == slot.tool and one.handler)
    handler: Any = next((one.handler for one in offered), None)
    told: list[Any] = []
    if params is None or handler is None:
        events.session.noticed("flow_unknown", f"the context does not offer {slot.tool}: the node stays")
        return None

    async def keep(result: Any, *, properties: Any = None) -> None:  # noqa: ARG001 - as Pipecat calls it
        told.append(properties)

    token = ANSWERED.set(answer)
    try:
        await handler(dataclasses.replace(params, result_callback=keep))
    finally:
        ANSWERED.reset(token)
    return cast("_Next | None", told[-1].on_context_updated) if told and told[-1] is not None else None


def _is_consolidated(answer: Any) -> bool:
    """Whether a function answers ``(result, next_node)``; a direct function always does."""
    parts: list[Any] = [*answer] if isinstance(answer, tuple) else []
    return len(parts) == 2  # noqa: PLR2004 - a pair
