"""The scripted model of both agents: it knows what stands in the conversation, and asks again for what is not there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from toolguard.testing.demo.second.caller import Says
from toolguard.testing.demo.second.office import OWES
from toolguard.testing.realtime import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from toolguard.testing.realtime import Item, Line, ReplyRequest

NAME = "Ana Lund"
OWED = "You owe forty euros."
PAID = "Yes, the forty euros are paid."
CHECKED = "I am checking that."
GREETING = "This is billing."
FRONTDESK = "frontdesk"
BILLING = "billing"
_A_CHARACTER = 0.03
"""Seconds of speech for each character."""
_IS_MADE = 0.3


class Model:
    """Answers the caller's newest turn, or tells the results that it has not told.

    Args:
        words: The caller's words by item id: the model hears, it does not read.

    Attributes:
        problems: What was wrong with a conversation when it was asked to speak.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = words
        self.problems: list[str] = []
        self._calls = 0

    def __call__(self, line: Line, request: ReplyRequest) -> Reply:
        """What it does when it is asked for a reply."""
        self.problems += request.problems
        items = line.conversation
        agent = str(line.session.get("instructions") or "")
        turn = _unanswered(items)
        if turn is None:
            return _goes_on(items, agent)
        return self._answers(self._words.get(turn["id"]) or _text(turn), items, agent)

    def _answers(self, words: str, items: list[Item], agent: str) -> Reply:
        match words:
            case Says.OPEN if FRONTDESK in agent:
                looks, moves = self._looks(), self._call("transfer_call", to=BILLING)
                return _speech("I will put you through to billing.", looks, moves)
            case Says.OPEN | Says.AGAIN:
                return _speech("Let me look.", self._looks())
            case Says.CHARGE:
                return _speech("One moment.", self._charges())
            case Says.ASKS if any("charged" in result for result in _results(items)):
                return _speech(PAID)
            case Says.ASKS:
                return _speech("Let me see.", self._charges())
            case Says.BYE:
                return _speech("Goodbye.")
            case _:
                return _speech(_news(items) or "One moment, please.")

    def _looks(self) -> Call:
        return self._call("find_balance", name=NAME)

    def _charges(self) -> Call:
        return self._call("charge_card", name=NAME, cents=OWES)

    def _call(self, tool: str, **arguments: Any) -> Call:
        self._calls += 1
        return Call(f"call_{self._calls}", tool, arguments)


def _goes_on(items: list[Item], agent: str) -> Reply:
    """Nobody has asked anything: there is news, or it has just been put on the line."""
    news = _news(items)
    said = _said(items)
    if news:
        return _speech(news)
    if BILLING not in agent:
        return Reply()
    if any('"in_doubt"' in text for text in _told(items)):
        return Reply() if CHECKED in said else _speech(CHECKED)
    if GREETING in said:
        return Reply()
    waits = any('"still_running"' in text for text in _told(items))
    return _speech(f"{GREETING} {'I am looking that up.' if waits else 'What can I do for you?'}")


def _speech(text: str, *calls: Call) -> Reply:
    return Reply(text=text, calls=calls, seconds=_IS_MADE, audio_ms=round(len(text) * _A_CHARACTER * 1000))


def _unanswered(items: list[Item]) -> Item | None:
    """The caller's newest turn, if nothing was said or called after it."""
    for item in reversed(items):
        if item.get("role") == "user":
            return item
        if item.get("role") == "assistant" or item["type"] == "function_call":
            return None
    return None


def _text(item: Item) -> str:
    """The words of a message, spoken or written."""
    parts: list[dict[str, Any]] = item.get("content") or []
    return " ".join(str(part.get("transcript") or part.get("text") or "") for part in parts)


def _said(items: list[Item]) -> str:
    """What the agents have said."""
    return " ".join(_text(item) for item in items if item.get("role") == "assistant")


def _told(items: list[Item]) -> Iterator[str]:
    """What it was told of its calls: outputs, and news that came as messages."""
    for item in items:
        if item["type"] == "function_call_output":
            yield str(item["output"])
        elif item.get("role") == "system":
            yield _text(item)


def _results(items: list[Item]) -> list[dict[str, Any]]:
    """Results of calls, bare or inside the guard's envelope; placeholders and refusals are none."""
    found: list[dict[str, Any]] = []
    for text in _told(items):
        try:
            told = json.loads(text)
        except json.JSONDecodeError:
            continue
        result = told.get("result") if "toolguard" in told else told
        if isinstance(result, dict):
            found.append(result)  # pyright: ignore[reportUnknownArgumentType]
    return found


def _news(items: list[Item]) -> str:
    """The results that it has not told yet, in words."""
    told = _said(items)
    words = [OWED if "owes" in one else PAID if "charged" in one else "" for one in _results(items)]
    return " ".join(dict.fromkeys(text for text in words if text and text not in told))
