"""Microphone and loudspeaker of a LiveKit session on the loop's clock, and one clock for everything that LiveKit reads."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from livekit.agents import utils
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities

from toolguard.testing.livekit_realtime.generation import RATE

if TYPE_CHECKING:
    from collections.abc import Generator

    from livekit import rtc


@contextmanager
def one_clock(epoch: float) -> Generator[None]:
    """Let ``time.time()`` run with the loop, from ``epoch`` on: LiveKit mixes both clocks."""
    loop = asyncio.get_running_loop()
    plain, begins = time.time, epoch - loop.time()
    time.time = lambda: begins + loop.time()
    try:
        yield
    finally:
        time.time = plain


class Microphone(AudioInput):
    """A microphone that is never spoken into: the model is told what it hears."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._frames: utils.aio.Chan[rtc.AudioFrame] = utils.aio.Chan()

    async def __anext__(self) -> rtc.AudioFrame:
        """The next piece of sound, which never comes."""
        return await self._frames.__anext__()


class Loudspeaker(AudioOutput):
    """Plays at the pace of the loop's clock, and can be cut off."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False), sample_rate=RATE)
        self._length = 0.0
        self._began: float | None = None
        self._end: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a piece of sound; the first one begins to play."""
        await super().capture_frame(frame)
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
            self.on_playback_started(created_at=time.time())
        self._length += frame.duration

    def flush(self) -> None:
        """All of it has come: it ends when it has been played."""
        super().flush()
        if self._began is not None:
            loop = asyncio.get_running_loop()
            self._end = loop.call_later(max(0.0, self._began + self._length - loop.time()), self._stop, False)

    def clear_buffer(self) -> None:
        """Stop playing."""
        self._stop(cut=True)

    def _stop(self, cut: bool) -> None:
        if self._began is None:
            return
        if self._end is not None:
            self._end.cancel()
        played = min(self._length, asyncio.get_running_loop().time() - self._began)
        self._length, self._began, self._end = 0.0, None, None
        self.on_playback_finished(playback_position=played, interrupted=cut)
