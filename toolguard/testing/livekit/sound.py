"""Speech without a sound: a voice whose pieces last as long as it is told, and a loudspeaker that takes the time."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

from livekit.agents import tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit import rtc

RATE = 16_000
SECONDS_PER_LETTER = 0.02
_AS_GOOD_AS = 0.01


def by_letters(text: str) -> float:
    """How long a text takes, by its length."""
    return SECONDS_PER_LETTER * len(text)


class QuietVoice(tts.TTS[Any]):
    """Speech without a sound.

    Args:
        seconds: How long a piece of text takes.
        streaming: Whether it speaks each piece as it comes, and not only whole sentences.
    """

    def __init__(self, seconds: Callable[[str], float] = by_letters, *, streaming: bool = False) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=streaming), sample_rate=RATE, num_channels=1)
        self.seconds = seconds
        self.pieces: list[tuple[str, float]] = []
        """What it was given to speak since the loudspeaker was silent last, with how long each piece takes."""

    def takes(self, text: str) -> float:
        """How long a piece takes that it is about to speak."""
        seconds = self.seconds(text)
        self.pieces.append((text, seconds))
        return seconds

    def heard(self, seconds: float) -> str:
        """What of it was heard in this time; of a piece that was cut off, so many words."""
        words = ""
        for text, takes in self.pieces:
            if seconds < takes - _AS_GOOD_AS:
                said = text.split(" ")
                return words + " ".join(said[: math.ceil(len(said) * max(0.0, seconds) / takes)])
            words += text
            seconds -= takes
        return words

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Speak a text."""
        return _Speaking(self, text, conn_options, self.takes(text))

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> tts.SynthesizeStream:
        """Speak pieces as they come."""
        return _Going(self, conn_options)


class _Speaking(tts.ChunkedStream):
    def __init__(self, voice: QuietVoice, text: str, conn_options: APIConnectOptions, seconds: float) -> None:
        super().__init__(tts=voice, input_text=text, conn_options=conn_options)  # pyright: ignore[reportUnknownMemberType]
        self._seconds = seconds

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(request_id="v", sample_rate=RATE, num_channels=1, mime_type="audio/pcm")
        output_emitter.push(b"\0\0" * max(1, int(RATE * self._seconds)))
        output_emitter.flush()


class _Going(tts.SynthesizeStream):
    def __init__(self, voice: QuietVoice, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=voice, conn_options=conn_options)  # pyright: ignore[reportUnknownMemberType]
        self._voice = voice

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(request_id="v", sample_rate=RATE, num_channels=1, mime_type="audio/pcm", stream=True)
        output_emitter.start_segment(segment_id="s")
        async for piece in self._input_ch:
            if isinstance(piece, str):
                output_emitter.push(b"\0\0" * max(1, int(RATE * self._voice.takes(piece))))
            output_emitter.flush()
        output_emitter.end_segment()


class Microphone(AudioInput):
    """A microphone that is never spoken into: the ears are told what they hear."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._frames: utils.aio.Chan[rtc.AudioFrame] = utils.aio.Chan()

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.__anext__()


class Loudspeaker(AudioOutput):
    """Plays at the pace of the loop's clock, and can be cut off.

    Args:
        voice: Whose words it plays: then LiveKit is told which of them were heard.

    Attributes:
        given: What the voice had been given to say of what was played last.
        played: What was played, as (begin, end, whether it was cut off), in the loop's time.
    """

    def __init__(self, voice: QuietVoice | None = None) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False), sample_rate=RATE)
        self._voice = voice
        self._length = 0.0
        self._began: float | None = None
        self._end: asyncio.TimerHandle | None = None
        self.played: list[tuple[float, float, bool]] = []
        self.given = ""

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a piece."""
        await super().capture_frame(frame)
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
            self.on_playback_started(created_at=time.time())
        self._length += frame.duration

    def flush(self) -> None:
        """The speech is complete: it ends when it was played."""
        super().flush()
        if self._began is not None:
            loop = asyncio.get_running_loop()
            rest = self._began + self._length - loop.time()
            self._end = loop.call_later(max(0.0, rest), self._stop, False)

    def clear_buffer(self) -> None:
        """Stop at once."""
        self._stop(cut=True)

    def _stop(self, cut: bool) -> None:
        if self._began is None:
            return
        if self._end is not None:
            self._end.cancel()
        now = asyncio.get_running_loop().time()
        played = min(self._length, now - self._began)
        self.played.append((self._began, now, cut))
        self._length, self._began, self._end = 0.0, None, None
        heard = self._voice.heard(played) if self._voice is not None and cut else None
        if self._voice is not None:
            self.given = "".join(text for text, _ in self._voice.pieces)
            self._voice.pieces.clear()
        self.on_playback_finished(playback_position=played, interrupted=cut, synchronized_transcript=heard)
