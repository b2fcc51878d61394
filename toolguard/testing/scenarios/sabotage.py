"""Breaks the code once for every check, in a copy of the package and another process: each check has to notice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import toolguard
from toolguard.testing.scenarios.data import scenario
from toolguard.testing.scenarios.kit import CHECKS, discover

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.testing.scenarios.judge import Judge
    from toolguard.testing.scenarios.kit import Saboteur

PROCESSES = 2
"""How many broken copies are judged at the same time."""
_LONGEST = 300.0
_ANSWER = "@@judged "


@dataclass(frozen=True)
class Sabotaged:
    """What became of one saboteur.

    Attributes:
        assertion: The check that has to notice it.
        adapter: The adapter that was judged.
        noticed: Whether the check failed.
        why: What the check said, or what is wrong with the saboteur.
    """

    assertion: str
    adapter: str
    noticed: bool
    why: str


def sabotage(
    judge: Judge, adapter: str, *, only: Sequence[str] = (), told: Callable[[Sabotaged], None] = lambda _one: None
) -> list[Sabotaged]:
    """Run the saboteurs of all checks that apply to an adapter.

    Args:
        judge: Says which checks apply.
        adapter: The adapter.
        only: Assertions or scenarios to try; all if empty.
        told: Hears of each as it is done.
    """
    discover()
    todo = [
        (id_, check.saboteur(adapter))
        for id_, check in sorted(CHECKS.items())
        if (not only or id_ in only or id_.partition(".")[0] in only)
        and not judge.cannot(scenario(id_.partition(".")[0]), id_)
    ]

    def one(work: tuple[str, Saboteur | None]) -> Sabotaged:
        done = _try(work[0], adapter, work[1], Path(whole))
        told(done)
        return done

    with tempfile.TemporaryDirectory(prefix="toolguard-whole-") as whole, ThreadPoolExecutor(PROCESSES) as pool:
        source = Path(toolguard.__file__).parent  # copied once: all saboteurs break the same state of the code
        shutil.copytree(source, Path(whole) / "toolguard", ignore=shutil.ignore_patterns("__pycache__"))
        return list(pool.map(one, todo))


def _try(assertion: str, adapter: str, saboteur: Saboteur | None, whole: Path) -> Sabotaged:
    if saboteur is None:
        return Sabotaged(assertion, adapter, noticed=False, why=f"it has no saboteur for {adapter}")
    with tempfile.TemporaryDirectory(prefix="toolguard-saboteur-") as folder:
        copy = Path(folder)
        shutil.copytree(whole / "toolguard", copy / "toolguard")
        wrong = _break(copy / saboteur.file, saboteur)
        if wrong:
            return Sabotaged(assertion, adapter, noticed=False, why=wrong)
        return _judge(assertion, adapter, copy)


def _break(path: Path, saboteur: Saboteur) -> str:
    if not path.exists():
        return f"there is no {saboteur.file}"
    text = path.read_text()
    times = text.count(saboteur.old)
    if times != 1:
        return f"{saboteur.old.strip()!r} occurs {times} times in {saboteur.file}, not once"
    path.write_text(text.replace(saboteur.old, saboteur.new))
    return ""


def _judge(assertion: str, adapter: str, copy: Path) -> Sabotaged:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", __name__, assertion, adapter]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, on a copy of this package
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=_LONGEST, check=False
        )
    except subprocess.TimeoutExpired:
        return Sabotaged(assertion, adapter, noticed=False, why=f"no answer within {_LONGEST:g} s")
    answers = [line for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    if not answers:
        return Sabotaged(assertion, adapter, noticed=False, why=f"it could not be judged: {done.stderr[-600:]}")
    answer = json.loads(answers[0].removeprefix(_ANSWER))
    if answer["place"] != str(copy / "toolguard"):
        return Sabotaged(assertion, adapter, noticed=False, why=f"the copy was not used, but {answer['place']}")
    noticed = answer["status"] == "failed"
    return Sabotaged(assertion, adapter, noticed=noticed, why=f"{answer['status']}: {answer['why']}".rstrip(": "))


def main(assertion: str, adapter: str) -> None:
    """In the other process: judge one assertion and say what became of it."""
    from toolguard.testing.scenarios.drivers import guarded  # noqa: PLC0415 - the copy's own
    from toolguard.testing.scenarios.judge import Judge  # noqa: PLC0415

    discover()

    lasting = "second_process" in CHECKS[assertion].needs
    result = Judge(guarded(adapter), "disk" if lasting else "memory").judge(assertion.partition(".")[0], [assertion])
    outcome = result.outcomes[0]
    place = str(Path(toolguard.__file__).parent)
    print(_ANSWER + json.dumps({"status": outcome.status, "why": outcome.why, "place": place}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
