"""A handoff packet as messages of the Chat Completions API, and of the many that speak it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.render.parts import Pair, parts

if TYPE_CHECKING:
    from toolguard.core.packet import HandoffPacket
    from toolguard.render.parts import Tools


def messages(packet: HandoffPacket, *, tools: Tools = None) -> list[dict[str, Any]]:
    """The messages in order; put the agent's own system message before them.

    Args:
        packet: The packet.
        tools: The tools of the request; a call of another one becomes text.
    """
    rendered: list[dict[str, Any]] = []
    for part in parts(packet, tools):
        if isinstance(part, Pair):
            called = {"name": part.name, "arguments": part.arguments}
            calls = [{"id": part.call_id, "type": "function", "function": called}]
            rendered.append({"role": "assistant", "tool_calls": calls})
            rendered.append({"role": "tool", "tool_call_id": part.call_id, "content": part.output})
        elif part.text:
            rendered.append({"role": part.who, "content": part.text})
    return rendered
