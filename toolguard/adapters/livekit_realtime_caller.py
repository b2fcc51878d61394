"""The caller's side where the provider hears the caller: words come behind the turn that they belong to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from toolguard.adapters.livekit_caller import Caller
from toolguard.adapters.livekit_features import agents

if TYPE_CHECKING:
    from toolguard.adapters.livekit_realtime_port import LiveKitRealtimePort
    from toolguard.adapters.livekit_responses import Responses
    from toolguard.engine.session import Session


class RealtimeCaller(Caller):
    """What the caller does.

    Args:
        session: The guarded session.
        responses: The model's responses; None where the session only watches, as for what follows.
        port: The way out.
    """

    def __init__(self, session: Session, responses: Responses | None, port: LiveKitRealtimePort | None) -> None:
        super().__init__(session, responses)
        self._port = port
        self._ours: dict[str, bool] = {}
        self._items: dict[str, str] = {}
        self._turns: dict[str, str] = {}
        self._stopped: list[str] = []
        self.unanswered = False
        """Whether the caller has stopped speaking since the last response began."""
        self.handed_over = False
        """Whether another agent has the conversation, and has not said anything yet."""

    def stops(self) -> None:
        """The caller stops speaking; the provider answers, and the words are still to come."""
        if not self.speaking:
            return
        self.speaking, self.unanswered = False, True
        self._stopped_at = asyncio.get_running_loop().time()
        if self._responses is not None:
            self._responses.since_stop = None
        self._stopped.append(self._onset)
        self._ours[self._onset] = self._port is not None and self._port.turns.managed
        self._session.caller_stopped(self._onset)

    def turn_item(self, item: str) -> None:
        """The provider has made an item of what the caller has just said."""
        if self._stopped and item not in self._turns:
            self._turns[item] = self._stopped[-1]

    def hears(self, text: str, *, final: bool, item: str = "") -> None:
        """Words, which belong to the turn of which the provider has made this item."""
        text = text.strip()
        if not text and not (final and item):
            return
        if not final:
            self._session.caller_said(text, onset=self._onset if self._onsets else "", final=False, item=item)
            return
        onset = self._turns.pop(item, "") or (self._stopped[-1] if self._stopped else "")
        self._stopped = [one for one in self._stopped if one != onset]
        self._items[onset] = item
        if self.unanswered and text:
            self.unplaced.append(agents.ChatMessage(id=item, role="user", content=[text]))
        self._say(text, onset, item)
        if self.handed_over and text and self._port is not None:
            self._port.rebuilt()  # the provider has to have them, where the next agent has
            self._session.wants_reply()

    def _settling(self, kind: str, onset: str) -> None:
        """The turn goes on that a response had answered too early: the response counts as discarded (G6)."""
        generation = self._continues.pop(onset, "")
        if generation and kind not in {"noise", "backchannel"} and self._port is not None:
            self._session.discarded(generation)

    def _turned(self, kind: str, onset: str) -> None:
        """A turn of the caller has settled: it is no turn at all, or wants a reply, which the provider does not start.

        Who starts it was settled when the caller stopped speaking, whatever has ended or begun since (O5).
        """
        super()._turned(kind, onset)
        no_turn, item = kind in {"noise", "backchannel"}, self._items.pop(onset, "")
        if no_turn and not item:
            return  # nothing of it was understood: should its words come after all, it is a turn
        if not self._ours.pop(onset, False) or self._port is None:
            return
        if no_turn:
            self.unanswered = False
            self._port.forget(item)
        else:
            self._session.wants_reply()

    def answered(self) -> None:
        """A response has begun: it is the answer to what was said."""
        self.unanswered = self.handed_over = False
        self.unplaced.clear()
