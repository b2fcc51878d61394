"""What came of one call: read off the server's line and the ledger, never off the engine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolguard.testing.demo.caller import PATIENCE
from toolguard.testing.demo.heard import agent_speech, caller_speech, silences
from toolguard.testing.demo.model import CENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.testing.realtime import Line, Violation

WANTED = [{"what": "charge", "day": "Tuesday", "cents": CENTS}]
"""The effects that the caller asked for."""
TOLD = {
    "the free slots": "is free on Monday",
    "the patient's file": "I have your file",
    "the charge": "Tuesday is paid",
}
"""The results that the caller waits for, and the words that tell them."""


@dataclass(slots=True)
class Findings:
    """One run of the call, in numbers.

    Attributes:
        charges: Charges in the ledger.
        wrong_effects: Effects that nobody wanted, in words.
        untold: Results that the model never got, or that the caller never heard.
        disorder: Outputs that were sent after the output of a later call.
        invalid: What was wrong with the conversation, at the end or when the model was asked to speak.
        refused: Requests to speak that the server refused.
        talked_over: Answers that began while the caller was speaking.
        dead_air: The longest silence, in seconds.
        seconds: The length of the call.
        frames: The client's frames that the protocol does not allow.
    """

    charges: int
    wrong_effects: list[str]
    untold: list[str]
    disorder: list[str]
    invalid: list[str]
    refused: int
    talked_over: int
    dead_air: float
    seconds: float
    frames: list[str] = field(default_factory=list[str])

    @property
    def broken(self) -> list[str]:
        """The promises that this run did not keep."""
        kept = {
            f"one charge was wanted, {self.charges} were made": self.charges == 1,
            f"wrong effects: {', '.join(self.wrong_effects)}": not self.wrong_effects,
            f"results never spoken: {', '.join(self.untold)}": not self.untold,
            f"outputs out of order: {', '.join(self.disorder)}": not self.disorder,
            f"invalid conversation: {', '.join(self.invalid)}": not self.invalid,
            f"{self.refused} requests to speak were refused": not self.refused,
            f"the agent talked over the caller {self.talked_over} times": not self.talked_over,
            f"{self.dead_air:.1f} s of dead air": self.dead_air < PATIENCE,
            f"frames that the protocol forbids: {', '.join(self.frames)}": not self.frames,
        }
        return [promise for promise, held in kept.items() if not held]


def judge(
    line: Line, effects: Sequence[dict[str, Any]], problems: Sequence[str], violations: Sequence[Violation]
) -> Findings:
    """Measure one run.

    Args:
        line: The connection, seen from the server.
        effects: The ledger.
        problems: What was wrong with the conversation when the model was asked to speak.
        violations: Frames that the official types do not allow.
    """
    quiet = silences(line.sent)
    return Findings(
        charges=sum(line_["what"] == "charge" for line_ in effects),
        wrong_effects=_wrong(effects),
        untold=_untold(line),
        disorder=_disorder(line),
        invalid=list(dict.fromkeys([*problems, *line.conversation_problems()])),
        refused=sum(not asked.accepted for asked in line.response_creates),
        talked_over=_talked_over(line),
        dead_air=round(max((seconds for _, seconds in quiet), default=0.0), 2),
        seconds=round(max((speech.end for speech in agent_speech(line.sent)), default=0.0) - line.opened_at, 2),
        frames=[violation.problem for violation in violations],
    )


def _wrong(effects: Sequence[dict[str, Any]]) -> list[str]:
    left = list(WANTED)
    wrong: list[str] = []
    for effect in effects:
        plain = {name: value for name, value in effect.items() if name != "key"}
        if plain in left:
            left.remove(plain)
        elif effect["what"] == "charge":
            wrong.append(f"{effect['day']} charged{' again' if plain in WANTED else ''}")
        else:
            wrong.append(f"a text sent: {json.dumps(effect['words'])}")
    return wrong


def _untold(line: Line) -> list[str]:
    heard = [speech.heard for speech in agent_speech(line.sent)]
    return [what for what, words in TOLD.items() if not any(words in one for one in heard)]


def _disorder(line: Line) -> list[str]:
    """Calls whose output was accepted after that of a later call."""
    order = [item["call_id"] for item in line.conversation if item["type"] == "function_call"]
    answered = [order.index(output.call_id) for output in line.accepted_outputs]
    return [order[place] for at, place in enumerate(answered) if any(before > place for before in answered[:at])]


def _talked_over(line: Line) -> int:
    turns = caller_speech(line.sent)
    return sum(any(turn.begin < said.begin < turn.end for turn in turns) for said in agent_speech(line.sent))
