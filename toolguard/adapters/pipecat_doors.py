"""Whose conversation a call of Pipecat's belongs to: every protected model is known here, with who listens at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from toolguard.adapters.pipecat_features import FunctionCallParams, LLMService
from toolguard.errors import NoSession
from toolguard.tools.ambient import DOORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.adapters.pipecat_events import PipecatEvents
    from toolguard.adapters.pipecat_features import PipelineWorker
    from toolguard.engine.session import Session
    from toolguard.tools.tool import Tool

_protected: WeakKeyDictionary[LLMService[Any], PipecatEvents] = WeakKeyDictionary()
_hooked: WeakKeyDictionary[Session, PipecatEvents] = WeakKeyDictionary()


async def door(tool: Tool[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Serve Pipecat's call of a guarded tool: the model that called says which conversation it is.

    Raises:
        NoSession: Its pipeline is not protected.
    """
    params = next(one for one in (*args, *kwargs.values()) if type(one) is FunctionCallParams)
    events = _protected.get(params.llm)
    if events is None:
        raise NoSession(
            f"{tool.name} is guarded, and the pipeline that called it is not.",
            advice="Run the worker inside `async with protect(worker, guard, id=...)`.",
        )
    return await events.serve(tool, params)


DOORS[FunctionCallParams] = door


def events_of(conversation: Session) -> PipecatEvents:
    """The ears of a conversation, for what stands on this adapter.

    Raises:
        NoSession: The conversation is not one of :func:`protect`.
    """
    events = _hooked.get(conversation)
    if events is None:
        raise NoSession("this conversation is not protected", ref=conversation.id, advice="Use what protect yields.")
    return events


def events_at(llm: LLMService[Any]) -> PipecatEvents | None:
    """The ears of the conversation that a model takes part in."""
    return _protected.get(llm)


def hook(conversation: Session, more: LLMService[Any] | PipelineWorker) -> None:
    """Guard one more model of a conversation, or every model of another worker's pipeline.

    Args:
        conversation: What :func:`protect` gave.
        more: A model, or a worker whose models take part in the conversation.

    Raises:
        NoSession: The conversation is not one of :func:`protect`.
    """
    events = events_of(conversation)
    if isinstance(more, LLMService):
        events.hook(more)
    else:
        events.listen(more)
    for llm in events.llms:
        _protected[llm] = events


def opens(session: Session, events: PipecatEvents) -> None:
    """A conversation begins: its models are protected from now on."""
    _hooked[session] = events
    _protected.update(dict.fromkeys(events.llms, events))


def closes(events: PipecatEvents) -> None:
    """It is over."""
    for llm in events.llms:
        _protected.pop(llm, None)
