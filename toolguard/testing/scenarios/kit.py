"""The contract between scenarios, drivers and the judge: scripts, variants, checks and saboteurs.

One module for each scenario (``s01.py`` ...), found by itself, holds what belongs to that scenario::

    @variant("S04", "undo_declared")
    def undo_declared(script: Script) -> Script:
        return script.with_tool("book", undo="unbook")

    @check(
        "S04.4",
        plays=("main", "undo_declared"),
        saboteur=Saboteur("toolguard/core/outbox.py", old="if run.offer_undo else {}", new="if False else {}"),
    )
    def undo_is_offered(played: Played) -> None:
        must(played.began("unbook") == 0, "the undo ran by itself")

- A **variant** turns the scenario's script into another one: other steps, tools, limits or faults. ``main`` is the
  script as it stands in ``scenarios.toml``.
- A **check** judges one assertion. It is called with each play that it names, one after the other (with all of them
  at once, as a tuple, if ``together``), and says what is wrong with :func:`must`. It reads what the other side
  received, the ledger of side effects and the journal, all of them in :class:`~.played.Played`; times are
  milliseconds on the timeline's clock.
- What only some adapters can do is a **hook** (:data:`~.hooks.HOOKS`): a check that ``needs`` one is not applicable
  where the driver lacks it, and the table names it. The same goes for a variant: ``@variant(..., needs=("hook",))``.
- A scenario whose process dies (``process.dies``, ``guard.recovers``) is played by two processes, of which the first
  kills itself; its checks need the hook ``second_process``, and a store that outlives a process.
- A **saboteur** is one change of the engine or the adapter after which that very check fails: ``old`` has to occur
  exactly once in the file. To fail means :func:`must`; a play that falls over does not count. Where the check's own
  saboteur says nothing for an adapter, that adapter has another one in its ``saboteurs_*.py`` (:func:`sabotages`).
- A **driver** (:class:`Driver`) plays scripts over one adapter; what it lacks, it names with the framework's file and
  function. A step that no stage can play yet is added to ``stage.py``, a new adapter to ``drivers.py``.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from toolguard.engine.limits import Limits
from toolguard.testing.scenarios.data import Scenario, Step, ToolPlan, scenario
from toolguard.testing.scenarios.hooks import HOOKS

if TYPE_CHECKING:
    from pathlib import Path

    from toolguard.core.policy import Policy
    from toolguard.engine.guard import Guard
    from toolguard.testing.scenarios.played import Played

Judge = Callable[[Any], None]
Vary = Callable[["Script"], "Script"]
Beside = Callable[["Guard", dict[str, Any]], AbstractContextManager[None]]
J = TypeVar("J", bound=Judge)
V = TypeVar("V", bound=Vary)


class Broken(AssertionError):  # noqa: N818 - named for what was found
    """An assertion of a scenario does not hold."""


def must(holds: object, otherwise: str) -> None:
    """Say what is wrong unless something holds.

    Raises:
        Broken: It does not hold.
    """
    if not holds:
        raise Broken(otherwise)


@dataclass(frozen=True)
class Script:
    """A scenario as it is to be played.

    Attributes:
        scenario: The scenario.
        variant: Which variant of it.
        tools: The tools.
        steps: The timeline.
        rest: Seconds that the play goes on after its last step.
        limits: The guard's limits.
        policy: The guard's policy, None for the default.
        guard: More arguments of the guard.
        session: More settings of the provider's session.
        prepare: Called with the other side's end of the connection before anything happens: to delay, repeat or lose
            frames.
        beside: Entered with the guard and the notes of the application (``Played.app``) for as long as its session
            lasts: to listen to events or to the log.
        next_line: As ``prepare``, for each further connection.
        rebuild: More settings of how the adapter replaces a lost connection, or one that comes to its limit.
        connects: Called with the other side's end of every connection as it is made.
    """

    scenario: Scenario
    variant: str
    tools: tuple[ToolPlan, ...]
    steps: tuple[Step, ...]
    rest: float = 6.0
    limits: Limits = field(default_factory=Limits)
    policy: Policy | None = None
    guard: Mapping[str, Any] = field(default_factory=dict[str, Any])
    session: Mapping[str, Any] = field(default_factory=dict[str, Any])
    prepare: tuple[Callable[[Any], None], ...] = ()
    beside: tuple[Beside, ...] = ()
    next_line: Callable[[Any], None] | None = None
    rebuild: Mapping[str, Any] = field(default_factory=dict[str, Any])
    connects: tuple[Callable[[Any], None], ...] = ()

    @property
    def name(self) -> str:
        """For people: ``S04`` or ``S04/undo_declared``."""
        return self.scenario.id if self.variant == "main" else f"{self.scenario.id}/{self.variant}"

    def but(self, **changes: Any) -> Script:
        """The same script with some fields changed."""
        return replace(self, **changes)

    def with_steps(self, *steps: Step) -> Script:
        """The same script with more steps, in order of time."""
        return replace(self, steps=tuple(sorted((*self.steps, *steps), key=lambda step: step.at)))

    def without(self, which: Callable[[Step], bool]) -> Script:
        """The same script without some steps."""
        return replace(self, steps=tuple(step for step in self.steps if not which(step)))

    def with_step(self, verb: str, call: str = "", **changes: Any) -> Script:
        """The same script with the steps of this verb (and call) changed."""

        def new(step: Step) -> Step:
            meant = step.verb == verb and call in {"", step.call}
            return msgspec.structs.replace(step, **changes) if meant else step

        return replace(self, steps=tuple(sorted((new(step) for step in self.steps), key=lambda step: step.at)))

    def with_tool(self, name: str, **changes: Any) -> Script:
        """The same script with a tool changed, or added if there is none of this name."""
        if all(tool.name != name for tool in self.tools):
            return replace(self, tools=(*self.tools, ToolPlan(name=name, **changes)))
        tools = (msgspec.structs.replace(tool, **changes) if tool.name == name else tool for tool in self.tools)
        return replace(self, tools=tuple(tools))

    @property
    def reconnects(self) -> bool:
        """Whether the provider's connection is replaced in the course of it."""
        return bool(self.rebuild) or any(step.verb == "provider.closes" for step in self.steps)

    def prepared(self, *prepare: Callable[[Any], None]) -> Script:
        """The same script with more preparations of the other side."""
        return replace(self, prepare=(*self.prepare, *prepare))


@dataclass(frozen=True)
class Room:
    """Where one play takes place.

    Attributes:
        folder: A folder of its own, for the ledger and a store on disk.
        store: ``memory``, ``disk``, ``redis`` or ``postgres``.
        place: Where the guard keeps its journal, as a guard takes it.
    """

    folder: Path
    store: str
    place: str


class Driver(Protocol):
    """Plays scripts over one adapter, guarded or naive."""

    name: str
    """The adapter's name."""
    guarded: bool
    """False for the naive application: the same other side, and no toolguard."""
    hooks: frozenset[str]
    """The :data:`~.hooks.HOOKS` that it has."""
    lacks: Mapping[str, str]
    """Why it has not the others: the framework's file and function in which the hook would be, by hook."""
    verbs: frozenset[str]
    """The steps that it can play; a scenario with another one is not applicable, and the table says which."""

    def play(self, script: Script, room: Room) -> Played:
        """Play a script to its end on a virtual loop and collect what is to be judged."""
        ...

    def play_until_death(self, script: Script, room: Room) -> None:
        """Play the first process of a script, in a process of its own that kills itself on the way."""
        ...


@dataclass(frozen=True)
class Saboteur:
    """One change of the code that has to be noticed.

    Attributes:
        file: The file, from the folder that holds the package: ``toolguard/engine/gate.py``.
        old: Text that occurs exactly once in it.
        new: What stands there instead.
    """

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Check:
    """The check of one assertion."""

    id: str
    judge: Judge
    saboteurs: Mapping[str, Saboteur]
    plays: tuple[str, ...]
    needs: tuple[str, ...]
    together: bool

    def saboteur(self, adapter: str) -> Saboteur | None:
        """The saboteur for an adapter."""
        return SABOTEURS.get((adapter, self.id)) or self.saboteurs.get(adapter) or self.saboteurs.get("")


@dataclass(frozen=True)
class Variant:
    """A variant of a scenario's script."""

    scenario: str
    name: str
    vary: Vary
    needs: tuple[str, ...]


CHECKS: dict[str, Check] = {}
VARIANTS: dict[tuple[str, str], Variant] = {}
SABOTEURS: dict[tuple[str, str], Saboteur] = {}
"""Saboteurs that one adapter has in place of a check's own, by adapter and assertion."""
_MODULE = re.compile(r"s\d\d|saboteurs_\w+")


def check(
    assertion: str,
    *,
    saboteur: Saboteur | Mapping[str, Saboteur],
    plays: tuple[str, ...] = ("main",),
    needs: tuple[str, ...] = (),
    together: bool = False,
) -> Callable[[J], J]:
    """Register the check of an assertion.

    Args:
        assertion: Its id, ``S01.1``.
        saboteur: The change after which it fails, or one for each adapter.
        plays: The variants that it judges.
        needs: Hooks without which it is not applicable.
        together: Judge all plays at once, as a tuple, instead of one after the other.
    """
    if assertion in CHECKS:
        raise ValueError(f"{assertion} has a check already")
    by_adapter = {"": saboteur} if isinstance(saboteur, Saboteur) else dict(saboteur)
    unknown = [hook for hook in needs if hook not in HOOKS]
    if unknown:
        raise ValueError(f"{assertion} needs {unknown[0]}, which is no hook")

    def register(judge: J) -> J:
        CHECKS[assertion] = Check(assertion, judge, by_adapter, plays, needs, together)
        return judge

    return register


def variant(scenario_id: str, name: str, *, needs: tuple[str, ...] = ()) -> Callable[[V], V]:
    """Register a variant of a scenario's script."""

    def register(vary: V) -> V:
        if (scenario_id, name) in VARIANTS:
            raise ValueError(f"{scenario_id} has a variant {name} already")
        VARIANTS[scenario_id, name] = Variant(scenario_id, name, vary, needs)
        return vary

    return register


def sabotages(adapter: str, saboteurs: Mapping[str, Saboteur]) -> None:
    """Register saboteurs of one adapter, by assertion, in place of the checks' own."""
    SABOTEURS.update({(adapter, assertion): one for assertion, one in saboteurs.items()})


def script_of(scenario_id: str, name: str = "main") -> Script:
    """The script of a scenario's variant."""
    story = scenario(scenario_id)
    script = Script(story, "main", story.tools, tuple(sorted(story.steps, key=lambda step: step.at)))
    return script if name == "main" else VARIANTS[scenario_id, name].vary(script).but(variant=name)


@cache
def discover() -> tuple[str, ...]:
    """Import the modules of the scenarios and of the adapters' own saboteurs; the scenarios' ids in order."""
    package = importlib.import_module(__package__ or "")
    names = sorted(found.name for found in pkgutil.iter_modules(package.__path__) if _MODULE.fullmatch(found.name))
    for name in names:
        importlib.import_module(f"{package.__name__}.{name}")
    return tuple(name.upper() for name in names if not name.startswith("saboteurs_"))
