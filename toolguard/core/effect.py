"""What a tool does to the world."""

from __future__ import annotations

from enum import StrEnum


class Effect(StrEnum):
    """The three verbs.

    ``READ`` changes nothing; ``IDEMPOTENT_WRITE`` may be repeated with the same key; ``MUTATION`` must not be repeated.
    """

    READ = "read"
    IDEMPOTENT_WRITE = "idempotent_write"
    MUTATION = "mutation"

    @property
    def writes(self) -> bool:
        """Whether the effect changes the world."""
        return self is not Effect.READ
