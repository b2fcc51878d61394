"""The handoff packet: what one agent hands to the next, provider-neutral and versioned."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

import msgspec

VERSION = 1


class CarriedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call as the next agent must know it: done, running or in doubt."""

    ref: str
    tool: str
    effect: str
    state: Literal["done", "running", "in_doubt", "failed", "cancelled"]
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw = msgspec.Raw(b"null")
    told: bool = False


class PacketItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn of the conversation as heard, or the place of a call in it."""

    kind: Literal["caller", "agent", "call", "output", "note"]
    text: str = ""
    unheard: str = ""
    ref: str = ""


class HandoffPacket(msgspec.Struct, frozen=True, kw_only=True):
    """Conversation as heard, calls done, running and in doubt, undelivered outputs.

    Round-trips through JSON byte-stably.
    """

    session: str
    tenant: str
    frm: str
    to: str
    made_at: datetime
    calls: tuple[CarriedCall, ...] = ()
    items: tuple[PacketItem, ...] = ()
    version: int = VERSION

    def to_json(self) -> bytes:
        """The packet as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, raw: bytes, /) -> Self:
        """Read a packet back.

        Raises:
            ValueError: It is no packet, or of a newer version.
        """
        packet = msgspec.json.decode(raw, type=cls)
        if packet.version > VERSION:
            raise ValueError(f"the packet has version {packet.version}; this release reads up to {VERSION}: update it")
        return packet
