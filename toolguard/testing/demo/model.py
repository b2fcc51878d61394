"""The scripted model: decides from the conversation that it sees, and asks again for what it sees no result of."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from toolguard.testing.demo.caller import Says
from toolguard.testing.realtime import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from toolguard.testing.realtime import Item, Line, ReplyRequest

CENTS = 4000
HALF_A_CALL = '{"words": "Your deposit of'
_A_CHARACTER = 0.055
"""Seconds of speech for each character."""
_IS_MADE = 0.5
"""Seconds in which an answer is made; it plays for longer."""


class Model:
    """Answers the caller's newest turn, or tells the results that it has not told.

    It keeps nothing from one reply to the next but the number of its calls: what it knows stands in the conversation.

    Args:
        words: The caller's words by item id.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = words
        self._calls = 0
        self.problems: list[str] = []
        """What was wrong with the conversation when it was asked to speak."""

    def __call__(self, line: Line, request: ReplyRequest) -> Reply | Awaitable[Reply]:
        """What it does when it is asked for a reply."""
        self.problems += request.problems
        items = line.conversation
        turn = _unanswered(items)
        if turn is None:
            return _speech(_news(items) or "Is there anything else?")
        return self._answer(self._words.get(turn, ""), line)

    def _answer(self, words: str, line: Line) -> Reply | Awaitable[Reply]:
        items = line.conversation
        match words:
            case Says.OPEN:
                calls = self._call("find_slots", day="Monday"), self._call("find_patient", name="Ana Lund")
                return _speech("Let me look.", *calls)
            case Says.BOOK:
                return _speech("One moment.", self._charge("Monday"))
            case Says.CHANGE | Says.AGAIN:
                return _speech("Tuesday, then.", self._charge("Tuesday"))
            case Says.ASKS:
                return self._looks(items)
            case Says.THANKS:
                return self._breaks_off(line)
            case Says.NO_TEXT:
                return _speech("All right, no text message.")
            case Says.BYE:
                return _speech("Goodbye, Ana.")
            case _:
                return _speech(_news(items) or "One moment, please.")

    def _looks(self, items: list[Item]) -> Reply:
        """Where no result of the charge stands in the conversation, it charges again, as models do."""
        if any(result.get("paid") == "Tuesday" for result in _results(items)):
            return _speech("Yes, Tuesday is paid.")
        return _speech("Let me see.", self._charge("Tuesday"))

    async def _breaks_off(self, line: Line) -> Reply:
        """It begins to send a text message that nobody asked for."""
        made = line.active
        words = "I will text you a receipt."
        if made is not None:
            made.say(words, len(words) * _A_CHARACTER * 1000)
            made.open_call(self._next(), "text_patient")
            made.arguments(HALF_A_CALL)
        await asyncio.sleep(2.0)
        return Reply()

    def _charge(self, day: str) -> Call:
        return self._call("charge_deposit", day=day, cents=CENTS)

    def _call(self, tool: str, **arguments: Any) -> Call:
        return Call(self._next(), tool, arguments)

    def _next(self) -> str:
        self._calls += 1
        return f"call_{self._calls}"


def _speech(text: str, *calls: Call) -> Reply:
    return Reply(text=text, calls=calls, seconds=_IS_MADE, audio_ms=round(len(text) * _A_CHARACTER * 1000))


def _unanswered(items: list[Item]) -> str | None:
    """The caller's newest turn, if nothing was said or called after it."""
    for item in reversed(items):
        if item.get("role") == "user":
            return str(item["id"])
        if item.get("role") == "assistant" or item["type"] == "function_call":
            return None
    return None


def _results(items: list[Item]) -> list[dict[str, Any]]:
    """Results of calls, bare or inside the guard's envelope; placeholders and refusals are none."""
    outputs = [json.loads(item["output"]) for item in items if item["type"] == "function_call_output"]
    bare = [output for output in outputs if "toolguard" not in output]
    return bare + [output["result"] for output in outputs if "toolguard" in output and output.get("result")]


def _news(items: list[Item]) -> str:
    """The results that it has not told yet, in words."""
    told = " ".join(_spoken(item) for item in items)
    new = [words for result in _results(items) if (words := _telling(result)) and words not in told]
    return " ".join(dict.fromkeys(new))


def _telling(result: Mapping[str, Any]) -> str:
    if "patient" in result:
        return f"I have your file, {result['patient']}."
    if "asked" in result:
        return f"Ten o'clock is free on {result['asked']}, half past nine on Tuesday."
    return f"The deposit for {result['paid']} is paid." if "paid" in result else ""


def _spoken(item: Item) -> str:
    if item.get("role") != "assistant":
        return ""
    return " ".join(str(part.get("transcript", "")) for part in item["content"])
