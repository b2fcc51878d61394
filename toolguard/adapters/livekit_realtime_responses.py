"""The responses of a speech-to-speech model: the provider tells when they begin, LiveKit when they are heard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from toolguard.adapters.livekit_responses import Response, Responses, generation_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.adapters.livekit_features import agents
    from toolguard.adapters.livekit_realtime_port import LiveKitRealtimePort
    from toolguard.engine.session import Session

QUIET = 1.0
"""Seconds after its last call at which a response counts as complete where LiveKit has not told."""


class RealtimeResponses(Responses):
    """The responses of one session.

    Args:
        session: The guarded session.
        port: Its way out.
        guarded: Names of guarded tools.
    """

    def __init__(self, session: Session, port: LiveKitRealtimePort, guarded: set[str]) -> None:
        super().__init__(session, port, guarded)
        self._way_out = port
        self._open: dict[str, Response] = {}
        self._complete: dict[str, asyncio.TimerHandle] = {}
        self._newest: Response | None = None
        self._names: dict[str, Response] = {}
        self._replies: dict[str, frozenset[str]] = {}
        self.on_over: Callable[[], None] = lambda: None
        """Called when a response has ended."""

    # -- beginnings ---------------------------------------------------------------------------------------------

    def created(self, handle: agents.voice.SpeechHandle) -> None:
        """The provider has begun a response, which belongs to this speech."""
        known = self._last.get(handle.id)
        if known is None or known.id != generation_of(handle):
            self.begin(Response(handle))

    def begin(self, response: Response) -> None:
        """A response has begun; what was open has been answered when the caller was first heard."""
        if response.begun:
            return
        response.begun = True
        self._last[response.handle.id] = self._open[response.id] = response
        self.since_stop = self._newest = response
        self._replies.pop(response.id, None)
        self._way_out.began()
        self._way_out.calm.clear()
        self._session.generation_began(response.id)

    def named(self, name: str) -> None:
        """The provider's name of the response that has begun last."""
        if name and self._newest is not None:
            self._names[name] = self._newest

    def finished(self, name: str, *, cancelled: bool) -> None:
        """The provider says that a response has ended."""
        response = self._names.pop(name, None)
        if response is not None:
            self.over(response, "cancelled" if cancelled else "completed")

    def of_call(self, context: agents.RunContext[Any]) -> tuple[Response, int]:
        """The response that made a call, and the call's place in it; it is complete when LiveKit says so."""
        found = super().of_call(context)
        response = found[0]
        timer = self._complete.pop(response.id, None)
        if timer is not None:
            timer.cancel()
        if response not in self._names.values():  # a plugin that measures says when it has ended
            self._complete[response.id] = asyncio.get_running_loop().call_later(QUIET, self.over, response)
        return found

    # -- ends ---------------------------------------------------------------------------------------------------

    def over(self, response: Response, status: str = "completed") -> None:
        """A response has ended (O9)."""
        timer = self._complete.pop(response.id, None)
        if timer is not None:
            timer.cancel()
        if self._open.pop(response.id, None) is not None or status == "cancelled":
            response.status = response.status or status
            self.on_over()
            self._session.generation_ended(response.id, status)

    def complete(self, handle: agents.voice.SpeechHandle | None) -> None:
        """LiveKit waits for the tools of a speech: all of its response has come."""
        response = self._last.get(handle.id) if handle is not None else None
        if response is not None:
            self.over(response)

    def heard(self, handle: agents.voice.SpeechHandle | None) -> None:
        """A response is heard: nobody waits for it any more, so news may enter the context while it is played."""
        response = self._last.get(handle.id) if handle is not None else None
        if response is not None:
            response.text = response.text or "..."
            self.over(response)

    def executed(self, handle: agents.voice.SpeechHandle, owed: frozenset[str], *, replies: bool) -> None:
        """LiveKit has the outputs of a speech's last response, and replies to them, or not."""
        for response in [one for one in self._open.values() if one.handle is handle]:
            self.over(response)
        if not replies:
            return
        if not self._way_out.answers_by_itself:
            self._replies[generation_of(handle)] = owed
        self._session.reply_coming()

    def done(self, handle: agents.voice.SpeechHandle) -> None:
        """A speech has ended: what it told and nobody heard out is told again, and what it should have told as well."""
        response = self._last.pop(handle.id, None)
        if response is not None:
            if handle.interrupted or not (response.text or response.calls):
                self._session.cut_off(response.id)
            self.over(response, "cancelled" if handle.interrupted else "completed")
        owed = self._replies.pop(generation_of(handle), frozenset())
        if owed:
            self._session.not_told(owed)

    def lost(self) -> None:
        """The provider's connection is gone, and with it whatever was being said."""
        self._open.clear()
        self._names.clear()
        for timer in self._complete.values():
            timer.cancel()
        self._complete.clear()

    @property
    def calm(self) -> bool:
        """Whether no response is awaited."""
        return not self._open
