"""A caller whose voice activity and words reach the pipeline as a transport with speech to text would send them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pipecat.frames.frames import (
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.utils.time import time_now_iso8601

if TYPE_CHECKING:
    from pipecat.pipeline.worker import PipelineWorker


class ScriptedCaller:
    """The caller of one pipeline.

    Args:
        worker: The pipeline's worker.
    """

    def __init__(self, worker: PipelineWorker) -> None:
        self._worker = worker

    async def starts(self) -> None:
        """A voice is noticed."""
        await self._worker.queue_frame(VADUserStartedSpeakingFrame())

    async def stops(self) -> None:
        """The voice is silent again."""
        await self._worker.queue_frame(VADUserStoppedSpeakingFrame())

    async def partly(self, words: str) -> None:
        """Some words are understood, not for good."""
        await self._worker.queue_frame(InterimTranscriptionFrame(words, "caller", time_now_iso8601()))

    async def said(self, words: str) -> None:
        """Words are understood."""
        await self._worker.queue_frame(TranscriptionFrame(words, "caller", time_now_iso8601(), finalized=True))

    async def speaks(self, words: str, seconds: float = 0.4) -> float:
        """Speak for a while; the words are understood a moment after the voice is silent, at the time it returns."""
        await self.starts()
        await asyncio.sleep(seconds / 2)
        if words:
            await self.partly(words[: len(words) // 2])
        await asyncio.sleep(seconds / 2)
        await self.stops()
        await asyncio.sleep(0.02)
        if words:
            await self.said(words)
        return asyncio.get_running_loop().time()
