"""What the guard would have done in the observed run, told from its journal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.core.interrupt import BargeIn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.engine.feed import Event


@dataclass(frozen=True, slots=True)
class Supposed:
    """One thing that enforcing would have done.

    Attributes:
        what: In a word: ``held``, ``stopped``, ``joined``, ...
        text: In a sentence.
    """

    what: str
    text: str


_TAKEN = {
    "join": "joined: would have been attached to {first} in place of a second effect",
    "replay": "replayed: would have been answered with the result of {first}",
    "differs": "asked: would have been a question to the caller, because {first} stands with other details",
    "confirm": "asked: would have been a question to the caller, because {first} has done this already",
    "in_doubt": "in doubt: would have been told that {first} is in doubt",
}


def would_have(events: Sequence[Event], session: str) -> list[Supposed]:
    """Something for each write that enforcing would have treated otherwise.

    Args:
        events: The records of an observed session.
        session: Its id.
    """
    told: list[Supposed] = []
    calls: dict[int, r.Called] = {}
    for event in events:
        match event.record:
            case r.Called() as called:
                calls[called.run] = called
                if called.would in _TAKEN:
                    first = called.points_to or "an earlier call"
                    what, words = _TAKEN[called.would].format(first=first).split(": ", 1)
                    told.append(Supposed(what, f"{_named(session, called)} {words}"))
            case r.Interrupted(interrupt=BargeIn() as barge_in, decisions=decisions):
                told += [
                    Supposed(*_choice(one.choice, barge_in, _named(session, calls[one.run])))
                    for one in decisions
                    if one.choice != "go_on" and one.run in calls
                ]
            case r.Noticed(code="would_not_run", text=text):
                told.append(Supposed("not run", text))
            case _:
                pass
    return told


def _choice(choice: str, barge_in: BargeIn, name: str) -> tuple[str, str]:
    if choice == "hold":
        return "held", f"{name} would have waited when the caller began to speak"
    said = json.dumps(barge_in.said, ensure_ascii=False)
    return "stopped", f"{name} would have been stopped before its effect by {said}"


def _named(session: str, called: r.Called) -> str:
    arguments = ", ".join(f"{name}={value!r}" for name, value in r.plain_arguments(called.arguments).items())
    return f"{session}/{called.call} {called.tool}({arguments})"
