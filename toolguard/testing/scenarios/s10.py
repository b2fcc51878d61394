"""S10: a batch of calls: order of completion, a hand-off among them, one that needs another."""

from __future__ import annotations

import functools
import itertools
import json
from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_CALLS = ("c1", "c2", "c3")
_ENDS = (200, 900, 2500)
"""When the three calls end, in one order or another."""


def _ending(script: Script, order: tuple[int, ...]) -> Script:
    """Nobody speaks, and the calls end in this order; the note is saved 100 ms before it says so."""
    ends = dict(zip(_CALLS, (_ENDS[place] for place in order), strict=True))
    changed = script.without(lambda step: step.who == "caller")
    for call, at in ends.items():
        changed = changed.with_step("tool.returns", call, at=at)
    return changed.with_tool("save_note", commits_at=ends["c2"] - 100)


def _orders() -> tuple[str, ...]:
    names: list[str] = []
    for order in itertools.permutations(range(3)):
        names.append("ends_" + "".join(_CALLS[order.index(place)][1] for place in range(3)))
        variant("S10", names[-1])(functools.partial(_ending, order=order))
    return tuple(names)


_ORDERS = _orders()


@variant("S10", "two_hand_offs")
def _two_hand_offs(script: Script) -> Script:
    """Another hand-off stands behind the others."""
    other = Step(at=0, who="model", does="calls", call="c4", tool="transfer_to_b", args={"agent": "C"}, generation="g1")
    return script.without(lambda step: step.who == "caller").with_steps(other)


@variant("S10", "no_hand_off")
def _no_hand_off(script: Script) -> Script:
    """A note and a read alone; the read ends first."""
    rest = script.without(lambda step: step.who == "caller" or step.call == "c1")
    return rest.with_step("tool.returns", "c3", at=100)


def _rooms(script: Script, **returns: Any) -> Script:
    """A room is saved, and a dinner in it is booked: the dinner requires the room."""
    plan: dict[str, Any] = {"effect": "mutation", "ms": 800, "takes": {"guest": "string"}, "identity": ("guest",)}
    steps = [
        Step(at=0, who="model", does="calls", call=call, tool=tool, args={"guest": "Ana"}, generation="g1")
        for call, tool in (("c1", "save_room"), ("c2", "book_dinner"))
    ]
    tools = script.with_tool("save_room", **plan).with_tool(
        "book_dinner", **plan, options={"requires": ["save_room"]}
    )
    ended = Step(at=800, who="tool", does="returns", call="c1", **returns)
    return tools.without(lambda _step: True).with_steps(*steps, ended)


@variant("S10", "requires")
def _requires(script: Script) -> Script:
    return _rooms(script, value={"room": 12})


@variant("S10", "requires_in_vain")
def _requires_in_vain(script: Script) -> Script:
    return _rooms(script, raises="no room is free").with_tool("save_room", commits_at=900.0)
