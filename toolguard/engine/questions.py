"""What delivery has to know of the questions that the caller is to be asked; here, of a session that asks none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from toolguard.core.slots import Answer, Run


class Questions:
    """No questions."""

    def of(self, _run: int) -> str:
        """What the caller is to be asked about a run; empty where nothing is to be asked."""
        return ""

    def due(self) -> Iterable[tuple[Run, Answer]]:
        """Questions that have to go as notes, because the output of their call is gone (O3); each comes once."""
        return ()

    def shown(self, generation: str, calls: frozenset[int]) -> None:
        """A response begins whose request showed the answers of these calls."""
