"""Makes a conversation shorter without losing what counts: no call without its output, no write forgotten (O11)."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, cast

import msgspec

from toolguard.core.carried import PacketItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from toolguard.core.carried import CarriedCall
    from toolguard.core.packet import HandoffPacket

_TEXT = 300
"""Characters of a text that stays when room is short."""
_FIELD = 80
"""Characters of a field that stays when room is short: ids and amounts are shorter."""


class PacketTooLarge(ValueError):  # noqa: N818 - named for what was found
    """A packet cannot be made so small without losing what it is for."""


def compact(items: Sequence[PacketItem], *, keep_last: int) -> tuple[PacketItem, ...]:
    """Keep the last items, and of those before them what must not be forgotten.

    Calls that are not over stay where they are. Writes that are done or in doubt, and earlier summaries, go into one
    summary at the front, with their refs, arguments and outcomes. Other words and calls are left out.
    """
    cut = max(0, len(items) - max(0, keep_last))
    early, late = items[:cut], items[cut:]
    if not early:
        return tuple(items)
    open_ = tuple(item for item in early if item.kind == "call" and item.open)
    gone = [item for item in early if item not in open_]
    return (*_summary(gone), *open_, *late)


def _summary(gone: Sequence[PacketItem]) -> tuple[PacketItem, ...]:
    lines = [item.text for item in gone if item.kind == "summary"]
    left_out = sum(item.kind != "summary" for item in gone)
    if left_out:
        lines.append(f"{left_out} earlier item{'s are' if left_out > 1 else ' is'} left out here.")
    lines += [_line(item) for item in gone if item.kind == "call" and item.effect.writes and item.state == "done"]
    return (PacketItem(kind="summary", text="\n".join(lines)),) if lines else ()


def _line(item: PacketItem) -> str:
    arguments, output = gist(bytes(item.arguments)), _short(item.text)
    return f"{item.ref}: {item.tool} {bytes(arguments).decode()} is done: {output}"


def within(packet: HandoffPacket, max_bytes: int) -> HandoffPacket:
    """The packet in at most so many bytes of JSON; a signature that it had no longer fits and is taken off.

    First older items give way (:func:`compact`), then calls that changed nothing, then long texts. Facts, and the refs,
    arguments and outcomes of writes that are done or in doubt, stay.

    Raises:
        PacketTooLarge: Not even what must stay fits.
    """
    room = max_bytes - 160  # for the signature that comes
    bare = msgspec.structs.replace(packet, signed_by="", signature="")
    if len(bare.to_json()) <= room:
        return bare
    for calls, shorten in ((packet.calls, False), (_needed(packet.calls), False), (_needed(packet.calls), True)):
        whole = msgspec.structs.replace(bare, calls=_gists(calls) if shorten else calls)
        items = _shortened(packet.items) if shorten else packet.items
        found = _fitting(whole, items, room)
        if found is not None:
            return found
    smallest = msgspec.structs.replace(
        bare, calls=_gists(_needed(packet.calls)), items=compact(_shortened(packet.items), keep_last=0)
    )
    raise PacketTooLarge(
        f"the packet of {packet.session} needs {len(smallest.to_json()) + 160} bytes and may have {max_bytes}"
    )


def _fitting(packet: HandoffPacket, items: Sequence[PacketItem], room: int) -> HandoffPacket | None:
    """The packet with as many items as fit."""

    def with_last(keep: int) -> HandoffPacket:
        return msgspec.structs.replace(packet, items=compact(items, keep_last=keep))

    fewer = range(len(items))
    most = bisect_left(fewer, 1, key=lambda keep: int(len(with_last(keep).to_json()) > room))
    found = with_last(max(0, most - 1))
    return found if len(found.to_json()) <= room else None


def _needed(calls: Iterable[CarriedCall]) -> tuple[CarriedCall, ...]:
    return tuple(call for call in calls if call.state in {"running", "in_doubt"} or _done(call))


def _done(call: CarriedCall) -> bool:
    return call.effect.writes and call.state == "done"


def _gists(calls: Iterable[CarriedCall]) -> tuple[CarriedCall, ...]:
    return tuple(
        msgspec.structs.replace(
            call,
            arguments=gist(bytes(call.arguments)),
            result=gist(bytes(call.result)),
            progress=gist(bytes(call.progress)),
        )
        for call in calls
    )


def _shortened(items: Iterable[PacketItem]) -> tuple[PacketItem, ...]:
    return tuple(
        msgspec.structs.replace(item, text=_short(item.text), arguments=gist(bytes(item.arguments)))
        if item.kind != "summary"
        else item
        for item in items
    )


def _short(text: str) -> str:
    if len(text) <= _TEXT:
        return text
    if text[0] in "{[":
        try:
            return bytes(gist(text.encode())).decode()
        except msgspec.DecodeError:
            pass
    return f"{text[:_TEXT]}..."


def gist(raw: bytes) -> msgspec.Raw:
    """JSON without what is long in it: short fields stay as they are, so ids, names and amounts do."""
    if len(raw) <= _TEXT:
        return msgspec.Raw(raw)
    return msgspec.Raw(msgspec.json.encode(_gist(msgspec.json.decode(raw), 0)))


def _gist(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: _gist(one, depth + 1) for name, one in fields.items()} if depth < _DEPTH else {}
    if isinstance(value, list):
        listed: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [_gist(one, depth + 1) for one in listed[:_MANY]] if depth < _DEPTH else []
    return f"{value[:_FIELD]}..." if isinstance(value, str) and len(value) > _FIELD else value


_DEPTH = 4
_MANY = 5
