"""A handoff packet as ``system_instruction`` and ``contents`` of the Gemini API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.render.parts import Pair, dialogue

if TYPE_CHECKING:
    from toolguard.core.packet import HandoffPacket
    from toolguard.render.parts import Tools

UNSIGNED = b"skip_thought_signature_validator"
"""What stands for the signature of a call that another model has made: models that require one take this instead."""


def request(packet: HandoffPacket, *, tools: Tools = None) -> dict[str, Any]:
    """What ``generate_content`` takes: ``contents``, and ``system_instruction`` for its config.

    Turns alternate, the caller's is the first and the last, and a function's response is the turn right behind its
    call.

    Args:
        packet: The packet.
        tools: The tools of the request; a call of another one becomes text.
    """
    system, said = dialogue(packet, tools)
    turns: list[dict[str, Any]] = []
    for part in said:
        if isinstance(part, Pair):
            called = {"name": part.name, "args": msgspec.json.decode(part.arguments)}
            _add(turns, "model", {"function_call": called, "thought_signature": UNSIGNED})
            answered = {"name": part.name, "response": _response(part)}
            _add(turns, "user", {"function_response": answered})
        elif part.text.strip():
            _add(turns, "user" if part.who == "user" else "model", {"text": part.text})
    return {"system_instruction": system, "contents": turns}


def _response(pair: Pair) -> dict[str, Any]:
    return {"error" if pair.failed else "output": pair.output}


def _add(turns: list[dict[str, Any]], role: str, part: dict[str, Any]) -> None:
    if not turns or turns[-1]["role"] != role:
        turns.append({"role": role, "parts": []})
    turns[-1]["parts"].append(part)
