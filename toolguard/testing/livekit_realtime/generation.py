"""A response as it comes in at the client: LiveKit reads it from streams."""

from __future__ import annotations

import asyncio
from typing import Literal

from livekit import rtc
from livekit.agents import utils
from livekit.agents.llm import FunctionCall, GenerationCreatedEvent, MessageGeneration

RATE = 16_000
"""Samples a second of the speech, which is silence."""


class Incoming:
    """The streams of one response.

    Attributes:
        calls: Its calls.
    """

    def __init__(self) -> None:
        self.calls: utils.aio.Chan[FunctionCall] = utils.aio.Chan()
        self._messages: utils.aio.Chan[MessageGeneration] = utils.aio.Chan()
        self._text: utils.aio.Chan[str] | None = None
        self._audio: utils.aio.Chan[rtc.AudioFrame] | None = None

    def created(self, response: str, *, by_client: bool) -> GenerationCreatedEvent:
        """The event by which LiveKit learns of it."""
        return GenerationCreatedEvent(
            message_stream=self._messages, function_stream=self.calls, user_initiated=by_client, response_id=response
        )

    def open(self, item: str) -> None:
        """A message begins."""
        self.close()
        self._text, self._audio = utils.aio.Chan(), utils.aio.Chan()
        modalities: asyncio.Future[list[Literal["text", "audio"]]] = asyncio.get_running_loop().create_future()
        modalities.set_result(["audio", "text"])
        self._messages.send_nowait(
            MessageGeneration(message_id=item, text_stream=self._text, audio_stream=self._audio, modalities=modalities)
        )

    def piece(self, text: str, seconds: float) -> None:
        """Words and sound of the open message."""
        if self._text is None or self._audio is None:
            return
        self._text.send_nowait(text)
        samples = round(seconds * RATE)
        if samples:
            self._audio.send_nowait(rtc.AudioFrame(bytes(samples * 2), RATE, 1, samples))

    def close(self) -> None:
        """The open message is complete."""
        for stream in (self._text, self._audio):
            if stream is not None and not stream.closed:
                stream.close()
        self._text = self._audio = None

    def end(self) -> None:
        """The response has ended."""
        self.close()
        self.calls.close()
        self._messages.close()
