"""``python -m tests.adoption livekit --checkout DIR``: guards a framework's own example and plays it before and after.

DIR is a work tree of the framework's repository, at the recipe's commit; what the example needs to be imported has to be
installed, for the hotel ``apsw`` and ``python-dotenv``. Nothing in DIR is changed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import difflib
import shutil
import sys
import tempfile
from pathlib import Path

from tests.adoption.recipes import RECIPES


def main() -> int:
    """Add, show, play.

    Returns:
        The exit code: 1 if lines were taken away, or the guarded agent does what it must not do.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.adoption", description=__doc__)
    parser.add_argument("framework", choices=RECIPES)
    parser.add_argument("--checkout", type=Path, required=True, help="a work tree of the framework's repository")
    options = parser.parse_args()
    recipe = RECIPES[options.framework]
    source = options.checkout / recipe.folder
    with tempfile.TemporaryDirectory(prefix="toolguard-adoption-") as home:
        plain, guarded = Path(home) / "plain", Path(home) / "guarded"
        for folder in (plain, guarded):
            shutil.copytree(source, folder)
        recipe.apply(guarded)
        removed = _show(plain, guarded)
        print(f"{len(recipe.decorators)} tools, {len(recipe.others)} other lines, {removed} lines taken away")
        wrong = removed or len(recipe.others) > 5
        for folder in (plain, guarded):
            with contextlib.chdir(home):
                result = asyncio.run(_play(recipe.framework)(folder))
            print(f"{folder.name}: {result}")
            wrong = wrong or (folder is guarded and not result.right)
    return int(bool(wrong))


def _play(framework: str):
    if framework == "livekit":
        from tests.adoption.play_livekit import play
    else:
        from tests.adoption.play_pipecat import play
    return play


def _show(plain: Path, guarded: Path) -> int:
    """Print the difference; how many lines are gone."""
    removed = 0
    for path in sorted(guarded.rglob("*.py")):
        before, after = ((folder / path.relative_to(guarded)).read_text().splitlines() for folder in (plain, guarded))
        for line in difflib.unified_diff(before, after, "before", path.name, n=0, lineterm=""):
            print(line)
            removed += line.startswith("-") and not line.startswith("---")
    return removed


if __name__ == "__main__":
    sys.exit(main())
