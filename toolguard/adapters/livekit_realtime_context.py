"""The chat context of an agent whose model keeps the conversation at its provider: both sides brought together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_features import agents

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    ChatItem = agents.llm.ChatItem


def combined(
    own: Sequence[ChatItem], theirs: Sequence[ChatItem], new: Iterable[ChatItem] = (), *, without: str = ""
) -> agents.llm.ChatContext:
    """What an agent's context is to be, so that giving it to the provider takes nothing away that belongs there.

    LiveKit gives a realtime session the agent's context as it is, and takes out of the provider's conversation what
    the context lacks: words of the caller that are not transcribed yet, and outputs that the agent never saw. So the
    provider's items stay in the provider's order, with the agent's own word for what was heard of them; what only the
    agent has keeps its place behind what it followed. What the model said and nobody heard is left out (O12).

    Args:
        own: The agent's items.
        theirs: The provider's, as far as it has confirmed them.
        new: Items to add at the end, where neither has them.
        without: The id of an item that is to go.
    """
    mine = {item.id: item for item in own}
    items = [mine.get(item.id, item) for item in theirs if item.id in mine or not _unheard(item)]
    there = {item.id for item in items}
    before = ""
    for item in own:
        if item.id not in there:
            place = next((at + 1 for at, one in enumerate(items) if one.id == before), 0)
            items.insert(place, item)
            there.add(item.id)
        before = item.id
    items.extend(item for item in new if item.id not in there)
    return agents.ChatContext([item for item in items if item.id != without])


def _unheard(item: ChatItem) -> bool:
    return isinstance(item, agents.ChatMessage) and item.role == "assistant"


def outputs(items: Iterable[ChatItem]) -> dict[str, agents.FunctionCallOutput]:
    """Outputs by call id."""
    return {item.call_id: item for item in items if isinstance(item, agents.FunctionCallOutput)}


def calls(items: Iterable[ChatItem]) -> dict[str, agents.FunctionCall]:
    """Calls by call id."""
    return {item.call_id: item for item in items if isinstance(item, agents.FunctionCall)}


def kept(items: Iterable[ChatItem]) -> list[ChatItem]:
    """What a provider keeps of an agent's context: words, calls and outputs."""
    words = [item for item in items if not isinstance(item, agents.llm.AgentHandoff | agents.llm.AgentConfigUpdate)]
    return [
        item for item in words if not isinstance(item, agents.ChatMessage) or (item.content and item.role != "system")
    ]


def running(agent: agents.Agent) -> bool:
    """Whether an agent has the conversation already: until then nothing of it waits for anybody."""
    try:
        return _session_of(agent) is not None
    except RuntimeError:
        return False


def _session_of(agent: Any) -> object:
    return agent.session


def at_once(work: Coroutine[Any, Any, None]) -> None:
    """Do something of an agent that has not begun: LiveKit's method is a coroutine, and waits for nothing then."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise RuntimeError("LiveKit waits for something before the agent has begun")
