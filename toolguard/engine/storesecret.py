"""The store's own secret, made with the store: intents are keyed with it, packets signed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolguard.stores.base import Store

_SECRET = "secret/intent"  # noqa: S105 - the name of a note, not a secret


def secret_of(store: Store) -> bytes:
    """The store's own secret for intent keys, made with the store."""
    notes = store.notes(_SECRET)
    if _SECRET not in notes:
        store.note(_SECRET, secrets.token_bytes(32), keep=True)
        notes = store.notes(_SECRET)
    return notes[_SECRET]
