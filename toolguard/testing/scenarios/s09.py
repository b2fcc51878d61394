"""S09: a long read ends after the talk has moved on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.testing.scenarios.data import Step
from toolguard.testing.scenarios.kit import Saboteur, check, must, variant

if TYPE_CHECKING:
    from toolguard.testing.scenarios.kit import Script
    from toolguard.testing.scenarios.played import Played

_ENDS = 20000
_RESULT = '"flights"'
_PROGRESS = "half way"


def _turn(at: float, text: str, means: str, generation: str, answer: str) -> tuple[Step, ...]:
    """A turn of the caller of 1.4 seconds, and the model's answer to it."""
    return (
        Step(at=at, who="caller", does="starts"),
        Step(at=at + 1300, who="caller", does="stops"),
        Step(at=at + 1400, who="caller", does="said", text=text, means=means),
        Step(at=at + 1450, who="model", does="is_asked", generation=generation),
        Step(at=at + 2000, who="model", does="says", text=answer, ms=1500, generation=generation),
    )


@variant("S09", "busy")
def _busy(script: Script) -> Script:
    """It ends while the caller asks something else."""
    return script.with_steps(*_turn(19500, "and can I park there?", "other_topic", "g3", "There is a garage"))


@variant("S09", "while_answering")
def _while_answering(script: Script) -> Script:
    """It ends while the caller hears an answer."""
    return script.with_step("tool.returns", at=9600)


@variant("S09", "later_placeholder")
def _later_placeholder(script: Script) -> Script:
    """The provider is given a placeholder when there is progress to report."""
    return script.with_tool("lookup", options={"patience": 4.5})


@variant("S09", "in_place")
def _in_place(script: Script) -> Script:
    """The tool may take its time, and nothing but its progress happens meanwhile."""
    alone = script.without(lambda step: step.who == "caller" or step.generation == "g2")
    return alone.with_tool("lookup", options={"patience": 30})


@variant("S09", "asked_again")
def _asked_again(script: Script) -> Script:
    """The caller asks for it shortly before it ends, and the model looks it up again."""
    again = Step(at=18000, who="model", does="calls", call="c2", tool="lookup", generation="g3")
    asked = _turn(16000, "have you found any flights?", "addition", "g3", "")[:-1]
    return script.with_steps(*asked, again)


@variant("S09", "hands_off")
def _hands_off(script: Script) -> Script:
    """What takes so long is a transfer to another agent."""
    transfer = script.with_tool(
        "transfer_to_b", effect="handoff", ms=_ENDS, takes={"agent": "string"}, identity=("agent",)
    )
    return transfer.with_step("model.calls", tool="transfer_to_b", args={"agent": "B"}).with_step(
        "tool.returns", value="handed over"
    )


def _speech_ends(played: Played) -> float:
    """When the caller had heard the answer to the newest turn."""
    return max(step.at + step.ms for step in played.script.steps if step.does == "says")


def _announced_once(played: Played) -> float:
    """When the one reply began that saw the result, which was told once."""
    told = played.telling(_RESULT)
    must(len(told) == 1, f"the result was told {len(told)} times")
    after = played.replies_after(told[0].at)
    must(len(after) == 1, f"the model was asked {len(after)} times after it")
    must(any(item.id == told[0].item for item in after[0].items), "the reply after it did not see it")
    must(not after[0].problems, f"that request is not valid: {'; '.join(after[0].problems)}")
    return after[0].at


@check(
    "S09.1",
    plays=("main", "busy", "while_answering"),
    saboteur=Saboteur(
        "toolguard/engine/floor.py",
        old="return self.free and not self.playing",
        new="return self.free",
    ),
)
def it_is_told_when_the_line_is_idle(played: Played) -> None:
    """One note after the end, one reply about it, when the caller has heard the answer to the newest turn."""
    spoken = _announced_once(played)
    ended = played.did("returned", "lookup")[0].at
    must(played.telling(_RESULT)[0].at >= ended, "the result was told before the read had ended")
    heard = _speech_ends(played)
    must(spoken >= max(ended, heard) - 1, f"the reply about it began at {spoken:.0f} ms, within the answer before")
    over = [one.at for one in played.requests if one.speaking or not one.accepted]
    must(not over, f"replies were asked for over somebody's speech, at {over} ms")


@check(
    "S09.2",
    plays=("main", "later_placeholder", "in_place"),
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old='extra: dict[str, object] = {"progress": run.progress} if',
        new='extra: dict[str, object] = {"result": run.progress} if',
    ),
)
def progress_is_no_result(played: Played) -> None:
    """Whatever is told before the end says that it still runs, and has no result."""
    ended = played.did("returned", "lookup")[0].at
    early = [json.loads(one.text) for one in (*played.answers("c1"), *played.notes) if one.at < ended]
    for told in early:
        must(told["toolguard"] == "still_running", f"the model was told before the end: {told}")
        must("result" not in told, f"progress was told as a result: {told}")
    with_progress = [told for told in early if _PROGRESS in str(told.get("progress"))]
    wanted = int(played.script.variant == "later_placeholder")
    must(len(with_progress) >= wanted, "the placeholder does not tell how far it is")
    must(len(played.telling(_PROGRESS)) == len(with_progress), "progress was told elsewhere")


@check(
    "S09.3",
    plays=("in_place",),
    saboteur=Saboteur(
        "toolguard/engine/delivery.py",
        old="self._timers.start(slot.number, spec.patience,",
        new="self._timers.start(slot.number, min(4.0, spec.patience),",
    ),
)
def it_settles_in_place(played: Played) -> None:
    """One ordinary output, no note, one reply."""
    must(json.loads(played.answer("c1").text) == {"flights": 3}, f"c1 was answered: {played.answer('c1').text}")
    must(not played.notes, f"notes were added: {[one.text for one in played.notes]}")
    must(len(played.replies_after(0)) == 1, "more than one reply was asked for")
    _announced_once(played)


@check(
    "S09.4",
    plays=("asked_again",),
    saboteur=Saboteur(
        "toolguard/engine/delivery.py",
        old='run = slot.run if not answer.interim and answer.form in {"result", "replayed"} else 0',
        new="run = 0",
    ),
)
def it_is_not_announced_twice(played: Played) -> None:
    """The second call's answer is the result; the first one makes no note of it."""
    must(played.began("lookup") == 1, f"the read began {played.began('lookup')} times")
    must(json.loads(played.answer("c2").text) == {"flights": 3}, f"c2 was answered: {played.answer('c2').text}")
    _announced_once(played)


@check(
    "S09.5",
    plays=("hands_off",),
    saboteur=Saboteur(
        "toolguard/engine/transfer.py",
        old="            to=agent,\n            frm=frm,",
        new="            to=frm,\n            frm=frm,",
    ),
)
def the_result_may_be_a_hand_off(played: Played) -> None:
    """It happens once, at the end; the model is told so once, and the next agent has the floor."""
    must(played.effects("transfer_to_b") == 1, f"it was handed over {played.effects('transfer_to_b')} times")
    handed = played.records(r.HandOffRecord)
    must([record.to for _, record in handed] == ["B"], f"the journal has the hand-offs {handed}")
    must(handed[0][0] >= _ENDS, f"it was handed over at {handed[0][0]:.0f} ms")
    new = [agent for _, agent in played.floors]
    must(new == ["B"], f"the floor was given to {new}")
    told = [one for one in played.telling("handed over") if json.loads(one.text)["toolguard"] == "done"]
    must(len(told) == 1, f"it was told {len(told)} times")
