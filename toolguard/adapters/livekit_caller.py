"""The caller's side of a LiveKit session: onsets, words, turns that are none, and words that LiveKit drops."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from toolguard.adapters.livekit_features import agents

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.adapters.livekit_responses import Responses
    from toolguard.engine.session import Session

CONTINUES_WITHIN = 0.7
"""Seconds after the end of a turn within which new speech counts as the same turn going on (G6)."""
_NO_MORE_OF_IT = frozenset({"noise", "backchannel", "correction", "cancellation"})
UNDERSTOOD_WITHIN = 0.5
"""Seconds that LiveKit's turn may wait for a listener that takes its time; the built-in one takes none."""


class Caller:
    """What the caller does.

    Args:
        session: The guarded session.
        responses: The model's responses; None where the session only watches.
    """

    def __init__(self, session: Session, responses: Responses | None) -> None:
        self._session = session
        self._responses = responses
        self._onsets = 0
        self._words = ""
        self._turn_kinds: list[tuple[str, bool]] = []
        self._waiting = 0
        self._noise = False
        self._decision: asyncio.Future[None] | None = None
        self._continues: dict[str, str] = {}
        self._said_before = ""
        self._silent_since = 0.0
        self._stopped_at = float("-inf")
        self._spoken: set[str] = set()
        self.speaking = False
        self.settled = asyncio.Event()
        """Whether it is decided what the caller's last words mean, or none are to come."""
        self.settled.set()
        self.unplaced: list[agents.ChatMessage] = []
        """Words that no turn of LiveKit's has taken up yet."""
        self.on_turn: Callable[[bool], None] = lambda _no_turn: None
        """Called when it is decided what the words of a turn mean that LiveKit is about to end; whether it is none."""
        session.on_settling = self._settling
        session.on_turn = self._turned

    @property
    def _onset(self) -> str:
        return f"onset-{self._onsets}"

    # -- what LiveKit hears -------------------------------------------------------------------------------------

    def starts(self) -> None:
        """Somebody begins to speak."""
        self._onsets += 1
        self.speaking, self._words = True, ""
        self.settled.clear()
        now = asyncio.get_running_loop().time()
        early = self._responses.since_stop if self._responses is not None else None
        if early is not None and now - self._stopped_at <= CONTINUES_WITHIN:
            self._continues[self._onset] = early.id
        self._session.caller_started(self._onset)

    def stops(self) -> None:
        """The caller stops speaking."""
        if not self.speaking:
            return
        self.speaking = False
        self._stopped_at = asyncio.get_running_loop().time()
        self._silent_since = time.time()
        if self._responses is not None:
            self._responses.since_stop = None
        self._session.caller_stopped(self._onset)
        if self._words:
            self._say(self._words, self._onset)

    def hears(self, text: str, *, final: bool, item: str = "") -> None:
        """Words: LiveKit's final transcripts are pieces of a turn while the caller still speaks."""
        text = text.strip()
        if not text:
            return
        if final:
            self.unplaced.append(agents.ChatMessage(role="user", content=[text]))
        if self.speaking:
            words = f"{self._words} {text}".strip()
            if final:
                self._words = words
            self._session.caller_said(words, onset=self._onset, final=False)
        elif final:
            self._say(text, self._onset if self._onsets else "", item)

    def types(self, text: str, item: str) -> None:
        """A turn that was not spoken; LiveKit's model is asked already."""
        if text.strip():
            self._session.caller_said(text, item=item)
            self._session.no_reply_coming()

    def _say(self, text: str, onset: str, item: str = "") -> None:
        self._waiting += 1
        self._session.caller_said(text, onset=onset, item=item)

    # -- what it means ------------------------------------------------------------------------------------------

    def _settling(self, kind: str, onset: str) -> None:
        """The turn goes on that a response had answered too early: the response counts as discarded (G6).

        LiveKit itself takes it for a new turn and lets the calls run. So it counts only where something would be done
        that the caller may not have meant; words that take something back decide about the calls by themselves.
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
        self._waiting = max(0, self._waiting - 1)
        state = self._session.state
        busy = bool(state.open_runs or state.unsent)
        no_turn = kind in {"noise", "backchannel"} and busy
        if self.unplaced:
            self._turn_kinds.append((kind, no_turn))
            self.on_turn(no_turn)
        if not onset or onset == self._onset:
            self._noise = no_turn
            self._decide()

    def decided(self) -> asyncio.Future[None] | None:
        """The moment at which it is decided what the caller wants; None where it is, and is more than a noise."""
        if self.settled.is_set() and not self._noise:
            return None
        if self._decision is None or self._decision.done():
            self._decision = asyncio.get_running_loop().create_future()
        return self._decision

    def _decide(self) -> None:
        self.settled.set()
        if self._decision is not None and not self._decision.done():
            self._decision.set_result(None)

    async def is_no_turn(self) -> bool:
        """LiveKit's turn has ended: whether it is a listening noise while calls are in flight, which needs no reply."""
        if self._waiting:
            try:
                async with asyncio.timeout(UNDERSTOOD_WITHIN):
                    await self.settled.wait()
            except TimeoutError:
                pass
        kinds, self._turn_kinds = self._turn_kinds, []
        self.on_turn(False)
        none = bool(kinds) and all(no_turn for _, no_turn in kinds)
        if none:
            self._session.no_reply_coming()
        return none

    def moved(self) -> None:
        """Another agent has the conversation; what is being said belongs before that."""
        self._said_before = self._onset if self._onsets else ""

    def took(self, message: agents.ChatMessage) -> None:
        """A turn of LiveKit's has taken up what was said; it is placed by when it was spoken (O12)."""
        if self._said_before == self._onset and self._silent_since:
            message.created_at = min(message.created_at, self._silent_since)
        self._spoken.add(message.id)
        self.unplaced.clear()

    def spoke(self, message: agents.ChatMessage) -> bool:
        """Whether a message is one that was spoken."""
        return message.id in self._spoken
