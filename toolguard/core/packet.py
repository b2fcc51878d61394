"""The handoff packet: what one agent hands to the next, provider-neutral, versioned, signed."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any, Literal, Self

import msgspec

from toolguard.core.effect import Effect

VERSION = 1
Standing = Literal["done", "running", "in_doubt", "failed", "cancelled"]


class CarriedCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call as the next agent must know it. Its idempotency key stays where it is.

    Attributes:
        ref: ``conv-42/7``.
        tool: The tool's name.
        effect: What the tool does to the world.
        state: How it stands.
        agent: The agent that issued it.
        arguments: Its arguments as JSON.
        result: Its result as JSON.
        why: What is said about its end where that is no result.
        progress: What its body has checkpointed, as JSON.
        told: Whether the caller has heard the outcome and gone on.
    """

    ref: str
    tool: str
    effect: Effect
    state: Standing
    agent: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw = msgspec.Raw(b"null")
    why: str = ""
    progress: msgspec.Raw = msgspec.Raw(b"{}")
    told: bool = False


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the caller has still to hear of: a call that runs, is in doubt, or ended without being told."""

    ref: str
    tool: str
    what: Literal["running", "in_doubt", "not_told"]


class PacketItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing in the conversation, placed by when it was spoken. A call holds its own output: they cannot part.

    Attributes:
        kind: ``caller`` and ``agent`` are words as heard, ``call`` a call with its output, ``note`` news that was told
            apart from its call, ``summary`` what compaction kept of earlier items.
        text: The words; for a call what its model reads as output.
        ref: The call.
        tool: The called tool.
        call_id: The provider's id of the call, empty for one that was made in code.
        arguments: The call's arguments as a JSON object.
        effect: What the called tool does.
        state: How the call's run stands; empty for a call that was answered without one.
    """

    kind: Literal["caller", "agent", "call", "note", "summary"]
    text: str = ""
    ref: str = ""
    tool: str = ""
    call_id: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    effect: Effect = Effect.READ
    state: Standing | Literal[""] = ""

    @property
    def open(self) -> bool:
        """Whether the call's last word is still to come."""
        return self.state in {"running", "in_doubt"}


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
