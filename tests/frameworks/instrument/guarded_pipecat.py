"""A pytest plugin: every handler that Pipecat runs goes through observe mode.

Every worker that runs is protected by the adapter's own ``protect``, and calls of its models come to its session.

It is a test instrument and reaches into Pipecat: handlers are guarded where an ``LLMService`` takes them out of its
registry to run them, for tests look at the registry; so it does not matter how they came there (``register_function``, an
advertised schema, Flows). Direct functions, those of Flows and the tools of LLM workers are guarded where they are invoked.
"""

from __future__ import annotations

import functools
import os
from contextvars import ContextVar
from itertools import count
from typing import Any

from guarded_calls import Watchers
from pipecat.adapters.schemas.direct_function import DirectFunctionWrapper
from pipecat.flows.manager import FlowManager
from pipecat.flows.types import FlowsDirectFunctionWrapper
from pipecat.pipeline.worker import PipelineWorker
from pipecat.services.llm_service import FunctionCallParams, FunctionCallRegistryItem, LLMService

import toolguard
from toolguard.adapters import pipecat as adapter
from toolguard.errors import FeatureMissing

watchers = Watchers()
_numbers = count(1)
_running: ContextVar[Any] = ContextVar("guarded_service", default=None)


def pytest_sessionfinish() -> None:
    """Say what went through the guard."""
    watchers.write(os.environ["TOOLGUARD_TALLY"])


class _Handler:
    """The registry's ``handler``: what was registered, or, for the service while it runs a call, the guarded one."""

    def __set__(self, item: Any, handler: Any) -> None:
        vars(item)["handler"] = handler

    def __get__(self, item: Any, kind: type | None = None) -> Any:
        if item is None:
            raise AttributeError("handler")  # a dataclass field without a default
        handler = vars(item)["handler"]
        service = _running.get()
        own = getattr(handler, "__self__", None) is service
        if service is None or own or isinstance(handler, DirectFunctionWrapper):
            return handler
        return functools.partial(_handled, handler)


async def _handled(handler: Any, params: Any) -> Any:
    """Run a classic handler: its arguments are in ``params``, and it answers by ``params.result_callback``."""
    events = adapter._protected.get(params.llm)
    if events is not None:
        names = tuple(params.arguments)
        described = adapter.handler(
            {one: {} for one in names}, effect="mutation", identity=names, name=params.function_name
        )
        return await _served(events, described(handler), params)
    return await _described(params.function_name, params.arguments, functools.partial(handler, params))


async def _served(events: Any, tool: Any, params: Any) -> Any:
    """Run a guarded tool as a protected worker's model runs it."""
    token = _running.set(None)
    try:
        events.calls.adapt([tool])
        return await tool(params)
    finally:
        _running.reset(token)


async def _described(name: str, arguments: Any, body: Any) -> Any:
    """Run a handler that only its description tells the arguments of."""
    token = _running.set(None)
    try:
        _, session = await watchers.open()
        properties: dict[str, Any] = {one: {} for one in arguments}

        async def called(_arguments: dict[str, Any]) -> Any:
            return await body()

        schema = {"name": name, "parameters": {"type": "object", "properties": properties}}
        tool = toolguard.wrap(schema, called, effect="mutation", identity=tuple(arguments))
        return await session.take(tool, tool.instance, (), dict(arguments))
    finally:
        _running.reset(token)


def _guard_direct() -> None:
    invoke = DirectFunctionWrapper.invoke

    @functools.wraps(invoke)
    async def invoked(self: Any, args: Any, params: Any) -> Any:
        token = _running.set(None)
        try:
            tool = watchers.tool(self.function, self.name)
            if tool is None:
                return await invoke(self, args, params)
            instance = getattr(self.function, "__self__", None)
            bound = tool if instance is None else tool.__get__(instance)
            events = adapter._protected.get(params.llm) if isinstance(params, FunctionCallParams) else None
            if events is not None:
                return await _served(events, bound, params)
            _, session = await watchers.open()
            return await session.take(bound, bound.instance, (), {"params": params, **args})
        finally:
            _running.reset(token)

    DirectFunctionWrapper.invoke = invoked


def _guard_flows() -> None:
    invoke = FlowsDirectFunctionWrapper.invoke

    @functools.wraps(invoke)
    async def invoked(self: Any, args: Any, flow_manager: Any) -> Any:
        return await _described(self.name, args, functools.partial(invoke, self, args, flow_manager))

    FlowsDirectFunctionWrapper.invoke = invoked
    call = FlowManager._call_handler

    @functools.wraps(call)
    async def called(self: Any, handler: Any, args: Any) -> Any:
        return await _described(
            getattr(handler, "__name__", "handler"), args, functools.partial(call, self, handler, args)
        )

    FlowManager._call_handler = called


def _follow_calls() -> None:
    run = LLMService._run_function_call

    @functools.wraps(run)
    async def ran(self: Any, runner_item: Any) -> Any:
        await watchers.open()
        token = _running.set(self)
        try:
            return await run(self, runner_item)
        finally:
            _running.reset(token)

    LLMService._run_function_call = ran


def _protect_workers() -> None:
    run = PipelineWorker.run

    @functools.wraps(run)
    async def ran(self: Any, *args: Any, **kwargs: Any) -> Any:
        guard, _ = await watchers.open()
        try:
            adapter.require()
        except FeatureMissing:
            return await run(self, *args, **kwargs)
        async with adapter.protect(self, guard, id=f"conv-{next(_numbers)}") as session:
            watchers.conversation(session)
            return await run(self, *args, **kwargs)

    PipelineWorker.run = ran


FunctionCallRegistryItem.handler = _Handler()
_guard_direct()
_guard_flows()
_follow_calls()
_protect_workers()
