"""S11: another agent takes over, on a connection of its own, while a call is in flight."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from toolguard.core import records as r
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Item, Played, Request

_SENTENCE = 1100.0
_LIMIT = 2600.0
"""Milliseconds within which the next agent is asked, whatever the other side confirms."""


@variant("S11", "deaf_server", needs=("two_agents",))
def _deaf_server(script: Script) -> Script:
    """The new connection never confirms its configuration, and nobody speaks."""
    return script.without(lambda step: step.who == "caller" or step.generation == "g3").but(next_line=_confirms_nothing)


def _confirms_nothing(line: Any) -> None:
    line.ignore("session.update", times=1)


@variant("S11", "slow_write", needs=("two_agents",))
def _slow_write(script: Script) -> Script:
    """A booking that takes a minute runs while the conversation is handed over."""
    calls = Step(at=0, who="model", does="calls", call="c3", tool="book", args={"x": 1}, generation="g1")
    ends = Step(at=60000, who="tool", does="returns", call="c3", value={"id": "b-7"})
    quiet = script.without(lambda step: step.who == "caller" or step.generation == "g3")
    return quiet.with_steps(calls, ends).but(rest=5.0)


@variant("S11", "back", needs=("two_agents",))
def _back(script: Script) -> Script:
    """The second agent hands the conversation back when the result is there."""
    return script.with_steps(
        Step(
            at=6000, who="model", does="calls", call="c3", tool="transfer_to_b", args={"agent": "A"}, agent="B",
            generation="g4",
        ),
        Step(at=8000, who="caller", does="starts"),
        Step(at=8500, who="caller", does="stops"),
        Step(at=8600, who="caller", does="said", text="and what was it", means="answer"),
        Step(at=8650, who="model", does="is_asked", agent="A", generation="g5"),
    )  # fmt: skip


def on(played: Played, line: int) -> list[Request]:
    """What the model on a connection was asked, in order."""
    asked = [one for one in played.requests if one.accepted and not one.aside and one.line == line]
    must(asked, f"the model on connection {line + 1} was never asked")
    return asked


def takers(played: Played) -> list[str]:
    """Who took the conversation over: by accepting its packet, or in the same session by being handed it."""
    accepted = [record.agent for _, record in played.records(r.Accepted)]
    return accepted or [record.to for _, record in played.records(r.HandOffRecord)]


def output_behind(items: tuple[Item, ...], call: str) -> str:
    """What stands right behind a call: its output."""
    places = [at for at, item in enumerate(items) if item.kind == "call" and item.call == call]
    must(len(places) == 1, f"{call} stands {len(places)} times in the history")
    after = items[places[0] + 1 : places[0] + 2]
    must(after and after[0].kind == "output" and after[0].call == call, f"no output stands right behind {call}")
    return after[0].text


@check(
    "S11.1",
    plays=("main", "back"),
    needs=("two_agents",),
    saboteur=Saboteur("toolguard/render/openai_realtime.py", old="    return [call, output]", new="    return [call]"),
)
def the_hand_off_is_answered_before_the_first_request(played: Played) -> None:
    """The new connection has the call that handed over, with its output, when its model is asked for the first time."""
    for line, call in ((1, "c2"), (2, "c3")) if played.script.variant == "back" else ((1, "c2"),):
        first = on(played, line)[0]
        told = output_behind(first.items, call)
        must("still running" not in told, f"the hand-off is said to run on: {told}")
        must(not first.problems, f"the first request is not valid: {first.problems}")


@check(
    "S11.2",
    needs=("two_agents",),
    saboteur=Saboteur(
        "toolguard/engine/accept.py",
        old="if living is not None and not living.wiring.ledger.fenced:",
        new="if living is not None and living.wiring.ledger.fenced:",
    ),
)
def the_call_is_run_by_the_tool_of_its_agent(played: Played) -> None:
    """One body, begun by the first agent's tool, ends with its value although the second one has the floor."""
    began, returned = played.did("began", "lookup"), played.did("returned", "lookup")
    must(len(began) == len(returned) == 1, f"the look-up began {len(began)} times and ended {len(returned)} times")
    must(not played.did("cancelled", "lookup"), "its body was cancelled")
    slot = played.slot("c1")
    must(slot.agent == "A", f"the journal says that {slot.agent} made the call")
    must(played.phase("c1") == "done", f"it ended {played.phase('c1')}")
    took = takers(played)
    must(took == ["B"], f"the conversation was taken over by {took}")


@check(
    "S11.3",
    needs=("two_agents",),
    saboteur=Saboteur(
        "toolguard/engine/delivery.py",
        old="self.port, self._source = None if self._silent else port, port",
        new="self._source = port if self._silent else self._source",
    ),
)
def the_result_goes_along_to_the_second_agent(played: Played) -> None:
    """The result is told once, as news that cites the hand-off, on the second agent's connection."""
    told = [one for one in played.telling('"x":1') if '"toolguard"' in one.text]
    must(len(told) == 1, f"the result was told {len(told)} times")
    must(told[0].line == 1, "the result went to the connection that was left")
    news = json.loads(told[0].text)
    handed = [record.packet for _, record in played.records(r.HandOffRecord)]
    must([news.get("hand_off")] == handed, f"the news does not cite the hand-off: {news}")
    must(news.get("issued_by") == "A", f"the news does not say whose call it was: {news}")
    heard = [one for one in on(played, 1) if any('"x":1' in item.text for item in one.items)]
    must(heard, "the second agent was not asked to speak about it")


@check(
    "S11.4",
    plays=("deaf_server", "slow_write"),
    needs=("two_agents",),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_prefill.py",
        old="call_later(CONFIGURED_WITHIN,",
        new="call_later(CONFIGURED_WITHIN * 100,",
    ),
)
def nothing_waits_without_a_bound(played: Played) -> None:
    """The hand-off and the next agent's first words wait for nobody for longer than is said."""
    moved = played.app.get("moved", [])
    must(len(moved) == 1, f"the conversation moved {len(moved)} times")
    speaks = played.turn_ms or played.adapter == "livekit_realtime"
    speech = _SENTENCE if speaks else 0.0  # such a framework lets the agent that leaves end its sentence
    must(moved[0] <= 700 + 4100 + speech, f"the hand-off took until {moved[0]:.0f} ms")
    first = on(played, 1)[0]
    must(first.at <= moved[0] + _LIMIT, f"the second agent was asked after {first.at - moved[0]:.0f} ms")
    must(not first.problems, f"the first request is not valid: {first.problems}")


@check(
    "S11.5",
    plays=("back",),
    needs=("two_agents",),
    saboteur=Saboteur(
        "toolguard/core/packing.py",
        old='        elif item.kind == "call":\n',
        new='        elif item.kind == "call" and state.slots[item.call].agent != state.agent:\n',
    ),
)
def handing_back_resumes(played: Played) -> None:
    """The first agent sees all that happened, its own call with the result, and nothing is done again."""
    agents = takers(played)
    must(agents == ["B", "A"], f"the conversation was taken over by {agents}")
    asked = played.asked("g5")
    must(asked.line == len(agents), "the first agent was not asked on its new connection")
    must('"x":1' in output_behind(asked.items, "c1"), "the first agent does not know its own result")
    output_behind(asked.items, "c3")
    must(any("are you still there" in item.text for item in asked.items), "what was said meanwhile is missing")
    must(not asked.problems, f"the request is not valid: {asked.problems}")
    must(played.began("lookup") == 1, "the look-up was begun again")
