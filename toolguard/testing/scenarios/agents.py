"""What an application does with its history beside calls: it shortens it, and gives it to other providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from toolguard.core.compact import compact
from toolguard.render import anthropic, chat_completions, gemini, openai_realtime, responses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from toolguard.core.packet import HandoffPacket
    from toolguard.testing.scenarios.kit import Script

LINGERS = 1.0
"""Seconds that the connection of an agent that handed over stays open."""


def apart(script: Script) -> bool:
    """Whether the next agent has a connection of its own."""
    return any(step.verb == "guard.hands_off" and step.line for step in script.steps)


def cuts_of(packet: HandoffPacket) -> dict[int, list[dict[str, Any]]]:
    """The conversation shortened in every way that there is, by how many items stay."""
    return {keep: openai_realtime.items(_cut(packet, keep)) for keep in range(len(packet.items) + 1)}


def forms_of(packet: HandoffPacket, keep_last: int) -> dict[str, Any]:
    """The shortened conversation in the forms of several providers."""
    short = _cut(packet, keep_last)
    return {
        "chat_completions": chat_completions.messages(short),
        "responses": responses.items(short),
        "anthropic": anthropic.request(short),
        "gemini": gemini.request(short),
        "openai_realtime": openai_realtime.items(short),
    }


def _cut(packet: HandoffPacket, keep: int) -> HandoffPacket:
    return msgspec.structs.replace(packet, items=compact(packet.items, keep_last=keep))


def naive_forms(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last items of a provider's history, one by one, as another provider's messages."""
    messages: list[dict[str, Any]] = []
    for item in items:
        if item["type"] == "function_call":
            called = {"name": item["name"], "arguments": item["arguments"]}
            calls = [{"id": item["call_id"], "type": "function", "function": called}]
            messages.append({"role": "assistant", "tool_calls": calls})
        elif item["type"] == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
        else:
            parts: list[dict[str, Any]] = item.get("content") or []
            words = " ".join(str(one.get("transcript") or one.get("text") or "") for one in parts)
            messages.append({"role": item["role"], "content": words})
    return {"chat_completions": messages}
