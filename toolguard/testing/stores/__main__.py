"""Tells whether a store keeps every rule: ``python -m toolguard.testing.stores PLACE``."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from toolguard.errors import ToolguardError

if TYPE_CHECKING:
    from collections.abc import Sequence

ABOUT = """Run the conformance suite of toolguard against a store.

PLACE is memory, a directory, redis://..., valkey://..., postgresql://..., or factory:package.module:function for a
store of your own: the function is given a word and makes a closed handle on the content of that name, empty at first.
What PLACE holds already is left alone: the suite works in a
folder, a prefix or a schema of its own, and takes it away afterwards."""
WRONG, MISUSED = 1, 2


class Line(NamedTuple):
    """How one rule went: ``kept``, ``broken`` or ``cannot`` (the store's test has no way to find out), and why."""

    rule: str
    state: str
    why: str


class Report:
    """A plugin of pytest's that gathers how each rule went."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called by pytest for each phase of each test."""
        rule = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            words = str(crash.message if crash is not None else report.longrepr)
            self.lines.append(
                Line(rule, "broken", words if report.when == "call" else f"in its {report.when}: {words}")
            )
        elif report.skipped:
            told: Any = report.longrepr  # (file, line, reason)
            reason = str(told[2])
            self.lines.append(Line(rule, "cannot", reason.removeprefix("Skipped: cannot: ")))
        elif report.when == "call":
            self.lines.append(Line(rule, "kept", ""))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite and print its report; 0 where no rule is broken, 1 where one is, 2 where it could not be run."""
    parser = argparse.ArgumentParser(
        "python -m toolguard.testing.stores", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("place", metavar="PLACE", help="the store")
    parser.add_argument(
        "--only", metavar="WORD", default="", help="rules whose name contains the word (snapshot, lease)"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON for each rule")
    told = parser.parse_args(arguments)
    if find_spec("pytest") is None:
        return _say("the suite needs pytest: pip install pytest")
    from toolguard.testing.stores.fresh import check  # noqa: PLC0415 -- after the look at what is installed

    try:
        name = check(told.place)
    except (ToolguardError, OSError, ImportError, AttributeError) as error:
        return _say(str(error))
    lines = _run(told.place, told.only)
    if not lines:
        return _say(f"no rule has the word {told.only!r} in its name")
    if told.json:
        for line in lines:
            sys.stdout.write(json.dumps(line._asdict()) + "\n")
    else:
        _print(name, lines)
    return WRONG if any(line.state == "broken" for line in lines) else 0


def _run(place: str, only: str) -> list[Line]:
    import pytest  # noqa: PLC0415 -- after the look at what is installed

    os.environ["TOOLGUARD_TEST_PLACE"] = place
    report = Report()
    words = [
        "--pyargs", "toolguard.testing.stores.suite_place", "-q", "-c", os.devnull, "--rootdir", os.curdir,
        "--noconftest", "-o", "addopts=", "-o", "python_files=suite_place.py",
        "-p", "no:cacheprovider", "-p", "no:logging", "-p", "no:asyncio",
    ]  # fmt: skip
    if only:
        words += ["-k", only.strip().replace(" ", "_")]
    with redirect_stdout(io.StringIO()) as out:
        ended = pytest.main(words, plugins=[report])
    if ended not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}:
        sys.stderr.write(out.getvalue())
    return report.lines


def _print(name: str, lines: list[Line]) -> None:
    for line in lines:
        first = line.why.strip().splitlines()[0] if line.why.strip() else ""
        sys.stdout.write(f"{line.state:<7} {line.rule}{f': {first}' if first else ''}\n")
    counts = {state: sum(line.state == state for line in lines) for state in ("kept", "broken", "cannot")}
    sys.stdout.write(
        f"\n{name}: {counts['kept']} rules kept, {counts['broken']} broken,"
        f" {counts['cannot']} not to be found out here\n"
    )


def _say(words: str) -> int:
    sys.stderr.write(f"{words}\n")
    return MISUSED


if __name__ == "__main__":
    sys.exit(main())
