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
        if response is None:
            return
        response.status = "cancelled" if cancelled else "completed"
        if cancelled or not response.coming:
            self.over(response, response.status)
        else:
            self._quiet(response)

    def coming(self, call_id: str) -> None:
        """A call of the response that has begun last is about to be made: until then that is not over (O9)."""
        if self._newest is not None and call_id not in self._newest.calls:
            self._newest.coming.add(call_id)

    def served(self, response: Response, call_id: str) -> None:
        """The session has a call of this response."""
        response.coming.discard(call_id)
        if response.status and not response.coming:
            self.over(response, response.status)

    def _quiet(self, response: Response) -> None:
        timer = self._complete.pop(response.id, None)
        if timer is not None:
            timer.cancel()
        self._complete[response.id] = asyncio.get_running_loop().call_later(QUIET, self.over, response)

    def of_call(self, context: agents.RunContext[Any]) -> tuple[Response, int]:
        """The response that made a call, and the call's place in it; it is complete when LiveKit says so."""
        found = super().of_call(context)
        if found[0] not in self._names.values() and not found[0].status:
            self._quiet(found[0])  # a plugin that does not measure does not say when it has ended either
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
    def coming_back(self) -> bool:
        """Whether LiveKit has yet to reply to outputs that it has passed on."""
        return bool(self._replies)

    @property
    def calm(self) -> bool:
        """Whether no response is awaited."""
        return not self._open
