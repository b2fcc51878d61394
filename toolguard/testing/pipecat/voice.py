"""A voice and a loudspeaker in one: what the model says is heard word by word, for as long as it takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
    TTSSpeakFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS_PER_LETTER = 0.02


def by_length(text: str) -> float:
    """Seconds that a text takes to say: so many for every letter."""
    return SECONDS_PER_LETTER * len(text.strip())


class ScriptedVoice(FrameProcessor):
    """Speaks as a text-to-speech service before an output transport would: frames wait behind the words before them.

    Args:
        seconds: How long a text takes.

    Attributes:
        heard: What was heard, piece by piece.
        stopped_at: Loop time at which an interruption stopped it, or found it silent.
        cuts: Where an interruption stopped it: the loop's time, the text, and the seconds of it that were heard.
    """

    def __init__(self, seconds: Callable[[str], float] = by_length) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._seconds = seconds
        self._speaking = False
        self.heard: list[str] = []
        self.stopped_at: list[float] = []
        self.cuts: list[tuple[float, str, float]] = []
        self._text, self._began = "", 0.0
        self.on_filler: Callable[[str], None] = lambda _text: None
        """Called with a text that is to be spoken beside the model's own."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Speak texts, be silent when interrupted, pass everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            await self._speak(frame.text, keep=True)
            return
        if isinstance(frame, TTSSpeakFrame):
            self.on_filler(frame.text)
            await self._speak(frame.text, keep=frame.append_to_context)
            await self._silence()
            return
        if isinstance(frame, InterruptionFrame):
            now = asyncio.get_running_loop().time()
            self.stopped_at.append(now)
            if self._text:
                self.cuts.append((now, self._text, now - self._began))
                self._text = ""
            await self._silence()
        await self.push_frame(frame, direction)
        if isinstance(frame, LLMFullResponseEndFrame):
            await self._silence()

    async def _speak(self, text: str, *, keep: bool) -> None:
        if not self._speaking and text.strip():
            self._speaking = True
            await self.broadcast_frame(BotStartedSpeakingFrame)  # pyright: ignore[reportUnknownMemberType]
        words = text.split()
        self._text, self._began = text.strip(), asyncio.get_running_loop().time()
        for word in words:
            await asyncio.sleep(self._seconds(text) / len(words))
            self.heard.append(word)
            spoken = TTSTextFrame(word, "word")
            spoken.append_to_context = keep
            await self.push_frame(spoken)
        self._text = ""

    async def _silence(self) -> None:
        if self._speaking:
            self._speaking = False
            await self.broadcast_frame(BotStoppedSpeakingFrame)  # pyright: ignore[reportUnknownMemberType]
