"""A handoff packet as a ``ChatContext`` of LiveKit Agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.errors import FeatureMissing
from toolguard.render.parts import Pair, pair_of, parts, short

if TYPE_CHECKING:
    from toolguard.core.carried import PacketItem
    from toolguard.core.packet import HandoffPacket
    from toolguard.render.parts import Tools


def context(packet: HandoffPacket, *, tools: Tools = None) -> Any:
    """The context for ``Agent(chat_ctx=...)`` or ``agent.update_chat_ctx(...)``.

    Args:
        packet: The packet.
        tools: The tools of the agent; a call of another one becomes text.

    Raises:
        FeatureMissing: LiveKit Agents is not installed.
    """
    llm = _llm()
    items: list[Any] = []
    begun = packet.made_at.timestamp()
    for place, part in enumerate(parts(packet, tools)):
        at = begun + place * 1e-3  # the context is kept in order of time
        if isinstance(part, Pair):
            items += _items(packet, part, at)
        elif part.text:
            id_ = short(packet.session, part.key)
            items.append(llm.ChatMessage(id=id_, role=part.who, content=[part.text], created_at=at))
    return llm.ChatContext(items)


def pair(packet: HandoffPacket, item: PacketItem, at: float) -> list[Any]:
    """One call of the packet with its output, placed at a time.

    Args:
        packet: The packet.
        item: The call.
        at: When it was made, on the clock of the context.
    """
    return _items(packet, pair_of(packet, item), at)


def _items(packet: HandoffPacket, part: Pair, at: float) -> list[Any]:
    llm = _llm()
    id_ = short(packet.session, part.key)
    called: dict[str, Any] = {"call_id": part.call_id, "name": part.name, "created_at": at}
    return [
        llm.FunctionCall(id=f"{id_[:30]}_c", arguments=part.arguments, **called),
        llm.FunctionCallOutput(id=f"{id_[:30]}_o", output=part.output, is_error=part.failed, **called),
    ]


def _llm() -> Any:
    try:
        from livekit.agents import llm  # noqa: PLC0415 - only where LiveKit is used
    except ImportError as error:
        raise FeatureMissing(
            "LiveKit Agents is not installed",
            feature="livekit.agents.llm",
            advice="Run: pip install 'toolguard-voice[livekit]'.",
        ) from error
    return llm
