"""Follows the realtime session of whichever agent has the conversation: its responses, its items, its reconnects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from toolguard.adapters.livekit_features import agents
from toolguard.adapters.livekit_realtime_turns import SERVER_EVENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.adapters.livekit_realtime_caller import RealtimeCaller
    from toolguard.adapters.livekit_realtime_port import LiveKitRealtimePort
    from toolguard.engine.session import Session

LOOKS_EVERY = 0.02
"""Seconds between looks for the realtime session of an agent that is about to begin."""
LOOKS_FOR = 10.0


class Hearing(Protocol):
    """Who wants to know."""

    session: Session
    way_out: LiveKitRealtimePort | None

    heard: RealtimeCaller

    def created(self, handle: agents.voice.SpeechHandle | None, *, asked: bool) -> None:
        """A response has begun."""
        ...

    def named(self, response: str) -> None:
        """The provider's name of the response that has begun last."""
        ...

    def coming(self, call: agents.FunctionCall) -> None:
        """A call of the response that has begun last is about to be made."""
        ...

    def finished(self, response: str, *, cancelled: bool) -> None:
        """All of a response has come."""
        ...

    def met(self, line: agents.llm.RealtimeSession[Any]) -> None:
        """A realtime session has begun."""
        ...

    def saw(self, event: object) -> None:
        """The provider has sent something."""
        ...

    def reconnected(self) -> None:
        """The connection was replaced."""
        ...


class Line:
    """The provider's side, as LiveKit's plugin tells of it.

    Args:
        agent_session: The ``livekit.agents.AgentSession``.
        hearing: Who wants to know.
    """

    def __init__(self, agent_session: agents.AgentSession[Any], hearing: Hearing) -> None:
        self._room = agent_session
        self._hearing = hearing
        self._now: Any = None
        self._looking: asyncio.Task[None] | None = None
        self._scheduled = False
        self._skipped = False
        self._told: dict[str, Callable[[Any], None]] = {
            "generation_created": self._created,
            "remote_item_added": self._item_added,
            "session_reconnected": self._reconnected,
            "metrics_collected": self._measured,
            SERVER_EVENT: hearing.saw,
        }

    def follow(self) -> None:
        """Listen to the realtime session that there is now, or as soon as there is one."""
        if not self._attach() and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look(), name="toolguard:livekit-line")

    async def _look(self) -> None:
        for _ in range(int(LOOKS_FOR / LOOKS_EVERY)):
            await asyncio.sleep(LOOKS_EVERY)
            if self._attach():
                return

    def _attach(self) -> bool:
        try:
            agent: Any = self._room.current_agent
            found = agent.realtime_llm_session
        except RuntimeError:
            return False
        if found is self._now:
            self._hearing.met(found)
        else:
            self._detach()
            self._now = found
            self._hearing.met(found)
            for name, translate in self._told.items():
                found.on(name, translate)
        return True

    def _detach(self) -> None:
        if self._now is not None:
            for name, translate in self._told.items():
                self._now.off(name, translate)
            self._now = None

    def leave(self) -> None:
        """Listen no more."""
        if self._looking is not None:
            self._looking.cancel()
        self._detach()

    def scheduled(self) -> None:
        """LiveKit has taken up a response of the provider's."""
        self._scheduled = True

    def words(self, item: str) -> str:
        """All the words of a message, heard or not."""
        found = self._now.chat_ctx.get_by_id(item) if self._now is not None else None
        return found.text_content or "" if isinstance(found, agents.ChatMessage) else ""

    # -- what it tells ------------------------------------------------------------------------------------------

    def _created(self, event: agents.llm.GenerationCreatedEvent) -> None:
        self._skipped = False
        named = event.response_id or ""
        if event.user_initiated:
            self._hearing.created(self._room.current_speech, asked=True)
            self._hearing.named(named)
        else:
            asyncio.get_running_loop().call_soon(self._was_scheduled, named)

    def _was_scheduled(self, named: str) -> None:
        """LiveKit skips a response that comes while it changes agents: its calls are run by nobody."""
        self._skipped, self._scheduled = not self._scheduled, False
        if not self._skipped:
            self._hearing.named(named)

    def _measured(self, event: Any) -> None:
        """The plugins measure a response when it has ended."""
        named = getattr(event, "request_id", "")
        if named and getattr(event, "type", "") == "realtime_model_metrics":
            self._hearing.finished(named, cancelled=bool(event.cancelled))

    def _item_added(self, event: agents.llm.RemoteItemAddedEvent) -> None:
        item = event.item
        if isinstance(item, agents.ChatMessage) and item.role == "user":
            self._hearing.heard.turn_item(item.id)
        port = self._hearing.way_out
        if port is not None:
            port.confirmed(item)
            if isinstance(item, agents.FunctionCall):
                self._called(item)

    def _called(self, call: agents.FunctionCall) -> None:
        """The provider's model has made a call, which LiveKit is about to run."""
        if self._skipped:
            self._hearing.session.incomplete(call.call_id, call.name, item=call.id)
        else:
            self._hearing.coming(call)

    def _reconnected(self, _event: Any) -> None:
        self._hearing.reconnected()
