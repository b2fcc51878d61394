"""What is added to an agent that existed before: lines before lines of its own, and nothing taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Misfit(ValueError):  # noqa: N818 - named for what was found
    """The agent is not the one that the recipe was made for."""


@dataclass(frozen=True)
class Addition:
    """One line that is added.

    Attributes:
        before: How the line begins before which it is put; it occurs once in the file, at any indentation.
        line: The line, without its indentation, which is that of the line behind it.
    """

    before: str
    line: str

    @property
    def decorates(self) -> bool:
        """Whether it declares what a tool does."""
        return self.line.startswith("@")


@dataclass(frozen=True)
class Change:
    """What is added to one file of the agent, in the file's order."""

    path: str
    additions: tuple[Addition, ...]


@dataclass(frozen=True)
class Recipe:
    """What is added to one agent.

    Attributes:
        framework: ``livekit`` or ``pipecat``.
        repository: Where the agent is published, as ``owner/name``.
        commit: At which commit.
        folder: Its folder there.
        changes: What is added to its files.
    """

    framework: str
    repository: str
    commit: str
    folder: str
    changes: tuple[Change, ...]

    @property
    def decorators(self) -> list[str]:
        """Lines that declare tools."""
        return [one.line for change in self.changes for one in change.additions if one.decorates]

    @property
    def others(self) -> list[str]:
        """All other lines."""
        return [one.line for change in self.changes for one in change.additions if not one.decorates]

    def as_diff(self) -> str:
        """The additions with the beginnings of the lines that they precede."""
        lines: list[str] = []
        for change in self.changes:
            lines.append(f"+++ {self.folder}/{change.path}")
            for one in change.additions:
                lines += [f"+{one.line}", f" {one.before}"]
        return "\n".join(lines)

    def apply(self, folder: Path) -> None:
        """Add the lines to a copy of the agent.

        Raises:
            Misfit: A line that is to be preceded does not occur, or more than once.
        """
        for change in self.changes:
            path = folder / change.path
            text = path.read_text().splitlines()
            for one in change.additions:
                places = [at for at, line in enumerate(text) if line.lstrip().startswith(one.before)]
                if len(places) != 1:
                    raise Misfit(f"{change.path}: {one.before!r} occurs {len(places)} times, not once")
                old = text[places[0]]
                text.insert(places[0], old[: len(old) - len(old.lstrip())] + one.line)
            path.write_text("\n".join(text) + "\n")
