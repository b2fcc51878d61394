"""The handoff packet: what one agent hands to the next, provider-neutral, versioned, signed."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any, Self

import msgspec

from toolguard.core.carried import CarriedCall, PacketItem, Promise
from toolguard.core.compact import within
from toolguard.core.telling import as_text

__all__ = ["VERSION", "CarriedCall", "HandoffPacket", "NewerVersion", "PacketItem", "Promise", "key_name"]

VERSION = 1


class HandoffPacket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that the next agent must know; it round-trips through JSON byte for byte.

    Attributes:
        id: Names this hand-off: a packet is accepted once.
        version: The form of the packet.
        session: The conversation.
        tenant: Who runs the agents.
        frm: The agent that hands over.
        to: The agent that it is for.
        made_at: When it was made.
        expires_at: Until when it is accepted.
        items: The conversation as heard, each call with its output.
        calls: All calls with how they stand.
        facts: What has been established, apart from what was said about it.
        pending: Words of the caller that no agent has answered yet.
        promises: What the caller has still to hear of.
        cue: How the next agent should begin.
        signed_by: Which key signed it.
        signature: Over everything else.
    """

    id: str
    version: int = VERSION
    session: str
    tenant: str
    frm: str
    to: str
    made_at: datetime
    expires_at: datetime
    items: tuple[PacketItem, ...] = ()
    calls: tuple[CarriedCall, ...] = ()
    facts: dict[str, Any] = {}
    pending: tuple[str, ...] = ()
    promises: tuple[Promise, ...] = ()
    cue: str = ""
    signed_by: str = ""
    signature: str = ""

    def to_json(self) -> bytes:
        """The packet as JSON; keep the bytes as they are, the signature is over them."""
        return _ENCODE(self)

    @classmethod
    def from_json(cls, raw: bytes | str, /) -> Self:
        """Read a packet back, whoever signed it.

        Raises:
            ValueError: It is no packet, or of a newer version.
        """
        try:
            version = msgspec.json.decode(raw, type=_Stamped).version
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"it is no packet: {error}") from error
        if version > VERSION:
            raise NewerVersion(f"the packet has version {version}; this release reads up to {VERSION}")
        try:
            return msgspec.json.decode(raw, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"it is no packet: {error}") from error

    def within(self, max_bytes: int) -> HandoffPacket:
        """The packet in at most so many bytes of JSON, without a signature: ``guard.sign`` gives it a new one.

        Older items give way first, then calls that changed nothing, then long texts. No call loses its output, and
        facts, and refs, arguments and outcomes of writes that are done or in doubt, stay.

        Raises:
            PacketTooLarge: Not even what must stay fits.
        """
        return within(self, max_bytes)

    def as_text(self) -> str:
        """The packet for a person who takes over."""
        return as_text(self)

    def signed(self, key: bytes) -> Self:
        """The same packet with a signature (HMAC-SHA-256)."""
        plain = msgspec.structs.replace(self, signed_by=key_name(key), signature="")
        return msgspec.structs.replace(plain, signature=hmac.digest(key, plain.to_json(), "sha256").hex())

    def signed_with(self, key: bytes) -> bool:
        """Whether the signature is one of this key and fits the contents."""
        return hmac.compare_digest(self.signed(key).signature, self.signature)


class NewerVersion(ValueError):  # noqa: N818 - named for what was found
    """The packet is of a newer version than this release reads."""


class _Stamped(msgspec.Struct, kw_only=True):
    id: str
    version: int = VERSION


_ENCODE = msgspec.json.Encoder().encode


def key_name(key: bytes) -> str:
    """A name by which a signing key is recognised without being shown."""
    return hmac.digest(key, b"toolguard packet key", "sha256").hex()[:16]
