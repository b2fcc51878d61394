"""The way out to an OpenAI Realtime connection: outputs beside their calls, one reply at a time, nothing sent twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolguard.engine.port import Parcel, Traits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolguard.engine.session import Session

Frame = dict[str, Any]
CONFIRM_WITHIN = 2.0
"""Seconds until an unconfirmed item is sent again, with the same id (O4)."""
SEND_AGAIN = 3
_ALREADY_THERE = "item_create_duplicate_item_id"
_NO_SUCH_PLACE = "item_create_invalid_previous_item_id"
_NO_SUCH_CALL = "invalid_tool_call_id"
_UNKNOWN = frozenset({_NO_SUCH_PLACE, _NO_SUCH_CALL})
_ACTIVE = "conversation_already_has_active_response"


class RealtimePort:
    """Sends frames in order from a task of its own; the engine is never held by the socket.

    Args:
        send: The connection's own way to send.
    """

    def __init__(self, send: Callable[[Any], Awaitable[None]], *, manage_turns: bool) -> None:
        self._send = send
        self._manage = manage_turns
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._waiting: dict[str, tuple[Parcel, int, asyncio.TimerHandle]] = {}
        self._asked: dict[str, str] = {}
        self._count = 0
        self._open = 0
        self._detection: Frame | None = None
        self.managed = False
        self.transcribes = True
        self._down = False
        self.on_forgotten: Callable[[str], bool] = lambda _item: False
        self.session: Session | None = None
        self._task = asyncio.create_task(self._pump(), name="toolguard:realtime-out")

    @property
    def traits(self) -> Traits:
        """What a Realtime connection can do, as it is configured now."""
        starts = bool(self._detection and self._detection.get("create_response", True)) and not self.managed
        return Traits(
            adapter="openai_realtime",
            evidence="heard",
            confirms=True,
            speech_ends=True,
            transcribes=self.transcribes,
            starts_replies=starts,
        )

    # -- what the engine asks for -------------------------------------------------------------------------------

    def place(self, parcel: Parcel) -> None:
        """Send an output right behind its call, or a note as a message at the end.

        A conflict is told as a message: its call id has an output, and can have no other (S5).
        """
        self._place(replace(parcel, note=True) if parcel.form == "conflict" else parcel, parcel.after, 1)

    def _place(self, parcel: Parcel, after: str, tries: int) -> None:
        loop = asyncio.get_running_loop()
        if parcel.note or not parcel.call_id:
            item: Frame = {
                "id": parcel.item,
                "type": "message",
                "role": "system",
                "content": [{"type": "input_text", "text": parcel.text}],
            }
        else:
            item = {
                "id": parcel.item,
                "type": "function_call_output",
                "call_id": parcel.call_id,
                "output": parcel.text,
            }
        frame: Frame = {"type": "conversation.item.create", "event_id": self._event_id("o"), "item": item}
        if after and not parcel.note:
            frame["previous_item_id"] = after
        self._asked[frame["event_id"]] = parcel.item
        timer = loop.call_later(CONFIRM_WITHIN * tries, self._unconfirmed, parcel.item)
        self._waiting[parcel.item] = (parcel, tries, timer)
        self._put(frame)

    def _unconfirmed(self, item: str) -> None:
        parcel, tries, _ = self._waiting.pop(item)
        if tries >= SEND_AGAIN:
            self._notice("not_confirmed", f"item {item} was sent {tries} times and never confirmed")
            return
        self._place(parcel, parcel.after, tries + 1)

    def put(self, item: Frame, *, after: str = "") -> None:
        """Put an item of an earlier connection there: behind the item ``after``, or at the end."""
        place = {"previous_item_id": after} if after else {}
        self._frames.put_nowait(
            {"type": "conversation.item.create", "event_id": self._event_id("i"), "item": item, **place}
        )

    def ask_reply(self) -> None:
        """Ask the model to speak."""
        self._put({"type": "response.create", "event_id": self._event_id("r")})

    def say(self, text: str) -> None:
        """Speak a filler out of band: it leaves no trace in the conversation."""
        self._put(
            {
                "type": "response.create",
                "event_id": self._event_id("f"),
                "response": {
                    "conversation": "none",
                    "input": [],
                    "instructions": f'Say exactly this and nothing else: "{text}"',
                    "tool_choice": "none",
                    "metadata": {"toolguard": "filler"},
                },
            }
        )

    @property
    def interrupts(self) -> bool:
        """Whether the caller's speech stops the agent's."""
        return self._detection is None or bool(self._detection.get("interrupt_response", True))

    def in_flight(self, calls: int) -> None:
        """While calls run, replies to the caller's turns are ours: a backchannel must not start one (O5)."""
        was, self._open = self._open, calls
        if not self._manage or self._detection is None or bool(was) == bool(calls):
            return
        if not self._detection.get("create_response", True):
            return
        self.managed = bool(calls)
        self._turns(create=not self.managed)

    def _turns(self, *, create: bool) -> None:
        detection = {**(self._detection or {}), "create_response": create}
        self._put(
            {
                "type": "session.update",
                "event_id": self._event_id("t"),
                "session": {"type": "realtime", "audio": {"input": {"turn_detection": detection}}},
            }
        )

    # -- what the adapter saw -----------------------------------------------------------------------------------

    def configured(self, detection: Frame | None) -> None:
        """The session's turn detection, as the application configured it."""
        if not self.managed:
            self._detection = detection

    def confirmed(self, item: str) -> None:
        """The server has the item."""
        waiting = self._waiting.pop(item, None)
        if waiting is not None:
            waiting[2].cancel()
            if self.session is not None:
                self.session.delivered(item)

    def failed(self, code: str, event_id: str, message: str) -> bool:
        """An ``error`` event; True if it answered one of our frames (errors are events, not crashes)."""
        session = self.session
        if session is None:
            return False
        item = self._asked.pop(event_id, "")
        if code == _ACTIVE and (event_id.startswith("tg_r") or not event_id):
            session.reply_refused(message)
            return True
        if not item:
            if event_id.startswith("tg_i") and code != _ALREADY_THERE:
                session.noticed("item_refused", f"{code}: {message}")
            return event_id.startswith("tg_")
        waits = self._waiting.get(item)
        if code in _UNKNOWN and waits is not None and self.on_forgotten(waits[0].after):
            return True
        if code == _ALREADY_THERE:
            self.confirmed(item)
        elif code == _NO_SUCH_PLACE:
            self._again(item, "")
        elif code == _NO_SUCH_CALL:
            self._as_note(item)
        else:
            waiting = self._waiting.pop(item, None)
            if waiting is not None:
                waiting[2].cancel()
            session.noticed("output_refused", f"{code}: {message}", item=item)
        return True

    def _again(self, item: str, after: str) -> None:
        waiting = self._waiting.pop(item, None)
        if waiting is not None:
            waiting[2].cancel()
            self._place(waiting[0], after, waiting[1])

    def _as_note(self, item: str) -> None:
        """The server does not know the call: its outcome is told as a message instead (O11)."""
        waiting = self._waiting.pop(item, None)
        if waiting is None:
            return
        waiting[2].cancel()
        parcel = waiting[0]
        self._place(Parcel(parcel.item, parcel.text, parcel.calls, note=True, form=parcel.form), "", SEND_AGAIN)
        self._notice("call_unknown_to_server", f"call {parcel.call_id} is unknown; its outcome was sent as a message")

    def delete(self, item: str) -> None:
        """Take an item of the caller out of the conversation: it was no turn."""
        self._put({"type": "conversation.item.delete", "event_id": self._event_id("d"), "item_id": item})

    def truncate(self, item: str, audio_end_ms: int) -> None:
        """Tell the server how much of an answer the caller heard (I23)."""
        self._put(
            {
                "type": "conversation.item.truncate",
                "event_id": self._event_id("c"),
                "item_id": item,
                "content_index": 0,
                "audio_end_ms": audio_end_ms,
            }
        )

    def send_through(self, send: Callable[[Any], Awaitable[None]]) -> None:
        """Send by this way from now on."""
        self._send = send

    def line_lost(self) -> None:
        """The connection is gone: what was still to be sent on it is not, and nothing of it is sent again (T6)."""
        self._down = True
        while not self._frames.empty():
            self._frames.get_nowait()
        for _, _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        self._asked.clear()

    def line_moved(self) -> None:
        """A new connection has taken over, with turns as the application has configured them."""
        self.line_lost()
        self._down = self.managed = False
        self._open = 0

    def _put(self, frame: Frame) -> None:
        if not self._down:
            self._frames.put_nowait(frame)

    # -- the socket ---------------------------------------------------------------------------------------------

    async def _pump(self) -> None:
        while (frame := await self._frames.get()) is not None:
            try:
                await self._send(frame)
            except Exception as error:  # noqa: BLE001 - a closed socket is an event of the line, told by its reader
                self._notice("send_failed", f"{frame['type']}: {type(error).__name__}: {error}")

    async def flush(self, seconds: float = 1.0) -> None:
        """Send what is queued, and stop."""
        self._frames.put_nowait(None)
        await asyncio.wait({self._task}, timeout=seconds)
        self._task.cancel()
        for _, _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def _event_id(self, kind: str) -> str:
        self._count += 1
        return f"tg_{kind}{self._count}"

    def _notice(self, code: str, text: str) -> None:
        if self.session is not None:
            self.session.noticed(code, text)
