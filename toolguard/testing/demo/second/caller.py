"""The caller of the second act: goes on over whichever line the worker opens next, and asks again after a silence."""

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

    OPEN = "Hello, this is Ana Lund. What do I owe you?"
    AGAIN = "Hello? I asked what I owe you."
    CHARGE = "Forty euros. Please take it from my card."
    ASKS = "Hello? Did that go through?"
    BYE = "Thank you, goodbye."


PATIENCE = 5.0
"""Seconds of silence after which the caller goes on."""
LONGEST = 45.0
"""Seconds after which a wait ends whatever happens."""
_LOOK = 0.05
_TRANSCRIBED = 0.1


class Caller:
    """Ana Lund, on one line after another.

    Attributes:
        line: The line that she is on, seen from the server.

    Args:
        words: Where her words are kept by item id from the moment she begins: the model hears, it does not read.
    """

    def __init__(self, line: Line, words: dict[str, str]) -> None:
        self.line = line
        self._words = words

    async def say(self, words: str, seconds: float) -> None:
        """One turn; the server has the model answer it, unless the session has switched that off."""
        line = self.line
        item = line.speech_started()
        self._words[item] = words
        await asyncio.sleep(seconds)
        replies = line.setting("audio", "input", "turn_detection").get("create_response", True)
        line.speech_stopped(reply=bool(replies))
        await asyncio.sleep(_TRANSCRIBED)
        line.transcript(words, item)

    async def hears(self, words: str) -> bool:
        """Wait until these words have been heard to the end; False after too much silence."""
        return await self.sees(lambda: self.heard(words))

    def heard(self, words: str) -> bool:
        """Whether these words have been heard on this line."""
        now = self.line.clock()
        return any(words in one.heard and one.end <= now for one in agent_speech(self.line.sent))

    async def sees(self, check: Callable[[], bool]) -> bool:
        """Wait until something holds; False after five seconds in which nobody spoke."""
        line, begun = self.line, self.line.clock()
        while not check():
            now = line.clock()
            speeches = [*agent_speech(line.sent), *caller_speech(line.sent)]
            quiet_since = max([begun, *(speech.end for speech in speeches)])
            if now - quiet_since > PATIENCE or now - begun > LONGEST:
                return False
            await asyncio.sleep(_LOOK)
        return True
