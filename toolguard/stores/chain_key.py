"""How a store knows again which key its hash chains were made with, without keeping the key."""

from __future__ import annotations

import hmac


def fingerprint(chain_key: bytes | None) -> str:
    """What a store writes down of its chain key."""
    if chain_key is None:
        return "sha256"
    return "hmac-sha256:" + hmac.digest(chain_key, b"toolguard chain key", "sha256")[:8].hex()
