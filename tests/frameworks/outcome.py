"""What became of every test in every run, and in what the guarded runs differ from the plain ones."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # the files are pytest's own
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Outcomes = dict[str, str]
"""What became of each test: passed, failed, error or skipped."""
_BAD = ("error", "failure", "skipped")


def read(report: Path) -> Outcomes:
    """Read pytest's JUnit file; a test that failed and whose teardown failed too stands in it twice."""
    found: Outcomes = {}
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314
        name = f"{case.get('classname')}::{case.get('name')}"
        said = next((kind for kind in _BAD if case.find(kind) is not None), "passed")
        if found.get(name, "passed") == "passed":
            found[name] = said
    return found


def steady(runs: Sequence[Outcomes]) -> set[str]:
    """The tests that passed in every run."""
    sets = [{name for name, said in run.items() if said == "passed"} for run in runs]
    return set.intersection(*sets) if sets else set()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of a whole comparison.

    Attributes:
        suite: Which framework's.
        version: The framework's version under test.
        tests: Where the tests are from.
        plain: How many tests pass in every plain run.
        guarded: How many pass in every guarded run.
        lost: Tests that pass in every plain run and not in every guarded one, with what became of them in each.
        gained: The other way round.
        unsteady: Tests that did not end the same in all plain runs.
        watched: What the guarded runs counted, each: calls that went through observe mode, tools, what could not be guarded.
        totals: How many tests ended how, in each run.
        once: Tests that differed the first time and not when they were run again.
    """

    suite: str
    version: str
    tests: str
    plain: int
    guarded: int
    lost: dict[str, list[str]]
    gained: dict[str, list[str]]
    unsteady: list[str]
    watched: list[dict[str, Any]] = field(default_factory=list)
    totals: dict[str, dict[str, int]] = field(default_factory=dict)
    once: dict[str, list[str]] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether the two sets are equal."""
        return not self.lost and not self.gained

    @property
    def differing(self) -> dict[str, list[str]]:
        """All tests in which the sets differ."""
        return {**self.lost, **self.gained}

    def files(self, root: Path) -> list[str]:
        """The files of those tests: JUnit names a test by its module and class."""
        found: set[str] = set()
        for name in self.differing:
            parts = name.partition("::")[0].split(".")
            paths = ("/".join(parts[:end]) + ".py" for end in range(len(parts), 0, -1))
            found.update(path for path in paths if (root / path).is_file())
        return sorted(found)

    def after(self, again: Verdict) -> Verdict:
        """This verdict, with what differed the second time as well."""
        lost = {name: fates + again.lost[name] for name, fates in self.lost.items() if name in again.lost}
        gained = {name: fates + again.gained[name] for name, fates in self.gained.items() if name in again.gained}
        once = {name: fates for name, fates in self.differing.items() if name not in {**lost, **gained}}
        return replace(self, lost=lost, gained=gained, once=once)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {**asdict(self), "same": self.same}


def compared(
    suite: str, version: str, tests: str, plain: Sequence[Outcomes], guarded: Sequence[Outcomes], watched: Sequence[Any]
) -> Verdict:
    """Compare the runs."""
    without, with_ = steady(plain), steady(guarded)

    def fates(names: set[str]) -> dict[str, list[str]]:
        return {name: [run.get(name, "absent") for run in (*plain, *guarded)] for name in sorted(names)}

    every = set().union(*plain)
    return Verdict(
        suite,
        version,
        tests,
        len(without),
        len(with_),
        fates(without - with_),
        fates(with_ - without),
        sorted(name for name in every if len({run.get(name, "absent") for run in plain}) > 1),
        list(watched),
        {
            f"{kind} {number + 1}": dict(Counter(run.values()))
            for kind, runs in (("plain", plain), ("guarded", guarded))
            for number, run in enumerate(runs)
        },
    )


def told(verdict: Verdict) -> str:
    """The verdict for people."""
    lines = [
        f"{verdict.suite} {verdict.version}, tests of {verdict.tests}",
        *(f"  {name:<10} {_counts(ended)}" for name, ended in verdict.totals.items()),
        f"  pass in every plain run    {verdict.plain}",
        f"  pass in every guarded run  {verdict.guarded}",
        *(_watched(number, one) for number, one in enumerate(verdict.watched, 1)),
    ]
    if verdict.unsteady:
        lines.append(f"  end differently from one plain run to the next: {len(verdict.unsteady)}")
        lines += [f"    {name}" for name in verdict.unsteady]
    for title, names in (
        ("only pass plain", verdict.lost),
        ("only pass guarded", verdict.gained),
        ("differed the first time and not when run again", verdict.once),
    ):
        lines += [f"  {title}: {len(names)}"] if names else []
        lines += [f"    {name}: {', '.join(fates)}" for name, fates in names.items()]
    lines.append("the same set" if verdict.same else "NOT the same set")
    return "\n".join(lines)


def _counts(ended: Mapping[str, int]) -> str:
    return ", ".join(f"{ended[kind]} {kind}" for kind in ("passed", "failure", "error", "skipped") if kind in ended)


def _watched(number: int, one: Mapping[str, Any]) -> str:
    ends = ", ".join(f"{count} {phase}" for phase, count in sorted(one["phases"].items()))
    left = "; ".join(f"{count} {why}" for why, count in sorted(one["unguarded"].items())) or "none"
    return (
        f"  guarded {number}: {one['calls']} calls of {one['tools']} tools in {one['tests']} tests went through observe "
        f"mode ({ends}); not guarded: {left}; troubles: {one['troubles'] or 'none'}"
    )
