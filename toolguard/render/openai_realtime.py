"""A handoff packet as items of an OpenAI Realtime conversation, for ``conversation.item.create``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.render.parts import Pair, Words, parts, short

if TYPE_CHECKING:
    from toolguard.core.packet import HandoffPacket
    from toolguard.render.parts import Tools

_CONTENT = {"system": "input_text", "user": "input_text", "assistant": "output_text"}


def items(packet: HandoffPacket, *, tools: Tools = None) -> list[dict[str, Any]]:
    """The items in order, to be put into an empty conversation one after another.

    Ids are deterministic: the same words or the same output have the same id in every rendering of a session, so an
    item that was sent twice is there once (O4), and two renderings can be compared item by item.

    Args:
        packet: The packet.
        tools: The tools of the model's session; a call of another one becomes text.
    """
    rendered: list[dict[str, Any]] = []
    for part in parts(packet, tools):
        if isinstance(part, Pair):
            rendered += _pair(packet.session, part)
        elif part.text:
            rendered.append(_message(packet.session, part))
    return rendered


def _message(session: str, words: Words) -> dict[str, Any]:
    content = [{"type": _CONTENT[words.who], "text": words.text}]
    return {"id": short(session, words.key), "type": "message", "role": words.who, "content": content}


def _pair(session: str, pair: Pair) -> list[dict[str, Any]]:
    call = {
        "id": short(session, pair.key, "call"),
        "type": "function_call",
        "call_id": pair.call_id,
        "name": pair.name,
        "arguments": pair.arguments,
        "status": "completed",
    }
    output = {
        "id": short(session, pair.key, "out", pair.output),
        "type": "function_call_output",
        "call_id": pair.call_id,
        "output": pair.output,
    }
    return [call, output]
