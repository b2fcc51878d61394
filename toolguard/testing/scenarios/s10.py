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
    """A note and a read alone."""
    return script.without(lambda step: step.who == "caller" or step.call == "c1")


def _rooms(script: Script, **returns: Any) -> Script:
    """A room is saved, and a dinner in it is booked: the dinner requires the room."""
    plan: dict[str, Any] = {"effect": "mutation", "ms": 800, "takes": {"guest": "string"}, "identity": ("guest",)}
    steps = [
        Step(at=0, who="model", does="calls", call=call, tool=tool, args={"guest": "Ana"}, generation="g1")
        for call, tool in (("c1", "save_room"), ("c2", "book_dinner"))
    ]
    tools = script.with_tool("save_room", **plan).with_tool("book_dinner", **plan, options={"requires": ["save_room"]})
    ended = Step(at=800, who="tool", does="returns", call="c1", **returns)
    return tools.without(lambda _step: True).with_steps(*steps, ended)


@variant("S10", "requires")
def _requires(script: Script) -> Script:
    return _rooms(script, value={"room": 12})


@variant("S10", "requires_in_vain")
def _requires_in_vain(script: Script) -> Script:
    return _rooms(script, raises="no room is free").with_tool("save_room", commits_at=900.0)


@check(
    "S10.1",
    plays=("main", *_ORDERS),
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old="        if answer is None:\n            return\n",
        new="        if answer is None:\n            continue\n",
    ),
)
def outputs_stand_in_call_order(played: Played) -> None:
    """One output for each call, sent and standing in the order of the calls."""
    sent = tuple(one.call for one in played.outputs)
    must(sent == _CALLS, f"the outputs were sent in the order {sent}")
    stand = tuple(item.call for item in played.items if item.kind == "output" and item.call in _CALLS)
    must(stand == _CALLS, f"the outputs stand in the order {stand}")
    must(not played.problems, f"the conversation is not valid: {played.problems}")


@check(
    "S10.2",
    plays=("main", *_ORDERS, "two_hand_offs"),
    saboteur=Saboteur(
        "toolguard/engine/transfer.py",
        old="await self._settle_writes(own, min(patience, self._left(own)))",
        new="await self._settle_writes(own, 0.0)",
    ),
)
def the_hand_off_happens_once_behind_the_writes(played: Played) -> None:
    """One hand-off, when the note is saved; another one of the same response is answered with an error."""
    handed = played.effects("transfer_to_b")
    must(handed == 1, f"it was handed over {handed} times")
    places = [(one.seq, one.record.to) for one in played.entries if isinstance(one.record, r.HandOffRecord)]
    must([to for _, to in places] == ["B"], f"the journal has hand-offs to {[to for _, to in places]}")
    note = played.slot("c2").run
    saved = [one.seq for one in played.entries if isinstance(one.record, r.Returned) and one.record.run == note]
    must(saved and saved[0] < places[0][0], "it was handed over before the note was saved")
    new = [agent for _, agent in played.floors]
    must(new == ["B"], f"the floor was given to {new}")
    if played.script.variant == "two_hand_offs":
        told = json.loads(played.answer("c4").text)
        must(told["toolguard"] == "refused", f"the second hand-off was answered: {told}")


@check(
    "S10.3",
    plays=("main", "no_hand_off", *_ORDERS),
    saboteur=Saboteur(
        "toolguard/engine/delivery.py",
        old="if any(state.slots[n].context == state.context for n in state.unsent) and not self._eager:",
        new="if state.closed_batches and state.unsent and not state.slots:",
    ),
)
def the_model_is_asked_once_for_the_batch(played: Played) -> None:
    """One reply when all outputs are there; another one only for the read that went along to the next agent."""
    complete = max(one.at for one in played.outputs)
    replies = played.replies_after(0)
    must(replies and replies[0].at >= complete - 1, "the model was asked before all outputs were there")
    must(not any(one.problems for one in replies), "one of the requests is not valid")
    must(len(played.notes) <= 1, f"{len(played.notes)} notes were added")
    carried = [record.carried for _, record in played.records(r.HandOffRecord)]
    there = [item.text for item in played.items if item.kind == "output" and item.call == "c3"]
    must(len(replies) == 1 + any(carried), f"the model was asked at {[one.at for one in replies]} ms")
    told = bool(played.notes) or (any(carried) and there == ["1"])  # the next agent may have seen it from the beginning
    must(told == any(carried), f"notes: {[one.text for one in played.notes]}, carried: {carried}")


@check(
    "S10.4",
    plays=("requires", "requires_in_vain"),
    saboteur=Saboteur(
        "toolguard/engine/execution.py", old="            if unmet:\n", new='            if unmet == "nothing":\n'
    ),
)
def what_it_requires_comes_first(played: Played) -> None:
    """It begins when the other one has ended well, and else not at all, and says so."""
    text = played.answer("c2").text
    if played.script.variant == "requires_in_vain":
        must(played.began("book_dinner") == 0, "it began although the other one had failed")
        must("not run" in text and "save_room" in text, f"it was answered: {text}")
        return
    began, ended = played.did("began", "book_dinner"), played.did("returned", "save_room")
    must(len(began) == 1 and len(ended) == 1, "one of the two did not run")
    must(began[0].at >= ended[0].at, f"it began at {began[0].at:.0f} ms, before the other one ended")
    must(json.loads(text) == {"ok": True}, f"it was answered: {text}")
