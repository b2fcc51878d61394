"""The caller: says the same things in every run, waits for answers, and loses patience after five silent seconds."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING

from toolguard.testing.demo.heard import agent_speech, caller_speech

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.testing.realtime import Line


class Says(StrEnum):
    """The caller's words."""

    OPEN = "Hello, this is Ana Lund. What is free on Monday?"
    BOOK = "Then Monday at ten, and please take the deposit."
    CHANGE = "No, make it Tuesday."
    AGAIN = "Hello? I said Tuesday."
    LISTENS = "Mm-hm."
    ASKS = "Did that go through?"
    THANKS = "Great, thank you."
    NO_TEXT = "No text message, please."
    BYE = "Goodbye."


PATIENCE = 5.0
"""Seconds of silence after which the caller goes on."""
_THINKS = 0.6
_LOOKS = 0.1
_TRANSCRIBED = 0.15
_A_CALL_WITHIN = 8.0


class Caller:
    """Ana Lund, on one line.

    Args:
        line: The connection, seen from the server.
        words: Where her words are kept by item id from the moment she begins: the model hears, it does not read.
    """

    def __init__(self, line: Line, words: dict[str, str]) -> None:
        self._line = line
        self._words = words

    async def call(self) -> None:
        """Play the whole call."""
        await self.say(Says.OPEN, 2.4)
        await self.hears("on Monday")
        await self.say(Says.BOOK, 2.2)
        if await self.sees_call("charge_deposit", "Monday"):
            await asyncio.sleep(0.4)
        await self.say(Says.CHANGE, 1.2)
        if not await self.sees_call("charge_deposit", "Tuesday"):
            await self.say(Says.AGAIN, 1.2)
            await self.sees_call("charge_deposit", "Tuesday")
        await asyncio.sleep(0.4)
        await self.say(Says.LISTENS, 0.4)
        await asyncio.sleep(0.7)
        await self.say(Says.ASKS, 0.9)
        await self.hears("Tuesday is paid")
        await self.say(Says.THANKS, 1.0)
        await self.sees(lambda: any(item.get("name") == "text_patient" for item in self._line.conversation))
        await asyncio.sleep(0.3)
        await self.say(Says.NO_TEXT, 1.1)
        await self.hears("no text message")
        await self.say(Says.BYE, 0.6)
        await self.hears("Goodbye")
        await asyncio.sleep(1.0)

    async def say(self, words: str, seconds: float) -> None:
        """One turn; the server has the model answer it, unless the session has switched that off."""
        line = self._line
        item = line.speech_started()
        self._words[item] = words
        await asyncio.sleep(seconds)
        replies = line.setting("audio", "input", "turn_detection").get("create_response", True)
        line.speech_stopped(reply=bool(replies))
        await asyncio.sleep(_TRANSCRIBED)
        line.transcript(words, item)

    async def hears(self, words: str) -> bool:
        """Wait until these words have been heard to the end; False after too much silence."""
        since = self._line.clock()

        def heard() -> bool:
            now = self._line.clock()
            return any(words in speech.heard and since <= speech.end <= now for speech in agent_speech(self._line.sent))

        found = await self.sees(heard)
        await asyncio.sleep(_THINKS)
        return found

    async def sees_call(self, tool: str, argument: str) -> bool:
        """Wait until the model has made a call; the script knows what the caller cannot."""

        def made() -> bool:
            calls = [item for item in self._line.conversation if item.get("name") == tool]
            return any(argument in item["arguments"] and item["status"] == "completed" for item in calls)

        return await self.sees(made)

    async def sees(self, check: Callable[[], bool]) -> bool:
        """Wait until something holds; False after five seconds in which nobody spoke."""
        line, begun = self._line, self._line.clock()
        while not check():
            now = line.clock()
            speeches = [*agent_speech(line.sent), *caller_speech(line.sent)]
            quiet_since = max([begun, *(speech.end for speech in speeches)])
            if now - quiet_since > PATIENCE:
                return False
            await asyncio.sleep(_LOOKS)
        return True
