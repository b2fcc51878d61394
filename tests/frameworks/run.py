"""The command: run a framework's own tests three times as they are and three times guarded, and compare.

::

    python -m tests.frameworks livekit                      # clones the repository
    python -m tests.frameworks pipecat --repo ~/src/pipecat # a checkout or a bare repository that is there
    python -m tests.frameworks livekit --version 1.7.0      # that version under its own tests, not the installed one
    python -m tests.frameworks livekit tests/test_tools.py  # only these

The tests are those of the installed version's tag, or, where the repository does not have it, of the newest one before it;
the code under test is the released package. So some of them may fail for their age alone. That is no matter: what is
compared is which tests pass every time without the guard, and which pass every time with it. Those that need a key or a
network are in neither set. Where the sets differ, the files of those tests are run again, all runs of them: only what
differs both times counts, for a test of theirs may depend on how busy the machine is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .ground import Ground, prepared, say
from .outcome import Outcomes, Verdict, compared, read, told
from .suites import SUITES, Suite

if TYPE_CHECKING:
    from collections.abc import Sequence

INSTRUMENT = Path(__file__).parent / "instrument"
_KEYS = ("_API_KEY", "_API_SECRET", "_TOKEN", "_CREDENTIALS", "_SECRET_ACCESS_KEY")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and compare; 1 where the sets differ, 2 where a run did not come to its end."""
    options = _parser().parse_args(arguments)
    suite = SUITES[options.suite]
    ground = prepared(suite, options.work, options.repo, options.version)
    verdict = _compared(suite, ground, options, options.paths)
    if not verdict.same:
        say(f"{len(verdict.differing)} tests differ; their files are run again, for a difference has to show twice")
        verdict = verdict.after(_compared(suite, ground, options, verdict.files(ground.tests), "again-"))
    print(told(verdict))
    if options.json:
        options.json.write_text(json.dumps(verdict.as_json(), indent=2) + "\n")
    return 0 if verdict.same else 1


def _compared(
    suite: Suite, ground: Ground, options: argparse.Namespace, paths: Sequence[str], prefix: str = ""
) -> Verdict:
    """Run some tests as often as was asked for, plain and guarded in turns.

    Raises:
        SystemExit: A run did not come to its end.
    """
    reports = options.work / f"{suite.name}-reports"
    reports.mkdir(exist_ok=True)
    runs: dict[bool, list[Outcomes]] = {False: [], True: []}
    watched: list[Any] = []
    for number in range(1, options.runs + 1):
        for guarded in (False, True):
            name = f"{prefix}{'guarded' if guarded else 'plain'}-{number}"
            report, tally = reports / f"{name}.xml", reports / f"{name}.json"
            for old in (report, tally):
                old.unlink(missing_ok=True)
            began = time.monotonic()
            if _play(suite, ground, options, paths, report, tally if guarded else None) not in {0, 1}:
                say(f"{name}: pytest did not come to its end; see {report.with_suffix('.log')}")
                raise SystemExit(2)
            runs[guarded].append(read(report))
            if guarded:
                watched.append(json.loads(tally.read_text()))
            passed = sum(said == "passed" for said in runs[guarded][-1].values())
            say(f"{name}: {passed} of {len(runs[guarded][-1])} passed in {time.monotonic() - began:.0f} s")
    tests = f"{ground.tag} ({ground.commit[:12]})"
    return compared(suite.name, ground.version, tests, runs[False], runs[True], watched)


def _play(
    suite: Suite,
    ground: Ground,
    options: argparse.Namespace,
    paths: Sequence[str],
    report: Path,
    tally: Path | None,
) -> int:
    """One run in a process of its own; only a guarded one imports toolguard."""
    command = [
        str(ground.python), "-m", "pytest", "-q", "--tb=native", "-p", "no:cacheprovider", "--timeout", str(options.timeout),
        "--continue-on-collection-errors", "--junitxml", str(report), "-p", "bounded", *suite.options,
    ]  # fmt: skip
    command += [f"--ignore={path}" for path in suite.left_out]
    if tally is not None:
        command += ["-p", suite.plugins.get(options.guarded, next(iter(suite.plugins.values())))]
    environment = {name: value for name, value in os.environ.items() if not name.endswith(_KEYS)}
    environment |= dict(suite.environment)
    environment |= {"PYTHONPATH": str(INSTRUMENT), "TOOLGUARD_TALLY": str(tally or "")}
    with report.with_suffix(".log").open("w") as log:
        done = subprocess.run(
            [*command, *paths],
            cwd=ground.tests,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.frameworks",
        description="Which of a framework's own tests pass with every tool guarded in observe mode, and which without?",
    )
    parser.add_argument("suite", choices=list(SUITES))
    parser.add_argument(
        "paths", nargs="*", default=["tests"], help="tests to run, relative to the repository (default: all)"
    )
    parser.add_argument(
        "--repo", type=Path, metavar="PATH", help="a checkout or bare repository (default: it is cloned)"
    )
    parser.add_argument(
        "--version", default="", help="the framework's version (default: the one that is installed here)"
    )
    parser.add_argument(
        "--guarded",
        choices=("called", "declared"),
        help="guard a tool where it is called, or where it is declared (default for LiveKit)",
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each kind (default %(default)s)")
    parser.add_argument("--timeout", type=float, default=30, help="seconds that a test may take (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the verdict there")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "toolguard-suites",
        help="where checkouts, environments and reports go (default %(default)s)",
    )
    return parser
