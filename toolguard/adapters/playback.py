"""What the caller heard of what the agent said, by the clock of the line (I23)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Cut(NamedTuple):
    """An answer that the caller did not let end.

    Attributes:
        generation: The response that it belongs to.
        item: Its item.
        heard: The words that the caller heard.
        unheard: The words that had come and were not heard.
        heard_ms: Milliseconds that were heard, clamped to the audio that had come.
        whole: Whether all of it had come and was heard.
    """

    generation: str
    item: str
    heard: str
    unheard: str
    heard_ms: int
    whole: bool


@dataclass(slots=True)
class _Speech:
    item: str
    generation: str
    text: str = ""
    audio_ms: float = 0.0
    until: float = 0.0
    complete: bool = False
    timer: asyncio.TimerHandle | None = None


class Playback:
    """Follows answers, one after the other: audio plays in real time, behind what came before it.

    Args:
        finished: Called with (generation, item, text) when an answer was heard to its end.
        played_ms: The application's own measure of what was played of an item, if it has one.
    """

    def __init__(
        self, finished: Callable[[str, str, str], None], played_ms: Callable[[str], float] | None = None
    ) -> None:
        self._finished = finished
        self._played_ms = played_ms
        self._speeches: list[_Speech] = []
        self._cut_off: set[str] = set()

    @property
    def generation(self) -> str:
        """The response that is being heard, empty for none."""
        return next((one.generation for one in self._speeches if one.audio_ms), "")

    def audio(self, generation: str, item: str, milliseconds: float) -> bool:
        """A piece of audio arrived; True if it is the first of its answer. Of what was cut off nothing is played."""
        if item in self._cut_off:
            return False
        speech = self._of(generation, item)
        first = not speech.audio_ms
        busy = max(one.until for one in self._speeches)
        speech.until = max(speech.until, busy, asyncio.get_running_loop().time()) + milliseconds / 1000
        speech.audio_ms += milliseconds
        return first

    def words(self, generation: str, item: str, text: str) -> None:
        """A piece of the transcript arrived, perhaps before its audio."""
        if item not in self._cut_off:
            self._of(generation, item).text += text

    def _of(self, generation: str, item: str) -> _Speech:
        for one in self._speeches:
            if one.item == item:
                return one
        speech = _Speech(item, generation)
        self._speeches.append(speech)
        return speech

    def complete(self, item: str) -> None:
        """All audio of an answer has arrived; it ends when it has been played."""
        for one in self._speeches:
            if one.item == item and not one.complete:
                one.complete = True
                one.timer = asyncio.get_running_loop().call_at(one.until, self._end, one)

    def _end(self, speech: _Speech) -> None:
        if speech in self._speeches:
            self._speeches.remove(speech)
            self._finished(speech.generation, speech.item, speech.text)

    def cut(self) -> list[Cut]:
        """The caller cut in: what was being heard, and what was still to come, in order."""
        speeches, self._speeches = self._speeches, []
        self._cut_off.update(one.item for one in speeches)
        return [self._cut(one) for one in speeches]

    def _cut(self, speech: _Speech) -> Cut:
        if speech.timer is not None:
            speech.timer.cancel()
        passed = speech.audio_ms - max(0.0, speech.until - asyncio.get_running_loop().time()) * 1000
        if self._played_ms is not None:
            passed = self._played_ms(speech.item)
        heard_ms = max(0.0, min(passed, speech.audio_ms))
        heard, unheard = split_heard(speech.text, heard_ms / speech.audio_ms if speech.audio_ms else 0.0)
        return Cut(speech.generation, speech.item, heard, unheard, int(heard_ms), whole=speech.complete and not unheard)

    def stop(self) -> None:
        """The line is gone."""
        for one in self._speeches:
            if one.timer is not None:
                one.timer.cancel()
        self._speeches.clear()


def split_heard(text: str, share: float) -> tuple[str, str]:
    """Divide a transcript at the word up to which it was heard; ``share`` is 0.0 to 1.0 of its time."""
    if share >= 1.0:
        return text, ""
    at = text.rfind(" ", 0, int(len(text) * share) + 1)
    if at <= 0:
        return "", text
    return text[:at], text[at + 1 :]
