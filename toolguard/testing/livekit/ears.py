"""Ears that hear what they are told: sounds, partial words, words, silence."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import LanguageCode, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr


class ScriptedEars(stt.STT[Any]):
    """Hears what its methods say."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
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
        self._tell(stt.SpeechEventType.START_OF_SPEECH)

    def partly(self, words: str) -> None:
        """Some of the words are understood."""
        self._tell(stt.SpeechEventType.INTERIM_TRANSCRIPT, words)

    def said(self, words: str) -> None:
        """The words are understood."""
        self._tell(stt.SpeechEventType.FINAL_TRANSCRIPT, words)

    def stops(self) -> None:
        """The caller stops speaking."""
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


class _Hearing(stt.RecognizeStream):
    def tell(self, event: stt.SpeechEvent) -> None:
        if not self._event_ch.closed:
            self._event_ch.send_nowait(event)

    async def _run(self) -> None:
        async for _frame in self._input_ch:
            pass
        await asyncio.get_running_loop().create_future()
