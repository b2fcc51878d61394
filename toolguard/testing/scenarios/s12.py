"""S12: what the next agent has to know: late words, facts, calls, open promises, and how to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolguard.core.packet import HandoffPacket
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant
from toolguard.testing.scenarios.s11 import on

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_WORDS = "my name is Simon, I want to move order 77"
_CAME = 2100.0
"""When the words came."""
_GREETING = "Hello, this is the front desk"


@variant("S12", "ledger", needs=("two_agents",))
def _ledger(script: Script) -> Script:
    """At the hand-off one write is done, a read runs, and a charge is in doubt."""
    write: dict[str, Any] = {"effect": "mutation", "takes": {"x": "integer"}, "identity": ("x",)}
    made = [
        Step(at=-3000, who="model", does="calls", call=call, tool=tool, args=args, generation="g0")
        for call, tool, args in (("c7", "book", {"x": 1}), ("c8", "charge", {"x": 2}), ("c9", "lookup", {}))
    ]
    ends = [
        Step(at=-2500, who="tool", does="returns", call="c7", value={"id": "b-7"}),
        Step(at=-2400, who="tool", does="returns", call="c8", raises="the answer was lost"),
        Step(at=6000, who="tool", does="returns", call="c9", value={"order": 77}),
    ]
    return script.with_tool("book", ms=500, **write).with_tool("charge", ms=600, **write).with_steps(*made, *ends)


@variant("S12", "greeted", needs=("two_agents",))
def _greeted(script: Script) -> Script:
    """The first agent has greeted the caller."""
    return script.with_steps(Step(at=-4000, who="model", does="says", text=_GREETING, ms=1500, generation="g0"))


@check(
    "S12.1",
    needs=("two_agents",),
    saboteur=Saboteur(
        "toolguard/adapters/realtime_prefill.py",
        old='        self._bring()\n        self._session.shows("amended")',
        new='        self._session.shows("amended")',
    ),
)
def the_late_words_stand_before_the_call(played: Played) -> None:
    """When the second agent is asked, the words that came late stand once, before the call that they led to."""
    first = on(played, 1)[0]
    words = [at for at, item in enumerate(first.items) if item.role == "user" and _WORDS in item.text]
    calls = [at for at, item in enumerate(first.items) if item.kind == "call" and item.call == "c1"]
    must(len(words) == 1, f"the caller's words stand {len(words)} times in the second agent's history")
    must(len(calls) == 1, f"the hand-off stands {len(calls)} times")
    must(words[0] < calls[0], "the caller's words stand behind the call that they led to")


@check(
    "S12.2",
    needs=("two_agents",),
    saboteur=Saboteur(
        "toolguard/engine/session.py",
        old="        self._w.delivery.want_reply()\n",
        new="        self._w.delivery.pump()\n",
    ),
)
def the_pending_words_are_answered(played: Played) -> None:
    """The second agent is asked once, as soon as the words are there, and the caller need not speak again."""
    asked = on(played, 1)
    must(len(asked) == 1, f"the second agent was asked at {[one.at for one in asked]} ms")
    must(_CAME <= asked[0].at <= _CAME + 300, f"the second agent was asked at {asked[0].at:.0f} ms")
    ours = asked[0].by == "client" or bool(played.turn_ms)  # or the framework answers its turn, as it always does
    must(ours and asked[0].generation == "g2", "somebody else had to ask for its answer")
    must(not asked[0].problems, f"the request is not valid: {asked[0].problems}")


@check(
    "S12.3",
    plays=("main", "ledger"),
    needs=("two_agents",),
    saboteur=Saboteur("toolguard/core/packing.py", old="        promises=promises,\n", new="        promises=(),\n"),
)
def the_packet_is_complete_and_lasts(played: Played) -> None:
    """Facts, calls with how they stand, and promises are in the packet, the same bytes after a round through JSON."""
    packets: list[HandoffPacket] = played.app.get("packets", [])
    must(len(packets) == 1, f"{len(packets)} packets were made")
    packet = packets[0]
    raw = packet.to_json()
    must(HandoffPacket.from_json(raw).to_json() == raw, "the packet changes on its way through JSON")
    must(packet.facts == {"name": "Simon", "order": 77}, f"the facts are {packet.facts}")
    if played.script.variant == "ledger":
        states = {call.tool: call.state for call in packet.calls}
        wanted = {"book": "done", "charge": "in_doubt", "lookup": "running", "transfer_to_b": "done"}
        must(states == wanted, f"the calls are {states}")
        open_ = {promise.tool: promise.what for promise in packet.promises}
        must(open_ == {"book": "not_told", "charge": "in_doubt", "lookup": "running"}, f"the promises are {open_}")
        results = {call.tool: bytes(call.result) for call in packet.calls}
        must(b"b-7" in results["book"], f"the booking's result is {results['book']!r}")
        keys = [act.key for act in played.acts if act.key]
        must(not any(key.encode() in raw for key in keys), "an idempotency key is in the packet")


@check(
    "S12.4",
    plays=("main", "greeted"),
    needs=("two_agents",),
    saboteur=Saboteur(
        "toolguard/render/parts.py", old='"system", opening(packet))', new='"system", " ".join(packet.facts))'
    ),
)
def the_next_agent_has_a_cue(played: Played) -> None:
    """The second agent is told that it takes over, and sees once what was said: it need not greet again."""
    first = on(played, 1)[0]
    cues = [item.text for item in first.items if item.role in {"system", "developer"} and "You are B." in item.text]
    must(len(cues) == 1, f"the second agent has {len(cues)} cues")
    must("do not greet again" in cues[0], f"the cue does not say how to begin: {cues[0]}")
    if played.script.variant == "greeted":
        lines = [item for item in first.items if item.role == "assistant" and _GREETING in item.text]
        must(len(lines) == 1, f"the first agent's words stand {len(lines)} times in the second one's history")
