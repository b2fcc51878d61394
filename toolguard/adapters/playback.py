"""What the caller heard of what the agent said, by the clock of the line (I23)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class _Speech:
    item: str
    generation: str
    began: float
    text: str = ""
    audio_ms: float = 0.0
    complete: bool = False
    timer: asyncio.TimerHandle | None = None


class Playback:
    """Follows one answer at a time: audio plays in real time from its first piece on.

    Args:
        finished: Called with (generation, item, text) when an answer was heard to its end.
        played_ms: The application's own measure of what was played of an item, if it has one.
    """

    def __init__(
        self, finished: Callable[[str, str, str], None], played_ms: Callable[[str], float] | None = None
    ) -> None:
        self._finished = finished
        self._played_ms = played_ms
        self._speech: _Speech | None = None

    @property
    def generation(self) -> str:
        """The response that is being heard, empty for none."""
        return self._speech.generation if self._speech is not None else ""

    def audio(self, generation: str, item: str, milliseconds: float) -> bool:
        """A piece of audio arrived; True if it is the first of its answer."""
        speech = self._speech
        first = speech is None or speech.item != item
        if first:
            speech = self._speech = _Speech(item, generation, asyncio.get_running_loop().time())
        if speech is not None:
            speech.audio_ms += milliseconds
        return first

    def words(self, generation: str, item: str, text: str) -> None:
        """A piece of the transcript arrived, perhaps before its audio."""
        if self._speech is None or self._speech.item != item:
            self._speech = _Speech(item, generation, asyncio.get_running_loop().time())
        self._speech.text += text

    def complete(self, item: str) -> None:
        """All audio of an answer has arrived; it ends when it has been played."""
        speech = self._speech
        if speech is None or speech.item != item:
            return
        speech.complete = True
        loop = asyncio.get_running_loop()
        speech.timer = loop.call_at(speech.began + speech.audio_ms / 1000, self._end, speech)

    def _end(self, speech: _Speech) -> None:
        if self._speech is speech:
            self._speech = None
            self._finished(speech.generation, speech.item, speech.text)

    def cut(self) -> tuple[str, str, str, str, int] | None:
        """The caller cut in.

        Returns:
            (generation, item, heard words, unheard words, heard milliseconds) or None if nothing was playing. The
            milliseconds are clamped to the audio that arrived.
        """
        speech, self._speech = self._speech, None
        if speech is None:
            return None
        if speech.timer is not None:
            speech.timer.cancel()
        passed = (asyncio.get_running_loop().time() - speech.began) * 1000
        if self._played_ms is not None:
            passed = self._played_ms(speech.item)
        heard_ms = max(0.0, min(passed, speech.audio_ms))
        heard, unheard = split_heard(speech.text, heard_ms / speech.audio_ms if speech.audio_ms else 0.0)
        return speech.generation, speech.item, heard, unheard, int(heard_ms)

    def stop(self) -> None:
        """The line is gone."""
        if self._speech is not None and self._speech.timer is not None:
            self._speech.timer.cancel()
        self._speech = None


def split_heard(text: str, share: float) -> tuple[str, str]:
    """Divide a transcript at the word up to which it was heard; ``share`` is 0.0 to 1.0 of its time."""
    if share >= 1.0:
        return text, ""
    at = text.rfind(" ", 0, int(len(text) * share) + 1)
    if at <= 0:
        return "", text
    return text[:at], text[at + 1 :]
