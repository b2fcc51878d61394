"""Calls of a guarded tool find it by its name, whatever handler a pipeline advertises under that name."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from toolguard.adapters.pipecat_doors import door
from toolguard.adapters.pipecat_events import processors
from toolguard.adapters.pipecat_features import LLMService

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable

    from toolguard.adapters.pipecat_features import FunctionCallParams, PipelineWorker
    from toolguard.tools.tool import Tool


@contextmanager
def by_name(worker: PipelineWorker, tools: Iterable[Tool[..., Any]]) -> Generator[None]:
    """Answer the calls of a worker's models that name one of the tools.

    An explicit registration wins over a handler that a context advertises, as a flow's nodes do
    (``LLMService._register_advertised_tool_handlers``); and over an earlier one.

    Args:
        worker: Whose models, those of a switcher among them.
        tools: Guarded tools.
    """
    models: list[Any] = [one for one in processors(worker.pipeline) if isinstance(one, LLMService)]
    names: list[str] = []
    for tool in tools:
        names.append(tool.name)
        for model in models:
            model.register_function(tool.name, _serving(tool))
    try:
        yield
    finally:
        for model in models:
            for name in names:
                if model.has_function(name):
                    model.unregister_function(name)


def _serving(tool: Tool[..., Any]) -> Callable[[FunctionCallParams], Awaitable[None]]:
    async def serve(params: FunctionCallParams) -> None:
        await door(tool, (params,), {})

    vars(serve).update(vars(tool))  # options that Pipecat keeps at a function, where only we watch it
    return serve
