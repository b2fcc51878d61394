"""What a handoff packet carries: the conversation item by item, calls with how they stand, open promises."""

from __future__ import annotations

from typing import Literal

import msgspec

from toolguard.core.effect import Effect

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
