"""Tools that a person has switched off, in every process of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.errors import StoreError

if TYPE_CHECKING:
    from toolguard.engine.journal import Journal

_PAUSED = "paused/"


class Switches:
    """The paused tools of a store, as this process last read them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._paused: dict[str, str] = {}

    def paused(self, tool: str) -> str:
        """Why a tool is paused; empty if it is not."""
        return self._paused.get(tool, "")

    async def read(self) -> None:
        """Look into the store; one that does not answer leaves things as they were."""
        try:
            notes = await self._journal.ask(lambda store: store.notes(_PAUSED))
        except StoreError:
            return
        self._paused = {name.removeprefix(_PAUSED): value.decode() for name, value in notes.items()}

    async def pause(self, tool: str, *, by: str, reason: str) -> None:
        """Switch a tool off."""
        text = f"{reason} (paused by {by})".strip()
        await self._journal.ask(lambda store: store.note(_PAUSED + tool, text.encode()))
        self._paused[tool] = text

    async def resume(self, tool: str) -> None:
        """Switch a tool on again."""
        await self._journal.ask(lambda store: store.note(_PAUSED + tool, None))
        self._paused.pop(tool, None)
