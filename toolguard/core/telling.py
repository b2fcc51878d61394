"""A handoff packet in words, for a person who takes the conversation over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolguard.core.carried import CarriedCall, PacketItem
    from toolguard.core.packet import HandoffPacket

_LAST = 12
"""Items of the conversation that are told."""
_LONG = 160
"""Characters of a text that are told."""
_STANDS = {
    "done": "done",
    "running": "still running",
    "in_doubt": "IN DOUBT: nobody knows yet whether it happened; do not repeat it",
    "failed": "failed, nothing happened",
    "cancelled": "stopped before it did anything",
}
_WHO = {"caller": "Caller", "agent": "Agent", "note": "News", "summary": "Before that"}


def as_text(packet: HandoffPacket) -> str:
    """The packet as a page that is read in half a minute: what is open first, then facts, calls, the last words."""
    return "\n".join(_lines(packet))


def _lines(packet: HandoffPacket) -> Iterator[str]:
    yield f"{packet.session}: from {packet.frm} to {packet.to}, {packet.made_at:%Y-%m-%d %H:%M:%S} UTC"
    for words in packet.pending:
        yield f"Not answered yet: {_cut(words)}"
    for one in packet.promises:
        yield f"The caller waits for {one.tool} ({one.ref}): {_WAITS[one.what]}"
    if packet.facts:
        yield "Facts"
        yield from (f"  {name}: {_cut(_plain(value))}" for name, value in packet.facts.items())
    if packet.calls:
        yield "Calls"
        yield from (f"  {_call(call)}" for call in packet.calls)
    if packet.items:
        yield "Last words"
        yield from (f"  {_item(item)}" for item in packet.items[-_LAST:])


_WAITS = {
    "running": "it is still running",
    "in_doubt": "it is not known whether it happened",
    "not_told": "it has ended, and the caller has not heard of it",
}


def _call(call: CarriedCall) -> str:
    told = f"{call.ref} {call.tool} {_json(call.arguments)}: {_STANDS[call.state]}"
    if call.state == "done":
        return f"{told}, {_json(call.result)}"
    return f"{told} ({_cut(call.why)})" if call.why else told


def _item(item: PacketItem) -> str:
    if item.kind == "call":
        return f"Agent calls {item.tool} ({item.ref}): {item.state or 'answered'}"
    return f"{_WHO[item.kind]}: {_cut(item.text)}"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _json(raw: msgspec.Raw) -> str:
    return _cut(bytes(raw).decode())


def _cut(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONG else f"{line[:_LONG]}..."
