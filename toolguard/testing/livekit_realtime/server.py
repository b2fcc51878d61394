"""The provider's end of the line: what it holds of the conversation, its responses, and how it hears the caller."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livekit.agents.llm import ChatContext, ChatMessage, FunctionCall, FunctionCallOutput

from toolguard.testing.livekit_realtime.response import Response
from toolguard.testing.livekit_realtime.script import Asked
from toolguard.testing.livekit_realtime.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livekit.agents.llm import ChatItem

    from toolguard.testing.livekit_realtime.script import By, Call, Script

_ids = itertools.count(1)
_LONGEST_ID = 32
"""Characters of an item's id that OpenAI takes."""


@dataclass
class Behaviour:
    """How a scripted provider behaves; may be changed at any time.

    Attributes:
        script: What its model says.
        connects: Seconds until a new session has its connection.
        round_trip: Seconds that a message and its confirmation need together.
        thinks: Seconds from a request until its response begins.
        transcribes: Seconds from the end of the caller's speech to its transcript.
        faster: How many times faster than it is heard speech comes.
        answers_turns: Whether it answers the caller's turns by itself, until the client says otherwise.
        answers_outputs: Whether it answers outputs by itself, once no call lacks one.
        interrupts: Whether the caller's speech cancels the response in progress, until the client says otherwise.
    """

    script: Script
    connects: float = 0.05
    round_trip: float = 0.05
    thinks: float = 0.05
    transcribes: float = 0.2
    faster: float = 5.0
    answers_turns: bool = True
    answers_outputs: bool = False
    interrupts: bool = True


class ScriptedServer:
    """The server of one session.

    Attributes:
        behaviour: How it behaves.
        items: The conversation as it stands here.
        instructions: The session's instructions.
        tools: Names of the session's tools.
        active: The response in progress.
        responses: All responses, in order.
        asked: All requests for one, in order.
        given: Items that the client gave, in order, with the loop's time and what was wrong with them, if anything.
        truncated: Messages of which the client has cut something off: when, what had been said, how many milliseconds
            of it were heard.
        told: Instructions that the client gave, with the loop's time.
        log: What it was told and what it did, in order, with the loop's time.
        speaking: Whether the caller speaks.
        detection: How turns are detected, as OpenAI names it; the client may change it.
        on_asked: Called with every request, after it was noted.
    """

    def __init__(self, behaviour: Behaviour, tell: Callable[..., None]) -> None:
        self.behaviour = behaviour
        self.items: list[ChatItem] = []
        self.instructions = ""
        self.tools: tuple[str, ...] = ()
        self.active: Response | None = None
        self.responses: list[Response] = []
        self.asked: list[Asked] = []
        self.given: list[tuple[float, ChatItem, str]] = []
        self.truncated: list[tuple[float, str, int]] = []
        self.told: list[tuple[float, str]] = []
        self.log: list[tuple[float, str, str]] = []
        self.speaking = False
        self.detection: dict[str, object] = {
            "type": "server_vad",
            "create_response": behaviour.answers_turns,
            "interrupt_response": behaviour.interrupts,
        }
        self.on_asked: Callable[[Asked], None] = lambda _asked: None
        self._client = tell
        self._turn = ""
        self._started: dict[str, float] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self.down = Wire(lambda: behaviour.round_trip / 2)
        """What the server tells its client."""

    @property
    def faster(self) -> float:
        """How many times faster than it is heard speech comes."""
        return self.behaviour.faster

    def new_id(self, kind: str) -> str:
        """An id that nothing else has."""
        return f"{kind}_{next(_ids)}"

    def tell(self, event: str, *about: object) -> None:
        """Tell the client; it arrives half a round trip later."""
        self.down.send(lambda: self._client(event, *about))

    def note(self, what: str, about: str = "") -> None:
        """Note what happened."""
        self.log.append((asyncio.get_running_loop().time(), what, about))

    @property
    def context(self) -> ChatContext:
        """A copy of the conversation as it stands now."""
        return ChatContext([item.model_copy(deep=True) for item in self.items])

    @property
    def refused(self) -> list[tuple[str, str]]:
        """Items that it did not take, and why."""
        return [(item.id, why) for _, item, why in self.given if why]

    # -- the conversation ---------------------------------------------------------------------------------------

    def keep(self, item: ChatItem) -> None:
        """Put an item of the server's own at the end."""
        before = self.items[-1].id if self.items else None
        self.items.append(item)
        hidden = item.model_copy(deep=True)
        if isinstance(hidden, ChatMessage):
            hidden.content = []
        self.tell("item_added", before, hidden)

    def take(self, before: str | None, item: ChatItem, event: int) -> None:
        """The client puts an item behind ``before``, at the beginning for None."""
        why = self._why_not(item)
        self.given.append((asyncio.get_running_loop().time(), item, why))
        if why:
            self.note("refused", f"{item.id}: {why}")
            self.tell("item_refused", event, why)
            return
        ids = [one.id for one in self.items]
        place = ids.index(before) + 1 if before in ids else 0 if before is None else len(ids)
        self.items.insert(place, item)
        self.note(f"took {item.type}", item.id)
        self.tell("item_added", before, item.model_copy(deep=True), event)
        if self.behaviour.answers_outputs and isinstance(item, FunctionCallOutput):
            self._answer_outputs()

    def _why_not(self, item: ChatItem) -> str:
        if len(item.id) > _LONGEST_ID:
            return "string_above_max_length"
        if any(one.id == item.id for one in self.items):
            return "item_create_duplicate_item_id"
        if isinstance(item, FunctionCallOutput):
            if not any(isinstance(one, FunctionCall) and one.call_id == item.call_id for one in self.items):
                return "invalid_tool_call_id"
            if any(isinstance(one, FunctionCallOutput) and one.call_id == item.call_id for one in self.items):
                return "second_output"
        return ""

    def _answer_outputs(self) -> None:
        asked = Asked(0.0, "platform", self.context)
        if not asked.unanswered and self.active is None:
            self.respond("platform")

    def delete(self, item: str, event: int) -> None:
        """The client takes an item out."""
        self.items = [one for one in self.items if one.id != item]
        self.note("deleted", item)
        self.tell("item_deleted", item, event)

    def instruct(self, instructions: str) -> None:
        """The client gives the session its instructions."""
        self.instructions = instructions
        self.told.append((asyncio.get_running_loop().time(), instructions))
        self._updated()

    def detect(self, detection: Mapping[str, object]) -> None:
        """The client says how turns are to be detected."""
        self.detection = dict(detection)
        self.note("turn_detection", str(self.detection))
        self._updated()

    def _updated(self) -> None:
        event = {"type": "session.updated", "session": {"audio": {"input": {"turn_detection": dict(self.detection)}}}}
        self.tell("session_updated", event)

    def truncate(self, item: str, text: str, heard_ms: int) -> None:
        """The client says what the caller heard of a message."""
        for one in self.items:
            if one.id == item and isinstance(one, ChatMessage):
                if (one.text_content or "").strip() != text.strip():
                    self.truncated.append((asyncio.get_running_loop().time(), one.text_content or "", heard_ms))
                one.content = [text]
        self.note("truncated", item)

    # -- responses ----------------------------------------------------------------------------------------------

    def respond(
        self, by: By, *, event: str = "", extra: str = "", tool_choice: object = None, at_once: bool = False
    ) -> None:
        """A response is wanted: it begins after a while, unless another one is active then."""
        if at_once:
            self._respond(by, event, extra, tool_choice)
        else:
            self._later(self.behaviour.thinks, self._respond, by, event, extra, tool_choice)

    def _later(self, seconds: float, does: Callable[..., None], *about: object) -> None:
        self._timers = {timer for timer in self._timers if not timer.cancelled()}
        self._timers.add(asyncio.get_running_loop().call_later(seconds, does, *about))

    def _respond(self, by: By, event: str, extra: str, tool_choice: object) -> None:
        free = self.active is None
        asked = Asked(
            at=asyncio.get_running_loop().time(),
            by=by,
            context=self.context,
            instructions="\n".join(one for one in (self.instructions, extra) if one),
            tools=self.tools,
            tool_choice=tool_choice,
            accepted=free,
            speaking=self.speaking,
        )
        self.asked.append(asked)
        self.note("asked" if free else "refused a response", by)
        if not free:
            self.tell("response_refused", event, "conversation_already_has_active_response")
            return
        self.active = Response(self, by, event)
        self.responses.append(self.active)
        self.on_asked(asked)
        parts = self.behaviour.script(asked)
        if parts is not None:
            self.active.make(parts)

    def over(self, response: Response) -> None:
        """A response has ended."""
        if self.active is response:
            self.active = None

    def known(self, call: Call) -> FunctionCall | None:
        """The item of a call that was made before under the same id."""
        made = (one for one in self.items if isinstance(one, FunctionCall) and one.call_id == call.call_id)
        return next(made, None)

    def cancel(self) -> None:
        """The client cancels the response in progress."""
        self.note("cancelled", self.active.id if self.active else "")
        if self.active is not None:
            self.active.finish("cancelled")

    # -- the caller ---------------------------------------------------------------------------------------------

    def caller_starts(self) -> None:
        """The caller begins to speak."""
        self.speaking, self._turn = True, self.new_id("turn")
        self._started[self._turn] = time.time()
        self.tell("speech_started")
        if self.active is not None and self.detection.get("interrupt_response"):
            self.active.finish("cancelled")

    def caller_partly(self, words: str) -> None:
        """A piece of the caller's words is understood."""
        self.tell("transcript", self._turn, words, False)

    def caller_stops(self, words: str, *, transcribed: bool = True, turn: bool | None = None) -> str:
        """The caller stops: what was said is a turn.

        Args:
            words: What was said; the model hears it at once.
            transcribed: Whether its transcript follows by itself; else :meth:`caller_said` brings it.
            turn: Whether it was a turn at all; by default where there were words.

        Returns:
            The turn's item.
        """
        item, self.speaking = self._turn, False
        self.tell("speech_stopped")
        if not (bool(words) if turn is None else turn):
            return item
        self.keep(ChatMessage(id=item, role="user", content=[words] if words else []))
        if words and transcribed:
            self._later(self.behaviour.transcribes, self.caller_said, words, item)
        if self.detection.get("create_response"):
            self.respond("platform")
        return item

    def caller_said(self, words: str, item: str = "") -> None:
        """The words of a turn are understood, by default those of the newest one."""
        self.tell("transcript", item or self._turn, words, True, self._started.get(item or self._turn))

    # -- the line -----------------------------------------------------------------------------------------------

    def lost(self) -> None:
        """The connection is gone, and with it all that was held here."""
        if self.active is not None:
            self.active.finish("cancelled")
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.items, self.speaking = [], False
        self.down.lose()
        self.note("lost")
