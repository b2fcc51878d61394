"""The caller as a Pipecat pipeline hears them: voice activity, turns, and the pieces of what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolguard.adapters.pipecat_features import frames

if TYPE_CHECKING:
    from toolguard.adapters.pipecat_port import PipecatPort
    from toolguard.engine.session import Session

_NO_TURN = frozenset({"noise", "backchannel"})


class Caller:
    """The caller's side of one conversation.

    An onset is the first thing that Pipecat notices of the caller's speech: voice activity, or a turn that begins.

    Args:
        session: The guarded session.
        port: Its way out; None where it only watches.
    """

    def __init__(self, session: Session, port: PipecatPort | None) -> None:
        self._session = session
        self._port = port
        self._onsets = 0
        self._speaking = ""
        self._turn = False
        self._turn_words = False
        self._words = ""
        self._kinds: dict[str, str] = {}
        self._just_said = False
        self._before = session.on_turn
        session.on_turn = self._turned

    @property
    def has_floor(self) -> bool:
        """Whether the caller is speaking, or their turn goes on."""
        return bool(self._speaking) or self._turn

    def stop(self) -> None:
        """Listen no more."""
        self._session.on_turn = self._before

    def _turned(self, kind: str, onset: str) -> None:
        self._kinds[onset] = kind
        self._before(kind, onset)

    # -- what the processors tell -------------------------------------------------------------------------------

    def hears(self, frame: frames.Frame) -> None:
        """The user aggregator is about to process a frame."""
        if isinstance(frame, frames.TranscriptionFrame):
            self._said(frame)
        elif isinstance(frame, frames.InterimTranscriptionFrame):
            if frame.text.strip():
                self._session.caller_said(self._with(frame.text), onset=self._onset, final=False)
        else:
            self.passes(frame)

    def heard(self, frame: frames.Frame) -> None:
        """The user aggregator has processed a frame."""
        if isinstance(frame, frames.TranscriptionFrame):
            self._just_said = False

    def tells(self, frame: frames.Frame) -> None:
        """The user aggregator, which decides about turns, is about to tell of something."""
        self.passes(frame)

    def passes(self, frame: frames.Frame) -> None:
        """A frame about the caller's speech, wherever in the pipeline it is seen first."""
        if isinstance(frame, frames.VADUserStartedSpeakingFrame):
            self._starts()
        elif isinstance(frame, frames.UserStartedSpeakingFrame):
            if not self._turn:
                self._turn, self._turn_words = True, self._just_said
                if not self._just_said:  # words that begin a turn by themselves have settled already
                    self._starts()
        elif isinstance(frame, frames.VADUserStoppedSpeakingFrame):
            self._stops()
        elif isinstance(frame, frames.UserStoppedSpeakingFrame) and self._turn:
            self._turn = False
            self._stops()
            if not self._turn_words and self._port is not None:
                self._port.ask_again()

    # -- what it means ------------------------------------------------------------------------------------------

    @property
    def _onset(self) -> str:
        return f"onset-{self._onsets}" if self._onsets else ""

    def _with(self, text: str) -> str:
        return f"{self._words} {text.strip()}".strip()

    def _starts(self) -> None:
        if self._speaking:
            return
        self._onsets += 1
        self._speaking, self._words = self._onset, ""
        self._session.caller_started(self._speaking)

    def _stops(self) -> None:
        if not self._speaking:
            return
        onset, self._speaking = self._speaking, ""
        self._session.caller_stopped(onset)
        if self._words:
            words, self._words = self._words, ""
            self._session.caller_said(words, onset=onset)

    def _said(self, frame: frames.TranscriptionFrame) -> None:
        """A piece of the caller's turn: while they speak it is not known whether more follows."""
        text = frame.text.strip()
        if not text:
            return
        self._just_said = self._turn_words = True
        if self._speaking:
            self._words = self._with(text)
            self._session.caller_said(self._words, onset=self._speaking, final=False)
            return
        onset, calls = self._onset, self._port.open if self._port is not None else 0
        self._kinds.pop(onset, None)
        self._session.caller_said(text, onset=onset)
        if calls and self._kinds.get(onset) in _NO_TURN:
            frame.text = ""  # Pipecat makes no turn of a transcript without words
