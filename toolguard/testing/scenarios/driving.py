"""What every driver does: it plays a script on a virtual loop, in one process or in two, and collects what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from toolguard.testing.scenarios.agents import cuts_of, forms_of
from toolguard.testing.scenarios.evidence import journal_of
from toolguard.testing.scenarios.ground import Ground, virtual
from toolguard.testing.scenarios.second_process import contend, play_first
from toolguard.testing.scenarios.troubles import torn_down

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from toolguard.engine.guard import Guard
    from toolguard.engine.session import Session
    from toolguard.testing.scenarios.kit import Room, Script
    from toolguard.testing.scenarios.played import Played

G = TypeVar("G", bound=Ground[Any])
SESSION = "call-1"
"""The id of the session in every guarded play."""


class Process(Protocol):
    """The application's process."""

    async def begin(self) -> None:
        """It starts, and answers the phone."""
        ...

    async def again(self) -> None:
        """A supervisor restarts it, in good order."""
        ...

    async def end(self) -> None:
        """It ends."""
        ...


class Driving(Generic[G]):
    """A driver over one adapter.

    Attributes:
        name: The adapter's name.
        guarded: Whether toolguard is there.
        hooks: What it has.
        lacks: Why it has not the others.
        verbs: The steps that it can play.
    """

    name: str
    guarded: bool
    hooks: frozenset[str]
    lacks: Mapping[str, str]
    verbs: frozenset[str]

    def setting(
        self, script: Script, room: Room, faults: list[str], since: float | None
    ) -> AbstractAsyncContextManager[G]:
        """Where the play takes place."""
        raise NotImplementedError

    def process(self, setting: G) -> Process:
        """The application's process there; a guarded one is a :class:`Guarded`."""
        raise NotImplementedError

    def play(self, script: Script, room: Room) -> Played:
        """Play a script to its end."""
        since = play_first(script, room, adapter=self.name, guarded=self.guarded)
        with virtual() as (runner, faults):
            setting = runner.run(self._play(script, room, faults, since))
        played = setting.played(self.name, guarded=self.guarded)
        if not self.guarded:
            return played
        entries, open_calls, sessions = journal_of(setting.app["store"], setting.base)
        return replace(played, entries=entries, open_calls=open_calls, sessions=sessions)

    def play_until_death(self, script: Script, room: Room) -> None:
        """Play in a process that kills itself on the way."""
        with virtual() as (runner, faults):
            runner.run(self._play(script, room, faults))

    async def _play(self, script: Script, room: Room, faults: list[str], since: float | None = None) -> G:
        async with self.setting(script, room, faults, since) as setting:
            process = self.process(setting)
            rivals = any(step.verb == "process.rival" for step in script.steps)
            if self.guarded and rivals and since is not None:
                setting.app["rivals"] = await contend(setting, SESSION)
            await process.begin()
            with torn_down():
                try:
                    await setting.go(process.again)
                    if isinstance(process, Guarded):
                        setting.app["unheard"] = process.guard.unheard(SESSION)
                finally:
                    await process.end()
            if self.guarded:
                await setting.settle()
        return setting


class Guarded(Generic[G]):
    """What a guarded application does beside calls."""

    guard: Guard
    session: Session

    def __init__(self, setting: G) -> None:
        self._setting = setting

    def keep(self, facts: Mapping[str, Any]) -> None:
        """Keep facts."""
        self.session.facts.keep(**facts)

    def compact(self, keep_last: int) -> None:
        """Shorten the history."""
        app, packet = self._setting.app, self.session.packet
        app["cuts"], app["rendered"], app["packet"] = cuts_of(packet), forms_of(packet, keep_last), packet

    def change_provider(self) -> None:
        """Give the shortened history to other providers."""
        self._setting.app["changed"] = self._setting.app["rendered"]


class Naive(Generic[G]):
    """What the application of the reports does beside calls."""

    def __init__(self, setting: G) -> None:
        self._setting = setting

    def keep(self, facts: Mapping[str, Any]) -> None:
        """It keeps what was said, and nothing else."""

    def shorten(self, items: list[Any]) -> None:
        """Cut a history everywhere, whatever stands there."""
        self._setting.app["cuts"] = {keep: items[len(items) - keep :] for keep in range(len(items) + 1)}

    def change_provider(self) -> None:
        """Give the shortened history to other providers."""
        self._setting.app["changed"] = self._setting.app["rendered"]
