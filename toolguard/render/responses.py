"""A handoff packet as ``input`` of the Responses API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.render.parts import Pair, parts

if TYPE_CHECKING:
    from toolguard.core.packet import HandoffPacket
    from toolguard.render.parts import Tools

_ROLES = {"system": "developer", "user": "user", "assistant": "assistant"}


def items(packet: HandoffPacket, *, tools: Tools = None) -> list[dict[str, Any]]:
    """The input items in order.

    Args:
        packet: The packet.
        tools: The tools of the request; a call of another one becomes text.
    """
    rendered: list[dict[str, Any]] = []
    for part in parts(packet, tools):
        if isinstance(part, Pair):
            called = {"name": part.name, "arguments": part.arguments}
            rendered.append({"type": "function_call", "call_id": part.call_id, **called})
            rendered.append({"type": "function_call_output", "call_id": part.call_id, "output": part.output})
        elif part.text:
            rendered.append({"type": "message", "role": _ROLES[part.who], "content": part.text})
    return rendered
