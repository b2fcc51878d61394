"""Type checkers accept the right uses of tools and refuse each wrong one."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WRONG = HERE / "wrong_use.py"
RIGHT = HERE / "right_use.py"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=ROOT, check=False)


@functools.cache
def mypy() -> dict[str, list[tuple[int, str]]]:
    # Right and wrong in one run, so that the package is checked once.
    pytest.importorskip("mypy")
    done = run("mypy", "--strict", "--no-error-summary", "--show-absolute-path", str(RIGHT), str(WRONG))
    found: dict[str, list[tuple[int, str]]] = {RIGHT.name: [], WRONG.name: []}
    for path, line, text in re.findall(r"^(.*?\.py):(\d+): error: (.*)$", done.stdout, re.MULTILINE):
        found.setdefault(Path(path).name, []).append((int(line), text))
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return found


@functools.cache
def pyright() -> dict[str, list[tuple[int, str]]]:
    pytest.importorskip("pyright")
    done = run("pyright", "--outputjson", "--pythonpath", sys.executable, str(RIGHT), str(WRONG))
    try:
        told = json.loads(done.stdout)
    except json.JSONDecodeError:
        pytest.skip(f"pyright does not run here: {done.stdout[:200]} {done.stderr[:200]}")
    assert told["summary"]["filesAnalyzed"] == 2
    found: dict[str, list[tuple[int, str]]] = {RIGHT.name: [], WRONG.name: []}
    for one in told["generalDiagnostics"]:
        if one["severity"] == "error":
            found[Path(one["file"]).name].append((one["range"]["start"]["line"] + 1, one["message"]))
    return found


CHECKERS = [pytest.param(mypy, id="mypy"), pytest.param(pyright, id="pyright")]


def blocks() -> dict[str, range]:
    found: dict[str, range] = {}
    name, begin = "", 0
    for number, line in enumerate(WRONG.read_text().splitlines(), 1):
        if "# wrong: " in line:
            name, begin = line.split("# wrong: ")[1], number
        elif line.strip() == "# end":
            assert name not in found
            found[name] = range(begin, number)
    return found


BLOCKS = blocks()


def test_there_are_enough_wrong_uses() -> None:
    assert len(BLOCKS) >= 20


@pytest.mark.parametrize("checker", CHECKERS)
def test_right_use_is_accepted(checker: Any) -> None:
    assert checker()[RIGHT.name] == []


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("name", list(BLOCKS))
def test_wrong_use_is_refused(checker: Any, name: Any) -> None:
    assert [line for line, _ in checker()[WRONG.name] if line in BLOCKS[name]]


@pytest.mark.parametrize("checker", CHECKERS)
def test_nothing_else_is_refused(checker: Any) -> None:
    inside = {line for block in BLOCKS.values() for line in block}
    assert [one for one in checker()[WRONG.name] if one[0] not in inside] == []
