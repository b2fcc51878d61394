"""``python -m toolguard.testing.scenarios``: plays every scenario over every adapter and prints the table."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from toolguard.testing.scenarios.drivers import ADAPTERS, guarded, naive
from toolguard.testing.scenarios.judge import Judge
from toolguard.testing.scenarios.places import KINDS, Places
from toolguard.testing.scenarios.report import as_data, console, failed, show, show_sabotage
from toolguard.testing.scenarios.sabotage import Sabotaged, sabotage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.testing.scenarios.judge import Result


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m toolguard.testing.scenarios", description=__doc__)
    parser.add_argument("--adapter", action="append", choices=ADAPTERS, help="only this adapter (again for more)")
    parser.add_argument("--scenario", nargs="+", default=[], metavar="S01", help="only these scenarios")
    parser.add_argument("--store", choices=KINDS, default="disk", help="where the guard keeps its journal")
    parser.add_argument("--naive", action="store_true", help="only the naive application: what fails without toolguard")
    parser.add_argument("--saboteurs", action="store_true", help="also break the code once for every check")
    parser.add_argument("--json", action="store_true", help="print data instead of the table")
    return parser.parse_args(arguments)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)  # noqa: T201 - progress of long work


def _told(where: str) -> Callable[[Result], None]:
    def told(result: Result) -> None:
        bad = result.count("failed") + result.count("error")
        _say(f"{where} {result.scenario.id}: {result.checked} checked, {bad} fail ({result.seconds:.1f} s)")

    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, judge, print.

    Returns:
        The exit code: 1 if a guarded assertion fails or a saboteur goes unnoticed.
    """
    options = _options(arguments)
    ids = [name.upper() for name in options.scenario]
    results: list[Result] = []
    without: list[Result] = []
    broken: list[Sabotaged] = []
    with Places(options.store) as places:
        for adapter in options.adapter or ADAPTERS:
            if not options.naive:
                results += Judge(guarded(adapter), places).all(ids, _told(adapter))
            without += Judge(naive(adapter), "memory").all(ids, _told(f"{adapter} (naive)"))
            if options.saboteurs or os.environ.get("SABOTEURS"):
                judge = Judge(guarded(adapter), places)
                _say(f"{adapter}: breaking the code, once for every check")
                broken += sabotage(
                    judge, adapter, only=ids, told=lambda one: _say(f"  {one.assertion}: {one.why.splitlines()[0]}")
                )
    if options.json:
        print(json.dumps(as_data(results, without, broken), indent=1))  # noqa: T201
        return int(failed(results) or any(not one.noticed for one in broken))
    out = console()
    show(out, results or without, without)
    well = show_sabotage(out, broken) if broken else True
    return int(failed(results) or not well)


if __name__ == "__main__":
    sys.exit(main())
