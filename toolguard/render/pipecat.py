"""A handoff packet as an ``LLMContext`` of Pipecat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.errors import FeatureMissing
from toolguard.render.chat_completions import messages

if TYPE_CHECKING:
    from toolguard.core.packet import HandoffPacket
    from toolguard.render.parts import Tools


def context(packet: HandoffPacket, *, tools: Tools = None) -> Any:
    """The context for an ``LLMContextAggregatorPair``; its tools are still to be set.

    Args:
        packet: The packet.
        tools: The tools of the agent; a call of another one becomes text.

    Raises:
        FeatureMissing: Pipecat is not installed.
    """
    try:
        from pipecat.processors.aggregators.llm_context import LLMContext  # noqa: PLC0415 - only where Pipecat is used
    except ImportError as error:
        raise FeatureMissing(
            "Pipecat is not installed",
            feature="pipecat.processors.aggregators.llm_context.LLMContext",
            advice="Run: pip install 'pipecat-ai>=1.10'.",
        ) from error
    said: list[Any] = messages(packet, tools=tools)
    given: list[Any] = [{**one, "role": "developer"} if one["role"] == "system" else one for one in said]
    return LLMContext(given)
