"""The room of tools looks downward only, and every file in it keeps the house's measure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import toolguard.tools

ROOM = Path(toolguard.tools.__file__).parent
FILES = sorted(ROOM.glob("*.py"))
IDENTITY = ROOM.parent / "core" / "identity.py"


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_tools_import_only_what_lies_below(path: Path) -> None:
    ours = {name for name in imported(path) if name.partition(".")[0] == "toolguard"}
    below = ("toolguard.core", "toolguard.errors", "toolguard.tools")
    assert all(name.startswith(below) for name in ours)


def test_identity_is_pure() -> None:
    assert not {name.partition(".")[0] for name in imported(IDENTITY)} & {
        "asyncio",
        "pydantic",
        "toolguard",
        "logging",
        "os",
    }


@pytest.mark.parametrize("path", [*FILES, IDENTITY], ids=lambda path: path.name)
def test_files_open_with_a_caption_and_stay_short(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 310
