"""One response of the scripted model, from its beginning to its end, as the server makes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, Protocol

from livekit.agents.llm import ChatMessage, FunctionCall

from toolguard.testing.livekit_realtime.script import Say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolguard.testing.livekit_realtime.script import By, Call, Part

Status = Literal["in_progress", "completed", "cancelled", "failed"]
PIECE = 0.1
"""Seconds of audio in one piece."""


class Maker(Protocol):
    """What a response needs of its server."""

    @property
    def faster(self) -> float:
        """How many times faster than it is heard speech comes."""
        ...

    def new_id(self, kind: str) -> str:
        """An id that nothing else has."""
        ...

    def tell(self, event: str, *about: object) -> None:
        """Tell the client."""
        ...

    def keep(self, item: ChatMessage | FunctionCall) -> None:
        """Put an item at the end of the conversation."""
        ...

    def known(self, call: Call) -> FunctionCall | None:
        """The item of a call that was made before under the same id: it is delivered again, and stands there once."""
        ...

    def over(self, response: Response) -> None:
        """A response has ended."""
        ...


class Response:
    """One response.

    Attributes:
        id: Its id.
        by: Who asked for it.
        status: ``in_progress``, then how it ended.
        began: When, on the loop's clock.
        ended: When it ended.
        calls: Calls that were complete.
        on_ended: Called with how it ended; a test may set it.
    """

    def __init__(self, maker: Maker, by: By, event: str) -> None:
        self.id = maker.new_id("resp")
        self.by = by
        self.status: Status = "in_progress"
        self.began = asyncio.get_running_loop().time()
        self.ended = 0.0
        self.calls: list[FunctionCall] = []
        self.on_ended: Callable[[Status], None] = lambda _status: None
        self._maker = maker
        self._message: ChatMessage | None = None
        self._making: asyncio.Task[None] | None = None
        maker.tell("response_created", self.id, event)

    @property
    def active(self) -> bool:
        """Whether it is still being made."""
        return self.status == "in_progress"

    def make(self, parts: Sequence[Part]) -> None:
        """Make it of these parts, in a task of its own."""
        self._making = asyncio.create_task(self._make(parts), name=f"scripted-{self.id}")

    async def _make(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if isinstance(part, Say):
                await self._speak(part)
            else:
                await asyncio.sleep(part.after)
                self.call(part)
        self.finish()

    async def _speak(self, part: Say) -> None:
        """Speech comes in pieces, and faster than it is heard."""
        count = max(1, round(part.length / PIECE))
        for place in range(count):
            begin, end = (len(part.text) * at // count for at in (place, place + 1))
            self.say(part.text[begin:end], part.length / count)
            await asyncio.sleep(part.length / count / self._maker.faster)
        self.close()

    def say(self, text: str, seconds: float) -> None:
        """Say something at once, in the open message or in a new one."""
        if self._message is None:
            self._message = ChatMessage(id=self._maker.new_id("item"), role="assistant", content=[""])
            self._maker.keep(self._message)
            self._maker.tell("message_opened", self._message.id)
        self._message.content = [f"{self._message.text_content or ''}{text}"]
        self._maker.tell("message_piece", self._message.id, text, seconds)

    def close(self) -> None:
        """The open message is complete."""
        if self._message is not None:
            self._maker.tell("message_closed", self._message.id, self._message.text_content or "")
            self._message = None

    def call(self, call: Call) -> None:
        """A call is complete."""
        self.close()
        again = self._maker.known(call)
        item = again or FunctionCall(
            id=self._maker.new_id("item"), call_id=call.call_id, name=call.name, arguments=call.arguments
        )
        self.calls.append(item)
        if again is None:
            self._maker.keep(item)
        self._maker.tell("called", item.model_copy(update={"arguments": call.arguments}))

    def finish(self, status: Status = "completed") -> None:
        """End it; what was not complete stays undone."""
        if not self.active:
            return
        self.close()
        self.status, self.ended = status, asyncio.get_running_loop().time()
        if self._making is not None and self._making is not asyncio.current_task():
            self._making.cancel()
        self._maker.tell("response_done", self.id, status)
        self._maker.over(self)
        self.on_ended(status)
