"""A handoff packet as ``system`` and ``messages`` of Anthropic's Messages API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.render.parts import Pair, dialogue

if TYPE_CHECKING:
    from toolguard.core.packet import HandoffPacket
    from toolguard.render.parts import Tools


def request(packet: HandoffPacket, *, tools: Tools = None) -> dict[str, Any]:
    """The two fields of a request: ``client.messages.create(**request(packet), ...)``.

    Turns alternate, the caller's is the first and the last, and a tool's result stands first in the turn behind it.

    Args:
        packet: The packet.
        tools: The tools of the request; a call of another one becomes text.
    """
    system, said = dialogue(packet, tools)
    turns: list[dict[str, Any]] = []
    for part in said:
        if isinstance(part, Pair):
            used = msgspec.json.decode(part.arguments)
            _add(turns, "assistant", {"type": "tool_use", "id": part.call_id, "name": part.name, "input": used})
            result = {"type": "tool_result", "tool_use_id": part.call_id, "content": part.output}
            _add(turns, "user", {**result, "is_error": True} if part.failed else result)
        elif part.text.strip():
            _add(turns, part.who, {"type": "text", "text": part.text.strip()})
    return {"system": system, "messages": turns}


def _add(turns: list[dict[str, Any]], role: str, block: dict[str, Any]) -> None:
    if not turns or turns[-1]["role"] != role:
        turns.append({"role": role, "content": []})
    turns[-1]["content"].append(block)
