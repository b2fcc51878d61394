"""A handoff packet as a ``ChatContext`` of LiveKit Agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.errors import FeatureMissing
from toolguard.render.parts import Pair, parts, short

if TYPE_CHECKING:
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
    try:
        from livekit.agents import llm  # noqa: PLC0415 - only where LiveKit is used
    except ImportError as error:
        raise FeatureMissing(
            "LiveKit Agents is not installed",
            feature="livekit.agents.llm",
            advice="Run: pip install 'toolguard-voice[livekit]'.",
        ) from error
    items: list[Any] = []
    begun = packet.made_at.timestamp()
    for place, part in enumerate(parts(packet, tools)):
        at = begun + place * 1e-3  # the context is kept in order of time
        if isinstance(part, Pair):
            id_ = short(packet.session, part.key)
            called: dict[str, Any] = {"call_id": part.call_id, "name": part.name}
            items.append(llm.FunctionCall(id=f"{id_[:30]}_c", arguments=part.arguments, created_at=at, **called))
            items.append(
                llm.FunctionCallOutput(
                    id=f"{id_[:30]}_o", output=part.output, is_error=part.failed, created_at=at, **called
                )
            )
        elif part.text:
            id_ = short(packet.session, part.key)
            items.append(llm.ChatMessage(id=id_, role=part.who, content=[part.text], created_at=at))
    return llm.ChatContext(items)
