"""The store's row about a session's newest hand-off: a claim, so that one agent alone can take it (H2, T3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from toolguard.stores.base import Swap

if TYPE_CHECKING:
    from toolguard.engine.journal import Journal


class HandOffRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who may take the conversation with which packet, or who has taken it."""

    packet: str
    state: Literal["open", "taken"]
    caller: str = ""
    agent: str = ""
    process: str = ""
    at: int = 0

    def encoded(self) -> bytes:
        """As the store keeps it."""
        return _ENCODE(self)

    @staticmethod
    def read(raw: bytes) -> HandOffRow:
        """As the store has it."""
        return _DECODE(raw)


_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(HandOffRow).decode


def claim_of(session: str) -> str:
    """The name of the claim."""
    return f"handoff/{session}"


async def offer(journal: Journal, session: str, row: HandOffRow) -> Swap:
    """The change that makes a hand-off the session's newest; it lands together with the hand-off's record."""
    found = await journal.ask(lambda store: store.claim(claim_of(session)))
    return Swap(claim_of(session), found[0] if found is not None else 0, row.encoded())
