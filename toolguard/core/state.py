"""State is the fold of the journal: apply every record in order and you know all there is to know of a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolguard.core.account import INTERIM, Account
from toolguard.core.fold import APPLY

if TYPE_CHECKING:
    from toolguard.core import records as r

__all__ = ["INTERIM", "State"]


@dataclass(slots=True)
class State(Account):
    """One session, folded: the account of it, and how each record changes the account."""

    def apply(self, record: r.Record, at: int) -> None:
        """Fold one record in; ``at`` is its wall time in nanoseconds."""
        apply = APPLY.get(type(record))
        if apply is not None:
            apply(self, record, at)
