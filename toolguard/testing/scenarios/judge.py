"""Plays what the checks ask for, each script once, and lets every check speak."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toolguard.testing.scenarios.data import collection, scenario
from toolguard.testing.scenarios.hooks import HOOKS, PLAYED_BY
from toolguard.testing.scenarios.kit import CHECKS, VARIANTS, Broken, Check, Driver, Room, discover, script_of
from toolguard.testing.scenarios.places import Kind, Places

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.testing.scenarios.data import Scenario
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

Status = Literal["passed", "failed", "error", "not applicable"]


@dataclass(frozen=True)
class Outcome:
    """What became of one assertion on one adapter."""

    assertion: str
    status: Status
    why: str = ""


@dataclass(frozen=True)
class Result:
    """What became of one scenario on one adapter."""

    scenario: Scenario
    adapter: str
    guarded: bool
    outcomes: tuple[Outcome, ...]
    seconds: float

    def count(self, status: Status) -> int:
        """How many assertions ended so."""
        return sum(one.status == status for one in self.outcomes)

    @property
    def checked(self) -> int:
        """How many assertions were judged at all."""
        return len(self.outcomes) - self.count("not applicable")


class Judge:
    """Judges one driver.

    Args:
        driver: The driver.
        store: The kind of store, or the places that plays are to have.
    """

    def __init__(self, driver: Driver, store: Kind | Places = "disk") -> None:
        discover()
        self._driver = driver
        self._places = store if isinstance(store, Places) else Places(store)

    def judge(self, id_: str, only: Sequence[str] = ()) -> Result:
        """Judge a scenario, or only some of its assertions."""
        story = scenario(id_)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="toolguard-scenario-") as folder:
            plays = _Plays(self._driver, Path(folder), self._places)
            outcomes = [self._outcome(story, one, plays) for one in story.must if not only or one in only]
        seconds = time.perf_counter() - began
        return Result(story, self._driver.name, self._driver.guarded, tuple(outcomes), seconds)

    def all(self, ids: Sequence[str] = (), told: Callable[[Result], None] = lambda _result: None) -> list[Result]:
        """Judge these scenarios, or all; ``told`` hears of each as it is done."""
        results: list[Result] = []
        for story in collection().scenario:
            if not ids or story.id in ids:
                results.append(self.judge(story.id))
                told(results[-1])
        return results

    def _outcome(self, story: Scenario, assertion: str, plays: _Plays) -> Outcome:
        why = self.cannot(story, assertion)
        if why:
            return Outcome(assertion, "not applicable", why)
        check = CHECKS[assertion]
        names, left_out = self._playable(story, check)
        try:
            played = [plays.of(script_of(story.id, name)) for name in names]
            for one in [tuple(played)] if check.together else played:
                check.judge(one)
        except Broken as broken:
            return Outcome(assertion, "failed", str(broken))
        except Exception as error:  # noqa: BLE001 - a play that falls over is an outcome too, told apart from a failure
            return Outcome(assertion, "error", f"{type(error).__name__}: {error}")
        return Outcome(assertion, "passed", left_out)

    def cannot(self, story: Scenario, assertion: str) -> str:
        """Why an assertion is not applicable to the driver; empty where it is."""
        if story.later:
            return story.later
        check = CHECKS.get(assertion)
        if check is None:
            return "it has no check"
        if "second_process" in _needs(story, check) and self._places.kind == "memory" and self._driver.guarded:
            return "the memory store dies with its process"
        missing = self._missing(check.needs)
        if missing:
            return missing
        names, left_out = self._playable(story, check)
        return "" if names else left_out

    def _playable(self, story: Scenario, check: Check) -> tuple[tuple[str, ...], str]:
        """The plays of a check that the driver can play, and why it cannot play the first of the others."""
        why = {name: self._unplayable(story, name) for name in check.plays}
        found = tuple(name for name in check.plays if not why[name])
        return found, next((f"without {name}: {one}" if found else one for name, one in why.items() if one), "")

    def _unplayable(self, story: Scenario, name: str) -> str:
        missing = self._missing(VARIANTS[story.id, name].needs) if name != "main" else ""
        if missing:
            return missing
        verbs = [step.verb for step in script_of(story.id, name).steps if step.who not in {"tool", "guard"}]
        strange = next((verb for verb in verbs if verb not in self._driver.verbs), "")
        missing = self._missing([PLAYED_BY[strange]]) if strange in PLAYED_BY else ""
        return missing or (f"{self._driver.name} cannot play {strange}" if strange else "")

    def _missing(self, needs: Sequence[str]) -> str:
        hook = next((one for one in needs if one not in self._driver.hooks), "")
        if not hook:
            return ""
        where = self._driver.lacks.get(hook)
        return f"{self._driver.name} lacks the hook {hook}, {HOOKS[hook]}" + (f": {where}" if where else "")


def _needs(story: Scenario, check: Check) -> list[str]:
    of_plays = [VARIANTS[story.id, name].needs for name in check.plays if name != "main"]
    return [*check.needs, *(hook for needs in of_plays for hook in needs)]


class _Plays:
    """Plays each script once."""

    def __init__(self, driver: Driver, folder: Path, places: Places) -> None:
        self._driver = driver
        self._folder = folder
        self._places = places
        self._played: dict[str, Played | Exception] = {}

    def of(self, script: Script) -> Played:
        if script.name not in self._played:
            room = self._folder / script.variant
            room.mkdir()
            try:
                self._played[script.name] = self._driver.play(
                    script, Room(room, self._places.kind, self._places.new(room))
                )
            except Exception as error:  # noqa: BLE001 - told by every check that needs the play
                self._played[script.name] = error
        found = self._played[script.name]
        if isinstance(found, Exception):
            raise found
        return found
