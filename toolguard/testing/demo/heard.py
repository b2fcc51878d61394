"""What could be heard on the line, and when: worked out from the frames that the server sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.testing.realtime import Frame

_BYTES_PER_MS = 48


@dataclass(slots=True)
class Speech:
    """One stretch of speech.

    Attributes:
        who: ``agent`` or ``caller``.
        begin: When it began, on the server's clock.
        seconds: How long it lasted, up to where it was cut off.
        words: What was said in full.
        heard: What of it was heard.
    """

    who: str
    begin: float
    seconds: float
    words: str = ""
    heard: str = ""

    @property
    def end(self) -> float:
        """When it was over."""
        return self.begin + self.seconds


def agent_speech(sent: Sequence[Frame]) -> list[Speech]:
    """The agent's answers: audio plays when what was before it has ended, until its end or until the caller speaks."""
    spoken: dict[str, Speech] = {}
    for frame in sent:
        event = frame.event
        if frame.type == "response.output_audio_transcript.delta":
            speech = spoken.setdefault(event["item_id"], Speech("agent", frame.at, 0.0))
            speech.words += event["delta"]
        elif frame.type == "response.output_audio.delta":
            speech = spoken.setdefault(event["item_id"], Speech("agent", frame.at, 0.0))
            speech.seconds += len(event["delta"]) * 3 / 4 / _BYTES_PER_MS / 1000
    cuts = [frame.at for frame in sent if frame.type == "input_audio_buffer.speech_started"]
    free = 0.0
    for speech in spoken.values():
        came = speech.begin
        speech.begin = max(came, free)
        _cut(speech, [at for at in cuts if at >= came])
        free = speech.end
    return list(spoken.values())


def _cut(speech: Speech, cuts: Sequence[float]) -> None:
    """An answer that the caller spoke into was heard to there; one that still waited was not heard at all."""
    cut = next((at for at in cuts if at < speech.end), None)
    if cut is None:
        speech.heard = speech.words
        return
    cut = max(cut, speech.begin)
    share = (cut - speech.begin) / speech.seconds if speech.seconds else 0.0
    speech.seconds = cut - speech.begin
    speech.heard = speech.words[: int(len(speech.words) * share)]


def caller_speech(sent: Sequence[Frame]) -> list[Speech]:
    """The caller's turns, from the server's events about them."""
    begun: dict[str, Speech] = {}
    for frame in sent:
        event = frame.event
        if frame.type == "input_audio_buffer.speech_started":
            begun[event["item_id"]] = Speech("caller", frame.at, 0.0)
        elif frame.type == "input_audio_buffer.speech_stopped":
            begun[event["item_id"]].seconds = frame.at - begun[event["item_id"]].begin
        elif frame.type == "conversation.item.input_audio_transcription.completed":
            begun[event["item_id"]].words = begun[event["item_id"]].heard = event["transcript"]
    return list(begun.values())


def silences(sent: Sequence[Frame]) -> list[tuple[float, float]]:
    """Stretches between the caller's first turn and the last word in which nobody spoke, as (begin, seconds)."""
    caller = caller_speech(sent)
    if not caller:
        return []
    speeches = sorted([*caller, *agent_speech(sent)], key=lambda speech: speech.begin)
    quiet: list[tuple[float, float]] = []
    until = caller[0].end
    for speech in speeches:
        if speech.begin > until:
            quiet.append((until, speech.begin - until))
        until = max(until, speech.end)
    return quiet
