"""One response of the scripted model: its events in the order of the real server, and the items it leaves."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal, Protocol

from toolguard.testing.realtime.frames import Event, ScriptError

if TYPE_CHECKING:
    from toolguard.testing.realtime.conversation import Conversation, Item
    from toolguard.testing.realtime.script import Call, ItemStatus, Reason, Status

_CHUNK_MS = 100


class Voice(Protocol):
    """What a response needs of the line that it is spoken on."""

    held: Conversation

    def send(self, event: Event) -> None:
        """Sends one event."""
        ...

    def new_id(self, kind: str) -> str:
        """Makes an id that no other item, response or event has."""
        ...


class Generation:
    """One response, from ``response.created`` to ``response.done``.

    Attributes:
        id: The response's id.
        status: ``in_progress``, then how it ended.
        reason: Why it ended so, if there is a reason.
        output: Its items.
        out_of_band: Whether its items stay outside the conversation.
    """

    def __init__(
        self,
        voice: Voice,
        *,
        response_id: str | None = None,
        out_of_band: bool = False,
        metadata: Event | None = None,
        text_only: bool = False,
        bytes_per_ms: int = 48,
    ) -> None:
        self.id = response_id or voice.new_id("resp")
        self.status: Status | Literal["in_progress"] = "in_progress"
        self.reason: Reason | None = None
        self.output: list[Item] = []
        self.out_of_band = out_of_band
        self._voice = voice
        self._metadata = metadata
        self._text_only = text_only
        self._bytes_per_ms = bytes_per_ms
        self._open: Item | None = None
        self._said = ""
        self._voice.send({"type": "response.created", "response": self._as_response()})

    @property
    def active(self) -> bool:
        """Whether the response is still being made."""
        return self.status == "in_progress"

    def say(self, text: str, audio_ms: float = 0) -> None:
        """Speaks some words, in the open message or in a new one.

        Args:
            text: The words.
            audio_ms: Milliseconds of audio to send with them.
        """
        item = self._open if self._open and self._open["type"] == "message" else self._open_message()
        self._said += text
        words = {"type": "output_text", "text": self._said}
        item["content"] = [words if self._text_only else {"type": "output_audio", "transcript": self._said}]
        kind = "output_text" if self._text_only else "output_audio_transcript"
        self._about(item, f"response.{kind}.delta", content_index=0, delta=text)
        if self._text_only:
            return
        left = audio_ms
        while left > 0:
            length = min(left, _CHUNK_MS)
            sound = base64.b64encode(bytes(round(length * self._bytes_per_ms))).decode()
            self._about(item, "response.output_audio.delta", content_index=0, delta=sound)
            left -= length
        lengths = self._voice.held.audio_ms
        lengths[item["id"]] = lengths.get(item["id"], 0) + audio_ms

    def open_call(self, call_id: str, name: str) -> None:
        """Begins a tool call; its arguments follow with ``arguments``."""
        self._place(
            {"id": self._voice.new_id("item"), "object": "realtime.item", "type": "function_call"}
            | {"status": "in_progress", "call_id": call_id, "name": name, "arguments": ""}
        )

    def arguments(self, text: str) -> None:
        """Sends a piece of the open call's arguments."""
        item = self._open
        if item is None or item["type"] != "function_call":
            raise ScriptError("No tool call is open: begin one with open_call().")
        item["arguments"] += text
        self._about(item, "response.function_call_arguments.delta", call_id=item["call_id"], delta=text)

    def call(self, call: Call, status: ItemStatus = "completed") -> None:
        """Makes a whole tool call at once."""
        self.open_call(call.call_id, call.name)
        self.arguments(call.arguments_text)
        self.close(status)

    def close(self, status: ItemStatus = "completed") -> None:
        """Ends the open item, if one is open."""
        item = self._open
        if item is None:
            return
        if item["type"] == "function_call":
            words = {"call_id": item["call_id"], "name": item["name"], "arguments": item["arguments"]}
            self._about(item, "response.function_call_arguments.done", **words)
        else:
            self._close_message(item)
        item["status"] = status
        if not self.out_of_band:
            self._announce(item, "done")
        self._output_item(item, "done")
        self._open = None

    def finish(
        self,
        status: Status = "completed",
        reason: Reason | None = None,
        error_code: str = "server_error",
    ) -> None:
        """Ends the response; an item that is still open ends as incomplete, as far as it got.

        Args:
            status: How it ends.
            reason: Why, if it is cancelled or incomplete.
            error_code: What went wrong, if it failed.
        """
        if not self.active:
            raise ScriptError(f"Response {self.id} has already ended as {self.status}.")
        self.close("completed" if status == "completed" else "incomplete")
        self.status = status
        self.reason = reason
        details: Event | None = None
        if status == "failed":
            details = {"type": "failed", "error": {"type": "server_error", "code": error_code}}
        elif status != "completed":
            details = {"type": status, "reason": reason}
        self._voice.send({"type": "response.done", "response": self._as_response() | {"status_details": details}})

    def _open_message(self) -> Item:
        item: Item = {"id": self._voice.new_id("item"), "object": "realtime.item", "type": "message"}
        item |= {"status": "in_progress", "role": "assistant", "content": []}
        self._place(item)
        self._said = ""
        part = {"type": "text", "text": ""} if self._text_only else {"type": "audio", "transcript": ""}
        self._about(item, "response.content_part.added", content_index=0, part=part)
        return item

    def _close_message(self, item: Item) -> None:
        if self._text_only:
            self._about(item, "response.output_text.done", content_index=0, text=self._said)
            part = {"type": "text", "text": self._said}
        else:
            self._about(item, "response.output_audio.done", content_index=0)
            self._about(item, "response.output_audio_transcript.done", content_index=0, transcript=self._said)
            part = {"type": "audio", "transcript": self._said}
        self._about(item, "response.content_part.done", content_index=0, part=part)

    def _place(self, item: Item) -> None:
        if not self.active:
            raise ScriptError(f"Response {self.id} has already ended as {self.status}.")
        self.close()
        self.output.append(item)
        self._open = item
        self._output_item(item, "added")
        if not self.out_of_band:
            self._voice.held.append(item)
            self._announce(item, "added")

    def _announce(self, item: Item, what: Literal["added", "done"]) -> None:
        held = self._voice.held
        previous = held.before(item) if held.find(item["id"]) else None
        self._voice.send({"type": f"conversation.item.{what}", "item": item, "previous_item_id": previous})

    def _about(self, item: Item, kind: str, **fields: object) -> None:
        place = {"response_id": self.id, "item_id": item["id"], "output_index": self.output.index(item)}
        self._voice.send({"type": kind, **place, **fields})

    def _output_item(self, item: Item, what: Literal["added", "done"]) -> None:
        place = {"response_id": self.id, "output_index": self.output.index(item)}
        self._voice.send({"type": f"response.output_item.{what}", **place, "item": item})

    def _as_response(self) -> Event:
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": self.status,
            "output": self.output,
            "conversation_id": None if self.out_of_band else "conv_1",
            "metadata": self._metadata,
            "output_modalities": ["text"] if self._text_only else ["audio"],
        }
