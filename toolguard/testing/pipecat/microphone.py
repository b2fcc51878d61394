"""A microphone that a recording is played into: the pipeline gets the sound of it, and silence otherwise."""

from __future__ import annotations

import asyncio
import wave
from typing import TYPE_CHECKING

from pipecat.frames.frames import InputAudioRawFrame

if TYPE_CHECKING:
    from pathlib import Path

    from pipecat.pipeline.worker import PipelineWorker

RATE = 16_000
SLICE = 0.02
"""Seconds of sound in one frame."""
_BYTES = int(RATE * SLICE) * 2


class Microphone:
    """Gives a pipeline a slice of sound every 20 ms of the loop's time, from when it is made until it is stopped.

    Args:
        worker: The worker of a pipeline whose user aggregator has a voice detector.
    """

    def __init__(self, worker: PipelineWorker) -> None:
        self._worker = worker
        self._waiting: list[bytes] = []
        self._empty = asyncio.Event()
        self._task = asyncio.create_task(self._record(), name="microphone")

    async def plays(self, recording: Path) -> None:
        """Speak a recording to its end: a WAV file of 16 kHz, mono, 16 bits.

        Raises:
            ValueError: It is of another form.
        """
        self._waiting += slices(recording)
        self._empty.clear()
        await self._empty.wait()

    def stop(self) -> None:
        """Send nothing more, not even silence."""
        self._task.cancel()

    async def _record(self) -> None:
        loop = asyncio.get_running_loop()
        begun, sent = loop.time(), 0
        while True:
            sound = self._waiting.pop(0) if self._waiting else bytes(_BYTES)
            if not self._waiting:
                self._empty.set()
            await self._worker.queue_frame(InputAudioRawFrame(audio=sound, sample_rate=RATE, num_channels=1))
            sent += 1
            await asyncio.sleep(begun + sent * SLICE - loop.time())


def slices(recording: Path) -> list[bytes]:
    """The sound of a recording, as frames hold it.

    Raises:
        ValueError: It is of another form.
    """
    with wave.open(str(recording), "rb") as sound:
        if (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) != (RATE, 1, 2):
            raise ValueError(f"{recording.name} is not 16 kHz, mono, 16 bits")
        pcm = sound.readframes(sound.getnframes())
    return [pcm[at : at + _BYTES].ljust(_BYTES, b"\0") for at in range(0, len(pcm), _BYTES)]
