"""The conversation as the server holds it: an ordered list of items, and the rules for changing it."""

from __future__ import annotations

import re
from typing import Any, Literal, cast

Item = dict[str, Any]
"""One item of the conversation, as plain data."""

SecondOutput = Literal["reject", "ignore", "accept"]
"""What happens to a second output for a call id that has one."""

_LONGEST_ID = 32
_ID = re.compile(r"[a-zA-Z0-9_-]+")


class Refusal(Exception):  # noqa: N818 - it is what the server answers, not a fault
    """A request that the server answers with an ``error`` event.

    Attributes:
        code: The server's error code.
        message: The server's words.
        param: The field concerned, if one is.
    """

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


class Conversation:
    """Items in order, the length of their audio, and which of them the client made.

    Attributes:
        items: The items, first to last.
        audio_ms: Milliseconds of audio that each spoken item has.
        client_made: Ids of the items that the client created.
        second_outputs: Call ids for which the client tried a second output, in order.
    """

    def __init__(self, second_output: SecondOutput = "reject") -> None:
        self.items: list[Item] = []
        self.audio_ms: dict[str, float] = {}
        self.client_made: set[str] = set()
        self.second_outputs: list[str] = []
        self._second_output = second_output

    def find(self, item_id: str) -> Item | None:
        """The item with this id, or None."""
        return next((item for item in self.items if item.get("id") == item_id), None)

    def call(self, call_id: str) -> Item | None:
        """The tool call with this call id, or None."""
        return next((item for item in self._of("function_call") if item.get("call_id") == call_id), None)

    def answers(self, call_id: str) -> list[Item]:
        """The outputs that stand in the conversation for this call id."""
        return [item for item in self._of("function_call_output") if item.get("call_id") == call_id]

    def before(self, item: Item) -> str | None:
        """The id of the item just before this one, or None at the front."""
        place = self.items.index(item)
        return str(self.items[place - 1]["id"]) if place else None

    def append(self, item: Item) -> None:
        """Puts an item of the server's own at the end."""
        self.items.append(item)

    def create(self, item: Item, previous_item_id: str | None) -> bool:
        """Puts a client's item where the client wants it.

        Args:
            item: The item, with its id.
            previous_item_id: The item to stand after, ``root`` for the front, None for the end.

        Returns:
            False if the item was ignored without a word.

        Raises:
            Refusal: A rule of the server forbids it.
        """
        _check_id(item.get("id"), "item.id")
        _check_id(item.get("call_id"), "item.call_id")
        item_id = str(item["id"])
        if self.find(item_id):
            raise Refusal(
                "item_create_duplicate_item_id", f"Error adding item: an item with id '{item_id}' already exists."
            )
        if item["type"] == "function_call_output" and not self._may_answer(str(item["call_id"])):
            return False
        if any(part.get("type") == "output_audio" for part in _parts(item)):
            raise Refusal("invalid_value", "An assistant message with audio cannot be created.", "item.content")
        self.items.insert(self._place(previous_item_id), item)
        self.client_made.add(item_id)
        return True

    def retrieve(self, item_id: str) -> Item:
        """The item with this id.

        Raises:
            Refusal: There is none.
        """
        return self._known(item_id, "retriev")

    def delete(self, item_id: str) -> None:
        """Takes an item out.

        Raises:
            Refusal: There is none with this id.
        """
        self.items.remove(self._known(item_id, "delet"))

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """Cuts a spoken item to what was heard; its transcript goes.

        Raises:
            Refusal: The item is unknown, was not spoken by the model, or is shorter.
        """
        item = self._known(item_id, "truncat")
        parts = _parts(item)
        spoken = self.audio_ms.get(item_id, 0)
        if item.get("role") != "assistant" or not spoken:
            raise Refusal("invalid_value", "Only model output audio messages can be truncated", "item_id")
        if not 0 <= content_index < len(parts):
            raise Refusal("invalid_value", f"The item has no content {content_index}.", "content_index")
        if audio_end_ms > spoken:
            words = f"Audio content of {spoken:.0f}ms is already shorter than {audio_end_ms}ms"
            raise Refusal("invalid_value", words, "audio_end_ms")
        self.audio_ms[item_id] = audio_end_ms
        parts[content_index].pop("transcript", None)

    def problems(self) -> list[str]:
        """What a strict provider would refuse about calls and outputs; empty if the conversation is well-formed."""
        found: list[str] = []
        calls: set[str] = set()
        outputs: set[str] = set()
        for item in self.items:
            call_id = str(item.get("call_id"))
            if item["type"] == "function_call":
                if call_id in calls:
                    found.append(f"call {call_id} stands twice")
                calls.add(call_id)
                if item.get("status") == "completed" and not self.answers(call_id):
                    found.append(f"call {call_id} has no output")
            elif item["type"] == "function_call_output":
                found += self._problems_of_output(item, call_id, calls, outputs)
                outputs.add(call_id)
        return found + [f"a second output for call {call_id} was tried" for call_id in self.second_outputs]

    def _problems_of_output(self, output: Item, call_id: str, calls: set[str], outputs: set[str]) -> list[str]:
        if call_id in outputs:
            return [f"call {call_id} has more than one output"]
        call = self.call(call_id)
        if call is None:
            return [f"output of {call_id} has no call"]
        if call_id not in calls:
            return [f"output of {call_id} stands before its call"]
        between = self.items[self.items.index(call) + 1 : self.items.index(output)]
        others = [item for item in between if item["type"] not in {"function_call", "function_call_output"}]
        return [f"output of {call_id} stands {len(others)} items after its call"] if others else []

    def _may_answer(self, call_id: str) -> bool:
        if self.call(call_id) is None:
            words = f"Tool call ID '{call_id}' not found in conversation."
            raise Refusal("invalid_tool_call_id", words, "item.call_id")
        if not self.answers(call_id):
            return True
        self.second_outputs.append(call_id)
        if self._second_output == "reject":
            raise Refusal("invalid_value", f"Tool call ID '{call_id}' already has an output.", "item.call_id")
        return self._second_output == "accept"

    def _place(self, previous_item_id: str | None) -> int:
        if previous_item_id is None:
            return len(self.items)
        if previous_item_id == "root":
            return 0
        previous = self.find(previous_item_id)
        if previous is None:
            words = f"Error adding item: the previous item with id '{previous_item_id}' does not exist."
            raise Refusal("item_create_invalid_previous_item_id", words, "previous_item_id")
        return self.items.index(previous) + 1

    def _known(self, item_id: str, verb: str) -> Item:
        item = self.find(item_id)
        if item is None:
            words = f"Error {verb}ing item: the item with id '{item_id}' does not exist."
            raise Refusal(f"item_{verb}e_invalid_item_id", words, "item_id")
        return item

    def _of(self, kind: str) -> list[Item]:
        return [item for item in self.items if item["type"] == kind]


def _parts(item: Item) -> list[Item]:
    return cast("list[Item]", item.get("content") or [])


def _check_id(value: object, param: str) -> None:
    if value is None:
        return
    text = str(value)
    if len(text) > _LONGEST_ID:
        wanted = (
            f"Expected a string with maximum length {_LONGEST_ID}, but got a string with length {len(text)} instead."
        )
        words = f"string too long. {wanted}"
        raise Refusal("string_above_max_length", f"Invalid '{param}': {words}", param)
    if not _ID.fullmatch(text):
        words = "string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        raise Refusal("invalid_value", f"Invalid '{param}': {words}", param)
