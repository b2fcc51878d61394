"""Ears that hear what they are told: sounds, partial words, words, silence; and a detector of voices."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import LanguageCode, stt, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr


class ScriptedEars(stt.STT[Any]):
    """Hears what its methods say.

    Args:
        detector: A detector of voices that is told as well.
    """

    def __init__(self, detector: ScriptedDetector | None = None) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._detector = detector
        self._hearing: _Hearing | None = None

    async def _recognize_impl(self, *_args: Any, **_kwargs: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        """Begin to listen."""
        _ = language
        self._hearing = _Hearing(stt=self, conn_options=conn_options)
        return self._hearing

    def starts(self) -> None:
        """The caller begins to speak."""
        if self._detector is not None:
            self._detector.starts()
        self._tell(stt.SpeechEventType.START_OF_SPEECH)

    def partly(self, words: str) -> None:
        """Some of the words are understood."""
        self._tell(stt.SpeechEventType.INTERIM_TRANSCRIPT, words)

    def said(self, words: str) -> None:
        """The words are understood."""
        self._tell(stt.SpeechEventType.FINAL_TRANSCRIPT, words)

    def stops(self) -> None:
        """The caller stops speaking."""
        if self._detector is not None:
            self._detector.stops()
        self._tell(stt.SpeechEventType.END_OF_SPEECH)

    async def speaks(self, words: str, seconds: float = 0.4) -> float:
        """The caller speaks for a while, half of the words on the way, all at the end, whose time it returns."""
        self.starts()
        await asyncio.sleep(seconds / 2)
        if words:
            self.partly(words[: len(words) // 2])
        await asyncio.sleep(seconds / 2)
        if words:
            self.said(words)
        self.stops()
        return asyncio.get_running_loop().time()

    def _tell(self, kind: stt.SpeechEventType, words: str = "") -> None:
        heard = [stt.SpeechData(language=LanguageCode("en"), text=words)] if words else []
        if self._hearing is not None:
            self._hearing.tell(stt.SpeechEvent(type=kind, alternatives=heard))


class ScriptedDetector(vad.VAD):
    """Detects a voice when it is told to: then LiveKit interrupts the agent at once, before a word is understood."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.1))
        self._detecting: _Detecting | None = None

    def stream(self) -> vad.VADStream:
        """Begin to listen."""
        self._detecting = _Detecting(self)
        return self._detecting

    def starts(self) -> None:
        """A voice."""
        self._tell(vad.VADEventType.START_OF_SPEECH, speaking=True)
        self._tell(vad.VADEventType.INFERENCE_DONE, speaking=True)

    def stops(self) -> None:
        """Silence."""
        self._tell(vad.VADEventType.END_OF_SPEECH, speaking=False)

    def _tell(self, kind: vad.VADEventType, *, speaking: bool) -> None:
        if self._detecting is not None:
            heard = 0.05 if speaking else 0.0
            self._detecting.tell(
                vad.VADEvent(
                    type=kind,
                    samples_index=0,
                    timestamp=asyncio.get_running_loop().time(),
                    speech_duration=heard,
                    silence_duration=0.0,
                    probability=float(speaking),
                    speaking=speaking,
                    raw_accumulated_speech=heard,
                )
            )


class _Detecting(vad.VADStream):
    def tell(self, event: vad.VADEvent) -> None:
        if not self._event_ch.closed:
            self._event_ch.send_nowait(event)

    async def _main_task(self) -> None:
        async for _frame in self._input_ch:
            pass


class _Hearing(stt.RecognizeStream):
    def tell(self, event: stt.SpeechEvent) -> None:
        if not self._event_ch.closed:
            self._event_ch.send_nowait(event)

    async def _run(self) -> None:
        async for _frame in self._input_ch:
            pass
        await asyncio.get_running_loop().create_future()
