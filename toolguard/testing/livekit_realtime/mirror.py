"""What the client knows of the server's conversation, and how it changes it: one event an item, each confirmed."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import TYPE_CHECKING, Literal

from livekit.agents.llm import ChatContext, ChatMessage, RealtimeError
from livekit.agents.llm.utils import compute_chat_ctx_diff

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.agents.llm import ChatItem

    from toolguard.testing.livekit_realtime.server import ScriptedServer
    from toolguard.testing.livekit_realtime.wire import Wire

CONFIRMED_WITHIN = 5.0
"""Seconds after which an update counts as failed, as in LiveKit's plugins."""
Trouble = Literal["refused", "lost", "unconfirmed"]
"""How an update of the chat context fails: at once; on its way to the server; on the way back."""
_INSTRUCTIONS = "lk.agent_task.instructions"
"""The id of LiveKit's own item of an agent's instructions, which a model gets apart."""


class Mirror:
    """The conversation as far as the server has confirmed it.

    Args:
        server: The server.
        up: The way to it.

    Attributes:
        known: The items.
    """

    def __init__(self, server: ScriptedServer, up: Wire) -> None:
        self.known: list[ChatItem] = []
        self._server = server
        self._up = up
        self._numbers = itertools.count(1)
        self._confirming: dict[int, tuple[asyncio.Future[None], Callable[[], None]]] = {}
        self._unheard: set[int] = set()

    async def update(self, wanted: ChatContext, trouble: Trouble | None) -> None:
        """Make the server's conversation the one that is wanted.

        Raises:
            RealtimeError: It has not confirmed that in time, or the update fails as it is told to.
        """
        if trouble == "refused":
            raise RealtimeError("the update was refused")
        answers = self._sent(self._sendable(wanted), trouble)
        if not answers:
            return
        _, late = await asyncio.wait(answers, timeout=CONFIRMED_WITHIN)
        if late:
            for event in [event for event, (answer, _) in self._confirming.items() if answer in late]:
                del self._confirming[event]
            raise RealtimeError("update_chat_ctx timed out.")

    def _sendable(self, wanted: ChatContext) -> ChatContext:
        """Without what a provider is not told: instructions, and messages whose words are not known yet."""
        known = {item.id for item in self.known}

        def sendable(item: ChatItem) -> bool:
            if not isinstance(item, ChatMessage):
                return True
            return item.id != _INSTRUCTIONS and bool(item.content or item.id in known)

        items = wanted.copy(exclude_handoff=True, exclude_config_update=True).items
        return ChatContext([item for item in items if sendable(item)])

    def _sent(self, wanted: ChatContext, trouble: Trouble | None) -> list[asyncio.Future[None]]:
        """Send the difference; one answer for each event."""
        diff = compute_chat_ctx_diff(ChatContext(list(self.known)), wanted)
        empty = {item.id for item in self.known if isinstance(item, ChatMessage) and not item.content}
        changed = [(before, item) for before, item in diff.to_update if item not in empty]
        gone = (*diff.to_remove, *(item for _, item in changed))
        answers = [self._confirmed(trouble, partial(self._server.delete, item)) for item in gone]
        for before, id_ in (*diff.to_create, *changed):
            item = wanted.get_by_id(id_)
            if item is not None:
                copy = item.model_copy(deep=True)
                answers.append(self._confirmed(trouble, partial(self._server.take, before, copy)))
        return answers

    def _confirmed(self, trouble: Trouble | None, does: Callable[[int], None]) -> asyncio.Future[None]:
        event = next(self._numbers)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        arrives = partial(does, event)
        if trouble == "unconfirmed":
            self._unheard.add(event)
        else:
            self._confirming[event] = answer, arrives
        if trouble != "lost":
            self._up.send(arrives)
        return answer

    # -- what the server tells ----------------------------------------------------------------------------------

    def added(self, before: str | None, item: ChatItem, event: int = 0) -> bool:
        """The server has an item; False where that is not to be heard."""
        if event in self._unheard:
            return False
        ids = [one.id for one in self.known]
        place = ids.index(before) + 1 if before in ids else 0 if before is None else len(ids)
        self.known.insert(place, item)
        self.settle(event)
        return True

    def deleted(self, item: str, event: int) -> None:
        """The server has taken an item out."""
        if event not in self._unheard:
            self.known = [one for one in self.known if one.id != item]
            self.settle(event)

    def settle(self, event: int) -> None:
        """The server has answered an event."""
        answer = self._confirming.pop(event, None)
        if answer is not None and not answer[0].done():
            answer[0].set_result(None)

    def worded(self, item: str, text: str) -> None:
        """The words of a message are known."""
        for one in self.known:
            if one.id == item and isinstance(one, ChatMessage):
                one.content = [text]

    # -- another connection -------------------------------------------------------------------------------------

    def replay(self, forgets: int) -> None:
        """Put what was confirmed on a new connection, but for the last ones; send again what was under way."""
        known = [one for one in self.known if not isinstance(one, ChatMessage) or one.content]
        kept = known[: len(known) - forgets]
        self._server.items = [item.model_copy(deep=True) for item in kept]
        self.known = [item.model_copy(deep=True) for item in kept]
        for event, (_, arrives) in list(self._confirming.items()):
            self._up.send(arrives)
            self._server.note("sent again", str(event))
