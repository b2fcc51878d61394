"""The caller as a Pipecat pipeline hears them: voice activity, turns, and the pieces of what they say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from toolguard.adapters.pipecat_features import frames

if TYPE_CHECKING:
    from toolguard.adapters.pipecat_port import PipecatPort
    from toolguard.engine.session import Session

CONTINUES_WITHIN = 0.5
"""Seconds after the caller's last sound within which new speech counts as the same turn going on (G6)."""
_NO_TURN = frozenset({"noise", "backchannel"})
_NO_MORE_OF_IT = frozenset({"noise", "backchannel", "correction", "cancellation"})
_NOTHING = " "
"""A transcript without words: Pipecat ends the turn and writes nothing of it into the context."""


class Caller:
    """The caller's side of one conversation.

    An onset is the first thing that Pipecat notices of the caller's speech: voice activity, or a turn that begins.

    Args:
        session: The guarded session.
        port: Its way out; None where it only watches.
        here: What tells this pipeline from others of the conversation.
    """

    def __init__(self, session: Session, port: PipecatPort | None, here: str) -> None:
        self._session = session
        self._port = port
        self._onsets = 0
        self._here = here
        self._speaking = ""
        self._turn = False
        self._turn_words = False
        self._words = ""
        self._kind = ("", "")
        self._just_said = self._blanked = False
        self.awaited: tuple[int, ...] = ()
        """Calls that the caller's last turn takes back: a reply to it waits for their answers (G8)."""
        self._stopped_at = float("-inf")
        self._early = ""
        self._continues: dict[str, str] = {}
        session.on_turn = self._turned
        session.on_settling = self._settling

    @property
    def has_floor(self) -> bool:
        """Whether the caller is speaking, or their turn goes on."""
        return bool(self._speaking) or self._turn

    def answered(self, generation: str) -> None:
        """A response begins; if the caller's turn goes on at once, it has answered too early."""
        if not self._speaking:
            self._early = self._early or generation

    def _settling(self, kind: str, onset: str) -> None:
        """The turn goes on that a response had answered too early: the response counts as discarded (G6).

        Pipecat itself takes it for a new turn. So it counts only where something would be done that the caller may not
        have meant; words that take something back decide about the calls by themselves.
        """
        generation = self._continues.pop(onset, "")
        if generation and kind not in _NO_MORE_OF_IT and self._would_do(generation):
            self._session.discarded(generation)

    def _would_do(self, generation: str) -> bool:
        state = self._session.state
        runs = [state.runs[state.slots[call].run] for call in state.unsent if state.slots[call].run]
        mine = [run for run in runs if state.slots[run.calls[0]].generation == generation]
        return any(run.effect.writes and run.phase.uncommitted for run in mine)

    def _turned(self, kind: str, onset: str) -> None:
        self._kind = onset, kind
        self.awaited = self._session.taken_back
        open_turn = self._turn and not self._turn_words and not self._just_said
        if kind == "noise" and open_turn and onset == self._onset and self._port is not None:
            self._port.no_words()
            self._session.no_reply_coming()

    # -- what the processors tell -------------------------------------------------------------------------------

    def hears(self, frame: frames.Frame) -> None:
        """The user aggregator is about to process a frame."""
        if isinstance(frame, frames.TranscriptionFrame):
            self._said(frame)
        elif isinstance(frame, frames.InterimTranscriptionFrame):
            if frame.text.strip():
                self._session.caller_said(self._with(frame.text), onset=self._onset, final=False)
        elif isinstance(frame, frames.InputDTMFFrame):
            self._session.key_pressed(frame.button.value)
        else:
            self.passes(frame)

    def heard(self, frame: frames.Frame) -> None:
        """The user aggregator has processed a frame."""
        if isinstance(frame, frames.TranscriptionFrame):
            self._just_said = self._blanked = False

    def tells(self, frame: frames.Frame) -> None:
        """The user aggregator, which decides about turns, is about to tell of something."""
        self.passes(frame)

    def passes(self, frame: frames.Frame) -> None:
        """A frame about the caller's speech, wherever in the pipeline it is seen first."""
        if isinstance(frame, frames.VADUserStartedSpeakingFrame):
            self._starts()
        elif isinstance(frame, frames.UserStartedSpeakingFrame):
            if not self._turn:
                self._turn, self._turn_words = True, self._just_said and not self._blanked
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
        return f"onset-{self._here}-{self._onsets}" if self._onsets else ""

    def _with(self, text: str) -> str:
        return f"{self._words} {text.strip()}".strip()

    def _starts(self) -> None:
        if self._speaking:
            return
        self._onsets += 1
        if self._early and asyncio.get_running_loop().time() - self._stopped_at <= CONTINUES_WITHIN:
            self._continues[self._onset] = self._early
        self._speaking, self._words = self._onset, ""
        self._session.caller_started(self._speaking)

    def _stops(self) -> None:
        if not self._speaking:
            return
        onset, self._speaking = self._speaking, ""
        self._stopped_at, self._early = asyncio.get_running_loop().time(), ""
        self._session.caller_stopped(onset)
        if self._words:
            words, self._words = self._words, ""
            self._session.caller_said(words, onset=onset)

    def _said(self, frame: frames.TranscriptionFrame) -> None:
        """A piece of the caller's turn: while they speak it is not known whether more follows."""
        text = frame.text.strip()
        if self._speaking:
            if text:
                self._just_said = self._turn_words = True
                self._words = self._with(text)
                self._session.caller_said(self._words, onset=self._speaking, final=False)
            return
        if not text and frame.text:  # our own word that no words come
            self._just_said = self._blanked = True
            return
        onset, calls = self._onset, self._port.open if self._port is not None else 0
        placed = self._port is not None and (self._session.amendable or self._session.successor is not None)
        self._just_said = True
        self._kind = ("", "")
        self._session.caller_said(text, onset=onset)
        no_turn = self._kind[0] == onset and self._kind[1] in _NO_TURN
        if placed or (calls and no_turn):
            frame.text, self._turn_words, self._blanked = _NOTHING, False, True
            self._session.no_reply_coming()
            if self._port is not None:
                self._port.wordless = True
            if placed and not no_turn:  # the words stand in the context, and want an answer
                self._session.wants_reply()
        elif text:
            self._turn_words = True
