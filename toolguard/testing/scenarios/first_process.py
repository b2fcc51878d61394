"""``python -m toolguard.testing.scenarios.first_process``: the process of a scenario that dies."""

from __future__ import annotations

import sys
from pathlib import Path

from toolguard.testing.scenarios.drivers import guarded, naive
from toolguard.testing.scenarios.kit import Room, discover, script_of


def main(id_: str, variant: str, folder: str, store: str, place: str, adapter: str, is_guarded: str) -> None:
    """Play up to the step at which this process kills itself."""
    discover()
    driver = guarded(adapter) if is_guarded == "1" else naive(adapter)
    driver.play_until_death(script_of(id_, variant), Room(Path(folder), store, place))


if __name__ == "__main__":
    main(*sys.argv[1:])
